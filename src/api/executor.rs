//! [`Executor`]: who carries out what the services are asked.

use std::net::SocketAddr;

use tonic::Status;

use super::errors::{refused, unanswered};
use super::gateway::Gateway;
use super::maintenance::VERSION;
use crate::kv::{Command, Op, Response};
use crate::node::{Answer, Handle, NodeError, NodeStatus};
use crate::wire::Header;
use crate::wire::pb::etcdserverpb as pb;

/// Who carries out what the services are asked: a node of the cluster, or a gateway, which is a client of it.
#[derive(Clone)]
pub(super) enum Executor {
    /// The node whose port it is.
    Node(Handle),
    /// A client next to an application.
    Gateway(Gateway),
}

/// An answer of the store, and what stands above it.
pub(super) type Answered = Result<(Response, Header), Status>;

impl Executor {
    /// Has a command ordered and executed. `bytes` is how long the request was.
    pub(super) async fn execute(&self, command: Command, bytes: usize) -> Answered {
        match self {
            Self::Node(node) => answered(node, node.execute(&command).await),
            Self::Gateway(gateway) => gateway.execute(command, bytes).await,
        }
    }

    /// Reads linearizably. `op` must not write.
    pub(super) async fn read(&self, op: Op, bytes: usize) -> Answered {
        match self {
            Self::Node(node) => answered(node, node.read(op).await),
            Self::Gateway(gateway) => gateway.execute(Command { session: None, op }, bytes).await,
        }
    }

    /// Reads what may be old. A gateway has nothing of its own to read from, and to pass on one replica's word is what it
    /// is there to spare its callers: it reads linearizably, which is never wrong.
    pub(super) async fn read_serializable(&self, op: Op, bytes: usize) -> Answered {
        match self {
            Self::Node(node) => answered(node, node.read_serializable(op).await),
            Self::Gateway(_) => self.read(op, bytes).await,
        }
    }

    /// The header of an answer that is about the store as it is now.
    pub(super) async fn header(&self) -> Result<pb::ResponseHeader, Status> {
        match self {
            Self::Node(node) => Ok(header_at(node, &node.status(false).await.map_err(unanswered)?)),
            Self::Gateway(gateway) => gateway.header().await,
        }
    }

    /// How the node or gateway is.
    pub(super) async fn status(&self) -> Result<pb::StatusResponse, Status> {
        match self {
            Self::Node(node) => {
                let status = node.status(false).await.map_err(unanswered)?;
                Ok(status_of(node, status, node.bytes_on_disk().await))
            }
            Self::Gateway(gateway) => Ok(gateway.status().await),
        }
    }

    /// Who belongs to the cluster. `reached` is the address at which the caller found this port.
    pub(super) async fn members(
        &self,
        reached: Option<SocketAddr>,
    ) -> Result<pb::MemberListResponse, Status> {
        match self {
            Self::Node(node) => {
                let status = node.status(false).await.map_err(unanswered)?;
                Ok(members_of(node, &status))
            }
            Self::Gateway(gateway) => Ok(gateway.members(reached)),
        }
    }
}

fn answered(node: &Handle, answer: Result<Answer, NodeError>) -> Answered {
    let Answer { reply, epoch } = answer.map_err(unanswered)?;
    let header = Header { cluster_id: node.cluster_id(), member_id: node.id(), epoch };
    Ok((reply.map_err(refused)?, header))
}

fn header_at(node: &Handle, status: &NodeStatus) -> pb::ResponseHeader {
    let header = Header { cluster_id: node.cluster_id(), member_id: node.id(), epoch: status.status.epoch };
    header.at(status.store.revision)
}

fn status_of(node: &Handle, status: NodeStatus, on_disk: u64) -> pb::StatusResponse {
    let header = Some(header_at(node, &status));
    let NodeStatus { status, store, .. } = status;
    pb::StatusResponse {
        header,
        version: VERSION.to_owned(),
        db_size: on_disk as i64,
        leader: status.leader.unwrap_or(0),
        raft_index: status.committed,
        raft_term: status.epoch,
        raft_applied_index: status.applied,
        errors: status.why,
        db_size_in_use: store.bytes as i64,
        is_learner: false,
    }
}

fn members_of(node: &Handle, status: &NodeStatus) -> pb::MemberListResponse {
    let members = node.members().iter().map(|member| {
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
    pb::MemberListResponse { header: Some(header_at(node, status)), members: members.collect() }
}
