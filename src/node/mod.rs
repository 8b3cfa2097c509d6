//! Stand-in for the node: the interface of the real one, and behaviour just good enough to try the supervisor with.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::consensus::NodeId;
use crate::wal::{DiskFault, WalOptions};

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: NodeId,
    /// Where it listens.
    pub address: String,
}

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// This node.
    pub id: NodeId,
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster's identity.
    pub cluster_id: u64,
    /// All members.
    pub members: Vec<Member>,
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
    /// The disk's fault before it is opened.
    pub disk_fault: DiskFault,
}

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StartError(pub String);

/// Why a node stopped by itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NodeFailure(pub String);

/// A running node.
#[derive(Debug)]
pub struct Node {
    pub(crate) config: NodeConfig,
    pub(crate) blocked: Arc<Mutex<Vec<NodeId>>>,
    _lock: std::fs::File,
}

impl Node {
    /// Starts.
    pub fn start(config: NodeConfig) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.data_dir).map_err(|error| StartError(error.to_string()))?;
        if !config.create && !config.data_dir.join("data").exists() {
            return Err(StartError(format!("{} holds no data", config.data_dir.display())));
        }
        let path = config.data_dir.join("data");
        let lock = std::fs::File::create(path).map_err(|error| StartError(error.to_string()))?;
        lock.try_lock().map_err(|error| StartError(format!("data directory: {error}")))?;
        let blocked = Arc::new(Mutex::new(config.blocked.clone()));
        Ok(Self { config, blocked, _lock: lock })
    }

    /// Stops inputs.
    pub fn pause(&self) {}

    /// Lets a paused node go on.
    pub fn resume(&self) {}

    /// Waits until the node stops by itself.
    pub async fn failed(&self) -> NodeFailure {
        std::future::pending().await
    }

    /// Ends the node in an orderly way.
    pub async fn stop(self) {
        tokio::task::yield_now().await;
    }

    /// Ends the node as SIGKILL would.
    pub async fn kill(self) {
        tokio::task::yield_now().await;
    }
}
