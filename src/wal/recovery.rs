//! Making a log, and opening one after whatever happened to it.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;

use super::disk::Disk;
use super::error::{WalError, cannot};
use super::log::{Counters, Full, Wal};
use super::options::{Identity, WalOptions};
use super::prepare::{Preparation, Segment};
use super::segment::{Batch, UNFINISHED, records_of, segment_path};
use super::survey::{End, Survey, judge, read_segment, segment_ids};
use crate::consensus::Lsn;

/// What was found in a log.
#[derive(Clone, Debug)]
pub struct Opened {
    /// All records that the log still has, in order.
    pub records: Vec<(Lsn, Bytes)>,
    /// The number of the next record.
    pub next_lsn: Lsn,
    /// The torn write that was cut off, if there was one. Worth a line in the node's log; nothing durable was lost.
    pub torn: Option<TornTail>,
}

/// A write that a crash interrupted. It was never durable, so nobody was promised anything of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TornTail {
    /// The segment.
    pub file: PathBuf,
    /// Where the torn batch begins.
    pub offset: u64,
    /// How many bytes were cut, up to the last one that is not zero.
    pub bytes: u64,
    /// Its number.
    pub batch: u64,
}

impl Wal {
    /// Makes a log with its first segment, and nothing more, so that a first start is fast. If a crash interrupted an
    /// earlier attempt, completes it.
    pub fn create(
        disk: &Arc<dyn Disk>,
        dir: &Path,
        identity: &Identity,
        options: WalOptions,
    ) -> Result<(), WalError> {
        assert!(identity.protocol.len() <= 32, "a protocol's name has at most 32 bytes");
        remove_unfinished(&**disk, dir)?;
        if segment_ids(&**disk, dir)?.is_empty() {
            let (disk, retired) = (Arc::clone(disk), VecDeque::new());
            let (dir, identity) = (dir.to_owned(), identity.clone());
            Preparation { disk, dir, identity, options, id: None, retired }.create(1)?;
        }
        disk.sync_dir(dir).map_err(cannot("sync", dir))
    }

    /// Opens the log in `dir`, with all records that it still has.
    ///
    /// A torn write at its end is cut off. Damage anywhere before the end is [`WalError::Rot`], and nothing is changed.
    /// When this returns, all that was found is durable, also if the last life ended with a failed sync: the last batch
    /// is written once more, because a page whose write-back failed may look clean to the system.
    pub fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        identity: Identity,
        options: WalOptions,
    ) -> Result<(Self, Opened), WalError> {
        let found = Found::read(&*disk, dir, &identity)?;
        let end = judge(dir, &found.surveys)?;
        remove_unfinished(&*disk, dir)?;
        let torn = torn_tail(&found.surveys, &end);
        let segments = found.repair(&*disk, &end)?;
        disk.sync_dir(dir).map_err(cannot("sync", dir))?;
        let opened = Opened { next_lsn: end.next_lsn, torn, records: found.records };
        Ok((assemble(disk, dir, identity, options, &found.surveys, &end, segments), opened))
    }
}

/// Removes what an interrupted preparation left.
fn remove_unfinished(disk: &dyn Disk, dir: &Path) -> Result<(), WalError> {
    for name in disk.list(dir).map_err(cannot("list", dir))? {
        if name.ends_with(UNFINISHED) {
            let path = dir.join(name);
            disk.remove(&path).map_err(cannot("remove", &path))?;
        }
    }
    Ok(())
}

/// All that is in a log.
struct Found {
    surveys: Vec<Survey>,
    records: Vec<(Lsn, Bytes)>,
    /// The bytes of the last batch.
    last_batch: Vec<u8>,
}

impl Found {
    /// Reads every segment, one at a time.
    fn read(disk: &dyn Disk, dir: &Path, identity: &Identity) -> Result<Self, WalError> {
        let mut found = Self { surveys: Vec::new(), records: Vec::new(), last_batch: Vec::new() };
        for id in segment_ids(disk, dir)? {
            let path = segment_path(dir, id);
            let buf = read_segment(disk, &path)?;
            let survey = Survey::of(&path, &buf)?;
            identity.check(&path, &survey.header.identity)?;
            for batch in &survey.batches {
                found.records.extend(records_of(&buf, batch));
            }
            if let Some(last) = survey.batches.last() {
                found.last_batch = buf[last.offset as usize..last.end() as usize].to_vec();
            }
            found.surveys.push(survey);
        }
        Ok(found)
    }

    /// Makes the end of the log durable and everything behind it zero. Returns the last segment and those behind it, open.
    fn repair(&self, disk: &dyn Disk, end: &End) -> Result<VecDeque<Segment>, WalError> {
        let mut segments = VecDeque::new();
        for survey in &self.surveys[end.segment..] {
            let segment = Segment::open(disk, &survey.path, &survey.header, survey.end)?;
            let zeros = vec![0; (survey.dirty_end - survey.end) as usize];
            let mut rewritten = Vec::new();
            if let Some(Batch { offset, .. }) = survey.batches.last() {
                rewritten.push((*offset, &self.last_batch));
            }
            if !zeros.is_empty() {
                rewritten.push((survey.end, &zeros));
            }
            for (offset, bytes) in rewritten {
                segment.file.write_at(offset, bytes).map_err(cannot("write", &segment.path))?;
            }
            segment.file.sync_data().map_err(cannot("sync", &segment.path))?;
            segments.push_back(segment);
        }
        Ok(segments)
    }
}

/// The torn batch behind the end, if one can be told from the old batches of a recycled segment: its header is there, or
/// the segment was otherwise zero.
pub(super) fn torn_tail(surveys: &[Survey], end: &End) -> Option<TornTail> {
    let torn = |survey: &&Survey| survey.torn_head || (!survey.is_blank() && !survey.header.recycled);
    surveys[end.segment..].iter().find(torn).map(|survey| TornTail {
        file: survey.path.clone(),
        offset: survey.end,
        bytes: survey.dirty_end - survey.end,
        batch: end.next_batch,
    })
}

fn assemble(
    disk: Arc<dyn Disk>,
    dir: &Path,
    identity: Identity,
    options: WalOptions,
    surveys: &[Survey],
    end: &End,
    mut segments: VecDeque<Segment>,
) -> Wal {
    let active = segments.pop_front().expect("the segment with the log's end is among those from there on");
    let mut last = Lsn::ZERO;
    let full = surveys[..end.segment]
        .iter()
        .map(|survey| {
            last = survey.batches.last().map_or(last, |batch| batch.next_lsn().prev());
            Full { id: survey.header.id, last }
        })
        .collect();
    Wal {
        disk,
        dir: dir.to_owned(),
        identity,
        options,
        full,
        retired: VecDeque::new(),
        durable_segment: active.id,
        active,
        spares: segments,
        preparing: false,
        starved: None,
        next_batch: end.next_batch,
        next_lsn: end.next_lsn,
        durable: end.next_lsn.prev(),
        unsynced: 0,
        probing: false,
        buffer: Vec::new(),
        failed: None,
        counters: Counters::default(),
    }
}

/// Whether a log can be read and has no batch yet: what an interrupted creation may leave.
pub(super) fn is_unused(disk: &dyn Disk, dir: &Path) -> Result<bool, WalError> {
    for id in segment_ids(disk, dir)? {
        let path = segment_path(dir, id);
        let survey = Survey::of(&path, &read_segment(disk, &path)?)?;
        if id != 1 || !survey.batches.is_empty() {
            return Ok(false);
        }
    }
    Ok(true)
}
