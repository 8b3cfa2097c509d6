//! What the supervisor and its clients say to each other: JSON lines over a Unix socket.
//!
//! A client sends one [`Call`] on a connection and gets [`Reply::Progress`] lines and then one [`Reply::Done`] or
//! [`Reply::Failed`].

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DiskFault, Error, Lie, LinkFault, Partition};
use crate::consensus::Misbehaviour;

/// The version of this protocol. A supervisor outlives updates of the binary; it refuses clients of another version.
pub const VERSION: u32 = 5;

/// A request, and the version of who makes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Call {
    /// [`VERSION`].
    pub version: u32,
    /// The request, in a form that any version can read over.
    pub request: serde_json::Value,
}

/// What can be asked of a supervisor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Request {
    /// How things are. Answered at once.
    Info,
    /// End these nodes and leave them down.
    Kill {
        /// Which.
        ids: BTreeSet<u64>,
        /// How.
        signal: KillSignal,
    },
    /// Stop these nodes in their tracks.
    Pause {
        /// Which.
        ids: BTreeSet<u64>,
    },
    /// Let paused nodes go on.
    Resume {
        /// Which.
        ids: BTreeSet<u64>,
    },
    /// Stop these nodes if they run, and start them.
    Restart {
        /// Which.
        ids: BTreeSet<u64>,
        /// One after the other, each only when the one before is healthy again.
        rolling: bool,
    },
    /// Replace the partition.
    Partition(Partition),
    /// Add to what is wrong with links.
    Link(LinkFault),
    /// End all that is wrong with links.
    HealLinks,
    /// Replace the fault of these nodes' disks.
    Disk {
        /// Which.
        ids: BTreeSet<u64>,
        /// What.
        fault: DiskFault,
    },
    /// Make these nodes lie to the others, or honest.
    Lie {
        /// Which.
        ids: BTreeSet<u64>,
        /// How; `None`: not any more.
        lie: Option<Lie>,
    },
    /// End the cluster and the supervisor. Its data stays.
    Down,
}

/// How a node is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum KillSignal {
    /// As a crash: the node has no time to do anything (SIGKILL).
    Kill,
    /// In an orderly way (SIGTERM).
    Term,
}

/// What a supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    /// Something was done on the way.
    Progress {
        /// What.
        text: String,
    },
    /// All of it is done and has taken effect.
    Done {
        /// How things are now.
        info: Info,
    },
    /// It was not done, or not all of it.
    Failed {
        /// Why.
        error: Error,
    },
}

/// What a supervisor is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// It brings the cluster up.
    Starting,
    /// It watches over the cluster.
    Running,
    /// It takes the cluster down.
    Stopping,
}

impl Phase {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Stopping => "stopping",
        }
    }
}

/// What the supervisor knows of its cluster. What the nodes themselves know they are asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// The cluster's name.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// The supervisor's pid.
    pub pid: u32,
    /// What it is doing.
    pub phase: Phase,
    /// Whether the nodes are tasks of the supervisor and not processes.
    pub in_process: bool,
    /// Where everything of the cluster lies.
    pub directory: PathBuf,
    /// The partition that is wanted.
    pub partition: Partition,
    /// What is wrong with links.
    pub links: Vec<LinkFault>,
    /// All nodes, in ascending order of ids.
    pub nodes: Vec<NodeInfo>,
}

/// How a node is, from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeState {
    /// It runs.
    Running,
    /// It is paused.
    Paused,
    /// It was ended on purpose.
    Stopped,
    /// It ended by itself, or could not start.
    Failed,
    /// Nobody watches it: it is known to run only if it answers.
    Unknown,
}

impl NodeState {
    /// Its name in tables.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }
}

/// What the supervisor knows of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeInfo {
    /// Its id.
    pub id: u64,
    /// Where it listens.
    pub address: String,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// How it is.
    pub state: NodeState,
    /// Why it is not running.
    pub why: Option<String>,
    /// Its log file, where that is known.
    pub log: Option<PathBuf>,
    /// What is wrong with its disk, on purpose.
    pub disk: DiskFault,
    /// How it lies to the others, on purpose: the name of the behaviour.
    pub malicious: Option<String>,
    /// The same with all that was said of it.
    pub misbehaviour: Option<Misbehaviour>,
}
