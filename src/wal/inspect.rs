//! Looking at a log without changing it. It takes no lock, so that it also works on the log of a running node, which may
//! be in motion: what looks torn there may only be half written, and a segment may vanish while it is read.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::data_dir::LOG;
use super::disk::Disk;
use super::error::{WalError, cannot};
use super::recovery::torn_tail;
use super::segment::{Batch, records_of, segment_path};
use super::survey::{Survey, judge, read_segment, segment_ids};
use crate::consensus::Lsn;

/// What to show of a log.
#[derive(Default)]
pub struct Inspection<'a> {
    /// Batches that end before this record are passed over.
    pub from: Lsn,
    /// Renders a record's bytes readably; without it no records are shown.
    pub render: Option<&'a dyn Fn(&[u8]) -> String>,
}

impl std::fmt::Debug for Inspection<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let renders = self.render.is_some();
        f.debug_struct("Inspection").field("from", &self.from).field("renders", &renders).finish()
    }
}

/// One thing in a log, in the order in which it stands there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Entry {
    /// A segment begins.
    Segment(SegmentReport),
    /// A batch, or what is left of one.
    Batch(BatchReport),
    /// A record of the batch before.
    Record(RecordReport),
}

/// A segment of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SegmentReport {
    /// Its file.
    pub file: PathBuf,
    /// Its id, from the file's name.
    pub id: u64,
    /// Its length in bytes.
    pub bytes: u64,
    /// How many of them are in use; the rest is for batches to come.
    pub used: u64,
    /// How many batches it has.
    pub batches: u64,
    /// Whether it was recycled of an older one.
    pub recycled: bool,
    /// What is wrong with its header; its batches cannot be read then.
    pub problem: Option<String>,
}

/// Whether a batch is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum BatchState {
    /// It matches its checksum and follows the one before.
    Ok,
    /// A write that a crash interrupted, at the end of the log: never durable, and cut off when the log is opened.
    Torn,
    /// Damage where the log was durable.
    Rot,
}

/// A batch of the log, or a stretch of bytes that should be one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BatchReport {
    /// The segment's id.
    pub segment: u64,
    /// Where it begins in the segment.
    pub offset: u64,
    /// Its length there; zero for one of which nothing is left.
    pub bytes: u64,
    /// Its number, where that is known.
    pub batch: Option<u64>,
    /// Its first record, where that is known.
    pub first_lsn: Option<u64>,
    /// How many records it has.
    pub records: u32,
    /// Whether it is good.
    pub state: BatchState,
}

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordReport {
    /// Its number.
    pub lsn: u64,
    /// Its length.
    pub bytes: u64,
    /// Its content, rendered.
    pub text: String,
}

/// The directory of the log: `dir` itself, or its part if it is a data directory.
pub(super) fn log_dir(disk: &dyn Disk, dir: &Path) -> Result<PathBuf, WalError> {
    let log = dir.join(LOG);
    let inside = disk.exists(&log).map_err(cannot("look for", &log))?;
    Ok(if inside { log } else { dir.to_owned() })
}

/// Shows a log to `visit`, segment by segment and batch by batch, good or not. `dir` is a data directory or a log's.
/// An error says that something cannot be read at all; damage is shown, not an error.
pub fn inspect(
    disk: &dyn Disk,
    dir: &Path,
    inspection: &Inspection<'_>,
    visit: &mut dyn FnMut(Entry),
) -> Result<(), WalError> {
    let dir = log_dir(disk, dir)?;
    let bad = find_bad(disk, &dir)?;
    for id in segment_ids(disk, &dir)? {
        let path = segment_path(&dir, id);
        let buf = read_segment(disk, &path)?;
        let survey = Survey::of(&path, &buf);
        visit(Entry::Segment(report_segment(&path, id, buf.len() as u64, survey.as_ref())));
        let batches = survey.map(|survey| survey.batches).unwrap_or_default();
        let mut bad = bad.iter().filter(|bad| bad.segment == id).peekable();
        for batch in &batches {
            while let Some(bad) = bad.next_if(|bad| bad.offset <= batch.offset) {
                visit(Entry::Batch(bad.clone()));
            }
            if batch.next_lsn() > inspection.from {
                show_batch(id, &buf, batch, inspection, visit);
            }
        }
        bad.for_each(|bad| visit(Entry::Batch(bad.clone())));
    }
    Ok(())
}

fn report_segment(path: &Path, id: u64, bytes: u64, survey: Result<&Survey, &WalError>) -> SegmentReport {
    SegmentReport {
        file: path.to_owned(),
        id,
        bytes,
        used: survey.map_or(0, |survey| survey.end),
        batches: survey.map_or(0, |survey| survey.batches.len() as u64),
        recycled: survey.is_ok_and(|survey| survey.header.recycled),
        problem: survey.err().map(ToString::to_string),
    }
}

fn show_batch(
    segment: u64,
    buf: &[u8],
    batch: &Batch,
    inspection: &Inspection<'_>,
    visit: &mut dyn FnMut(Entry),
) {
    visit(Entry::Batch(BatchReport {
        segment,
        offset: batch.offset,
        bytes: batch.bytes,
        batch: Some(batch.sequence),
        first_lsn: Some(batch.first.0),
        records: batch.count,
        state: BatchState::Ok,
    }));
    let Some(render) = inspection.render else { return };
    for (lsn, record) in records_of(buf, batch) {
        let (lsn, bytes) = (lsn.0, record.len() as u64);
        visit(Entry::Record(RecordReport { lsn, bytes, text: render(&record) }));
    }
}

/// Everything in the log that should be a batch and is not, ascending.
fn find_bad(disk: &dyn Disk, dir: &Path) -> Result<Vec<BatchReport>, WalError> {
    let mut surveys = Vec::new();
    for id in segment_ids(disk, dir)? {
        let path = segment_path(dir, id);
        // A segment whose header is damaged is reported as a whole.
        surveys.extend(Survey::of(&path, &read_segment(disk, &path)?).ok());
    }
    let mut bad = Vec::new();
    for survey in &surveys {
        let gaps = survey.gaps.iter();
        bad.extend(gaps.map(|gap| not_a_batch(survey, gap.offset, gap.bytes, BatchState::Rot)));
    }
    match judge(dir, &surveys) {
        Ok(end) => {
            if let Some(torn) = torn_tail(&surveys, &end)
                && let Some(survey) = surveys.iter().find(|survey| survey.path == torn.file)
            {
                let batch = Some(torn.batch);
                let report = not_a_batch(survey, torn.offset, torn.bytes, BatchState::Torn);
                bad.push(BatchReport { batch, ..report });
            }
        }
        Err(WalError::Rot { file, offset, batch, .. }) => {
            let Some(survey) = surveys.iter().find(|survey| survey.path == file) else { return Ok(bad) };
            let named = |bad: &&mut BatchReport| bad.segment == survey.header.id && bad.offset == offset;
            match bad.iter_mut().find(named) {
                Some(gap) => gap.batch = Some(batch),
                None => {
                    let report = not_a_batch(survey, offset, 0, BatchState::Rot);
                    bad.push(BatchReport { batch: Some(batch), ..report });
                }
            }
        }
        // A segment is missing or misnamed: that shows in the list of segments, and `verify` says so.
        Err(_) => {}
    }
    bad.sort_by_key(|bad| (bad.segment, bad.offset));
    Ok(bad)
}

fn not_a_batch(survey: &Survey, offset: u64, bytes: u64, state: BatchState) -> BatchReport {
    let segment = survey.header.id;
    BatchReport { segment, offset, bytes, batch: None, first_lsn: None, records: 0, state }
}
