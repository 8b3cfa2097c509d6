//! Which cluster `kv` talks to, and as whom.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use tokio::task::JoinSet;

use crate::cli::{CliError, CliResult, Context, Output};
use crate::client::ControlClient;
use crate::cluster::{Door, keys};
use crate::config::{ClusterConfig, FIRST_CLIENT, MAKE_KEYS, key_file};
use crate::registry;

/// How long nodes may take to say what they run: it decides about a remark, not about what is done.
const PROTOCOL_TIMEOUT: Duration = Duration::from_millis(300);

/// Said where nodes that may lie are asked without a key.
const EACH_IS_BELIEVED: &str = "note: nodes of this cluster may lie, and whichever answers is believed; with --config \
                                and --key instead of --endpoints, only what enough of them answer alike is";

/// The options that choose a cluster.
#[derive(Args, Clone, Debug)]
pub(super) struct ReachArgs {
    /// Nodes to talk to, as host:port, separated by commas; else those of the cluster that runs on this machine
    #[arg(
        long,
        global = true,
        value_name = "ADDRESS",
        value_delimiter = ',',
        conflicts_with_all = ["kv_config", "kv_key"]
    )]
    endpoints: Vec<String>,
    /// The configuration of the cluster to talk to, which may run on other hosts
    #[arg(id = "kv_config", long = "config", global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The file with the client's private key, where the protocol signs [default: the key of this machine's client, or
    /// the `key_file` of a client in the configuration]
    #[arg(id = "kv_key", long = "key", global = true, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl ReachArgs {
    /// The way into the cluster. Says it when that means to believe nodes that may lie.
    pub(super) async fn door(&self, context: &mut Context<'_>) -> CliResult<Door> {
        if !self.endpoints.is_empty() {
            return Ok(to_endpoints(&self.endpoints, context.out).await);
        }
        if let Some(file) = &self.config {
            let config = ClusterConfig::load(file)?;
            return match &self.key {
                Some(key) => with_key(&config, key),
                None => with_named_key(&config),
            };
        }
        let cluster = context.cluster().await?;
        match &self.key {
            Some(key) => with_key(&ClusterConfig::load(&cluster.dir().config())?, key),
            None => Ok(Door::to_local(cluster.dir())?),
        }
    }
}

/// To these nodes, of which each is believed. Says it where they may lie.
pub(in crate::cli) async fn to_endpoints(endpoints: &[String], out: &mut Output) -> Door {
    if may_lie(endpoints).await {
        out.note(EACH_IS_BELIEVED);
    }
    Door::to_any_node(endpoints.to_vec())
}

/// As the client whose private key is in `file`.
pub(in crate::cli) fn with_key(config: &ClusterConfig, file: &Path) -> CliResult<Door> {
    let protocol = config.protocol;
    if !config.entry().signs {
        return Err(CliError::usage(format!("{protocol} signs nothing: leave --key away")));
    }
    let secret = key_file::read(file).map_err(crate::cluster::Error::from)?;
    let keys = config.public_keys();
    let owner = keys.iter().find(|(_, key)| **key == secret.public()).map(|(id, _)| *id);
    match owner {
        Some(id) if id >= FIRST_CLIENT => Ok(Door::open(config, id, file)?),
        owner => {
            let whose = owner.map_or("nobody in the configuration".to_owned(), keys::owner);
            Err(CliError::usage(format!(
                "{} holds the private key of {whose}, not of a client",
                file.display()
            ))
            .hint("the replicas take requests only of those that the configuration names as [[client]]"))
        }
    }
}

/// As the first client of which the configuration says where its private key is.
fn with_named_key(config: &ClusterConfig) -> CliResult<Door> {
    if !config.entry().signs {
        // Nobody reads a key, whatever its name.
        return Ok(Door::open(config, FIRST_CLIENT, Path::new(""))?);
    }
    let named = config.clients.iter().find_map(|client| Some((client.id, client.key_file.as_ref()?)));
    let (id, file) = named.ok_or_else(|| {
        CliError::usage(format!("clients of {} sign, and there is no private key", config.protocol))
            .hint(format!("name its file with --key FILE or by `key_file` of a [[client]]; {MAKE_KEYS}"))
    })?;
    Ok(Door::open(config, id, file)?)
}

/// Whether the first of these nodes that says what it runs may be lied to. Nobody says so in time: no.
async fn may_lie(endpoints: &[String]) -> bool {
    let mut asked = JoinSet::new();
    for endpoint in endpoints {
        // An address that makes no sense is reported by whoever uses it.
        if let Ok(client) = ControlClient::new(endpoint) {
            asked.spawn(async move { client.with_timeout(PROTOCOL_TIMEOUT).ping().await });
        }
    }
    while let Some(answer) = asked.join_next().await {
        if let Ok(Ok(ping)) = answer {
            return registry::find(&ping.protocol).is_some_and(|entry| entry.connect.is_some());
        }
    }
    false
}
