//! Processes by pid *and* start time, so that a pid that was given to someone else is never taken for ours.

use std::fs;
use std::os::fd::{BorrowedFd, RawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How often a condition of the operating system is looked at that it cannot tell us of.
const POLL: Duration = Duration::from_millis(2);

/// Keeps the files that this process inherited from those that it starts. A supervisor and its nodes outlive whoever called
/// `up`: a lock or a pipe of the caller's that they held on to would stay taken, or open, for as long.
#[expect(unsafe_code, reason = "a number becomes a descriptor in no other way")]
pub(super) fn keep_inherited_files() {
    let Ok(open) = fs::read_dir("/dev/fd") else { return };
    let numbers = open.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<RawFd>().ok());
    for number in numbers.filter(|number| *number > 2).collect::<Vec<_>>() {
        // SAFETY: nothing is read or closed through it. If it was closed since it was listed, the call fails; if it was
        // opened anew, by this program, it has the flag already.
        let file = unsafe { BorrowedFd::borrow_raw(number) };
        let _ = fcntl(file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
    }
}

/// A process, for ever: pids are reused, pairs of pid and start time are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its pid.
    pub pid: u32,
    /// When it was started, in words of the operating system. Only equality means anything.
    pub started: String,
}

impl ProcessId {
    /// The process that has this pid now; `None` if there is none or it has ended and only waits to be reaped.
    pub fn of(pid: u32) -> Option<Self> {
        let (state, started) = look_up(pid)?;
        (!matches!(state, 'Z' | 'X')).then_some(Self { pid, started })
    }

    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self::of(pid).unwrap_or_else(|| Self { pid, started: String::new() })
    }

    /// Whether it still runs (or is stopped, but there).
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }

    /// Whether all of it is stopped by a signal.
    pub fn is_paused(&self) -> bool {
        look_up(self.pid)
            .is_some_and(|(state, started)| matches!(state, 'T' | 't') && started == self.started)
    }

    /// Sends a signal, if it is still this process.
    pub fn signal(&self, signal: Signal) -> Result<(), Errno> {
        if !self.is_alive() {
            return Err(Errno::ESRCH);
        }
        signal::kill(Pid::from_raw(self.pid as i32), signal)
    }

    /// Waits until it is gone; `false` if it is still there after `limit`.
    pub async fn wait_gone(&self, limit: Duration) -> bool {
        wait_until(limit, || !self.is_alive()).await
    }

    /// Ends it for certain: SIGKILL, and SIGCONT in case it is stopped on a system where that matters.
    pub async fn kill(&self, limit: Duration) -> bool {
        let _ = self.signal(Signal::SIGKILL);
        let _ = self.signal(Signal::SIGCONT);
        self.wait_gone(limit).await
    }
}

/// Waits until `condition` holds; `false` if it does not within `limit`.
pub(super) async fn wait_until(limit: Duration, condition: impl Fn() -> bool) -> bool {
    let poll = async {
        while !condition() {
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::time::timeout(limit, poll).await.is_ok()
}

/// State letter and start time of a process.
#[cfg(target_os = "linux")]
fn look_up(pid: u32) -> Option<(char, String)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold blanks and parentheses: fields are counted from behind the last one.
    let fields: Vec<&str> = stat[stat.rfind(')')? + 1..].split_ascii_whitespace().collect();
    // proc(5): field 3 is the state, field 22 the start in ticks since boot.
    let (state, ticks) = (fields.first()?.chars().next()?, fields.get(19)?);
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    Some((state, format!("{}/{ticks}", boot.trim())))
}

/// State letter and start time of a process.
#[cfg(not(target_os = "linux"))]
fn look_up(pid: u32) -> Option<(char, String)> {
    let output = std::process::Command::new("ps")
        .args(["-o", "state=,lstart=", "-p", &pid.to_string()])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let (state, started) = text.split_once(char::is_whitespace)?;
    Some((state.chars().next()?, started.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn a_pid_that_was_given_to_someone_else_is_not_the_process() {
        let me = ProcessId::current();
        assert!(me.is_alive());
        let before = ProcessId { started: "another boot/1".into(), ..me.clone() };
        assert!(!before.is_alive());
        assert_eq!(before.signal(Signal::SIGKILL), Err(Errno::ESRCH));
    }

    #[tokio::test]
    async fn a_killed_process_that_nobody_reaped_counts_as_gone() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = ProcessId::of(child.id()).unwrap();
        process.signal(Signal::SIGSTOP).unwrap();
        assert!(wait_until(Duration::from_secs(5), || process.is_paused()).await);
        assert!(process.kill(Duration::from_secs(5)).await);
        child.wait().unwrap();
    }
}
