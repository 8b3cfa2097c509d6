//! The protocols: one line each. Nothing else in the crate names one.

use crate::consensus::Protocol;
use crate::consensus::raft::Raft;
use crate::node::{Node, NodeConfig, StartError};

/// What the crate knows of a protocol.
#[derive(Debug)]
pub struct Entry {
    /// Its name on the command line, in the configuration and in data directories.
    pub name: &'static str,
    /// How many nodes a cluster has unless it is told otherwise.
    pub default_nodes: u64,
    /// The port of node 1 unless it is told otherwise; node 2 has the next one, and so on.
    pub default_port: u16,
    /// Starts a node. Must be called within a tokio runtime.
    pub start: fn(NodeConfig) -> Result<Node, StartError>,
    /// Checks the protocol's section of the configuration.
    pub check_options: fn(&toml::Table) -> Result<(), String>,
    /// The protocol's section with every default written out.
    pub default_options: fn() -> toml::Table,
    /// A log record in words.
    pub render_record: fn(&[u8]) -> String,
}

/// All protocols.
pub static PROTOCOLS: &[Entry] = &[entry::<Raft>(5, 5001)];

/// The protocol that is used unless another one is asked for.
pub fn default_protocol() -> &'static Entry {
    &PROTOCOLS[0]
}

/// Finds a protocol by its name.
pub fn find(name: &str) -> Option<&'static Entry> {
    PROTOCOLS.iter().find(|entry| entry.name == name)
}

const fn entry<P: Protocol>(default_nodes: u64, default_port: u16) -> Entry {
    Entry {
        name: P::NAME,
        default_nodes,
        default_port,
        start: Node::start,
        check_options: check_options::<P>,
        default_options: default_options::<P>,
        render_record: |bytes| format!("{bytes:?}"),
    }
}

fn check_options<P: Protocol>(section: &toml::Table) -> Result<(), String> {
    section.clone().try_into::<P::Options>().map(|_| ()).map_err(|error| error.message().to_owned())
}

fn default_options<P: Protocol>() -> toml::Table {
    toml::Table::try_from(P::Options::default()).unwrap_or_default()
}
