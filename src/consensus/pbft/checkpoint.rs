//! Checkpoints and what they free (TOCS §4.4).
//!
//! A checkpoint is a digest of the state, taken every K slots and kept in memory. It is *stable* when Q replicas say the
//! same: then their messages about the slots up to it are not needed any more. A stable state is written to disk only
//! now and then, by bytes: until then the executed batches stay in the log, which is how a replica comes back to where it
//! was.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Batch, Checkpoint, Message, Sequence, Signed, Stable, Status};
use super::record::Record;
use super::replica::{Out, Replica, Vote};
use super::suspicion::Suspect;
use crate::consensus::{Digest, Event, Index, Lsn, NodeId, SnapshotMeta};

/// Bytes of batches that are kept below the last stable checkpoint but one, for a replica that is fetching the state
/// before them or executing them. Who takes longer than the others over so much fetches a newer state.
const KEPT_BYTES: usize = 64 << 20;

/// Checkpoints that are kept of one replica, apart from those that fit into the window, since others may be far ahead.
const KEPT_OF_EACH: usize = 2;

/// What is known of checkpoints.
#[derive(Debug, Default)]
pub(super) struct Checkpoints {
    /// The last stable one.
    stable: Stable,
    /// The stable one from which on states, and what was ordered after them, are kept for those who are behind: the one
    /// before the last, or an older one that somebody needs.
    kept: Sequence,
    /// The digests of this replica's own states, of those that it keeps.
    own: BTreeMap<Sequence, Digest>,
    /// What this replica has signed above the last stable one, and its records.
    signed: BTreeMap<Sequence, (Signed<Checkpoint>, Lsn)>,
    /// The latest few of each replica, its own once they are durable.
    votes: BTreeMap<NodeId, BTreeMap<Sequence, Signed<Checkpoint>>>,
    /// The newest state on disk.
    saved: Option<SnapshotMeta>,
    /// A state is on its way to the disk.
    saving: Option<Sequence>,
    /// The own state at this stable checkpoint is not what Q replicas say that it is.
    diverged: Option<Sequence>,
}

impl Checkpoints {
    pub(super) fn new(stable: Stable, saved: Option<SnapshotMeta>) -> Self {
        Self { stable, saved, ..Self::default() }
    }

    /// The last stable checkpoint, with its proof.
    pub(super) fn stable(&self) -> &Stable {
        &self.stable
    }

    /// The slot of the newest state on disk.
    pub(super) fn saved(&self) -> Sequence {
        self.saved.as_ref().map_or(Sequence::ZERO, |meta| meta.index.into())
    }

    /// From here on states, and what was ordered after them, are kept.
    pub(super) fn kept(&self) -> Sequence {
        self.kept
    }

    /// At which stable checkpoint the own state is wrong.
    pub(super) fn diverged(&self) -> Option<Sequence> {
        self.diverged
    }

    /// Whether pieces of the state at a slot can be read here.
    pub(super) fn holds(&self, sequence: Sequence) -> bool {
        self.own.contains_key(&sequence) || self.saved.as_ref().is_some_and(|meta| meta.index.0 == sequence.0)
    }

    /// What this replica signed for the slot in an earlier life.
    pub(super) fn recover_signed(&mut self, checkpoint: Signed<Checkpoint>, lsn: Lsn) {
        self.signed.insert(checkpoint.body.sequence, (checkpoint, lsn));
        self.keep(checkpoint, usize::MAX);
    }

    /// What this replica has signed above the last stable one, and its records.
    pub(super) fn signed(&self) -> impl Iterator<Item = &(Signed<Checkpoint>, Lsn)> + '_ {
        self.signed.values()
    }

    fn keep(&mut self, checkpoint: Signed<Checkpoint>, count: usize) {
        let of = self.votes.entry(checkpoint.body.replica).or_default();
        of.entry(checkpoint.body.sequence).or_insert(checkpoint);
        while of.len() > count {
            of.pop_first();
        }
    }

    /// The CHECKPOINTs that are alike with this one.
    fn alike(&self, said: Checkpoint) -> impl Iterator<Item = &Signed<Checkpoint>> + '_ {
        let of = self.votes.values().filter_map(move |of| of.get(&said.sequence));
        of.filter(move |vote| vote.body.digest == said.digest)
    }

    /// A state that was fetched is this replica's own now.
    pub(super) fn installed(&mut self, meta: SnapshotMeta) {
        let sequence = Sequence::from(meta.index);
        if self.diverged.is_some_and(|at| at <= sequence) {
            self.diverged = None;
        }
        // What it said of later slots was of the state that is gone.
        self.own.clear();
        self.saving = None;
        self.saved = Some(meta);
    }
}

impl Replica {
    /// A checkpoint of the own state has its digest.
    pub(super) fn on_checkpointed(&mut self, sequence: Sequence, digest: Digest, out: &mut Out) {
        if sequence > self.executed {
            return; // Of a state that a repair has thrown away.
        }
        self.checkpoints.own.insert(sequence, digest);
        if sequence <= self.low_water_mark() {
            return self.compare_with_stable(out);
        }
        let said = Checkpoint { sequence, digest, replica: self.id };
        if let Some((signed, lsn)) = self.checkpoints.signed.get(&sequence) {
            if signed.body != said {
                out.trace.push(Event::Noted {
                    what: "has another state than it said before, and stays with that",
                    index: Index(sequence.0),
                });
                return;
            }
            let (message, lsn) = (Message::Checkpoint(*signed), *lsn);
            return self.broadcast(&message, lsn, out);
        }
        let checkpoint = self.signer.sign(said);
        // Behind the records of all slots up to it, so that those are durable when it leaves.
        let lsn = self.write(Record::Checkpoint(checkpoint), out);
        self.checkpoints.signed.insert(sequence, (checkpoint, lsn));
        self.broadcast(&Message::Checkpoint(checkpoint), lsn, out);
        self.votes.push_back((lsn, Vote::Checkpoint(sequence)));
    }

    /// The own CHECKPOINT is durable.
    pub(super) fn count_own_checkpoint(&mut self, sequence: Sequence, out: &mut Out) {
        if let Some((checkpoint, _)) = self.checkpoints.signed.get(&sequence).copied() {
            self.take_checkpoint(checkpoint, out);
        }
    }

    pub(super) fn on_checkpoint(&mut self, checkpoint: Signed<Checkpoint>, out: &mut Out) {
        if checkpoint.body.replica != self.id {
            self.take_checkpoint(checkpoint, out);
        }
    }

    fn take_checkpoint(&mut self, checkpoint: Signed<Checkpoint>, out: &mut Out) {
        let said = checkpoint.body;
        let due = said.sequence.0.is_multiple_of(self.options.checkpoint_interval);
        if said.sequence <= self.low_water_mark() || !due {
            return;
        }
        let in_window = self.options.window.div_ceil(self.options.checkpoint_interval) as usize;
        self.checkpoints.keep(checkpoint, in_window + KEPT_OF_EACH);
        if let Some(stable) = Stable::of(&self.quorum, self.checkpoints.alike(said)) {
            self.on_stable(stable, out);
        }
    }

    /// A proof of a stable checkpoint. While the disk is behind the window stays where it is, which bounds all that is
    /// kept; the others send the proof again.
    pub(super) fn on_stable(&mut self, stable: Stable, out: &mut Out) {
        if !self.disk.is_behind() {
            self.become_stable(stable, out);
        }
    }

    /// A checkpoint is stable: the watermarks move, and what is below is forgotten.
    pub(super) fn become_stable(&mut self, stable: Stable, out: &mut Out) {
        let sequence = stable.sequence();
        if sequence <= self.low_water_mark() {
            return;
        }
        self.write(Record::Stable(stable.clone()), out);
        let digest = stable.digest();
        let differs = |vote: &&Signed<Checkpoint>| Some(vote.body.digest) != digest;
        let votes = self.checkpoints.votes.values().filter_map(|of| of.get(&sequence));
        let others: Vec<NodeId> = votes.filter(differs).map(|vote| vote.body.replica).collect();
        for id in others {
            self.suspect(id, Suspect::WrongCheckpoint);
        }
        let kept = self.needed_by_others(self.low_water_mark());
        let checkpoints = &mut self.checkpoints;
        checkpoints.kept = kept;
        checkpoints.stable = stable;
        checkpoints.signed = checkpoints.signed.split_off(&sequence.next());
        for of in checkpoints.votes.values_mut() {
            *of = of.split_off(&sequence.next());
        }
        checkpoints.own = checkpoints.own.split_off(&kept);
        out.release = Some(Index(kept.0));
        self.compare_with_stable(out);
        self.forget_slots();
        self.proposed = self.proposed.max(sequence);
        self.consider_transfer(out);
    }

    /// From where on states and batches are kept when a checkpoint after `previous` is stable: from `previous`, or from
    /// what somebody is fetching, or has to execute after it did, as long as the batches since then are not too much. Whoever
    /// says such a thing may lie, and costs no more than that.
    fn needed_by_others(&self, previous: Sequence) -> Sequence {
        let kept = self.checkpoints.kept;
        let behind = self.peers.iter().filter(|(id, peer)| peer.catches_up && self.hears(**id));
        let needs = behind.filter_map(|(_, peer)| peer.status);
        let need = |status: Status| match status.fetching {
            Sequence::ZERO => status.committed,
            fetching => fetching,
        };
        let needs: BTreeSet<_> = needs.map(need).filter(|need| (kept..previous).contains(need)).collect();
        let Some(oldest) = needs.first() else { return previous };
        let (mut bytes, mut from) = (0, previous);
        for (sequence, slot) in self.slots.range(oldest.next()..=previous).rev() {
            bytes += slot.decided.and_then(|digest| slot.batch(&digest)).map_or(0, Batch::size);
            if bytes > KEPT_BYTES {
                break;
            }
            let before = Sequence(sequence.0 - 1);
            from = if needs.contains(&before) { before } else { from };
        }
        from
    }

    /// Compares the own state with the stable one, if both are known; saves it when it is time.
    fn compare_with_stable(&mut self, out: &mut Out) {
        let sequence = self.low_water_mark();
        let (Some(own), Some(digest)) =
            (self.checkpoints.own.get(&sequence).copied(), self.checkpoints.stable.digest())
        else {
            return;
        };
        if own == digest {
            return self.save(sequence, out);
        }
        self.checkpoints.own.remove(&sequence);
        self.checkpoints.diverged = Some(sequence);
        out.trace
            .push(Event::Noted { what: "own state differs from the stable one", index: Index(sequence.0) });
        self.consider_transfer(out);
    }

    /// Writes a stable state to disk when enough was written since the last.
    fn save(&mut self, sequence: Sequence, out: &mut Out) {
        let due = self.disk.bytes() >= self.options.snapshot_bytes && sequence > self.checkpoints.saved();
        if due && self.checkpoints.saving.is_none() {
            self.checkpoints.saving = Some(sequence);
            self.disk.begin_saving();
            out.save = Some(Index(sequence.0));
        }
    }

    /// A stable state is on disk: the log needs nothing below it, apart from what is written again here.
    pub(super) fn on_saved(&mut self, meta: SnapshotMeta, out: &mut Out) {
        let sequence = Sequence::from(meta.index);
        if self.checkpoints.saving.is_some_and(|saving| saving <= sequence) {
            self.checkpoints.saving = None;
        }
        if sequence <= self.checkpoints.saved() {
            return;
        }
        out.trace.push(Event::Noted { what: "saved the state", index: meta.index });
        self.checkpoints.saved = Some(meta);
        self.retain_needed(out);
    }

    /// Lets the log on disk forget what neither a slot above the saved state nor this replica's word needs. The view and
    /// the proofs are written anew behind it, so that they never hold old segments back.
    pub(super) fn retain_needed(&mut self, out: &mut Out) {
        let first = self.disk.last().next();
        if let Some(view_change) = self.own_view_change().cloned() {
            self.write(Record::ViewChange(view_change), out);
        } else if let Some((new_view, _)) = self.new_view.clone() {
            self.write(Record::NewView(new_view), out);
        }
        if self.low_water_mark() > Sequence::ZERO {
            self.write(Record::Stable(self.checkpoints.stable.clone()), out);
        }
        let signed: Vec<_> = self.checkpoints.signed().map(|(checkpoint, _)| *checkpoint).collect();
        for checkpoint in signed {
            self.write(Record::Checkpoint(checkpoint), out);
        }
        self.write_all_evidence(out);
        let saved = self.checkpoints.saved();
        let needed = self.disk.saved(saved).map_or(first, |needed| needed.min(first));
        out.retain_from = Some(needed);
    }
}
