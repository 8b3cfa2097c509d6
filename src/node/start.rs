//! STAND-IN for the node's life, replaced by the real one.

use std::path::PathBuf;
use std::time::Duration;

use super::{Member, Node};
use crate::consensus::NodeId;
use crate::wal::{DiskFault, WalOptions};

/// What a node needs to start.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "stand-in")]
pub struct NodeConfig {
    pub id: NodeId,
    pub cluster_name: String,
    pub cluster_id: u64,
    pub members: Vec<Member>,
    pub data_dir: PathBuf,
    pub create: bool,
    pub laboratory: bool,
    pub request_timeout: Duration,
    pub wal: WalOptions,
    pub options: toml::Table,
    pub blocked: Vec<NodeId>,
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

#[expect(missing_docs, clippy::unused_async, reason = "stand-in")]
impl Node {
    pub fn start(config: NodeConfig) -> Result<Self, StartError> {
        Ok(Self::stand_in(config.members, config.laboratory))
    }

    pub fn pause(&self) {}

    pub fn resume(&self) {}

    pub async fn failed(&self) -> NodeFailure {
        std::future::pending().await
    }

    pub async fn stop(self) {}

    pub async fn kill(self) {}
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}
