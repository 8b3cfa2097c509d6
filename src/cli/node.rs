//! `node`: one node in the foreground.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::PathBuf;
use std::thread;

use clap::Args;
use tokio::sync::oneshot;

use super::{CliError, CliResult, Context, interrupted, logging};
use crate::cluster::{self, DiskFault, Host, Lie, LinkFault, NodeStart, is_loopback, node_config};
use crate::config::{ClusterConfig, MAKE_KEYS};
use crate::consensus::{Keys, Misbehaviour};

/// Arguments of `node`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example, on the host whose address member 2 has:
  consensusctl node --id 2 --config cluster.toml --create     the first time
  consensusctl node --id 2 --config cluster.toml

Where the protocol signs, the node needs its private key: `consensusctl keys generate` makes them.

SIGTERM and Ctrl-C stop it in an orderly way. Logs go to standard error.")]
pub struct NodeArgs {
    /// Which member of the cluster to run
    #[arg(long)]
    id: u64,
    /// The cluster's configuration, the same on every host
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where its data lies [default: node-ID in the configuration's `data_dir`, or in the state directory]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// The file with its private key [default: the member's `key_file` in the configuration]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Let faults be set on it
    #[arg(long)]
    laboratory: bool,
    /// Lie to the others in this way; only with --laboratory
    #[arg(long, value_name = "BEHAVIOUR", conflicts_with = "misbehaviour")]
    malicious: Option<String>,
    /// Make its data directory, for the first start alone: a node that was in the cluster before has promised things
    #[arg(long)]
    create: bool,
    /// A supervisor started it: end when standard input is closed, let faults be set
    #[arg(long, hide = true)]
    supervised: bool,
    /// Peers that it is cut off from
    #[arg(long, hide = true, value_delimiter = ',')]
    blocked: Vec<u64>,
    /// What is wrong with links, as JSON
    #[arg(long, hide = true, value_name = "JSON", default_value = "[]", value_parser = links_of_json)]
    links: LinkFaults,
    /// How it lies to the others, as JSON
    #[arg(long, hide = true, value_name = "JSON", value_parser = misbehaviour_of_json)]
    misbehaviour: Option<Misbehaviour>,
    /// What is wrong with its disk
    #[arg(long, hide = true, default_value_t)]
    disk_fault: DiskFault,
}

pub(super) async fn run(context: &mut Context<'_>, args: NodeArgs) -> CliResult {
    let interrupted = interrupted()?;
    let abandoned = abandoned(args.supervised);
    let config = ClusterConfig::load(&args.config)?;
    let _log = logging::start(context.log.as_deref(), &config.log, None)?;
    let member = config.member(args.id).ok_or_else(|| {
        let ids: Vec<String> = config.members.iter().map(|member| member.id.to_string()).collect();
        CliError::usage(format!("{} has no member {}", args.config.display(), args.id))
            .hint(format!("its members are {}", ids.join(", ")))
    })?;
    let address = member.address.clone();
    let malicious = misbehaviour(&args, &config)?;
    let keys = keys(&args, &config)?;
    warn_beyond_loopback(context, &address, "links between nodes are not encrypted");
    // The log is read elsewhere.
    let data_dir = match &args.data_dir {
        Some(dir) => dir.clone(),
        None => default_data_dir(context, &config, args.id)?,
    };
    let data_dir = std::path::absolute(&data_dir)
        .map_err(|error| CliError::usage(format!("{}: {error}", data_dir.display())))?;
    let start = NodeStart {
        id: args.id,
        data_dir: data_dir.clone(),
        create: args.create,
        laboratory: args.laboratory || args.supervised,
        blocked: args.blocked.into_iter().collect::<BTreeSet<_>>(),
        links: args.links,
        disk: args.disk_fault,
        keys,
        malicious,
    };
    let mut host = Host::start(config.entry(), node_config(&config, start)).await?;
    tracing::info!(node = args.id, %address, "listens");
    announce(context, &config.name, args.id, &address, &data_dir)?;
    tokio::select! {
        why = host.failed() => {
            host.kill().await;
            Err(CliError::failed(why))
        }
        () = interrupted => {
            host.stop().await;
            tracing::info!(node = args.id, "stopped");
            Ok(())
        }
        () = abandoned => {
            tracing::warn!(node = args.id, "the supervisor is gone; stopping");
            host.stop().await;
            Ok(())
        }
    }
}

/// As what the node signs.
fn keys(args: &NodeArgs, config: &ClusterConfig) -> CliResult<Keys> {
    let (protocol, signs) = (config.protocol, config.entry().signs);
    if !signs {
        return match &args.key {
            Some(_) => Err(CliError::usage(format!("{protocol} signs nothing: leave --key away"))),
            None => Ok(Keys::default()),
        };
    }
    let named = config.member(args.id).and_then(|member| member.key_file.as_ref());
    let file = args.key.as_ref().or(named).ok_or_else(|| {
        CliError::usage(format!("a node of {protocol} signs, and node {} has no private key", args.id))
            .hint(format!("name its file with --key FILE or by `key_file` in the configuration; {MAKE_KEYS}"))
    })?;
    Ok(cluster::keys::ring(config, args.id, file)?)
}

/// One argument that stands for several faults.
type LinkFaults = Vec<LinkFault>;

fn links_of_json(text: &str) -> Result<LinkFaults, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

fn misbehaviour_of_json(text: &str) -> Result<Misbehaviour, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// How it lies. Refuses what the protocol does not know, and any lie of a node that is not there to be broken.
fn misbehaviour(args: &NodeArgs, config: &ClusterConfig) -> CliResult<Option<Misbehaviour>> {
    let told = match (&args.malicious, &args.misbehaviour) {
        (Some(name), _) => {
            Lie::always(Some(name.clone())).of_node(config.entry(), config.cluster_id, args.id)?
        }
        (None, Some(told)) => told.clone(),
        (None, None) => return Ok(None),
    };
    if args.laboratory || args.supervised {
        return Ok(Some(told));
    }
    Err(CliError::usage("--malicious is for nodes that are there to be broken: give --laboratory, too"))
}

/// The one line on standard output; a supervisor reads it to know that the node serves.
fn announce(
    context: &mut Context<'_>,
    cluster: &str,
    id: u64,
    address: &str,
    data_dir: &std::path::Path,
) -> CliResult {
    if context.out.is_json() {
        let pid = std::process::id();
        return context.out.object(&serde_json::json!({
            "cluster": cluster, "id": id, "address": address, "pid": pid, "data_dir": data_dir,
        }));
    }
    let data = data_dir.display();
    context.out.line(&format!("node {id} of {cluster} listens on {address}; its data is in {data}"))
}

/// Where a node of this configuration keeps its data unless it is told otherwise.
pub(super) fn default_data_dir(context: &Context<'_>, config: &ClusterConfig, id: u64) -> CliResult<PathBuf> {
    let name = context.name.as_deref().unwrap_or(&config.name);
    Ok(match &config.data_dir {
        Some(dir) => dir.join(format!("node-{id}")),
        None => context.state()?.cluster(name)?.node_dir(id),
    })
}

/// Warns of an address that others can reach, and of `what` that means.
pub(super) fn warn_beyond_loopback(context: &mut Context<'_>, address: &str, what: &str) {
    if !is_loopback(address) {
        context
            .out
            .warn(&format!("{address} is not a loopback address, and {what}: use a network that you trust"));
    }
}

/// Comes when the supervisor that started this node is gone, however it went: then its end of our standard input is
/// closed. A thread of its own reads it, because a read cannot be given up. Never comes to a node without one.
async fn abandoned(supervised: bool) {
    if !supervised {
        return std::future::pending().await;
    }
    let (gone, is_gone) = oneshot::channel::<()>();
    thread::spawn(move || {
        let mut byte = [0];
        while std::io::stdin().read(&mut byte).is_ok_and(|length| length > 0) {}
        drop(gone);
    });
    let _ = is_gone.await;
}
