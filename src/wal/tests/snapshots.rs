//! Snapshots: whole or not there.

use super::*;
use crate::consensus::{Digest, Epoch, Index, SnapshotMeta};

const SNAPSHOTS: &str = "/snapshots";

fn meta(index: u64, pieces: u32) -> SnapshotMeta {
    let members = vec![NodeId(1), NodeId(2), NodeId(3)];
    SnapshotMeta { index: Index(index), epoch: Epoch(4), members, digest: Digest([7; 32]), pieces }
}

fn piece(index: u64, number: u32) -> Bytes {
    record(index, 100 + 211 * number as usize, u64::from(number)).1
}

fn disk() -> FaultyDisk {
    let disk = FaultyDisk::new();
    disk.create_dir(Path::new(SNAPSHOTS)).unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk
}

fn open_snapshots(disk: &FaultyDisk) -> Result<Snapshots, WalError> {
    Snapshots::open(as_disk(disk), Path::new(SNAPSHOTS), identity())
}

fn write(snapshots: &Snapshots, index: u64, pieces: u32) -> Result<SnapshotMeta, WalError> {
    let mut writer = snapshots.begin(meta(index, pieces))?;
    for number in 0..pieces {
        writer.put(number, &piece(index, number))?;
    }
    writer.finish()
}

fn assert_whole(reader: &SnapshotReader, index: u64) {
    assert_eq!(reader.meta(), &meta(index, reader.meta().pieces));
    for number in 0..reader.meta().pieces {
        assert_eq!(reader.piece(number).unwrap(), piece(index, number));
    }
}

#[test]
fn a_snapshot_comes_back_and_replaces_the_one_before() {
    let disk = disk();
    let snapshots = open_snapshots(&disk).unwrap();
    assert!(snapshots.reader().unwrap().is_none());
    write(&snapshots, 5, 3).unwrap();
    let old = snapshots.reader().unwrap().unwrap();
    write(&snapshots, 9, 0).unwrap();
    assert_eq!(snapshots.newest(), Some(meta(9, 0)));
    assert_eq!(disk.list(Path::new(SNAPSHOTS)).unwrap(), ["0000000000000009.snap"]);
    assert_whole(&old, 5);
    let again = open_snapshots(&disk).unwrap();
    assert_whole(&again.reader().unwrap().unwrap(), 9);
}

#[test]
fn pieces_come_in_order_and_all_of_them() {
    let snapshots = open_snapshots(&disk()).unwrap();
    let mut writer = snapshots.begin(meta(5, 2)).unwrap();
    assert!(matches!(writer.put(1, b"x"), Err(WalError::WrongPiece { number: 1, .. })));
    writer.put(0, b"x").unwrap();
    assert!(matches!(writer.finish(), Err(WalError::WrongPiece { .. })));
    let mut writer = snapshots.begin(meta(5, 1)).unwrap();
    writer.put(0, b"x").unwrap();
    assert!(matches!(writer.put(1, b"y"), Err(WalError::WrongPiece { number: 1, .. })));
    writer.finish().unwrap();
    let reader = snapshots.reader().unwrap().unwrap();
    assert!(matches!(reader.piece(1), Err(WalError::WrongPiece { number: 1, .. })));
}

#[test]
fn an_older_snapshot_is_refused_and_one_of_the_same_index_replaces() {
    let snapshots = open_snapshots(&disk()).unwrap();
    let mut late = snapshots.begin(meta(4, 1)).unwrap();
    late.put(0, b"x").unwrap();
    write(&snapshots, 5, 1).unwrap();
    let stale = WalError::StaleSnapshot { index: Index(4), newest: Index(5) };
    assert_eq!(late.finish().unwrap_err(), stale);
    assert_eq!(snapshots.begin(meta(4, 1)).unwrap_err(), stale);
    write(&snapshots, 5, 2).unwrap();
    assert_eq!(snapshots.newest(), Some(meta(5, 2)));
}

#[test]
fn a_writer_that_is_given_up_leaves_nothing() {
    let disk = disk();
    let snapshots = open_snapshots(&disk).unwrap();
    drop(snapshots.begin(meta(4, 1)).unwrap());
    disk.set_capacity(Some(150));
    assert!(write(&snapshots, 5, 3).unwrap_err().shortage().is_some());
    assert_eq!(disk.list(Path::new(SNAPSHOTS)).unwrap(), [""; 0]);
}

#[test]
fn a_crash_before_every_operation_leaves_the_old_or_the_new() {
    for stop in 0.. {
        let disk = disk();
        let snapshots = open_snapshots(&disk).unwrap();
        write(&snapshots, 5, 2).unwrap();
        disk.power_off_after(stop);
        let written = write(&snapshots, 9, 3);
        let crashes = (0..20).map(Crash::Random).chain((0..16).map(Crash::Subset));
        for crash in crashes.chain([Crash::Lose, Crash::Keep, Crash::Cut(700)]) {
            let left = disk.crash(&crash);
            let again = open_snapshots(&left).unwrap_or_else(|error| panic!("{stop}, {crash:?}: {error}"));
            let reader = again.reader().unwrap().unwrap();
            let index = reader.meta().index.0;
            assert!(index == 9 || (index == 5 && written.is_err()), "{stop}, {crash:?}: {index}");
            assert_whole(&reader, index);
            assert_eq!(left.list(Path::new(SNAPSHOTS)).unwrap().len(), 1, "leftovers are removed");
        }
        if written.is_ok() {
            return;
        }
    }
}

#[test]
fn a_damaged_newest_snapshot_is_an_error_and_never_skipped() {
    let disk = disk();
    let snapshots = open_snapshots(&disk).unwrap();
    write(&snapshots, 5, 3).unwrap();
    let path = Path::new(SNAPSHOTS).join("0000000000000005.snap");
    let length = disk.used();
    for offset in 0..length {
        let damaged = disk.crash(&Crash::Lose);
        damaged.rot(&path, offset, 1 << (offset % 8));
        let all = |snapshots: Snapshots| {
            let reader = snapshots.reader()?.expect("it has a name");
            (0..reader.meta().pieces).try_for_each(|number| reader.piece(number).map(drop))
        };
        let error = open_snapshots(&damaged).and_then(all).expect_err("a flipped bit is found");
        assert!(error.to_string().contains("0000000000000005.snap"), "{error}");
    }
}

#[test]
fn a_snapshot_that_was_cut_off_or_is_anothers_is_refused() {
    let disk = disk();
    write(&open_snapshots(&disk).unwrap(), 5, 3).unwrap();
    let other = Identity { cluster_id: 9, ..identity() };
    let refused = Snapshots::open(as_disk(&disk), Path::new(SNAPSHOTS), other).unwrap_err();
    assert!(matches!(refused, WalError::OtherOwner { what: "cluster", .. }), "{refused}");
    let path = Path::new(SNAPSHOTS).join("0000000000000005.snap");
    let file = disk.open(&path, OpenMode::Write).unwrap();
    for bytes in (0..disk.used()).rev() {
        file.set_len(bytes).unwrap();
        assert!(matches!(open_snapshots(&disk), Err(WalError::Damaged { .. })), "cut to {bytes}");
    }
}

#[test]
fn a_snapshot_whose_name_was_not_durable_is_so_once_the_directory_was_opened() {
    let disk = disk();
    write(&open_snapshots(&disk).unwrap(), 5, 1).unwrap();
    let (path, elsewhere) =
        (Path::new(SNAPSHOTS).join("0000000000000005.snap"), Path::new(SNAPSHOTS).join("elsewhere"));
    disk.rename(&path, &elsewhere).unwrap();
    disk.sync_dir(Path::new(SNAPSHOTS)).unwrap();
    disk.rename(&elsewhere, &path).unwrap();
    open_snapshots(&disk).unwrap();
    assert!(open_snapshots(&disk.crash(&Crash::Lose)).unwrap().newest().is_some());
}

#[test]
fn a_snapshot_under_the_name_of_another_index_is_refused() {
    let disk = disk();
    write(&open_snapshots(&disk).unwrap(), 5, 1).unwrap();
    let dir = Path::new(SNAPSHOTS);
    disk.rename(&dir.join("0000000000000005.snap"), &dir.join("0000000000000006.snap")).unwrap();
    let error = open_snapshots(&disk).unwrap_err();
    assert!(error.to_string().contains("it is of index 5"), "{error}");
}
