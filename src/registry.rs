//! The protocols: one line each. Nothing else in the crate names one.
//!
//! A line brings everything that differs between protocols outside their folders: how a node of it starts, what its
//! section of the configuration may say, how its log records read, the words in which people speak of it, what it
//! tolerates, and the defaults of the command line.

use bytes::Bytes;

use crate::client::{self, Client, TwoFaced, VoterConfig};
use crate::consensus::pbft::{self, Pbft};
use crate::consensus::raft::Raft;
use crate::consensus::{
    Answers, Behaviour, Decode, JudgeEvidence, Message, Misbehaviour, NodeId, Protocol, Role,
};
use crate::node::{Node, NodeConfig, StartError};
use crate::sim::{self, Outcome, Report, RunOptions, Shrunk, Simulated, Sweep};
use crate::text::counted;
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
    /// What it calls what others call differently.
    pub words: Words,
    /// Whether its members and clients sign what they say, and so need keys.
    pub signs: bool,
    /// The names of its messages.
    pub message_kinds: &'static [&'static str],
    /// What a node can be told to do wrong; none where only crashes are tolerated. The first is the default.
    pub behaviours: &'static [Behaviour],
    /// Refuses what none of its nodes can be told to do wrong.
    pub check_misbehaviour: fn(&Misbehaviour) -> Result<(), String>,
    /// Makes a client that signs what it asks and counts votes; `None` where any node is believed.
    pub connect: Option<Connect>,
    /// Makes one that asks half of the nodes for something else under the same name, for scenarios; see [`TwoFaced`].
    pub connect_two_faced: Option<Connect>,
    /// Starts a node. Must be called within a tokio runtime.
    pub start: fn(NodeConfig) -> Result<Node, StartError>,
    /// Checks the protocol's section of the configuration.
    pub check_options: fn(&toml::Table) -> Result<(), String>,
    /// The protocol's section with every default written out.
    pub default_options: fn() -> toml::Table,
    /// A log record in words.
    pub render_record: fn(&[u8]) -> String,
    /// Checks a piece of evidence and puts it into words.
    pub judge_evidence: JudgeEvidence,
    /// How it is simulated.
    pub simulation: Simulation,
}

/// Makes a client that counts votes. Must be called within a tokio runtime.
pub type Connect = fn(&VoterConfig, client::Options) -> Result<Client, client::Error>;

/// Refuses liars that there cannot be, of so many nodes if that is said.
pub type CheckLiars = fn(&[(NodeId, String)], Option<usize>) -> Result<(), String>;

/// How a protocol is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Simulation {
    /// Runs one seed.
    pub run: fn(&RunOptions) -> Report,
    /// Runs many.
    pub sweep: fn(&Sweep, &(dyn Fn(u64) + Sync)) -> Outcome,
    /// Refuses liars that there cannot be: see [`sim::check_liars`]. The number is that of the nodes, if it is said.
    pub check_liars: CheckLiars,
    /// Finds the faults that a failure takes.
    pub shrink: fn(&RunOptions, &Report) -> Shrunk,
}

/// What a protocol calls what shared code has neutral words for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Words {
    /// Who orders the commands.
    pub leader: &'static str,
    /// Everybody else.
    pub follower: &'static str,
    /// Who is about to replace the leader.
    pub candidate: &'static str,
    /// How often leadership was contested.
    pub epoch: &'static str,
    /// A position in the order that is agreed on.
    pub index: &'static str,
    /// What only its status has, and the short word for it at the head of a column.
    pub details: &'static [(&'static str, &'static str)],
}

impl Words {
    /// The protocol's word for a role, given the neutral one; a word that is not known is left as it is.
    pub fn role<'a>(&self, neutral: &'a str) -> &'a str {
        if neutral == Role::Leader.name() {
            self.leader
        } else if neutral == Role::Follower.name() {
            self.follower
        } else if neutral == Role::Candidate.name() {
            self.candidate
        } else {
            neutral
        }
    }
}

/// What a line says that the protocol itself does not.
#[derive(Clone, Copy)]
struct Line {
    tolerates: &'static str,
    nodes_per_fault: u64,
    default_nodes: u64,
    default_port: u16,
    words: Words,
    connect: Option<Connect>,
    connect_two_faced: Option<Connect>,
}

/// All protocols.
pub static PROTOCOLS: &[Entry] = &[
    entry::<Raft>(Line {
        tolerates: "crashes of a minority",
        nodes_per_fault: 2,
        default_nodes: 5,
        default_port: 5001,
        words: Words {
            leader: "leader",
            follower: "follower",
            candidate: "candidate",
            epoch: "term",
            index: "index",
            details: &[],
        },
        connect: None,
        connect_two_faced: None,
    }),
    entry::<Pbft>(Line {
        tolerates: "lies and crashes of less than a third",
        nodes_per_fault: 3,
        default_nodes: 4,
        default_port: 6001,
        words: Words {
            leader: "primary",
            follower: "backup",
            candidate: "changing view",
            epoch: "view",
            index: "sequence",
            details: &[
                ("low_water_mark", "low mark"),
                ("high_water_mark", "high mark"),
                ("stable_checkpoint", "stable"),
                ("waiting_requests", "waiting"),
            ],
        },
        connect: Some(Client::connect_as::<pbft::Client>),
        connect_two_faced: Some(Client::connect_as::<TwoFaced<pbft::Client>>),
    }),
];

impl Entry {
    /// A way to lie by its name, or the default.
    pub fn behaviour(&self, name: Option<&str>) -> Option<&'static Behaviour> {
        self.behaviours.iter().find(|behaviour| name.is_none_or(|name| behaviour.name == name))
    }

    /// The size of the smallest cluster that tolerates so many faults.
    pub const fn nodes_for(&self, faults: u64) -> u64 {
        self.nodes_per_fault * faults + 1
    }

    /// How many faults a cluster of so many nodes tolerates.
    pub const fn faults_of(&self, nodes: u64) -> u64 {
        nodes.saturating_sub(1) / self.nodes_per_fault
    }

    /// How many of so many nodes form a quorum: two of them share a node, and where nodes may lie, one that does not.
    pub const fn quorum(&self, nodes: u64) -> u64 {
        let liars = if self.behaviours.is_empty() { 0 } else { self.faults_of(nodes) };
        (nodes + 1 + liars).div_ceil(2)
    }

    /// How many faults a cluster of so many nodes tolerates, in words.
    pub fn tolerance(&self, nodes: u64) -> String {
        let size = format!("a cluster of {} tolerates", counted(nodes, "node", "nodes"));
        match self.faults_of(nodes) {
            0 => format!("{size} no fault: it takes {} for one", self.nodes_for(1)),
            faults => format!("{size} {}", counted(faults, "fault", "faults")),
        }
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

/// The protocol of this name, or what to tell someone who named one that is not there.
pub fn named(name: &str) -> Result<&'static Entry, String> {
    let known = || PROTOCOLS.iter().map(|entry| entry.name).collect::<Vec<_>>().join(", ");
    find(name).ok_or_else(|| format!("unknown protocol {name}; known are {}", known()))
}

/// The protocols whose nodes can be made to lie, by name.
pub fn that_tolerate_lies() -> Vec<&'static str> {
    PROTOCOLS.iter().filter(|entry| !entry.behaviours.is_empty()).map(|entry| entry.name).collect()
}

const fn entry<P: Wire + Simulated>(line: Line) -> Entry {
    Entry {
        name: P::NAME,
        tolerates: line.tolerates,
        nodes_per_fault: line.nodes_per_fault,
        default_nodes: line.default_nodes,
        default_port: line.default_port,
        words: line.words,
        signs: matches!(P::ANSWERS, Answers::ByVote),
        message_kinds: <P::Message as Message>::KINDS,
        behaviours: P::BEHAVIOURS,
        check_misbehaviour: P::check_misbehaviour,
        connect: line.connect,
        connect_two_faced: line.connect_two_faced,
        start: Node::start::<P>,
        check_options: check_options::<P>,
        default_options: default_options::<P>,
        render_record: render_record::<P>,
        judge_evidence: P::judge_evidence,
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// The protocol whose nodes may lie and therefore sign, for tests of what is shared.
    pub(crate) fn lying() -> &'static Entry {
        let lying = |entry: &&Entry| entry.signs && !entry.behaviours.is_empty();
        PROTOCOLS.iter().find(lying).unwrap()
    }

    #[test]
    fn quorums_share_an_honest_node_and_are_there_in_spite_of_the_faults() {
        let raft = default_protocol();
        let table =
            |entry: &Entry| (1..=7).map(|n| (entry.faults_of(n), entry.quorum(n))).collect::<Vec<_>>();
        assert_eq!(table(raft), [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4)]);
        assert_eq!(table(lying()), [(0, 1), (0, 2), (0, 2), (1, 3), (1, 4), (1, 4), (2, 5)]);
    }

    #[test]
    fn what_is_tolerated_is_said_in_words() {
        assert_eq!(lying().tolerance(5), "a cluster of 5 nodes tolerates 1 fault");
        assert_eq!(lying().tolerance(3), "a cluster of 3 nodes tolerates no fault: it takes 4 for one");
        assert_eq!(default_protocol().tolerance(5), "a cluster of 5 nodes tolerates 2 faults");
    }

    #[test]
    fn roles_have_the_protocols_words() {
        let words = lying().words;
        assert_eq!(
            [words.role("leader"), words.role("candidate"), words.role("other")],
            ["primary", "changing view", "other"]
        );
    }
}
