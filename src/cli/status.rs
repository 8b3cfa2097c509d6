//! `status` and `wait`.

use std::time::{Duration, SystemTime};

use clap::Args;

use super::elsewhere::ElsewhereArgs;
use super::{CliResult, Context, Output, Page, Span, Tone, interrupted};
use crate::cluster::{ClusterStatus, Condition, NodeState, NodeStatus};

/// Arguments of `status`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consensusctl status
  consensusctl status --watch
  consensusctl status --wide                     every column, also where they do not fit the terminal
  consensusctl status --config cluster.toml      the nodes that this file names, on any host
  consensusctl status --endpoints 10.0.0.1:5001  the cluster of the node that answers there
  consensusctl status --output json | jq .leader")]
pub struct StatusArgs {
    #[command(flatten)]
    elsewhere: ElsewhereArgs,
    /// Show it again and again, until Ctrl-C
    #[arg(long)]
    watch: bool,
    /// Show all columns; else as many as fit the terminal, or 80 columns
    #[arg(long, short)]
    wide: bool,
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
  consensusctl wait --until leader --until 'applied>=100' --timeout 30s
  consensusctl wait --until healthy --config cluster.toml")]
pub struct WaitArgs {
    #[command(flatten)]
    elsewhere: ElsewhereArgs,
    /// What to wait for; several must hold at once
    #[arg(long, value_name = "COND", required = true)]
    until: Vec<Condition>,
    /// How long at most
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

pub(super) async fn run(context: &mut Context<'_>, args: StatusArgs) -> CliResult {
    let mut cluster = args.elsewhere.watched(context).await?;
    if !args.watch {
        let status = cluster.status(true).await?;
        return show_in(context, &status, args.wide);
    }
    let every = humantime::format_duration(args.interval);
    let watch = async {
        loop {
            let status = cluster.status(true).await?;
            if context.out.is_json() {
                context.out.object(&status)?;
            } else {
                let mut page = Page::default();
                #[expect(clippy::disallowed_methods, reason = "people compare it with their own clock")]
                let now = humantime::format_rfc3339_seconds(SystemTime::now());
                page.line(Span::new(&format!("{now}, every {every}"), Tone::Faint));
                page.append(render(&status, &View::of(context.out, args.wide)));
                context.out.refresh(page)?;
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
    let mut cluster = args.elsewhere.watched(context).await?;
    let spinner = context.out.spinner("waiting");
    let status = cluster.wait(&args.until, args.timeout).await;
    spinner.finish_and_clear();
    show(context, &status?)
}

/// Shows how a cluster is.
pub(super) fn show(context: &mut Context<'_>, status: &ClusterStatus) -> CliResult {
    show_in(context, status, false)
}

fn show_in(context: &mut Context<'_>, status: &ClusterStatus, wide: bool) -> CliResult {
    if context.out.is_json() {
        return context.out.document(status);
    }
    let page = render(status, &View::of(context.out, wide));
    context.out.page(&page)
}

/// How much room there is.
struct View {
    /// The widest that a table may be; `None`: as wide as it is.
    table: Option<usize>,
    /// Where text is broken; `None`: nowhere, as for whoever reads lines with `grep`.
    text: Option<usize>,
}

/// The columns of a terminal whose size is not known, and of what is no terminal.
const COLUMNS: usize = 80;

impl View {
    fn of(out: &Output, wide: bool) -> Self {
        let columns = out.screen().map(|(columns, _)| columns);
        Self { table: (!wide).then(|| columns.unwrap_or(COLUMNS)), text: columns }
    }
}

fn render(status: &ClusterStatus, view: &View) -> Page {
    let mut page = Page::default();
    let headline = format!("{} ({}): {}", status.name, status.protocol, status.headline);
    page.wrapped(&headline, if status.healthy { Tone::Good } else { Tone::Bad }, view.text);
    for warning in &status.warnings {
        page.wrapped(warning, Tone::Odd, view.text);
    }
    page.gap();
    let columns = fitting(columns(status), status, view.table);
    let header: Vec<&str> = columns.iter().map(|column| column.title).collect();
    let row = |node| columns.iter().map(|column| (column.cell)(node)).collect();
    page.table(&header, status.nodes.iter().map(row).collect());
    let suspected = status.suspicions.iter().map(|one| (Tone::Odd, one.to_string()));
    let convicted = status.convicted.iter().map(|one| (Tone::Bad, one.to_string()));
    for lines in [reasons(status), convicted.chain(suspected).collect()] {
        if !lines.is_empty() {
            page.gap();
        }
        for (tone, text) in lines {
            page.wrapped(&text, tone, view.text);
        }
    }
    page
}

/// Why a node is not well, without that it is convicted, of which more is said further down.
fn unproved<'a>(status: &ClusterStatus, node: &'a NodeStatus) -> &'a [String] {
    let convicted = status.convicted.iter().any(|one| one.id == node.id);
    &node.why[usize::from(convicted)..]
}

/// Why nodes are not well: a line for each reason, as several often have the same.
fn reasons(status: &ClusterStatus) -> Vec<(Tone, String)> {
    let mut reasons: Vec<(Tone, String, Vec<String>)> = Vec::new();
    for node in &status.nodes {
        let why = unproved(status, node).join("; ");
        match reasons.iter_mut().find(|(_, known, _)| *known == why) {
            _ if why.is_empty() => {}
            Some((_, _, ids)) => ids.push(node.id.to_string()),
            None => reasons.push((tone(node), why, vec![node.id.to_string()])),
        }
    }
    let line = |(tone, why, ids): (Tone, String, Vec<String>)| {
        let nodes = if ids.len() == 1 { "node" } else { "nodes" };
        (tone, format!("{nodes} {}: {why}", ids.join(", ")))
    };
    reasons.into_iter().map(line).collect()
}

/// A column of the table.
struct Column {
    title: &'static str,
    /// The lower, the longer it stays where there is little room.
    rank: u8,
    cell: Box<dyn Fn(&NodeStatus) -> Span>,
}

/// The columns that this cluster has, from left to right: some are only there if some node has something to say in them.
fn columns(status: &ClusterStatus) -> Vec<Column> {
    fn column(title: &'static str, rank: u8, cell: impl Fn(&NodeStatus) -> String + 'static) -> Column {
        Column { title, rank, cell: Box::new(move |node| Span::plain(&cell(node))) }
    }
    let words = status.entry().words;
    let mut columns = vec![
        column("id", 0, |node| node.id.to_string()),
        column("address", 5, |node| node.address.clone()),
        column("pid", 12, |node| or_dash(node.pid.as_ref())),
        Column { title: "state", rank: 1, cell: Box::new(|node| Span::new(state(node), tone(node))) },
        column("role", 2, move |node| or_dash(node.role.as_deref().map(|role| words.role(role)).as_ref())),
        column(words.epoch, 3, |node| or_dash(node.epoch.as_ref())),
        column(words.leader, 8, |node| or_dash(node.leader.as_ref())),
        column("last", 11, |node| or_dash(node.last.as_ref())),
        column("committed", 10, |node| or_dash(node.committed.as_ref())),
        column("applied", 4, |node| or_dash(node.applied.as_ref())),
        column("behind", 9, |node| or_dash(node.behind.as_ref())),
        column("digest", 7, |node| {
            or_dash(node.digest.as_ref().map(|digest| digest.chars().take(8).collect::<String>()).as_ref())
        }),
    ];
    for &(name, title) in words.details {
        columns.push(column(title, 13, move |node| or_dash(node.details.get(name))));
    }
    if status.nodes.iter().any(|node| !node.is_honest()) {
        columns.push(column("malicious", 6, |node| or_dash(node.misbehaviour.as_ref())));
    }
    if status.nodes.iter().all(|node| node.pid.is_none()) {
        columns.retain(|column| column.title != "pid");
    }
    columns
}

/// The columns for which there is room: one of a rank only if all of lower ranks are there.
fn fitting(columns: Vec<Column>, status: &ClusterStatus, room: Option<usize>) -> Vec<Column> {
    let Some(room) = room else { return columns };
    let width = |column: &Column| {
        let cells = status.nodes.iter().map(|node| (column.cell)(node).width());
        cells.chain([column.title.len()]).max().unwrap_or_default() + 2
    };
    let mut widths: Vec<(u8, usize)> = columns.iter().map(|column| (column.rank, width(column))).collect();
    widths.sort_unstable();
    // Nothing has to follow the last one.
    let mut left = room + 2;
    let mut ranks = 0;
    for rank in widths.chunk_by(|a, b| a.0 == b.0) {
        let wanted: usize = rank.iter().map(|(_, width)| width).sum();
        if wanted > left {
            break;
        }
        left -= wanted;
        ranks = rank[0].0 + 1;
    }
    columns.into_iter().filter(|column| column.rank < ranks.max(2)).collect()
}

fn state(node: &NodeStatus) -> &'static str {
    match node.state {
        NodeState::Running | NodeState::Unknown if !node.reachable => "silent",
        state => state.name(),
    }
}

fn tone(node: &NodeStatus) -> Tone {
    match node.state {
        NodeState::Running | NodeState::Unknown if !node.reachable => Tone::Bad,
        NodeState::Running if node.why.is_empty() => Tone::Good,
        NodeState::Running | NodeState::Unknown | NodeState::Paused => Tone::Odd,
        NodeState::Stopped => Tone::Faint,
        NodeState::Failed => Tone::Bad,
    }
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
