//! Stand-in for the services of a node: the lowest id that a majority can reach leads.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tonic::{Request, Response, Status};

use crate::consensus::NodeId;
use crate::node::{Node, NodeConfig};
use crate::wire::pb::control as pb;
use pb::control_service_server::{ControlService, ControlServiceServer};

struct Service {
    config: NodeConfig,
    blocked: Arc<Mutex<Vec<NodeId>>>,
}

/// Serves a node on its port until `shutdown`.
pub async fn serve(
    node: &Node,
    listener: tokio::net::TcpListener,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), tonic::transport::Error> {
    let service = Service { config: node.config.clone(), blocked: Arc::clone(&node.blocked) };
    tonic::transport::Server::builder()
        .add_service(ControlServiceServer::new(service))
        .serve_with_incoming_shutdown(tokio_stream::wrappers::TcpListenerStream::new(listener), shutdown)
        .await
}

impl Service {
    async fn leader(&self) -> u64 {
        let blocked = self.blocked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let peers = self.config.members.iter().filter(|member| !blocked.contains(&member.id));
        let mut reachable = Vec::new();
        for peer in peers {
            let open = tokio::net::TcpStream::connect(&peer.address);
            if matches!(tokio::time::timeout(Duration::from_millis(20), open).await, Ok(Ok(_))) {
                reachable.push(peer.id.0);
            }
        }
        let quorum = self.config.members.len() / 2 + 1;
        if reachable.len() < quorum { 0 } else { reachable[0] }
    }
}

#[tonic::async_trait]
impl ControlService for Service {
    async fn ping(&self, _: Request<pb::PingRequest>) -> Result<Response<pb::PingResponse>, Status> {
        Ok(Response::new(pb::PingResponse { node_id: self.config.id.0, ..Default::default() }))
    }

    async fn get_status(
        &self,
        _: Request<pb::GetStatusRequest>,
    ) -> Result<Response<pb::GetStatusResponse>, Status> {
        let leader = self.leader().await;
        let role = if leader == self.config.id.0 { "leader" } else { "follower" };
        let blocked = self.blocked.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        Ok(Response::new(pb::GetStatusResponse {
            node_id: self.config.id.0,
            role: role.into(),
            epoch: 1,
            leader,
            last: 1,
            committed: 1,
            applied: 1,
            digest: "00".repeat(32),
            digest_at: 1,
            blocked: blocked.iter().map(|id| id.0).collect(),
            pid: u64::from(std::process::id()),
            ..Default::default()
        }))
    }

    async fn set_partition(
        &self,
        request: Request<pb::SetPartitionRequest>,
    ) -> Result<Response<pb::SetPartitionResponse>, Status> {
        let blocked = request.into_inner().blocked_node_ids;
        *self.blocked.lock().unwrap_or_else(std::sync::PoisonError::into_inner) =
            blocked.iter().copied().map(NodeId).collect();
        Ok(Response::new(pb::SetPartitionResponse { blocked_node_ids: blocked }))
    }

    async fn set_disk_fault(
        &self,
        _: Request<pb::SetDiskFaultRequest>,
    ) -> Result<Response<pb::SetDiskFaultResponse>, Status> {
        Ok(Response::new(pb::SetDiskFaultResponse {}))
    }

    async fn transfer_leadership(
        &self,
        _: Request<pb::TransferLeadershipRequest>,
    ) -> Result<Response<pb::TransferLeadershipResponse>, Status> {
        Ok(Response::new(pb::TransferLeadershipResponse { leader: self.leader().await }))
    }
}
