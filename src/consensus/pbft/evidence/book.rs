//! [`Book`]: the evidence that a replica holds.

use std::collections::BTreeMap;

use super::super::quorum::Quorum;
use super::super::signing::Verifier;
use super::judge::{Charge, Kind};
use super::said::Evidence;
use crate::consensus::{Conviction, NodeId};

/// Pieces of each kind that are kept against one culprit. One proves as much as many; a second shows that it went on.
/// Bounds memory and the log, together with the number of members.
pub(in super::super) const PIECES_OF_KIND: usize = 2;

/// Evidence against others, bounded for each culprit.
#[derive(Debug)]
pub(in super::super) struct Book {
    quorum: Quorum,
    verifier: Verifier,
    /// By culprit, in the order in which they were found.
    kept: BTreeMap<NodeId, Vec<Piece>>,
}

#[derive(Debug)]
struct Piece {
    evidence: Evidence,
    charge: Charge,
}

/// What became of a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is the first against its culprit, and proves this.
    First(Charge),
    /// It is kept, and proves this.
    Kept(Charge),
    /// There are enough like it.
    Known,
}

impl Book {
    pub(in super::super) fn new(quorum: Quorum, verifier: Verifier) -> Self {
        Self { quorum, verifier, kept: BTreeMap::new() }
    }

    /// Enters a piece, unless it proves nothing.
    pub(super) fn enter(&mut self, evidence: &Evidence) -> Result<Entry, &'static str> {
        // Signatures cost: a liar that goes on makes this replica check no more of them than those of what it keeps.
        if evidence.content(&self.quorum).is_some_and(|charge| !self.has_room_for(&charge)) {
            return Ok(Entry::Known);
        }
        let charge = evidence.judge(&self.quorum, &self.verifier)?;
        if !self.has_room_for(&charge) {
            return Ok(Entry::Known);
        }
        let kept = self.kept.entry(charge.accused).or_default();
        kept.push(Piece { evidence: evidence.clone(), charge: charge.clone() });
        Ok(if kept.len() == 1 { Entry::First(charge) } else { Entry::Kept(charge) })
    }

    /// Whether there is nothing of the same place, and not enough of the kind.
    fn has_room_for(&self, charge: &Charge) -> bool {
        let place = |charge: &Charge| (charge.kind, charge.view, charge.sequence);
        let kept = self.kept.get(&charge.accused);
        self.wants(charge.accused, charge.kind)
            && kept.is_none_or(|kept| kept.iter().all(|piece| place(&piece.charge) != place(charge)))
    }

    /// Takes what an earlier life has written; what does not hold is left out.
    pub(in super::super) fn recover(&mut self, evidence: &Evidence) {
        let _ = self.enter(evidence);
    }

    /// Whether another piece against this one would be kept, so that looking for it is worth the work.
    pub(super) fn wants(&self, culprit: NodeId, kind: Kind) -> bool {
        let kept = self.kept.get(&culprit).map_or(&[][..], Vec::as_slice);
        kept.iter().filter(|piece| piece.charge.kind == kind).count() < PIECES_OF_KIND
    }

    /// All that is held, by culprit.
    pub(in super::super) fn all(&self) -> impl Iterator<Item = &Evidence> + '_ {
        self.kept.values().flatten().map(|piece| &piece.evidence)
    }

    /// Against whom anything is held.
    pub(in super::super) fn convicted(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.kept.keys().copied()
    }

    /// Whether anything is held against this one.
    pub(in super::super) fn convicts(&self, id: NodeId) -> bool {
        self.kept.contains_key(&id)
    }

    /// The first piece against this one.
    pub(in super::super) fn first_against(&self, id: NodeId) -> Option<&Evidence> {
        self.kept.get(&id)?.first().map(|piece| &piece.evidence)
    }

    /// For `status`.
    pub(in super::super) fn describe(&self) -> Vec<Conviction> {
        let describe = |(id, pieces): (&NodeId, &Vec<Piece>)| {
            let newest = pieces.last()?.charge.what.clone();
            Some(Conviction { id: id.0, pieces: pieces.len() as u64, newest })
        };
        self.kept.iter().filter_map(describe).collect()
    }
}
