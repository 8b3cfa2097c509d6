//! Making segments ready ahead of use, and removing those that are no longer needed: work that may be slow, and that a
//! background thread can do while the log is written.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::{Disk, DiskFile, OpenMode};
use super::error::{WalError, cannot};
use super::options::{Identity, WalOptions};
use super::segment::{HEADER_BYTES, Salt, SegmentHeader, UNFINISHED, segment_path};

/// Zeros are written in pieces of this size: large enough to be fast, small enough to lie on hand.
const FILL_BYTES: u64 = 256 << 10;

/// How many dropped segments are kept to be recycled: the log needs one at a time.
pub(super) const KEEP_RETIRED: usize = 1;

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) id: u64,
    pub(super) path: PathBuf,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) salt: Salt,
    /// The file's length.
    pub(super) bytes: u64,
    /// Where the next batch goes.
    pub(super) end: u64,
}

impl Segment {
    pub(super) const fn room(&self) -> u64 {
        self.bytes - self.end
    }

    pub(super) fn open(
        disk: &dyn Disk,
        path: &Path,
        header: &SegmentHeader,
        end: u64,
    ) -> Result<Self, WalError> {
        let file = disk.open(path, OpenMode::Write).map_err(cannot("open", path))?;
        let (id, bytes) = (header.id, header.bytes);
        Ok(Self { id, path: path.to_owned(), file, salt: Salt::of(header), bytes, end })
    }
}

/// A job for the log, which a thread of its own can [`run`](Self::run): removes what is not needed and makes the next
/// segment ready.
#[derive(Debug)]
pub struct Preparation {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) identity: Identity,
    pub(super) options: WalOptions,
    /// The segment to make, if one is wanted.
    pub(super) id: Option<u64>,
    /// Segments that are no longer needed, oldest first.
    pub(super) retired: VecDeque<u64>,
}

/// What a [`Preparation`] came to; goes to [`super::Wal::prepared`].
#[derive(Debug)]
pub struct Prepared {
    /// What is gone from the front of the retired segments.
    pub(super) gone: usize,
    pub(super) segment: Result<Option<Segment>, WalError>,
}

impl Prepared {
    /// Why no segment could be made ready, if that is so.
    pub fn failure(&self) -> Option<&WalError> {
        self.segment.as_ref().err()
    }
}

impl Preparation {
    /// Does the job. The oldest segment always goes first, and is durably gone before the next: otherwise a crash could
    /// leave a hole in the log that looks like damage.
    pub fn run(mut self) -> Prepared {
        let retired = self.retired.len();
        let segment = self.make_ready();
        Prepared { gone: retired - self.retired.len(), segment }
    }

    fn make_ready(&mut self) -> Result<Option<Segment>, WalError> {
        let mut made = None;
        if let Some(id) = self.id {
            made = self.recycle(id)?;
        }
        while self.retired.len() > KEEP_RETIRED {
            self.drop_oldest()?;
        }
        match self.id {
            Some(id) if made.is_none() => self.create(id).map(Some),
            _ => Ok(made),
        }
    }

    /// Durably removes the oldest retired segment.
    fn drop_oldest(&mut self) -> Result<(), WalError> {
        let Some(&oldest) = self.retired.front() else { return Ok(()) };
        let path = segment_path(&self.dir, oldest);
        self.disk.remove(&path).map_err(cannot("remove", &path))?;
        self.sync_dir()?;
        self.retired.pop_front();
        Ok(())
    }

    /// Makes segment `id` of the oldest retired one, if there is one of the right length. It takes no room on the disk.
    /// The old batches stay in it: they are salted with another id.
    fn recycle(&mut self, id: u64) -> Result<Option<Segment>, WalError> {
        let Some(&oldest) = self.retired.front() else { return Ok(None) };
        let (old, unfinished) = (segment_path(&self.dir, oldest), self.unfinished(id));
        let file = self.disk.open(&old, OpenMode::Write).map_err(cannot("open", &old))?;
        if file.len().map_err(cannot("read", &old))? != self.options.segment_bytes {
            self.drop_oldest()?;
            return Ok(None);
        }
        self.disk.rename(&old, &unfinished).map_err(cannot("rename", &old))?;
        // Durable first: under its old name the file must never be seen with another header.
        self.sync_dir()?;
        self.retired.pop_front();
        self.finish(id, file, true).map(Some)
    }

    /// Makes segment `id` of zeros, so that filling it later changes no file system structures and a sync of a batch is
    /// one write to the device.
    pub(super) fn create(&self, id: u64) -> Result<Segment, WalError> {
        let path = self.unfinished(id);
        let made = self.fill(&path).and_then(|file| self.finish(id, file, false));
        if made.is_err() {
            // What was filled so far would only keep the disk full. If it cannot be removed now, opening the log does it.
            let _ = self.disk.remove(&path);
        }
        made
    }

    fn fill(&self, path: &Path) -> Result<Arc<dyn DiskFile>, WalError> {
        let file = self.disk.open(path, OpenMode::Create).map_err(cannot("create", path))?;
        let zeros = vec![0; FILL_BYTES.min(self.options.segment_bytes) as usize];
        for at in (0..self.options.segment_bytes).step_by(FILL_BYTES as usize) {
            let count = (self.options.segment_bytes - at).min(FILL_BYTES) as usize;
            file.write_at(at, &zeros[..count]).map_err(cannot("fill", path))?;
        }
        Ok(file)
    }

    /// Writes the header, makes all of it durable, and gives the file its name.
    fn finish(&self, id: u64, file: Arc<dyn DiskFile>, recycled: bool) -> Result<Segment, WalError> {
        let (identity, salt) = (self.identity.clone(), self.options.salt);
        let header = SegmentHeader { identity, id, salt, bytes: self.options.segment_bytes, recycled };
        let (unfinished, path) = (self.unfinished(id), segment_path(&self.dir, id));
        file.write_at(0, &header.encode()).map_err(cannot("write", &unfinished))?;
        file.sync_data().map_err(cannot("sync", &unfinished))?;
        self.disk.rename(&unfinished, &path).map_err(cannot("rename", &unfinished))?;
        self.sync_dir()?;
        Ok(Segment { id, path, file, salt: Salt::of(&header), bytes: header.bytes, end: HEADER_BYTES })
    }

    fn unfinished(&self, id: u64) -> PathBuf {
        self.dir.join(format!("{id:016x}{UNFINISHED}"))
    }

    fn sync_dir(&self) -> Result<(), WalError> {
        self.disk.sync_dir(&self.dir).map_err(cannot("sync", &self.dir))
    }
}
