//! A gateway: etcd's API next to an application, from a client of the cluster.
//!
//! Where clients sign, a gateway speaks in a name of its own. [`gateway_door`] finds one that no other gateway of this
//! machine uses.

use std::path::PathBuf;

use tokio::net::TcpListener;

use super::keys::{self, Claim};
use super::{ClusterDir, Door, Error, Result};
use crate::api::{self, GatewayConfig};
use crate::client::Options;
use crate::config::{ClusterConfig, FIRST_CLIENT, MAKE_KEYS};
use crate::consensus::NodeId;

/// The way into the cluster of `config` as a client that nobody else on this machine is: the first of those whose private
/// key can be found, in `dir` or where the configuration says, and is not in use. Whoever holds the claim has it. Where the
/// protocol does not sign, nothing is claimed.
pub fn gateway_door(config: &ClusterConfig, dir: Option<&ClusterDir>) -> Result<(Door, Option<Claim>)> {
    if !config.entry().signs {
        // Nobody reads a key, whatever its name.
        return Ok((Door::open(config, FIRST_CLIENT, &PathBuf::new())?, None));
    }
    let mut in_use = Vec::new();
    for (id, file) in candidates(config, dir) {
        match keys::claim(&file)? {
            Some(claim) => return Ok((Door::open(config, id, &file)?, Some(claim))),
            None => in_use.push(keys::owner(id)),
        }
    }
    if in_use.is_empty() {
        return Err(Error::usage(format!(
            "a gateway signs with a client's key, and there is none besides that of {}, which `kv` uses",
            keys::owner(FIRST_CLIENT)
        ))
        .hint(format!(
            "name its file with --key FILE or by `key_file` of a [[client]]; {MAKE_KEYS} --clients 2"
        )));
    }
    Err(Error::failed(format!("other gateways on this machine use the keys of {}", in_use.join(", ")))
        .hint("end one of them, or name another client's key with --key FILE"))
}

/// The clients as which a gateway may speak, with their private keys. Not the first: whoever calls `kv` is that one.
fn candidates(config: &ClusterConfig, dir: Option<&ClusterDir>) -> Vec<(u64, PathBuf)> {
    let others = config.clients.iter().filter(|client| client.id != FIRST_CLIENT);
    let named = others.filter_map(|client| {
        let file = match (&client.key_file, dir) {
            (Some(file), _) => file.clone(),
            (None, Some(dir)) => dir.key(client.id),
            (None, None) => return None,
        };
        Some((client.id, file))
    });
    named.filter(|(_, file)| file.exists()).collect()
}

/// Serves etcd's API on `listener`, through `door`, until `shutdown`; then calls in progress may still end. That the cluster
/// is not there yet is no error: it is asked with every call.
pub async fn serve_gateway(
    door: &Door,
    options: Options,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let client = door.connect(options).await.map_err(|error| Error::usage(error.to_string()))?;
    let known = door.known().cloned();
    let config = GatewayConfig {
        client,
        cluster_id: known.as_ref().map_or(0, |known| known.cluster_id),
        id: NodeId(door.client().unwrap_or(0)),
        members: known.map(|known| known.members).unwrap_or_default(),
    };
    api::serve_gateway(config, listener, shutdown, options.timeout)
        .await
        .map_err(|error| Error::failed(error.to_string()))
}
