//! Starting a supervisor that outlives whoever starts it.

use std::pin::pin;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use super::client::connect;
use super::files::open_log;
use super::member::last_error;
use super::process::keep_inherited_files;
use super::{Boot, Cluster, Error, Lock, Phase, ProcessId, Reply, Result};

/// How long a cluster that is starting or stopping is waited for before `up` gives up on it.
const BUSY: Duration = Duration::from_mins(1);
/// How often such a cluster is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How long a supervisor may take to end after it was asked to.
const EXIT: Duration = Duration::from_secs(30);

/// What became of an `up`.
#[derive(Debug)]
pub enum UpOutcome {
    /// The cluster was brought up and serves.
    Started(Cluster),
    /// It was up already, and nothing was changed.
    AlreadyRunning(Cluster),
}

/// Brings a cluster up with a supervisor in a process of its own, and returns once it serves. When `interrupted` comes
/// first, everything that was begun is ended.
pub async fn up(
    boot: &Boot,
    interrupted: impl Future<Output = ()>,
    mut progress: impl FnMut(&str),
) -> Result<UpOutcome> {
    let mut interrupted = pin!(interrupted);
    let found = tokio::select! {
        found = running(boot) => found?,
        () = &mut interrupted => return Err(Error::failed("interrupted before anything was begun")),
    };
    if let Some(cluster) = found {
        return Ok(UpOutcome::AlreadyRunning(cluster));
    }
    boot.create_dir()?;
    let mut child = spawn(boot)?;
    tokio::select! {
        done = follow(boot, &mut child, &mut progress) => done?,
        () = &mut interrupted => {
            terminate(&mut child).await;
            return Err(Error::failed("interrupted; what was begun has been ended"));
        }
    }
    Ok(UpOutcome::Started(Cluster::open(boot.dir.clone()).await?))
}

/// The cluster, if it has a supervisor. One that is just starting or stopping is waited for.
async fn running(boot: &Boot) -> Result<Option<Cluster>> {
    let looked = async {
        while let Some(holder) = Lock::holder(&boot.dir.lock())? {
            if let Err(error) = connect(&boot.dir).await {
                if Lock::holder(&boot.dir.lock())?.as_ref() == Some(&holder) {
                    return Err(error);
                }
                continue;
            }
            // One that has just begun or is about to end does not answer.
            if let Ok(cluster) = Cluster::open(boot.dir.clone()).await
                && cluster.info().await.is_ok_and(|info| info.phase == Phase::Running)
            {
                return Ok(Some(cluster));
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(None)
    };
    tokio::time::timeout(BUSY, looked).await.unwrap_or_else(|_| {
        let (name, log) = (boot.dir.name(), boot.dir.supervisor_log());
        let pid = Lock::holder(&boot.dir.lock())?.map_or_else(String::new, |by| format!(" (pid {})", by.pid));
        let message = format!("the cluster {name} has a supervisor{pid} that neither serves nor ends");
        let down = boot.dir.command("cluster down");
        Err(Error::failed(message).hint(format!("its log is {}; end it with: {down}", log.display())))
    })
}

/// Starts the hidden `supervisor` subcommand. What it has to say while it starts comes over its standard output.
fn spawn(boot: &Boot) -> Result<Child> {
    keep_inherited_files();
    let log = boot.dir.supervisor_log();
    let file = open_log(&log)?;
    let mut command = Command::new(&boot.program);
    command.arg("--state-dir").arg(boot.dir.state_dir().path()).args([
        "supervisor",
        "--name",
        boot.dir.name(),
    ]);
    command.args(boot.wish.args());
    if let Some(filter) = &boot.log {
        command.args(["--log", filter]);
    }
    command.args(boot.in_process.then_some("--in-process")).args(boot.fresh.then_some("--fresh"));
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(file)
        .spawn()
        .map_err(|error| Error::io(format!("cannot start {}", boot.program.display()), &error))
}

/// Passes on what a starting supervisor says, until it has said how it went.
async fn follow(boot: &Boot, child: &mut Child, progress: &mut impl FnMut(&str)) -> Result<()> {
    let log = boot.dir.supervisor_log();
    let log_start = std::fs::metadata(&log).map_or(0, |meta| meta.len());
    let Some(stdout) = child.stdout.take() else { return Ok(()) };
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match serde_json::from_str(&line) {
            Ok(Reply::Progress { text }) => progress(&text),
            Ok(Reply::Done { .. }) => return Ok(()),
            Ok(Reply::Failed { error }) => {
                // It ends its nodes before it ends itself.
                let _ = child.wait().await;
                return Err(error);
            }
            Err(error) => tracing::debug!("the supervisor said what is not a reply: {error}"),
        }
    }
    let _ = child.wait().await;
    let why = last_error(&log, log_start).unwrap_or_else(|| "it says no more".to_owned());
    Err(Error::failed(format!("the supervisor ended before the cluster served: {why}"))
        .hint(format!("its log is {}", log.display())))
}

/// Asks a supervisor that is starting to end, and waits until it has.
async fn terminate(child: &mut Child) {
    if let Some(process) = child.id().and_then(ProcessId::of) {
        let _ = process.signal(Signal::SIGTERM);
    }
    if tokio::time::timeout(EXIT, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
