//! Histories as JSON lines: the writer and the reader. `docs/history-format.md` is the format's description.

use std::io::{self, BufRead, Read as _, Write};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use super::form::{KvErrorForm, OpForm, ResponseForm, SessionTagForm};
use super::history::{Consistency, Fact, Header, History, Operation, Outcome};
use crate::kv;

/// The version of the format that this module writes, and the only one that it reads.
pub const FORMAT_VERSION: u32 = 1;

/// No line is longer: a guard against reading what is not a history into memory.
const MAX_LINE_BYTES: u64 = 64 << 20;

/// Why a file is not a history.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// It could not be read.
    #[error("line {line}: {source}")]
    Io {
        /// Where.
        line: usize,
        /// Why.
        source: io::Error,
    },
    /// A line is not what it should be.
    #[error("line {line}, column {column}: {why}")]
    Invalid {
        /// Where; counted from 1.
        line: usize,
        /// Where in it; counted from 1.
        column: usize,
        /// What is wrong.
        why: String,
    },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderLine {
    history: String,
    version: u32,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    source: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    started: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    about: String,
}

/// Any line behind the first: an operation, or a fact (`at` and `fact`).
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    at: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fact: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    client: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    session: Option<SessionLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    invoked: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    completed: Option<u64>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    serializable: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    op: Option<OpLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeLine>,
}

#[derive(Serialize, Deserialize)]
struct SessionLine(#[serde(with = "SessionTagForm")] kv::SessionTag);

#[derive(Serialize, Deserialize)]
struct OpLine(#[serde(with = "OpForm")] kv::Op);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum OutcomeLine {
    Ok(#[serde(with = "ResponseForm")] kv::Response),
    Error(#[serde(with = "KvErrorForm")] kv::KvError),
    Refused(String),
    Unknown(String),
}

impl From<Outcome> for OutcomeLine {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Ok(response) => Self::Ok(response),
            Outcome::Error(error) => Self::Error(error),
            Outcome::Refused(why) => Self::Refused(why),
            Outcome::Unknown(why) => Self::Unknown(why),
        }
    }
}

impl From<OutcomeLine> for Outcome {
    fn from(line: OutcomeLine) -> Self {
        match line {
            OutcomeLine::Ok(response) => Self::Ok(response),
            OutcomeLine::Error(error) => Self::Error(error),
            OutcomeLine::Refused(why) => Self::Refused(why),
            OutcomeLine::Unknown(why) => Self::Unknown(why),
        }
    }
}

/// Writes a history, line by line. Shared by tasks; each line is written whole.
#[derive(Debug)]
pub struct HistoryWriter<W: Write> {
    out: Mutex<W>,
}

impl<W: Write> HistoryWriter<W> {
    /// Starts a history with its first line.
    pub fn new(mut out: W, header: &Header) -> io::Result<Self> {
        let line = HeaderLine {
            history: "consensusctl".to_owned(),
            version: FORMAT_VERSION,
            protocol: header.protocol.clone(),
            source: header.source.clone(),
            started: header.started.clone(),
            about: header.about.clone(),
        };
        write_line(&mut out, &line)?;
        Ok(Self { out: Mutex::new(out) })
    }

    /// Appends an operation. Its `line` is not written: it is wherever it comes to stand.
    pub fn operation(&self, operation: &Operation) -> io::Result<()> {
        self.append(&Line {
            at: None,
            fact: None,
            client: Some(operation.client),
            session: operation.session.map(SessionLine),
            node: operation.node,
            invoked: Some(operation.invoked),
            completed: operation.completed,
            serializable: operation.consistency == Consistency::Serializable,
            op: Some(OpLine(operation.op.clone())),
            outcome: Some(operation.outcome.clone().into()),
        })
    }

    /// Appends a fact.
    pub fn fact(&self, fact: &Fact) -> io::Result<()> {
        self.append(&Line {
            at: Some(fact.at),
            fact: Some(fact.what.clone()),
            client: None,
            session: None,
            node: None,
            invoked: None,
            completed: None,
            serializable: false,
            op: None,
            outcome: None,
        })
    }

    fn append(&self, line: &Line) -> io::Result<()> {
        write_line(&mut *self.out.lock().unwrap_or_else(PoisonError::into_inner), line)
    }

    /// Hands back what was written to, flushed.
    pub fn finish(self) -> io::Result<W> {
        let mut out = self.out.into_inner().unwrap_or_else(PoisonError::into_inner);
        out.flush()?;
        Ok(out)
    }
}

fn write_line<W: Write>(out: &mut W, line: &impl Serialize) -> io::Result<()> {
    let mut text = serde_json::to_vec(line).map_err(io::Error::other)?;
    text.push(b'\n');
    out.write_all(&text)
}

impl History {
    /// Reads a history.
    pub fn read(mut input: impl BufRead) -> Result<Self, FormatError> {
        let mut history = Self::default();
        let mut text = Vec::new();
        let mut line = 0;
        loop {
            text.clear();
            line += 1;
            let read = (&mut input).take(MAX_LINE_BYTES).read_until(b'\n', &mut text);
            if read.map_err(|source| FormatError::Io { line, source })? == 0 {
                break;
            }
            if line == 1 {
                history.header = read_header(&text)?;
            } else if !text.trim_ascii().is_empty() {
                history.add(line, &text)?;
            }
        }
        if line == 1 {
            Err(invalid(1, "the file is empty; a history begins with its header"))
        } else {
            Ok(history)
        }
    }

    /// Writes the history, facts first.
    pub fn write<W: Write>(&self, out: W) -> io::Result<W> {
        let writer = HistoryWriter::new(out, &self.header)?;
        self.facts.iter().try_for_each(|fact| writer.fact(fact))?;
        self.operations.iter().try_for_each(|operation| writer.operation(operation))?;
        writer.finish()
    }

    fn add(&mut self, number: usize, text: &[u8]) -> Result<(), FormatError> {
        let line: Line = parse(number, text)?;
        match (line.at, line.fact, line.op) {
            (Some(at), Some(what), None) => self.facts.push(Fact { at, what }),
            (None, None, Some(OpLine(op))) => {
                let operation = Operation {
                    line: number,
                    client: line.client.ok_or_else(|| invalid(number, "`client` is missing"))?,
                    session: line.session.map(|session| session.0),
                    op,
                    consistency: if line.serializable {
                        Consistency::Serializable
                    } else {
                        Consistency::Linearizable
                    },
                    node: line.node,
                    invoked: line.invoked.ok_or_else(|| invalid(number, "`invoked` is missing"))?,
                    completed: line.completed,
                    outcome: line.outcome.ok_or_else(|| invalid(number, "`outcome` is missing"))?.into(),
                };
                validate(&operation)?;
                self.operations.push(operation);
            }
            _ => {
                let why =
                    "neither an operation (`client`, `invoked`, `op`, `outcome`) nor a fact (`at`, `fact`)";
                return Err(invalid(number, why));
            }
        }
        Ok(())
    }
}

fn read_header(text: &[u8]) -> Result<Header, FormatError> {
    let header: HeaderLine = parse(1, text)?;
    if header.history != "consensusctl" {
        return Err(invalid(1, "this is not a history of consensusctl"));
    }
    if header.version != FORMAT_VERSION {
        let why = format!("version {} of the format; this program reads {FORMAT_VERSION}", header.version);
        return Err(invalid(1, why));
    }
    let HeaderLine { protocol, source, started, about, .. } = header;
    Ok(Header { protocol, source, started, about })
}

fn parse<'a, T: Deserialize<'a>>(line: usize, text: &'a [u8]) -> Result<T, FormatError> {
    serde_json::from_slice(text).map_err(|error| {
        let whole = error.to_string();
        let why = whole.split(" at line ").next().unwrap_or(&whole).to_owned();
        FormatError::Invalid { line, column: error.column().max(1), why }
    })
}

fn invalid(line: usize, why: impl Into<String>) -> FormatError {
    FormatError::Invalid { line, column: 1, why: why.into() }
}

/// Refuses what no recorder writes.
fn validate(operation: &Operation) -> Result<(), FormatError> {
    let fail = |why: &str| Err(invalid(operation.line, why));
    if operation.completed.is_some_and(|completed| completed < operation.invoked) {
        return fail("`completed` is before `invoked`");
    }
    let answered = matches!(operation.outcome, Outcome::Ok(_) | Outcome::Error(_));
    if answered && operation.completed.is_none() {
        return fail("an operation with a reply needs `completed`");
    }
    if operation.consistency == Consistency::Serializable && !operation.op.is_read_only() {
        return fail("only reads can be `serializable`");
    }
    if let Outcome::Ok(response) = &operation.outcome {
        if !answers(&operation.op, response) {
            return fail("the reply is of another kind than the operation");
        }
        if response.revision() < 0 {
            return fail("a revision cannot be negative");
        }
    }
    Ok(())
}

fn answers(op: &kv::Op, response: &kv::Response) -> bool {
    matches!(
        (op, response),
        (kv::Op::Range(_), kv::Response::Range(_))
            | (kv::Op::Put(_), kv::Response::Put(_))
            | (kv::Op::DeleteRange(_), kv::Response::DeleteRange(_))
            | (kv::Op::Txn(_), kv::Response::Txn(_))
            | (kv::Op::Compact(_), kv::Response::Compact(_))
            | (kv::Op::OpenSession, kv::Response::OpenSession(_))
    )
}
