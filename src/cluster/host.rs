//! One node with its services, as `consensusctl node` runs it and as the supervisor runs its tasks.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::links::rules_of;
use super::{DiskFault, Error, LinkFault, Result};
use crate::api;
use crate::config::ClusterConfig;
use crate::consensus::{Keys, Misbehaviour, NodeId};
use crate::node::{Member, Node, NodeConfig};
use crate::registry::Entry;
use crate::wal::WalOptions;

/// What of a node's configuration is not its cluster's.
#[derive(Clone, Debug)]
pub struct NodeStart {
    /// Which node.
    pub id: u64,
    /// Where its data lies.
    pub data_dir: PathBuf,
    /// Whether an empty data directory may be initialised.
    pub create: bool,
    /// Whether faults may be set.
    pub laboratory: bool,
    /// The peers that it is cut off from.
    pub blocked: BTreeSet<u64>,
    /// What is wrong with links, of this node's and others'.
    pub links: Vec<LinkFault>,
    /// What is wrong with its disk.
    pub disk: DiskFault,
    /// As what it signs; nothing where the protocol does not.
    pub keys: Keys,
    /// How it lies to the others. Only for a laboratory.
    pub malicious: Option<Misbehaviour>,
}

/// The configuration of one node of a cluster.
pub fn node_config(config: &ClusterConfig, start: NodeStart) -> NodeConfig {
    let member = |member: &crate::config::MemberConfig| Member {
        id: NodeId(member.id),
        address: member.address.clone(),
    };
    // Nobody lies where nothing is to be broken.
    let lie = start.malicious.filter(|_| start.laboratory);
    NodeConfig {
        id: NodeId(start.id),
        cluster_name: config.name.clone(),
        cluster_id: config.cluster_id,
        members: config.members.iter().map(member).collect(),
        keys: start.keys,
        data_dir: start.data_dir,
        create: start.create,
        laboratory: start.laboratory,
        request_timeout: config.request_timeout,
        wal: WalOptions::with_segment_bytes(config.segment_bytes),
        options: config.options.clone(),
        blocked: start.blocked.into_iter().map(NodeId).collect(),
        link_rules: rules_of(&start.links, start.id),
        disk_fault: start.disk.into(),
        misbehaviour: lie,
    }
}

/// A running node and the server on its port.
#[derive(Debug)]
pub struct Host {
    node: Node,
    server: JoinHandle<std::result::Result<(), String>>,
    shutdown: oneshot::Sender<()>,
}

impl Host {
    /// Starts the node and serves it. Returns once it listens.
    pub async fn start(entry: &'static Entry, config: NodeConfig) -> Result<Self> {
        let id = config.id;
        let address =
            config.members.iter().find(|member| member.id == id).map(|member| member.address.clone());
        let address =
            address.ok_or_else(|| Error::usage(format!("node {id} is no member of the cluster")))?;
        // The port first: a node whose port is taken must not count a life.
        let listener = TcpListener::bind(&address)
            .await
            .map_err(|error| Error::io(format!("node {id} cannot listen on {address}"), &error))?;
        // Away from the runtime's own threads: a long log takes its time to read.
        let started = tokio::task::spawn_blocking(move || (entry.start)(config)).await;
        let started =
            started.map_err(|panic| Error::failed(format!("node {id} panicked at its start: {panic}")))?;
        let node = started.map_err(|error| Error::failed(format!("node {id}: {error}")))?;
        let (shutdown, stopped) = oneshot::channel();
        let stop = async {
            let _ = stopped.await;
        };
        let serving = api::serve(&node, listener, stop);
        let server = tokio::spawn(async { serving.await.map_err(|error| error.to_string()) });
        Ok(Self { node, server, shutdown })
    }

    /// Waits until the node ends by itself, and says why.
    pub async fn failed(&mut self) -> String {
        tokio::select! {
            failure = self.node.failed() => failure.to_string(),
            ended = &mut self.server => match ended {
                Ok(Ok(())) => "its server ended".to_owned(),
                Ok(Err(error)) => format!("its server failed: {error}"),
                Err(error) => format!("its server failed: {error}"),
            },
        }
    }

    /// Stops the node in its tracks, as SIGSTOP would.
    pub fn pause(&self) {
        self.node.pause();
    }

    /// Lets a paused node go on.
    pub fn resume(&self) {
        self.node.resume();
    }

    /// Ends the node in an orderly way.
    pub async fn stop(self) {
        let Self { node, server, shutdown } = self;
        // An error means that the server has ended already.
        let _ = shutdown.send(());
        let _ = server.await;
        node.stop().await;
    }

    /// Ends the node as SIGKILL would: its connections break, and its port is free when this returns.
    pub async fn kill(self) {
        let Self { node, server, .. } = self;
        server.abort();
        let _ = server.await;
        node.kill().await;
    }
}
