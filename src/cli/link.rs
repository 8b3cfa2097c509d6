//! `link`: what is wrong with single links, one way.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::args::some_time;
use super::fault::targets;
use super::{CliResult, Context};
use crate::cluster::lie::per_mille;
use crate::cluster::{Info, LinkEffect, LinkFault, Target};

const SET_EXAMPLES: &str = "\
Examples:
  consensusctl link set leader 3 --cut                     node 3 hears nothing of the leader, which hears node 3
  consensusctl link set all all --lose 0.1
  consensusctl link set 1,2 3 --both --delay 50ms --jitter 20ms
  consensusctl link set all leader --kinds AppendEntriesResponse --duplicate 0.5
  consensusctl link set 2 all --throttle 65536

Faults add up, also with a partition. One of the same sort, of the same messages on the same links, replaces the one before.
They hold from the moment at which this returns, through kills and restarts, until `link heal`.";

/// Subcommands of `link`.
#[derive(Debug, Subcommand)]
pub enum LinkCommand {
    /// Makes the links from some nodes to others lose, delay, duplicate, reorder or throttle messages
    #[command(after_help = SET_EXAMPLES)]
    Set(SetArgs),
    /// Shows what is wrong with links
    Show,
    /// Ends all that `link set` has begun; a partition stays
    Heal,
}

/// One argument that stands for several nodes.
type Targets = Vec<Target>;

/// Arguments of `link set`.
#[derive(Debug, Args)]
pub struct SetArgs {
    /// Who sends: ids, `leader` or `primary`, `follower` or `backup` (one of them), `all`, comma lists
    #[arg(value_name = "FROM", value_parser = targets)]
    from: Targets,
    /// To whom
    #[arg(value_name = "TO", value_parser = targets)]
    to: Targets,
    /// Also what the second send to the first
    #[arg(long)]
    both: bool,
    /// Only these messages, by their names in the protocol, as `AppendEntries` or `PrePrepare` [default: all]
    #[arg(long, value_name = "KINDS", value_delimiter = ',')]
    kinds: Vec<String>,
    #[command(flatten)]
    effect: EffectArgs,
    /// With --delay: and up to so much more, by chance
    #[arg(long, value_name = "TIME", conflicts_with_all = ["cut", "lose", "duplicate", "reorder", "throttle"], value_parser = some_time)]
    jitter: Option<Duration>,
    /// With --reorder: for how long a message is held back
    #[arg(long, value_name = "TIME", conflicts_with_all = ["cut", "lose", "delay", "duplicate", "throttle"], default_value = "20ms", value_parser = some_time)]
    by: Duration,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct EffectArgs {
    /// Nothing passes
    #[arg(long)]
    cut: bool,
    /// Messages are lost, with this probability, above 0 and up to 1
    #[arg(long, value_name = "P", value_parser = per_mille)]
    lose: Option<u16>,
    /// Messages come so much later, as 50ms or 2s
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    delay: Option<Duration>,
    /// Messages come twice, with this probability
    #[arg(long, value_name = "P", value_parser = per_mille)]
    duplicate: Option<u16>,
    /// Messages are held back, with this probability, so that later ones overtake them
    #[arg(long, value_name = "P", value_parser = per_mille)]
    reorder: Option<u16>,
    /// So many bytes a second pass at most, on each stream of a link by itself
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(1..))]
    throttle: Option<u64>,
}

impl SetArgs {
    fn effect(&self) -> LinkEffect {
        let ms = |time: Duration| time.as_millis() as u64;
        match self.effect {
            EffectArgs { lose: Some(per_mille), .. } => LinkEffect::Lose(per_mille),
            EffectArgs { delay: Some(by), .. } => {
                LinkEffect::Delay { by_ms: ms(by), jitter_ms: self.jitter.map_or(0, ms) }
            }
            EffectArgs { duplicate: Some(per_mille), .. } => LinkEffect::Duplicate(per_mille),
            EffectArgs { reorder: Some(per_mille), .. } => {
                LinkEffect::Reorder { per_mille, by_ms: ms(self.by) }
            }
            EffectArgs { throttle: Some(bytes), .. } => LinkEffect::Throttle(bytes),
            _ => LinkEffect::CUT,
        }
    }
}

pub(super) async fn run(context: &mut Context<'_>, command: LinkCommand) -> CliResult {
    let mut cluster = context.cluster().await?;
    let info = match command {
        LinkCommand::Show => cluster.info().await?,
        LinkCommand::Heal => cluster.heal_links().await?,
        LinkCommand::Set(args) => {
            let from = cluster.resolve(&args.from).await?;
            let to = cluster.resolve(&args.to).await?;
            let fault = |from: &BTreeSet<u64>, to: &BTreeSet<u64>| LinkFault {
                from: from.clone(),
                to: to.clone(),
                kinds: args.kinds.iter().cloned().collect(),
                effect: args.effect(),
            };
            let info = cluster.link(fault(&from, &to)).await?;
            if args.both && from != to { cluster.link(fault(&to, &from)).await? } else { info }
        }
    };
    show(context, &info)
}

fn show(context: &mut Context<'_>, info: &Info) -> CliResult {
    if context.out.is_json() {
        return context.out.document(&serde_json::json!({"name": info.name, "links": info.links}));
    }
    if info.links.is_empty() {
        return context.out.line("links: all well");
    }
    info.links.iter().try_for_each(|fault| context.out.line(&format!("links {fault}")))
}
