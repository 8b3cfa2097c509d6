//! What a replica knows of one sequence number.

use std::collections::BTreeMap;
use std::time::Duration;

use super::message::{Batch, Commit, PrePrepare, Prepare, Prepared, Signed, View};
use super::quorum::Quorum;
use crate::consensus::{Digest, Lsn, NodeId, Time};

/// How many batches a slot remembers that this replica backed in earlier views and that did not prepare here: a liar may
/// hold the only certificate of one, show it in a later view, and keep the batch to itself. Each takes a primary that
/// lied about this very slot.
const MAX_BACKED: usize = 4;

/// A slot of the order. Of each replica the slot keeps one PREPARE and one COMMIT, those of the latest view, so that
/// nobody's vote counts twice and nobody fills memory.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// The PRE-PREPARE of the current view, once its batch is here and it was written.
    pub(super) accepted: Option<Accepted>,
    /// A PRE-PREPARE of the current view, or of a later one, that cannot be accepted yet: its batch is not here, or its
    /// view is not.
    pub(super) early: Option<Signed<PrePrepare>>,
    pub(super) prepares: BTreeMap<NodeId, Signed<Prepare>>,
    pub(super) commits: BTreeMap<NodeId, Signed<Commit>>,
    /// P: the certificate of the latest view in which the slot prepared here (TOCS §4.5).
    pub(super) prepared: Option<Prepared>,
    /// Its record.
    pub(super) prepared_lsn: Lsn,
    /// What the slot was decided to hold.
    pub(super) decided: Option<Digest>,
    /// When this replica learned that, in this life.
    pub(super) decided_at: Option<Time>,
    /// Whether a record says so.
    pub(super) decision_logged: bool,
    /// What this replica backed here in earlier views, the latest last, at most [`MAX_BACKED`].
    backed: Vec<Digest>,
    /// Batches by their digest: of what is named above, no others.
    batches: BTreeMap<Digest, Stored>,
}

/// A PRE-PREPARE that this replica stands by.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accepted {
    pub(super) pre_prepare: Signed<PrePrepare>,
    /// Its record.
    pub(super) lsn: Lsn,
}

#[derive(Debug)]
struct Stored {
    batch: Batch,
    /// Whether a record has it.
    logged: bool,
}

impl Slot {
    /// Whether this is the first vote of a replica for the slot that arrives here, and comes so long after the decision.
    pub(super) fn is_late(&self, replica: NodeId, now: Time, patience: Duration) -> bool {
        let voted = self.prepares.contains_key(&replica) || self.commits.contains_key(&replica);
        !voted && self.decided_at.is_some_and(|decided| now.since(decided) > patience)
    }

    /// Whether a COMMIT is of the view in which its slot was decided and accepted here, and for something else.
    pub(super) fn is_contradicted_by(&self, commit: &Commit) -> bool {
        let decided = self.decided.is_some_and(|decided| decided != commit.digest);
        let prepared = self.prepared.as_ref().filter(|prepared| Some(prepared.digest()) == self.decided);
        decided && prepared.is_some_and(|prepared| prepared.view() == commit.view)
    }

    /// Keeps a PREPARE, unless the slot has one of this or a later view from its signer: the first counts.
    pub(super) fn keep_prepare(&mut self, prepare: &Signed<Prepare>) {
        let kept = self.prepares.get(&prepare.body.replica);
        if kept.is_none_or(|kept| kept.body.view < prepare.body.view) {
            self.prepares.insert(prepare.body.replica, *prepare);
        }
    }

    /// Keeps a COMMIT, unless the slot has one of a later view from its signer. Of the same view the last one counts: a
    /// liar who sends others another one than this replica must not keep it from what they can show.
    pub(super) fn keep_commit(&mut self, commit: &Signed<Commit>) {
        let kept = self.commits.get(&commit.body.replica);
        if kept.is_none_or(|kept| kept.body.view <= commit.body.view) {
            self.commits.insert(commit.body.replica, *commit);
        }
    }

    /// Stands by a PRE-PREPARE.
    pub(super) fn back(&mut self, accepted: Accepted) {
        let said = accepted.pre_prepare.body;
        if let Some(before) = self.accepted.replace(accepted) {
            let digest = before.pre_prepare.body.digest;
            self.backed.retain(|other| *other != digest);
            self.backed.push(digest);
            if self.backed.len() > MAX_BACKED {
                self.backed.remove(0);
            }
        }
        self.early = self.early.filter(|early| early.body.view > said.view);
        self.forget_unnamed();
    }

    /// The PRE-PREPARE that was accepted in this view.
    pub(super) fn accepted_in(&self, view: View) -> Option<&Accepted> {
        self.accepted.as_ref().filter(|accepted| accepted.pre_prepare.body.view == view)
    }

    /// The batch that was accepted last.
    pub(super) fn accepted_batch(&self) -> Option<&Batch> {
        self.batch(&self.accepted.as_ref()?.pre_prepare.body.digest)
    }

    /// Whether the slot prepared here in this view.
    pub(super) fn is_prepared_in(&self, view: View) -> bool {
        self.prepared.as_ref().is_some_and(|prepared| prepared.view() == view)
    }

    /// The certificate that the votes make with a PRE-PREPARE, if they do: PREPAREs of Q - 1 different backups that match
    /// it (TOCS §4.3).
    pub(super) fn certificate(&self, quorum: &Quorum, pre_prepare: &Signed<PrePrepare>) -> Option<Prepared> {
        let said = &pre_prepare.body;
        let matching = self.prepares.values().filter(|prepare| {
            let vote = &prepare.body;
            vote.replica != said.replica
                && (vote.view, vote.sequence, vote.digest) == (said.view, said.sequence, said.digest)
        });
        Prepared::of(quorum, *pre_prepare, matching)
    }

    /// What Q replicas sent COMMITs for in one view, if they did: f + 1 honest ones among them hold a certificate, so that
    /// nothing else can ever be decided, whatever view this replica is in.
    pub(super) fn decision(&self, quorum: &Quorum) -> Option<Digest> {
        let mut votes: BTreeMap<(View, Digest), usize> = BTreeMap::new();
        for commit in self.commits.values() {
            *votes.entry((commit.body.view, commit.body.digest)).or_default() += 1;
        }
        votes.into_iter().find(|(_, count)| *count >= quorum.quorum()).map(|((_, digest), _)| digest)
    }

    /// The batch of this digest.
    pub(super) fn batch(&self, digest: &Digest) -> Option<&Batch> {
        self.batches.get(digest).map(|stored| &stored.batch)
    }

    /// Keeps a batch.
    pub(super) fn keep_batch(&mut self, digest: Digest, batch: Batch) {
        self.batches.entry(digest).or_insert(Stored { batch, logged: false });
    }

    /// A batch of which a record has been read.
    pub(super) fn keep_logged_batch(&mut self, digest: Digest, batch: Batch) {
        self.batches.insert(digest, Stored { batch, logged: true });
    }

    /// The null request needs no record to be known.
    pub(super) fn keep_null_batch(&mut self) {
        let null = Batch::default();
        self.batches.entry(null.digest()).or_insert(Stored { batch: null, logged: true });
        self.forget_unnamed();
    }

    /// Whether no record has this batch, which is not the null one.
    pub(super) fn needs_log(&self, digest: &Digest) -> bool {
        self.batches.get(digest).is_some_and(|stored| !stored.logged && !stored.batch.is_null())
    }

    /// The batch for a record that is about to be written, unless an earlier one has it.
    pub(super) fn take_for_log(&mut self, digest: &Digest) -> Option<Batch> {
        let stored = self.batches.get_mut(digest)?;
        (!std::mem::replace(&mut stored.logged, true)).then(|| stored.batch.clone())
    }

    /// How many batches are kept.
    #[cfg(test)]
    pub(super) fn batches_kept(&self) -> usize {
        self.batches.len()
    }

    /// Forgets batches that nothing names any more.
    pub(super) fn forget_unnamed(&mut self) {
        let accepted = self.accepted.as_ref().map(|accepted| accepted.pre_prepare.body.digest);
        let early = self.early.as_ref().map(|early| early.body.digest);
        let prepared = self.prepared.as_ref().map(Prepared::digest);
        let named = [accepted, early, prepared, self.decided];
        let backed = &self.backed;
        self.batches.retain(|digest, _| named.contains(&Some(*digest)) || backed.contains(digest));
    }
}
