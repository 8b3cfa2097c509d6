//! `byzantine`: lies on demand.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::fault::{TargetArgs, targets};
use super::{CliError, CliResult, Context, status};
use crate::cluster::lie::per_mille;
use crate::cluster::{Lie, NodeStatus, Target};
use crate::consensus::Proof;
use crate::registry::{self, Entry, PROTOCOLS};

const SET_EXAMPLES: &str = "\
Examples:
  consensusctl byzantine set 4                         the protocol's default: see `byzantine list`
  consensusctl byzantine set primary equivocate
  consensusctl byzantine set 1 equivocate --probability 0.2 --from-view 3 --seed 7

It lies from the moment at which this returns, through kills, restarts, `down` and `up`, until `byzantine clear`. What it
was told before is replaced. The node must run.";

/// Subcommands of `byzantine`.
#[derive(Debug, Subcommand)]
pub enum ByzantineCommand {
    /// Lists the ways in which nodes can be made to lie, and whether each convicts itself; needs no cluster
    List(ListArgs),
    /// Makes running nodes lie to the others
    #[command(after_help = SET_EXAMPLES)]
    Set(SetArgs),
    /// Makes nodes honest again
    Clear(TargetArgs),
}

/// Arguments of `byzantine list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Only of this protocol [default: of all whose nodes may lie]
    #[arg(long)]
    protocol: Option<String>,
}

/// Arguments of `byzantine set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Which nodes: ids, `primary`, `backup` (one of them), `all`, comma lists
    #[arg(value_name = "TARGET", value_parser = targets)]
    nodes: Targets,
    /// How, as `byzantine list` names it [default: the first that it names]
    #[arg(value_name = "BEHAVIOUR")]
    behaviour: Option<String>,
    /// At what, where the behaviour can be aimed: `byzantine list` says at what
    #[arg(long, value_name = "AIM")]
    aim: Option<String>,
    /// The same as --aim client=ID
    #[arg(long, value_name = "ID", conflicts_with = "aim")]
    client: Option<u64>,
    /// The same as --aim key=PREFIX
    #[arg(long, value_name = "PREFIX", conflicts_with_all = ["aim", "client"])]
    key: Option<String>,
    /// On how many of all occasions, above 0 and up to 1
    #[arg(long, value_name = "P", default_value = "1", value_parser = per_mille)]
    probability: u16,
    /// From this view on
    #[arg(long, value_name = "V", default_value_t = 0)]
    from_view: u64,
    /// Decides what it chooses: with the same seed it chooses alike [default: each node's own]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// One argument that stands for several nodes.
type Targets = Vec<Target>;

pub(super) async fn run(context: &mut Context<'_>, command: ByzantineCommand) -> CliResult {
    match command {
        ByzantineCommand::List(args) => list(context, args.protocol.as_deref()),
        ByzantineCommand::Set(args) => set(context, args).await,
        ByzantineCommand::Clear(args) => tell(context, args.wanted(), None).await,
    }
}

/// A way to lie, as `list` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    protocol: &'static str,
    behaviour: &'static str,
    default: bool,
    proof: Proof,
    summary: &'static str,
    aim: Option<&'static str>,
}

fn list(context: &mut Context<'_>, protocol: Option<&str>) -> CliResult {
    let entries = match protocol {
        Some(name) => vec![liars_of(name)?],
        None => PROTOCOLS.iter().collect(),
    };
    let of = |entry: &'static Entry| {
        entry.behaviours.iter().enumerate().map(|(position, behaviour)| Listed {
            protocol: entry.name,
            behaviour: behaviour.name,
            default: position == 0,
            proof: behaviour.proof,
            summary: behaviour.summary,
            aim: behaviour.aim,
        })
    };
    let listed: Vec<Listed> = entries.into_iter().flat_map(of).collect();
    if context.out.is_json() {
        return context.out.document(&listed);
    }
    let row = |one: Listed| {
        let default = if one.default { " (default)" } else { "" };
        vec![
            one.protocol.to_owned(),
            format!("{}{default}", one.behaviour),
            one.proof.name().to_owned(),
            one.aim.unwrap_or("-").to_owned(),
            one.summary.to_owned(),
        ]
    };
    let header = ["protocol", "behaviour", "proof", "aim", "what it does"];
    context.out.table(&header, listed.into_iter().map(row).collect())
}

/// A protocol by name, whose nodes may lie.
fn liars_of(name: &str) -> CliResult<&'static Entry> {
    let entry = registry::named(name).map_err(CliError::usage)?;
    // The error of a protocol whose nodes do not lie.
    Lie::always(None).of_node(entry, 0, 0)?;
    Ok(entry)
}

async fn set(context: &mut Context<'_>, args: SetArgs) -> CliResult {
    let SetArgs { nodes, behaviour, aim, client, key, probability, from_view, seed } = args;
    let client = client.map(|id| format!("client={id}"));
    let key = key.map(|prefix| format!("key={prefix}"));
    let aim = aim.or(client).or(key);
    let lie = Lie { behaviour, aim, per_mille: probability, from_epoch: from_view, seed };
    tell(context, nodes, Some(lie)).await
}

/// Makes nodes lie, or honest, and shows what they do then.
async fn tell(context: &mut Context<'_>, targets: Vec<Target>, lie: Option<Lie>) -> CliResult {
    let mut cluster = context.cluster().await?;
    let ids = cluster.resolve(&targets).await?;
    cluster.lie(ids.clone(), lie).await?;
    let status = cluster.status(false).await?;
    for warning in &status.warnings {
        context.out.warn(warning);
    }
    let nodes: Vec<&NodeStatus> = status.nodes.iter().filter(|node| ids.contains(&node.id)).collect();
    if context.out.is_json() {
        let told = |node: &&NodeStatus| {
            serde_json::json!({
                "id": node.id, "malicious": node.malicious, "misbehaviour": node.misbehaviour,
            })
        };
        return context.out.document(&nodes.iter().map(told).collect::<Vec<_>>());
    }
    nodes.into_iter().try_for_each(|node| context.out.line(&status::honesty(node)))
}
