//! `status` and `wait`.

use std::time::Duration;

use clap::Args;

use super::{CliResult, Context, interrupted, render_table};
use crate::cluster::{ClusterStatus, Condition, NodeState, NodeStatus};

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
  leader       a node leads and a quorum follows it; also `primary`
  healthy      that, and all nodes that should run answer and keep up
  converged    all nodes that should run have executed the same, with equal digests
  applied>=N   all nodes that should run have executed up to index N

A node that was ended by `kill` is not one that should run; a paused or failed one is. A node that was made to lie is
waited for in nothing.

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
    let words = status.entry().words;
    let health =
        if status.healthy { "healthy".to_owned() } else { format!("not healthy: {}", status.why.join("; ")) };
    let leader = status.leader.map_or(format!("no {}", words.leader), |id| format!("{} {id}", words.leader));
    let columns = columns(status);
    let header: Vec<&str> = columns.iter().map(|(title, _)| title.as_str()).collect();
    let row = |node: &NodeStatus| columns.iter().map(|(_, cell)| cell(node)).collect();
    let table = render_table(&header, status.nodes.iter().map(row).collect());
    let mut head = vec![format!("{} ({}): {leader}, {health}", status.name, status.protocol)];
    head.extend(status.warnings.iter().cloned());
    let mut parts = vec![head.join("\n"), table];
    parts.extend(Some(blame(status)).filter(|blame| !blame.is_empty()).map(|blame| blame.join("\n")));
    parts.join("\n\n")
}

/// Who is proved to lie, and then, apart from it, who is suspected: a line each.
fn blame(status: &ClusterStatus) -> Vec<String> {
    let convicted = status.convicted.iter().map(ToString::to_string);
    let suspected = status.suspicions.iter().map(ToString::to_string);
    convicted.chain(suspected).collect()
}

/// A column of the table: its title, and what stands there for a node.
type Column = (String, Box<dyn Fn(&NodeStatus) -> String>);

/// The columns that this cluster has: some are only there if some node has something to say in them.
fn columns(status: &ClusterStatus) -> Vec<Column> {
    fn column(title: &str, cell: impl Fn(&NodeStatus) -> String + 'static) -> Column {
        (title.to_owned(), Box::new(cell))
    }
    let words = status.entry().words;
    let mut columns = vec![
        column("id", |node| node.id.to_string()),
        column("address", |node| node.address.clone()),
        column("pid", |node| or_dash(node.pid.as_ref())),
        column("state", state),
        column("role", move |node| or_dash(node.role.as_deref().map(|role| words.role(role)).as_ref())),
        column(words.epoch, |node| or_dash(node.epoch.as_ref())),
        column(words.leader, |node| or_dash(node.leader.as_ref())),
        column("last", |node| or_dash(node.last.as_ref())),
        column("committed", |node| or_dash(node.committed.as_ref())),
        column("applied", |node| or_dash(node.applied.as_ref())),
        column("behind", |node| or_dash(node.behind.as_ref())),
        column("digest", |node| {
            or_dash(node.digest.as_ref().map(|digest| digest.chars().take(8).collect::<String>()).as_ref())
        }),
    ];
    for &(name, title) in words.details {
        columns.push(column(title, move |node| or_dash(node.details.get(name))));
    }
    if status.nodes.iter().any(|node| !node.is_honest()) {
        columns.push(column("malicious", |node| or_dash(node.misbehaviour.as_ref())));
    }
    columns.push(column("why", |node| node.why.join("; ")));
    columns
}

fn state(node: &NodeStatus) -> String {
    let silent = node.state == NodeState::Running && !node.reachable;
    format!("{}{}", node.state.name(), if silent { ", silent" } else { "" })
}

/// Whether a node lies, and how.
pub(super) fn honesty(node: &NodeStatus) -> String {
    match &node.misbehaviour {
        Some(told) => format!("node {} lies: {told}", node.id),
        None => format!("node {} is honest", node.id),
    }
}

/// A value, or a dash where there is none.
pub(super) fn or_dash(value: Option<&impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests;
