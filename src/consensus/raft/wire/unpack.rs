//! From the messages of the proto file to the core's. Total: what does not make a message is an error.

use bytes::Bytes;

use super::pb;
use super::pb::append_entries_response::{Outcome as PbAppendOutcome, Refusal};
use super::pb::install_snapshot_response::{End, Outcome as PbInstallOutcome};
use crate::consensus::raft::message::{
    AppendEntries, AppendEntriesResponse, AppendOutcome, Attempt, Body, Forward, ForwardRejected,
    InstallOutcome, InstallSnapshot, InstallSnapshotResponse, Message, ReadIndexResponse, RequestVote,
    RequestVoteResponse, Rpc,
};
use crate::consensus::raft::record::Entry;
use crate::consensus::{
    Decode, Digest, Epoch, Index, NodeId, Proposal, RejectReason, RequestId, SnapshotMeta, WallTime,
};
use crate::transport::Malformed;

const MISSING: &str = "is missing";
const UNKNOWN: &str = "has a value that does not exist";

fn message(term: u64, body: Body) -> Message {
    Message { term: Epoch(term), body }
}

fn value(field: &'static str, why: &'static str) -> Malformed {
    Malformed::Value { field, why }
}

pub(super) fn request_vote(request: &pb::RequestVoteRequest) -> Message {
    let body = RequestVote {
        pre_vote: request.pre_vote,
        transfer: request.leadership_transfer,
        last_index: Index(request.last_log_index),
        last_term: Epoch(request.last_log_term),
    };
    message(request.term, Body::RequestVote(body))
}

pub(super) fn request_vote_response(response: &pb::RequestVoteResponse) -> Message {
    if response.term_over {
        return message(response.term, Body::TermOver(Rpc::RequestVote));
    }
    let body = RequestVoteResponse { pre_vote: response.pre_vote, granted: response.vote_granted };
    message(response.term, Body::RequestVoteResponse(body))
}

pub(super) fn append_entries(request: pb::AppendEntriesRequest) -> Result<Message, Malformed> {
    let body = AppendEntries {
        prev_index: Index(request.prev_log_index),
        prev_term: Epoch(request.prev_log_term),
        commit: Index(request.leader_commit),
        round: request.round,
        reply: !request.no_reply,
        entries: request.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
    };
    Ok(message(request.term, Body::AppendEntries(body)))
}

fn entry(bytes: Bytes) -> Result<Entry, Malformed> {
    Entry::from_bytes(bytes).map_err(|error| Malformed::Field { field: "entries", error })
}

pub(super) fn append_entries_response(response: &pb::AppendEntriesResponse) -> Result<Message, Malformed> {
    let outcome = match response.outcome.as_ref().ok_or(value("outcome", MISSING))? {
        PbAppendOutcome::MatchIndex(index) => AppendOutcome::Matched(Index(*index)),
        PbAppendOutcome::Conflict(conflict) => AppendOutcome::Conflict {
            prev_index: Index(conflict.prev_log_index),
            index: Index(conflict.index),
            term: Epoch(conflict.term),
        },
        PbAppendOutcome::Refusal(refusal) => match Refusal::try_from(*refusal) {
            Ok(Refusal::Full) => AppendOutcome::Full,
            Ok(Refusal::TermOver) => return Ok(message(response.term, Body::TermOver(Rpc::AppendEntries))),
            Ok(Refusal::Unspecified) | Err(_) => return Err(value("refusal", UNKNOWN)),
        },
    };
    let body = AppendEntriesResponse { round: response.round, outcome };
    Ok(message(response.term, Body::AppendEntriesResponse(body)))
}

pub(super) fn install_snapshot(request: pb::InstallSnapshotRequest) -> Result<Message, Malformed> {
    let digest = <[u8; 32]>::try_from(&*request.digest).map_err(|_| value("digest", "has not 32 bytes"))?;
    let meta = SnapshotMeta {
        index: Index(request.last_included_index),
        epoch: Epoch(request.last_included_term),
        members: request.configuration.into_iter().map(NodeId).collect(),
        digest: Digest(digest),
        pieces: request.pieces,
    };
    let body = InstallSnapshot { meta, number: request.number, data: request.data };
    Ok(message(request.term, Body::InstallSnapshot(body)))
}

pub(super) fn install_snapshot_response(
    response: &pb::InstallSnapshotResponse,
) -> Result<Message, Malformed> {
    let outcome = match response.outcome.as_ref().ok_or(value("outcome", MISSING))? {
        PbInstallOutcome::Next(number) => InstallOutcome::Next(*number),
        PbInstallOutcome::End(end) => match End::try_from(*end) {
            Ok(End::Done) => InstallOutcome::Done,
            Ok(End::Failed) => InstallOutcome::Failed,
            Ok(End::TermOver) => return Ok(message(response.term, Body::TermOver(Rpc::InstallSnapshot))),
            Ok(End::Unspecified) | Err(_) => return Err(value("end", UNKNOWN)),
        },
    };
    let body = InstallSnapshotResponse { index: Index(response.last_included_index), outcome };
    Ok(message(response.term, Body::InstallSnapshotResponse(body)))
}

pub(super) fn timeout_now(request: pb::TimeoutNowRequest) -> Message {
    message(request.term, Body::TimeoutNow)
}

pub(super) fn forward(request: pb::ForwardRequest) -> Result<Message, Malformed> {
    let attempt = attempt(request.attempt.as_ref())?;
    let proposals = request.proposals.into_iter().map(proposal).collect::<Result<_, _>>()?;
    Ok(message(request.term, Body::Forward(Forward { attempt, proposals })))
}

fn proposal(proposal: pb::Proposal) -> Result<Proposal, Malformed> {
    let id = proposal.id.as_ref().map(request_id).ok_or(value("id", MISSING))?;
    Ok(Proposal { id, time: WallTime(proposal.time_ms), command: proposal.command })
}

fn request_id(id: &pb::RequestId) -> RequestId {
    RequestId { origin: NodeId(id.origin), incarnation: id.incarnation, counter: id.counter }
}

fn attempt(attempt: Option<&pb::Attempt>) -> Result<Attempt, Malformed> {
    let attempt = attempt.ok_or(value("attempt", MISSING))?;
    Ok(Attempt { incarnation: attempt.incarnation, counter: attempt.counter })
}

pub(super) fn forward_rejected(response: &pb::ForwardResponse) -> Result<Message, Malformed> {
    let reason = match pb::RejectReason::try_from(response.reason) {
        Ok(pb::RejectReason::NoLeader) => RejectReason::NoLeader,
        Ok(pb::RejectReason::TimedOut) => RejectReason::TimedOut,
        Ok(pb::RejectReason::TooManyRequests) => RejectReason::TooManyRequests,
        Ok(pb::RejectReason::TooLarge) => RejectReason::TooLarge,
        Ok(pb::RejectReason::StorageSlow) => RejectReason::StorageSlow,
        Ok(pb::RejectReason::StorageFull) => RejectReason::StorageFull,
        Ok(pb::RejectReason::Stopping) => RejectReason::Stopping,
        Ok(pb::RejectReason::Unspecified) | Err(_) => return Err(value("reason", UNKNOWN)),
    };
    let ids = response.rejected.iter().map(request_id).collect();
    Ok(message(response.term, Body::ForwardRejected(ForwardRejected { ids, reason })))
}

pub(super) fn read_index(request: &pb::ReadIndexRequest) -> Result<Message, Malformed> {
    Ok(message(request.term, Body::ReadIndex(attempt(request.attempt.as_ref())?)))
}

pub(super) fn read_index_response(response: &pb::ReadIndexResponse) -> Result<Message, Malformed> {
    let attempt = attempt(response.attempt.as_ref())?;
    let body = ReadIndexResponse { attempt, index: Index(response.read_index) };
    Ok(message(response.term, Body::ReadIndexResponse(body)))
}
