//! What a node's disk holds, as far as the records tell that were given to it.

use std::collections::VecDeque;

use super::super::message::Term;
use super::super::server::Raft;
use crate::consensus::{Index, Lsn, NodeId};

/// What a log on disk comes to: the terms of its entries, above a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Disk {
    pub(super) term: Term,
    pub(super) voted_for: Option<NodeId>,
    pub(super) base: Index,
    pub(super) base_term: Term,
    pub(super) terms: Vec<Term>,
}

impl Disk {
    pub(super) fn last_index(&self) -> Index {
        Index(self.base.0 + self.terms.len() as u64)
    }

    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base {
            return Some(self.base_term);
        }
        let position = index.0.checked_sub(self.base.0 + 1)?;
        self.terms.get(position as usize).copied()
    }

    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::HardState(term, voted_for) => (self.term, self.voted_for) = (term, voted_for),
            Change::Entry(index, term) => {
                if index <= self.base || index > self.last_index().next() {
                    // The log goes on behind a snapshot that is on disk already, the reset before it on its way.
                    (self.base, self.base_term) = (index.prev(), Term::ZERO);
                    self.terms.clear();
                }
                self.terms.truncate((index.0 - self.base.0 - 1) as usize);
                self.terms.push(term);
            }
            Change::Reset(index, term) => {
                (self.base, self.base_term) = (index, term);
                self.terms.clear();
            }
        }
    }
}

/// A record without its content.
#[derive(Clone, Copy, Debug)]
pub(super) enum Change {
    HardState(Term, Option<NodeId>),
    Entry(Index, Term),
    Reset(Index, Term),
}

/// What is known of a node.
#[derive(Debug, Default)]
pub(super) struct View {
    pub(super) durable: Disk,
    pub(super) written: Disk,
    /// Records that are written and not durable.
    pub(super) pending: VecDeque<(Lsn, Change)>,
    /// The newest durable snapshot.
    pub(super) snapshot: (Index, Term),
    /// As it was after the last step.
    pub(super) term: Term,
    pub(super) commit: Index,
    pub(super) leads: bool,
}

impl View {
    /// Whether everything up to the entry is on the node's disk, as an entry or in a snapshot.
    pub(super) fn holds(&self, index: Index, term: Term) -> bool {
        index <= self.snapshot.0 || index < self.durable.base || self.durable.term_at(index) == Some(term)
    }
}

/// Whether a replica that started again has what the disk held, given its newest snapshot.
pub(super) fn matches(disk: &Disk, replica: &Raft, (snapshot, epoch): (Index, Term)) -> bool {
    let (term, vote) = if disk.term >= epoch { (disk.term, disk.voted_for) } else { (epoch, None) };
    if (replica.term(), replica.voted_for()) != (term, vote) {
        return false;
    }
    let fits =
        disk.term_at(snapshot) == Some(epoch) || (disk.base == snapshot && disk.base_term == Term::ZERO);
    if !fits {
        return replica.last_index() == snapshot;
    }
    let last = disk.last_index();
    replica.last_index() == last
        && (snapshot.next().0..=last.0)
            .all(|index| replica.term_at(Index(index)) == disk.term_at(Index(index)))
}
