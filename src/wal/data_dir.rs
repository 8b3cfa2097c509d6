//! A node's data directory: whose it is, that nobody else has it, and how often it was opened.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskLock};
use super::error::{WalError, cannot};
use super::log::Wal;
use super::options::{Identity, WalOptions};
use super::recovery::{Opened, is_unused};
use super::segment::{FORMAT, check_format};
use super::small_file::{Sealed, replace_sealed};
use super::snapshot::Snapshots;
use crate::consensus::NodeId;

/// Names in a data directory.
pub(super) const LOCK: &str = "lock";
pub(super) const IDENTITY: &str = "identity";
pub(super) const BOOTS: &str = "boots";
pub(super) const LOG: &str = "wal";
pub(super) const SNAPSHOTS: &str = "snapshots";

/// How many bytes of the disk what is below `dir` takes. What is removed meanwhile counts or not.
pub fn bytes_on_disk(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else { return 0 };
    let bytes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(meta) if meta.is_dir() => bytes_on_disk(&entry.path()),
        // In units of 512, whatever the file system's own (stat(2)).
        Ok(meta) => meta.blocks() * 512,
        Err(_) => 0,
    });
    bytes.sum()
}

/// A node's data directory, locked for as long as this lives.
///
/// # Invariants
///
/// 1. The identity file is written last: a directory that has one is complete, and one without is completed by the next
///    open that may create it.
/// 2. [`incarnation`](Self::incarnation) is larger in every life than in all before, and durable before it is used.
#[derive(Debug)]
pub struct DataDir {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    identity: Identity,
    options: WalOptions,
    incarnation: u64,
    _lock: Box<dyn DiskLock>,
}

impl DataDir {
    /// Opens the data directory at `path`. If it is missing or empty and `create` is set, makes it; without `create` that
    /// is [`WalError::Missing`], because a node that was in the cluster before must not forget its promises.
    pub fn open(
        disk: Arc<dyn Disk>,
        path: &Path,
        identity: Identity,
        options: WalOptions,
        create: bool,
    ) -> Result<Self, WalError> {
        if !disk.exists(path).map_err(cannot("look for", path))? {
            if !create {
                return Err(WalError::Missing { dir: path.to_owned() });
            }
            create_with_parents(&*disk, path)?;
        }
        let lock = lock(&*disk, path)?;
        match read_identity(&*disk, path)? {
            Some(found) => identity.check(&path.join(IDENTITY), &found)?,
            None if create => initialise(&disk, path, &identity, options)?,
            None => return Err(WalError::Missing { dir: path.to_owned() }),
        }
        make_private(&*disk, path)?;
        let incarnation = count_boot(&*disk, path)?;
        Ok(Self { disk, path: path.to_owned(), identity, options, incarnation, _lock: lock })
    }

    /// Which life of the node this is.
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the log.
    pub fn open_wal(&self) -> Result<(Wal, Opened), WalError> {
        Wal::open(Arc::clone(&self.disk), &self.path.join(LOG), self.identity.clone(), self.options)
    }

    /// Opens the snapshots.
    pub fn open_snapshots(&self) -> Result<Snapshots, WalError> {
        Snapshots::open(Arc::clone(&self.disk), &self.path.join(SNAPSHOTS), self.identity.clone())
    }
}

/// Takes the directory's lock.
pub(super) fn lock(disk: &dyn Disk, dir: &Path) -> Result<Box<dyn DiskLock>, WalError> {
    let path = dir.join(LOCK);
    disk.lock(&path).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => WalError::InUse { dir: dir.to_owned() },
        _ => cannot("lock", &path)(error),
    })
}

/// Reads whose directory it is; `None` if nobody's yet.
pub(super) fn read_identity(disk: &dyn Disk, dir: &Path) -> Result<Option<Identity>, WalError> {
    let path = dir.join(IDENTITY);
    let Some(file) = Sealed::read(disk, &path)? else { return Ok(None) };
    let found: u32 = file.get("format")?;
    check_format(&path, found)?;
    let cluster: String = file.get("cluster")?;
    let cluster_id = u64::from_str_radix(&cluster, 16)
        .map_err(|_| WalError::Damaged { path: path.clone(), why: "it has no valid `cluster`".to_owned() })?;
    Ok(Some(Identity { cluster_id, node: NodeId(file.get("node")?), protocol: file.get("protocol")? }))
}

/// Makes a directory and those above it, each durable before the next.
fn create_with_parents(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    if !disk.exists(parent).map_err(cannot("look for", parent))? {
        create_with_parents(disk, parent)?;
    }
    create_dir(disk, dir)?;
    disk.sync_dir(parent).map_err(cannot("sync", parent))
}

fn create_dir(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    match disk.create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map_err(cannot("create", dir)),
    }
}

/// Takes all of a data directory from everybody but its owner: it holds what clients have stored. What an earlier version
/// made was open to all.
fn make_private(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    for dir in [dir.to_owned(), dir.join(LOG), dir.join(SNAPSHOTS)] {
        disk.make_private(&dir).map_err(cannot("restrict", &dir))?;
        for path in disk.list(&dir).map_err(cannot("list", &dir))?.into_iter().map(|name| dir.join(name)) {
            disk.make_private(&path).map_err(cannot("restrict", &path))?;
        }
    }
    Ok(())
}

/// Makes what a data directory holds, the identity last (invariant 1).
fn initialise(
    disk: &Arc<dyn Disk>,
    dir: &Path,
    identity: &Identity,
    options: WalOptions,
) -> Result<(), WalError> {
    refuse_foreign(&**disk, dir)?;
    let log = dir.join(LOG);
    create_dir(&**disk, &log)?;
    create_dir(&**disk, &dir.join(SNAPSHOTS))?;
    Wal::create(disk, &log, identity, options)?;
    write_boots(&**disk, dir, 0)?;
    let lines = [
        ("format", FORMAT.to_string()),
        ("cluster", format!("{:016x}", identity.cluster_id)),
        ("node", identity.node.to_string()),
        ("protocol", identity.protocol.clone()),
    ];
    replace_sealed(&**disk, &dir.join(IDENTITY), &lines)
}

/// Refuses to make a data directory of one that holds anything but what an interrupted creation leaves.
fn refuse_foreign(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    let foreign = |entry: &str| WalError::NotADataDirectory { dir: dir.to_owned(), entry: entry.to_owned() };
    for name in disk.list(dir).map_err(cannot("list", dir))? {
        if !is_known(&name) {
            return Err(foreign(&name));
        }
    }
    let (log, snapshots) = (dir.join(LOG), dir.join(SNAPSHOTS));
    if disk.exists(&log).map_err(cannot("look for", &log))? && !is_unused(disk, &log)? {
        return Err(foreign("a log with records"));
    }
    if disk.exists(&snapshots).map_err(cannot("look for", &snapshots))?
        && !disk.list(&snapshots).map_err(cannot("list", &snapshots))?.is_empty()
    {
        return Err(foreign("snapshots"));
    }
    Ok(())
}

/// Whether a data directory may have an entry of this name.
pub(super) fn is_known(name: &str) -> bool {
    [LOCK, IDENTITY, BOOTS, LOG, SNAPSHOTS, "identity.tmp", "boots.tmp"].contains(&name)
}

fn write_boots(disk: &dyn Disk, dir: &Path, boots: u64) -> Result<(), WalError> {
    replace_sealed(disk, &dir.join(BOOTS), &[("boots", boots.to_string())])
}

/// Invariant 2.
fn count_boot(disk: &dyn Disk, dir: &Path) -> Result<u64, WalError> {
    let path = dir.join(BOOTS);
    let Some(file) = Sealed::read(disk, &path)? else {
        return Err(WalError::Damaged { path, why: "it is missing".to_owned() });
    };
    let incarnation = file.get::<u64>("boots")? + 1;
    write_boots(disk, dir, incarnation)?;
    Ok(incarnation)
}
