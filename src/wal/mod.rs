//! The write-ahead log, snapshots on disk, and the data directory that holds them.

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
pub use data_dir::DataDir;
pub use disk::{
    Crash, Disk, DiskCounters, DiskFault, DiskFaults, DiskFile, DiskLock, FaultyDisk, OpenMode, RealDisk,
};
pub use error::WalError;
pub use inspect::{BatchReport, BatchState, Entry, Inspection, RecordReport, SegmentReport, inspect};
pub use log::{Counters, Wal};
pub use options::{Identity, WalOptions};
pub use prepare::{Preparation, Prepared};
pub use recovery::{Opened, TornTail};
pub use segment::FORMAT;
pub use small_file::replace_file;
pub use snapshot::{SnapshotReader, SnapshotWriter, Snapshots};
pub use verify::{Report, SnapshotReport, verify};
