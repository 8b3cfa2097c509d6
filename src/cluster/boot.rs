//! The life of a supervisor, from the lock to the last node's end.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use super::files::{remove_if_there, replace};
use super::operations::Progress;
use super::plan;
use super::process::keep_inherited_files;
use super::server::Socket;
use super::{
    Attempt, ClusterDir, Error, Info, Liars, Lock, Result, Setup, Supervisor, Wish, check_free, is_loopback,
    keys, malice, reap, wipe,
};
use crate::config::ClusterConfig;
use crate::text::counted;

/// How long clients have to read that the cluster is down before the supervisor ends.
const LAST_WORDS: Duration = Duration::from_millis(50);

/// What a supervisor is told when it starts.
#[derive(Clone, Debug)]
pub struct Boot {
    /// Where everything of the cluster lies, or will.
    pub dir: ClusterDir,
    /// What the user said about it.
    pub wish: Wish,
    /// Whether nodes are tasks of the supervisor and not processes.
    pub in_process: bool,
    /// Whether the data that is there is to be thrown away.
    pub fresh: bool,
    /// The binary whose `node` subcommand runs a node.
    pub program: PathBuf,
    /// Which events are logged, in place of the configuration's.
    pub log: Option<String>,
}

/// Brings a cluster up, says so to `served`, and watches over it until someone asks for its end or `interrupted` comes.
/// When it returns, no node runs and the lock and the socket are gone.
pub async fn run(
    boot: Boot,
    interrupted: impl Future<Output = ()>,
    progress: Progress<'_>,
    served: impl FnOnce(Info),
) -> Result<()> {
    keep_inherited_files();
    boot.create_dir()?;
    let lock = match Lock::try_take(&boot.dir.lock())? {
        Attempt::Locked(lock) => lock,
        Attempt::Held(holder) => return Err(held(&boot.dir, holder.map(|holder| holder.pid))),
    };
    // Whoever holds the lock listens, but for a moment: one whose socket is gone was robbed of it.
    let socket = Socket::bind(&boot.dir.socket()?)?;
    let supervisor = Supervisor::new(prepare(&boot, progress).await?);
    let (down, is_down) = watch::channel(false);

    let life = async {
        supervisor.bring_up().await?;
        replace(&boot.dir.served(), "")?;
        supervisor.set_running();
        tracing::info!(cluster = boot.dir.name(), "the cluster serves");
        served(supervisor.info());
        std::future::pending::<Result<()>>().await
    };
    let ended = tokio::select! {
        failed = life => failed,
        () = supervisor.stopping() => Ok(()),
        () = interrupted => Ok(()),
        () = socket.serve(&supervisor, &is_down) => Ok(()),
    };
    supervisor.stop();
    // Clients are answered to the end: some wait for it.
    let taken_down = tokio::select! {
        taken_down = supervisor.take_down() => taken_down,
        () = socket.serve(&supervisor, &is_down) => Ok(()),
    };
    remove_if_there(&boot.dir.children())?;
    drop(socket);
    tracing::info!(cluster = boot.dir.name(), "the cluster is down");
    down.send_replace(true);
    tokio::time::sleep(LAST_WORDS).await;
    drop(lock);
    ended.and(taken_down)
}

/// What is to run, as far as it can be known before anything is touched.
struct Plan {
    config: ClusterConfig,
    liars: Liars,
    /// What the user should know of it.
    warning: Option<String>,
}

impl Boot {
    /// Makes the cluster's directory, unless what is wanted is refused anyway: that leaves nothing behind.
    pub fn create_dir(&self) -> Result<()> {
        if !self.dir.path().exists() {
            check_free(&self.plan()?.config.members)?;
        }
        self.dir.create()
    }

    /// Decides what to run. Refuses what makes no sense; a wish that is refused costs no data.
    fn plan(&self) -> Result<Plan> {
        let Self { dir, wish, fresh, .. } = self;
        let existing = if *fresh { None } else { plan::existing(dir)? };
        let config = wish.plan(dir, existing.as_ref())?;
        if *fresh {
            wish.check_fresh(dir)?;
        }
        let liars = wish.liars(dir, &config, *fresh)?;
        keys::check(&config, dir, *fresh, &wish.afresh(dir))?;
        let warning = exposure(&config)?;
        Ok(Plan { config, liars, warning })
    }
}

/// Cleans up after a predecessor that was killed, decides what to run, and makes sure that it can.
async fn prepare(boot: &Boot, progress: Progress<'_>) -> Result<Setup> {
    let dir = &boot.dir;
    let reaped = reap(dir).await?;
    if !reaped.is_empty() {
        let processes = counted(reaped.len() as u64, "process", "processes");
        progress(format!("ended {processes} that a supervisor that died had left"));
    }
    let Plan { mut config, liars, warning } = boot.plan()?;
    check_free(&config.members)?;
    if let Some(warning) = warning {
        progress(format!("warning: {warning}"));
    }
    if boot.fresh {
        wipe(dir)?;
    }
    if config.entry().signs {
        keys::complete(&mut config, dir)?;
    }
    replace(&dir.config(), &config.to_toml())?;
    liars.keep(dir)?;
    if let Some(warning) = malice::beyond_the_model(config.entry(), config.members.len(), liars.count()) {
        tracing::warn!("{warning}");
    }
    Ok(Setup {
        config,
        liars,
        dir: dir.clone(),
        in_process: boot.in_process,
        program: boot.program.clone(),
        log: boot.log.clone(),
    })
}

/// Whoever reaches a supervised node can break it, which is what it is for: on this machine. Elsewhere only if that is
/// meant; then a warning is answered.
fn exposure(config: &ClusterConfig) -> Result<Option<String>> {
    let Some(member) = config.members.iter().find(|member| !is_loopback(&member.address)) else {
        return Ok(None);
    };
    let exposed = format!(
        "node {} listens on {}, where other hosts reach it, and whoever reaches a supervised node can set faults on it",
        member.id, member.address
    );
    if config.faults_over_network {
        return Ok(Some(format!("{exposed}: use a network that you trust")));
    }
    Err(Error::usage(exposed).hint(
        "if that is meant, write `faults_over_network = true` into the configuration; `consensusctl node` runs nodes \
         on which nobody can set any",
    ))
}

fn held(dir: &ClusterDir, pid: Option<u32>) -> Error {
    let by = pid.map_or(String::new(), |pid| format!(" by the supervisor with pid {pid}"));
    Error::failed(format!("the cluster {} is run already{by}", dir.name()))
        .hint(format!("see it with: {}", dir.command("status")))
}
