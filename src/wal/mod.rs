//! The write-ahead log, the snapshots that bound it, and the data directory that holds both.
//!
//! The layer knows records only as bytes with a number ([`Lsn`](crate::consensus::Lsn)); what they mean is the protocol's.
//! It is synchronous and owns no thread and no clock: a thread of the real node and the simulator drive the same code,
//! over a [`Disk`] of which write and sync are separate.
//!
//! # The idea
//!
//! The log is a row of **segments**: files of fixed length that are filled with zeros and synced before they are used, or
//! recycled from old ones, so that the sync of a batch changes nothing but its own bytes on the device. The unit is the
//! **batch**: all records that were waiting, written with one write and made durable with one `fdatasync`. A batch is
//! written only when the one before it is durable. All of recovery rests on that:
//!
//! - What cannot be read, with nothing readable behind it, is the one write that a crash interrupted. Nobody was promised
//!   anything of it. It is cut off, and the node's log says so.
//! - What cannot be read, with a later batch behind it, was durable once. That is rot: the node does not start, and the
//!   error names file, offset and batch. To cut there would forget promises, and a quorum of nodes that forget alike
//!   overwrites what the cluster acknowledged (PAR and CTRL, FAST'18, made the distinction known).
//!
//! How the files look, byte by byte, and what a crash leaves of them, stands at the end, from `docs/wal-format.md`.
//!
//! # Invariants
//!
//! The types number their own: [`Wal`], [`DataDir`], and what is expected of a disk in [`Disk`]'s module. Of the layer:
//!
//! 1. What [`Wal::sync`] returned, and every record that [`Wal::open`] returned, survives any crash.
//! 2. No record comes back that was not written, and none is missing between two that come back.
//! 3. A file of another cluster, node, protocol or newer format is never read as one's own, and never changed.
//! 4. Nothing that is damaged is changed, so that it can be looked at.
//!
//! # What is left out
//!
//! - Damage in the very last durable batch cannot be told from a torn write, and is cut. It is outside the fault model;
//!   telling them apart would take a second sync for each batch.
//! - Repairing a damaged log, and members that join again after they lost promises.
//! - Encryption and compression.
//!
#![doc = include_str!("../../docs/wal-format.md")]

mod clean;
mod data_dir;
mod disk;
mod error;
mod inspect;
mod log;
mod options;
mod prepare;
mod recovery;
mod segment;
mod small_file;
mod snapshot;
mod survey;
mod verify;

pub use clean::{HeldFile, Holdings, clean, holdings, in_use};
pub use data_dir::{DataDir, bytes_on_disk};
pub use disk::{
    Crash, Disk, DiskCounters, DiskFault, DiskFaults, DiskFile, DiskLock, FaultyDisk, OpenMode, RealDisk,
};
pub use error::WalError;
pub use inspect::{BatchReport, BatchState, Entry, Inspection, RecordReport, Render, SegmentReport, inspect};
pub use log::{Counters, Wal};
pub use options::{Identity, WalOptions};
pub use prepare::{Preparation, Prepared};
pub use recovery::{Opened, TornTail};
pub use segment::FORMAT;
pub use small_file::replace_file;
pub use snapshot::{SnapshotReader, SnapshotWriter, Snapshots};
pub use verify::{Report, SnapshotReport, verify};

#[cfg(test)]
mod tests;
