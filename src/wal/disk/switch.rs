//! Faults on command before any disk, while a node runs.

use std::io;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Disk, DiskFile, DiskLock, OpenMode};

/// What is wrong with a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum DiskFault {
    /// Nothing.
    #[default]
    Ok,
    /// Each sync takes this much longer.
    Slow(Duration),
    /// No sync returns until the fault changes.
    Stall,
    /// Writes and syncs fail.
    Fail,
    /// No file can grow.
    Full,
}

/// The switch of a disk's faults. Clones share it; any thread may turn it, and a sync that waits wakes at once.
#[derive(Clone, Debug, Default)]
pub struct DiskFaults(Arc<Switch>);

#[derive(Debug, Default)]
struct Switch {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    fault: DiskFault,
    /// Counts the changes, so that a sync that waits sees one even if it was turned back again.
    turned: u64,
}

impl DiskFaults {
    /// A switch that is at [`DiskFault::Ok`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Turns the switch, and wakes every sync that waits.
    pub fn set(&self, fault: DiskFault) {
        let mut state = self.state();
        state.fault = fault;
        state.turned += 1;
        self.0.changed.notify_all();
    }

    /// Where the switch is.
    pub fn get(&self) -> DiskFault {
        self.state().fault
    }

    /// Puts the switch before `disk`.
    pub fn wrap(&self, disk: Arc<dyn Disk>) -> Arc<dyn Disk> {
        Arc::new(SwitchedDisk { disk, faults: self.clone() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves the plain values behind the lock as good as they were.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as the fault demands of a sync; fails if it demands that.
    fn before_sync(&self) -> io::Result<()> {
        let mut state = self.state();
        loop {
            let turned = state.turned;
            let unchanged = |state: &mut State| state.turned == turned;
            match state.fault {
                DiskFault::Ok | DiskFault::Full => return Ok(()),
                DiskFault::Fail => return Err(injected()),
                DiskFault::Slow(delay) => {
                    let (_guard, _) = self
                        .0
                        .changed
                        .wait_timeout_while(state, delay, unchanged)
                        .unwrap_or_else(PoisonError::into_inner);
                    return Ok(());
                }
                DiskFault::Stall => {
                    state =
                        self.0.changed.wait_while(state, unchanged).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    /// Fails if the fault demands it of a write that `grows` the file.
    fn before_write(&self, grows: impl FnOnce() -> io::Result<bool>) -> io::Result<()> {
        match self.get() {
            DiskFault::Fail => Err(injected()),
            DiskFault::Full if grows()? => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

fn injected() -> io::Error {
    io::Error::other("input/output error (injected)")
}

#[derive(Debug)]
struct SwitchedDisk {
    disk: Arc<dyn Disk>,
    faults: DiskFaults,
}

impl Disk for SwitchedDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(SwitchedFile { file: self.disk.open(path, mode)?, faults: self.faults.clone() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.disk.exists(path)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.remove_dir(dir)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.faults.before_sync()?;
        self.disk.sync_dir(dir)
    }

    fn make_private(&self, path: &Path) -> io::Result<()> {
        self.disk.make_private(path)
    }

    fn is_link(&self, path: &Path) -> io::Result<bool> {
        self.disk.is_link(path)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn DiskLock>> {
        self.disk.lock(path)
    }
}

#[derive(Debug)]
struct SwitchedFile {
    file: Arc<dyn DiskFile>,
    faults: DiskFaults,
}

impl DiskFile for SwitchedFile {
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<usize> {
        self.file.read_at(offset, buf)
    }

    fn write_at(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.faults.before_write(|| Ok(offset + data.len() as u64 > self.file.len()?))?;
        self.file.write_at(offset, data)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.faults.before_sync()?;
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.faults.before_write(|| Ok(bytes > self.file.len()?))?;
        self.file.set_len(bytes)
    }
}
