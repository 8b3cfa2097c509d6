//! PBFT's messages and records in words, for traces.

use super::super::evidence::Said;
use super::super::message::{Batch, Message, Prepared, Reply, Sequence, ViewChange};
use super::super::record::Record;
use crate::consensus::{Digest, RequestId};

/// A message in words.
pub(super) fn message(message: &Message) -> String {
    match message {
        Message::Request(request) => format!("Request {}", ids(request.body.ids())),
        Message::PrePrepare { pre_prepare, batch } => {
            let said = pre_prepare.body;
            let slot = slot(said.view.0, said.sequence, said.digest);
            format!("PrePrepare {slot}: {}", content(batch))
        }
        Message::Prepare(signed) => {
            let said = signed.body;
            format!("Prepare {} of n{}", slot(said.view.0, said.sequence, said.digest), said.replica)
        }
        Message::Commit(signed) => {
            let said = signed.body;
            format!("Commit {} of n{}", slot(said.view.0, said.sequence, said.digest), said.replica)
        }
        Message::Reply(signed) => format!("Reply {}", reply(&signed.body)),
        Message::Disputed(signed) => format!("Disputed: {} of n{}", reply(&signed.body), signed.body.replica),
        Message::Checkpoint(signed) => {
            let said = signed.body;
            format!("Checkpoint {} ({}) of n{}", said.sequence, said.digest.short(), said.replica)
        }
        Message::Stable(stable) => {
            let digest = stable.digest().unwrap_or_default();
            format!("Stable {} ({})", stable.sequence(), digest.short())
        }
        Message::ViewChange(signed) => format!("ViewChange {}", view_change(&signed.body)),
        Message::NewView(signed) => {
            let said = &signed.body;
            let of: Vec<_> =
                said.view_changes.iter().map(|signed| format!("n{}", signed.body.replica)).collect();
            let again: Vec<_> = said
                .pre_prepares
                .iter()
                .map(|signed| format!("{} ({})", signed.body.sequence, signed.body.digest.short()))
                .collect();
            format!("NewView {} by {}: again [{}]", said.view, of.join(" "), again.join(" "))
        }
        Message::Status(signed) => {
            let said = signed.body;
            let active = if said.active { "in" } else { "changing to" };
            let fetching = match said.fetching {
                Sequence::ZERO => String::new(),
                sequence => format!(", fetching {sequence}"),
            };
            format!(
                "Status: {active} view {}, committed {}, stable {}{fetching}",
                said.view, said.committed, said.stable
            )
        }
        Message::FetchBatch(fetch) => format!("FetchBatch {} ({})", fetch.sequence, fetch.digest.short()),
        Message::Batch { sequence, batch } => format!("Batch {sequence}: {}", content(batch)),
        Message::FetchState(fetch) => format!("FetchState {} piece {}", fetch.sequence, fetch.number),
        Message::State(state) => {
            let gone = if state.data.is_none() { ", which is gone" } else { "" };
            format!("State {} piece {} of {}{gone}", state.sequence, state.number, state.pieces)
        }
        Message::Evidence(evidence) => {
            let said: Vec<_> = evidence.said().iter().map(said).collect();
            format!("Evidence: {}", said.join(", "))
        }
    }
}

fn reply(said: &Reply) -> String {
    let counters: Vec<_> = said.results.iter().map(|(counter, _)| counter.to_string()).collect();
    format!("of view {} to {}.{}: {}", said.view, said.client, said.incarnation, counters.join(" "))
}

/// A record in words.
pub(super) fn record(record: &Record) -> String {
    match record {
        Record::PrePrepare { pre_prepare, batch } => {
            let said = pre_prepare.body;
            let slot = slot(said.view.0, said.sequence, said.digest);
            let content = batch.as_ref().map_or_else(|| "known".to_owned(), content);
            format!("pre-prepared {slot}: {content}")
        }
        Record::Prepared(prepared) => format!("prepared {}", certificate(prepared)),
        Record::Committed { sequence, digest, .. } => format!("committed {sequence} ({})", digest.short()),
        Record::Checkpoint(signed) => {
            format!("checkpoint {} ({})", signed.body.sequence, signed.body.digest.short())
        }
        Record::Stable(stable) => format!("stable {}", stable.sequence()),
        Record::ViewChange(signed) => format!("view change {}", view_change(&signed.body)),
        Record::NewView(signed) => format!("new view {}", signed.body.view),
        Record::Evidence { said: what, .. } => format!("evidence {}", said(what)),
    }
}

fn said(said: &Said) -> String {
    match said {
        Said::PrePrepare(signed) => {
            message(&Message::PrePrepare { pre_prepare: *signed, batch: Batch::default() })
        }
        Said::Prepare(signed) => message(&Message::Prepare(*signed)),
        Said::Commit(signed) => message(&Message::Commit(*signed)),
        Said::Checkpoint(signed) => message(&Message::Checkpoint(*signed)),
        Said::ViewChange(signed) => format!("ViewChange {}", view_change(&signed.body)),
        Said::NewView(signed) => format!("NewView {} of n{}", signed.body.view, signed.body.replica),
        Said::Certificate(prepared) => format!("certificate {}", certificate(prepared)),
    }
}

fn slot(view: u64, sequence: Sequence, digest: Digest) -> String {
    format!("{sequence} in view {view} ({})", digest.short())
}

fn certificate(prepared: &Prepared) -> String {
    slot(prepared.view().0, prepared.sequence(), prepared.digest())
}

fn view_change(said: &ViewChange) -> String {
    let prepared: Vec<_> = said.prepared.iter().map(certificate).collect();
    let (stable, prepared) = (said.stable.sequence(), prepared.join(", "));
    format!("{} of n{}: stable {stable}, prepared [{prepared}]", said.view, said.replica)
}

fn content(batch: &Batch) -> String {
    let all: Vec<_> = batch.0.iter().map(|request| ids(request.body.ids())).collect();
    if all.is_empty() { "no batch".to_owned() } else { all.join(" ") }
}

fn ids(ids: impl Iterator<Item = RequestId>) -> String {
    let ids: Vec<_> = ids.map(|id| id.to_string()).collect();
    ids.join(" ")
}
