//! The stage that owns the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Ticket;
use super::archive::{ArchiveWork, Kept};
use crate::consensus::{
    Answers, Committed, Digest, Epoch, Index, NodeId, Outcome, Proposal, ReadId, Recall, RequestId,
    SnapshotMeta,
};
use crate::kv::{Answered, KvError, Op, Reply, Response, Store};

/// What the executor is given, in order.
#[derive(Debug)]
pub enum ExecutorWork {
    /// Slots to execute.
    Commit(Vec<Committed>),
    /// A read, to be served once the store is at `at`; at once for [`Index::ZERO`].
    Read {
        /// Who waits.
        id: ReadId,
        /// A range or a transaction without writes.
        op: Op,
        /// The read point.
        at: Index,
    },
    /// A digest is wanted of the state at this index, which is the last one executed, and the state is to be kept.
    Checkpoint(Index),
    /// What is known of these requests?
    Recall(Vec<RequestId>),
    /// A snapshot that was received, durable and checked: it replaces the store.
    Replace {
        /// What it is of.
        meta: SnapshotMeta,
        /// The store it holds.
        store: Box<Store>,
        /// It replaces the store even if that has executed further: what it executed was wrong.
        repair: bool,
    },
}

/// What came of the executor's work.
#[derive(Debug, Default)]
pub struct Executed {
    /// Answers for those who wait at this node.
    pub answers: Vec<(Ticket, Reply)>,
    /// Reads whose point is reached and that may take long, to be answered beside what follows.
    pub queries: Vec<Query>,
    /// Commands of this node's clients that were in the order again after they had been executed, or may have been. The
    /// store has no answer; whoever still waits for one (its execution came with a snapshot) cannot learn the outcome.
    pub unanswered: Vec<Ticket>,
    /// The store has executed up to here, if it executed anything.
    pub applied: Option<Index>,
    /// What it answered to each proposal, in order, where the protocol carries the answers.
    pub outcomes: Vec<(RequestId, Outcome)>,
    /// What is known of the requests that were asked about, if any were.
    pub recalled: Vec<(RequestId, Recall)>,
    /// A checkpoint's digest is known. Tell the protocol only after the archive has what is in `archive`: it may want
    /// the state saved next.
    pub checkpointed: Option<(Index, Digest)>,
    /// States to keep, or to forget.
    pub archive: Vec<ArchiveWork>,
    /// A received snapshot is the state now.
    pub installed: Option<Installed>,
}

/// A read, with the state that it sees: the store goes on meanwhile.
#[derive(Debug)]
pub struct Query {
    /// Who waits.
    pub id: ReadId,
    op: Op,
    store: Store,
}

impl Query {
    /// Reads.
    pub fn answer(&self) -> Reply {
        query(&self.store, &self.op)
    }
}

/// A received snapshot is the state now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// What it is of.
    pub meta: SnapshotMeta,
    /// The store may have gone back to it.
    pub repair: bool,
}

/// How the store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreStatus {
    /// The last slot executed.
    pub applied: Index,
    /// The digest of the state at that slot, if it was asked for.
    pub digest: Option<Digest>,
    /// The store's revision.
    pub revision: i64,
    /// Bytes of keys and values, old revisions included.
    pub bytes: u64,
}

/// Executes what is committed and serves reads at their read point.
#[derive(Debug)]
pub struct Executor {
    store: Store,
    /// Who answers clients: this stage, or the protocol once it knows enough equal answers.
    answers: Answers,
    /// A repair took the store back. What was handed out before lies ahead of it and is passed over, until the slot
    /// comes that follows.
    repaired: bool,
    /// Whose commands are answered here: this node, in this life.
    origin: (NodeId, u64),
    members: Vec<NodeId>,
    /// The epoch of the last slot executed.
    epoch: Epoch,
    /// About how large the pieces of a state are.
    piece_bytes: usize,
    /// Reads whose read point is not reached yet.
    reads: BTreeMap<(Index, ReadId), Op>,
}

impl Executor {
    pub(super) fn new(
        store: Store,
        answers: Answers,
        origin: (NodeId, u64),
        members: Vec<NodeId>,
        epoch: Epoch,
        piece_bytes: usize,
    ) -> Self {
        Self { store, answers, repaired: false, origin, members, epoch, piece_bytes, reads: BTreeMap::new() }
    }

    /// Does one piece of work and appends what came of it to `done`.
    pub fn handle(&mut self, work: ExecutorWork, done: &mut Executed) {
        match work {
            ExecutorWork::Commit(slots) => self.commit(&slots, done),
            ExecutorWork::Read { id, op, at } if at <= self.store.applied() => self.read(id, op, done),
            ExecutorWork::Read { id, op, at } => {
                self.reads.insert((at, id), op);
            }
            ExecutorWork::Checkpoint(index) => self.checkpoint(index, done),
            ExecutorWork::Recall(ids) => {
                done.recalled.extend(ids.into_iter().map(|id| (id, self.store.recall(id))));
            }
            ExecutorWork::Replace { meta, store, repair } => {
                self.replace(Installed { meta, repair }, *store, done);
            }
        }
    }

    /// Invariant 4: slots that a snapshot has brought already are passed over.
    fn commit(&mut self, slots: &[Committed], done: &mut Executed) {
        for slot in slots {
            let next = self.store.applied().next();
            if self.repaired && slot.index > next {
                continue; // Handed out before the repair: it will come again, behind those that are missing.
            }
            self.repaired &= slot.index != next;
            let answered = if slot.index < next {
                slot.proposals.iter().map(|proposal| (proposal.id, self.answered(proposal))).collect()
            } else {
                self.epoch = slot.epoch;
                self.store.apply(slot)
            };
            self.answer(answered, done);
        }
        self.moved(done);
    }

    /// What is known of a proposal whose slot was executed before it came here.
    fn answered(&self, proposal: &Proposal) -> Answered {
        match self.store.recall(proposal.id) {
            Recall::Executed(Outcome::Answered(bytes)) => Answered::Before(bytes),
            Recall::Executed(Outcome::Forgotten) | Recall::NotExecuted => Answered::Forgotten,
        }
    }

    /// Answers this node's own commands of a slot, or tells the protocol the outcome of all.
    fn answer(&self, answered: Vec<(RequestId, Answered)>, done: &mut Executed) {
        for (id, answered) in answered {
            match (self.answers, answered) {
                (Answers::ByVote, answered) => done.outcomes.push((id, answered.into_outcome())),
                (Answers::ByNode, _) if (id.origin, id.incarnation) != self.origin => {}
                (Answers::ByNode, Answered::Now { reply, .. }) => {
                    done.answers.push((Ticket::Command(id), reply));
                }
                (Answers::ByNode, _) => done.unanswered.push(Ticket::Command(id)),
            }
        }
    }

    /// The store has moved on: says so, and serves the reads whose point is reached.
    fn moved(&mut self, done: &mut Executed) {
        let applied = self.store.applied();
        done.applied = Some(applied);
        let later = self.reads.split_off(&(applied.next(), ReadId::ZERO));
        for ((_, id), op) in std::mem::replace(&mut self.reads, later) {
            self.read(id, op, done);
        }
    }

    /// Answers a read whose point is reached if it takes no longer than handing it on would, and hands it on if it may.
    fn read(&self, id: ReadId, op: Op, done: &mut Executed) {
        if op.reads_one_key() {
            done.answers.push((Ticket::Read(id), query(&self.store, &op)));
        } else {
            done.queries.push(Query { id, op, store: self.store.clone() });
        }
    }

    fn checkpoint(&mut self, index: Index, done: &mut Executed) {
        let applied = self.store.applied();
        if index < applied || (self.repaired && index > applied) {
            return; // A snapshot from a peer has overtaken it, or taken the store back.
        }
        assert_eq!(index, applied, "a checkpoint is of the last slot executed");
        let frozen = Arc::new(self.store.freeze_in(self.piece_bytes));
        done.checkpointed = Some((index, frozen.digest()));
        done.archive.push(ArchiveWork::Keep(Kept {
            epoch: self.epoch,
            members: self.members.clone(),
            frozen,
        }));
    }

    /// Invariant 4: a snapshot never takes the store back, unless the store is known to be wrong.
    fn replace(&mut self, installed: Installed, store: Store, done: &mut Executed) {
        let Installed { meta, repair } = &installed;
        if *repair {
            self.repaired |= meta.index < self.store.applied();
            done.archive.push(ArchiveWork::Discard);
        }
        if *repair || meta.index > self.store.applied() {
            self.epoch = meta.epoch;
            self.members.clone_from(&meta.members);
            self.store = store;
        }
        done.installed = Some(installed);
        self.moved(done);
    }

    /// How the store is; computing the digest costs work in proportion to what changed since it was last computed.
    pub fn status(&mut self, with_digest: bool) -> StoreStatus {
        StoreStatus {
            applied: self.store.applied(),
            digest: with_digest.then(|| self.store.digest()),
            revision: self.store.revision(),
            bytes: self.store.bytes(),
        }
    }

    /// The store, for invariants and tests.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// Reads from the store as it is.
fn query(store: &Store, op: &Op) -> Reply {
    match op {
        Op::Range(request) => store.range(request).map(Response::Range),
        Op::Txn(request) if op.is_read_only() => store.peek(request),
        Op::Txn(_) | Op::Put(_) | Op::DeleteRange(_) | Op::Compact(_) | Op::OpenSession => {
            Err(KvError::Malformed)
        }
    }
}
