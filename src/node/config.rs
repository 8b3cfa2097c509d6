//! What a node needs to start.

use std::path::PathBuf;
use std::time::Duration;

use crate::consensus::{Keys, Misbehaviour, NodeId};
use crate::transport::Rule;
use crate::wal::{DiskFault, WalOptions};

/// After how long a request that got nowhere is rejected, by default. etcd's own is five seconds and two election
/// time-outs.
pub const DEFAULT_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Where it listens for peers, clients and control, as `host:port`.
    pub address: String,
}

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node; one of `members`.
    pub id: NodeId,
    /// The cluster's name, for people.
    pub cluster_name: String,
    /// The cluster's identity: data and peers of another one are refused.
    pub cluster_id: u64,
    /// All members, in ascending order of ids.
    pub members: Vec<Member>,
    /// The node's secret key, and everybody's public one: those above the members' ids are clients. Empty where the
    /// protocol signs nothing.
    pub keys: Keys,
    /// Where the node's data lies.
    pub data_dir: PathBuf,
    /// Whether an empty data directory may be initialised.
    pub create: bool,
    /// Whether faults may be set on this node.
    pub laboratory: bool,
    /// After how long a request that got nowhere is rejected.
    pub request_timeout: Duration,
    /// The log's settings.
    pub wal: WalOptions,
    /// The protocol's own section of the configuration.
    pub options: toml::Table,
    /// Peers that are blocked before the links open.
    pub blocked: Vec<NodeId>,
    /// What is wrong with the links before they open.
    pub link_rules: Vec<Rule>,
    /// The disk's fault before it is opened.
    pub disk_fault: DiskFault,
    /// What the replica is told to do wrong.
    pub misbehaviour: Option<Misbehaviour>,
}

impl NodeConfig {
    /// The member that this node is.
    pub fn member(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.id == self.id)
    }
}
