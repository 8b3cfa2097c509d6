//! A disk in memory that knows what a crash would leave of it, and fails on command.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::crash::{Crash, survivors};

/// A disk in memory. Deterministic; clones are handles to the same disk, and [`crash`](Self::crash) makes another one of
/// what is left.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk(Arc<Mutex<State>>);

/// What a disk was asked to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DiskCounters {
    /// Everything that changes the disk or makes it durable; see [`FaultyDisk::power_off_after`].
    pub operations: u64,
    /// Writes to files.
    pub writes: u64,
    /// Bytes in them.
    pub bytes: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Syncs of directories.
    pub dir_syncs: u64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    /// What has a name now.
    pub(super) names: BTreeMap<PathBuf, Entry>,
    /// What would have a name after a crash that loses everything it can.
    pub(super) durable_names: BTreeMap<PathBuf, Entry>,
    /// The difference, in order.
    pub(super) pending: Vec<NameChange>,
    pub(super) locks: BTreeSet<PathBuf>,
    pub(super) counters: DiskCounters,
    pub(super) faults: Faults,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) fail_next_write: bool,
    pub(super) fail_next_sync: bool,
    capacity: Option<u64>,
    pub(super) refuse_opens: bool,
    power_off_after: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Dir,
    File(Arc<Mutex<Inode>>),
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Made(PathBuf, Entry),
    Renamed(PathBuf, PathBuf, Entry),
    Removed(PathBuf),
}

impl NameChange {
    pub(super) fn dir(&self) -> Option<&Path> {
        match self {
            Self::Made(path, _) | Self::Renamed(path, ..) | Self::Removed(path) => path.parent(),
        }
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
        match self {
            Self::Made(path, entry) => drop(names.insert(path.clone(), entry.clone())),
            Self::Renamed(from, to, entry) => {
                names.remove(from);
                names.insert(to.clone(), entry.clone());
            }
            Self::Removed(path) => drop(names.remove(path)),
        }
    }
}

/// A change of a file's content that is not durable yet.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Write(u64, Vec<u8>),
    SetLen(u64),
}

impl Change {
    pub(super) fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, data) => write_into(content, *offset, data),
            Self::SetLen(bytes) => content.resize(*bytes as usize, 0),
        }
    }

    /// The file's length after the change.
    pub(super) fn length_after(&self, length: usize) -> usize {
        match self {
            Self::Write(offset, data) => length.max(*offset as usize + data.len()),
            Self::SetLen(bytes) => *bytes as usize,
        }
    }
}

fn write_into(content: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let (start, end) = (offset as usize, offset as usize + data.len());
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(data);
}

#[derive(Debug, Default)]
pub(super) struct Inode {
    pub(super) content: Vec<u8>,
    pub(super) durable: Vec<u8>,
    pub(super) pending: Vec<Change>,
}

impl FaultyDisk {
    /// An empty disk, with a root directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is left of the disk after a crash, as a disk of its own without faults. This one stays as it is.
    #[must_use]
    pub fn crash(&self, crash: &Crash) -> Self {
        let state = self.state();
        let mut rng = crash.rng();
        let mut names = state.durable_names.clone();
        let mut budget = crash.budget();
        for (number, change) in state.pending.iter().enumerate() {
            if crash.keeps(number, &mut rng) {
                change.apply(&mut names);
            }
        }
        let mut left = BTreeMap::new();
        for (path, entry) in &names {
            // What lies in a directory that was lost is lost with it. Directories come before what they hold.
            if path.parent().is_some_and(|parent| !is_root(parent) && !left.contains_key(parent)) {
                continue;
            }
            let entry = match entry {
                Entry::Dir => Entry::Dir,
                Entry::File(inode) => {
                    let inode = lock(inode);
                    let content = survivors(&inode.durable, &inode.pending, crash, &mut budget, &mut rng);
                    Entry::File(Arc::new(Mutex::new(Inode {
                        durable: content.clone(),
                        content,
                        pending: Vec::new(),
                    })))
                }
            };
            left.insert(path.clone(), entry);
        }
        let left = State { durable_names: left.clone(), names: left, ..State::default() };
        Self(Arc::new(Mutex::new(left)))
    }

    /// The next write to a file fails, after a part of it was written.
    pub fn fail_next_write(&self) {
        self.state().faults.fail_next_write = true;
    }

    /// The next sync of a file fails, and what it should have made durable will not survive a crash, though it can be read
    /// until then and a second sync says that all is well.
    pub fn fail_next_sync(&self) {
        self.state().faults.fail_next_sync = true;
    }

    /// Bounds the sum of all files' lengths; what would exceed it fails as on a full disk. `None` lifts the bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().faults.capacity = bytes;
    }

    /// Whether no file can be opened, as when a process has no file descriptor left. What is open stays usable.
    pub fn refuse_opens(&self, refuse: bool) {
        self.state().faults.refuse_opens = refuse;
    }

    /// After this many more operations each one fails: the power is off. [`crash`](Self::crash) says what is left.
    pub fn power_off_after(&self, operations: u64) {
        let mut state = self.state();
        state.faults.power_off_after = Some(state.counters.operations + operations);
    }

    /// Flips the bits of `mask` in the byte at `offset` of a file, on the medium itself.
    ///
    /// # Panics
    ///
    /// If there is no such byte.
    pub fn rot(&self, path: &Path, offset: u64, mask: u8) {
        let inode = self.inode(path).expect("the file to damage exists");
        let mut inode = lock(&inode);
        inode.content[offset as usize] ^= mask;
        if let Some(byte) = inode.durable.get_mut(offset as usize) {
            *byte ^= mask;
        }
    }

    /// What the disk was asked to do so far.
    pub fn counters(&self) -> DiskCounters {
        self.state().counters
    }

    /// The sum of all files' lengths, in bytes.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    pub(super) fn inode(&self, path: &Path) -> io::Result<Arc<Mutex<Inode>>> {
        match self.state().names.get(path) {
            Some(Entry::File(inode)) => Ok(Arc::clone(inode)),
            Some(Entry::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(super) fn is_root(path: &Path) -> bool {
    path.parent().is_none() || path.as_os_str() == "."
}

impl State {
    /// Counts an operation; fails if the power is off.
    pub(super) fn operate(&mut self) -> io::Result<()> {
        if self.faults.power_off_after.is_some_and(|limit| self.counters.operations >= limit) {
            return Err(io::Error::other("the power is off"));
        }
        self.counters.operations += 1;
        Ok(())
    }

    pub(super) fn change(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    fn used(&self) -> u64 {
        let bytes = |entry: &Entry| match entry {
            Entry::Dir => 0,
            Entry::File(inode) => lock(inode).content.len() as u64,
        };
        self.names.values().map(bytes).sum()
    }

    /// Refuses to let files grow by `bytes` beyond the capacity.
    pub(super) fn grow(&self, bytes: u64) -> io::Result<()> {
        match self.faults.capacity {
            Some(capacity) if bytes > 0 && self.used() + bytes > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    pub(super) fn has_dir(&self, dir: &Path) -> io::Result<()> {
        match self.names.get(dir) {
            Some(Entry::Dir) => Ok(()),
            None if is_root(dir) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn children<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        self.names.keys().filter(move |path| path.parent() == Some(dir))
    }
}
