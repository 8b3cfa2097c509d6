//! What the api and the supervisor hold of a running node.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc as async_mpsc, oneshot};

use super::clock::{Clock, wall_time};
use super::config::Member;
use super::core::{Request, Said};
use super::counters::{Counters, CountersSnapshot};
use super::reply::{Awaited, Reply};
use super::threads::ToStore;
use crate::consensus::{
    Answers, Digest, Index, Misbehaviour, NodeId, Proposal, ReadId, RejectReason, Rejection, RequestId,
    Status,
};
use crate::engine::{ExecutorWork, StoreStatus};
use crate::kv;
use crate::transport::{LinkCounters, LinkFaults, Rule};
use crate::wal::{DiskFault, DiskFaults, bytes_on_disk};

/// Requests that may be under way at one node: more are refused at once instead of growing a queue.
pub(super) const MAX_REQUESTS: usize = 16_384;

/// How much longer than the protocol this waits for a read, so that the protocol's own reason is told if it has one.
const READ_GRACE: Duration = Duration::from_millis(250);

/// A running node, whatever its protocol. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: NodeId,
    pub(super) protocol: &'static str,
    pub(super) answers: Answers,
    pub(super) cluster_name: String,
    pub(super) cluster_id: u64,
    pub(super) members: Vec<Member>,
    pub(super) incarnation: u64,
    pub(super) laboratory: bool,
    pub(super) request_timeout: Duration,
    pub(super) clock: Clock,
    pub(super) requests: async_mpsc::UnboundedSender<Request>,
    pub(super) store: mpsc::Sender<ToStore>,
    /// Bounds what is under way, and so every queue that a request passes through.
    pub(super) permits: Arc<Semaphore>,
    pub(super) next_command: AtomicU64,
    pub(super) next_read: AtomicU64,
    pub(super) counters: Arc<Counters>,
    pub(super) links: LinkFaults,
    pub(super) disk: DiskFaults,
    pub(super) data_dir: PathBuf,
}

/// What the store says to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The store's reply; an error is a definite answer too.
    pub reply: kv::Reply,
    /// The replica's epoch when it answered.
    pub epoch: u64,
}

/// Why a request got no answer from the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeError {
    /// The protocol rejected it; the rejection says whether it may have been executed.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The node stopped while the request was under way: it may have been executed.
    #[error("the node stopped")]
    Stopped,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus {
    /// How the replica sees itself and the cluster.
    pub status: Status,
    /// How its store is.
    pub store: StoreStatus,
    /// What it has done since its start.
    pub counters: CountersSnapshot,
    /// What its links have done since its start.
    pub links: LinkCounters,
    /// Peers that a partition blocks.
    pub blocked: Vec<NodeId>,
    /// What the replica is told to do wrong now.
    pub misbehaviour: Option<Misbehaviour>,
}

impl NodeStatus {
    /// The digest, and the index of the state that it is of.
    pub fn digest(&self) -> Option<(Digest, Index)> {
        self.store.digest.map(|digest| (digest, self.store.applied))
    }
}

impl Handle {
    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// The protocol's name.
    pub fn protocol(&self) -> &'static str {
        self.shared.protocol
    }

    /// The cluster's name.
    pub fn cluster_name(&self) -> &str {
        &self.shared.cluster_name
    }

    /// The cluster's identity.
    pub fn cluster_id(&self) -> u64 {
        self.shared.cluster_id
    }

    /// All members of the cluster.
    pub fn members(&self) -> &[Member] {
        &self.shared.members
    }

    /// Which life of the node this is.
    pub fn incarnation(&self) -> u64 {
        self.shared.incarnation
    }

    /// Whether faults may be set.
    pub fn laboratory(&self) -> bool {
        self.shared.laboratory
    }

    /// Orders a command and waits until this node has executed it, or the protocol rejects it.
    pub async fn execute(&self, command: &kv::Command) -> Result<Answer, NodeError> {
        let (reply, answer) = self.admit()?;
        let counter = self.shared.next_command.fetch_add(1, Ordering::Relaxed) + 1;
        let id = RequestId { origin: self.shared.id, incarnation: self.shared.incarnation, counter };
        let proposal =
            Proposal { id, time: wall_time(), command: crate::consensus::Encode::to_bytes(command) };
        self.ask(Request::Propose(proposal, reply))?;
        answer.await.unwrap_or(Err(NodeError::Stopped))
    }

    /// Reads linearizably: sees every write that was acknowledged by any node before the call. `op` must not write.
    /// Where clients count votes, the read takes its place in the order, as a command that changes nothing.
    pub async fn read(&self, op: kv::Op) -> Result<Answer, NodeError> {
        if self.shared.answers == Answers::ByVote {
            return self.execute(&kv::Command { session: None, op }).await;
        }
        let (reply, answer) = self.admit()?;
        self.ask(Request::Read(self.next_read(), op, reply))?;
        // The protocol rejects a read that gets no point. One that has it waits for the store, which a node that was cut
        // off in between lets wait for as long.
        let patience = self.shared.request_timeout + READ_GRACE;
        match tokio::time::timeout(patience, answer).await {
            Ok(answer) => answer.unwrap_or(Err(NodeError::Stopped)),
            Err(_) => Err(rejected(RejectReason::TimedOut)),
        }
    }

    /// Reads this node's store as it is, which may be behind. `op` must not write.
    pub async fn read_serializable(&self, op: kv::Op) -> Result<Answer, NodeError> {
        let (reply, answer) = self.admit()?;
        let work = ExecutorWork::Read { id: self.next_read(), op, at: Index::ZERO };
        self.shared.store.send(ToStore::Read { work, reply }).map_err(|_| NodeError::Stopped)?;
        answer.await.unwrap_or(Err(NodeError::Stopped))
    }

    fn admit(&self) -> Result<(Reply, Awaited), NodeError> {
        Reply::admit(&self.shared.permits).ok_or_else(|| rejected(RejectReason::TooManyRequests))
    }

    fn next_read(&self) -> ReadId {
        ReadId(self.shared.next_read.fetch_add(1, Ordering::Relaxed) + 1)
    }

    fn ask(&self, request: Request) -> Result<(), NodeError> {
        self.shared.requests.send(request).map_err(|_| NodeError::Stopped)
    }

    /// How the node is. With `digest`, at the cost of hashing what has changed.
    pub async fn status(&self, digest: bool) -> Result<NodeStatus, NodeError> {
        let (reply, status) = oneshot::channel();
        self.ask(Request::Status(reply))?;
        let (store_reply, store) = oneshot::channel();
        self.shared
            .store
            .send(ToStore::Status { digest, reply: store_reply })
            .map_err(|_| NodeError::Stopped)?;
        let Said { mut status, links, misbehaviour } = status.await.map_err(|_| NodeError::Stopped)?;
        let store = store.await.map_err(|_| NodeError::Stopped)?;
        status.applied = store.applied.0;
        let blocked = self.shared.links.blocked();
        if !blocked.is_empty() {
            let list: Vec<_> = blocked.iter().map(ToString::to_string).collect();
            status.why.insert(0, format!("partitioned from {}", list.join(", ")));
        }
        status.why.extend(self.shared.counters.slow_sync(self.shared.clock.now()));
        Ok(NodeStatus {
            status,
            store,
            counters: self.shared.counters.snapshot(),
            links,
            blocked,
            misbehaviour,
        })
    }

    /// How many bytes of the disk its data takes.
    pub async fn bytes_on_disk(&self) -> u64 {
        let dir = self.shared.data_dir.clone();
        // Only a runtime that ends keeps it from being counted.
        tokio::task::spawn_blocking(move || bytes_on_disk(&dir)).await.unwrap_or(0)
    }

    /// The pieces of evidence that the replica holds against others, each in its protocol's bytes.
    pub async fn evidence(&self) -> Result<Vec<Bytes>, NodeError> {
        let (reply, evidence) = oneshot::channel();
        self.ask(Request::Evidence(reply))?;
        evidence.await.map_err(|_| NodeError::Stopped)
    }

    /// Asks the replica, if it leads, to hand over to `to`, or to whom it chooses. Returns when it has been asked; the
    /// new leader shows in [`status`](Self::status).
    pub fn transfer_leadership(&self, to: Option<NodeId>) -> Result<(), NodeError> {
        self.ask(Request::TransferLeadership(to))
    }

    /// Makes the replica lie from now on, in place of how it lied before, or with `None` honest again. Returns when it has
    /// taken effect, or says why the protocol refuses it; then nothing has changed. Only for laboratories: the caller
    /// sees to that.
    pub async fn misbehave(&self, how: Option<Misbehaviour>) -> Result<Result<(), String>, NodeError> {
        let (reply, done) = oneshot::channel();
        self.ask(Request::Misbehave(how, reply))?;
        done.await.map_err(|_| NodeError::Stopped)
    }

    /// Cuts the node off from these peers, in both directions; from no others.
    pub fn set_blocked(&self, peers: &[NodeId]) {
        self.shared.links.set_blocked(peers.iter().copied());
    }

    /// Replaces what is wrong with what the node sends. Only for laboratories: the caller checks.
    pub fn set_link_rules(&self, rules: Vec<Rule>) {
        self.shared.links.set_rules(rules);
    }

    /// The peers that are blocked.
    pub fn blocked(&self) -> Vec<NodeId> {
        self.shared.links.blocked()
    }

    /// Sets the disk's fault, in place of the one that was there.
    pub fn set_disk_fault(&self, fault: DiskFault) {
        self.shared.disk.set(fault);
    }
}

/// What was not executed and will not be.
fn rejected(reason: RejectReason) -> NodeError {
    NodeError::Rejected(Rejection { reason, never_executed: true, leader: None })
}
