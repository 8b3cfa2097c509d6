//! `cluster.toml`: what a cluster is made of.
//!
//! The file is read strictly: an unknown key, a duplicate id or address, a value out of range is refused with the line
//! where it stands, because a setting that is silently ignored is found only when it is needed. What a file leaves out
//! has the default that the commented `cluster.toml` at the top of the repository shows.
//!
//! The members stand there in one of two forms: `nodes`, `host` and `base_port` for a cluster on one machine, or one
//! `[[member]]` with `id` and `address` each, for a cluster that spans several. Ids count, addresses may change.
//!
//! A cluster has an id, made once at random, which keeps its data, links and signatures apart from those of every other
//! cluster, also of one with the same members. A file that does not say it is a [`Draft`]: enough for whoever makes a new
//! cluster of it, and nobody else.
//!
//! Where the protocol signs, a member also has a `public_key`, and so has each `[[client]]`; the private ones lie in
//! [key files](key_file), which a member or client may name by `key_file`, relative to the configuration's directory.

mod draft;
mod error;
mod file;
pub mod key_file;
mod keys;

use std::path::PathBuf;
use std::time::Duration;

use crate::consensus::PublicKey;
use crate::registry::{self, Entry};
use crate::wal::WalOptions;

pub use draft::{Draft, with_cluster_id};
pub use error::ConfigError;
pub use file::check_address;
pub use keys::MAKE_KEYS;

/// The largest cluster: more replicas make every write slower and tolerate no more that matters.
pub const MAX_NODES: usize = 31;
/// The shortest time in which a request can be expected to be answered at all.
const MIN_REQUEST_TIMEOUT_MS: u64 = 100;
/// A record lies in one segment, so that this holds the largest request (1.5 MiB) with all that its encoding adds: a
/// node that met a longer one could not write it, and would have to stop.
pub const MIN_SEGMENT_BYTES: u64 = 2 << 20;
/// After how long a request that got nowhere is rejected, where nothing else is said.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// The lowest id of a client: clients that sign have ids above all members'.
pub const FIRST_CLIENT: u64 = 1001;

/// A member of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// Its id, from 1.
    pub id: u64,
    /// Where it listens, as `host:port`.
    pub address: String,
    /// What checks its signatures, where the protocol signs.
    pub public_key: Option<PublicKey>,
    /// Where its private key lies, if that was said.
    pub key_file: Option<PathBuf>,
}

impl MemberConfig {
    /// A member without a key.
    pub fn new(id: u64, address: impl Into<String>) -> Self {
        Self { id, address: address.into(), public_key: None, key_file: None }
    }
}

/// A client that signs its requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// Its id, from [`FIRST_CLIENT`].
    pub id: u64,
    /// What checks its signatures.
    pub public_key: PublicKey,
    /// Where its private key lies, if that was said.
    pub key_file: Option<PathBuf>,
}

/// A cluster: checked, with all defaults filled in.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterConfig {
    /// Its name, which chooses its directory.
    pub name: String,
    /// What its data belongs to; a node refuses data and peers of another. Never 0.
    pub cluster_id: u64,
    /// Its protocol, a name in [`crate::registry`].
    pub protocol: &'static str,
    /// Its members in ascending order of ids.
    pub members: Vec<MemberConfig>,
    /// The clients whose signed requests are taken, in ascending order of ids; none where the protocol does not sign.
    pub clients: Vec<ClientConfig>,
    /// After how long a request that got nowhere is rejected.
    pub request_timeout: Duration,
    /// Length of a segment of the log on disk, in bytes.
    pub segment_bytes: u64,
    /// Where `consensusctl node` keeps its data; a supervised cluster keeps everything in its state directory.
    pub data_dir: Option<PathBuf>,
    /// Which events are logged, in the syntax of `RUST_LOG`.
    pub log: String,
    /// Whether the nodes of a supervised cluster, on which faults can be set by whoever reaches them, may listen where other
    /// hosts reach them.
    pub faults_over_network: bool,
    /// The protocol's own section.
    pub options: toml::Table,
}

impl ClusterConfig {
    /// A new cluster with the defaults of a protocol.
    pub fn defaults(protocol: &'static Entry) -> Self {
        Self {
            name: protocol.name.to_owned(),
            cluster_id: new_cluster_id(),
            protocol: protocol.name,
            members: local_members("127.0.0.1", protocol.default_port, protocol.default_nodes as usize),
            clients: Vec::new(),
            request_timeout: REQUEST_TIMEOUT,
            segment_bytes: WalOptions::default().segment_bytes,
            data_dir: None,
            log: "info".to_owned(),
            faults_over_network: false,
            options: (protocol.default_options)(),
        }
    }

    /// Its protocol's registry entry.
    pub fn entry(&self) -> &'static Entry {
        // The name was looked up in the registry when the configuration was made.
        registry::find(self.protocol).expect("a configuration names a protocol of the registry")
    }

    /// The member of this id.
    pub fn member(&self, id: u64) -> Option<&MemberConfig> {
        self.members.iter().find(|member| member.id == id)
    }
}

/// An id for a cluster that is made now. TOML's integers are signed: 63 bits fit.
pub fn new_cluster_id() -> u64 {
    rand::random_range(1..=u64::MAX >> 1)
}

fn host_of(address: &str) -> &str {
    address.rsplit_once(':').map_or(address, |(host, _)| host)
}

fn local_members(host: &str, base_port: u16, count: usize) -> Vec<MemberConfig> {
    let member = |i| MemberConfig::new(i as u64 + 1, format!("{host}:{}", usize::from(base_port) + i));
    (0..count).map(member).collect()
}

/// Whether `name` can be a cluster's name, and thus a directory's.
pub fn is_valid_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=64).contains(&name.len())
        && name.chars().all(allowed)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests;
