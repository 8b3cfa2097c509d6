//! `gateway`: etcd's API next to an application.

use std::net::TcpListener;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::some_time;
use super::kv::reach::{to_endpoints, with_key};
use super::node::warn_beyond_loopback;
use super::{CliError, CliResult, Context, interrupted, logging};
use crate::client::Options;
use crate::cluster::keys::{self, Claim};
use crate::cluster::{ClusterDir, Door, gateway_door, listen, serve_gateway};
use crate::config::ClusterConfig;
use crate::text::counted;

/// What is logged unless something else is said: a gateway has little to tell.
const LOG: &str = "info";

/// Arguments of `gateway`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consensusctl gateway                          then `etcdctl put colour blue`, with no endpoint to name
  consensusctl gateway --listen 127.0.0.1:0     on a free port, which it prints
  consensusctl gateway --config cluster.toml --key client-1002.key
                                                to a cluster on other hosts

Where nodes may lie, the gateway signs what callers ask, with a client's key, and answers what one more node than may lie
has answered alike. So a caller trusts its gateway and no node. Callers at once share a signed request. Reads are always
linearizable. Each gateway needs a key of its own: `cluster up` makes four for this machine.

It starts without the cluster, and serves when that is there. A write whose outcome is unknown is answered as such, and never
repeated in a way that could execute it twice. Whoever reaches its port uses its key: keep it on the loopback address.

SIGTERM and Ctrl-C stop it; calls in progress end first. Logs go to standard error.")]
pub struct GatewayArgs {
    /// Where to listen, as host:port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:2379", value_parser = address)]
    listen: String,
    /// Nodes to talk to, as host:port, separated by commas, each of which is believed; else those of the cluster on this
    /// machine
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address, conflicts_with_all = ["config", "key"])]
    endpoints: Vec<String>,
    /// The configuration of the cluster to talk to, which may run on other hosts
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file with the client's private key, where the protocol signs [default: one that no other gateway uses, of those
    /// of this machine or of the `key_file`s in the configuration]
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How long a call may take; less than the 5 s of etcd's tools, so that they are told why it failed
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = some_time)]
    timeout: Duration,
}

/// How a gateway gets into its cluster.
struct Way {
    door: Door,
    /// The cluster, for people.
    cluster: String,
    /// Keeps other gateways from the key.
    _claim: Option<Claim>,
}

pub(super) async fn run(context: &mut Context<'_>, args: GatewayArgs) -> CliResult {
    let interrupted = interrupted()?;
    let _log = logging::start(context.log.as_deref(), LOG, None)?;
    let way = args.way(context).await?;
    let listener = listen("the gateway", &args.listen, "--listen ADDRESS")?;
    announce(context, &way, &listener)?;
    warn_beyond_loopback(context, &args.listen, "whoever reaches it can read and write the store");
    listener.set_nonblocking(true).map_err(cannot_listen)?;
    let listener = tokio::net::TcpListener::from_std(listener).map_err(cannot_listen)?;
    let options = Options { timeout: args.timeout, ..Options::default() };
    serve_gateway(&way.door, options, listener, interrupted).await?;
    tracing::info!("stopped");
    Ok(())
}

impl GatewayArgs {
    /// The cluster that the user means, and as whom to speak there.
    async fn way(&self, context: &mut Context<'_>) -> CliResult<Way> {
        if !self.endpoints.is_empty() {
            let door = to_endpoints(&self.endpoints, context.out).await;
            return Ok(Way { door, cluster: self.endpoints.join(","), _claim: None });
        }
        // The cluster need not run.
        let dir = if self.config.is_some() { None } else { Some(context.dir()?) };
        let file = self.config.clone().or(dir.as_ref().map(ClusterDir::config)).unwrap_or_default();
        let config = ClusterConfig::load(&file)?;
        let (door, claim) = match &self.key {
            Some(key) => {
                let door = with_key(&config, key)?;
                let claim = keys::claim(key)?.ok_or_else(|| {
                    CliError::failed(format!("another gateway on this machine uses {}", key.display()))
                        .hint("each gateway needs a client's key of its own")
                })?;
                (door, Some(claim))
            }
            None => gateway_door(&config, dir.as_ref())?,
        };
        Ok(Way { door, cluster: config.name, _claim: claim })
    }
}

/// The one line on standard output: whoever waits for it can connect.
fn announce(context: &mut Context<'_>, way: &Way, listener: &TcpListener) -> CliResult {
    let address = listener.local_addr().map_err(cannot_listen)?.to_string();
    let (cluster, client, votes) = (&way.cluster, way.door.client(), way.door.votes());
    if context.out.is_json() {
        let pid = std::process::id();
        return context.out.object(&json!({
            "cluster": cluster, "address": address, "client": client, "votes": votes, "pid": pid,
        }));
    }
    let believes = match client {
        Some(id) => format!(
            "as client {id}, and believes what {} answer alike",
            counted(votes as u64, "node", "nodes")
        ),
        None => "and believes the node that answers".to_owned(),
    };
    context.out.line(&format!("gateway to {cluster} listens on {address} {believes}"))
}

fn address(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
    match port.map(str::parse::<u16>) {
        Some(Ok(_)) => Ok(text.to_owned()),
        _ => Err("write it as host:port, as 127.0.0.1:2379".to_owned()),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn cannot_listen(error: std::io::Error) -> CliError {
    CliError::failed(format!("the gateway cannot listen: {error}"))
}
