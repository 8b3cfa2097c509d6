//! The disks that fail on command do what they say.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::*;

fn file(disk: &dyn Disk, path: &str) -> Arc<dyn DiskFile> {
    disk.open(Path::new(path), OpenMode::Create).unwrap()
}

fn content(disk: &FaultyDisk, path: &str) -> Vec<u8> {
    let file = disk.open(Path::new(path), OpenMode::Read).unwrap();
    disk::read_all(&*file).unwrap()
}

#[test]
fn a_name_is_durable_after_the_sync_of_its_directory_and_content_after_that_of_its_file() {
    let disk = FaultyDisk::new();
    let file = file(&disk, "/a");
    file.write_at(0, b"one").unwrap();
    file.sync_data().unwrap();
    assert!(!disk.crash(&Crash::Lose).exists(Path::new("/a")).unwrap());
    disk.sync_dir(Path::new("/")).unwrap();
    file.write_at(1, b"XYZ").unwrap();
    assert_eq!(content(&disk.crash(&Crash::Lose), "/a"), b"one");
    assert_eq!(content(&disk.crash(&Crash::Cut(2)), "/a"), b"oXY");
    assert_eq!(content(&disk.crash(&Crash::Keep), "/a"), b"oXYZ");
    assert_eq!(content(&disk, "/a"), b"oXYZ");
}

#[test]
fn writes_that_were_not_synced_survive_in_any_subset() {
    let disk = FaultyDisk::new();
    let file = file(&disk, "/a");
    disk.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, b"....").unwrap();
    file.sync_data().unwrap();
    (0..3).for_each(|at| file.write_at(at, b"x").unwrap());
    assert_eq!(content(&disk.crash(&Crash::Subset(0b101)), "/a"), b"x.x.");
    assert_eq!(content(&disk.crash(&Crash::Subset(0b010)), "/a"), b".x..");
}

#[test]
fn a_random_crash_is_the_same_for_the_same_seed_and_tears_within_sectors() {
    let disk = FaultyDisk::new();
    let file = file(&disk, "/a");
    disk.sync_dir(Path::new("/")).unwrap();
    file.write_at(0, &[1; 2048]).unwrap();
    file.sync_data().unwrap();
    file.write_at(0, &[2; 2048]).unwrap();
    let left = |seed| content(&disk.crash(&Crash::Random(seed)), "/a");
    assert_eq!((0..50).map(left).collect::<Vec<_>>(), (0..50).map(left).collect::<Vec<_>>());
    let mixed = |sector: &[u8]| sector.iter().any(|byte| *byte != sector[0]);
    let torn = (0..50).flat_map(|seed| left(seed).chunks(512).map(mixed).collect::<Vec<_>>());
    assert!(torn.filter(|torn| *torn).count() > 5);
}

#[test]
fn an_undone_rename_leaves_the_old_name_and_a_done_one_the_new() {
    let disk = FaultyDisk::new();
    file(&disk, "/a").sync_data().unwrap();
    disk.sync_dir(Path::new("/")).unwrap();
    disk.rename(Path::new("/a"), Path::new("/b")).unwrap();
    assert_eq!(disk.crash(&Crash::Lose).list(Path::new("/")).unwrap(), ["a"]);
    assert_eq!(disk.crash(&Crash::Keep).list(Path::new("/")).unwrap(), ["b"]);
}

#[test]
fn a_full_disk_refuses_growth_and_nothing_else() {
    let disk = FaultyDisk::new();
    disk.set_capacity(Some(10));
    let file = file(&disk, "/a");
    file.write_at(0, &[0; 10]).unwrap();
    assert_eq!(file.write_at(5, &[0; 6]).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    file.write_at(5, &[1; 5]).unwrap();
}

#[test]
fn a_switch_before_a_disk_fails_and_fills_it_on_command() {
    let (under, faults) = (FaultyDisk::new(), DiskFaults::new());
    let disk = faults.wrap(as_disk(&under));
    let file = file(&*disk, "/a");
    file.write_at(0, &[0; 10]).unwrap();
    faults.set(DiskFault::Full);
    file.write_at(2, &[1; 8]).unwrap();
    assert_eq!(file.write_at(2, &[1; 9]).unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    faults.set(DiskFault::Fail);
    assert!(
        file.write_at(0, &[1]).is_err()
            && file.sync_data().is_err()
            && disk.sync_dir(Path::new("/")).is_err()
    );
    faults.set(DiskFault::Ok);
    file.sync_data().unwrap();
}

#[test]
fn a_sync_that_is_stalled_or_slow_wakes_when_the_fault_changes() {
    for fault in [DiskFault::Stall, DiskFault::Slow(Duration::from_hours(1))] {
        let (under, faults) = (FaultyDisk::new(), DiskFaults::new());
        let file = file(&*faults.wrap(as_disk(&under)), "/a");
        faults.set(fault);
        let (done, finished) = mpsc::channel();
        let sync = thread::spawn(move || done.send(file.sync_data().is_ok()));
        assert!(finished.recv_timeout(Duration::from_millis(50)).is_err(), "{fault:?} holds the sync up");
        assert_eq!(under.counters().syncs, 0);
        faults.set(DiskFault::Ok);
        assert!(finished.recv().unwrap());
        sync.join().unwrap().unwrap();
    }
}

#[test]
fn a_data_directory_is_its_owners_alone_also_one_that_was_open_to_all() {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn modes(dir: &Path) -> Vec<u32> {
        let mut modes = vec![fs::metadata(dir).unwrap().permissions().mode() & 0o777];
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                modes.extend(modes_of_files(&path));
            }
            modes.push(fs::metadata(&path).unwrap().permissions().mode() & 0o777);
        }
        modes
    }

    fn modes_of_files(dir: &Path) -> Vec<u32> {
        let files = fs::read_dir(dir).unwrap();
        files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect()
    }

    fn open_up(dir: &Path) {
        fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
        for path in fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open_up(&path);
            } else {
                fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
            }
        }
    }

    let temp = tempfile::tempdir().unwrap();
    let home = temp.path().join("node-1");
    for _ in 0..2 {
        let disk: Arc<dyn Disk> = Arc::new(RealDisk);
        let dir = DataDir::open(disk, &home, identity(), WalOptions::default(), true).unwrap();
        dir.open_wal().unwrap();
        let modes = modes(&home);
        assert!(modes.len() > 5 && modes.iter().all(|mode| [0o600, 0o700].contains(mode)), "{modes:?}");
        drop(dir);
        open_up(&home);
    }
}
