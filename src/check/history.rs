//! What clients did and were told: the material that is judged.

use crate::kv::{KvError, Op, Response, SessionTag};

/// A run as its clients saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// What run this was.
    pub header: Header,
    /// All operations, in the order in which they were recorded.
    pub operations: Vec<Operation>,
    /// What else happened, such as faults: shown to people, never judged.
    pub facts: Vec<Fact>,
}

/// What run a history is of. All of it is for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The protocol, as `raft`.
    pub protocol: String,
    /// Where the history comes from, as `sim --seed 42` or `chaos/leader-failure`.
    pub source: String,
    /// When the run began, in words; empty where there is no wall clock.
    pub started: String,
    /// A word on what the history shows.
    pub about: String,
}

/// One call of one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Where it stands in its file, counted from 1: the name that explanations use.
    pub line: usize,
    /// Whose call it was. A client has one call at a time; who makes several at once counts as several.
    pub client: u64,
    /// The session and sequence number that made it safe to retry.
    pub session: Option<SessionTag>,
    /// What was asked.
    pub op: Op,
    /// What a read asked for.
    pub consistency: Consistency,
    /// The node that answered, or was asked last.
    pub node: Option<u64>,
    /// When the call began, in microseconds since the run began.
    pub invoked: u64,
    /// When it returned; `None` if it never did.
    pub completed: Option<u64>,
    /// How it ended.
    pub outcome: Outcome,
}

impl Operation {
    /// The reply, if there was one.
    pub fn response(&self) -> Option<&Response> {
        match &self.outcome {
            Outcome::Ok(response) => Some(response),
            _ => None,
        }
    }
}

/// What a read asked for. Writes are always linearizable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// The read sees all that was acknowledged before it began.
    #[default]
    Linearizable,
    /// The read sees some state that there was: one node's, which may trail.
    Serializable,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was executed, and this was the reply.
    Ok(Response),
    /// The store executed it and said no, so that it changed nothing.
    Error(KvError),
    /// It was not and will not be executed; why.
    Refused(String),
    /// It may be executed at any time after its call, or never; why nothing more is known.
    Unknown(String),
}

/// Something that happened to the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fact {
    /// When, in microseconds since the run began.
    pub at: u64,
    /// What, as `kill node 3`.
    pub what: String,
}
