//! The stage that owns the log: everything that waits becomes one batch and one sync.

use bytes::Bytes;

use crate::consensus::{Lsn, Pressure};
use crate::wal::{Counters, Preparation, Prepared, Wal, WalError};

/// What the sequencer gives the log.
#[derive(Debug, Default)]
pub struct LogWork {
    /// Records, in order.
    pub records: Vec<(Lsn, Bytes)>,
    /// What is below is no longer needed once `records` are durable.
    pub retain_from: Option<Lsn>,
    /// The disk is to show that it still answers.
    pub probe: bool,
}

impl LogWork {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty() && self.retain_from.is_none() && !self.probe
    }
}

/// What came of one sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The log is durable up to here.
    pub durable: Lsn,
    /// Whether there is room for more.
    pub room: Pressure,
}

/// Owns the log. The caller's loop: [`push`](Self::push) all that waits, [`write`](Self::write), and if it wrote,
/// [`sync`](Self::sync); then again. Between `write` and `sync` nothing else is written, so that only the last batch
/// can ever be torn.
#[derive(Debug)]
pub struct Logger {
    wal: Wal,
    waiting: Vec<(Lsn, Bytes)>,
    retain_from: Option<Lsn>,
    probe: bool,
    /// The last preparation found no room, and it is not time to try again.
    out_of_room: bool,
}

impl Logger {
    pub(super) fn new(wal: Wal) -> Self {
        Self { wal, waiting: Vec::new(), retain_from: None, probe: false, out_of_room: false }
    }

    /// Queues work for the next batch.
    pub fn push(&mut self, work: LogWork) {
        self.waiting.extend(work.records);
        self.retain_from = self.retain_from.max(work.retain_from);
        self.probe |= work.probe;
    }

    /// Whether [`write`](Self::write) has something to write.
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.retain_from.is_none() && !self.probe
    }

    /// Writes all that is queued as one batch, not yet durable. What finds no room stays queued until the next segment
    /// is [`prepared`](Self::prepared). Returns whether a [`sync`](Self::sync) is due. An error is final: the node must
    /// stop.
    pub fn write(&mut self) -> Result<bool, WalError> {
        let before = self.wal.next_lsn();
        match self.wal.write(&self.waiting) {
            Ok(()) => self.waiting.clear(),
            Err(error) if error.shortage().is_some() || matches!(error, WalError::Unprepared) => {
                let next = self.wal.next_lsn();
                self.waiting.retain(|(lsn, _)| *lsn >= next);
            }
            Err(error) => return Err(error),
        }
        self.forget();
        let mut wrote = self.wal.next_lsn() > before;
        // A batch shows as much about the disk.
        if std::mem::take(&mut self.probe) && !wrote {
            self.wal.probe()?;
            wrote = true;
        }
        Ok(wrote)
    }

    /// Makes what was written durable, with one sync, and forgets what the protocol gave up. An error is final.
    pub fn sync(&mut self) -> Result<Logged, WalError> {
        let durable = self.wal.sync()?;
        self.forget();
        Ok(Logged { durable, room: self.wal.pressure() })
    }

    /// Invariant 5: what the protocol gave up is forgotten once everything that it had written by then is durable.
    fn forget(&mut self) {
        if self.waiting.is_empty()
            && self.wal.durable().next() == self.wal.next_lsn()
            && let Some(lsn) = self.retain_from.take()
        {
            self.wal.retain_from(lsn);
        }
    }

    /// Whether there is room for more.
    pub fn room(&self) -> Pressure {
        self.wal.pressure()
    }

    /// The next segment's preparation, when one is due: to be run elsewhere and given back. After one that met a full
    /// disk there is none before [`retry`](Self::retry): trying without a pause would keep the disk from all else.
    pub fn preparation(&mut self) -> Option<Preparation> {
        if self.out_of_room { None } else { self.wal.preparation() }
    }

    /// A full disk may have room again.
    pub fn retry(&mut self) {
        self.out_of_room = false;
    }

    /// Takes a prepared segment, or the failure to prepare one; returns whether there is room now. An error is
    /// final.
    pub fn prepared(&mut self, prepared: Prepared) -> Result<Pressure, WalError> {
        self.out_of_room = prepared.failure().is_some_and(|error| error.shortage().is_some());
        self.wal.prepared(prepared)?;
        Ok(self.wal.pressure())
    }

    /// What the log has done so far.
    pub fn counters(&self) -> Counters {
        self.wal.counters()
    }
}
