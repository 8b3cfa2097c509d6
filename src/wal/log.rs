//! The log, as it is written.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::disk::Disk;
use super::error::{WalError, cannot};
use super::options::{Identity, WalOptions};
use super::prepare::{KEEP_RETIRED, Preparation, Prepared, Segment};
use super::segment::{BATCH_HEADER_BYTES, HEADER_BYTES, RECORD_HEADER_BYTES, batch_bytes, encode_batch};
use crate::consensus::{Lsn, Pressure, Shortage};

/// A segment that is full and still needed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Full {
    pub(super) id: u64,
    /// Its last record.
    pub(super) last: Lsn,
}

/// How much a probe writes.
const PROBE_BYTES: u64 = 8;

/// What a log has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Batches written.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// Bytes in them, with headers and padding.
    pub bytes: u64,
    /// Syncs of batches.
    pub syncs: u64,
    /// Bytes that the last sync made durable.
    pub last_sync_bytes: u64,
}

/// The write-ahead log.
///
/// # Invariants
///
/// 1. A batch is written only when the one before it is durable: [`write`](Self::write) alternates with
///    [`sync`](Self::sync). So at most the last batch can be torn.
/// 2. Numbers of batches and of records are consecutive over all segments.
/// 3. After a write or sync has failed, nothing is written or called durable again.
/// 4. The segment that holds the last durable batch is never dropped, nor one behind it; segments go oldest first.
/// 5. Behind the last batch every segment holds zeros, or batches of earlier segments, or the torn rest of one batch;
///    opening the log makes it zeros.
#[derive(Debug)]
pub struct Wal {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) identity: Identity,
    pub(super) options: WalOptions,
    /// Older than `active` and needed, oldest first.
    pub(super) full: VecDeque<Full>,
    /// Older still and no longer needed, oldest first.
    pub(super) retired: VecDeque<u64>,
    pub(super) active: Segment,
    /// Ready to follow, in order.
    pub(super) spares: VecDeque<Segment>,
    /// A preparation is under way.
    pub(super) preparing: bool,
    /// What the last preparation found too little of.
    pub(super) starved: Option<Shortage>,
    pub(super) next_batch: u64,
    pub(super) next_lsn: Lsn,
    /// The last durable record, and the segment of the last durable batch.
    pub(super) durable: Lsn,
    pub(super) durable_segment: u64,
    /// Bytes of the batch that waits for its sync; zero when none does.
    pub(super) unsynced: u64,
    /// A probe waits for its sync.
    pub(super) probing: bool,
    pub(super) buffer: Vec<u8>,
    pub(super) failed: Option<WalError>,
    pub(super) counters: Counters,
}

impl Wal {
    /// Writes records as one batch, without syncing it. Only what exceeds a whole segment is split, with a sync between
    /// the parts.
    ///
    /// After [`WalError::Full`] or [`WalError::Unprepared`] the records from [`next_lsn`](Self::next_lsn) on are not
    /// written and can be written again.
    ///
    /// # Panics
    ///
    /// If the batch before was not synced (invariant 1), or the numbers do not follow (invariant 2).
    pub fn write(&mut self, records: &[(Lsn, Bytes)]) -> Result<(), WalError> {
        self.check()?;
        assert_eq!(
            self.unsynced, 0,
            "invariant 1: a batch is written only when the one before it is durable"
        );
        self.check_records(records)?;
        let mut rest = records;
        while !rest.is_empty() {
            if self.unsynced > 0 {
                self.sync()?;
            }
            let (batch, later) = rest.split_at(self.how_many_fit(rest));
            self.make_room(batch_bytes(batch))?;
            self.put(batch)?;
            rest = later;
        }
        Ok(())
    }

    /// Writes nothing that counts, so that the next [`sync`](Self::sync) has to wait for the disk: zeros where the next
    /// batch will begin, which belong there (invariant 5).
    pub fn probe(&mut self) -> Result<(), WalError> {
        self.check()?;
        assert_eq!(self.unsynced, 0, "invariant 1: a probe is made only when what was written is durable");
        let room = self.active.room().min(PROBE_BYTES) as usize;
        let written = self.active.file.write_at(self.active.end, &[0; PROBE_BYTES as usize][..room]);
        self.or_fail(written.map_err(cannot("write", &self.active.path)))?;
        self.probing = true;
        Ok(())
    }

    /// Makes everything that was written durable, and returns the last durable record. Without anything to do it does not
    /// touch the disk.
    pub fn sync(&mut self) -> Result<Lsn, WalError> {
        self.check()?;
        if self.unsynced > 0 || std::mem::take(&mut self.probing) {
            let synced = self.active.file.sync_data().map_err(cannot("sync", &self.active.path));
            self.or_fail(synced)?;
        }
        if self.unsynced > 0 {
            self.counters.syncs += 1;
            self.counters.last_sync_bytes = std::mem::take(&mut self.unsynced);
            self.durable = self.next_lsn.prev();
            self.durable_segment = self.active.id;
        }
        Ok(self.durable)
    }

    /// Lets the log forget the records below `lsn`, as far as whole segments go. Nothing is removed here: the next
    /// [`preparation`](Self::preparation) does it. A crash before that brings the records back, which harms nobody.
    pub fn retain_from(&mut self, lsn: Lsn) {
        while let Some(oldest) = self.full.front()
            && oldest.last < lsn
            && oldest.id < self.durable_segment
        {
            self.retired.push_back(oldest.id);
            self.full.pop_front();
        }
    }

    /// The job that is to be done next beside the log, if there is one: run it here or on another thread, and hand the
    /// result to [`prepared`](Self::prepared). One at a time. After a failure for want of room it is offered again at
    /// once; how often to try is the caller's choice.
    pub fn preparation(&mut self) -> Option<Preparation> {
        let wanted = self.spares.is_empty();
        if self.preparing || self.failed.is_some() || (!wanted && self.retired.len() <= KEEP_RETIRED) {
            return None;
        }
        self.preparing = true;
        Some(Preparation {
            disk: Arc::clone(&self.disk),
            dir: self.dir.clone(),
            identity: self.identity.clone(),
            options: self.options,
            id: wanted.then_some(self.active.id + 1),
            retired: self.retired.clone(),
        })
    }

    /// Takes the result of a preparation. A full disk is no error here: it shows in [`pressure`](Self::pressure).
    pub fn prepared(&mut self, prepared: Prepared) -> Result<(), WalError> {
        self.check()?;
        self.preparing = false;
        self.retired.drain(..prepared.gone);
        match prepared.segment {
            Ok(segment) => {
                self.starved = None;
                self.spares.extend(segment);
                Ok(())
            }
            Err(error) => {
                self.starved = error.shortage();
                // A disk that fails at this will fail at batches: better to stop here than in the middle of one.
                if self.starved.is_some() { Ok(()) } else { self.or_fail(Err(error)) }
            }
        }
    }

    /// Whether there is room: full while no segment can be made ready and what is left of this one runs out.
    pub fn pressure(&self) -> Pressure {
        let low = self.spares.is_empty() && self.active.room() < self.options.full_below;
        self.starved.filter(|_| low).map_or(Pressure::Ok, Pressure::Full)
    }

    /// The number that the next record must have.
    pub fn next_lsn(&self) -> Lsn {
        self.next_lsn
    }

    /// The last durable record.
    pub fn durable(&self) -> Lsn {
        self.durable
    }

    /// Why the log has failed for good, if it has.
    pub fn failure(&self) -> Option<&WalError> {
        self.failed.as_ref()
    }

    /// What the log has done since it was opened.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// The longest record that a segment can hold.
    pub fn max_record_bytes(&self) -> u64 {
        self.max_batch_bytes() - BATCH_HEADER_BYTES - RECORD_HEADER_BYTES
    }

    fn max_batch_bytes(&self) -> u64 {
        self.options.segment_bytes - HEADER_BYTES
    }

    fn check(&self) -> Result<(), WalError> {
        self.failed.clone().map_or(Ok(()), Err)
    }

    /// Invariant 3: remembers a failure for ever.
    fn or_fail<T>(&mut self, result: Result<T, WalError>) -> Result<T, WalError> {
        result.map_err(|error| self.failed.insert(error.into_final()).clone())
    }

    fn check_records(&self, records: &[(Lsn, Bytes)]) -> Result<(), WalError> {
        let limit = self.max_record_bytes();
        for ((lsn, record), expected) in records.iter().zip(self.next_lsn.0..) {
            assert_eq!(lsn.0, expected, "invariant 2: records are numbered without gaps");
            let bytes = record.len() as u64;
            if bytes > limit {
                return Err(WalError::RecordTooLarge { lsn: *lsn, bytes, limit });
            }
        }
        Ok(())
    }

    /// How many records, from the front, one batch can hold: at least one, as their sizes were checked.
    fn how_many_fit(&self, records: &[(Lsn, Bytes)]) -> usize {
        let mut bytes = BATCH_HEADER_BYTES;
        let fits = |(_, record): &&(Lsn, Bytes)| {
            bytes += RECORD_HEADER_BYTES + record.len() as u64;
            bytes.next_multiple_of(8) <= self.max_batch_bytes()
        };
        records.iter().take_while(fits).count()
    }

    /// Finds room for a batch: here, or in the next segment.
    fn make_room(&mut self, bytes: u64) -> Result<(), WalError> {
        if self.spares.is_empty() && !self.may_use_rest(bytes) {
            self.prepare_now(bytes)?;
        }
        // More than once only behind segments of an earlier and shorter length.
        while bytes > self.active.room() {
            if self.spares.is_empty() {
                self.prepare_now(bytes)?;
            }
            let spare = self.spares.pop_front().expect("a segment was made ready, or an error returned");
            let full = std::mem::replace(&mut self.active, spare);
            self.full.push_back(Full { id: full.id, last: self.durable });
        }
        Ok(())
    }

    /// Whether a batch may go into this segment though no other is ready: the reserve is for small ones.
    fn may_use_rest(&self, bytes: u64) -> bool {
        let reserve = if bytes <= self.options.small { 0 } else { self.options.reserve };
        bytes + reserve <= self.active.room()
    }

    /// The next segment is needed at once: nobody made it ready ahead of time.
    fn prepare_now(&mut self, needed: u64) -> Result<(), WalError> {
        let Some(preparation) = self.preparation() else { return Err(WalError::Unprepared) };
        self.prepared(preparation.run())?;
        if self.spares.is_empty() {
            return Err(WalError::Full { needed, room: self.active.room() });
        }
        Ok(())
    }

    fn put(&mut self, records: &[(Lsn, Bytes)]) -> Result<(), WalError> {
        encode_batch(&mut self.buffer, self.active.salt, self.next_batch, records);
        let written = self.active.file.write_at(self.active.end, &self.buffer);
        self.or_fail(written.map_err(cannot("write", &self.active.path)))?;
        let bytes = self.buffer.len() as u64;
        self.active.end += bytes;
        self.unsynced = bytes;
        self.next_batch += 1;
        self.next_lsn = Lsn(self.next_lsn.0 + records.len() as u64);
        self.counters.batches += 1;
        self.counters.records += records.len() as u64;
        self.counters.bytes += bytes;
        Ok(())
    }
}
