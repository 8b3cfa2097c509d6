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
    leader: Mutex<NodeId>,
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

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// The protocol's status.
    pub status: Status,
    /// How its store is.
    pub store: StoreStatus,
    /// Counters.
    pub counters: CountersSnapshot,
    /// Counters of the links.
    pub links: LinkCounters,
    /// Peers that a partition blocks.
    pub blocked: Vec<NodeId>,
}

#[expect(missing_docs, reason = "stand-in")]
impl NodeStatus {
    pub fn digest(&self) -> Option<(Digest, Index)> {
        self.store.digest.map(|digest| (digest, self.store.applied))
    }
}

/// How the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "stand-in")]
pub struct StoreStatus {
    pub applied: Index,
    pub digest: Option<Digest>,
    pub revision: i64,
    pub bytes: u64,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "stand-in")]
pub struct CountersSnapshot {
    pub fsyncs: u64,
    pub wal_batches: u64,
    pub wal_records: u64,
    pub wal_bytes: u64,
    pub proposals: u64,
    pub applied_commands: u64,
    pub fsync_max_us: u64,
    pub fsync_last_us: u64,
}

/// Counters of the links.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "stand-in")]
pub struct LinkCounters {
    pub messages_sent: u64,
    pub bytes_sent: u64,
    pub messages_received: u64,
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
    pub async fn execute(&self, command: &kv::Command) -> Result<Answer, NodeError> {
        let mut store = self.0.store.lock().unwrap();
        let index = store.applied().next();
        let id = RequestId { origin: NodeId(1), incarnation: 1, counter: index.0 };
        let proposal = Proposal { id, time: WallTime(0), command: command.to_bytes() };
        let mut replies = store.apply(&Committed { index, epoch: Epoch(1), proposals: vec![proposal] });
        Ok(Answer { reply: replies.remove(0).1, epoch: 1 })
    }
    pub async fn read(&self, op: kv::Op) -> Result<Answer, NodeError> {
        self.read_serializable(op).await
    }
    pub async fn read_serializable(&self, op: kv::Op) -> Result<Answer, NodeError> {
        let store = self.0.store.lock().unwrap();
        let reply = match op {
            kv::Op::Range(range) => store.range(&range).map(kv::Response::Range),
            kv::Op::Txn(txn) => store.peek(&txn),
            other => panic!("{other:?} writes"),
        };
        Ok(Answer { reply, epoch: 1 })
    }
    pub async fn status(&self, digest: bool) -> Result<NodeStatus, NodeError> {
        let mut store = self.0.store.lock().unwrap();
        let applied = store.applied();
        let leader = *self.0.leader.lock().unwrap();
        let role = if leader == NodeId(1) { Role::Leader } else { Role::Follower };
        let status = Status {
            role,
            epoch: 1,
            leader: Some(leader.0),
            last: applied.0,
            committed: applied.0,
            applied: applied.0,
            snapshot: 0,
            peers: Vec::new(),
            why: Vec::new(),
        };
        let digest = digest.then(|| store.digest());
        let store = StoreStatus { applied, digest, revision: store.revision(), bytes: 0 };
        let counters = CountersSnapshot::default();
        Ok(NodeStatus { status, store, counters, links: LinkCounters::default(), blocked: self.blocked() })
    }
    pub fn transfer_leadership(&self, to: Option<NodeId>) -> Result<(), NodeError> {
        *self.0.leader.lock().unwrap() = to.unwrap_or(NodeId(2));
        Ok(())
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
            leader: Mutex::new(NodeId(1)),
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
