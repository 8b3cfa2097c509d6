//! `status` and `wait`.

use std::time::Duration;

use clap::Args;

use super::{CliResult, Context, interrupted, render_table};
use crate::cluster::{ClusterStatus, Condition, NodeStatus};

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consensusctl status
  consensusctl status --watch
  consensusctl status --output json | jq .leader")]
pub struct StatusArgs {
    /// Show it again and again, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// How often, with --watch
    #[arg(long, value_name = "TIME", default_value = "500ms", value_parser = humantime::parse_duration)]
    interval: Duration,
}

/// Arguments of `wait`.
#[derive(Debug, Args)]
#[command(after_help = "\
Conditions:
  leader       a node leads and a majority follows it
  healthy      that, and all nodes that should run answer and keep up
  converged    all nodes that should run have executed the same, with equal digests
  applied>=N   all nodes that should run have executed up to index N

A node that was ended by `kill` is not one that should run; a paused or failed one is.

Examples:
  consensusctl wait --until converged
  consensusctl wait --until leader --until 'applied>=100' --timeout 30s")]
pub struct WaitArgs {
    /// What to wait for; several must hold at once
    #[arg(long, value_name = "COND", required = true)]
    until: Vec<Condition>,
    /// How long at most
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

pub(super) async fn run(context: &mut Context<'_>, args: StatusArgs) -> CliResult {
    let mut cluster = context.cluster().await?;
    if !args.watch {
        return show(context, &cluster.status(true).await?);
    }
    let watch = async {
        loop {
            let status = cluster.status(true).await?;
            if context.out.is_json() {
                context.out.object(&status)?;
            } else {
                context.out.refresh(&render(&status))?;
            }
            tokio::time::sleep(args.interval).await;
        }
    };
    tokio::select! {
        ended = watch => ended,
        () = interrupted()? => Ok(()),
    }
}

pub(super) async fn wait(context: &mut Context<'_>, args: WaitArgs) -> CliResult {
    let mut cluster = context.cluster().await?;
    let spinner = context.out.spinner("waiting");
    let status = cluster.wait(&args.until, args.timeout).await;
    spinner.finish_and_clear();
    show(context, &status?)
}

/// Shows how a cluster is.
pub(super) fn show(context: &mut Context<'_>, status: &ClusterStatus) -> CliResult {
    if context.out.is_json() {
        return context.out.document(status);
    }
    context.out.line(&render(status))
}

fn render(status: &ClusterStatus) -> String {
    let health =
        if status.healthy { "healthy".to_owned() } else { format!("not healthy: {}", status.why.join("; ")) };
    let leader = status.leader.map_or("no leader".to_owned(), |id| format!("leader {id}"));
    let header = [
        "id",
        "address",
        "pid",
        "state",
        "role",
        "epoch",
        "leader",
        "last",
        "committed",
        "applied",
        "behind",
        "digest",
        "why",
    ];
    let table = render_table(&header, status.nodes.iter().map(row).collect());
    format!("{} ({}): {leader}, {health}\n\n{table}", status.name, status.protocol)
}

fn row(node: &NodeStatus) -> Vec<String> {
    let state =
        if node.reachable { node.state.name().to_owned() } else { format!("{}, silent", node.state.name()) };
    let running = node.state == crate::cluster::NodeState::Running;
    vec![
        node.id.to_string(),
        node.address.clone(),
        or_dash(node.pid.as_ref()),
        if running { state } else { node.state.name().to_owned() },
        or_dash(node.role.as_ref()),
        or_dash(node.epoch.as_ref()),
        or_dash(node.leader.as_ref()),
        or_dash(node.last.as_ref()),
        or_dash(node.committed.as_ref()),
        or_dash(node.applied.as_ref()),
        or_dash(node.behind.as_ref()),
        or_dash(node.digest.as_ref().map(|digest| digest.chars().take(8).collect::<String>()).as_ref()),
        node.why.join("; "),
    ]
}

/// A value, or a dash where there is none.
pub(super) fn or_dash(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}
