//! Stand-in for the client library.

use std::time::Duration;

use crate::consensus::NodeId;
use crate::wal::DiskFault;
use crate::wire::pb::control as pb;

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Error(pub String);

/// A client of one node's control service.
#[derive(Clone, Debug)]
pub struct ControlClient {
    channel: tonic::transport::Channel,
    timeout: Duration,
}

/// How a node sees itself and the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "a stand-in")]
pub struct NodeReport {
    pub id: u64,
    pub role: String,
    pub epoch: u64,
    pub leader: Option<u64>,
    pub last: u64,
    pub committed: u64,
    pub applied: u64,
    pub digest: Option<String>,
    pub digest_at: u64,
    pub why: Vec<String>,
    pub counters: CounterReport,
    pub blocked: Vec<u64>,
    pub pid: u64,
}

/// Counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "a stand-in")]
pub struct CounterReport {
    pub fsync_last_us: u64,
}

impl ControlClient {
    /// A client of the node at `host:port`.
    pub fn new(address: &str) -> Result<Self, Error> {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| Error(error.to_string()))?;
        Ok(Self { channel: endpoint.connect_lazy(), timeout: Duration::from_secs(1) })
    }

    /// The same client with another time-out.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How the node sees itself and the cluster.
    pub async fn status(&self, brief: bool) -> Result<NodeReport, Error> {
        let mut client = self.client();
        let status = self.call(client.get_status(pb::GetStatusRequest { brief })).await?;
        Ok(NodeReport {
            id: status.node_id,
            role: status.role,
            epoch: status.epoch,
            leader: Some(status.leader).filter(|leader| *leader != 0),
            last: status.last,
            committed: status.committed,
            applied: status.applied,
            digest: Some(status.digest).filter(|digest| !digest.is_empty()),
            digest_at: status.digest_at,
            why: status.why,
            counters: CounterReport::default(),
            blocked: status.blocked,
            pid: status.pid,
        })
    }

    /// Cuts the node off from these peers and no others.
    pub async fn set_partition(&self, blocked: &[NodeId]) -> Result<Vec<NodeId>, Error> {
        let blocked_node_ids = blocked.iter().map(|id| id.0).collect();
        let request = pb::SetPartitionRequest { blocked_node_ids, blocked_addresses: Vec::new() };
        let mut client = self.client();
        let response = self.call(client.set_partition(request)).await?;
        Ok(response.blocked_node_ids.into_iter().map(NodeId).collect())
    }

    /// Replaces the fault of the node's disk.
    pub async fn set_disk_fault(&self, _fault: DiskFault) -> Result<(), Error> {
        let request = pb::SetDiskFaultRequest { fault: None };
        let mut client = self.client();
        self.call(client.set_disk_fault(request)).await.map(drop)
    }

    /// Asks the leader to hand over.
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, Error> {
        let request = pb::TransferLeadershipRequest { to: to.map_or(0, |id| id.0) };
        let mut client = self.client();
        Ok(NodeId(self.call(client.transfer_leadership(request)).await?.leader))
    }

    fn client(&self) -> pb::control_service_client::ControlServiceClient<tonic::transport::Channel> {
        pb::control_service_client::ControlServiceClient::new(self.channel.clone())
    }

    async fn call<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(Error(status.message().to_owned())),
            Err(_) => Err(Error("no answer in time".into())),
        }
    }
}
