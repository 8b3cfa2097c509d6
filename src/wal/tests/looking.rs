//! Inspection and verification: what they show of sound, torn and damaged logs.

use super::*;
use crate::consensus::{Digest, Epoch, Index, SnapshotMeta};

fn look(disk: &FaultyDisk, from: u64) -> Vec<Entry> {
    let before = disk.counters();
    let render = |bytes: &[u8]| format!("{} bytes", bytes.len());
    let inspection = Inspection { from: Lsn(from), render: Some(&render) };
    let mut entries = Vec::new();
    inspect(disk, Path::new(DIR), &inspection, &mut |entry| entries.push(entry)).unwrap();
    assert_eq!(disk.counters(), before, "inspection changes nothing");
    entries
}

fn batches(entries: &[Entry]) -> Vec<(u64, u64, Option<u64>, BatchState)> {
    let batch = |entry: &Entry| match entry {
        Entry::Batch(batch) => Some((batch.segment, batch.offset, batch.batch, batch.state)),
        _ => None,
    };
    entries.iter().filter_map(batch).collect()
}

fn log() -> Model {
    let mut model = Model::new();
    for bytes in [300, 500, 400, 700] {
        model.batch(&[bytes, 8]).unwrap();
    }
    model
}

#[test]
fn a_sound_log_is_shown_from_the_record_asked_for() {
    let model = log();
    let entries = look(&model.disk, 0);
    let ok = BatchState::Ok;
    assert_eq!(
        batches(&entries),
        [(1, 512, Some(1), ok), (1, 872, Some(2), ok), (1, 1432, Some(3), ok), (2, 512, Some(4), ok)]
    );
    let text = RecordReport { lsn: 2, bytes: 8, text: "8 bytes".to_owned() };
    assert!(entries.contains(&Entry::Record(text)));
    assert_eq!(batches(&look(&model.disk, 5)), batches(&entries)[2..]);
}

#[test]
fn a_torn_write_and_rot_are_told_apart() {
    let mut model = log();
    model.wal.write(&[record(9, 100, 0)]).unwrap();
    let torn = model.disk.crash(&Crash::Cut(90));
    assert_eq!(batches(&look(&torn, 0)).last(), Some(&(2, 1272, Some(5), BatchState::Torn)));
    torn.rot(&segment(1), 900, 4);
    let shown = batches(&look(&torn, 0));
    assert_eq!(shown[1], (1, 872, Some(2), BatchState::Rot));
    assert_eq!(shown[2], (1, 1432, Some(3), BatchState::Ok), "what can be read is shown");
}

#[test]
fn a_segment_with_a_damaged_header_is_shown_as_such() {
    let model = log();
    model.disk.rot(&segment(2), 20, 4);
    let problem = look(&model.disk, 0).into_iter().find_map(|entry| match entry {
        Entry::Segment(SegmentReport { id: 2, problem, .. }) => problem,
        _ => None,
    });
    assert!(problem.is_some_and(|problem| problem.contains("header")));
}

#[test]
fn entries_are_one_json_object_each() {
    let entries = look(&log().disk, 8);
    let lines: Vec<String> = entries.iter().map(|entry| serde_json::to_string(entry).unwrap()).collect();
    assert!(lines[2].starts_with(r#"{"kind":"batch","segment":2,"offset":512"#), "{}", lines[2]);
    assert!(lines[2].ends_with(r#""state":"ok"}"#));
}

fn data_dir() -> FaultyDisk {
    let disk = FaultyDisk::new();
    let dir = DataDir::open(as_disk(&disk), Path::new("/d"), identity(), options(), true).unwrap();
    let (mut wal, _) = dir.open_wal().unwrap();
    (0..9).for_each(|_| drop(append(&mut wal, 400)));
    let (members, digest) = (vec![NodeId(3)], Digest([1; 32]));
    let meta = SnapshotMeta { index: Index(4), epoch: Epoch(1), members, digest, pieces: 1 };
    let mut writer = dir.open_snapshots().unwrap().begin(meta).unwrap();
    writer.put(0, &[5; 100]).unwrap();
    writer.finish().unwrap();
    disk
}

#[test]
fn a_sound_directory_is_verified_whole() {
    let disk = data_dir();
    let before = disk.counters();
    let report = verify(&disk, Path::new("/d")).unwrap();
    assert_eq!(disk.counters(), before);
    assert_eq!(report.problems, [""; 0]);
    assert_eq!((report.batches, report.records, report.boots), (9, 9, Some(1)));
    assert_eq!((report.first_lsn, report.next_lsn, report.torn), (Some(1), Some(10), None));
    assert_eq!((report.snapshots.len(), report.snapshots[0].bytes), (1, 100));
}

#[test]
fn damage_in_any_part_is_a_problem_that_names_the_file() {
    for (name, offset) in [
        ("identity", 4),
        ("boots", 4),
        ("wal/0000000000000001.wal", 600),
        ("snapshots/0000000000000004.snap", 120),
    ] {
        let disk = data_dir();
        disk.rot(&Path::new("/d").join(name), offset, 2);
        let problems = verify(&disk, Path::new("/d")).unwrap().problems;
        assert!(problems.len() == 1 && problems[0].contains(name), "{name}: {problems:?}");
    }
}
