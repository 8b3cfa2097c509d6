//! The protocols: one line each. Nothing else in the crate names one.
//!
//! A line brings everything that differs between protocols outside their folders: how a node of it starts, what its
//! section of the configuration may say, how its log records read, and the defaults of the command line.

use bytes::Bytes;

use crate::consensus::raft::Raft;
use crate::consensus::{Decode, NodeId, Protocol};
use crate::node::{Node, NodeConfig, StartError};
use crate::sim::{self, Outcome, Report, RunOptions, Shrunk, Simulated, Sweep};
use crate::transport::Wire;

/// What the crate knows of a protocol.
#[derive(Debug)]
pub struct Entry {
    /// Its name on the command line, in the configuration and in data directories.
    pub name: &'static str,
    /// What it tolerates, for people.
    pub tolerates: &'static str,
    /// How many nodes it takes to tolerate one fault more: a cluster that tolerates `f` has `f` times as many, and one.
    pub nodes_per_fault: u64,
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
    /// How it is simulated.
    pub simulation: Simulation,
}

/// How a protocol is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    /// Runs one seed.
    pub run: fn(&RunOptions) -> Report,
    /// Runs many.
    pub sweep: fn(&Sweep, &(dyn Fn(u64) + Sync)) -> Outcome,
    /// Refuses liars that there cannot be: see [`sim::check_liars`]. The number is that of the nodes, if it is said.
    pub check_liars: fn(&[(NodeId, String)], Option<usize>) -> Result<(), String>,
    /// Finds the faults that a failure takes.
    pub shrink: fn(&RunOptions, &Report) -> Shrunk,
}

/// All protocols.
pub static PROTOCOLS: &[Entry] = &[entry::<Raft>("crashes of a minority", 2, 5, 5001)];

impl Entry {
    /// The size of the smallest cluster that tolerates so many faults.
    pub const fn nodes_for(&self, faults: u64) -> u64 {
        self.nodes_per_fault * faults + 1
    }
}

/// The protocol that is used unless another one is asked for.
pub fn default_protocol() -> &'static Entry {
    &PROTOCOLS[0]
}

/// Finds a protocol by its name.
pub fn find(name: &str) -> Option<&'static Entry> {
    PROTOCOLS.iter().find(|entry| entry.name == name)
}

const fn entry<P: Wire + Simulated>(
    tolerates: &'static str,
    nodes_per_fault: u64,
    default_nodes: u64,
    default_port: u16,
) -> Entry {
    Entry {
        name: P::NAME,
        tolerates,
        nodes_per_fault,
        default_nodes,
        default_port,
        start: Node::start::<P>,
        check_options: check_options::<P>,
        default_options: default_options::<P>,
        render_record: render_record::<P>,
        simulation: Simulation {
            run: sim::run::<P>,
            sweep: sim::sweep::<P>,
            check_liars: sim::check_liars::<P>,
            shrink: sim::shrink::<P>,
        },
    }
}

fn check_options<P: Protocol>(section: &toml::Table) -> Result<(), String> {
    let options: P::Options =
        section.clone().try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    P::check_options(&options)
}

fn default_options<P: Protocol>() -> toml::Table {
    // Options are plain numbers and flags, which TOML can always hold.
    toml::Table::try_from(P::Options::default()).unwrap_or_default()
}

fn render_record<P: Protocol>(bytes: &[u8]) -> String {
    match P::Record::from_bytes(Bytes::copy_from_slice(bytes)) {
        Ok(record) => format!("{record:?}"),
        Err(error) => format!("not a record of {}: {error}", P::NAME),
    }
}
