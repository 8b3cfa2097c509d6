//! What a message must fulfil before any server looks at it.

use super::message::{AppendEntries, AppendOutcome, Body, InstallOutcome, Message};
use super::server::Raft;
use crate::consensus::{Index, Message as _, NodeId, Refused, Setup};

/// Checks messages: a pure function of the members and the limits.
#[derive(Clone, Debug)]
pub struct Checker {
    members: std::sync::Arc<[NodeId]>,
    max_entries: usize,
    max_proposals: usize,
}

/// Ids in one `ForwardRejected`, at most: those of one `Forward`.
const MIN_PROPOSAL_LIMIT: usize = 4096;

impl Checker {
    pub(super) fn new(setup: &Setup<Raft>) -> Self {
        Self {
            members: setup.members.clone().into(),
            max_entries: setup.options.max_append_entries.max(MIN_PROPOSAL_LIMIT),
            max_proposals: setup.options.max_pending_requests.max(MIN_PROPOSAL_LIMIT),
        }
    }

    pub(super) fn check(&self, from: NodeId, message: &Message) -> Result<(), Refused> {
        let verdict = if self.members.binary_search(&from).is_err() {
            Err("the sender is no member")
        } else {
            self.check_body(message)
        };
        verdict.map_err(|why| Refused { kind: message.kind(), why })
    }

    fn check_body(&self, message: &Message) -> Result<(), &'static str> {
        let term = message.term;
        match &message.body {
            Body::RequestVote(request) => {
                require(request.last_term <= term, "its last entry is of a later term")
            }
            Body::AppendEntries(append) => {
                require(append.entries.len() <= self.max_entries, "too many entries")?;
                require(append.prev_term <= term, "the entry before is of a later term")?;
                check_entries(append, message)
            }
            Body::AppendEntriesResponse(response) => match response.outcome {
                AppendOutcome::Conflict { prev_index, index, .. } => {
                    require(index <= prev_index, "its hint is after the conflict")
                }
                _ => Ok(()),
            },
            Body::InstallSnapshot(piece) => {
                require(piece.number < piece.meta.pieces, "there is no such piece")?;
                require(piece.meta.epoch <= term, "the snapshot is of a later term")?;
                require(piece.meta.index > Index::ZERO, "the snapshot is of nothing")?;
                require(*piece.meta.members == *self.members, "the snapshot is of another cluster")
            }
            Body::InstallSnapshotResponse(response) => {
                require(response.outcome != InstallOutcome::Next(u32::MAX), "there is no such piece")
            }
            Body::Forward(forward) => {
                require(forward.proposals.len() <= self.max_proposals, "too many proposals")
            }
            Body::ForwardRejected(rejected) => {
                require(rejected.ids.len() <= self.max_proposals, "too many ids")
            }
            Body::RequestVoteResponse(_)
            | Body::TimeoutNow
            | Body::ReadIndex(_)
            | Body::ReadIndexResponse(_)
            | Body::TermOver(_) => Ok(()),
        }
    }
}

/// Entries have consecutive indices and terms that never fall, and the commit index is within what they prove.
fn check_entries(append: &AppendEntries, message: &Message) -> Result<(), &'static str> {
    let (mut index, mut term) = (append.prev_index, append.prev_term);
    for entry in &append.entries {
        require(Some(entry.index.0) == index.0.checked_add(1), "its entries are not consecutive")?;
        require(entry.term >= term, "its entries' terms fall")?;
        (index, term) = (entry.index, entry.term);
    }
    require(term <= message.term, "an entry is of a later term")?;
    require(index.0 < u64::MAX, "its indices overflow")?;
    require(append.commit <= index, "its commit index is beyond what it proves")
}

fn require(condition: bool, why: &'static str) -> Result<(), &'static str> {
    if condition { Ok(()) } else { Err(why) }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
