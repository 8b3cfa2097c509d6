//! What a node has done since its start, counted where it happens.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::consensus::{Keys, Time};
use crate::wal;

/// Shared by the node's tasks and threads. Each figure is written by one of them; nothing is decided by any.
#[derive(Debug, Default)]
pub(super) struct Counters {
    /// Which count their own uses.
    keys: Keys,
    pub(super) fsyncs: AtomicU64,
    pub(super) wal_batches: AtomicU64,
    pub(super) wal_records: AtomicU64,
    pub(super) wal_bytes: AtomicU64,
    pub(super) proposals: AtomicU64,
    pub(super) applied_commands: AtomicU64,
    pub(super) fsync_max_us: AtomicU64,
    pub(super) fsync_last_us: AtomicU64,
    /// When the last sync ended, in microseconds of the node's clock.
    pub(super) fsync_ended_us: AtomicU64,
    /// When the sync began that is running now, in microseconds of the node's clock; 0 when none is.
    pub(super) fsync_began_us: AtomicU64,
}

/// What a node has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CountersSnapshot {
    /// Syncs of the log.
    pub fsyncs: u64,
    /// Batches written to the log.
    pub wal_batches: u64,
    /// Records in them.
    pub wal_records: u64,
    /// Bytes of them.
    pub wal_bytes: u64,
    /// Commands that clients of this node wanted executed.
    pub proposals: u64,
    /// Commands that the store executed.
    pub applied_commands: u64,
    /// The longest sync, in microseconds.
    pub fsync_max_us: u64,
    /// The last sync, in microseconds.
    pub fsync_last_us: u64,
    /// Signatures made.
    pub signatures: u64,
    /// Signatures checked; what was remembered to be true is not among them.
    pub verifications: u64,
}

impl Counters {
    pub(super) fn new(keys: Keys) -> Self {
        Self { keys, ..Self::default() }
    }

    pub(super) fn sync_begins(&self, now: Time) {
        self.fsync_began_us.store(micros(now.since_origin()).max(1), Ordering::Relaxed);
    }

    pub(super) fn sync_ended(&self, now: Time, took: Duration, wal: &wal::Counters) {
        let took = micros(took);
        self.fsync_began_us.store(0, Ordering::Relaxed);
        self.fsync_ended_us.store(micros(now.since_origin()), Ordering::Relaxed);
        self.fsync_last_us.store(took, Ordering::Relaxed);
        self.fsync_max_us.fetch_max(took, Ordering::Relaxed);
        self.fsyncs.store(wal.syncs, Ordering::Relaxed);
        self.wal_batches.store(wal.batches, Ordering::Relaxed);
        self.wal_records.store(wal.records, Ordering::Relaxed);
        self.wal_bytes.store(wal.bytes, Ordering::Relaxed);
    }

    /// What is wrong with the disk at `now`, in words.
    pub(super) fn slow_sync(&self, now: Time) -> Option<String> {
        /// A sync that takes this long is slower than the shortest election time-out.
        const SLOW: Duration = Duration::from_millis(300);
        /// For how long a slow sync is worth telling.
        const RECENT: Duration = Duration::from_secs(10);
        let since = |us: u64| now.since_origin().saturating_sub(Duration::from_micros(us));
        let seconds = |duration: Duration| format!("{:.1} s", duration.as_secs_f64());

        let began = self.fsync_began_us.load(Ordering::Relaxed);
        if began > 0 && since(began) > SLOW {
            return Some(format!("an fsync has been running for {}", seconds(since(began))));
        }
        let last = Duration::from_micros(self.fsync_last_us.load(Ordering::Relaxed));
        let recent = since(self.fsync_ended_us.load(Ordering::Relaxed)) < RECENT;
        (last > SLOW && recent).then(|| format!("last fsync took {}", seconds(last)))
    }

    pub(super) fn snapshot(&self) -> CountersSnapshot {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let uses = self.keys.uses();
        CountersSnapshot {
            fsyncs: get(&self.fsyncs),
            wal_batches: get(&self.wal_batches),
            wal_records: get(&self.wal_records),
            wal_bytes: get(&self.wal_bytes),
            proposals: get(&self.proposals),
            applied_commands: get(&self.applied_commands),
            fsync_max_us: get(&self.fsync_max_us),
            fsync_last_us: get(&self.fsync_last_us),
            signatures: uses.signatures,
            verifications: uses.verifications,
        }
    }
}

fn micros(duration: Duration) -> u64 {
    duration.as_micros() as u64
}
