//! What the log needs of a disk, with write and sync apart.
//!
//! [`RealDisk`] is the operating system's. [`FaultyDisk`] lives in memory, knows of every byte whether it would survive
//! a crash, and loses, tears and fails on command. [`DiskFaults`] stands before any disk and makes it slow, stalled,
//! failing or full while a node runs.
//!
//! What the layer above may count on, and no more:
//!
//! 1. What was written to a file is durable once [`DiskFile::sync_data`] has returned `Ok` after it. Before that a crash
//!    may keep any part of it.
//! 2. A name that was made, renamed or removed is durably so once [`Disk::sync_dir`] of its directory has returned `Ok`.
//!    Before that a crash may undo it. Syncing a file does not make its name durable.
//! 3. A rename replaces its target in one step: a crash leaves the old or the new, never neither.
//! 4. After a sync has failed, nothing is known of what was written since the last one that did not, and a second sync
//!    that succeeds proves nothing.

mod crash;
mod faulty;
mod faulty_io;
mod real;
mod switch;

use std::fmt::Debug;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub use crash::Crash;
pub use faulty::{DiskCounters, FaultyDisk};
pub use real::RealDisk;
pub use switch::{DiskFault, DiskFaults};

/// How to open a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenMode {
    /// To read what is there.
    Read,
    /// To read and write what is there.
    Write,
    /// To write anew: made, for its owner alone, if it is missing, emptied if it is not. A link is not followed.
    Create,
}

/// A tree of files.
pub trait Disk: Debug + Send + Sync {
    /// Opens a file.
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>>;

    /// Gives a file another name in the same directory, replacing what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Whoever has it open keeps it.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// The names in a directory, sorted.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether there is a file or directory of this name.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Makes a directory whose parent exists, for its owner alone.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes a file or directory from everybody but its owner. Does nothing where there are no owners.
    fn make_private(&self, path: &Path) -> io::Result<()>;

    /// Whether the name is a symbolic link, wherever that leads.
    fn is_link(&self, path: &Path) -> io::Result<bool>;

    /// Removes an empty directory.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Takes the exclusive lock of a file, which is made if it is missing. It also excludes others of this process.
    /// [`io::ErrorKind::WouldBlock`] when it is taken.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>>;
}

/// An open file. All methods take `&self`: a file may be read while it is written.
pub trait DiskFile: Debug + Send + Sync {
    /// Fills `buf` from `offset` on; fewer bytes than asked for only at the end of the file.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize>;

    /// Writes all of `data` at `offset`. After an error any part of it may have been written.
    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()>;

    /// Makes what was written durable, with the length if that is needed to read it back.
    fn sync_data(&self) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts the file off, or extends it with zeros.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
}

/// An exclusive lock, until it is dropped.
pub trait DiskLock: Debug + Send + Sync {}

/// Reads the whole of an open file.
pub(super) fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let mut buf = vec![0; file.len()? as usize];
    let read = file.read_at(0, &mut buf)?;
    buf.truncate(read);
    Ok(buf)
}
