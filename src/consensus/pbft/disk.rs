//! What this replica has told its disk, and what the disk has said is safe.

use std::collections::BTreeMap;

use super::message::Sequence;
use super::record::Record;
use crate::consensus::{Lsn, Pressure};

/// Numbers the records, and knows which of them are durable and which are still needed.
#[derive(Debug)]
pub(super) struct Disk {
    /// The next record's number. Never goes back (contract invariant 2).
    next: Lsn,
    /// Everything up to here is durable.
    durable: Lsn,
    /// The first record about each slot that no saved state covers: a saved state frees those up to its own slot. Bounded
    /// by `bytes`, which ask for the next saved state.
    first: BTreeMap<Sequence, Lsn>,
    /// Bytes written since the last saved state was begun.
    bytes: usize,
    /// How the disk is doing.
    pub(super) pressure: Pressure,
}

impl Disk {
    /// All records below `next` are durable.
    pub(super) fn new(next: Lsn) -> Self {
        Self { next, durable: next.prev(), first: BTreeMap::new(), bytes: 0, pressure: Pressure::Ok }
    }

    /// Numbers a record and hands it to the log on disk.
    pub(super) fn write(&mut self, record: Record, records: &mut Vec<(Lsn, Record)>) -> Lsn {
        let lsn = self.next;
        self.next = lsn.next();
        self.note(lsn, &record);
        records.push((lsn, record));
        lsn
    }

    /// Takes note of a record that is in the log already.
    pub(super) fn note(&mut self, lsn: Lsn, record: &Record) {
        self.bytes += record.size();
        if let Some(sequence) = record.slot() {
            self.first.entry(sequence).or_insert(lsn);
        }
    }

    /// Takes note that everything up to `lsn` is on disk.
    pub(super) fn on_durable(&mut self, lsn: Lsn) {
        assert!(lsn < self.next, "record {lsn} was reported durable, and was never written");
        self.durable = self.durable.max(lsn);
    }

    /// Whether a record is on disk.
    pub(super) fn is_durable(&self, lsn: Lsn) -> bool {
        lsn <= self.durable
    }

    /// The newest record.
    pub(super) fn last(&self) -> Lsn {
        self.next.prev()
    }

    /// What a message that promises the records up to `lsn` waits for.
    pub(super) fn after(&self, lsn: Lsn) -> Lsn {
        if self.is_durable(lsn) { Lsn::ZERO } else { lsn }
    }

    /// Bytes written since the last saved state was begun.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A state is being saved: what is written from now on is for the next one.
    pub(super) fn begin_saving(&mut self) {
        self.bytes = 0;
    }

    /// A saved state covers the slots up to `sequence`. Says which record is the first that is still needed for a slot.
    pub(super) fn saved(&mut self, sequence: Sequence) -> Option<Lsn> {
        self.first = self.first.split_off(&sequence.next());
        self.first.values().min().copied()
    }
}
