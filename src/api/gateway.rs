//! [`Gateway`]: etcd's API from a client of the cluster, next to an application.
//!
//! What stands in its answers is what the client believes: where clients count votes, nothing that fewer than f + 1 replicas
//! said alike. That settles what of etcd's answers there is:
//!
//! - The revision is part of what is voted on.
//! - Term and index differ between honest replicas, so that each could only be one replica's word. They are left at zero. The
//!   member that answers is the gateway, and it is what takes writes: it names itself as the leader.
//! - The members are those of the configuration. They have no URLs for clients: a client that looks for more endpoints must
//!   not be led around the gateway. The gateway itself stands among them, with the URL at which the caller found it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tonic::Status;

use super::errors::{not_done, refused, too_many};
use super::executor::Answered;
use super::maintenance::VERSION;
use crate::client::Client;
use crate::consensus::NodeId;
use crate::kv::{Command, Op, RangeRequest};
use crate::node::Member;
use crate::wire::Header;
use crate::wire::pb::etcdserverpb as pb;

/// What is under way at once, in units of [`UNIT`]: so many short calls, or fewer and longer ones. As much as a replica
/// keeps for one client, several times over; one call more is refused instead of growing a queue.
const MAX_UNITS: usize = 4096;

/// A call takes one of these, and one more for each time that its request fills one: 64 MiB of requests at most.
const UNIT: usize = 16 * 1024;

/// How long is waited for the cluster before a status says that it does not serve: less than etcd's tools wait for a
/// status.
const STATUS_PATIENCE: Duration = Duration::from_secs(2);

/// What a gateway is.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// Asks the cluster.
    pub client: Client,
    /// The cluster's identity; 0 where it is not known.
    pub cluster_id: u64,
    /// As which client it speaks; 0 where clients have no id.
    pub id: NodeId,
    /// The cluster's members; none where they are not known.
    pub members: Vec<Member>,
}

/// Etcd's API from a client of the cluster. Clones share what may be under way.
#[derive(Clone, Debug)]
pub(super) struct Gateway(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: GatewayConfig,
    units: Semaphore,
}

impl Gateway {
    pub(super) fn new(config: GatewayConfig) -> Self {
        Self(Arc::new(Shared { config, units: Semaphore::new(MAX_UNITS) }))
    }

    /// Has a command carried out by the cluster.
    pub(super) async fn execute(&self, command: Command, bytes: usize) -> Answered {
        let _permit = self.admit(bytes)?;
        let reply = self.0.config.client.execute(command).await.map_err(not_done)?;
        Ok((reply.map_err(refused)?, self.signature()))
    }

    fn admit(&self, bytes: usize) -> Result<SemaphorePermit<'_>, Status> {
        let units = 1 + (bytes / UNIT) as u32;
        self.0.units.try_acquire_many(units).map_err(|_| too_many())
    }

    /// What it writes above the store's answers.
    fn signature(&self) -> Header {
        let GatewayConfig { cluster_id, id, .. } = self.0.config;
        Header { cluster_id, member_id: id, epoch: 0 }
    }

    /// The header of an answer that is about the store as it is now.
    pub(super) async fn header(&self) -> Result<pb::ResponseHeader, Status> {
        let (response, header) = self.execute(Command { session: None, op: nothing() }, 0).await?;
        Ok(header.at(response.revision()))
    }

    /// Whether the cluster serves, and its revision if so.
    pub(super) async fn status(&self) -> pb::StatusResponse {
        let (header, errors) = match timeout(STATUS_PATIENCE, self.header()).await {
            Ok(Ok(header)) => (header, Vec::new()),
            Ok(Err(status)) => (self.signature().at(0), vec![status.message().to_owned()]),
            Err(_) => {
                let error = format!("the cluster does not answer within {STATUS_PATIENCE:?}");
                (self.signature().at(0), vec![error])
            }
        };
        // Whoever looks for the member that takes writes has found it, as long as the cluster does.
        let leader = if errors.is_empty() { self.0.config.id.0 } else { 0 };
        pb::StatusResponse {
            header: Some(header),
            version: VERSION.to_owned(),
            leader,
            errors,
            ..Default::default()
        }
    }

    /// The members as they are configured, and the gateway, which the caller found at `reached`.
    pub(super) fn members(&self, reached: Option<SocketAddr>) -> pb::MemberListResponse {
        let GatewayConfig { id, members, .. } = &self.0.config;
        let replicas = members.iter().map(|member| pb::Member {
            id: member.id.0,
            name: format!("node-{}", member.id),
            peer_ur_ls: vec![format!("http://{}", member.address)],
            ..Default::default()
        });
        let gateway = pb::Member {
            id: id.0,
            name: "gateway".to_owned(),
            client_ur_ls: reached.iter().map(|address| format!("http://{address}")).collect(),
            ..Default::default()
        };
        // As etcd's, the header of this answer has no revision: it is not about the store.
        pb::MemberListResponse {
            header: Some(self.signature().at(0)),
            members: replicas.chain([gateway]).collect(),
        }
    }
}

/// Reads so little that all it says is the revision.
pub(super) fn nothing() -> Op {
    let key = bytes::Bytes::from_static(b"\0");
    Op::Range(RangeRequest { key, limit: 1, count_only: true, ..RangeRequest::default() })
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::client::Options;
    use crate::wire::OUTCOME;

    /// A gateway to a cluster that is not there.
    async fn gateway() -> Gateway {
        let options = Options { timeout: Duration::from_millis(50), ..Options::default() };
        let client = Client::connect(&["127.0.0.1:1"], options).await.unwrap();
        let member = |id: u64| Member { id: NodeId(id), address: format!("10.0.0.{id}:6001") };
        let members = [1, 2, 3, 4].map(member).to_vec();
        Gateway::new(GatewayConfig { client, cluster_id: 7, id: NodeId(1002), members })
    }

    fn outcome(status: &Status) -> &str {
        status.metadata().get(OUTCOME).unwrap().to_str().unwrap()
    }

    #[tokio::test]
    async fn what_is_under_way_is_bounded_by_number_and_by_bytes() {
        let gateway = gateway().await;
        let large = gateway.admit(MAX_UNITS / 2 * UNIT).unwrap();
        let short: Vec<_> = std::iter::from_fn(|| gateway.admit(100).ok()).collect();
        assert_eq!(short.len(), MAX_UNITS / 2 - 1);
        let refused = gateway.execute(Command { session: None, op: nothing() }, 0).await.unwrap_err();
        assert_eq!((refused.code(), outcome(&refused)), (Code::ResourceExhausted, "never-executed"));
        assert_eq!(refused.message(), "etcdserver: too many requests");
        drop(large);
        assert!(gateway.admit(100).is_ok());
    }

    #[tokio::test]
    async fn a_cluster_that_is_not_there_is_an_error_of_each_call_and_a_fact_of_the_status() {
        let gateway = gateway().await;
        let error = gateway.header().await.unwrap_err();
        assert_eq!((error.code(), outcome(&error)), (Code::Unavailable, "never-executed"));
        let status = gateway.status().await;
        assert_eq!(status.errors.len(), 1, "{status:?}");
        assert_eq!(status.header.unwrap().member_id, 1002);
    }

    #[tokio::test]
    async fn no_client_is_led_around_the_gateway() {
        let members = gateway().await.members(Some("127.0.0.1:2379".parse().unwrap())).members;
        let urls: Vec<_> = members.iter().flat_map(|member| &member.client_ur_ls).collect();
        assert_eq!(urls, ["http://127.0.0.1:2379"]);
        assert_eq!(members.iter().map(|member| member.id).collect::<Vec<_>>(), [1, 2, 3, 4, 1002]);
    }
}
