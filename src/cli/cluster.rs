//! `cluster up`, `down`, `restart`, `list`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::fault::targets;
use super::new::NewArgs;
use super::{CliError, CliResult, Context, Exit, interrupted, logging, new, status, supervisor};
use crate::cluster::{
    self, Cluster, ClusterDir, ClusterStatus, Info, Liars, Lock, Malicious, NodeState, NodeStatus, Target,
    UpOutcome, Wish, remove,
};
use crate::config::ClusterConfig;

const UP_EXAMPLES: &str = "\
Examples:
  consensusctl cluster up                        five Raft nodes, as processes, on ports 5001-5005
  consensusctl cluster up --nodes 3 --port 7001 --name small
  consensusctl cluster up --in-process           the nodes as tasks of one process
  consensusctl cluster up --fresh                throw the old data away
  consensusctl cluster up --foreground           stay attached; Ctrl-C ends the cluster
  consensusctl cluster up --protocol pbft --malicious 4
                                                 four PBFT replicas on ports 6001-6004, of which one lies

A cluster that was down continues with its data, its keys and its liars. If a node cannot start, a quorum serves without
it, and the exit code is 6. A cluster that is up stays as it is. --fresh also makes new keys.";

const RESTART_EXAMPLES: &str = "\
Examples:
  consensusctl cluster restart                   all nodes, also those that were killed or failed
  consensusctl cluster restart 3,4
  consensusctl cluster restart --rolling         one after the other, leadership handed over first";

/// Subcommands of `cluster`.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Brings a cluster up and returns once it serves
    #[command(after_help = UP_EXAMPLES)]
    Up(UpArgs),
    /// Takes a cluster down; its data stays
    Down(DownArgs),
    /// Stops nodes if they run, and starts them
    #[command(after_help = RESTART_EXAMPLES)]
    Restart(RestartArgs),
    /// Lists all clusters of the state directory
    List,
    /// Writes the configuration of a cluster over several hosts, or gives one a new id
    New(NewArgs),
}

/// What a cluster should be made of. What is not said comes from its data, and else from defaults.
#[derive(Clone, Debug, Args)]
pub(super) struct WishArgs {
    /// The protocol: raft, which tolerates crashes, or pbft, which tolerates lies [default: raft]
    #[arg(long)]
    pub protocol: Option<String>,
    /// How many nodes [default: 5 for raft, 4 for pbft]
    #[arg(long, value_name = "N")]
    pub nodes: Option<usize>,
    /// The port of the first node; the others follow [default: 5001 for raft, 6001 for pbft]
    #[arg(long, value_name = "BASE")]
    pub port: Option<u16>,
    /// A configuration file; see cluster.toml for what it can say
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Make a node lie to the others, as 4 or 4=equivocate; kept until --malicious none
    #[arg(long, value_name = "ID[=BEHAVIOUR]", value_delimiter = ',')]
    pub malicious: Vec<Malicious>,
    /// Run the nodes as tasks of the supervisor, not as processes
    #[arg(long)]
    pub in_process: bool,
    /// Throw the cluster's old data away
    #[arg(long)]
    pub fresh: bool,
}

impl WishArgs {
    /// Which options ask for something else than a cluster that runs, or for what is not looked at while it does.
    fn ignored(&self, running: &Info) -> Vec<&'static str> {
        let first = running.nodes.first().and_then(|node| node.address.rsplit(':').next()?.parse().ok());
        let all = [
            ("--nodes", self.nodes.is_some_and(|nodes| nodes != running.nodes.len())),
            ("--port", self.port.is_some_and(|port| Some(port) != first)),
            ("--config", self.config.is_some()),
            ("--malicious", !self.malicious.is_empty()),
            ("--fresh", self.fresh),
        ];
        all.into_iter().filter(|(_, ignored)| *ignored).map(|(name, _)| name).collect()
    }

    /// The wish, with a path that means the same from any directory.
    pub(super) fn to_wish(&self) -> CliResult<Wish> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path).map_err(|error| CliError::usage(format!("{}: {error}", path.display())))
        };
        Ok(Wish {
            protocol: self.protocol.clone(),
            nodes: self.nodes,
            port: self.port,
            config: self.config.as_ref().map(absolute).transpose()?,
            malicious: self.malicious.clone(),
        })
    }
}

/// Arguments of `cluster up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    #[command(flatten)]
    wish: WishArgs,
    /// Stay attached, and end the cluster on Ctrl-C
    #[arg(long)]
    foreground: bool,
}

/// Arguments of `cluster down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// Also throw the cluster's data away
    #[arg(long)]
    wipe: bool,
}

/// Arguments of `cluster restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Which nodes: ids, `leader`, `follower` (or `primary`, `backup`), `all`, comma lists [default: all]
    #[arg(value_name = "TARGET", value_parser = targets)]
    targets: Vec<Vec<Target>>,
    /// One after the other, each only when the one before is healthy; leadership is handed over first
    #[arg(long)]
    rolling: bool,
}

pub(super) async fn run(context: &mut Context<'_>, command: ClusterCommand) -> CliResult {
    match command {
        ClusterCommand::Up(args) if args.foreground => foreground(context, &args.wish).await,
        ClusterCommand::Up(args) => up(context, &args.wish).await,
        ClusterCommand::Down(args) => down(context, &args).await,
        ClusterCommand::Restart(args) => restart(context, args).await,
        ClusterCommand::List => list(context).await,
        ClusterCommand::New(args) => new::run(context, &args),
    }
}

async fn up(context: &mut Context<'_>, wish: &WishArgs) -> CliResult {
    let interrupted = interrupted()?;
    let boot = supervisor::boot(context, wish)?;
    let name = boot.dir.name().to_owned();
    let spinner = context.out.spinner(&format!("bringing up the cluster {name}"));
    let mut said = Vec::new();
    let outcome = cluster::up(&boot, interrupted, |text| said.push(text.to_owned())).await;
    spinner.finish_and_clear();
    for text in &said {
        context.out.note(text);
    }
    let mut cluster = match outcome? {
        UpOutcome::Started(cluster) => {
            context.out.note(&format!("the cluster {name} is up"));
            cluster
        }
        UpOutcome::AlreadyRunning(cluster) => {
            let running = cluster.info().await?;
            if let Some(protocol) = wish.protocol.as_ref().filter(|name| **name != running.protocol) {
                return Err(CliError::failed(format!(
                    "the cluster {name} runs {}, not {protocol}; nothing was changed",
                    running.protocol
                ))
                .hint("another cluster needs another name: --name NAME"));
            }
            context.out.note(&format!("the cluster {name} is up already; nothing was changed"));
            let ignored = wish.ignored(&running);
            if !ignored.is_empty() {
                let lies = if ignored.contains(&"--malicious") {
                    "`byzantine set` and `clear` change who lies; "
                } else {
                    ""
                };
                context.out.warn(&format!(
                    "{} had no effect: {lies}take the cluster down first, then bring it up so",
                    ignored.join(", ")
                ));
            }
            cluster
        }
    };
    let status = cluster.status(true).await?;
    show_up(context, &status)?;
    incomplete(&status, cluster.dir()).map_or(Ok(()), Err)
}

/// What to say of a cluster that came up without some of its nodes.
fn incomplete(status: &ClusterStatus, dir: &ClusterDir) -> Option<CliError> {
    let failed: Vec<&NodeStatus> =
        status.nodes.iter().filter(|node| node.state == NodeState::Failed).collect();
    let ids: Vec<String> = failed.iter().map(|node| node.id.to_string()).collect();
    let [first, ..] = failed.as_slice() else { return None };
    let why: Vec<String> =
        failed.iter().map(|node| format!("node {} does not run: {}", node.id, node.why.join(", "))).collect();
    let log = first.log.clone().unwrap_or_else(|| dir.supervisor_log());
    let hint = match failed.len() {
        1 => format!("its log is {}; once it is mended", log.display()),
        _ => format!("their logs are in {}; once they are mended", log.with_file_name("").display()),
    };
    let restart = dir.command(format!("cluster restart {}", ids.join(",")));
    let message = format!("the cluster {} serves, but {}", status.name, why.join("; "));
    Some(CliError::new(Exit::Partial, message).hint(format!("{hint}, start it with: {restart}")))
}

fn show_up(context: &mut Context<'_>, status: &ClusterStatus) -> CliResult {
    if context.out.is_json() {
        return context.out.document(status);
    }
    let words = status.entry().words;
    let header = ["id", "address", "pid", "state", "role", "log"];
    let rows = status.nodes.iter().map(|node| {
        vec![
            node.id.to_string(),
            node.address.clone(),
            status::or_dash(node.pid.as_ref()),
            node.state.name().to_owned(),
            status::or_dash(node.role.as_deref().map(|role| words.role(role)).as_ref()),
            status::or_dash(node.log.as_ref().map(|log| log.display()).as_ref()),
        ]
    });
    let rows = rows.collect();
    context.out.table(&header, rows)?;
    tell_faults(context, status);
    Ok(())
}

/// Says what the cluster tolerates, and which of its nodes lie.
fn tell_faults(context: &mut Context<'_>, status: &ClusterStatus) {
    let entry = status.entry();
    context.out.note(&format!("{} ({})", entry.tolerance(status.nodes.len() as u64), entry.tolerates));
    for node in status.nodes.iter().filter(|node| !node.is_honest()) {
        context.out.note(&status::honesty(node));
    }
    for warning in &status.warnings {
        context.out.warn(warning);
    }
    // Of nodes that failed more is said.
    if !status.healthy && status.nodes.iter().all(|node| node.state != NodeState::Failed) {
        context.out.warn(&format!("it is not healthy: {}", status.why.join("; ")));
    }
}

/// Runs the supervisor in this process.
async fn foreground(context: &mut Context<'_>, wish: &WishArgs) -> CliResult {
    let interrupted = interrupted()?;
    let boot = supervisor::boot(context, wish)?;
    boot.create_dir()?;
    let path = boot.dir.supervisor_log();
    let log = cluster::open_log(&path)?;
    let _log = logging::start(context.log.as_deref(), "info", Some(log))?;
    let dir = boot.dir.clone();
    let (tell, told) = tokio::sync::oneshot::channel();
    let said = std::sync::Mutex::new(Vec::new());
    let progress = |text: String| said.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(text);
    let cluster = cluster::run(boot, interrupted, &progress, |info| {
        let _ = tell.send(info);
    });
    let show = async {
        // An error means that it never served, which the other side tells.
        if told.await.is_err() {
            return Ok(());
        }
        let status = Cluster::open(dir.clone()).await?.status(true).await?;
        show_up(context, &status)?;
        if let Some(incomplete) = incomplete(&status, &dir) {
            context.out.warn(&incomplete.message);
        }
        context.out.note("Ctrl-C ends the cluster");
        Ok(())
    };
    let (ended, shown): (cluster::Result<()>, CliResult) = tokio::join!(cluster, show);
    for text in said.into_inner().unwrap_or_default() {
        context.out.note(&text);
    }
    ended?;
    shown
}

async fn down(context: &mut Context<'_>, args: &DownArgs) -> CliResult {
    // A Ctrl-C ends this command, not what the supervisor has begun.
    let dir = match context.dir() {
        Ok(dir) => dir,
        Err(error) if context.name.is_none() && context.state()?.clusters()?.is_empty() => {
            context.out.note(&format!("nothing to take down: {}", error.message));
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let spinner = context.out.spinner(&format!("taking down the cluster {}", dir.name()));
    let was_up = dir.down().await;
    spinner.finish_and_clear();
    let was_up = was_up?;
    if args.wipe {
        remove(&dir).await?;
    }
    if context.out.is_json() {
        return context.out.document(&serde_json::json!({
            "name": dir.name(), "was_up": was_up, "wiped": args.wipe, "directory": dir.path(),
        }));
    }
    let what = if was_up { "is down" } else { "was down already" };
    let rest = if args.wipe {
        "its data is gone".to_owned()
    } else {
        format!("its data stays in {}", dir.path().display())
    };
    context.out.note(&format!("the cluster {} {what}; {rest}", dir.name()));
    Ok(())
}

async fn restart(context: &mut Context<'_>, args: RestartArgs) -> CliResult {
    let mut cluster = context.cluster().await?;
    let mut wanted: Vec<Target> = args.targets.into_iter().flatten().collect();
    if wanted.is_empty() {
        wanted.push(Target::All);
    }
    let ids = cluster.resolve(&wanted).await?;
    let out = &mut *context.out;
    cluster.restart(ids, args.rolling, |text| out.note(text)).await?;
    status::show(context, &cluster.status(true).await?)
}

/// A cluster of the state directory, as `list` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    name: String,
    state: &'static str,
    protocol: String,
    nodes: usize,
    tolerates: u64,
    malicious: BTreeMap<u64, String>,
    supervisor: Option<u32>,
    directory: PathBuf,
}

async fn list(context: &mut Context<'_>) -> CliResult {
    let mut clusters = Vec::new();
    for dir in context.state()?.clusters()? {
        clusters.push(describe(dir).await);
    }
    if context.out.is_json() {
        return context.out.document(&clusters);
    }
    if clusters.is_empty() {
        let foreign = context.state()?.foreign()?.map_or_else(String::new, |error| format!("; {error}"));
        context.out.note(&format!("no clusters in {}{foreign}", context.state()?.path().display()));
        return Ok(());
    }
    let header = ["name", "state", "protocol", "nodes", "tolerates", "malicious", "supervisor", "directory"];
    let rows = clusters.into_iter().map(|cluster| {
        vec![
            cluster.name,
            cluster.state.to_owned(),
            cluster.protocol,
            cluster.nodes.to_string(),
            cluster.tolerates.to_string(),
            status::or_dash(in_words(&cluster.malicious).as_ref()),
            status::or_dash(cluster.supervisor.as_ref()),
            cluster.directory.display().to_string(),
        ]
    });
    let rows = rows.collect();
    context.out.table(&header, rows)
}

/// Who lies, as `--malicious` takes it; `None` if nobody does.
fn in_words(malicious: &BTreeMap<u64, String>) -> Option<String> {
    let all: Vec<String> = malicious.iter().map(|(id, name)| format!("{id}={name}")).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

async fn describe(dir: ClusterDir) -> Listed {
    let holder = Lock::holder(&dir.lock()).unwrap_or_default();
    let config = ClusterConfig::load(&dir.config()).ok();
    let state = match &holder {
        Some(_) => match Cluster::open(dir.clone()).await {
            Ok(cluster) => cluster.info().await.map_or("unknown", |info| info.phase.name()),
            Err(_) => "does not answer",
        },
        None if dir.lock().exists() => "lost its supervisor",
        None => "down",
    };
    Listed {
        name: dir.name().to_owned(),
        state,
        protocol: config.as_ref().map_or_else(String::new, |config| config.protocol.to_owned()),
        tolerates: config.as_ref().map_or(0, |config| config.entry().faults_of(config.members.len() as u64)),
        nodes: config.map_or(0, |config| config.members.len()),
        malicious: Liars::load(&dir).unwrap_or_default().behaviours(),
        supervisor: holder.map(|holder| holder.pid),
        directory: dir.path().to_owned(),
    }
}
