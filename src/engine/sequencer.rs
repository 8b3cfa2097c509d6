//! The stage that owns the protocol.

use std::collections::{BTreeMap, VecDeque};

use super::Ticket;
use super::archive::ArchiveWork;
use super::executor::{ExecutorWork, Installed};
use super::logger::LogWork;
use crate::consensus::{
    Checked, Decode, Digest, Encode, Index, Input, InstallProgress, Lsn, Misbehaviour, NodeId, Outcome,
    Output, Pressure, Proposal, Protocol, ReadId, Recall, RejectReason, Rejection, RequestId, SnapshotMeta,
    SnapshotPiece, Status, Time,
};
use crate::kv;

/// Bytes of records that may wait to become durable before proposals are refused: a few of the largest batches, so
/// that a slow disk is noticed by clients as an error and not by the machine as memory.
const MAX_UNDURABLE_BYTES: usize = 32 << 20;

/// Bytes of commands that may wait to be executed before proposals are refused.
const MAX_UNEXECUTED_BYTES: usize = 64 << 20;

/// What happens to the sequencer.
#[derive(Debug)]
pub enum Event<P: Protocol> {
    /// A peer's message arrived, checked.
    Message {
        /// Who sent it.
        from: NodeId,
        /// The message.
        message: Checked<P::Message>,
    },
    /// Clients want commands executed: all that were waiting.
    Propose(Vec<Proposal>),
    /// Clients want linearizable reads: all that were waiting.
    Read(Vec<(ReadId, kv::Op)>),
    /// The deadline may have come.
    Timeout,
    /// The log is durable up to here.
    Durable(Lsn),
    /// The log has room, or none.
    Storage(Pressure),
    /// The store has executed.
    Applied {
        /// Up to here.
        index: Index,
        /// What it answered, where the protocol carries the answers.
        outcomes: Vec<(RequestId, Outcome)>,
    },
    /// What the store knows of requests that were asked about.
    Recalled(Vec<(RequestId, Recall)>),
    /// A checkpoint has its digest, and the archive keeps its state.
    Checkpointed {
        /// Of which index.
        index: Index,
        /// The digest.
        digest: Digest,
    },
    /// A state of this replica is on disk as a snapshot.
    Saved(SnapshotMeta),
    /// A piece that was asked for.
    Piece(SnapshotPiece),
    /// How far a snapshot that is being received has come, short of its end.
    Install(InstallProgress),
    /// A received snapshot is the store's state now.
    Installed(Installed),
    /// The operator wants another leader.
    TransferLeadership(Option<NodeId>),
}

/// What the sequencer wants done. The caller empties it; everything in one list is in order.
#[derive(Debug)]
pub struct Effects<P: Protocol> {
    /// For the logger.
    pub log: LogWork,
    /// Leaves now.
    pub send: Vec<(NodeId, P::Message)>,
    /// For the executor.
    pub execute: Vec<ExecutorWork>,
    /// For the archive.
    pub archive: Vec<ArchiveWork>,
    /// Clients whose requests enough nodes answered alike, where clients count votes.
    pub answered: Vec<(Ticket, kv::Reply)>,
    /// Clients whose requests get no answer.
    pub rejected: Vec<(Ticket, Rejection)>,
    /// What happened, for traces.
    pub trace: Vec<crate::consensus::Event>,
}

impl<P: Protocol> Default for Effects<P> {
    fn default() -> Self {
        Self {
            log: LogWork::default(),
            send: Vec::new(),
            execute: Vec::new(),
            archive: Vec::new(),
            answered: Vec::new(),
            rejected: Vec::new(),
            trace: Vec::new(),
        }
    }
}

/// Owns the protocol, and whatever waits for the log or for a read point.
#[derive(Debug)]
pub struct Sequencer<P: Protocol> {
    protocol: P,
    out: Output<P>,
    /// The latest time seen; the protocol's clock never goes backward.
    now: Time,
    /// The last record given to the logger.
    last_lsn: Lsn,
    durable: Lsn,
    /// Messages that wait for the log, by what they wait for.
    held: BTreeMap<Lsn, Vec<(NodeId, P::Message)>>,
    undurable: Backlog<Lsn>,
    unexecuted: Backlog<Index>,
    /// The last slot given to the executor.
    committed: Index,
    /// Linearizable reads without a read point yet.
    reads: BTreeMap<ReadId, kv::Op>,
    /// What the logger says of the disk.
    room: Pressure,
    /// What the protocol was last told.
    pressure: Pressure,
}

impl<P: Protocol> Sequencer<P> {
    /// Wraps a recovered protocol whose log is durable up to `durable` and whose store is at `applied`.
    pub(super) fn new(protocol: P, now: Time, durable: Lsn, applied: Index) -> Self {
        Self {
            protocol,
            out: Output::default(),
            now,
            last_lsn: durable,
            durable,
            held: BTreeMap::new(),
            undurable: Backlog::default(),
            unexecuted: Backlog::default(),
            committed: applied,
            reads: BTreeMap::new(),
            room: Pressure::Ok,
            pressure: Pressure::Ok,
        }
    }

    /// When [`Event::Timeout`] is due if nothing else happens first.
    pub fn deadline(&self) -> Option<Time> {
        self.protocol.deadline()
    }

    /// How the replica sees itself and the cluster.
    pub fn status(&self) -> Status {
        self.protocol.status()
    }

    /// Makes the replica lie from its next event on, or honest again. Refused, it goes on as before.
    pub fn misbehave(&mut self, misbehaviour: Option<Misbehaviour>) -> Result<(), String> {
        self.protocol.misbehave(misbehaviour)
    }

    /// The protocol, for invariants and tests.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// The log is durable up to here, as far as this stage has heard.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// So many messages of a peer were refused before they came here.
    pub fn note_refused(&mut self, now: Time, from: NodeId, count: u64) {
        self.now = self.now.max(now);
        self.protocol.note_refused(self.now, from, count);
    }

    /// Takes one event and appends what follows from it to `effects`.
    pub fn handle(&mut self, now: Time, event: Event<P>, effects: &mut Effects<P>) {
        self.now = self.now.max(now);
        let input = match event {
            Event::Message { from, message } => Input::Message { from, message },
            Event::Propose(proposals) => Input::Propose(proposals),
            Event::Read(reads) => self.on_read(reads),
            Event::Timeout => Input::Timeout,
            Event::Durable(lsn) => self.on_durable(lsn, effects),
            Event::Storage(room) => {
                self.room = room;
                return self.update_pressure(effects);
            }
            Event::Applied { index, outcomes } => {
                self.unexecuted.settle(index);
                Input::Applied { index, outcomes }
            }
            Event::Recalled(requests) => Input::Recalled(requests),
            Event::Checkpointed { index, digest } => Input::Checkpointed { index, digest },
            Event::Saved(meta) => Input::Saved(meta),
            Event::Piece(piece) => Input::Piece(piece),
            Event::Install(progress) => Input::Install(progress),
            Event::Installed(installed) => self.on_installed(installed),
            Event::TransferLeadership(to) => Input::TransferLeadership(to),
        };
        self.feed(input, effects);
        self.update_pressure(effects);
    }

    fn on_read(&mut self, reads: Vec<(ReadId, kv::Op)>) -> Input<P::Message> {
        let ids = reads.iter().map(|(id, _)| *id).collect();
        self.reads.extend(reads);
        Input::Read(ids)
    }

    /// Invariant 1: what waited for the log up to `lsn` leaves now, and nothing else.
    fn on_durable(&mut self, lsn: Lsn, effects: &mut Effects<P>) -> Input<P::Message> {
        assert!(
            self.durable <= lsn && lsn <= self.last_lsn,
            "durable up to {lsn}, but it was {} before and {} was written last",
            self.durable,
            self.last_lsn
        );
        self.durable = lsn;
        self.undurable.settle(lsn);
        let later = self.held.split_off(&lsn.next());
        effects.send.extend(std::mem::replace(&mut self.held, later).into_values().flatten());
        Input::Durable(lsn)
    }

    /// A snapshot that replaced the store also replaced the slots up to its index; one that repaired it, those beyond as
    /// well: the protocol hands them out again.
    fn on_installed(&mut self, Installed { meta, repair }: Installed) -> Input<P::Message> {
        if repair {
            self.committed = meta.index;
            self.unexecuted = Backlog::default();
        } else {
            self.committed = self.committed.max(meta.index);
            self.unexecuted.settle(meta.index);
        }
        Input::Install(InstallProgress::Done(meta))
    }

    fn feed(&mut self, input: Input<P::Message>, effects: &mut Effects<P>) {
        self.protocol.handle(self.now, input, &mut self.out);
        self.take_records(effects);
        self.take_messages(effects);
        self.take_committed(effects);
        self.take_recalls(effects);
        self.take_reads(effects);
        self.take_snapshots(effects);
        self.take_answers(effects);
        effects.rejected.extend(self.out.rejected.drain(..).map(|(id, why)| (Ticket::Command(id), why)));
        effects.trace.append(&mut self.out.trace);
    }

    /// Invariant 3, for records; invariant 5.
    fn take_records(&mut self, effects: &mut Effects<P>) {
        for (lsn, record) in self.out.records.drain(..) {
            assert_eq!(lsn, self.last_lsn.next(), "a record's number does not follow the one before");
            self.last_lsn = lsn;
            let bytes = record.to_bytes();
            self.undurable.add(lsn, bytes.len());
            effects.log.records.push((lsn, bytes));
        }
        if let Some(retain_from) = self.out.retain_from.take() {
            effects.log.retain_from = Some(retain_from);
        }
        effects.log.probe |= std::mem::take(&mut self.out.probe);
    }

    /// Invariant 1.
    fn take_messages(&mut self, effects: &mut Effects<P>) {
        for outgoing in self.out.messages.drain(..) {
            assert!(outgoing.after <= self.last_lsn, "a message waits for a record that was never written");
            if outgoing.after <= self.durable {
                effects.send.push((outgoing.to, outgoing.message));
            } else {
                self.held.entry(outgoing.after).or_default().push((outgoing.to, outgoing.message));
            }
        }
    }

    /// Invariant 3, for slots.
    fn take_committed(&mut self, effects: &mut Effects<P>) {
        if self.out.committed.is_empty() {
            return;
        }
        let slots = std::mem::take(&mut self.out.committed);
        for slot in &slots {
            assert_eq!(slot.index, self.committed.next(), "a committed slot does not follow the one before");
            self.committed = slot.index;
            self.unexecuted
                .add(slot.index, slot.proposals.iter().map(|proposal| proposal.command.len()).sum());
        }
        effects.execute.push(ExecutorWork::Commit(slots));
    }

    /// Asked behind the slots of the same output: the answer takes them into account.
    fn take_recalls(&mut self, effects: &mut Effects<P>) {
        if !self.out.recall.is_empty() {
            effects.execute.push(ExecutorWork::Recall(std::mem::take(&mut self.out.recall)));
        }
    }

    fn take_reads(&mut self, effects: &mut Effects<P>) {
        for (id, point) in self.out.reads.drain(..) {
            let Some(op) = self.reads.remove(&id) else { continue };
            match point {
                Ok(at) => effects.execute.push(ExecutorWork::Read { id, op, at }),
                Err(rejection) => effects.rejected.push((Ticket::Read(id), rejection)),
            }
        }
    }

    fn take_snapshots(&mut self, effects: &mut Effects<P>) {
        if let Some(index) = self.out.checkpoint.take() {
            assert_eq!(index, self.committed, "a checkpoint is of the last slot that was handed out");
            effects.execute.push(ExecutorWork::Checkpoint(index));
        }
        effects.archive.extend(self.out.save.take().map(ArchiveWork::Save));
        effects.archive.extend(self.out.release.take().map(ArchiveWork::Release));
        effects.archive.extend(self.out.pieces.drain(..).map(ArchiveWork::Read));
        effects.archive.extend(self.out.install.drain(..).map(ArchiveWork::Receive));
    }

    /// What enough nodes answered. That they did does not make it a reply: if it is none, all that is known is that the
    /// command was executed.
    fn take_answers(&mut self, effects: &mut Effects<P>) {
        for (id, bytes) in self.out.answers.drain(..) {
            let ticket = Ticket::Command(id);
            if let Ok(reply) = kv::Reply::from_bytes(bytes) {
                effects.answered.push((ticket, reply));
            } else {
                let (reason, leader) = (RejectReason::TimedOut, None);
                effects.rejected.push((ticket, Rejection { reason, never_executed: false, leader }));
            }
        }
    }

    /// Tells the protocol when the disk's condition has changed.
    fn update_pressure(&mut self, effects: &mut Effects<P>) {
        let behind =
            self.undurable.bytes > MAX_UNDURABLE_BYTES || self.unexecuted.bytes > MAX_UNEXECUTED_BYTES;
        let pressure = match self.room {
            Pressure::Ok if behind => Pressure::Slow,
            room => room,
        };
        if pressure != self.pressure {
            self.pressure = pressure;
            self.feed(Input::Storage(pressure), effects);
        }
    }
}

/// What was handed on and has not come back yet, in bytes.
#[derive(Debug)]
struct Backlog<K> {
    items: VecDeque<(K, usize)>,
    bytes: usize,
}

impl<K> Default for Backlog<K> {
    fn default() -> Self {
        Self { items: VecDeque::new(), bytes: 0 }
    }
}

impl<K: Ord + Copy> Backlog<K> {
    fn add(&mut self, key: K, bytes: usize) {
        self.items.push_back((key, bytes));
        self.bytes += bytes;
    }

    fn settle(&mut self, up_to: K) {
        while self.items.front().is_some_and(|(key, _)| *key <= up_to) {
            self.bytes -= self.items.pop_front().map_or(0, |(_, bytes)| bytes);
        }
    }
}
