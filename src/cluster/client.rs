//! A running cluster, for whoever uses it: the command line and scenarios.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;

use super::watched::until;
use super::wire::{Call, VERSION};
use super::{
    ClusterDir, ClusterStatus, Condition, DiskFault, Error, Info, KillSignal, Lie, LinkFault, Lock,
    Partition, ProcessId, Reply, Request, Result, StateDir, Surveyor, Target, reap, resolve,
};

/// How long a supervisor may take to say what it knows.
const INFO: Duration = Duration::from_secs(5);
/// How long a supervisor that holds its lock may be without a socket: it has one from its first moment to its last.
const LISTEN: Duration = Duration::from_secs(1);
/// How long a supervisor may take to end after it has said that all is down.
const EXIT: Duration = Duration::from_secs(10);
/// How often the cluster is asked while something is awaited of it.
pub(super) const POLL: Duration = Duration::from_millis(20);
/// How long a target like `leader` waits for there to be one.
const ROLE: Duration = Duration::from_secs(5);

/// A cluster that has a supervisor.
#[derive(Debug)]
pub struct Cluster {
    dir: ClusterDir,
    surveyor: Surveyor,
}

impl Cluster {
    /// The cluster in this directory, whose supervisor must answer.
    pub async fn open(dir: ClusterDir) -> Result<Self> {
        let cluster = Self { dir, surveyor: Surveyor::default() };
        cluster.info().await?;
        Ok(cluster)
    }

    /// The cluster of this name, or without one the only running cluster.
    pub async fn choose(state: &StateDir, name: Option<&str>) -> Result<Self> {
        if let Some(name) = name {
            return Self::open(state.cluster(name)?).await;
        }
        let dirs = state.clusters()?;
        let runs = |dir: &&ClusterDir| Lock::holder(&dir.lock()).is_ok_and(|holder| holder.is_some());
        let running: Vec<&ClusterDir> = dirs.iter().filter(runs).collect();
        match running.as_slice() {
            [dir] => Self::open((*dir).clone()).await,
            [] => Err(none_runs(state, &dirs)),
            several => Err(ambiguous("several clusters run", several)),
        }
    }

    /// Where everything of it lies.
    pub fn dir(&self) -> &ClusterDir {
        &self.dir
    }

    /// What the supervisor knows.
    pub async fn info(&self) -> Result<Info> {
        let asked = tokio::time::timeout(INFO, self.call(Request::Info, |_| {})).await;
        asked.unwrap_or_else(|_| {
            let message = format!("the supervisor of the cluster {} does not answer", self.dir.name());
            Err(Error::unreachable(message)
                .hint(format!("its log is {}", self.dir.supervisor_log().display())))
        })
    }

    /// Asks the supervisor, and waits until it is done.
    pub async fn call(&self, request: Request, mut progress: impl FnMut(&str)) -> Result<Info> {
        let mut replies = self.send(&request).await?;
        loop {
            let line = replies.next_line().await.ok().flatten();
            let Some(line) = line else {
                return Err(gone(&self.dir));
            };
            let reply = serde_json::from_str(&line)
                .map_err(|error| Error::failed(format!("the supervisor's answer cannot be read: {error}")))?;
            match reply {
                Reply::Progress { text } => progress(&text),
                Reply::Done { info } => return Ok(info),
                Reply::Failed { error } => return Err(error),
            }
        }
    }

    async fn send(&self, request: &Request) -> Result<Lines<BufReader<OwnedReadHalf>>> {
        let name = self.dir.name();
        let stream = connect(&self.dir).await?;
        let (read, mut write) = stream.into_split();
        let request = serde_json::to_value(request).unwrap_or_default();
        let mut text = serde_json::to_string(&Call { version: VERSION, request }).unwrap_or_default();
        text.push('\n');
        write.write_all(text.as_bytes()).await.map_err(|error| {
            Error::unreachable(format!("the supervisor of the cluster {name} is gone: {error}"))
        })?;
        // Dropping the write half would only close one direction; the supervisor reads one line and answers.
        Ok(BufReader::new(read).lines())
    }

    /// How the cluster is.
    pub async fn status(&mut self, with_digest: bool) -> Result<ClusterStatus> {
        let info = self.info().await?;
        Ok(self.surveyor.survey(&info.into(), with_digest).await)
    }

    /// Waits until all of `conditions` hold at once. The error says what is missing.
    pub async fn wait(&mut self, conditions: &[Condition], limit: Duration) -> Result<ClusterStatus> {
        let look = self.dir.command("status");
        let held = until(conditions, limit, async |with_digest| self.status(with_digest).await).await?;
        held.map_err(|missing| missing.hint(format!("wait longer with --timeout, or see more with: {look}")))
    }

    /// The ids of the nodes that `targets` name. A role that nobody has now is waited for, a few seconds.
    pub async fn resolve(&mut self, targets: &[Target]) -> Result<BTreeSet<u64>> {
        if targets.iter().any(|target| target.is_role()) {
            // Without a leader in time `resolve` says who could not be found, and why.
            let _ = self.wait(&[Condition::Leader], ROLE).await;
        }
        resolve(targets, &self.status(false).await?, &self.dir)
    }

    /// Ends nodes and leaves them down.
    pub async fn kill(&self, ids: BTreeSet<u64>, signal: KillSignal) -> Result<Info> {
        self.call(Request::Kill { ids, signal }, |_| {}).await
    }

    /// Stops nodes in their tracks.
    pub async fn pause(&self, ids: BTreeSet<u64>) -> Result<Info> {
        self.call(Request::Pause { ids }, |_| {}).await
    }

    /// Lets paused nodes go on.
    pub async fn resume(&self, ids: BTreeSet<u64>) -> Result<Info> {
        self.call(Request::Resume { ids }, |_| {}).await
    }

    /// Stops nodes if they run, and starts them.
    pub async fn restart(
        &self,
        ids: BTreeSet<u64>,
        rolling: bool,
        progress: impl FnMut(&str),
    ) -> Result<Info> {
        self.call(Request::Restart { ids, rolling }, progress).await
    }

    /// Adds to what is wrong with links.
    pub async fn link(&self, fault: LinkFault) -> Result<Info> {
        self.call(Request::Link(fault), |_| {}).await
    }

    /// Ends all that is wrong with links.
    pub async fn heal_links(&self) -> Result<Info> {
        self.call(Request::HealLinks, |_| {}).await
    }

    /// Replaces the partition; [`Partition::default`] heals it.
    pub async fn partition(&self, partition: Partition) -> Result<Info> {
        self.call(Request::Partition(partition), |_| {}).await
    }

    /// Replaces the fault of nodes' disks.
    pub async fn disk(&self, ids: BTreeSet<u64>, fault: DiskFault) -> Result<Info> {
        self.call(Request::Disk { ids, fault }, |_| {}).await
    }

    /// Makes running nodes lie to the others from now on, or with `None` honest; kept for their next lives.
    pub async fn lie(&self, ids: BTreeSet<u64>, lie: Option<Lie>) -> Result<Info> {
        self.call(Request::Lie { ids, lie }, |_| {}).await
    }

    /// Takes the cluster down; its data stays. Returns when no process, socket and lock is left.
    pub async fn down(self) -> Result<()> {
        down(&self.dir).await.map(drop)
    }
}

/// A connection to the supervisor of the cluster in `dir`.
pub(super) async fn connect(dir: &ClusterDir) -> Result<UnixStream> {
    let path = dir.socket()?;
    let limit = tokio::time::Instant::now() + LISTEN;
    loop {
        let error = match UnixStream::connect(&path).await {
            Ok(stream) => return Ok(stream),
            Err(error) => error,
        };
        if !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            let doing = format!("cannot reach the supervisor of the cluster {} at", dir.name());
            return Err(Error::at(&doing, &path, &error).out_of_reach());
        }
        let Some(holder) = Lock::holder(&dir.lock())? else { return Err(not_running(dir)) };
        if tokio::time::Instant::now() >= limit {
            return Err(deaf(dir, &path, &holder));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Takes down the cluster in `dir`, whatever is left of it: a supervisor, or what one that was killed left. Answers
/// whether there was anything.
pub(super) async fn down(dir: &ClusterDir) -> Result<bool> {
    let Some(holder) = Lock::holder(&dir.lock())? else {
        return sweep(dir).await;
    };
    let cluster = Cluster { dir: dir.clone(), surveyor: Surveyor::default() };
    let asked = cluster.call(Request::Down, |_| {}).await;
    // A supervisor that has just begun or just ended does not listen, but it takes signals.
    if let Err(error) = asked
        && holder.signal(nix::sys::signal::Signal::SIGTERM).is_ok()
    {
        tracing::debug!("asked the supervisor to end by signal: {error}");
    }
    if !holder.wait_gone(EXIT).await {
        return Err(Error::failed(format!("the supervisor (pid {}) does not end", holder.pid))
            .hint(format!("its log is {}", dir.supervisor_log().display())));
    }
    sweep(dir).await?;
    Ok(true)
}

/// Removes what a supervisor that was killed left: processes, socket and lock.
async fn sweep(dir: &ClusterDir) -> Result<bool> {
    if !dir.path().exists() {
        return Ok(false);
    }
    let stale = dir.lock().exists();
    let super::Attempt::Locked(lock) = Lock::try_take(&dir.lock())? else { return Ok(false) };
    let reaped = reap(dir).await?;
    super::files::remove_if_there(&dir.socket()?)?;
    drop(lock);
    Ok(stale || !reaped.is_empty())
}

impl ClusterDir {
    /// Takes down the cluster that lies here; see [`Cluster::down`]. Answers whether there was anything to take down.
    pub async fn down(&self) -> Result<bool> {
        down(self).await
    }
}

/// Chooses among the clusters that have a directory: the one of this name, the only one that runs, or the only one.
pub(super) fn choose_dir(state: &StateDir, name: Option<&str>) -> Result<ClusterDir> {
    let dirs = state.clusters()?;
    if let Some(name) = name {
        let dir = state.cluster(name)?;
        if dirs.contains(&dir) {
            return Ok(dir);
        }
        let names: Vec<&str> = dirs.iter().map(ClusterDir::name).collect();
        let known = if names.is_empty() { "there is none yet".to_owned() } else { names.join(", ") };
        return Err(Error::unreachable(format!("there is no cluster {name} in {}", state.path().display()))
            .hint(format!("clusters there: {known}")));
    }
    // One whose supervisor was killed left its lock file, and is as much in use as one that runs.
    let in_use: Vec<&ClusterDir> = dirs.iter().filter(|dir| dir.lock().exists()).collect();
    match (in_use.as_slice(), dirs.as_slice()) {
        ([dir], _) => Ok((*dir).clone()),
        ([], [dir]) => Ok(dir.clone()),
        ([], []) => Err(none_runs(state, &dirs)),
        ([], several) => Err(ambiguous("there are several clusters", &several.iter().collect::<Vec<_>>())),
        (several, _) => Err(ambiguous("several clusters run", several)),
    }
}

impl StateDir {
    /// The directory of the cluster of this name; without one, of the only cluster that runs, or the only one there is.
    pub fn choose(&self, name: Option<&str>) -> Result<ClusterDir> {
        choose_dir(self, name)
    }
}

fn not_running(dir: &ClusterDir) -> Error {
    let (name, up) = (dir.name(), dir.command("cluster up"));
    let (what, hint) = if dir.lock().exists() {
        ("has lost its supervisor", "bring it up again with")
    } else if dir.config().exists() {
        ("is not running", "bring it up with")
    } else {
        ("does not exist", "make it with")
    };
    Error::unreachable(format!("the cluster {name} {what}")).hint(format!("{hint}: {up}"))
}

/// A supervisor whose socket was taken away.
fn deaf(dir: &ClusterDir, socket: &Path, supervisor: &ProcessId) -> Error {
    let (name, pid, socket) = (dir.name(), supervisor.pid, socket.display());
    Error::unreachable(format!(
        "the cluster {name} runs, but nobody can ask its supervisor (pid {pid}): its socket {socket} is gone"
    ))
    .hint(format!("end it, and keep its data, with: {}", dir.command("cluster down")))
}

fn gone(dir: &ClusterDir) -> Error {
    let (name, log) = (dir.name(), dir.supervisor_log());
    let up = dir.command("cluster up");
    Error::unreachable(format!("the supervisor of the cluster {name} ended before it answered"))
        .hint(format!("its log is {}; bring the cluster up again with: {up}", log.display()))
}

fn none_runs(state: &StateDir, dirs: &[ClusterDir]) -> Error {
    if let [dir] = dirs {
        // One that cannot be looked at may run.
        return Lock::holder(&dir.lock()).map_or_else(|error| error, |_| not_running(dir));
    }
    let error = Error::unreachable(format!("no cluster runs (looked in {})", state.path().display()));
    match (dirs, state.foreign()) {
        ([], Ok(Some(foreign)) | Err(foreign)) => foreign,
        ([], Ok(None)) => error.hint(format!("bring one up with: {}", state.command("cluster up"))),
        _ => error.hint(format!("see what there is with: {}", state.command("cluster list"))),
    }
}

fn ambiguous(what: &str, dirs: &[&ClusterDir]) -> Error {
    let names: Vec<&str> = dirs.iter().map(|dir| dir.name()).collect();
    Error::usage(format!("{what}: {}", names.join(", "))).hint("choose one with --cluster NAME")
}
