//! From the core's messages to those of the proto file.

use bytes::{Bytes, BytesMut};

use super::pb;
use super::pb::append_entries_response::{Conflict, Outcome as PbAppendOutcome, Refusal};
use super::pb::install_snapshot_response::{End, Outcome as PbInstallOutcome};
use crate::consensus::raft::message::{
    AppendEntries, AppendEntriesResponse, AppendOutcome, Attempt, Forward, ForwardRejected, InstallOutcome,
    InstallSnapshot, InstallSnapshotResponse, ReadIndexResponse, RequestVote, RequestVoteResponse,
};
use crate::consensus::raft::record::Entry;
use crate::consensus::{Encode, Proposal, RejectReason, RequestId};

pub(super) fn request_vote(term: u64, body: &RequestVote) -> pb::RequestVoteRequest {
    pb::RequestVoteRequest {
        term,
        last_log_index: body.last_index.0,
        last_log_term: body.last_term.0,
        pre_vote: body.pre_vote,
        leadership_transfer: body.transfer,
    }
}

pub(super) fn request_vote_response(term: u64, body: &RequestVoteResponse) -> pb::RequestVoteResponse {
    pb::RequestVoteResponse { term, vote_granted: body.granted, pre_vote: body.pre_vote, term_over: false }
}

pub(super) fn vote_term_over(term: u64) -> pb::RequestVoteResponse {
    pb::RequestVoteResponse { term, vote_granted: false, pre_vote: false, term_over: true }
}

pub(super) fn append_entries(term: u64, body: &AppendEntries) -> pb::AppendEntriesRequest {
    pb::AppendEntriesRequest {
        term,
        prev_log_index: body.prev_index.0,
        prev_log_term: body.prev_term.0,
        leader_commit: body.commit.0,
        round: body.round,
        entries: entries(&body.entries),
        no_reply: !body.reply,
    }
}

/// The entries in their encoding on disk: slices of one buffer, because one allocation an entry would show.
fn entries(entries: &[Entry]) -> Vec<Bytes> {
    let mut buf = BytesMut::with_capacity(entries.iter().map(Entry::size).sum());
    let encode = |entry: &Entry| {
        entry.encode(&mut buf);
        buf.split().freeze()
    };
    entries.iter().map(encode).collect()
}

pub(super) fn append_entries_response(term: u64, body: &AppendEntriesResponse) -> pb::AppendEntriesResponse {
    let outcome = match body.outcome {
        AppendOutcome::Matched(index) => PbAppendOutcome::MatchIndex(index.0),
        AppendOutcome::Conflict { prev_index, index, term } => {
            PbAppendOutcome::Conflict(Conflict { prev_log_index: prev_index.0, index: index.0, term: term.0 })
        }
        AppendOutcome::Full => PbAppendOutcome::Refusal(Refusal::Full.into()),
    };
    pb::AppendEntriesResponse { term, round: body.round, outcome: Some(outcome) }
}

pub(super) fn append_term_over(term: u64) -> pb::AppendEntriesResponse {
    let outcome = PbAppendOutcome::Refusal(Refusal::TermOver.into());
    pb::AppendEntriesResponse { term, round: 0, outcome: Some(outcome) }
}

pub(super) fn install_snapshot(term: u64, body: InstallSnapshot) -> pb::InstallSnapshotRequest {
    let InstallSnapshot { meta, number, data } = body;
    pb::InstallSnapshotRequest {
        term,
        last_included_index: meta.index.0,
        last_included_term: meta.epoch.0,
        configuration: meta.members.iter().map(|member| member.0).collect(),
        digest: Bytes::copy_from_slice(&meta.digest.0),
        pieces: meta.pieces,
        number,
        data,
    }
}

pub(super) fn install_snapshot_response(
    term: u64,
    body: &InstallSnapshotResponse,
) -> pb::InstallSnapshotResponse {
    let outcome = match body.outcome {
        InstallOutcome::Next(number) => PbInstallOutcome::Next(number),
        InstallOutcome::Done => PbInstallOutcome::End(End::Done.into()),
        InstallOutcome::Failed => PbInstallOutcome::End(End::Failed.into()),
    };
    pb::InstallSnapshotResponse { term, last_included_index: body.index.0, outcome: Some(outcome) }
}

pub(super) fn install_term_over(term: u64) -> pb::InstallSnapshotResponse {
    let outcome = PbInstallOutcome::End(End::TermOver.into());
    pb::InstallSnapshotResponse { term, last_included_index: 0, outcome: Some(outcome) }
}

pub(super) fn forward(term: u64, body: Forward) -> pb::ForwardRequest {
    let proposals = body.proposals.into_iter().map(proposal).collect();
    pb::ForwardRequest { term, attempt: Some(attempt(body.attempt)), proposals }
}

fn proposal(proposal: Proposal) -> pb::Proposal {
    pb::Proposal { id: Some(request_id(&proposal.id)), time_ms: proposal.time.0, command: proposal.command }
}

fn request_id(id: &RequestId) -> pb::RequestId {
    pb::RequestId { origin: id.origin.0, incarnation: id.incarnation, counter: id.counter }
}

fn attempt(attempt: Attempt) -> pb::Attempt {
    pb::Attempt { incarnation: attempt.incarnation, counter: attempt.counter }
}

pub(super) fn forward_rejected(term: u64, body: &ForwardRejected) -> pb::ForwardResponse {
    let reason = match body.reason {
        RejectReason::NoLeader => pb::RejectReason::NoLeader,
        RejectReason::TimedOut => pb::RejectReason::TimedOut,
        RejectReason::TooManyRequests => pb::RejectReason::TooManyRequests,
        RejectReason::TooLarge => pb::RejectReason::TooLarge,
        RejectReason::StorageSlow => pb::RejectReason::StorageSlow,
        RejectReason::StorageFull => pb::RejectReason::StorageFull,
        RejectReason::Stopping => pb::RejectReason::Stopping,
    };
    let rejected = body.ids.iter().map(request_id).collect();
    pb::ForwardResponse { term, rejected, reason: reason.into() }
}

pub(super) fn read_index(term: u64, body: Attempt) -> pb::ReadIndexRequest {
    pb::ReadIndexRequest { term, attempt: Some(attempt(body)) }
}

pub(super) fn read_index_response(term: u64, body: ReadIndexResponse) -> pb::ReadIndexResponse {
    pb::ReadIndexResponse { term, attempt: Some(attempt(body.attempt)), read_index: body.index.0 }
}
