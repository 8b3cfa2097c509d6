//! STATUS: how replicas find out what they lack, and get it (TOCS §5.2).
//!
//! Each replica says at regular intervals how far it has come, and is sent what it lacks, by everyone who has it. Messages
//! may thus be lost without harm, and nobody has to remember who received what. It is also by these that a replica
//! knows whom it can hear.

use super::message::{Message, Sequence, Signed, Status};
use super::replica::{Out, Replica};
use super::slot::Slot;
use super::transfer::Transfer;
use crate::consensus::{Lsn, NodeId};

/// Slots that a STATUS is answered with if its sender has got on since it was last helped.
const SLOTS_AT_ONCE: usize = 64;
/// Slots that a STATUS is answered with if its sender never gets on: with the next ones it could.
const SLOTS_AT_LEAST: usize = 4;
/// Bytes of batches that one STATUS is answered with.
const BYTES_AT_ONCE: usize = 1 << 20;
/// For how many intervals a replica counts as heard.
const HEARD_INTERVALS: u32 = 5;
/// So many slots are executed under full load while a STATUS is on its way: who is behind by no more lacks nothing.
const BEHIND: u64 = 8;

/// With how many slots a replica is helped. One that says again and again that it lacks the same does not use what it is
/// sent, or lies: it is sent half as much each time. Else a STATUS now and then would have the others send for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Portion {
    /// The furthest that it said it had come when it was helped.
    furthest: Sequence,
    slots: usize,
}

impl Default for Portion {
    fn default() -> Self {
        Self { furthest: Sequence::ZERO, slots: 2 * SLOTS_AT_ONCE }
    }
}

impl Portion {
    /// How much one is sent that has committed so far.
    fn next(&mut self, committed: Sequence) -> usize {
        let got_on = committed > self.furthest;
        self.furthest = self.furthest.max(committed);
        self.slots = if got_on { SLOTS_AT_ONCE } else { (self.slots / 2).max(SLOTS_AT_LEAST) };
        self.slots
    }
}

impl Replica {
    /// Whether messages of a quorum, this replica's own included, arrive here.
    pub(super) fn hears_a_quorum(&self) -> bool {
        let heard = self.quorum.members().iter().filter(|id| self.hears(**id)).count();
        heard >= self.quorum.quorum()
    }

    /// Whether anything was heard of a replica lately.
    pub(super) fn hears(&self, id: NodeId) -> bool {
        let lately = self.options.status_interval() * HEARD_INTERVALS;
        id == self.id
            || self
                .peers
                .get(&id)
                .is_some_and(|peer| peer.status.is_some() && self.now.since(peer.heard) < lately)
    }

    pub(super) fn on_status_timer(&mut self, out: &mut Out) {
        if self.status_due > self.now {
            return;
        }
        self.status_due = self.now + self.options.status_interval();
        self.tell_status(out);
        // A primary whose disk stalls while there is nothing to order says so before the first request finds out.
        out.probe |= self.is_primary() && self.disk.probe(self.now, self.options.view_change_timer());
        self.judge_traffic();
        self.peers.values_mut().for_each(|peer| peer.batches = 0);
        self.take_early(out);
        self.fetch_again(out);
        self.consider_transfer(out);
        self.relay_neglected(out);
    }

    pub(super) fn tell_status(&self, out: &mut Out) {
        let status = Status {
            view: self.view,
            active: self.active,
            stable: self.low_water_mark(),
            committed: self.executed,
            fetching: self.transfer.as_ref().map_or(Sequence::ZERO, Transfer::fetching),
            replica: self.id,
        };
        // A view that its disk does not know of yet is not spoken of: the next life may be in an earlier one. Behind a
        // disk that stalls one STATUS after the other would wait.
        if self.disk.is_durable(self.view_lsn()) {
            self.broadcast(&Message::Status(self.signer.sign(status)), Lsn::ZERO, out);
        }
    }

    /// Sends a replica what it lacks, as far as this one has it.
    pub(super) fn on_status(&mut self, from: NodeId, status: Status, out: &mut Out) {
        if status.replica != from {
            return;
        }
        let (now, pause) = (self.now, self.options.status_interval() / 2);
        let stable = self.low_water_mark();
        let Some(peer) = self.peers.get_mut(&from) else { return };
        let before = peer.status.replace(status);
        // It lacks what follows the state when it has that.
        peer.catches_up = status.fetching > Sequence::ZERO || peer.catches_up && status.committed < stable;
        // A flood of them costs no more than a few.
        if peer.helped.is_some_and(|helped| now.since(helped) < pause) {
            return;
        }
        peer.helped = Some(now);
        self.help_with_view(from, &status, out);
        self.help_with_evidence(from, status.view, out);
        if status.stable < self.low_water_mark() {
            self.send(from, Message::Stable(self.checkpoints.stable().clone()), Lsn::ZERO, out);
        }
        self.help_with_checkpoints(from, &status, out);
        if self.is_stuck(before, &status)
            && let Some(peer) = self.peers.get_mut(&from)
        {
            let slots = peer.portion.next(status.committed);
            self.help_with_slots(from, &status, slots, out);
        }
    }

    /// Whether a replica does not get on by itself: since its last STATUS it has committed nothing, or it is behind by more
    /// than what is under way anyway, or was executed meanwhile. Else everybody would send everything twice.
    fn is_stuck(&self, before: Option<Status>, status: &Status) -> bool {
        before.is_none_or(|before| before.committed == status.committed)
            || status.committed.0 + self.options.max_in_flight.max(BEHIND) < self.executed.0
    }

    fn help_with_view(&self, from: NodeId, status: &Status, out: &mut Out) {
        let lacks = status.view < self.view || status.view == self.view && !status.active;
        if self.active && lacks {
            if let Some((new_view, lsn)) = &self.new_view {
                self.send_again(from, Message::NewView(new_view.clone()), *lsn, out);
            }
            return;
        }
        let waits = status.view <= self.view || !status.active;
        if self.active || !waits {
            return;
        }
        // With what others want: who lacks this replica's word may lack theirs too.
        if let Some(own) = self.own_view_change() {
            self.send_again(from, Message::ViewChange(own.clone()), self.view_changes.own_lsn(), out);
        }
        let others = self
            .view_changes
            .for_view(self.view)
            .filter(|other| other.body.replica != self.id && other.body.replica != from);
        for other in others {
            self.send(from, Message::ViewChange(other.clone()), Lsn::ZERO, out);
        }
    }

    /// The own CHECKPOINTs above the other's last stable one.
    fn help_with_checkpoints(&self, from: NodeId, status: &Status, out: &mut Out) {
        for (checkpoint, lsn) in self.checkpoints.signed() {
            if checkpoint.body.sequence > status.stable {
                self.send_again(from, Message::Checkpoint(*checkpoint), *lsn, out);
            }
        }
    }

    /// Own votes about slots that the other has not decided.
    fn help_with_slots(&self, from: NodeId, status: &Status, slots: usize, out: &mut Out) {
        let same_view = self.active && status.active && status.view == self.view;
        let mut bytes = 0;
        let lacking = self.slots.range(status.committed.next()..).take(slots);
        for (sequence, slot) in lacking {
            if bytes > BYTES_AT_ONCE {
                return;
            }
            if same_view {
                bytes += self.resend_accepted(from, slot, out);
            }
            if let Some(prepared) = &slot.prepared {
                let commit = self.own_commit(prepared.view(), *sequence, prepared.digest());
                self.send_again(from, Message::Commit(commit), slot.prepared_lsn, out);
            }
            self.pass_on_decision(from, slot, out);
        }
    }

    /// The others' COMMITs that decided the slot here. Their signers may not send them: a liar sent another one there, or
    /// none; and who decided without having prepared has none of its own.
    fn pass_on_decision(&self, to: NodeId, slot: &Slot, out: &mut Out) {
        let of_others = slot.commits.values().filter(|commit| ![to, self.id].contains(&commit.body.replica));
        for commit in of_others.filter(|commit| slot.decided == Some(commit.body.digest)) {
            self.send(to, Message::Commit(*commit), Lsn::ZERO, out);
        }
    }

    /// Sends something once more. What is not on disk yet has not left for the first time, and will: more of the same
    /// would only pile up behind a disk that stalls.
    fn send_again(&self, to: NodeId, message: Message, lsn: Lsn, out: &mut Out) {
        if self.disk.is_durable(lsn) {
            self.send(to, message, lsn, out);
        }
    }

    /// The PRE-PREPARE of a slot, and the own PREPARE. The primary sends the batch as well; from others it can be fetched.
    fn resend_accepted(&self, from: NodeId, slot: &Slot, out: &mut Out) -> usize {
        let Some(accepted) = slot.accepted_in(self.view) else { return 0 };
        let pre_prepare: Signed<_> = accepted.pre_prepare;
        let mut batch = super::Batch::default();
        if self.is_primary() {
            batch = slot.batch(&pre_prepare.body.digest).cloned().unwrap_or_default();
        }
        let bytes = batch.size();
        self.send_again(from, Message::PrePrepare { pre_prepare, batch }, accepted.lsn, out);
        if !self.is_primary() {
            let prepare = self.own_prepare(&pre_prepare.body);
            self.send_again(from, Message::Prepare(prepare), accepted.lsn, out);
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_on_is_sent_much_and_who_asks_for_the_same_again_ever_less() {
        let mut portion = Portion::default();
        let mut next = |committed| portion.next(Sequence(committed));
        assert_eq!([next(0), next(0), next(0)], [64, 32, 16]);
        assert_eq!([next(3), next(3)], [64, 32]);
        assert_eq!([next(0), next(3), next(0), next(3)], [16, 8, 4, 4], "back and forth is not on");
        assert_eq!(next(4), 64);
    }
}
