//! The faulty disk as a [`Disk`].

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use nix::errno::Errno;

use super::faulty::{Change, Entry, FaultyDisk, Inode, NameChange, is_root, lock};
use super::{Disk, DiskFile, DiskLock, OpenMode};

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        if self.state().faults.refuse_opens {
            return Err(Errno::EMFILE.into());
        }
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

    fn make_private(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn is_link(&self, _: &Path) -> io::Result<bool> {
        Ok(false)
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
        for change in now {
            change.apply(&mut state.durable_names);
        }
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
        for change in pending {
            change.apply(&mut inode.durable);
        }
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
