//! What a protocol brings to be simulated.

use super::dice::Dice;
use crate::consensus::{Committed, Lsn, NodeId, Outcome, Proposal, Protocol, RequestId, SnapshotMeta};

/// A promise that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The invariant's name, as the documentation lists it.
    pub invariant: &'static str,
    /// What was seen, and where.
    pub detail: String,
}

impl Violation {
    /// A broken invariant.
    pub fn new(invariant: &'static str, detail: impl Into<String>) -> Self {
        Self { invariant, detail: detail.into() }
    }
}

/// The result of a step.
pub type Checked<T = ()> = Result<T, Violation>;

/// A protocol that can be simulated: its settings for that, its words for traces, and the invariants that hold between
/// its replicas.
pub trait Simulated: Protocol {
    /// What watches the protocol's invariants over all nodes of a run.
    type Watch: Watch<Self>;

    /// How many nodes a run has unless it is told: one of these.
    const SIZES: &'static [usize];

    /// The [behaviours](Protocol::BEHAVIOURS) from which a run draws that of its adversary: those that the protocol
    /// tolerates.
    const LIES: &'static [&'static str] = &[];

    /// How large the segments of logs are with so many nodes, in KiB: one of these. Few records fit into the small ones, so that what is
    /// dropped too early, or kept too long, soon shows; the largest record must.
    fn segments_kib(nodes: usize) -> &'static [u64];

    /// How long the archive takes at most over a piece of a snapshot where it is slow, in microseconds: so that the log
    /// grows meanwhile, and the archive still gets all its work done.
    const SLOW_PIECE_US: u64 = 300_000;

    /// How many bytes of records may wait to become durable at a node, however long its disk stalls; none if the limit is
    /// far above what a run writes.
    fn most_undurable(_options: &Self::Options, _nodes: usize) -> Option<usize> {
        None
    }

    /// How many of so many nodes may be faulty at a time: all others are served, and what they agree on holds.
    fn tolerates(nodes: usize) -> usize;

    /// Settings with small limits, so that snapshots, refusals and full windows happen often.
    fn small_options(dice: &mut Dice) -> Self::Options;

    /// A message in words, for traces.
    fn describe(message: &Self::Message) -> String;

    /// A record in words, for traces.
    fn describe_record(record: &Self::Record) -> String;

    /// Whether the replica leads, as it sees itself. Asked after every step: cheap.
    fn leads(&self) -> bool;
}

/// Watches the protocol's invariants: told of every effect of every node, it keeps what it needs to judge the next one,
/// so that a step costs what the step touched.
pub trait Watch<P: Protocol>: Send {
    /// Begins, with all nodes empty. It hears nothing of what `liars` do: no promise binds them.
    fn new(members: &[NodeId], liars: &[NodeId]) -> Self;

    /// The node's protocol gave a record to the log; it is not durable yet.
    fn wrote(&mut self, node: NodeId, lsn: Lsn, record: P::Record) -> Checked;

    /// The node's log is durable up to there, as the node was told.
    fn durable(&mut self, node: NodeId, up_to: Lsn) -> Checked;

    /// A snapshot is durable at the node: its own, or one that it received.
    fn snapshot(&mut self, node: NodeId, meta: &SnapshotMeta);

    /// A message leaves the node.
    fn sent(&mut self, node: NodeId, to: NodeId, message: &P::Message) -> Checked;

    /// A message passed the node's check, and is taken in the next step: also one of a liar.
    fn arrived(&mut self, _node: NodeId, _message: &P::Message) {}

    /// The node hands a slot to its store.
    fn committed(&mut self, node: NodeId, slot: &Committed) -> Checked;

    /// Clients of the node want these commands ordered.
    fn proposed(&mut self, _node: NodeId, _proposals: &[Proposal]) {}

    /// The node's store has executed these, with these outcomes, of a protocol whose clients count votes.
    fn executed(&mut self, _node: NodeId, _outcomes: &[(RequestId, Outcome)]) -> Checked {
        Ok(())
    }

    /// From now on the node counts as faulty: one digest of its own state is about to be wrong.
    fn struck(&mut self, _node: NodeId) {}

    /// The node's protocol took an input; `replica` is as it left it.
    fn stepped(&mut self, node: NodeId, replica: &P) -> Checked;

    /// The disk of a node that starts again held all records up to there: more than the node was told, perhaps. The rest
    /// is lost.
    fn found(&mut self, _node: NodeId, _up_to: Lsn) -> Checked {
        Ok(())
    }

    /// The node starts again, with what its disk held.
    fn restarted(&mut self, node: NodeId, replica: &P, snapshot: Option<&SnapshotMeta>) -> Checked;

    /// How many leaders there were.
    fn elections(&self) -> u64;
}
