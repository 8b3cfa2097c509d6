//! A node as a child process of the supervisor.

use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::{mpsc, watch};

use super::{Member, MemberState, Order};
use crate::cluster::files::open_log;
use crate::cluster::process::wait_until;
use crate::cluster::{Error, KillSignal, ProcessId, Result};

/// How long a node may take to stop in an orderly way before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How long a signal may take to show in the process table.
const SIGNAL_EFFECT: Duration = Duration::from_secs(5);
/// A log longer than this is set aside when its node starts, in place of the one set aside before.
const MAX_LOG_BYTES: u64 = 16 << 20;
/// How much of a log's end is searched for a last error.
const LOG_TAIL_BYTES: u64 = 64 << 10;

/// Starts a node: `program` with `args`, its standard error appended to `log`. It is running once it has printed a line
/// on its standard output. Its standard input stays open as long as this supervisor lives.
pub fn spawn(program: &Path, args: &[String], log: &Path) -> Result<Member> {
    if fs::metadata(log).is_ok_and(|meta| meta.len() > MAX_LOG_BYTES) {
        fs::rename(log, log.with_extension("log.1"))
            .map_err(|error| Error::io(format!("cannot set aside {}", log.display()), &error))?;
    }
    let file = open_log(log)?;
    let log_start = file.metadata().map_or(0, |meta| meta.len());

    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(file)
        // A Ctrl-C is for the supervisor, which ends its nodes in an orderly way.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| Error::io(format!("cannot start {}", program.display()), &error))?;
    // It cannot be gone from the process table: it is ours, and not reaped.
    let pid = child.id().unwrap_or_default();
    let process = ProcessId::of(pid).unwrap_or(ProcessId { pid, started: String::new() });

    let (orders, inbox) = mpsc::unbounded_channel();
    let (report, state) = watch::channel(MemberState::Starting);
    let watcher = Watcher { process: process.clone(), log: log.to_owned(), log_start, report };
    let stdout = child.stdout.take();
    tokio::spawn(watcher.watch_over(child, stdout, inbox));
    Ok(Member { process, orders, state })
}

struct Watcher {
    process: ProcessId,
    log: PathBuf,
    /// Where this life of the node begins in its log.
    log_start: u64,
    report: watch::Sender<MemberState>,
}

impl Watcher {
    /// Carries out orders until the process ends, and reaps it.
    async fn watch_over(
        self,
        mut child: Child,
        stdout: Option<ChildStdout>,
        mut inbox: mpsc::UnboundedReceiver<Order>,
    ) {
        let ready = async {
            let mut line = String::new();
            match stdout {
                Some(stdout) => BufReader::new(stdout).read_line(&mut line).await.unwrap_or(0) > 0,
                None => false,
            }
        };
        let mut ready = pin!(ready);
        // Held here for as long as the node lives: waiting for a child would close its standard input, which tells a
        // node that its supervisor is gone.
        let _lifeline = child.stdin.take();
        let mut starting = true;
        let mut grace = pin!(tokio::time::sleep(Duration::MAX));
        let status = loop {
            tokio::select! {
                status = child.wait() => break status,
                served = &mut ready, if starting => {
                    starting = false;
                    if served {
                        self.report.send_replace(MemberState::Running);
                    }
                }
                () = &mut grace => {
                    let _ = child.start_kill();
                }
                order = inbox.recv() => match order {
                    Some(Order::Pause) => self.pause().await,
                    Some(Order::Resume) => self.resume().await,
                    Some(Order::End(KillSignal::Term)) => {
                        let _ = self.process.signal(Signal::SIGTERM);
                        let _ = self.process.signal(Signal::SIGCONT);
                        grace.set(tokio::time::sleep(GRACE));
                    }
                    Some(Order::End(KillSignal::Kill)) => {
                        let _ = child.start_kill();
                    }
                    None => {
                        let _ = child.start_kill();
                        break child.wait().await;
                    }
                },
            }
        };
        let why = match status {
            Ok(status) => self.why_ended(status),
            Err(error) => format!("cannot be waited for: {error}"),
        };
        self.report.send_replace(MemberState::Ended(why));
    }

    async fn pause(&self) {
        let _ = self.process.signal(Signal::SIGSTOP);
        if wait_until(SIGNAL_EFFECT, || self.process.is_paused() || !self.process.is_alive()).await {
            self.report.send_replace(MemberState::Paused);
        }
    }

    async fn resume(&self) {
        let _ = self.process.signal(Signal::SIGCONT);
        if wait_until(SIGNAL_EFFECT, || !self.process.is_paused()).await {
            self.report.send_replace(MemberState::Running);
        }
    }

    fn why_ended(&self, status: ExitStatus) -> String {
        if let Some(signal) = status.signal() {
            let name =
                Signal::try_from(signal).map_or_else(|_| signal.to_string(), |signal| signal.to_string());
            return format!("killed by {name}");
        }
        match last_error(&self.log, self.log_start) {
            Some(error) if !status.success() => error,
            _ if status.success() => "ended by itself".to_owned(),
            _ => format!(
                "ended with exit code {}; its log is {}",
                status.code().unwrap_or(-1),
                self.log.display()
            ),
        }
    }
}

/// The last line of a log that says `error:`, behind the offset `from`; else its last line.
pub(in crate::cluster) fn last_error(log: &Path, from: u64) -> Option<String> {
    let mut file = fs::File::open(log).ok()?;
    let length = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(from.max(length.saturating_sub(LOG_TAIL_BYTES)))).ok()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let error = lines.iter().rev().find_map(|line| line.strip_prefix("error: "));
    error.or_else(|| lines.last().copied()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::member::wait;

    fn shell(script: &str, log: &Path) -> Member {
        spawn(Path::new("/bin/sh"), &["-c".to_owned(), script.to_owned()], log).unwrap()
    }

    #[tokio::test]
    async fn a_member_is_running_when_it_says_so_and_can_be_paused_and_killed() {
        let temp = tempfile::tempdir().unwrap();
        let member = shell("echo ready; exec sleep 60", &temp.path().join("log"));
        assert_eq!(wait(member.watch(), |state| *state == MemberState::Running).await, MemberState::Running);
        member.order(Order::Pause);
        assert_eq!(wait(member.watch(), |state| *state == MemberState::Paused).await, MemberState::Paused);
        assert!(member.process.is_paused());
        member.order(Order::End(KillSignal::Kill));
        let ended = wait(member.watch(), |_| false).await;
        assert_eq!(ended, MemberState::Ended("killed by SIGKILL".to_owned()));
        assert!(!member.process.is_alive());
    }

    #[tokio::test]
    async fn a_paused_member_stops_in_an_orderly_way_when_asked_to() {
        let temp = tempfile::tempdir().unwrap();
        let member =
            shell("trap 'exit 0' TERM; echo ready; while :; do sleep 0.01; done", &temp.path().join("log"));
        wait(member.watch(), |state| *state == MemberState::Running).await;
        member.order(Order::Pause);
        wait(member.watch(), |state| *state == MemberState::Paused).await;
        member.order(Order::End(KillSignal::Term));
        assert_eq!(wait(member.watch(), |_| false).await, MemberState::Ended("ended by itself".to_owned()));
    }

    #[tokio::test]
    async fn a_member_that_dies_shows_its_own_last_error() {
        let temp = tempfile::tempdir().unwrap();
        let log = temp.path().join("log");
        fs::write(&log, "error: of an earlier life\n").unwrap();
        let member = shell("echo 'error: no room' >&2; echo 'hint: free some' >&2; exit 1", &log);
        assert_eq!(wait(member.watch(), |_| false).await, MemberState::Ended("no room".to_owned()));
        let member = shell("exit 3", &log);
        let MemberState::Ended(why) = wait(member.watch(), |_| false).await else { panic!("it is gone") };
        assert!(why.starts_with("ended with exit code 3"), "{why}");
    }
}
