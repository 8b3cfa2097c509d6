//! Certificates: what a quorum said, so that whoever holds it can show it to others.
//!
//! A certificate has exactly as many signatures as it needs: with more it would prove no more, and cost those who check
//! it. Structure (cheap) and signatures (not) are checked apart, so that nonsense costs nothing.

use super::message::{Checkpoint, PrePrepare, Prepare, Prepared, Sequence, Signed, Stable};
use super::numbers::NUMBERS_END;
use super::quorum::Quorum;
use super::signing::Verifier;
use crate::consensus::{Digest, NodeId};

/// Refuses with words.
pub(super) fn require(condition: bool, why: &'static str) -> Result<(), &'static str> {
    if condition { Ok(()) } else { Err(why) }
}

/// Whether all ids are members, in ascending order, each once.
pub(super) fn are_distinct_members(quorum: &Quorum, ids: impl Iterator<Item = NodeId> + Clone) -> bool {
    ids.clone().is_sorted_by(|a, b| a < b) && ids.into_iter().all(|id| quorum.contains(id))
}

impl Prepared {
    /// The certificate that these PREPAREs make with the PRE-PREPARE; `None` if there are too few. `prepares`: one at
    /// most of each backup, in ascending order, all matching.
    pub fn of<'a>(
        quorum: &Quorum,
        pre_prepare: Signed<PrePrepare>,
        prepares: impl IntoIterator<Item = &'a Signed<Prepare>>,
    ) -> Option<Self> {
        let wanted = quorum.quorum() - 1;
        let prepares: Vec<_> = prepares.into_iter().take(wanted).copied().collect();
        (prepares.len() == wanted).then_some(Self { pre_prepare, prepares })
    }

    /// The slot's sequence number.
    pub fn sequence(&self) -> Sequence {
        self.pre_prepare.body.sequence
    }

    /// What prepared there.
    pub fn digest(&self) -> Digest {
        self.pre_prepare.body.digest
    }

    /// In which view.
    pub fn view(&self) -> super::message::View {
        self.pre_prepare.body.view
    }

    /// Whether it says what a certificate must say (TOCS §4.3): a PRE-PREPARE of its view's primary, and matching PREPAREs
    /// of Q - 1 different backups.
    pub fn check(&self, quorum: &Quorum) -> Result<(), &'static str> {
        let said = &self.pre_prepare.body;
        check_pre_prepare(quorum, said)?;
        require(self.prepares.len() == quorum.quorum() - 1, "a certificate has not Q - 1 PREPAREs")?;
        let backups = self.prepares.iter().map(|prepare| prepare.body.replica);
        require(
            are_distinct_members(quorum, backups),
            "a certificate's PREPAREs are not of different members",
        )?;
        for Signed { body, .. } in &self.prepares {
            require(body.replica != said.replica, "a certificate has a PREPARE of the primary")?;
            let same = (body.view, body.sequence, body.digest) == (said.view, said.sequence, said.digest);
            require(same, "a certificate's PREPAREs do not match its PRE-PREPARE")?;
        }
        Ok(())
    }

    /// Whether everybody in it signed.
    pub fn verify(&self, verifier: &Verifier) -> bool {
        verifier.verify_once(&self.pre_prepare)
            && self.prepares.iter().all(|prepare| verifier.verify_once(prepare))
    }
}

/// Whether a PRE-PREPARE is of its view's primary and about a slot that there is.
pub(super) fn check_pre_prepare(quorum: &Quorum, said: &PrePrepare) -> Result<(), &'static str> {
    require(said.replica == quorum.primary(said.view), "a PRE-PREPARE is not of its view's primary")?;
    require(said.view.0 < NUMBERS_END, "its view is beyond all views")?;
    check_slot(said.sequence)
}

/// Whether there is such a slot.
pub(super) fn check_slot(sequence: Sequence) -> Result<(), &'static str> {
    require(sequence > Sequence::ZERO, "sequence numbers begin at 1")?;
    require(sequence.0 < NUMBERS_END, "its sequence number is beyond all slots")
}

impl Stable {
    /// The proof that these CHECKPOINTs make; `None` if there are too few. `checkpoints`: one at most of each replica, in
    /// ascending order, all alike.
    pub fn of<'a>(
        quorum: &Quorum,
        checkpoints: impl IntoIterator<Item = &'a Signed<Checkpoint>>,
    ) -> Option<Self> {
        let wanted = quorum.quorum();
        let checkpoints: Vec<_> = checkpoints.into_iter().take(wanted).copied().collect();
        (checkpoints.len() == wanted).then_some(Self { checkpoints })
    }

    /// Which checkpoint is stable; zero for the state before the first request.
    pub fn sequence(&self) -> Sequence {
        self.checkpoints.first().map_or(Sequence::ZERO, |checkpoint| checkpoint.body.sequence)
    }

    /// The digest of its state; `None` for the state before the first request, which everybody knows.
    pub fn digest(&self) -> Option<Digest> {
        self.checkpoints.first().map(|checkpoint| checkpoint.body.digest)
    }

    /// Whether it says what a proof must say (TOCS §4.4): nothing, or Q different replicas say the same.
    pub fn check(&self, quorum: &Quorum) -> Result<(), &'static str> {
        let Some(Signed { body: first, .. }) = self.checkpoints.first() else { return Ok(()) };
        check_slot(first.sequence)?;
        require(self.checkpoints.len() == quorum.quorum(), "a proof has not Q CHECKPOINTs")?;
        let replicas = self.checkpoints.iter().map(|checkpoint| checkpoint.body.replica);
        require(
            are_distinct_members(quorum, replicas),
            "a proof's CHECKPOINTs are not of different members",
        )?;
        let alike = |said: &Checkpoint| (said.sequence, said.digest) == (first.sequence, first.digest);
        require(
            self.checkpoints.iter().all(|checkpoint| alike(&checkpoint.body)),
            "a proof's CHECKPOINTs are not alike",
        )
    }

    /// Whether everybody in it signed.
    pub fn verify(&self, verifier: &Verifier) -> bool {
        self.checkpoints.iter().all(|checkpoint| verifier.verify_once(checkpoint))
    }
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
