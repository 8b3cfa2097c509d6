//! One supervisor a cluster.
//!
//! The kernel's file lock decides, because it ends with its holder, however that ends, and knows nothing of pids. What
//! is written in the file (pid and start time of the holder) is for people and for whoever must wait for it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Error, ProcessId, Result};

/// Whoever only [looks](Lock::holder) at a lock that a killed holder left has it for a moment, and so has a new holder
/// before it has written who it is: how often, and after which pause, to try again before the lock counts as held.
const LOOKS: u32 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Held by the supervisor of a cluster as long as it lives. Dropping it removes the file.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
}

/// What became of an attempt to lock.
#[derive(Debug)]
pub enum Attempt {
    /// It is ours.
    Locked(Lock),
    /// Another holds it: who, as far as the file says.
    Held(Option<ProcessId>),
}

impl Lock {
    /// Takes the lock at `path` if nobody holds it.
    #[expect(clippy::disallowed_methods, reason = "whoever is only looking tells nobody when it has looked")]
    pub fn try_take(path: &Path) -> Result<Attempt> {
        let mut looks = LOOKS;
        loop {
            let doing = |error: &io::Error| Error::at("cannot lock", path, error);
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(path)
                .map_err(|error| doing(&error))?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let holder = read_holder(&mut file);
                    if holder.as_ref().is_some_and(ProcessId::is_alive) || looks == 0 {
                        return Ok(Attempt::Held(holder));
                    }
                    looks -= 1;
                    thread::sleep(LOOK_AGAIN);
                    continue;
                }
                Err(TryLockError::Error(error)) => return Err(doing(&error)),
            }
            // A holder that just ended has removed the file: then this lock is on a file that nobody else will find.
            let same = fs::metadata(path).is_ok_and(|at_path| {
                file.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (at_path.dev(), at_path.ino()))
            });
            if !same {
                continue;
            }
            let mut lock = Self { file, path: path.to_owned() };
            lock.write_holder().map_err(|error| doing(&error))?;
            return Ok(Attempt::Locked(lock));
        }
    }

    /// Who holds the lock at `path`; `None` when nobody does. An error when that cannot be known, as of another user's.
    pub fn holder(path: &Path) -> Result<Option<ProcessId>> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(|error| Error::at("cannot open", path, &error).out_of_reach())?,
        };
        Ok(match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => read_holder(&mut file),
            _ => None,
        })
    }

    fn write_holder(&mut self) -> io::Result<()> {
        let text = serde_json::to_string(&ProcessId::current())?;
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{text}")?;
        self.file.flush()
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Removed while still locked, so that nobody can have taken the file over in between.
        let _ = fs::remove_file(&self.path);
    }
}

fn read_holder(file: &mut File) -> Option<ProcessId> {
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    serde_json::from_str(&text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holder_at_a_time_and_nothing_left_behind() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let Attempt::Locked(lock) = Lock::try_take(&path).unwrap() else { panic!("nobody else is here") };
        let Attempt::Held(holder) = Lock::try_take(&path).unwrap() else { panic!("it is held") };
        assert_eq!(holder, Some(ProcessId::current()));
        assert_eq!(Lock::holder(&path).unwrap(), Some(ProcessId::current()));
        drop(lock);
        assert!(!path.exists());
        assert!(matches!(Lock::try_take(&path).unwrap(), Attempt::Locked(_)));
    }

    #[test]
    fn whoever_only_looks_is_not_in_the_way() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        let gone = ProcessId { pid: u32::MAX >> 1, started: String::new() };
        fs::write(&path, serde_json::to_string(&gone).unwrap()).unwrap();
        let looker = File::open(&path).unwrap();
        looker.try_lock_shared().unwrap();
        thread::scope(|scope| {
            let taken = scope.spawn(|| Lock::try_take(&path).unwrap());
            looker.unlock().unwrap();
            assert!(matches!(taken.join().unwrap(), Attempt::Locked(_)));
        });
    }

    #[test]
    fn a_file_that_a_killed_holder_left_is_taken_over_even_if_its_pid_lives_again() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("lock");
        // As after SIGKILL: the file is there, the kernel's lock is not, and the pid is someone's.
        fs::write(&path, serde_json::to_string(&ProcessId::current()).unwrap()).unwrap();
        assert_eq!(Lock::holder(&path).unwrap(), None);
        assert!(matches!(Lock::try_take(&path).unwrap(), Attempt::Locked(_)));
    }
}
