//! `kill`, `pause`, `resume`, `partition`, `disk`: breaking a cluster on purpose.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::Args;

use super::{CliError, CliResult, Context};
use crate::cluster::{Cluster, DiskFault, Info, KillSignal, NodeInfo, NodeState, Partition, Target};

/// Nodes by id or role.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Which nodes: ids, `leader` or `primary`, `follower` or `backup` (one of them), `all`, comma lists
    #[arg(value_name = "TARGET", required = true, value_parser = targets)]
    targets: Vec<Vec<Target>>,
}

impl TargetArgs {
    /// All that are named.
    pub(super) fn wanted(self) -> Vec<Target> {
        self.targets.into_iter().flatten().collect()
    }
}

/// Arguments of `kill`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consensusctl kill leader                 as a crash would
  consensusctl kill --signal term 2,3      in an orderly way
  consensusctl cluster restart 2,3         brings them back")]
pub struct KillArgs {
    #[command(flatten)]
    nodes: TargetArgs,
    /// `kill`: as a crash, with no time to do anything; `term`: in an orderly way
    #[arg(long, value_enum, default_value_t = KillSignal::Kill)]
    signal: KillSignal,
}

/// Arguments of `partition`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consensusctl partition 1,2 3,4,5         two sides
  consensusctl partition 1,2               the same in a cluster of five: the rest is a side of its own
  consensusctl partition --isolate leader  cut one off from all others
  consensusctl partition --bridge 3        two sides, and node 3 on both
  consensusctl partition --ring            each node has its two neighbours
  consensusctl partition --sees-all leader the others have only the leader
  consensusctl partition heal
  consensusctl partition show

A new partition replaces the one before. `link` cuts one direction, and loses or delays messages. Clients and this program reach all nodes still.")]
pub struct PartitionArgs {
    /// The sides, each a comma list of targets; or `heal`; or `show`
    #[arg(value_name = "SIDE|heal|show", required_unless_present = "shape", conflicts_with = "shape")]
    sides: Vec<String>,
    #[command(flatten)]
    shape: ShapeArgs,
}

#[derive(Debug, Args)]
#[group(id = "shape", multiple = false)]
struct ShapeArgs {
    /// Cut these off from all others, and from each other
    #[arg(long, value_name = "TARGET", value_parser = targets)]
    isolate: Vec<Vec<Target>>,
    /// Leave one node as the only way between two halves of the others
    #[arg(long, value_name = "TARGET", value_parser = target)]
    bridge: Option<Target>,
    /// Leave each node the links to its two neighbours
    #[arg(long)]
    ring: bool,
    /// Leave only the links of one node
    #[arg(long, value_name = "TARGET", value_parser = target)]
    sees_all: Option<Target>,
}

impl ShapeArgs {
    /// The shape, if one was asked for.
    async fn partition(
        &self,
        cluster: &mut Cluster,
        members: &BTreeSet<u64>,
    ) -> CliResult<Option<Partition>> {
        let alone: Vec<Target> = self.isolate.iter().flatten().copied().collect();
        Ok(Some(match self {
            Self { bridge: Some(bridge), .. } => {
                Partition::bridge(members, the_one(cluster, *bridge).await?)?
            }
            Self { sees_all: Some(hub), .. } => Partition::sees_all(members, the_one(cluster, *hub).await?)?,
            Self { ring: true, .. } => Partition::ring(members)?,
            _ if alone.is_empty() => return Ok(None),
            _ => Partition::isolate(members, &cluster.resolve(&alone).await?)?,
        }))
    }
}

/// The node that a target means.
async fn the_one(cluster: &mut Cluster, target: Target) -> CliResult<u64> {
    let ids = cluster.resolve(&[target]).await?;
    ids.first().copied().ok_or_else(|| CliError::failed("no node is meant"))
}

/// Reads a target that stands for one node.
fn target(text: &str) -> Result<Target, String> {
    match Target::parse_list(text)?.as_slice() {
        [Target::All] => Err("one node is meant, not all".to_owned()),
        [one] => Ok(*one),
        _ => Err("one node is meant".to_owned()),
    }
}

/// Arguments of `disk`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consensusctl disk leader --slow 3s       every sync takes three seconds longer
  consensusctl disk 2 --stall              no sync returns until --heal
  consensusctl disk all --heal")]
pub struct DiskArgs {
    #[command(flatten)]
    nodes: TargetArgs,
    #[command(flatten)]
    fault: DiskFaultArgs,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
#[expect(clippy::struct_excessive_bools, reason = "flags of which the group lets one be given")]
struct DiskFaultArgs {
    /// Every sync takes so much longer, as 300ms or 3s
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    slow: Option<Duration>,
    /// No sync returns until the fault changes
    #[arg(long)]
    stall: bool,
    /// Writes and syncs fail; the node stops, as it must
    #[arg(long)]
    fail: bool,
    /// No file can grow
    #[arg(long)]
    full: bool,
    /// All is well again
    #[arg(long)]
    heal: bool,
}

impl DiskFaultArgs {
    fn fault(&self) -> DiskFault {
        match self {
            Self { slow: Some(time), .. } => DiskFault::Slow(time.as_millis() as u64),
            Self { stall: true, .. } => DiskFault::Stall,
            Self { fail: true, .. } => DiskFault::Fail,
            Self { full: true, .. } => DiskFault::Full,
            _ => DiskFault::Ok,
        }
    }
}

/// Reads a comma list of targets.
pub(super) fn targets(text: &str) -> Result<Vec<Target>, String> {
    Target::parse_list(text)
}

pub(super) async fn kill(context: &mut Context<'_>, args: KillArgs) -> CliResult {
    let (cluster, ids) = chosen(context, args.nodes).await?;
    let before = cluster.info().await?;
    let down = |node: &&NodeInfo| matches!(node.state, NodeState::Stopped | NodeState::Failed);
    for node in before.nodes.iter().filter(down).filter(|node| ids.contains(&node.id)) {
        context.out.note(&format!("node {} was down already", node.id));
    }
    let info = cluster.kill(ids.clone(), args.signal).await?;
    show(context, &info, &ids)
}

pub(super) async fn pause(context: &mut Context<'_>, args: TargetArgs) -> CliResult {
    let (cluster, ids) = chosen(context, args).await?;
    let info = cluster.pause(ids.clone()).await?;
    show(context, &info, &ids)
}

pub(super) async fn resume(context: &mut Context<'_>, args: TargetArgs) -> CliResult {
    let all = args.targets.iter().flatten().any(|target| *target == Target::All);
    let (cluster, mut ids) = chosen(context, args).await?;
    if all {
        // Of all, those are meant that can go on.
        let info = cluster.info().await?;
        let runs = |node: &NodeInfo| matches!(node.state, NodeState::Running | NodeState::Paused);
        ids = info.nodes.iter().filter(|node| runs(node)).map(|node| node.id).collect();
    }
    let info = cluster.resume(ids.clone()).await?;
    show(context, &info, &ids)
}

pub(super) async fn disk(context: &mut Context<'_>, args: DiskArgs) -> CliResult {
    let fault = args.fault.fault();
    let (cluster, ids) = chosen(context, args.nodes).await?;
    let info = cluster.disk(ids.clone(), fault).await?;
    show(context, &info, &ids)
}

async fn chosen(context: &mut Context<'_>, args: TargetArgs) -> CliResult<(Cluster, BTreeSet<u64>)> {
    let mut cluster = context.cluster().await?;
    let ids = cluster.resolve(&args.wanted()).await?;
    Ok((cluster, ids))
}

pub(super) async fn partition(context: &mut Context<'_>, args: PartitionArgs) -> CliResult {
    let mut cluster = context.cluster().await?;
    let before = cluster.info().await?;
    let words: Vec<&str> = args.sides.iter().map(String::as_str).collect();
    let members = before.nodes.iter().map(|node| node.id).collect();
    let wanted = match words.as_slice() {
        ["show"] => return show_partition(context, &before),
        ["heal"] => Partition::default(),
        [] => args.shape.partition(&mut cluster, &members).await?.unwrap_or_default(),
        sides => {
            let mut groups = Vec::new();
            for side in sides {
                let side = targets(side).map_err(|why| {
                    CliError::usage(why).hint("as in `partition 1,2 3,4,5`; or heal, or show")
                })?;
                groups.push(cluster.resolve(&side).await?);
            }
            Partition::groups(&members, groups)?
        }
    };
    let info = cluster.partition(wanted).await?;
    show_partition(context, &info)
}

fn show_partition(context: &mut Context<'_>, info: &Info) -> CliResult {
    if context.out.is_json() {
        let blocked: Vec<_> = info
            .nodes
            .iter()
            .map(|node| serde_json::json!({"id": node.id, "blocked": info.partition.blocked(node.id)}))
            .collect();
        let document = serde_json::json!({
            "name": info.name, "partitioned": !info.partition.is_healed(),
            "groups": info.partition.groups, "nodes": blocked,
        });
        return context.out.document(&document);
    }
    context.out.line(&format!("partition: {}", info.partition))
}

/// Shows what became of the nodes that a command was about.
fn show(context: &mut Context<'_>, info: &Info, ids: &BTreeSet<u64>) -> CliResult {
    let nodes: Vec<_> = info.nodes.iter().filter(|node| ids.contains(&node.id)).collect();
    if context.out.is_json() {
        return context.out.document(&nodes);
    }
    for node in nodes {
        let disk = if node.disk == DiskFault::Ok { String::new() } else { format!(", disk {}", node.disk) };
        context.out.line(&format!("node {}: {}{disk}", node.id, node.state.name()))?;
    }
    Ok(())
}
