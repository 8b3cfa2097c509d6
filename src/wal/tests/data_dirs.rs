//! Data directories: creation, ownership, locks, lives.

use super::*;

const HOME: &str = "/state/node-3";

fn open_dir(disk: &FaultyDisk, create: bool) -> Result<DataDir, WalError> {
    DataDir::open(as_disk(disk), Path::new(HOME), identity(), options(), create)
}

#[test]
fn a_new_directory_is_made_and_each_life_has_a_larger_incarnation() {
    let disk = FaultyDisk::new();
    for life in 1..4 {
        let dir = open_dir(&disk, life == 1).unwrap();
        assert_eq!(dir.incarnation(), life);
        let (mut wal, opened) = dir.open_wal().unwrap();
        assert_eq!(opened.next_lsn, Lsn(life));
        append(&mut wal, 10);
        assert!(dir.open_snapshots().unwrap().newest().is_none());
    }
}

#[test]
fn a_crash_before_every_operation_of_a_creation_is_completed_by_the_next_open() {
    for stop in 0.. {
        let disk = FaultyDisk::new();
        disk.power_off_after(stop);
        let opened = open_dir(&disk, true).map(|dir| dir.incarnation());
        let crashes = (0..20).map(Crash::Random).chain((0..32).map(Crash::Subset));
        for crash in crashes.chain([Crash::Lose, Crash::Keep, Crash::Cut(900)]) {
            let left = disk.crash(&crash);
            let dir = open_dir(&left, true).unwrap_or_else(|error| panic!("{stop}, {crash:?}: {error}"));
            if let Ok(incarnation) = opened {
                assert_eq!(dir.incarnation(), incarnation + 1, "{crash:?}");
            }
            append(&mut dir.open_wal().unwrap().0, 10);
        }
        if opened.is_ok() {
            return;
        }
    }
}

#[test]
fn a_directory_in_use_is_refused_until_it_is_free() {
    let disk = FaultyDisk::new();
    let dir = open_dir(&disk, true).unwrap();
    assert_eq!(open_dir(&disk, true).unwrap_err(), WalError::InUse { dir: HOME.into() });
    assert!(in_use(&disk, Path::new(HOME)).unwrap());
    drop(dir);
    assert!(!in_use(&disk, Path::new(HOME)).unwrap());
    open_dir(&disk, false).unwrap();
}

#[test]
fn the_lock_of_a_real_disk_excludes_others_of_this_process() {
    let home = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let open = |create| DataDir::open(Arc::clone(&disk), home.path(), identity(), options(), create);
    let dir = open(true).unwrap();
    assert!(matches!(open(false), Err(WalError::InUse { .. })));
    let (mut wal, _) = dir.open_wal().unwrap();
    for _ in 0..20 {
        append(&mut wal, 300);
    }
    drop((wal, dir));
    let dir = open(false).unwrap();
    assert_eq!((dir.incarnation(), dir.open_wal().unwrap().1.records.len()), (2, 20));
}

#[test]
fn a_node_that_was_there_before_does_not_start_empty() {
    let missing = WalError::Missing { dir: HOME.into() };
    let disk = FaultyDisk::new();
    assert_eq!(open_dir(&disk, false).unwrap_err(), missing);
    assert_eq!(disk.counters().operations, 0);
    disk.create_dir(Path::new("/state")).unwrap();
    disk.create_dir(Path::new(HOME)).unwrap();
    assert_eq!(open_dir(&disk, false).unwrap_err(), missing);
}

#[test]
fn a_directory_of_another_cluster_node_protocol_or_newer_format_is_refused() {
    let disk = FaultyDisk::new();
    drop(open_dir(&disk, true).unwrap());
    let others = [
        ("cluster", Identity { cluster_id: 9, ..identity() }),
        ("node", Identity { node: NodeId(4), ..identity() }),
        ("protocol", Identity { protocol: "pbft".to_owned(), ..identity() }),
    ];
    for (differs, other) in others {
        let error = DataDir::open(as_disk(&disk), Path::new(HOME), other, options(), true).unwrap_err();
        assert!(matches!(error, WalError::OtherOwner { what, .. } if what == differs), "{error}");
    }
    let path = Path::new(HOME).join("identity");
    let (newer, older, known) = (FORMAT + 1, FORMAT - 1, FORMAT);
    let expected = [
        (newer, WalError::NewerFormat { path: path.clone(), found: newer, known }),
        (older, WalError::OlderFormat { path: path.clone(), found: older, known }),
    ];
    for (found, error) in expected {
        let lines = [("format", found.to_string())];
        small_file::replace_sealed(&disk, &path, &lines).unwrap();
        assert_eq!(open_dir(&disk, true).unwrap_err(), error);
    }
    let told = open_dir(&disk, true).unwrap_err().to_string();
    assert!(told.contains("older consensusctl") && told.contains("cluster up --fresh"), "{told}");
}

#[test]
fn a_damaged_identity_or_boot_count_is_named() {
    for name in ["identity", "boots"] {
        let disk = FaultyDisk::new();
        drop(open_dir(&disk, true).unwrap());
        disk.rot(&Path::new(HOME).join(name), 3, 1);
        let error = open_dir(&disk, true).unwrap_err();
        assert!(matches!(&error, WalError::Damaged { path, .. } if path.ends_with(name)), "{error}");
    }
}

#[test]
fn a_boot_count_that_vanished_is_not_started_anew() {
    let disk = FaultyDisk::new();
    drop(open_dir(&disk, true).unwrap());
    disk.remove(&Path::new(HOME).join("boots")).unwrap();
    assert!(open_dir(&disk, true).unwrap_err().to_string().contains("boots is damaged: it is missing"));
}

#[test]
fn a_directory_that_holds_anything_else_is_not_taken_over() {
    let disk = FaultyDisk::new();
    disk.create_dir(Path::new("/state")).unwrap();
    disk.create_dir(Path::new(HOME)).unwrap();
    disk.open(&Path::new(HOME).join("thesis.tex"), OpenMode::Create).unwrap();
    let foreign = WalError::NotADataDirectory { dir: HOME.into(), entry: "thesis.tex".to_owned() };
    assert_eq!(open_dir(&disk, true).unwrap_err(), foreign);
    assert_eq!(holdings(&disk, Path::new(HOME)).unwrap_err(), foreign);
    assert_eq!(clean(&disk, Path::new(HOME)).unwrap_err(), foreign);
}

#[test]
fn a_log_that_lost_its_identity_is_not_taken_for_a_new_directory() {
    let disk = FaultyDisk::new();
    append(&mut open_dir(&disk, true).unwrap().open_wal().unwrap().0, 10);
    disk.remove(&Path::new(HOME).join("identity")).unwrap();
    let error = open_dir(&disk, true).unwrap_err();
    assert!(error.to_string().contains("a log with records"), "{error}");
}

#[test]
fn cleaning_removes_all_of_it_but_not_under_a_running_node() {
    let disk = FaultyDisk::new();
    let dir = open_dir(&disk, true).unwrap();
    append(&mut dir.open_wal().unwrap().0, 10);
    let listed = holdings(&disk, Path::new(HOME)).unwrap();
    assert_eq!(listed.identity, Some(identity()));
    assert_eq!((listed.files.len(), listed.bytes), (4, disk.used()));
    assert_eq!(clean(&disk, Path::new(HOME)).unwrap_err(), WalError::InUse { dir: HOME.into() });
    drop(dir);
    assert_eq!(clean(&disk, Path::new(HOME)).unwrap(), listed);
    assert!(!disk.exists(Path::new(HOME)).unwrap());
    assert_eq!(open_dir(&disk, true).unwrap().incarnation(), 1);
}

#[test]
fn a_cleaning_that_was_interrupted_can_be_repeated() {
    for stop in 0.. {
        let disk = FaultyDisk::new();
        let (mut wal, _) = open_dir(&disk, true).unwrap().open_wal().unwrap();
        (0..9).for_each(|_| drop(append(&mut wal, 500)));
        disk.power_off_after(stop);
        let cleaned = clean(&disk, Path::new(HOME));
        for seed in 0..20 {
            let left = disk.crash(&Crash::Random(seed));
            // Opened in between it is whole, or refused, or new; but never with a part of its records.
            if let Ok(dir) = open_dir(&left.crash(&Crash::Keep), true) {
                let opened = dir.open_wal().unwrap().1;
                assert!([0, 9].contains(&opened.records.len()), "{}", opened.records.len());
            }
            if left.exists(Path::new(HOME)).unwrap() {
                clean(&left, Path::new(HOME)).unwrap();
            }
            assert_eq!(left.used(), 0);
        }
        if cleaned.is_ok() {
            return;
        }
    }
}
