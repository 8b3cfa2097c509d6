//! etcd's `Maintenance` and `Cluster` services, as far as they make sense here.

use tonic::{Request, Response, Status};

use super::errors::unanswered;
use crate::node::{Handle, NodeStatus};
use crate::wire::Header;
use crate::wire::pb::etcdserverpb::{self as pb, cluster_server::Cluster, maintenance_server::Maintenance};

/// The API that is served, and by what: a version that etcd's tools can parse, with the build metadata of semantic
/// versions for the truth.
const VERSION: &str = concat!("3.4.0+consensusctl.", env!("CARGO_PKG_VERSION"));

/// Says how a node is and who belongs to its cluster.
#[derive(Clone)]
pub(super) struct Information {
    node: Handle,
}

impl Information {
    /// Serves for `node`.
    pub(super) fn new(node: Handle) -> Self {
        Self { node }
    }

    fn header(&self, status: &NodeStatus) -> pb::ResponseHeader {
        let epoch = status.status.epoch;
        let header = Header { cluster_id: self.node.cluster_id(), member_id: self.node.id(), epoch };
        header.at(status.store.revision)
    }
}

#[tonic::async_trait]
impl Maintenance for Information {
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        if request.into_inner().action() != pb::alarm_request::AlarmAction::Get {
            return Err(Status::unimplemented(
                "alarms cannot be raised or disarmed: a full disk shows in the status, and ends by itself",
            ));
        }
        let status = self.node.status(false).await.map_err(unanswered)?;
        Ok(Response::new(pb::AlarmResponse { header: Some(self.header(&status)), alarms: Vec::new() }))
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        let node = self.node.status(false).await.map_err(unanswered)?;
        let header = Some(self.header(&node));
        let NodeStatus { status, store, .. } = node;
        Ok(Response::new(pb::StatusResponse {
            header,
            version: VERSION.to_owned(),
            db_size: store.bytes as i64,
            leader: status.leader.unwrap_or(0),
            raft_index: status.committed,
            raft_term: status.epoch,
            raft_applied_index: status.applied,
            errors: status.why,
            db_size_in_use: store.bytes as i64,
            is_learner: false,
        }))
    }
}

#[tonic::async_trait]
impl Cluster for Information {
    async fn member_list(
        &self,
        _: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        let status = self.node.status(false).await.map_err(unanswered)?;
        let members = self.node.members().iter().map(|member| {
            // One port serves peers and clients.
            let url = format!("http://{}", member.address);
            pb::Member {
                id: member.id.0,
                name: format!("node-{}", member.id),
                peer_ur_ls: vec![url.clone()],
                client_ur_ls: vec![url],
                is_learner: false,
            }
        });
        Ok(Response::new(pb::MemberListResponse {
            header: Some(self.header(&status)),
            members: members.collect(),
        }))
    }
}
