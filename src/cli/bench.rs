//! `consensusctl bench`: load on a cluster, measured; protocols side by side.

mod args;
mod print;

use std::path::Path;

use clap::{Args, Subcommand};
use tokio::sync::watch;
use tokio::task::JoinSet;

use self::args::{Chosen, LoadArgs, Where};
use self::print::Results;
use super::{CliError, CliResult, Context, Interrupt};
use crate::bench::{Api, Event, Fault, Load, Measurement, Operation, Plan, Site, compare, measure, plot};
use crate::client::{ControlClient, Error as ClientError};
use crate::cluster::{Door, NodeState};
use crate::kv::REPLY_LIVES;
use crate::text::counted;

const EXAMPLES: &str = "\
Examples:
  consensusctl bench put --protocol raft,pbft                    side by side, on clusters of its own
  consensusctl bench put --protocol raft,pbft --fault none,one   the same, then with a node down
  consensusctl bench put --concurrency 1,16,64,256 --plot put.svg
  consensusctl bench get --serializable                          the cluster that runs here, as it is
  consensusctl bench get --endpoints 10.0.0.1:5001,10.0.0.2:5001
  consensusctl bench put --protocol pbft --api client            signed requests, f + 1 equal replies

Every caller has one call under way and makes the next when it is answered. What is said of a command's cost is the sum
over all nodes, from their own counters. With --protocol, clusters of its own are brought up on free ports in a temporary
directory ($TMPDIR), one at a time; clusters that run are not touched, but share the machine.

Exit codes: 0 done, 1 failed or interrupted, 2 usage, 5 no node reached.";

/// Arguments of `bench`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct BenchArgs {
    #[command(subcommand)]
    operation: BenchCommand,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Write keys
    #[command(after_help = EXAMPLES)]
    Put(LoadArgs),
    /// Read keys, which are written first
    #[command(after_help = EXAMPLES)]
    Get {
        #[command(flatten)]
        load: LoadArgs,
        /// Read what one node has, even if it is old
        #[arg(long)]
        serializable: bool,
    },
}

/// Measures what was asked for, and prints what there is, also when it ends early.
pub(super) async fn run(context: &mut Context<'_>, args: BenchArgs) -> CliResult {
    let chosen = match args.operation {
        BenchCommand::Put(load) => load.choose(Operation::Put, false)?,
        BenchCommand::Get { load, serializable } => load.choose(Operation::Get, serializable)?,
    };
    if context.name.is_some() && !matches!(chosen.site, Where::Running) {
        return Err(CliError::usage(
            "--cluster measures that cluster; it goes with neither --protocol nor --endpoints",
        ));
    }
    if cfg!(debug_assertions) {
        context.out.warn("this is a debug build: its figures say little; build with cargo build --release");
    }
    let interrupt = Interrupt::listen()?;
    let mut measured = Vec::new();
    let ended = match &chosen.site {
        Where::Own(_) => own(context, &chosen, interrupt.told(), &mut measured).await,
        Where::Endpoints(_) | Where::Running => {
            given(context, &chosen, interrupt.told(), &mut measured).await
        }
    };
    let results = Results::of(&chosen, &measured, interrupt.came());
    if !measured.is_empty() {
        results.print(context.out)?;
        draw(&chosen, &results)?;
    }
    ended?;
    results.verdict()
}

/// Protocols in turn, on clusters of their own.
async fn own(
    context: &mut Context<'_>,
    chosen: &Chosen,
    interrupted: watch::Receiver<bool>,
    measured: &mut Vec<Measurement>,
) -> CliResult {
    let Where::Own(own) = &chosen.site else { return Ok(()) };
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot find this program's own file: {error}")))?;
    if in_memory(&std::env::temp_dir()) {
        let dir = std::env::temp_dir();
        let message = format!("{} lies in memory, where an fsync costs nothing", dir.display());
        context.out.warn(&format!("{message}; set TMPDIR to a directory on a disk"));
    }
    let plan = Plan {
        protocols: own.protocols.clone(),
        nodes: own.nodes,
        faults: own.faults.clone(),
        rounds: chosen.rounds,
        load: chosen.load.clone(),
        concurrency: chosen.concurrency.clone(),
        in_process: own.in_process,
        program,
        log: context.log.clone(),
    };
    let bar = context.out.progress(plan.measurements() as u64, "starting");
    let ended = compare(&plan, interrupted, |event| match event {
        Event::Doing(what) => bar.set_message(what),
        Event::Measured(one) => {
            bar.suspend(|| tell(context, one));
            measured.push(one.clone());
            bar.inc(1);
        }
    })
    .await;
    bar.finish_and_clear();
    Ok(ended?)
}

/// A cluster that runs already, as it is.
async fn given(
    context: &mut Context<'_>,
    chosen: &Chosen,
    interrupted: watch::Receiver<bool>,
    measured: &mut Vec<Measurement>,
) -> CliResult {
    let (site, nodes) = site(context, chosen).await?;
    let protocol = protocol_of(&site).await?;
    check_connections(chosen.load.api, chosen.load.connections, site.door.counts_votes())?;
    let bar = context.out.progress(chosen.measurements() as u64, "measuring");
    for round in 1..=chosen.rounds {
        for &concurrency in &chosen.concurrency {
            if *interrupted.borrow() {
                break;
            }
            bar.set_message(format!("round {round}: {}", counted(concurrency as u64, "caller", "callers")));
            let load = Load { concurrency, ..chosen.load.clone() };
            let figures = measure(&site, &load, interrupted.clone()).await.map_err(|error| cannot(&error))?;
            let protocol = protocol.clone();
            let one = Measurement { protocol, nodes, fault: Fault::None, concurrency, round, figures };
            bar.suspend(|| tell(context, &one));
            measured.push(one);
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Says what came of one measurement while the others go on: the tables have the rounds together, JSON has each.
fn tell(context: &mut Context<'_>, one: &Measurement) {
    if !context.out.is_json() {
        context.out.note(&print::line(one));
    }
}

/// Where the load goes, and how many nodes the cluster has, as far as is known.
async fn site(context: &Context<'_>, chosen: &Chosen) -> CliResult<(Site, usize)> {
    if let Where::Endpoints(endpoints) = &chosen.site {
        let door = Door::to_any_node(endpoints.clone());
        return Ok((Site { endpoints: endpoints.clone(), door }, endpoints.len()));
    }
    let cluster = context.cluster().await.map_err(|error| {
        let own = "or compare protocols on clusters of its own: consensusctl bench put --protocol raft,pbft";
        let hint = error.hint.as_ref().map_or_else(|| own.to_owned(), |hint| format!("{hint}; {own}"));
        error.hint(hint)
    })?;
    let info = cluster.info().await?;
    let nodes = info.nodes.len();
    let running = info.nodes.into_iter().filter(|node| node.state == NodeState::Running);
    let endpoints: Vec<String> = running.map(|node| node.address).collect();
    if endpoints.is_empty() {
        return Err(CliError::unreachable(format!("no node of the cluster {} runs", cluster.dir().name()))
            .hint(format!("bring them back with: {}", cluster.dir().command("cluster restart"))));
    }
    Ok((Site { endpoints, door: Door::to_local(cluster.dir())? }, nodes))
}

/// What the first node that says so runs. One that answers without saying is another program with the same API.
async fn protocol_of(Site { endpoints, door }: &Site) -> CliResult<String> {
    let mut asked = JoinSet::new();
    for endpoint in endpoints {
        let client = ControlClient::new(endpoint).map_err(|error| CliError::usage(error.to_string()))?;
        asked.spawn(async move { client.ping().await });
    }
    let answers = asked.join_all().await;
    if let Some(Ok(ping)) = answers.iter().find(|answer| answer.is_ok()) {
        return Ok(ping.protocol.clone());
    }
    let unreachable =
        |answer: &Result<_, ClientError>| matches!(answer, Err(ClientError::Unreachable { .. }));
    if !answers.iter().all(unreachable) {
        return Ok("other".to_owned());
    }
    let error = CliError::unreachable(format!("no node answers at {}", endpoints.join(", ")));
    Err(match door.local() {
        Some(dir) => error.hint(format!("see which nodes run with: {}", dir.command("status"))),
        None => error.hint("nodes must run there, and be reachable from here"),
    })
}

/// One key speaks through a bounded number of clients at a time, where replicas remember what they answered it.
fn check_connections(api: Api, connections: usize, counts_votes: bool) -> CliResult {
    if api == Api::Client && counts_votes && connections > REPLY_LIVES {
        let message =
            format!("--connections {connections}: replicas remember {REPLY_LIVES} clients of one key");
        return Err(CliError::usage(message)
            .hint(format!("at most {REPLY_LIVES} with --api client; callers share them without waiting")));
    }
    Ok(())
}

fn cannot(error: &ClientError) -> CliError {
    match error {
        ClientError::Unreachable { .. } => CliError::unreachable(error.to_string()),
        _ => CliError::failed(format!("cannot measure: {error}")),
    }
}

fn draw(chosen: &Chosen, results: &Results<'_>) -> CliResult {
    let Some(file) = &chosen.plot else { return Ok(()) };
    let svg = plot::svg(&results.title(), results.summary()).map_err(CliError::failed)?;
    std::fs::write(file, svg)
        .map_err(|error| CliError::failed(format!("cannot write {}: {error}", file.display())))
}

/// Whether files below a directory are only in memory. Where that cannot be found out: no.
#[cfg(target_os = "linux")]
fn in_memory(dir: &Path) -> bool {
    use nix::sys::statfs::{TMPFS_MAGIC, statfs};
    statfs(dir).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
}

/// Whether files below a directory are only in memory. Where that cannot be found out: no.
#[cfg(not(target_os = "linux"))]
fn in_memory(_dir: &Path) -> bool {
    false
}
