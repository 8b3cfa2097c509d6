//! What this replica has told its disk, and what the disk has said is safe.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::message::Sequence;
use super::record::Record;
use crate::consensus::{Lsn, Pressure, Time};

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
    /// Records that are not durable yet, and how many bytes each takes.
    undurable: VecDeque<(Lsn, usize)>,
    /// Since when the oldest of them, or a probe, has waited.
    waits_since: Option<Time>,
    /// When the disk last answered.
    answered: Time,
    undurable_bytes: usize,
    /// With more of them the disk is behind.
    limit: usize,
    /// What the log says of the disk.
    pub(super) reported: Pressure,
}

impl Disk {
    /// All records below `next` are durable.
    pub(super) fn new(next: Lsn, limit: usize, now: Time) -> Self {
        Self {
            next,
            durable: next.prev(),
            first: BTreeMap::new(),
            bytes: 0,
            undurable: VecDeque::new(),
            waits_since: None,
            answered: now,
            undurable_bytes: 0,
            limit,
            reported: Pressure::Ok,
        }
    }

    /// Numbers a record and hands it to the log on disk.
    pub(super) fn write(&mut self, now: Time, record: Record, records: &mut Vec<(Lsn, Record)>) -> Lsn {
        self.waits_since.get_or_insert(now);
        let lsn = self.next;
        self.next = lsn.next();
        self.note(lsn, &record);
        self.undurable.push_back((lsn, record.size()));
        self.undurable_bytes += record.size();
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
    pub(super) fn on_durable(&mut self, now: Time, lsn: Lsn) {
        assert!(lsn < self.next, "record {lsn} was reported durable, and was never written");
        self.durable = self.durable.max(lsn);
        while let Some((_, bytes)) = self.undurable.pop_front_if(|(lsn, _)| *lsn <= self.durable) {
            self.undurable_bytes -= bytes;
        }
        self.answered = now;
        self.waits_since = (!self.undurable.is_empty()).then_some(now);
    }

    /// For how long the disk has not answered while something waits for it.
    pub(super) fn lag(&self, now: Time) -> Duration {
        self.waits_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether it is to be asked if it still answers, because nothing has been written for `interval`: then it is taken as
    /// asked.
    pub(super) fn probe(&mut self, now: Time, interval: Duration) -> bool {
        let due = self.waits_since.is_none() && now.since(self.answered) >= interval;
        if due {
            self.waits_since = Some(now);
        }
        due
    }

    /// Whether so much waits for the disk that nothing is taken which would have to be written as well: a disk that
    /// stalls while the others go on must not fill the memory.
    pub(super) fn is_behind(&self) -> bool {
        self.undurable_bytes > self.limit
    }

    /// How the disk is doing.
    pub(super) fn pressure(&self) -> Pressure {
        if self.reported == Pressure::Ok && self.is_behind() { Pressure::Slow } else { self.reported }
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
