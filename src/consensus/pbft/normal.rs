//! The normal case: PRE-PREPARE, PREPARE, COMMIT (TOCS §4.3).
//!
//! | phase | what it promises | what it takes |
//! |---|---|---|
//! | pre-prepared | this replica signs nothing else for the slot in this view | the primary's word, and the batch |
//! | prepared | nobody can prepare anything else for the slot in this view | PREPAREs of Q - 1 backups |
//! | decided | no later view can hold anything else in the slot | COMMITs of Q replicas |

use super::message::{Batch, Commit, Message, PrePrepare, Prepare, Sequence, Signed, View};
use super::record::Record;
use super::replica::{Out, Replica, Vote};
use super::slot::{Accepted, Slot};
use super::suspicion::Suspect;
use crate::consensus::{Committed, Digest, Event, Index, NodeId, Pressure, Proposal, RequestId};

impl Replica {
    /// The primary proposes what waits: as many slots as may be under way, each with all that fits (no timer makes a
    /// batch wait for more).
    pub(super) fn propose(&mut self, out: &mut Out) {
        while self.may_propose() {
            let batch = self.pool.next_batch(&self.options);
            if batch.is_null() {
                return;
            }
            let said = PrePrepare {
                view: self.view,
                sequence: self.proposed.next(),
                digest: batch.digest(),
                replica: self.id,
            };
            self.proposed = said.sequence;
            let pre_prepare = self.signer.sign(said);
            self.accept(pre_prepare, batch, out);
        }
    }

    fn may_propose(&self) -> bool {
        self.is_primary()
            && self.disk.pressure() == Pressure::Ok
            && self.proposed < self.high_water_mark()
            && self.proposed.0.saturating_sub(self.executed.0) < self.options.max_in_flight
    }

    pub(super) fn on_pre_prepare(
        &mut self,
        from: NodeId,
        pre_prepare: Signed<PrePrepare>,
        batch: Batch,
        out: &mut Out,
    ) {
        let said = pre_prepare.body;
        let ignore = |why, out: &mut Out| out.trace.push(Event::Ignored { from, kind: "PrePrepare", why });
        if said.view < self.view || said.replica == self.id {
            return self.keep_wanted_batch(said.sequence, said.digest, batch, out);
        }
        let (view, in_view) = (self.view, self.active && said.view == self.view);
        if self.disk.pressure().is_full() {
            return ignore("the disk is full", out);
        }
        if self.disk.is_behind() {
            return ignore("the disk does not keep up", out);
        }
        if said.sequence <= self.low_water_mark() {
            // Nobody votes there any more, but the batch may be what is missing to execute it.
            return self.keep_wanted_batch(said.sequence, said.digest, batch, out);
        }
        let Some(slot) = self.slot_mut(said.sequence) else {
            return ignore("its slot is outside the watermarks", out);
        };
        if slot.accepted_in(said.view).is_some() {
            if slot.accepted_in(said.view).is_some_and(|kept| kept.pre_prepare.body.digest != said.digest) {
                ignore("the primary proposed something else for the slot before", out);
            }
            return;
        }
        let first = slot.early.map(|early| early.body).filter(|early| early.view == said.view);
        if first.is_some_and(|first| first.digest != said.digest) {
            return ignore("the primary proposed something else for the slot before", out);
        }
        let holds = !batch.is_null() || said.digest == Batch::default().digest();
        if in_view && (holds || slot.batch(&said.digest).is_some()) {
            if holds {
                slot.keep_batch(said.digest, batch);
            }
            return self.accept_known(pre_prepare, out);
        }
        // Its view, or its batch, is still to come. Of the current view the first is kept, since a second is a lie; of
        // later views the one that came first, since the others will be sent again when they are needed.
        let kept = slot.early.as_ref().map(|early| early.body.view);
        if kept.is_none_or(|kept| kept < view || in_view && kept > view) {
            slot.early = Some(pre_prepare);
            // Batches of views that nobody is entering would only fill memory: every replica is a later primary.
            if holds && said.view == view {
                slot.keep_batch(said.digest, batch);
            }
            slot.forget_unnamed();
            if in_view {
                self.fetch_batch(said.sequence, said.digest, from, out);
            }
        }
    }

    /// Accepts a PRE-PREPARE of the current view whose batch is here.
    pub(super) fn accept_known(&mut self, pre_prepare: Signed<PrePrepare>, out: &mut Out) {
        let said = pre_prepare.body;
        let Some(batch) = self.slots.get(&said.sequence).and_then(|slot| slot.batch(&said.digest)) else {
            return;
        };
        let batch = batch.clone();
        self.accept(pre_prepare, batch, out);
    }

    /// Stands by a PRE-PREPARE of the current view: from now on this replica signs nothing else for the slot in this view.
    fn accept(&mut self, pre_prepare: Signed<PrePrepare>, batch: Batch, out: &mut Out) {
        let said = pre_prepare.body;
        assert!(self.active && said.view == self.view, "a PRE-PREPARE is accepted in its own view");
        let Some(slot) = self.slot_mut(said.sequence) else { return };
        if slot.decided.is_some_and(|decided| decided != said.digest) {
            // Only with more than f liars: this replica will not be one of them.
            let why = "the slot was decided to hold something else";
            return out.trace.push(Event::Ignored { from: said.replica, kind: "PrePrepare", why });
        }
        assert!(slot.accepted_in(said.view).is_none(), "a slot is accepted once in a view");
        slot.keep_batch(said.digest, batch.clone());
        let logged = slot.take_for_log(&said.digest);
        let lsn = self.write(Record::PrePrepare { pre_prepare, batch: logged }, out);
        self.slots.entry(said.sequence).or_default().back(Accepted { pre_prepare, lsn });
        if said.sequence > self.executed {
            let waited = self.pool.note_ordered(&batch, said.sequence);
            self.note_pace(said.sequence, waited);
        }
        if said.replica == self.id {
            self.votes.push_back((lsn, Vote::PrePrepare(said.sequence)));
            self.broadcast(&Message::PrePrepare { pre_prepare, batch }, lsn, out);
        } else {
            let prepare = self.own_prepare(&said);
            self.votes.push_back((lsn, Vote::Prepare(prepare)));
            self.broadcast(&Message::Prepare(prepare), lsn, out);
        }
    }

    /// The PREPARE that follows from an accepted PRE-PREPARE: the same bytes whenever it is made.
    pub(super) fn own_prepare(&self, said: &PrePrepare) -> Signed<Prepare> {
        let PrePrepare { view, sequence, digest, .. } = *said;
        self.signer.sign(Prepare { view, sequence, digest, replica: self.id })
    }

    /// The COMMIT that follows from a certificate.
    pub(super) fn own_commit(&self, view: View, sequence: Sequence, digest: Digest) -> Signed<Commit> {
        self.signer.sign(Commit { view, sequence, digest, replica: self.id })
    }

    /// The own PREPARE is durable.
    pub(super) fn count_own_prepare(&mut self, prepare: &Signed<Prepare>, out: &mut Out) {
        let Prepare { view, sequence, .. } = prepare.body;
        let accepted = |slot: &&mut Slot| slot.accepted_in(view).is_some();
        let Some(slot) = self.slots.get_mut(&sequence).filter(accepted) else { return };
        slot.keep_prepare(prepare);
        self.try_prepare(sequence, out);
    }

    pub(super) fn on_prepare(&mut self, from: NodeId, prepare: &Signed<Prepare>, out: &mut Out) {
        let said = prepare.body;
        if said.view < self.view || said.replica == self.id {
            return;
        }
        let Some(slot) = self.slot_mut(said.sequence) else {
            let why = "its slot is outside the watermarks";
            return out.trace.push(Event::Ignored { from, kind: "Prepare", why });
        };
        slot.keep_prepare(prepare);
        self.try_prepare(said.sequence, out);
    }

    /// prepared(m, v, n, i) (TOCS §4.3): the PRE-PREPARE, durable here, and PREPAREs of Q - 1 backups that match it.
    pub(super) fn try_prepare(&mut self, sequence: Sequence, out: &mut Out) {
        let Some(slot) = self.slots.get(&sequence) else { return };
        if !self.active || slot.is_prepared_in(self.view) {
            return;
        }
        let Some(accepted) = slot.accepted_in(self.view) else { return };
        if !self.disk.is_durable(accepted.lsn) {
            return;
        }
        let Some(prepared) = slot.certificate(&self.quorum, &accepted.pre_prepare) else { return };
        let digest = prepared.digest();
        self.observe_certificate(&prepared, out);
        let lsn = self.write(Record::Prepared(prepared.clone()), out);
        let slot = self.slots.entry(sequence).or_default();
        (slot.prepared, slot.prepared_lsn) = (Some(prepared), lsn);
        let commit = self.own_commit(self.view, sequence, digest);
        self.broadcast(&Message::Commit(commit), lsn, out);
        self.votes.push_back((lsn, Vote::Commit(commit)));
    }

    /// The own COMMIT's certificate is durable.
    pub(super) fn count_own_commit(&mut self, commit: &Signed<Commit>, out: &mut Out) {
        let Commit { view, sequence, .. } = commit.body;
        let prepared = |slot: &&mut Slot| slot.is_prepared_in(view);
        let Some(slot) = self.slots.get_mut(&sequence).filter(prepared) else { return };
        slot.keep_commit(commit);
        self.try_decide(sequence, out);
    }

    /// COMMITs count in any view: Q of them decide a slot for a replica in whatever view, so that one that left its view
    /// alone, or missed the last one, still executes what the others do.
    pub(super) fn on_commit(&mut self, from: NodeId, commit: &Signed<Commit>, out: &mut Out) {
        let said = commit.body;
        if said.replica == self.id {
            return;
        }
        let (now, patience) = (self.now, self.options.request_timer() / 2);
        let Some(slot) = self.slot_to_decide(said.sequence) else {
            let why = "its slot is outside the watermarks";
            return out.trace.push(Event::Ignored { from, kind: "Commit", why });
        };
        let contradicts = slot.is_contradicted_by(&said);
        let late = from == said.replica && slot.is_late(from, now, patience);
        slot.keep_commit(commit);
        if contradicts {
            self.suspect(said.replica, Suspect::WrongVote);
        }
        if late {
            self.suspect_late(said.replica);
        }
        self.try_decide(said.sequence, out);
    }

    /// committed-local (TOCS §4.3).
    pub(super) fn try_decide(&mut self, sequence: Sequence, out: &mut Out) {
        let Some(slot) = self.slots.get_mut(&sequence) else { return };
        if slot.decided.is_some() {
            return;
        }
        let Some(digest) = slot.decision(&self.quorum) else { return };
        if slot.batch(&digest).is_none() && digest == Batch::default().digest() {
            slot.keep_batch(digest, Batch::default());
        }
        slot.decided = Some(digest);
        slot.decided_at = Some(self.now);
        let known = slot.batch(&digest).is_some();
        if known {
            slot.forget_unnamed();
        }
        let source = slot.commits.keys().copied().find(|id| *id != self.id).filter(|_| !known);
        self.note_agreement(sequence);
        self.suspect_those_who_differ(sequence);
        if let Some(source) = source {
            self.fetch_batch(sequence, digest, source, out);
        }
    }

    /// Who sent a COMMIT for something else in the view in which the slot was decided holds no certificate: there is none.
    fn suspect_those_who_differ(&mut self, sequence: Sequence) {
        let Some(slot) = self.slots.get(&sequence) else { return };
        let differs = |commit: &&Signed<Commit>| slot.is_contradicted_by(&commit.body);
        let ids: Vec<NodeId> =
            slot.commits.values().filter(differs).map(|commit| commit.body.replica).collect();
        for id in ids {
            self.suspect(id, Suspect::WrongVote);
        }
    }

    /// Hands decided slots to the store, in order, up to the next checkpoint.
    pub(super) fn hand_out(&mut self, out: &mut Out) {
        self.more = false;
        while out.checkpoint.is_none() && self.may_hand_out() {
            let sequence = self.executed.next();
            let Some(slot) = self.slots.get_mut(&sequence) else { return };
            let Some(digest) = slot.decided else { return };
            let Some(batch) = slot.batch(&digest).cloned() else { return };
            if self.disk.is_behind() || self.disk.pressure().is_full() && slot.needs_log(&digest) {
                return;
            }
            if !std::mem::replace(&mut slot.decision_logged, true) {
                let batch = slot.take_for_log(&digest);
                self.write(Record::Committed { sequence, digest, batch }, out);
            }
            self.executed = sequence;
            if self.active && !batch.is_null() && self.slots[&sequence].accepted_in(self.view).is_some() {
                self.view_changes.await_progress(sequence);
            }
            if let Some(other) = self.slots[&sequence].accepted_batch().filter(|other| **other != batch) {
                self.pool.take_back(other);
            }
            self.pool.forget_ordered(&batch, sequence);
            out.committed.push(committed(sequence, &batch));
            if sequence.0.is_multiple_of(self.options.checkpoint_interval)
                && sequence >= self.low_water_mark()
            {
                out.checkpoint = Some(Index(sequence.0));
                self.more = true;
            }
            self.forget_slots();
        }
    }

    fn may_hand_out(&self) -> bool {
        !self.transfer.as_ref().is_some_and(super::transfer::Transfer::holds_the_store)
            && self.checkpoints.diverged().is_none()
    }

    /// Drops the slots that nobody will ask about: executed here, and below the last stable checkpoint but one, or below
    /// what somebody needs who has fetched a state. Those above help who is a little behind, for whom a whole state would
    /// be too much. What this replica itself could not decide leaves when the window has moved on by twice its width,
    /// unless it is due next: then it takes a state in any case.
    pub(super) fn forget_slots(&mut self) {
        self.slots = self.slots.split_off(&self.floor().next());
        self.memory.forget(self.horizon());
        let lost = Sequence(self.low_water_mark().0.saturating_sub(2 * self.options.window));
        if self.slots.first_key_value().is_some_and(|(first, _)| *first <= lost) {
            let mut slots = std::mem::take(&mut self.slots);
            slots.retain(|sequence, slot| {
                *sequence > lost || slot.decision_logged || self.is_due_soon(*sequence)
            });
            self.slots = slots;
        }
    }
}

/// A batch as the store takes it.
fn committed(sequence: Sequence, batch: &Batch) -> Committed {
    let proposals = batch.0.iter().flat_map(|request| {
        let body = &request.body;
        body.commands.iter().map(|(counter, command)| Proposal {
            id: RequestId { origin: body.client, incarnation: body.incarnation, counter: *counter },
            time: body.time,
            command: command.clone(),
        })
    });
    Committed { index: Index(sequence.0), epoch: super::EPOCH, proposals: proposals.collect() }
}
