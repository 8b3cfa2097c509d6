//! [`Replica`]: its state, and where each input goes.

use std::collections::{BTreeMap, VecDeque};

use super::Pbft;
use super::checkpoint::Checkpoints;
use super::client::Client;
use super::disk::Disk;
use super::dispute::Disputes;
use super::evidence::{Book, Memory};
use super::fetch::Fetches;
use super::message::{Commit, Message, NewView, Prepare, Sequence, Signed, Status, View, ViewChange};
use super::options::Options;
use super::pace::Pace;
use super::pool::Pool;
use super::quorum::Quorum;
use super::record::Record;
use super::retransmit::Portion;
use super::signing::Signer;
use super::slot::Slot;
use super::suspicion::Suspicions;
use super::transfer::Transfer;
use super::view_change::ViewChanges;
use crate::consensus::{
    Checked, Event, Index, Input, Keys, Lsn, NodeId, Outgoing, Output, Role, SnapshotMeta, Time,
    VotingClient as _,
};

/// What a replica wants done.
pub(super) type Out = Output<Pbft>;

/// An honest PBFT replica.
#[derive(Debug)]
pub struct Replica {
    pub(super) id: NodeId,
    pub(super) quorum: Quorum,
    pub(super) options: Options,
    pub(super) signer: Signer,
    /// The time of the last input.
    pub(super) now: Time,
    pub(super) disk: Disk,
    /// Own votes that count once their records are durable.
    pub(super) votes: VecDeque<(Lsn, Vote)>,

    pub(super) view: View,
    /// Whether the view is installed here; else the replica has left the one before and waits for the NEW-VIEW.
    pub(super) active: bool,
    pub(super) view_changes: ViewChanges,
    /// The NEW-VIEW of the last view that was installed, for those who missed it, and its record. None in view 0.
    pub(super) new_view: Option<(Signed<NewView>, Lsn)>,

    /// What is known of the slots above `executed` or above the last stable checkpoint but one, whichever is lower, up to
    /// the high water mark.
    pub(super) slots: BTreeMap<Sequence, Slot>,
    /// The last slot that this replica proposed, as the primary of the view.
    pub(super) proposed: Sequence,
    /// The last slot that was handed to the store.
    pub(super) executed: Sequence,
    /// The last slot that the store has executed.
    pub(super) applied: Sequence,
    /// More decided slots are to be handed out, after the checkpoint that the last call asked for.
    pub(super) more: bool,

    pub(super) checkpoints: Checkpoints,
    pub(super) transfer: Option<Transfer>,
    pub(super) fetches: Fetches,

    pub(super) pool: Pool,
    pub(super) pace: Pace,
    pub(super) suspicions: Suspicions,
    pub(super) disputes: Disputes,
    /// Since when this replica can judge the primary: it hears a quorum, and is not far behind.
    pub(super) judges_since: Option<Time>,
    pub(super) keys: Keys,
    /// Acts for the callers of this node.
    pub(super) client: Client,

    pub(super) peers: BTreeMap<NodeId, Peer>,
    /// When the next STATUS is due.
    pub(super) status_due: Time,

    /// What others said, to notice when they contradict themselves.
    pub(super) memory: Memory,
    /// Who did.
    pub(super) evidence: Book,
}

/// An own vote whose record is on its way to the disk.
#[derive(Clone, Debug)]
pub(super) enum Vote {
    /// The primary's word for a slot.
    PrePrepare(Sequence),
    /// A backup's, for a PRE-PREPARE that it accepted.
    Prepare(Signed<Prepare>),
    /// For a certificate.
    Commit(Signed<Commit>),
    /// A CHECKPOINT.
    Checkpoint(Sequence),
    /// A VIEW-CHANGE.
    ViewChange(View),
}

/// What is known of another replica.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// What it last said of itself.
    pub(super) status: Option<Status>,
    /// When anything was last heard of it.
    pub(super) heard: Time,
    /// When it was heard again after it had been away.
    pub(super) returned: Option<Time>,
    /// When it was last sent what it lacks.
    pub(super) helped: Option<Time>,
    /// How many slots it is then helped with.
    pub(super) portion: Portion,
    /// How many batches it was given in this status interval.
    pub(super) batches: usize,
    /// How many pieces of a state are being read for it.
    pub(super) pieces: usize,
    /// It is fetching a state, or has fetched one and not come up to the last stable checkpoint since.
    pub(super) catches_up: bool,
}

impl Replica {
    /// Takes one input and appends what follows from it to `out`.
    pub(super) fn handle(&mut self, now: Time, input: Input<Message>, out: &mut Out) {
        self.now = self.now.max(now);
        self.count_room();
        match input {
            Input::Message { from, message } => {
                let before = out.trace.len();
                self.on_message(from, message, out);
                let ignored = |event: &Event| matches!(event, Event::Ignored { from: by, .. } if *by == from);
                self.note_traffic(from, out.trace[before..].iter().any(ignored));
            }
            Input::Propose(proposals) => self.on_propose(proposals, out),
            Input::Read(ids) => Self::on_read(&ids, out),
            Input::Timeout => {}
            Input::Durable(lsn) => self.on_durable(lsn, out),
            Input::Applied { index, outcomes } => self.on_applied(index, outcomes, out),
            Input::Recalled(recalled) => self.on_recalled(recalled, out),
            Input::Checkpointed { index, digest } => self.on_checkpointed(index.into(), digest, out),
            Input::Saved(meta) => self.on_saved(meta, out),
            Input::Piece(piece) => self.on_piece(piece, out),
            Input::Install(progress) => self.on_install(progress, out),
            Input::Storage(pressure) => self.disk.reported = pressure,
            Input::TransferLeadership(_) => out.trace.push(Event::Ignored {
                from: self.id,
                kind: "TransferLeadership",
                why: "the view alone decides who is the primary",
            }),
        }
        self.on_timers(out);
        self.hand_out(out);
        self.drop_needless_transfer(out);
        self.propose(out);
        self.count_room();
        self.assert_invariants();
    }

    fn on_message(&mut self, from: NodeId, message: Checked<Message>, out: &mut Out) {
        self.note_heard(from);
        self.observe(from, message.get(), out);
        if matches!(message.get(), Message::Reply(_)) {
            return self.on_reply(from, message, out);
        }
        match message.into_inner() {
            Message::Request(request) => self.on_request(from, request, out),
            Message::PrePrepare { pre_prepare, batch } => self.on_pre_prepare(from, pre_prepare, batch, out),
            Message::Prepare(prepare) => self.on_prepare(from, &prepare, out),
            Message::Commit(commit) => self.on_commit(from, &commit, out),
            Message::Checkpoint(checkpoint) => self.on_checkpoint(checkpoint, out),
            Message::Stable(stable) => self.on_stable(stable, out),
            Message::ViewChange(view_change) => self.on_view_change(from, view_change, out),
            Message::NewView(new_view) => self.on_new_view(from, new_view, out),
            Message::Status(status) => self.on_status(from, status.body, out),
            Message::FetchBatch(fetch) => self.on_fetch_batch(from, fetch, out),
            Message::Batch { sequence, batch } => self.on_batch(from, sequence, batch, out),
            Message::FetchState(fetch) => self.on_fetch_state(from, fetch, out),
            Message::State(state) => self.on_state(from, state, out),
            Message::Disputed(reply) => self.on_disputed(from, &reply, out),
            Message::Reply(_) | Message::Evidence(_) => {}
        }
    }

    /// Own votes count from here on, and not before (contract invariant 1).
    fn on_durable(&mut self, lsn: Lsn, out: &mut Out) {
        self.disk.on_durable(self.now, lsn);
        while let Some((_, vote)) = self.votes.pop_front_if(|(needed, _)| *needed <= lsn) {
            match vote {
                Vote::PrePrepare(sequence) => self.try_prepare(sequence, out),
                Vote::Prepare(prepare) => self.count_own_prepare(&prepare, out),
                Vote::Commit(commit) => self.count_own_commit(&commit, out),
                Vote::Checkpoint(sequence) => self.count_own_checkpoint(sequence, out),
                Vote::ViewChange(view) => self.count_own_view_change(view, out),
            }
        }
    }

    fn on_timers(&mut self, out: &mut Out) {
        self.drive_client(out);
        self.judge_or_not();
        self.on_request_timer(out);
        self.on_view_change_timer(out);
        self.on_transfer_timer(out);
        self.on_status_timer(out);
        self.judge_pace(out);
        // Last: each of the others may want the next view, whoever is its primary.
        self.leave_convicted_primary(out);
    }

    /// When the next timer is due.
    pub(super) fn deadline(&self) -> Option<Time> {
        if self.more {
            return Some(self.now);
        }
        let timers = [
            self.client.deadline(),
            self.request_deadline(),
            self.view_changes.deadline(),
            self.transfer.as_ref().and_then(Transfer::deadline),
            Some(self.status_due),
        ];
        timers.into_iter().flatten().min()
    }

    /// Writes a record, which whoever counts on it waits for.
    pub(super) fn write(&mut self, record: Record, out: &mut Out) -> Lsn {
        self.disk.write(self.now, record, &mut out.records)
    }

    /// Sends to one replica or client.
    pub(super) fn send(&self, to: NodeId, message: Message, after: Lsn, out: &mut Out) {
        out.messages.push(Outgoing { to, message, after: self.disk.after(after) });
    }

    /// Sends to all other replicas.
    pub(super) fn broadcast(&self, message: &Message, after: Lsn, out: &mut Out) {
        for to in self.quorum.members().iter().filter(|to| **to != self.id) {
            self.send(*to, message.clone(), after, out);
        }
    }

    /// Who is the primary of the current view.
    pub(super) fn primary(&self) -> NodeId {
        self.quorum.primary(self.view)
    }

    /// Against whom it holds evidence.
    pub(super) fn convicted(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.evidence.convicted()
    }

    /// Whether this replica is the primary of a view that is installed.
    pub(super) fn is_primary(&self) -> bool {
        self.active && self.primary() == self.id
    }

    /// h: the last stable checkpoint.
    pub(super) fn low_water_mark(&self) -> Sequence {
        self.checkpoints.stable().sequence()
    }

    /// H = h + L (TOCS §4.3).
    pub(super) fn high_water_mark(&self) -> Sequence {
        Sequence(self.low_water_mark().0 + self.options.window)
    }

    /// Whether messages about a slot are kept.
    pub(super) fn is_in_window(&self, sequence: Sequence) -> bool {
        self.low_water_mark() < sequence && sequence <= self.high_water_mark()
    }

    /// The slot, made if the window has it.
    pub(super) fn slot_mut(&mut self, sequence: Sequence) -> Option<&mut Slot> {
        self.is_in_window(sequence).then(|| self.slots.entry(sequence).or_default())
    }

    /// The slot, for COMMITs: made if the window has it, or if it is below and this replica has yet to execute it, be it
    /// soon or lately: who has fetched a state comes up to the others with what follows it.
    pub(super) fn slot_to_decide(&mut self, sequence: Sequence) -> Option<&mut Slot> {
        let lately = sequence.0 > self.low_water_mark().0.saturating_sub(self.options.window);
        let late = sequence > self.executed && sequence <= self.low_water_mark();
        let late = late && (lately || self.is_due_soon(sequence));
        (late || self.is_in_window(sequence)).then(|| self.slots.entry(sequence).or_default())
    }

    /// Whether a slot is among the next that are to be executed here.
    pub(super) fn is_due_soon(&self, sequence: Sequence) -> bool {
        self.executed < sequence && sequence.0 <= self.executed.0 + self.options.window
    }

    /// Below this nothing is kept.
    pub(super) fn floor(&self) -> Sequence {
        self.executed.min(self.checkpoints.kept())
    }

    /// Below this no evidence is looked for: there is nothing to decide any more, here by messages or elsewhere.
    pub(super) fn horizon(&self) -> Sequence {
        self.floor().max(Sequence(self.low_water_mark().0.saturating_sub(2 * self.options.window)))
    }

    /// The view that was installed here last.
    pub(super) fn installed_view(&self) -> View {
        self.new_view.as_ref().map_or(View::ZERO, |(new_view, _)| new_view.body.view)
    }

    /// The record that brought this replica to its view.
    pub(super) fn view_lsn(&self) -> Lsn {
        match (&self.new_view, self.active) {
            (_, false) => self.view_changes.own_lsn(),
            (Some((_, lsn)), true) => *lsn,
            (None, true) => Lsn::ZERO,
        }
    }

    /// What it is, in neutral words.
    pub(super) fn role(&self) -> Role {
        match (self.active, self.is_primary()) {
            (false, _) => Role::Candidate,
            (true, true) => Role::Leader,
            (true, false) => Role::Follower,
        }
    }

    /// Describes the state at a slot, as this replica would describe its own.
    pub(super) fn meta(
        &self,
        sequence: Sequence,
        digest: crate::consensus::Digest,
        pieces: u32,
    ) -> SnapshotMeta {
        let members = self.quorum.members().to_vec();
        SnapshotMeta { index: Index(sequence.0), epoch: super::EPOCH, members, digest, pieces }
    }

    /// Whether more requests wait than may, whatever others send; for whoever watches.
    pub(super) fn is_overfull(&self) -> bool {
        self.pool.is_overfull(&self.options)
    }

    fn assert_invariants(&self) {
        assert!(self.applied <= self.executed, "invariant 4: the store executed what it was not handed");
        assert!(
            !self.active || self.installed_view() == self.view,
            "invariant 3: who is in a view has its NEW-VIEW"
        );
        let first = self.slots.keys().next();
        assert!(
            first.is_none_or(|first| *first > self.floor()),
            "invariant 7: a slot is kept that is executed and that nobody needs"
        );
    }
}

impl Replica {
    /// The signed VIEW-CHANGE of this replica for the view that it waits for.
    pub(super) fn own_view_change(&self) -> Option<&Signed<ViewChange>> {
        if self.active { None } else { self.view_changes.own() }
    }
}
