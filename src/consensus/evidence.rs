//! Proof that a member lied, as the shared code sees it. What proves what is the protocol's business.

use std::fmt::Write as _;

use bytes::Bytes;

use super::{Keys, NodeId};

/// What a verifier trusts, and nothing besides.
#[derive(Clone, Debug)]
pub struct Court {
    /// Which cluster the proof is of: part of everything that is signed there.
    pub cluster_id: u64,
    /// Its members, in ascending order of ids.
    pub members: Vec<NodeId>,
    /// Their public keys.
    pub keys: Keys,
}

/// What a piece of evidence proves. All of it follows from the signed bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Against whom.
    pub accused: NodeId,
    /// What the accused did, as `two PREPAREs for view 0, sequence 7`.
    pub charge: String,
    /// The epoch that it is about, if it is about one.
    pub epoch: Option<u64>,
    /// The index that it is about, if it is about one.
    pub index: Option<u64>,
    /// On what the proof rests besides signatures, in words.
    pub provided: Option<&'static str>,
    /// The signed messages, in words.
    pub statements: Vec<Statement>,
}

/// A signed message, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// What it is, as `PREPARE`.
    pub title: &'static str,
    /// Its fields, in order: names and values.
    pub fields: Vec<(&'static str, Words)>,
}

/// The value of a field, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// One value.
    One(String),
    /// A list of them.
    List(Vec<String>),
}

/// Checks a piece of evidence and puts it into words: from its bytes, which nobody need be trusted for.
pub type JudgeEvidence = fn(&Court, &Bytes) -> Result<Judgement, String>;

/// Bytes in hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut digits, byte| {
        // Writing to a string cannot fail.
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}
