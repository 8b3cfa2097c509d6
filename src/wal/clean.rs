//! Removing a data directory that nobody uses.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::data_dir::{IDENTITY, LOCK, LOG, SNAPSHOTS, is_known, lock, read_identity};
use super::disk::{Disk, OpenMode};
use super::error::{WalError, cannot};
use super::options::Identity;
use super::segment::{UNFINISHED, segment_id};
use super::snapshot::snapshot_index;

/// What a data directory holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// The data directory.
    pub dir: PathBuf,
    /// Whose it is, if that can be read.
    pub identity: Option<Identity>,
    /// Its files, in the order in which they are removed.
    pub files: Vec<HeldFile>,
    /// The length of all of them.
    pub bytes: u64,
}

/// A file of a data directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HeldFile {
    /// Where.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
}

/// Whether a running node has the data directory open. To find out, the lock is taken for a moment.
pub fn in_use(disk: &dyn Disk, dir: &Path) -> Result<bool, WalError> {
    let path = dir.join(LOCK);
    if !disk.exists(&path).map_err(cannot("look for", &path))? {
        return Ok(false);
    }
    match lock(disk, dir) {
        Ok(_) => Ok(false),
        Err(WalError::InUse { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Lists what [`clean`] would remove. A directory that holds anything that no node puts there is
/// refused, and so is one that is a link or holds one.
pub fn holdings(disk: &dyn Disk, dir: &Path) -> Result<Holdings, WalError> {
    let mut files = Vec::new();
    for part in [dir.to_owned(), dir.join(LOG), dir.join(SNAPSHOTS)] {
        if disk.is_link(&part).map_err(cannot("look for", &part))? {
            return Err(WalError::Link { path: part });
        }
    }
    for part in [dir.join(LOG), dir.join(SNAPSHOTS)] {
        if disk.exists(&part).map_err(cannot("look for", &part))? {
            list_files(disk, &part, is_data, &mut files)?;
        }
    }
    list_files(disk, dir, is_known, &mut files)?;
    // The identity goes first, so that a directory of which a part is gone is never opened again; the lock goes last.
    files.sort_by_key(|file| (file.path != dir.join(IDENTITY), file.path == dir.join(LOCK)));
    let identity = read_identity(disk, dir).ok().flatten();
    let bytes = files.iter().map(|file| file.bytes).sum();
    Ok(Holdings { dir: dir.to_owned(), identity, files, bytes })
}

/// Removes a data directory with all that it holds, and returns what that was. Refused while a node runs. After a crash
/// in the middle it can be called again.
pub fn clean(disk: &dyn Disk, dir: &Path) -> Result<Holdings, WalError> {
    holdings(disk, dir)?;
    let lock = lock(disk, dir)?;
    let held = holdings(disk, dir)?;
    for file in &held.files {
        disk.remove(&file.path).map_err(cannot("remove", &file.path))?;
        if file.path == dir.join(IDENTITY) {
            disk.sync_dir(dir).map_err(cannot("sync", dir))?;
        }
    }
    for part in [dir.join(LOG), dir.join(SNAPSHOTS), dir.to_owned()] {
        match disk.remove_dir(&part) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed.map_err(cannot("remove", &part))?,
        }
    }
    drop(lock);
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    disk.sync_dir(parent).map_err(cannot("sync", parent))?;
    Ok(held)
}

/// Whether the log or the snapshots may have a file of this name.
fn is_data(name: &str) -> bool {
    segment_id(name).is_some() || snapshot_index(name).is_some() || name.ends_with(UNFINISHED)
}

/// Adds the files of a directory, all of which must be of known names.
fn list_files(
    disk: &dyn Disk,
    dir: &Path,
    known: fn(&str) -> bool,
    files: &mut Vec<HeldFile>,
) -> Result<(), WalError> {
    for name in disk.list(dir).map_err(cannot("list", dir))? {
        if !known(&name) {
            return Err(WalError::NotADataDirectory { dir: dir.to_owned(), entry: name });
        }
        if name != LOG && name != SNAPSHOTS {
            let path = dir.join(name);
            let file = disk.open(&path, OpenMode::Read).map_err(cannot("open", &path))?;
            let bytes = file.len().map_err(cannot("read", &path))?;
            files.push(HeldFile { path, bytes });
        }
    }
    Ok(())
}
