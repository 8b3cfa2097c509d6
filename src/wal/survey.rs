//! What is in a segment, and whether damage in the log is a torn write or rot.

use std::path::{Path, PathBuf};

use super::disk::{Disk, OpenMode, read_all};
use super::error::{WalError, cannot};
use super::segment::{
    Batch, HEADER_BYTES, Parsed, Salt, SegmentHeader, parse_batch, segment_id, segment_path,
};
use crate::consensus::Lsn;

/// Bytes of a segment that are no batch though a batch stands behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Gap {
    pub(super) offset: u64,
    pub(super) bytes: u64,
}

/// What is in a segment.
#[derive(Clone, Debug)]
pub(super) struct Survey {
    pub(super) path: PathBuf,
    pub(super) header: SegmentHeader,
    pub(super) batches: Vec<Batch>,
    pub(super) gaps: Vec<Gap>,
    /// Behind the last batch.
    pub(super) end: u64,
    /// Behind the last byte that is not zero; `end` if all of the rest is zero.
    pub(super) dirty_end: u64,
    /// At `end` stands the header of a batch of this very segment, without its rest.
    pub(super) headed: bool,
}

impl Survey {
    /// Finds every batch in a whole segment.
    pub(super) fn of(path: &Path, buf: &[u8]) -> Result<Self, WalError> {
        let header = SegmentHeader::decode(path, buf)?;
        let salt = Salt::of(&header);
        let (mut batches, mut gaps) = (Vec::new(), Vec::new());
        let mut end = HEADER_BYTES;
        let headed = loop {
            let (headed, search_from) = match parse_batch(buf, end, salt) {
                Parsed::Valid(batch) => {
                    end = batch.end();
                    batches.push(batch);
                    continue;
                }
                // The header is intact, so its length is: what stands inside is payload, not a later batch.
                Parsed::Headed { bytes } => (true, end + bytes),
                Parsed::Nothing => (false, end + 8),
            };
            let Some(next) = find_batch(buf, search_from, salt) else { break headed };
            gaps.push(Gap { offset: end, bytes: next - end });
            end = next;
        };
        let rest = buf.get(end as usize..).unwrap_or_default();
        let dirty = rest.iter().rposition(|&byte| byte != 0).map_or(0, |last| last as u64 + 1);
        Ok(Self { path: path.to_owned(), header, batches, gaps, end, dirty_end: end + dirty, headed })
    }

    /// Whether all behind the last batch is zero.
    pub(super) fn is_blank(&self) -> bool {
        self.dirty_end == self.end
    }
}

/// The first offset from `from` on at which a valid batch stands. Batches are aligned to eight bytes.
fn find_batch(buf: &[u8], from: u64, salt: Salt) -> Option<u64> {
    (from..buf.len() as u64).step_by(8).find(|&at| matches!(parse_batch(buf, at, salt), Parsed::Valid(_)))
}

/// Reads a segment whole.
pub(super) fn read_segment(disk: &dyn Disk, path: &Path) -> Result<Vec<u8>, WalError> {
    let file = disk.open(path, OpenMode::Read).map_err(cannot("open", path))?;
    read_all(&*file).map_err(cannot("read", path))
}

/// The ids of a log's segments, ascending.
pub(super) fn segment_ids(disk: &dyn Disk, dir: &Path) -> Result<Vec<u64>, WalError> {
    let names = disk.list(dir).map_err(cannot("list", dir))?;
    Ok(names.iter().filter_map(|name| segment_id(name)).collect())
}

/// Where the log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// The position, among the surveys, of the segment with the last batch.
    pub(super) segment: usize,
    /// The number of the next batch.
    pub(super) next_batch: u64,
    /// The number of the next record.
    pub(super) next_lsn: Lsn,
}

/// Decides from all segments of a log where it ends, or what proves that it is damaged where it was durable.
///
/// A batch is written only after the one before it is durable. So whatever cannot be read is a torn write if nothing can
/// be read behind it, and rot if anything can.
pub(super) fn judge(dir: &Path, surveys: &[Survey]) -> Result<End, WalError> {
    let Some(oldest) = surveys.first() else { return Err(WalError::LogMissing { dir: dir.to_owned() }) };
    // A log begins with segment 1, batch 1 and record 1; what was dropped since is not missed.
    let mut end = (oldest.header.id == 1).then_some(End { segment: 0, next_batch: 1, next_lsn: Lsn(1) });
    for (position, survey) in surveys.iter().enumerate() {
        check_segment(dir, surveys, position)?;
        for (number, batch) in survey.batches.iter().enumerate() {
            if let Some(gap) = survey.gaps.iter().find(|gap| gap.offset < batch.offset) {
                let lost = end.as_ref().map_or(batch.sequence.saturating_sub(1), |end| end.next_batch);
                return Err(rot(dir, survey, gap.offset, lost, batch));
            }
            if let Some(end) = &end
                && (end.next_batch, end.next_lsn) != (batch.sequence, batch.first)
            {
                let (survey, offset) = missing_from(surveys, end, position, number);
                return Err(rot(dir, survey, offset, end.next_batch, batch));
            }
            end = Some(End { segment: position, next_batch: batch.sequence + 1, next_lsn: batch.next_lsn() });
        }
    }
    // The segment with the last durable batch is never dropped, so an old log without any batch has lost it.
    end.ok_or_else(|| WalError::Rot {
        dir: dir.to_owned(),
        file: oldest.path.clone(),
        offset: HEADER_BYTES,
        batch: 0,
        why: "no batch can be read in the whole log, though it is not new".to_owned(),
    })
}

/// Checks what must hold for a segment's file among the others.
fn check_segment(dir: &Path, surveys: &[Survey], position: usize) -> Result<(), WalError> {
    let survey = &surveys[position];
    if survey.path != segment_path(dir, survey.header.id) {
        let why = format!("its header is that of segment {:016x}", survey.header.id);
        return Err(WalError::Damaged { path: survey.path.clone(), why });
    }
    if position > 0 && surveys[position - 1].header.id + 1 != survey.header.id {
        let path = segment_path(dir, surveys[position - 1].header.id + 1);
        let why = format!("it is missing, though {} exists", survey.path.display());
        return Err(WalError::Damaged { path, why });
    }
    Ok(())
}

/// Where the batch that should follow `end` was lost, when batch `number` of segment `position` is a later one and
/// nothing unreadable stands before it in its own segment.
fn missing_from<'a>(surveys: &'a [Survey], end: &End, position: usize, number: usize) -> (&'a Survey, u64) {
    let (last, survey) = (&surveys[end.segment], &surveys[position]);
    if number > 0 {
        return (survey, survey.batches[number].offset);
    }
    if end.segment + 1 < position {
        // A whole segment between them has no batch that can be read.
        return (&surveys[end.segment + 1], HEADER_BYTES);
    }
    (last, last.end)
}

fn rot(dir: &Path, survey: &Survey, offset: u64, batch: u64, later: &Batch) -> WalError {
    let why = format!("it cannot be read, but batch {} behind it can", later.sequence);
    WalError::Rot { dir: dir.to_owned(), file: survey.path.clone(), offset, batch, why }
}
