//! What a new view begins with: computed from the VIEW-CHANGEs alone, so that every backup can do it again
//! (OSDI'99 §4.4, TOCS §4.5).
//!
//! Why nothing that was committed is lost: what committed prepared at Q replicas, any Q VIEW-CHANGEs have an honest one
//! of them in common, and its certificate is of the highest view, because nothing else can have prepared since.

use std::collections::BTreeMap;

use super::certificate::{are_distinct_members, check_pre_prepare, require};
use super::message::{Batch, NewView, Prepared, Sequence, Signed, Stable, View, ViewChange};
use super::numbers::NUMBERS_END;
use super::quorum::Quorum;
use super::signing::Verifier;
use crate::consensus::Digest;

/// What a new view begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The latest stable checkpoint that V proves. Its sequence number is min-s.
    pub stable: Stable,
    /// What is proposed again from min-s + 1 to max-s, without a gap: what prepared there, or the null request.
    pub pre_prepares: Vec<(Sequence, Digest)>,
}

impl Plan {
    /// Computes it from V, whose parts were checked.
    pub fn of(view_changes: &[Signed<ViewChange>]) -> Self {
        let stables = view_changes.iter().map(|view_change| &view_change.body.stable);
        // Of equally late ones the first, so that everybody takes the same.
        let stable = stables.rev().max_by_key(|stable| stable.sequence()).cloned().unwrap_or_default();
        let mut chosen: BTreeMap<Sequence, (View, Digest)> = BTreeMap::new();
        for prepared in view_changes.iter().flat_map(|view_change| &view_change.body.prepared) {
            if prepared.sequence() > stable.sequence() {
                let candidate = (prepared.view(), prepared.digest());
                let best = chosen.entry(prepared.sequence()).or_insert(candidate);
                *best = candidate.max(*best);
            }
        }
        let pre_prepares = fill(stable.sequence(), &chosen);
        Self { stable, pre_prepares }
    }

    /// max-s: the last sequence number that is proposed again, or min-s.
    pub fn last(&self) -> Sequence {
        self.pre_prepares.last().map_or(self.stable.sequence(), |(sequence, _)| *sequence)
    }
}

/// All slots above `min`, up to the last one that prepared: with what prepared, or the null request.
fn fill(min: Sequence, chosen: &BTreeMap<Sequence, (View, Digest)>) -> Vec<(Sequence, Digest)> {
    let max = chosen.keys().next_back().map_or(min, |last| *last);
    let null = Batch::default().digest();
    let slot = |number| {
        let sequence = Sequence(number);
        (sequence, chosen.get(&sequence).map_or(null, |(_, digest)| *digest))
    };
    (min.0 + 1..=max.0).map(slot).collect()
}

impl ViewChange {
    /// Whether it says what a VIEW-CHANGE must say: a proved stable checkpoint, and certificates of earlier views above
    /// it, within the window, in ascending order.
    pub fn check(&self, quorum: &Quorum, window: u64) -> Result<(), &'static str> {
        require(quorum.contains(self.replica), "a VIEW-CHANGE is not of a member")?;
        require(self.view > View::ZERO, "nobody changes to the first view")?;
        require(self.view.0 < NUMBERS_END, "its view is beyond all views")?;
        require(self.prepared.len() as u64 <= window, "a VIEW-CHANGE has more certificates than the window")?;
        self.stable.check(quorum)?;
        let mut before = self.stable.sequence();
        let end = before.0 + window;
        for prepared in &self.prepared {
            require(
                prepared.sequence() > before,
                "a VIEW-CHANGE's certificates do not ascend from its checkpoint",
            )?;
            require(prepared.sequence().0 <= end, "a VIEW-CHANGE's certificate is above the window")?;
            require(prepared.view() < self.view, "a VIEW-CHANGE's certificate is not of an earlier view")?;
            prepared.check(quorum)?;
            before = prepared.sequence();
        }
        Ok(())
    }

    /// Whether everybody in its proofs signed.
    pub fn verify_proofs(&self, verifier: &Verifier) -> bool {
        self.stable.verify(verifier)
            && self.prepared.iter().all(|prepared: &Prepared| prepared.verify(verifier))
    }
}

impl NewView {
    /// Whether it says what a NEW-VIEW must say: of its view's primary, with VIEW-CHANGEs of Q different replicas for
    /// exactly that view, and with the O that follows from them.
    pub fn check(&self, quorum: &Quorum, window: u64) -> Result<(), &'static str> {
        require(self.view > View::ZERO, "nobody changes to the first view")?;
        require(self.view.0 < NUMBERS_END, "its view is beyond all views")?;
        require(self.replica == quorum.primary(self.view), "a NEW-VIEW is not of its view's primary")?;
        require(self.view_changes.len() == quorum.quorum(), "a NEW-VIEW has not Q VIEW-CHANGEs")?;
        require(self.pre_prepares.len() as u64 <= window, "a NEW-VIEW's O is longer than the window")?;
        let replicas = self.view_changes.iter().map(|view_change| view_change.body.replica);
        require(are_distinct_members(quorum, replicas), "a NEW-VIEW's V is not of different members")?;
        for Signed { body, .. } in &self.view_changes {
            require(body.view == self.view, "a NEW-VIEW's V is for another view")?;
            body.check(quorum, window)?;
        }
        self.check_pre_prepares(quorum)
    }

    /// O is what V demands, no more and no less.
    pub(super) fn check_pre_prepares(&self, quorum: &Quorum) -> Result<(), &'static str> {
        const WRONG: &str = "a NEW-VIEW's O is not what follows from its V";
        let plan = Plan::of(&self.view_changes);
        require(plan.pre_prepares.len() == self.pre_prepares.len(), WRONG)?;
        for (Signed { body, .. }, (sequence, digest)) in self.pre_prepares.iter().zip(plan.pre_prepares) {
            require((body.sequence, body.digest) == (sequence, digest), WRONG)?;
            require(body.view == self.view, "a NEW-VIEW's O is for another view")?;
            check_pre_prepare(quorum, body)?;
        }
        Ok(())
    }

    /// Whether everybody in it signed, apart from the NEW-VIEW itself.
    pub fn verify_proofs(&self, verifier: &Verifier) -> bool {
        self.pre_prepares.iter().all(|pre_prepare| verifier.verify_once(pre_prepare))
            && self.view_changes.iter().all(|view_change| verifier.verify_once(view_change))
            && self.view_changes.iter().all(|view_change| view_change.body.verify_proofs(verifier))
    }
}

/// The whole check of a NEW-VIEW, by whoever does not have it from a [`Checker`](super::Checker).
pub fn validate(
    new_view: &Signed<NewView>,
    quorum: &Quorum,
    window: u64,
    verifier: &Verifier,
) -> Result<(), &'static str> {
    new_view.body.check(quorum, window)?;
    let signed = verifier.verify(new_view) && new_view.body.verify_proofs(verifier);
    require(signed, "a NEW-VIEW has a signature that does not hold")
}

#[cfg(test)]
#[path = "new_view_tests.rs"]
mod tests;
