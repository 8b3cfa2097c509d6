//! SKETCH of the interface that `node` will offer (the real file replaces this one).

use std::time::Duration;
use crate::consensus::{NodeId, Rejection, Status};

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member { pub id: NodeId, pub address: String /* host:port */ }

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    pub id: NodeId,
    pub cluster_name: String,
    pub cluster_id: u64,
    pub protocol: String,              // looked up in the registry
    pub members: Vec<Member>,          // including this one
    pub data_dir: std::path::PathBuf,
    pub create: bool,                  // whether an empty data directory may be initialised
    pub laboratory: bool,              // whether faults may be set
    pub request_timeout: Duration,     // default 5 s
    pub snapshot_bytes / wal segment size ...: defaults,
    pub options: toml::Table,          // the protocol's own section
    pub blocked: Vec<NodeId>, pub disk_fault: DiskFault,  // faults wanted before the links open
}

/// A running node, whatever its protocol. Cheap to clone (`Arc` inside, not generic).
#[derive(Clone)]
pub struct Handle { /* .. */ }

impl Handle {
    pub fn id(&self) -> NodeId;
    pub fn cluster_id(&self) -> u64;
    pub fn cluster_name(&self) -> &str;
    pub fn protocol(&self) -> &'static str;
    pub fn members(&self) -> &[Member];
    pub fn incarnation(&self) -> u64;
    pub fn laboratory(&self) -> bool;

    /// Orders a command and waits for its execution here, at most the configured request time-out (the protocol itself rejects after that).
    pub async fn execute(&self, command: kv::Command) -> Result<Answer, NodeError>;
    /// Reads: linearizable (a read point from the protocol) or serializable (this node's store as it is).
    pub async fn range(&self, request: kv::RangeRequest, linearizable: bool) -> Result<Answer, NodeError>;
    /// Read-only transactions go the same way.
    pub async fn status(&self, with_digest: bool) -> NodeStatus;      // never blocks on consensus
    pub async fn transfer_leadership(&self, to: Option<NodeId>) -> Result<NodeId, NodeError>;
    pub fn set_blocked(&self, peers: &[NodeId]);
    pub fn blocked(&self) -> Vec<NodeId>;
    pub fn set_disk_fault(&self, fault: DiskFault);
}

pub struct Answer { pub reply: kv::Reply /* Result<kv::Response, kv::KvError> */, pub epoch: u64 }

pub enum NodeError { Rejected(Rejection), /* reason, never_executed, leader */ Stopped /* the node is gone; outcome unknown */ }

pub struct NodeStatus { pub status: Status, pub digest: Option<Digest>, pub digest_at: Index, pub revision: u64, pub store_bytes: u64, pub counters: Counters, .. }

/// A node with its tasks and threads; `cluster` and `node --id` own it.
pub struct Node { .. }
impl Node {
    /// Recovers the replica, starts its tasks. The peer services are to be mounted on the node's port by `api::serve`.
    pub async fn start(config: NodeConfig) -> Result<Node, StartError>;
    pub fn handle(&self) -> Handle;
    pub fn peer_routes(&self) -> tonic::service::Routes;
    pub fn pause(&self); pub fn resume(&self);       // gates inputs, timers and disk, for in-process nodes
    pub async fn stop(self);                          // orderly: what is queued becomes durable
    pub fn kill(self);                                // as SIGKILL: nothing more leaves, nothing more is written
    pub async fn failed(&self) -> NodeFailure;        // resolves when the node stopped by itself (disk error...), with its last error
}
// api:  pub async fn serve(node: &Node, listener: tokio::net::TcpListener, shutdown: impl Future) -> Result<(), ServeError>
