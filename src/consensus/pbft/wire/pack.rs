//! From the core's messages to those of the proto file.

use bytes::Bytes;

use super::pb;
use crate::consensus::pbft::evidence::Evidence;
use crate::consensus::pbft::message::{
    Batch, Checkpoint, Commit, FetchBatch, FetchState, NewView, PrePrepare, Prepare, Prepared, Reply,
    Request, Sequence, Signed, Stable, State, Status, ViewChange,
};
use crate::consensus::{Digest, Encode as _, Signature};

fn digest(digest: &Digest) -> Bytes {
    Bytes::copy_from_slice(&digest.0)
}

fn signature(signature: &Signature) -> Bytes {
    Bytes::copy_from_slice(&signature.0)
}

pub(super) fn request(signed: Signed<Request>) -> pb::SignedRequest {
    let Signed { body, signature: by } = signed;
    let command = |(counter, command)| pb::Command { counter, command };
    pb::SignedRequest {
        client: body.client.0,
        incarnation: body.incarnation,
        time_ms: body.time.0,
        commands: body.commands.into_iter().map(command).collect(),
        signature: signature(&by),
    }
}

fn requests(batch: Batch) -> Vec<pb::SignedRequest> {
    batch.0.into_iter().map(request).collect()
}

pub(super) fn proposal(signed: &Signed<PrePrepare>, batch: Batch) -> pb::PrePrepareRequest {
    pb::PrePrepareRequest { pre_prepare: Some(pre_prepare(signed)), batch: requests(batch) }
}

fn pre_prepare(signed: &Signed<PrePrepare>) -> pb::SignedPrePrepare {
    pb::SignedPrePrepare {
        view: signed.body.view.0,
        sequence: signed.body.sequence.0,
        digest: digest(&signed.body.digest),
        replica: signed.body.replica.0,
        signature: signature(&signed.signature),
    }
}

pub(super) fn prepare(signed: &Signed<Prepare>) -> pb::SignedPrepare {
    pb::SignedPrepare {
        view: signed.body.view.0,
        sequence: signed.body.sequence.0,
        digest: digest(&signed.body.digest),
        replica: signed.body.replica.0,
        signature: signature(&signed.signature),
    }
}

pub(super) fn commit(signed: &Signed<Commit>) -> pb::SignedCommit {
    pb::SignedCommit {
        view: signed.body.view.0,
        sequence: signed.body.sequence.0,
        digest: digest(&signed.body.digest),
        replica: signed.body.replica.0,
        signature: signature(&signed.signature),
    }
}

pub(super) fn reply(signed: Signed<Reply>) -> pb::SignedReply {
    let Signed { body, signature: by } = signed;
    let result = |(counter, result)| pb::Result { counter, result };
    pb::SignedReply {
        view: body.view.0,
        client: body.client.0,
        incarnation: body.incarnation,
        results: body.results.into_iter().map(result).collect(),
        replica: body.replica.0,
        signature: signature(&by),
    }
}

pub(super) fn disputed(signed: Signed<Reply>) -> pb::ReplyRequest {
    pb::ReplyRequest { disputed: Some(reply(signed)) }
}

pub(super) fn checkpoint(signed: &Signed<Checkpoint>) -> pb::SignedCheckpoint {
    pb::SignedCheckpoint {
        sequence: signed.body.sequence.0,
        digest: digest(&signed.body.digest),
        replica: signed.body.replica.0,
        signature: signature(&signed.signature),
    }
}

pub(super) fn stable(stable: &Stable) -> pb::StableCheckpoint {
    pb::StableCheckpoint { checkpoints: stable.checkpoints.iter().map(checkpoint).collect() }
}

fn prepared(prepared: &Prepared) -> pb::PreparedCertificate {
    pb::PreparedCertificate {
        pre_prepare: Some(pre_prepare(&prepared.pre_prepare)),
        prepares: prepared.prepares.iter().map(prepare).collect(),
    }
}

pub(super) fn view_change(signed: &Signed<ViewChange>) -> pb::SignedViewChange {
    pb::SignedViewChange {
        view: signed.body.view.0,
        stable: Some(stable(&signed.body.stable)),
        prepared: signed.body.prepared.iter().map(prepared).collect(),
        replica: signed.body.replica.0,
        signature: signature(&signed.signature),
    }
}

pub(super) fn new_view(signed: &Signed<NewView>) -> pb::SignedNewView {
    pb::SignedNewView {
        view: signed.body.view.0,
        view_changes: signed.body.view_changes.iter().map(view_change).collect(),
        pre_prepares: signed.body.pre_prepares.iter().map(pre_prepare).collect(),
        replica: signed.body.replica.0,
        signature: signature(&signed.signature),
    }
}

pub(super) fn status(signed: &Signed<Status>) -> pb::SignedStatus {
    pb::SignedStatus {
        view: signed.body.view.0,
        active: signed.body.active,
        stable: signed.body.stable.0,
        committed: signed.body.committed.0,
        fetching: signed.body.fetching.0,
        replica: signed.body.replica.0,
        signature: signature(&signed.signature),
    }
}

pub(super) fn fetch_batch(fetch: &FetchBatch) -> pb::FetchBatchRequest {
    pb::FetchBatchRequest { sequence: fetch.sequence.0, digest: digest(&fetch.digest) }
}

pub(super) fn batch(sequence: Sequence, batch: Batch) -> pb::FetchBatchResponse {
    pb::FetchBatchResponse { sequence: sequence.0, batch: requests(batch) }
}

pub(super) fn fetch_state(fetch: &FetchState) -> pb::FetchStateRequest {
    pb::FetchStateRequest { sequence: fetch.sequence.0, number: fetch.number }
}

pub(super) fn state(state: State) -> pb::FetchStateResponse {
    let State { sequence, pieces, number, data } = state;
    pb::FetchStateResponse { sequence: sequence.0, pieces, number, data }
}

pub(super) fn evidence(evidence: &Evidence) -> pb::EvidenceRequest {
    pb::EvidenceRequest { piece: evidence.to_bytes() }
}
