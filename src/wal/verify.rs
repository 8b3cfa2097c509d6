//! Checking everything in a data directory, without changing it.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::data_dir::{BOOTS, IDENTITY, SNAPSHOTS, read_identity};
use super::disk::Disk;
use super::error::{WalError, cannot};
use super::inspect::log_dir;
use super::options::Identity;
use super::recovery::{TornTail, torn_tail};
use super::segment::segment_path;
use super::small_file::Sealed;
use super::snapshot::{SnapshotReader, snapshot_indices, snapshot_path};
use super::survey::{Survey, judge, read_segment, segment_ids};

/// What a data directory holds, and what is wrong with it. Sound if `problems` is empty.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The data directory.
    pub dir: PathBuf,
    /// Whose it is, if that can be read.
    pub identity: Option<Identity>,
    /// How often it was opened, if that can be read.
    pub boots: Option<u64>,
    /// Segments of the log.
    pub segments: u64,
    /// Batches that can be read.
    pub batches: u64,
    /// Records in them.
    pub records: u64,
    /// The first record that the log still has.
    pub first_lsn: Option<u64>,
    /// The number of the next record, if the log is sound.
    pub next_lsn: Option<u64>,
    /// A torn write at the log's end. No problem: opening the log cuts it off.
    pub torn: Option<TornTail>,
    /// The snapshots.
    pub snapshots: Vec<SnapshotReport>,
    /// What is wrong, in words that say where and what to do.
    pub problems: Vec<String>,
}

/// A snapshot.
#[derive(Clone, Debug, Serialize)]
pub struct SnapshotReport {
    /// Its file.
    pub file: PathBuf,
    /// The last index that it holds.
    pub index: u64,
    /// That index's epoch.
    pub epoch: u64,
    /// How many pieces it has.
    pub pieces: u32,
    /// The length of all of them.
    pub bytes: u64,
    /// The digest of the state.
    pub digest: String,
}

/// Reads and checks everything in a data directory. An error only if nothing can be read there; damage is in the report.
/// It takes no lock: the directory of a running node may be in motion, and then a torn write may be one that is under way.
pub fn verify(disk: &dyn Disk, dir: &Path) -> Result<Report, WalError> {
    disk.list(dir).map_err(cannot("list", dir))?;
    let mut report = Report {
        dir: dir.to_owned(),
        identity: None,
        boots: None,
        segments: 0,
        batches: 0,
        records: 0,
        first_lsn: None,
        next_lsn: None,
        torn: None,
        snapshots: Vec::new(),
        problems: Vec::new(),
    };
    for check in [check_identity, check_log, check_snapshots] {
        if let Err(error) = check(disk, dir, &mut report) {
            report.problems.push(error.to_string());
        }
    }
    Ok(report)
}

fn check_identity(disk: &dyn Disk, dir: &Path, report: &mut Report) -> Result<(), WalError> {
    report.identity = read_identity(disk, dir)?;
    if report.identity.is_none() {
        let (path, why) = (dir.join(IDENTITY), "it is missing".to_owned());
        return Err(WalError::Damaged { path, why });
    }
    let path = dir.join(BOOTS);
    match Sealed::read(disk, &path)? {
        Some(boots) => report.boots = Some(boots.get("boots")?),
        None => return Err(WalError::Damaged { path, why: "it is missing".to_owned() }),
    }
    Ok(())
}

fn check_log(disk: &dyn Disk, dir: &Path, report: &mut Report) -> Result<(), WalError> {
    let dir = log_dir(disk, dir)?;
    let mut surveys = Vec::new();
    for id in segment_ids(disk, &dir)? {
        let path = segment_path(&dir, id);
        report.segments += 1;
        let survey = Survey::of(&path, &read_segment(disk, &path)?)?;
        if let Some(identity) = &report.identity {
            identity.check(&path, &survey.header.identity)?;
        }
        report.batches += survey.batches.len() as u64;
        report.records += survey.batches.iter().map(|batch| u64::from(batch.count)).sum::<u64>();
        let first = survey.batches.first().map(|batch| batch.first.0);
        report.first_lsn = report.first_lsn.or(first);
        surveys.push(survey);
    }
    let end = judge(&dir, &surveys)?;
    report.next_lsn = Some(end.next_lsn.0);
    report.torn = torn_tail(&surveys, &end);
    Ok(())
}

fn check_snapshots(disk: &dyn Disk, dir: &Path, report: &mut Report) -> Result<(), WalError> {
    let dir = dir.join(SNAPSHOTS);
    for index in snapshot_indices(disk, &dir)? {
        match check_snapshot(disk, &snapshot_path(&dir, index), report.identity.as_ref()) {
            Ok(snapshot) => report.snapshots.push(snapshot),
            Err(error) => report.problems.push(error.to_string()),
        }
    }
    Ok(())
}

fn check_snapshot(
    disk: &dyn Disk,
    path: &Path,
    identity: Option<&Identity>,
) -> Result<SnapshotReport, WalError> {
    let reader = SnapshotReader::open_any(disk, path)?;
    if let Some(identity) = identity {
        identity.check(path, reader.identity())?;
    }
    let meta = reader.meta();
    let mut bytes = 0;
    for number in 0..meta.pieces {
        bytes += reader.piece(number)?.len() as u64;
    }
    Ok(SnapshotReport {
        file: path.to_owned(),
        index: meta.index.0,
        epoch: meta.epoch.0,
        pieces: meta.pieces,
        bytes,
        digest: meta.digest.to_string(),
    })
}
