//! The stage that owns the store.

use std::collections::BTreeMap;

use super::Ticket;
use super::archive::ArchiveWork;
use crate::consensus::{
    Committed, Digest, Epoch, Index, InstallProgress, NodeId, ReadId, RequestId, SnapshotMeta,
};
use crate::kv::{KvError, Op, Reply, Response, Store};

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
    /// A digest and a snapshot of the state at this index, which is the last one executed.
    Checkpoint(Index),
    /// A snapshot that was received, durable and checked: it replaces the store.
    Replace {
        /// What it is of.
        meta: SnapshotMeta,
        /// The store it holds.
        store: Box<Store>,
    },
}

/// What came of the executor's work.
#[derive(Debug, Default)]
pub struct Executed {
    /// Answers for those who wait at this node.
    pub answers: Vec<(Ticket, Reply)>,
    /// Commands of this node's clients that were in the order again after they had been executed, or may have been. The
    /// store has no answer; whoever still waits for one (its execution came with a snapshot) cannot learn the outcome.
    pub unanswered: Vec<Ticket>,
    /// The store has executed up to here, if it executed anything.
    pub applied: Option<Index>,
    /// A checkpoint's digest is known.
    pub checkpointed: Option<SnapshotMeta>,
    /// Snapshots to write.
    pub archive: Vec<ArchiveWork>,
    /// A received snapshot is the state now.
    pub installed: Option<InstallProgress>,
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
    /// Whose commands are answered here: this node, in this life.
    origin: (NodeId, u64),
    members: Vec<NodeId>,
    /// The epoch of the last slot executed.
    epoch: Epoch,
    /// Reads whose read point is not reached yet.
    reads: BTreeMap<(Index, ReadId), Op>,
}

impl Executor {
    pub(super) fn new(store: Store, origin: (NodeId, u64), members: Vec<NodeId>, epoch: Epoch) -> Self {
        Self { store, origin, members, epoch, reads: BTreeMap::new() }
    }

    /// Does one piece of work and appends what came of it to `done`.
    pub fn handle(&mut self, work: ExecutorWork, done: &mut Executed) {
        match work {
            ExecutorWork::Commit(slots) => self.commit(&slots, done),
            ExecutorWork::Read { id, op, at } if at <= self.store.applied() => {
                done.answers.push((Ticket::Read(id), query(&self.store, &op)));
            }
            ExecutorWork::Read { id, op, at } => {
                self.reads.insert((at, id), op);
            }
            ExecutorWork::Checkpoint(index) => self.checkpoint(index, done),
            ExecutorWork::Replace { meta, store } => self.replace(meta, *store, done),
        }
    }

    /// Invariant 4: slots that a snapshot has brought already are passed over.
    fn commit(&mut self, slots: &[Committed], done: &mut Executed) {
        for slot in slots {
            let mut replies = Vec::new();
            if slot.index > self.store.applied() {
                self.epoch = slot.epoch;
                replies = self.store.apply(slot);
            }
            self.answer(slot, replies, done);
        }
        self.moved(done);
    }

    /// Answers this node's own commands of a slot. `replies` are in its order, without those that were not executed.
    fn answer(&self, slot: &Committed, replies: Vec<(RequestId, Reply)>, done: &mut Executed) {
        let mut replies = replies.into_iter().peekable();
        for id in slot.proposals.iter().map(|proposal| proposal.id) {
            let reply = replies.next_if(|(answered, _)| *answered == id);
            if (id.origin, id.incarnation) != self.origin {
                continue;
            }
            match reply {
                Some((_, reply)) => done.answers.push((Ticket::Command(id), reply)),
                None => done.unanswered.push(Ticket::Command(id)),
            }
        }
    }

    /// The store has moved on: says so, and serves the reads whose point is reached.
    fn moved(&mut self, done: &mut Executed) {
        let applied = self.store.applied();
        done.applied = Some(applied);
        let later = self.reads.split_off(&(applied.next(), ReadId::ZERO));
        for ((_, id), op) in std::mem::replace(&mut self.reads, later) {
            done.answers.push((Ticket::Read(id), query(&self.store, &op)));
        }
    }

    fn checkpoint(&mut self, index: Index, done: &mut Executed) {
        if index < self.store.applied() {
            return; // A snapshot from a peer has overtaken it.
        }
        assert_eq!(index, self.store.applied(), "a checkpoint is of the last slot executed");
        let frozen = self.store.freeze();
        let meta = SnapshotMeta {
            index,
            epoch: self.epoch,
            members: self.members.clone(),
            digest: frozen.digest(),
            pieces: frozen.pieces(),
        };
        done.checkpointed = Some(meta.clone());
        done.archive.push(ArchiveWork::Save { meta, frozen: Box::new(frozen) });
    }

    /// Invariant 4: a snapshot never takes the store back.
    fn replace(&mut self, meta: SnapshotMeta, store: Store, done: &mut Executed) {
        if meta.index > self.store.applied() {
            self.epoch = meta.epoch;
            self.members.clone_from(&meta.members);
            self.store = store;
        }
        done.installed = Some(InstallProgress::Done(meta));
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
