//! STAND-IN for the interface of a node, replaced by the real one.

use std::sync::{Arc, Mutex};

use crate::consensus::{
    Committed, Digest, Encode, Epoch, Index, NodeId, Proposal, Rejection, RequestId, Role, Status, WallTime,
};
use crate::kv;
use crate::wal::DiskFault;

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Where it listens.
    pub address: String,
}

/// Stand-in.
#[derive(Clone)]
pub struct Handle(Arc<Inner>);

struct Inner {
    members: Vec<Member>,
    laboratory: bool,
    store: Mutex<kv::Store>,
    blocked: Mutex<Vec<NodeId>>,
    disk_fault: Mutex<DiskFault>,
}

/// An answer of the store.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What the store said.
    pub reply: kv::Reply,
    /// The epoch.
    pub epoch: u64,
}

/// Why there is no answer of the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The protocol rejected it.
    #[error("{0}")]
    Rejected(Rejection),
    /// The node is gone.
    #[error("the node has stopped")]
    Stopped,
}

/// How a node sees itself.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// The protocol's status.
    pub status: Status,
    /// The state's digest.
    pub digest: Option<Digest>,
    /// Of which index.
    pub digest_at: Index,
    /// The store's revision.
    pub revision: u64,
    /// The store's size.
    pub store_bytes: u64,
    /// Counters.
    pub counters: Counters,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default)]
#[expect(missing_docs, reason = "stand-in")]
pub struct Counters {
    pub fsyncs: u64,
    pub wal_batches: u64,
    pub wal_records: u64,
    pub wal_bytes: u64,
    pub messages_sent: u64,
    pub messages_received: u64,
    pub bytes_sent: u64,
    pub proposals: u64,
    pub applied_commands: u64,
    pub fsync_max_us: u64,
    pub fsync_last_us: u64,
}

#[expect(missing_docs, reason = "stand-in")]
#[expect(clippy::unused_async, reason = "stand-in")]
#[expect(clippy::unwrap_used, reason = "stand-in")]
impl Handle {
    pub fn id(&self) -> NodeId {
        NodeId(1)
    }
    pub fn cluster_id(&self) -> u64 {
        42
    }
    pub fn cluster_name(&self) -> &'static str {
        "stand-in"
    }
    pub fn protocol(&self) -> &'static str {
        "raft"
    }
    pub fn members(&self) -> &[Member] {
        &self.0.members
    }
    pub fn incarnation(&self) -> u64 {
        1
    }
    pub fn laboratory(&self) -> bool {
        self.0.laboratory
    }
    pub async fn execute(&self, command: kv::Command) -> Result<Answer, NodeError> {
        let mut store = self.0.store.lock().unwrap();
        let index = store.applied().next();
        let id = RequestId { origin: NodeId(1), incarnation: 1, counter: index.0 };
        let proposal = Proposal { id, time: WallTime(0), command: command.to_bytes() };
        let mut replies = store.apply(&Committed { index, epoch: Epoch(1), proposals: vec![proposal] });
        Ok(Answer { reply: replies.remove(0).1, epoch: 1 })
    }
    pub async fn range(&self, request: kv::RangeRequest, _linearizable: bool) -> Result<Answer, NodeError> {
        let reply = self.0.store.lock().unwrap().range(&request).map(kv::Response::Range);
        Ok(Answer { reply, epoch: 1 })
    }
    pub async fn peek(&self, request: kv::TxnRequest, _linearizable: bool) -> Result<Answer, NodeError> {
        Ok(Answer { reply: self.0.store.lock().unwrap().peek(&request), epoch: 1 })
    }
    pub async fn status(&self, with_digest: bool) -> NodeStatus {
        let mut store = self.0.store.lock().unwrap();
        let applied = store.applied();
        NodeStatus {
            status: Status {
                role: Role::Leader,
                epoch: 1,
                leader: Some(1),
                last: applied.0,
                committed: applied.0,
                applied: applied.0,
                snapshot: 0,
                peers: Vec::new(),
                why: Vec::new(),
            },
            digest: with_digest.then(|| store.digest()),
            digest_at: applied,
            revision: store.revision() as u64,
            store_bytes: 0,
            counters: Counters::default(),
        }
    }
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, NodeError> {
        Ok(to.unwrap_or(NodeId(1)))
    }
    pub fn set_blocked(&self, peers: &[NodeId]) {
        *self.0.blocked.lock().unwrap() = peers.to_vec();
    }
    pub fn blocked(&self) -> Vec<NodeId> {
        self.0.blocked.lock().unwrap().clone()
    }
    pub fn set_disk_fault(&self, fault: DiskFault) {
        *self.0.disk_fault.lock().unwrap() = fault;
    }
}

/// Stand-in.
pub struct Node(Handle);

#[expect(missing_docs, reason = "stand-in")]
impl Node {
    pub fn stand_in(members: Vec<Member>, laboratory: bool) -> Self {
        Self(Handle(Arc::new(Inner {
            members,
            laboratory,
            store: Mutex::default(),
            blocked: Mutex::default(),
            disk_fault: Mutex::default(),
        })))
    }
    pub fn handle(&self) -> Handle {
        self.0.clone()
    }
    pub fn peer_routes(&self) -> tonic::service::Routes {
        tonic::service::Routes::default()
    }
}
