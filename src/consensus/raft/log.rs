//! The log as the protocol sees it: in memory, above a base that the snapshot covers.

use std::collections::VecDeque;

use super::message::Term;
use super::record::Entry;
use crate::consensus::{Index, Lsn};

/// The entries above a base, each with the number of its record on disk.
///
/// Invariants:
///
/// 1. Entries are consecutive: the first follows the base, each next one follows the one before.
/// 2. Terms never fall from one entry to the next, nor below the base's.
/// 3. Record numbers rise from each entry to the next: what is durable is a prefix. Because a number names one record
///    for ever, an entry that was replaced by another of the same index is never taken for it when the old one's
///    write ends late.
/// 4. `durable` is the last index of that prefix, and not below the base.
#[derive(Debug)]
pub(super) struct Log {
    base_index: Index,
    base_term: Term,
    /// The number of the record that sets the base; zero if the snapshot alone says it.
    base_lsn: Lsn,
    /// Bytes of all entries up to the base, since this log was made.
    base_end: u64,
    slots: VecDeque<Slot>,
    durable: Index,
}

#[derive(Debug)]
struct Slot {
    entry: Entry,
    lsn: Lsn,
    /// Bytes of all entries up to this one, since this log was made: a difference of two is the size of a range.
    end: u64,
}

impl Log {
    /// An empty log that goes on after `index`.
    pub(super) fn new(index: Index, term: Term, lsn: Lsn) -> Self {
        Self {
            base_index: index,
            base_term: term,
            base_lsn: lsn,
            base_end: 0,
            slots: VecDeque::new(),
            durable: index,
        }
    }

    pub(super) fn base_index(&self) -> Index {
        self.base_index
    }

    pub(super) fn base_term(&self) -> Term {
        self.base_term
    }

    pub(super) fn first_index(&self) -> Index {
        self.base_index.next()
    }

    pub(super) fn last_index(&self) -> Index {
        Index(self.base_index.0 + self.slots.len() as u64)
    }

    pub(super) fn last_term(&self) -> Term {
        self.slots.back().map_or(self.base_term, |slot| slot.entry.term)
    }

    /// The last index up to which everything is on this server's disk.
    pub(super) fn durable_index(&self) -> Index {
        self.durable
    }

    /// Bytes of the entries in memory.
    pub(super) fn bytes(&self) -> usize {
        (self.end_at(self.last_index()) - self.base_end) as usize
    }

    /// Bytes of the entries after `index`, which must not be above the last.
    pub(super) fn bytes_between(&self, after: Index, up_to: Index) -> usize {
        self.end_at(up_to).saturating_sub(self.end_at(after)) as usize
    }

    fn slot(&self, index: Index) -> Option<&Slot> {
        let offset = index.0.checked_sub(self.first_index().0)?;
        self.slots.get(offset as usize)
    }

    fn end_at(&self, index: Index) -> u64 {
        self.slot(index).map_or(self.base_end, |slot| slot.end)
    }

    pub(super) fn entry(&self, index: Index) -> Option<&Entry> {
        self.slot(index).map(|slot| &slot.entry)
    }

    /// The term of the entry at `index`, or of the base; `None` below and above.
    pub(super) fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base_index {
            Some(self.base_term)
        } else {
            self.entry(index).map(|entry| entry.term)
        }
    }

    /// The record that must be durable for everything up to `index` to be; zero if it needs none.
    pub(super) fn lsn_at(&self, index: Index) -> Lsn {
        self.slot(index).map_or(self.base_lsn, |slot| slot.lsn)
    }

    /// The record of the first entry in memory.
    pub(super) fn first_lsn(&self) -> Option<Lsn> {
        self.slots.front().map(|slot| slot.lsn)
    }

    /// Whether a log that ends with `last_index` and `last_term` is at least as up to date as this one (§5.4.1).
    pub(super) fn is_up_to_date(&self, last_index: Index, last_term: Term) -> bool {
        (last_term, last_index) >= (self.last_term(), self.last_index())
    }

    /// The last position at or before `index` whose term is not above `term`, with its term: where two logs can first
    /// match again. Never below the base.
    pub(super) fn last_not_above(&self, index: Index, term: Term) -> (Index, Term) {
        let end = index.0.saturating_sub(self.base_index.0).min(self.slots.len() as u64) as usize;
        // Invariant 2 makes the terms sorted.
        let (mut low, mut high) = (0, end);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.slots[middle].entry.term <= term { low = middle + 1 } else { high = middle }
        }
        let found = Index(self.base_index.0 + low as u64);
        (found, self.term_at(found).unwrap_or(self.base_term))
    }

    /// Appends an entry after the last one.
    pub(super) fn append(&mut self, entry: Entry, lsn: Lsn) {
        assert_eq!(entry.index, self.last_index().next(), "log invariant 1: entries are consecutive");
        assert!(entry.term >= self.last_term(), "log invariant 2: terms never fall");
        assert!(lsn > self.lsn_at(self.last_index()), "log invariant 3: record numbers rise");
        let end = self.end_at(self.last_index()) + entry.size() as u64;
        self.slots.push_back(Slot { entry, lsn, end });
    }

    /// Drops the entries from `index` on.
    pub(super) fn truncate_from(&mut self, index: Index) {
        assert!(index > self.base_index, "only entries in memory can be truncated");
        self.slots.truncate((index.0 - self.first_index().0) as usize);
        self.durable = self.durable.min(self.last_index());
    }

    /// Forgets the entries up to `index`, which a durable snapshot covers.
    pub(super) fn compact_to(&mut self, index: Index) {
        if index <= self.base_index {
            return;
        }
        let Some(slot) = self.slot(index) else { return };
        (self.base_term, self.base_lsn, self.base_end) = (slot.entry.term, slot.lsn, slot.end);
        self.slots.drain(..=(index.0 - self.first_index().0) as usize);
        self.base_index = index;
        self.durable = self.durable.max(index);
        // Of a large log that became small, the memory goes back too.
        if self.slots.capacity() > 4096 && self.slots.len() < self.slots.capacity() / 4 {
            self.slots.shrink_to(self.slots.len() * 2);
        }
    }

    /// The highest index up to which the entries may be forgotten if `keep` bytes below and up to `snapshot` stay.
    pub(super) fn compaction_point(&self, snapshot: Index, keep: usize) -> Index {
        let end = self.end_at(snapshot.min(self.last_index()));
        let droppable =
            self.slots.partition_point(|slot| slot.entry.index <= snapshot && slot.end + keep as u64 <= end);
        Index(self.base_index.0 + droppable as u64)
    }

    /// Everything is void; the log goes on after `index`.
    pub(super) fn reset(&mut self, index: Index, term: Term, lsn: Lsn) {
        *self = Self::new(index, term, lsn);
    }

    /// Records up to `lsn` are on disk.
    pub(super) fn on_durable(&mut self, lsn: Lsn) {
        while let Some(slot) = self.slot(self.durable.next())
            && slot.lsn <= lsn
        {
            self.durable = self.durable.next();
        }
    }

    /// Entries from `from` on, up to a number and a size; at least one if there is any.
    pub(super) fn slice(&self, from: Index, max_entries: usize, max_bytes: usize) -> Vec<Entry> {
        let start = from.0.saturating_sub(self.first_index().0) as usize;
        let limit = self.end_at(from.prev()) + max_bytes as u64;
        let slots = self.slots.range(start.min(self.slots.len())..);
        slots
            .take(max_entries)
            .enumerate()
            .take_while(|(position, slot)| *position == 0 || slot.end <= limit)
            .map(|(_, slot)| slot.entry.clone())
            .collect()
    }

    /// The entries after `after`, up to `up_to`.
    pub(super) fn range(&self, after: Index, up_to: Index) -> impl Iterator<Item = &Entry> {
        let start = (after.0.saturating_sub(self.base_index.0) as usize).min(self.slots.len());
        let end = (up_to.0.saturating_sub(self.base_index.0) as usize).clamp(start, self.slots.len());
        self.slots.range(start..end).map(|slot| &slot.entry)
    }
}

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;
