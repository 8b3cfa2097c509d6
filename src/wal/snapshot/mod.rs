//! Snapshots on disk: one file each, written piece by piece, whole or not there.
//!
//! ```text
//! offset  bytes  what
//! 0       8      "CCTLSNAP"
//! 8       4      format
//! 12      4      CRC32C of the body
//! 16      4      length of the body
//! 20      ...    body: cluster id (8), node id (8), protocol (4 + length), meta in the canonical encoding
//! ...            pieces, each: number (4), length (4), CRC32C of number, length and content (4), content
//! ...            table: the offset of each piece (8 each)
//! end-32  8      offset of the table
//! end-24  4      number of pieces
//! end-20  4      CRC32C of the table and of the body's checksum, which ties the end to the beginning
//! end-16  8      length of the file
//! end-8   8      "CCTLDONE"
//! ```
//!
//! A snapshot is written to a temporary file, synced, and renamed; then the directory is synced, and only then are older
//! ones removed. So a crash leaves the old one, or both, or the new one: [`Snapshots::open`] takes the newest and removes
//! the rest. A newest one that is damaged is an error and never skipped: the log may already be cut at it.

mod reader;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::disk::Disk;
use super::error::{WalError, cannot};
use super::options::Identity;
use super::segment::UNFINISHED;
use crate::consensus::{Index, SnapshotMeta};

pub use reader::SnapshotReader;
pub use writer::SnapshotWriter;

const MAGIC: &[u8; 8] = b"CCTLSNAP";
const END_MAGIC: &[u8; 8] = b"CCTLDONE";
const FIXED_BYTES: u64 = 20;
const PIECE_HEADER_BYTES: u64 = 12;
const FOOTER_BYTES: u64 = 32;
const NAME_ENDING: &str = ".snap";

/// The snapshots of a node, of which one is kept. Clones share it, for any thread.
#[derive(Clone, Debug)]
pub struct Snapshots(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    identity: Identity,
    newest: Mutex<Option<SnapshotMeta>>,
    /// Keeps the temporary files of writers apart.
    writers: AtomicU64,
}

impl Snapshots {
    /// Opens the directory of snapshots. Removes what is unfinished or older than the newest. The newest's frame is
    /// checked here, its pieces when they are read.
    pub fn open(disk: Arc<dyn Disk>, dir: &Path, identity: Identity) -> Result<Self, WalError> {
        let newest = match snapshot_indices(&*disk, dir)?.last() {
            Some(&index) => Some(SnapshotReader::open(&*disk, &snapshot_path(dir, index), &identity)?),
            None => None,
        };
        for name in disk.list(dir).map_err(cannot("list", dir))? {
            if name.ends_with(UNFINISHED) {
                let path = dir.join(name);
                disk.remove(&path).map_err(cannot("remove", &path))?;
            }
        }
        let newest = newest.map(|reader| reader.meta().clone());
        // A crash between the rename and its sync may have left the new name visible but not durable.
        disk.sync_dir(dir).map_err(cannot("sync", dir))?;
        if let Some(newest) = &newest {
            remove_older(&*disk, dir, newest.index)?;
        }
        let (newest, writers) = (Mutex::new(newest), AtomicU64::new(0));
        Ok(Self(Arc::new(Shared { disk, dir: dir.to_owned(), identity, newest, writers })))
    }

    /// What the newest durable snapshot is of.
    pub fn newest(&self) -> Option<SnapshotMeta> {
        self.lock().clone()
    }

    /// Opens the newest durable snapshot. The reader keeps working when a newer one replaces it.
    pub fn reader(&self) -> Result<Option<SnapshotReader>, WalError> {
        let newest = self.lock();
        let Some(meta) = &*newest else { return Ok(None) };
        let path = snapshot_path(&self.0.dir, meta.index);
        SnapshotReader::open(&*self.0.disk, &path, &self.0.identity).map(Some)
    }

    /// Begins to write a snapshot, which must not be older than the newest. It replaces one of the same index.
    pub fn begin(&self, meta: SnapshotMeta) -> Result<SnapshotWriter, WalError> {
        self.refuse_stale(&meta, self.lock().as_ref())?;
        let number = self.0.writers.fetch_add(1, Ordering::Relaxed);
        let path = self.0.dir.join(format!("{:016x}.{number}{UNFINISHED}", meta.index.0));
        SnapshotWriter::begin(self.clone(), path, meta)
    }

    /// Gives a finished and synced file its name, and removes what it replaces.
    fn publish(&self, unfinished: &Path, meta: &SnapshotMeta) -> Result<(), WalError> {
        let shared = &*self.0;
        let mut newest = self.lock();
        self.refuse_stale(meta, newest.as_ref())?;
        let path = snapshot_path(&shared.dir, meta.index);
        shared.disk.rename(unfinished, &path).map_err(cannot("rename", unfinished))?;
        shared.disk.sync_dir(&shared.dir).map_err(cannot("sync", &shared.dir))?;
        *newest = Some(meta.clone());
        remove_older(&*shared.disk, &shared.dir, meta.index)
    }

    fn refuse_stale(&self, meta: &SnapshotMeta, newest: Option<&SnapshotMeta>) -> Result<(), WalError> {
        match newest {
            Some(newest) if newest.index > meta.index => {
                Err(WalError::StaleSnapshot { index: meta.index, newest: newest.index })
            }
            _ => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<SnapshotMeta>> {
        // The value behind the lock is replaced whole, so that a panic elsewhere cannot have left half of one.
        self.0.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The file of the snapshot of `index`.
pub(super) fn snapshot_path(dir: &Path, index: Index) -> PathBuf {
    dir.join(format!("{:016x}{NAME_ENDING}", index.0))
}

/// The indices of the snapshots in a directory, ascending.
pub(super) fn snapshot_indices(disk: &dyn Disk, dir: &Path) -> Result<Vec<Index>, WalError> {
    let names = disk.list(dir).map_err(cannot("list", dir))?;
    let index = |name: &String| {
        let digits = name.strip_suffix(NAME_ENDING).filter(|digits| digits.len() == 16)?;
        u64::from_str_radix(digits, 16).ok().map(Index)
    };
    Ok(names.iter().filter_map(index).collect())
}

fn remove_older(disk: &dyn Disk, dir: &Path, newest: Index) -> Result<(), WalError> {
    for index in snapshot_indices(disk, dir)? {
        if index < newest {
            let path = snapshot_path(dir, index);
            disk.remove(&path).map_err(cannot("remove", &path))?;
        }
    }
    Ok(())
}
