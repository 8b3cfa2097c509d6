//! How a replica describes itself and what happens to it: for `status`, logs and traces.

use serde::Serialize;

use super::types::{Epoch, Index, NodeId};

/// How a replica sees itself and the cluster, in neutral words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// What it is.
    pub role: Role,
    /// Its epoch.
    pub epoch: u64,
    /// Who leads, as far as it knows.
    pub leader: Option<u64>,
    /// The highest index that it holds, committed or not.
    pub last: u64,
    /// The highest index that it knows to be committed.
    pub committed: u64,
    /// The highest index that its store has executed.
    pub applied: u64,
    /// The index of its newest durable snapshot.
    pub snapshot: u64,
    /// What only this protocol has, by name, as `low_water_mark`.
    pub details: Vec<(&'static str, u64)>,
    /// How the leader sees its peers; empty elsewhere.
    pub peers: Vec<PeerStatus>,
    /// What keeps it from being healthy, in words; empty when nothing does.
    pub why: Vec<String>,
    /// Whom it can prove to lie, in ascending order of ids: anybody can check the proof.
    pub convicted: Vec<Conviction>,
    /// Whom it suspects, in ascending order of ids: what it observed itself and cannot prove to others.
    pub suspicions: Vec<Suspicion>,
}

/// A replica holds proof that another one lied: messages that the other signed, and that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conviction {
    /// Who lied.
    pub id: u64,
    /// How many pieces of evidence are kept against it.
    pub pieces: u64,
    /// What the newest piece proves, in words, as `two PREPAREs for view 0, sequence 7`.
    pub newest: String,
}

/// A replica behaves as a faulty one would, as another sees it. Slow networks and disks look alike: this is no proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suspicion {
    /// Who is suspected.
    pub id: u64,
    /// Of what, as `silent`, `slow`, `censors`.
    pub what: &'static str,
    /// What was observed, and since when: a sentence.
    pub why: String,
    /// How often that was observed.
    pub times: u64,
}

/// What a replica is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// It orders the commands.
    Leader,
    /// It follows a leader, or waits for one.
    Follower,
    /// It asks whether an election could be won, without disturbing anyone.
    PreCandidate,
    /// It asks to be elected.
    Candidate,
}

impl Role {
    /// The role's name, as `status` prints it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
            Self::PreCandidate => "pre-candidate",
            Self::Candidate => "candidate",
        }
    }
}

/// How a leader sees a peer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PeerStatus {
    /// The peer.
    pub id: u64,
    /// The highest index that it is known to hold.
    pub matched: u64,
    /// Whether it was heard of within an election timeout.
    pub active: bool,
    /// What the leader is doing for it, as `replicating`, `probing`, `sending snapshot`.
    pub state: &'static str,
    /// What keeps it from being well, as the leader sees it: a sentence about it, without its name.
    pub why: Option<String>,
}

/// Something rare and worth telling.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The replica changed its role or epoch.
    Became {
        /// The role.
        role: Role,
        /// The epoch.
        epoch: Epoch,
        /// Why.
        why: &'static str,
    },
    /// The replica learned who leads.
    Follows {
        /// The leader.
        leader: NodeId,
        /// The epoch.
        epoch: Epoch,
    },
    /// A message had no effect.
    Ignored {
        /// Whose.
        from: NodeId,
        /// Its kind.
        kind: &'static str,
        /// Why.
        why: &'static str,
    },
    /// The replica holds proof that another one signed what no honest replica signs.
    Convicted {
        /// Who signed it.
        liar: NodeId,
        /// From whom the proof came; the replica itself if it found it.
        from: NodeId,
        /// What the proof shows, as `two PREPAREs for view 0, sequence 7`.
        what: String,
    },
    /// Anything else, about an index.
    Noted {
        /// What happened, as `took a snapshot`.
        what: &'static str,
        /// Where.
        index: Index,
    },
}

impl Event {
    /// In words, with the protocol's own for an epoch and an index.
    pub fn describe(&self, epoch_word: &str, index_word: &str) -> String {
        match self {
            Self::Became { role, epoch, why } => {
                format!("became {} of {epoch_word} {epoch}: {why}", role.name())
            }
            Self::Follows { leader, epoch } => format!("follows {leader} in {epoch_word} {epoch}"),
            Self::Ignored { from, kind, why } => format!("ignored {kind} of {from}: {why}"),
            Self::Convicted { liar, from, what } => {
                format!("node {liar} is convicted: it signed {what} (proof from node {from})")
            }
            Self::Noted { what, index } => format!("{what} at {index_word} {index}"),
        }
    }
}
