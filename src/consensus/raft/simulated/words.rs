//! Raft's messages and records in words, for traces.

use super::super::message::{AppendOutcome, Attempt, Body, InstallOutcome, Message};
use super::super::record::{Entry, Payload, Record};
use crate::consensus::Message as _;

pub(super) fn message(message: &Message) -> String {
    let term = message.term;
    match &message.body {
        Body::RequestVote(request) => format!(
            "{} of term {term}: last entry {}@{}{}",
            if request.pre_vote { "PreVote" } else { "RequestVote" },
            request.last_index,
            request.last_term,
            if request.transfer { ", for a transfer" } else { "" }
        ),
        Body::RequestVoteResponse(response) => format!(
            "{} of term {term}: {}",
            if response.pre_vote { "PreVoteResponse" } else { "RequestVoteResponse" },
            if response.granted { "granted" } else { "refused" }
        ),
        Body::AppendEntries(append) => {
            let entries: Vec<_> =
                append.entries.iter().map(|entry| format!("{}@{}", entry.index, entry.term)).collect();
            format!(
                "AppendEntries of term {term} after {}@{}: [{}], commit {}, round {}",
                append.prev_index,
                append.prev_term,
                entries.join(" "),
                append.commit,
                append.round
            )
        }
        Body::AppendEntriesResponse(response) => {
            let outcome = appended(response.outcome);
            format!("AppendEntriesResponse of term {term}: {outcome}, round {}", response.round)
        }
        Body::InstallSnapshot(piece) => {
            format!("InstallSnapshot of term {term}: {} piece {}", piece.meta.index, piece.number)
        }
        Body::InstallSnapshotResponse(response) => {
            let outcome = installed(response.outcome);
            format!("InstallSnapshotResponse of term {term}: {} {outcome}", response.index)
        }
        Body::TimeoutNow => format!("TimeoutNow of term {term}"),
        Body::TermOver(_) => format!("{} of term {term}: the request's term is over", message.kind()),
        Body::Forward(forward) => {
            let ids: Vec<_> = forward.proposals.iter().map(|proposal| proposal.id.to_string()).collect();
            format!("Forward of term {term}: {}", ids.join(" "))
        }
        Body::ForwardRejected(rejected) => format!("ForwardRejected of term {term}: {}", rejected.reason),
        Body::ReadIndex(attempt) => format!("ReadIndex of term {term}: {}", named(*attempt)),
        Body::ReadIndexResponse(response) => {
            format!("ReadIndexResponse of term {term}: {} at {}", named(response.attempt), response.index)
        }
    }
}

fn appended(outcome: AppendOutcome) -> String {
    match outcome {
        AppendOutcome::Matched(index) => format!("matched up to {index}"),
        AppendOutcome::Conflict { prev_index, index, term } => {
            format!("conflict at {prev_index}, may match at {index}@{term}")
        }
        AppendOutcome::Full => "the disk is full".to_owned(),
    }
}

fn installed(outcome: InstallOutcome) -> String {
    match outcome {
        InstallOutcome::Next(piece) => format!("wants piece {piece}"),
        InstallOutcome::Done => "is held".to_owned(),
        InstallOutcome::Failed => "could not be stored".to_owned(),
    }
}

fn named(attempt: Attempt) -> String {
    format!("attempt {} of life {}", attempt.counter, attempt.incarnation)
}

pub(super) fn record(record: &Record) -> String {
    match record {
        Record::HardState { term, voted_for: Some(node) } => format!("term {term}, vote for n{node}"),
        Record::HardState { term, voted_for: None } => format!("term {term}, no vote"),
        Record::Entry(Entry { index, term, payload: Payload::Noop }) => {
            format!("entry {index}@{term}: no-op")
        }
        Record::Entry(Entry { index, term, payload: Payload::Command(proposal) }) => {
            format!("entry {index}@{term}: command {}", proposal.id)
        }
        Record::Reset { index, term } => format!("reset to {index}@{term}"),
    }
}
