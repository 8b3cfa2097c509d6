//! A disk in memory that knows what a crash would leave of it, and fails on command.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::crash::{Crash, survivors};
use super::{Disk, DiskFile, DiskLock, OpenMode};

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
struct State {
    /// What has a name now.
    names: BTreeMap<PathBuf, Entry>,
    /// What would have a name after a crash that loses everything it can.
    durable_names: BTreeMap<PathBuf, Entry>,
    /// The difference, in order.
    pending: Vec<NameChange>,
    locks: BTreeSet<PathBuf>,
    counters: DiskCounters,
    faults: Faults,
}

#[derive(Debug, Default)]
struct Faults {
    fail_next_write: bool,
    fail_next_sync: bool,
    capacity: Option<u64>,
    power_off_after: Option<u64>,
}

#[derive(Clone, Debug)]
enum Entry {
    Dir,
    File(Arc<Mutex<Inode>>),
}

#[derive(Clone, Debug)]
enum NameChange {
    Made(PathBuf, Entry),
    Renamed(PathBuf, PathBuf, Entry),
    Removed(PathBuf),
}

impl NameChange {
    fn dir(&self) -> Option<&Path> {
        match self {
            Self::Made(path, _) | Self::Renamed(path, ..) | Self::Removed(path) => path.parent(),
        }
    }

    fn apply(&self, names: &mut BTreeMap<PathBuf, Entry>) {
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
struct Inode {
    content: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

impl FaultyDisk {
    /// An empty disk, with a root directory.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is left of the disk after a crash, as a disk of its own without faults. This one stays as it is.
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
        // What lies in a directory that was lost is lost with it.
        let lost =
            |path: &Path| path.parent().is_some_and(|parent| !is_root(parent) && !names.contains_key(parent));
        let kept: Vec<_> = names.iter().filter(|(path, _)| !lost(path)).collect();
        let mut left = BTreeMap::new();
        for (path, entry) in kept {
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

    /// How many changes of names and contents a crash now could lose: a bound for [`Crash::Subset`].
    pub fn unsynced(&self) -> usize {
        let state = self.state();
        let files: usize = state
            .names
            .values()
            .map(|entry| match entry {
                Entry::Dir => 0,
                Entry::File(inode) => lock(inode).pending.len(),
            })
            .max()
            .unwrap_or(0);
        files.max(state.pending.len())
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

    fn inode(&self, path: &Path) -> io::Result<Arc<Mutex<Inode>>> {
        match self.state().names.get(path) {
            Some(Entry::File(inode)) => Ok(Arc::clone(inode)),
            Some(Entry::Dir) => Err(io::ErrorKind::IsADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn is_root(path: &Path) -> bool {
    path.parent().is_none() || path.as_os_str() == "."
}

impl State {
    /// Counts an operation; fails if the power is off.
    fn operate(&mut self) -> io::Result<()> {
        if self.faults.power_off_after.is_some_and(|limit| self.counters.operations >= limit) {
            return Err(io::Error::other("the power is off"));
        }
        self.counters.operations += 1;
        Ok(())
    }

    fn change(&mut self, change: NameChange) {
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
    fn grow(&self, bytes: u64) -> io::Result<()> {
        match self.faults.capacity {
            Some(capacity) if bytes > 0 && self.used() + bytes > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn has_dir(&self, dir: &Path) -> io::Result<()> {
        match self.names.get(dir) {
            Some(Entry::Dir) => Ok(()),
            None if is_root(dir) => Ok(()),
            Some(Entry::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn children<'a>(&'a self, dir: &'a Path) -> impl Iterator<Item = &'a PathBuf> {
        self.names.keys().filter(move |path| path.parent() == Some(dir))
    }
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        let inode = match self.inode(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && mode == OpenMode::Create => {
                let mut state = self.state();
                state.has_dir(path.parent().unwrap_or(Path::new("/")))?;
                state.operate()?;
                let inode = Arc::new(Mutex::new(Inode::default()));
                state.change(NameChange::Made(path.to_owned(), Entry::File(Arc::clone(&inode))));
                inode
            }
            inode => inode?,
        };
        let file = FaultyFile { disk: self.clone(), inode };
        if mode == OpenMode::Create && file.len()? > 0 {
            file.set_len(0)?;
        }
        Ok(Arc::new(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        assert_eq!(from.parent(), to.parent(), "renames stay within a directory");
        let entry = Entry::File(self.inode(from)?);
        let mut state = self.state();
        state.operate()?;
        state.change(NameChange::Renamed(from.to_owned(), to.to_owned(), entry));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inode(path)?;
        let mut state = self.state();
        state.operate()?;
        state.change(NameChange::Removed(path.to_owned()));
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.state();
        state.has_dir(dir)?;
        let name = |path: &PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        Ok(state.children(dir).filter_map(name).collect())
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        Ok(is_root(path) || self.state().names.contains_key(path))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.has_dir(dir.parent().unwrap_or(Path::new("/")))?;
        if state.names.contains_key(dir) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.operate()?;
        state.change(NameChange::Made(dir.to_owned(), Entry::Dir));
        Ok(())
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.has_dir(dir)?;
        if state.children(dir).next().is_some() {
            return Err(io::ErrorKind::DirectoryNotEmpty.into());
        }
        state.operate()?;
        state.change(NameChange::Removed(dir.to_owned()));
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.has_dir(dir)?;
        state.operate()?;
        state.counters.dir_syncs += 1;
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.pending).into_iter().partition(|change| change.dir() == Some(dir));
        state.pending = later;
        now.iter().for_each(|change| change.apply(&mut state.durable_names));
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.open(path, if self.exists(path)? { OpenMode::Read } else { OpenMode::Create })?;
        if !self.state().locks.insert(path.to_owned()) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(FaultyLock { disk: self.clone(), path: path.to_owned() }))
    }
}

#[derive(Debug)]
struct FaultyFile {
    disk: FaultyDisk,
    inode: Arc<Mutex<Inode>>,
}

impl DiskFile for FaultyFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        let inode = lock(&self.inode);
        let rest = inode.content.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(buf.len());
        buf[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        let length = lock(&self.inode).content.len() as u64;
        state.grow((offset + data.len() as u64).saturating_sub(length))?;
        let failed = std::mem::take(&mut state.faults.fail_next_write);
        let data = if failed { &data[..data.len() / 2] } else { data };
        state.counters.writes += 1;
        state.counters.bytes += data.len() as u64;
        let mut inode = lock(&self.inode);
        let change = Change::Write(offset, data.to_vec());
        change.apply(&mut inode.content);
        inode.pending.push(change);
        if failed { Err(io::Error::other("input/output error (injected)")) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        state.counters.syncs += 1;
        let mut inode = lock(&self.inode);
        let pending = std::mem::take(&mut inode.pending);
        if std::mem::take(&mut state.faults.fail_next_sync) {
            return Err(io::Error::other("input/output error (injected)"));
        }
        pending.iter().for_each(|change| change.apply(&mut inode.durable));
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(lock(&self.inode).content.len() as u64)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.operate()?;
        let mut inode = lock(&self.inode);
        let grows = bytes.saturating_sub(inode.content.len() as u64);
        drop(inode);
        state.grow(grows)?;
        inode = lock(&self.inode);
        let change = Change::SetLen(bytes);
        change.apply(&mut inode.content);
        inode.pending.push(change);
        Ok(())
    }
}

#[derive(Debug)]
struct FaultyLock {
    disk: FaultyDisk,
    path: PathBuf,
}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

impl DiskLock for FaultyLock {}
