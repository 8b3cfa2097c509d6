//! Tests of the layer as a whole, over the faulty disk; and the model that they share.

mod crashes;
mod damage;
mod data_dirs;
mod disks;
mod looking;
mod snapshots;
mod writing;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use super::*;
use crate::consensus::{Lsn, NodeId};

const DIR: &str = "/wal";

fn identity() -> Identity {
    Identity { cluster_id: 0xC1, node: NodeId(3), protocol: "raft".to_owned() }
}

/// Small segments, so that a few records fill one.
fn options() -> WalOptions {
    WalOptions { salt: 77, reserve: 300, ..WalOptions::with_segment_bytes(2048) }
}

/// A record whose content depends on its number and on the life in which it was written.
fn record(lsn: u64, bytes: usize, life: u64) -> (Lsn, Bytes) {
    let content = (0..bytes as u64).map(|at| (lsn * 31 + at * 7 + life * 101) as u8);
    (Lsn(lsn), content.collect())
}

/// A disk with an empty log.
fn disk_with_log() -> FaultyDisk {
    let disk = FaultyDisk::new();
    disk.create_dir(Path::new(DIR)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    Wal::create(&as_disk(&disk), Path::new(DIR), &identity(), options()).unwrap();
    disk
}

fn as_disk(disk: &FaultyDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}

fn open(disk: &FaultyDisk) -> Result<(Wal, Opened), WalError> {
    Wal::open(as_disk(disk), Path::new(DIR), identity(), options())
}

fn segment(id: u64) -> PathBuf {
    Path::new(DIR).join(format!("{id:016x}.wal"))
}

/// Writes and syncs one batch of one record.
fn append(wal: &mut Wal, bytes: usize) -> (Lsn, Bytes) {
    let record = record(wal.next_lsn().0, bytes, 0);
    wal.write(std::slice::from_ref(&record)).unwrap();
    wal.sync().unwrap();
    record
}

/// A log together with what it must still know: what was written, what of it was promised, what was given up.
struct Model {
    disk: FaultyDisk,
    wal: Wal,
    life: u64,
    written: Vec<(Lsn, Bytes)>,
    durable: Lsn,
    retained_from: Lsn,
}

impl Model {
    fn new() -> Self {
        let disk = disk_with_log();
        let (wal, _) = open(&disk).unwrap();
        Self { disk, wal, life: 0, written: Vec::new(), durable: Lsn::ZERO, retained_from: Lsn(1) }
    }

    /// One batch with records of these lengths, synced.
    fn batch(&mut self, lengths: &[usize]) -> Result<(), WalError> {
        let from = self.wal.next_lsn().0;
        let records: Vec<_> =
            (from..).zip(lengths).map(|(lsn, bytes)| record(lsn, *bytes, self.life)).collect();
        self.written.extend(records.iter().cloned());
        self.wal.write(&records)?;
        self.durable = self.wal.sync()?;
        Ok(())
    }

    fn retain_from(&mut self, lsn: Lsn) {
        self.retained_from = self.retained_from.max(lsn.min(self.durable));
        self.wal.retain_from(self.retained_from);
    }

    fn prepare(&mut self) -> Result<(), WalError> {
        match self.wal.preparation() {
            Some(preparation) => self.wal.prepared(preparation.run()),
            None => Ok(()),
        }
    }

    /// Crashes, opens what is left, checks it, and goes on with it.
    fn crash(&mut self, crash: &Crash) {
        self.reopen(self.disk.crash(crash)).unwrap_or_else(|error| panic!("after {crash:?}: {error}"));
    }

    fn reopen(&mut self, disk: FaultyDisk) -> Result<(), WalError> {
        let (wal, opened) = open(&disk)?;
        self.check(&opened);
        self.written.truncate(opened.next_lsn.0 as usize - 1);
        (self.disk, self.wal, self.life) = (disk, wal, self.life + 1);
        self.durable = self.wal.durable();
        Ok(())
    }

    /// What was promised is there, nothing is there that was not written, and nothing is missing in between.
    fn check(&self, opened: &Opened) {
        let numbers: Vec<u64> = opened.records.iter().map(|(lsn, _)| lsn.0).collect();
        let first = numbers.first().copied().unwrap_or(opened.next_lsn.0);
        assert_eq!(numbers, (first..opened.next_lsn.0).collect::<Vec<_>>(), "no gaps");
        assert!(
            first <= self.retained_from.0,
            "{first} is the first, {} is still needed",
            self.retained_from
        );
        assert!(opened.next_lsn > self.durable, "{} is next, {} was durable", opened.next_lsn, self.durable);
        for (lsn, content) in &opened.records {
            assert_eq!(*content, self.written[lsn.0 as usize - 1].1, "record {lsn}");
        }
    }
}
