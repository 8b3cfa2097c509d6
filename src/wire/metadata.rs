//! The metadata that travels beside etcd's messages.

use tonic::Status;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use super::requests::Malformed;
use crate::consensus::NodeId;
use crate::kv::SessionTag;

/// Names the command of a session: `<session>-<sequence>`, both in decimal.
pub const SESSION: &str = "consensusctl-session";

/// On errors: whether the command may have been executed.
pub const OUTCOME: &str = "consensusctl-outcome";

/// On errors: who leads, as far as the node knows; its id in decimal.
pub const LEADER: &str = "consensusctl-leader";

/// What an error says about the command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not and will not be executed.
    NeverExecuted,
    /// It may have been executed, or may be later.
    Unknown,
}

impl Outcome {
    const fn text(self) -> &'static str {
        match self {
            Self::NeverExecuted => "never-executed",
            Self::Unknown => "unknown",
        }
    }
}

/// Marks a write as a session's command.
pub(crate) fn set_session(metadata: &mut MetadataMap, tag: SessionTag) {
    metadata.insert(SESSION, ascii(&format!("{}-{}", tag.session, tag.sequence)));
}

/// Which session's command a write is, if it is one.
pub(crate) fn session_of(metadata: &MetadataMap) -> Result<Option<SessionTag>, Malformed> {
    let Some(value) = metadata.get(SESSION) else { return Ok(None) };
    let tag = value.to_str().ok().and_then(parse_tag).ok_or(Malformed::Session)?;
    Ok(Some(tag))
}

fn parse_tag(text: &str) -> Option<SessionTag> {
    let (session, sequence) = text.split_once('-')?;
    let tag = SessionTag { session: parse_number(session)?, sequence: parse_number(sequence)? };
    (tag.sequence > 0).then_some(tag)
}

/// Digits alone: `str::parse` would take a sign as well.
fn parse_number(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// Says on an error what became of the command.
pub(crate) fn set_outcome(status: &mut Status, outcome: Outcome) {
    status.metadata_mut().insert(OUTCOME, MetadataValue::from_static(outcome.text()));
}

/// What an error says became of the command; `None` if it does not say, as when it comes from etcd or a proxy.
pub(crate) fn outcome_of(status: &Status) -> Option<Outcome> {
    let text = status.metadata().get(OUTCOME)?.to_str().ok()?;
    [Outcome::NeverExecuted, Outcome::Unknown].into_iter().find(|outcome| outcome.text() == text)
}

/// Says on an error who leads.
pub(crate) fn set_leader(status: &mut Status, leader: NodeId) {
    status.metadata_mut().insert(LEADER, ascii(&leader.to_string()));
}

/// Who leads, if an error says so.
pub(crate) fn leader_of(status: &Status) -> Option<NodeId> {
    status.metadata().get(LEADER)?.to_str().ok().and_then(parse_number).map(NodeId)
}

fn ascii(text: &str) -> MetadataValue<Ascii> {
    text.parse().expect("digits and hyphens are ASCII")
}
