//! Verdicts, and explanations that can be read at three in the morning.

use std::fmt::{self, Write as _};

use serde::Serialize;

use super::history::{Operation, Outcome};
use crate::kv::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, DeleteRangeResponse, KeyValue, Op, PutRequest,
    RangeRequest, RangeResponse, Response, TxnOp, TxnOpResponse, TxnRequest, TxnResponse,
};
use crate::text::counted;

/// What the checker says of a history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is an order of the operations that explains every reply.
    Passed(Summary),
    /// There is none.
    Violated(Explanation),
    /// It could not be decided; why. Never to be taken for passed.
    Unknown(String),
}

/// What was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// All operations.
    pub operations: usize,
    /// Those with an unknown outcome that may have changed something.
    pub unknown: usize,
    /// How many of those must have been executed, to explain what others saw.
    pub unknown_executed: usize,
    /// The highest revision that was seen; zero for histories without revisions.
    pub revision: i64,
    /// How many choices were tried and taken back.
    pub backtracks: u64,
}

/// Which promise was broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// A linearizable operation did not see one that had completed before it began.
    RealTime,
    /// A reply holds what nobody had asked to write yet.
    FromTheFuture,
    /// Two writes claim one revision.
    OneWritePerRevision,
    /// A revision was seen that no operation can have written.
    UnexplainedRevision,
    /// A reply differs from what the store must have answered at that revision.
    WrongReply,
    /// A command of a session was executed twice.
    ExactlyOnce,
    /// A compacted revision was served, or one refused that was not compacted.
    Compaction,
    /// No order of the operations explains all replies of one key.
    NoOrder,
}

impl Rule {
    /// The rule in words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::RealTime => "an operation did not see what was completed before it began",
            Self::FromTheFuture => "a reply holds what nobody had asked to write yet",
            Self::OneWritePerRevision => "two writes claim one revision",
            Self::UnexplainedRevision => "a revision that no operation can have written",
            Self::WrongReply => "a reply differs from what the store must have answered",
            Self::ExactlyOnce => "a command of a session was executed twice",
            Self::Compaction => "compacted revisions were not treated as such",
            Self::NoOrder => "no order of the operations explains their replies",
        }
    }
}

/// Why a history is not what a correct store can have answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The broken promise.
    pub rule: Rule,
    /// What happened, in a sentence or three.
    pub story: String,
    /// The operations that contradict each other, by line of the file; the one at fault first.
    pub lines: Vec<usize>,
    /// Those operations in words, in the same order.
    pub operations: Vec<String>,
}

impl Explanation {
    pub(super) fn new(rule: Rule, story: impl Into<String>, operations: &[&Operation]) -> Self {
        let mut distinct: Vec<&Operation> = Vec::new();
        for &operation in operations {
            if !distinct.iter().any(|known| known.line == operation.line) {
                distinct.push(operation);
            }
        }
        Self {
            rule,
            story: story.into(),
            lines: distinct.iter().map(|operation| operation.line).collect(),
            operations: distinct.iter().map(|operation| describe(operation)).collect(),
        }
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.rule.title(), self.story)?;
        self.operations.iter().try_for_each(|operation| writeln!(f, "  {operation}"))
    }
}

/// An operation's name within a sentence.
pub(super) fn name(operation: &Operation) -> String {
    format!("line {}", operation.line)
}

/// A time, as `1.250340 s`.
pub(super) fn seconds(us: u64) -> String {
    format!("{}.{:06} s", us / 1_000_000, us % 1_000_000)
}

/// One line that says all of an operation.
pub(super) fn describe(operation: &Operation) -> String {
    let until = operation.completed.map_or_else(|| "never returned".to_owned(), seconds);
    let mut text = format!("line {}: client {}", operation.line, operation.client);
    if let Some(tag) = operation.session {
        let _ = write!(text, " (session {}, number {})", tag.session, tag.sequence);
    }
    if let Some(node) = operation.node {
        let _ = write!(text, " at node {node}");
    }
    let kind = if operation.consistency == super::Consistency::Serializable { "serializable " } else { "" };
    let _ = write!(text, ", {} to {until}: {kind}{}", seconds(operation.invoked), op(&operation.op));
    let _ = match &operation.outcome {
        Outcome::Ok(reply) => write!(text, " -> {}", response(reply)),
        Outcome::Error(error) => write!(text, " -> error: {error}"),
        Outcome::Refused(why) => write!(text, " -> refused, never executed: {why}"),
        Outcome::Unknown(why) => write!(text, " -> outcome unknown: {why}"),
    };
    text
}

/// Bytes for people: as text where they are, and not too many.
pub(super) fn show(bytes: &[u8]) -> String {
    const SHOWN: usize = 40;
    let text = bytes[..bytes.len().min(SHOWN)].escape_ascii().to_string();
    if bytes.len() > SHOWN { format!("\"{text}…\" ({} bytes)", bytes.len()) } else { format!("\"{text}\"") }
}

fn keys(key: &[u8], range_end: &[u8]) -> String {
    match range_end {
        [] => show(key),
        [0] => format!("all from {}", show(key)),
        _ => format!("{} up to {}", show(key), show(range_end)),
    }
}

fn op(op: &Op) -> String {
    match op {
        Op::Range(request) => range(request),
        Op::Put(request) => put(request),
        Op::DeleteRange(request) => delete(request),
        Op::Txn(request) => txn(request),
        Op::Compact(request) => format!("compact {}", request.revision),
        Op::OpenSession => "open a session".to_owned(),
    }
}

fn range(request: &RangeRequest) -> String {
    let mut text = format!("get {}", keys(&request.key, &request.range_end));
    if request.revision > 0 {
        let _ = write!(text, " at revision {}", request.revision);
    }
    if request.limit > 0 {
        let _ = write!(text, " limit {}", request.limit);
    }
    if request.count_only {
        text.push_str(" count only");
    }
    text
}

fn put(request: &PutRequest) -> String {
    format!("put {} = {}", show(&request.key), show(&request.value))
}

fn delete(request: &DeleteRangeRequest) -> String {
    format!("delete {}", keys(&request.key, &request.range_end))
}

fn txn(request: &TxnRequest) -> String {
    let branch = |ops: &[TxnOp]| ops.iter().map(txn_op).collect::<Vec<_>>().join("; ");
    let compare: Vec<_> = request.compare.iter().map(condition).collect();
    let mut text = format!("if {} then {{{}}}", compare.join(" and "), branch(&request.success));
    if !request.failure.is_empty() {
        let _ = write!(text, " else {{{}}}", branch(&request.failure));
    }
    text
}

fn txn_op(op: &TxnOp) -> String {
    match op {
        TxnOp::Range(request) => range(request),
        TxnOp::Put(request) => put(request),
        TxnOp::DeleteRange(request) => delete(request),
        TxnOp::Txn(request) => txn(request),
    }
}

fn condition(compare: &Compare) -> String {
    let relation = match compare.result {
        CompareResult::Equal => "=",
        CompareResult::Greater => ">",
        CompareResult::Less => "<",
        CompareResult::NotEqual => "!=",
    };
    let (property, target) = match &compare.target {
        CompareTarget::Version(version) => ("version", version.to_string()),
        CompareTarget::Create(revision) => ("create", revision.to_string()),
        CompareTarget::Mod(revision) => ("mod", revision.to_string()),
        CompareTarget::Value(value) => ("value", show(value)),
        CompareTarget::Lease(lease) => ("lease", lease.to_string()),
    };
    format!("{property}({}) {relation} {target}", keys(&compare.key, &compare.range_end))
}

/// A reply in words.
pub(super) fn response(response: &Response) -> String {
    let said = match response {
        Response::Range(reply) => found(reply),
        Response::Put(reply) => match &reply.prev_kv {
            Some(before) => format!("was {}", key_value(before)),
            None => "done".to_owned(),
        },
        Response::DeleteRange(reply) => deleted(reply),
        Response::Txn(reply) => txn_reply(reply),
        Response::Compact(_) => "done".to_owned(),
        Response::OpenSession(reply) => format!("session {}", reply.session),
    };
    match response.revision() {
        0 => said,
        revision => format!("revision {revision}: {said}"),
    }
}

fn found(reply: &RangeResponse) -> String {
    const SHOWN: usize = 4;
    if reply.kvs.is_empty() {
        return if reply.count == 0 {
            "nothing".to_owned()
        } else {
            counted(reply.count.unsigned_abs(), "key", "keys")
        };
    }
    let mut shown: Vec<_> = reply.kvs.iter().take(SHOWN).map(key_value).collect();
    if reply.kvs.len() > SHOWN {
        shown.push(format!("and {} more", reply.kvs.len() - SHOWN));
    }
    shown.join(", ")
}

fn deleted(reply: &DeleteRangeResponse) -> String {
    match reply.prev_kvs.first() {
        Some(first) => format!("deleted {}, first {}", reply.deleted, key_value(first)),
        None => format!("deleted {}", reply.deleted),
    }
}

fn txn_reply(reply: &TxnResponse) -> String {
    let word = if reply.succeeded { "held" } else { "did not hold" };
    let parts: Vec<_> = reply
        .responses
        .iter()
        .map(|part| match part {
            TxnOpResponse::Range(reply) => found(reply),
            TxnOpResponse::Put(_) => "put".to_owned(),
            TxnOpResponse::DeleteRange(reply) => deleted(reply),
            TxnOpResponse::Txn(reply) => txn_reply(reply),
        })
        .collect();
    if parts.is_empty() { word.to_owned() } else { format!("{word}; {}", parts.join("; ")) }
}

/// A key with its place in history, in words.
pub(super) fn key_value(kv: &KeyValue) -> String {
    if kv.mod_revision == 0 {
        return format!("{} = {}", show(&kv.key), show(&kv.value));
    }
    format!(
        "{} = {} (mod {}, version {}, created {})",
        show(&kv.key),
        show(&kv.value),
        kv.mod_revision,
        kv.version,
        kv.create_revision
    )
}
