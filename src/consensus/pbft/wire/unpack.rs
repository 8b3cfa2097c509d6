//! From the messages of the proto file to the core's. Total: what does not make a message is an error.

use bytes::Bytes;

use super::pb;
use crate::consensus::pbft::evidence::Evidence;
use crate::consensus::pbft::message::{
    Batch, Checkpoint, Commit, FetchBatch, FetchState, Message, NewView, PrePrepare, Prepare, Prepared,
    Reply, Request, Sequence, Signed, Stable, State, Status, View, ViewChange,
};
use crate::consensus::{Decode as _, Digest, NodeId, Signature, WallTime};
use crate::transport::Malformed;

fn digest(bytes: &Bytes) -> Result<Digest, Malformed> {
    let wrong = Malformed::Value { field: "digest", why: "has not 32 bytes" };
    <[u8; 32]>::try_from(&**bytes).map(Digest).map_err(|_| wrong)
}

fn signed<T>(body: T, signature: &Bytes) -> Result<Signed<T>, Malformed> {
    let wrong = Malformed::Value { field: "signature", why: "has not 64 bytes" };
    let signature = <[u8; 64]>::try_from(&**signature).map(Signature).map_err(|_| wrong)?;
    Ok(Signed { body, signature })
}

fn required<'a, T>(field: &'static str, value: Option<&'a T>) -> Result<&'a T, Malformed> {
    value.ok_or(Malformed::Value { field, why: "is missing" })
}

fn all<T, U>(items: &[T], unpack: fn(&T) -> Result<U, Malformed>) -> Result<Vec<U>, Malformed> {
    items.iter().map(unpack).collect()
}

pub(super) fn request(request: pb::SignedRequest) -> Result<Signed<Request>, Malformed> {
    let command = |command: pb::Command| (command.counter, command.command);
    let body = Request {
        client: NodeId(request.client),
        incarnation: request.incarnation,
        time: WallTime(request.time_ms),
        commands: request.commands.into_iter().map(command).collect(),
    };
    signed(body, &request.signature)
}

fn requests(requests: Vec<pb::SignedRequest>) -> Result<Batch, Malformed> {
    requests.into_iter().map(request).collect::<Result<_, _>>().map(Batch)
}

pub(super) fn proposal(proposal: pb::PrePrepareRequest) -> Result<Message, Malformed> {
    let pre_prepare = pre_prepare(required("pre_prepare", proposal.pre_prepare.as_ref())?)?;
    Ok(Message::PrePrepare { pre_prepare, batch: requests(proposal.batch)? })
}

fn pre_prepare(message: &pb::SignedPrePrepare) -> Result<Signed<PrePrepare>, Malformed> {
    let body = PrePrepare {
        view: View(message.view),
        sequence: Sequence(message.sequence),
        digest: digest(&message.digest)?,
        replica: NodeId(message.replica),
    };
    signed(body, &message.signature)
}

pub(super) fn prepare(message: &pb::SignedPrepare) -> Result<Signed<Prepare>, Malformed> {
    let body = Prepare {
        view: View(message.view),
        sequence: Sequence(message.sequence),
        digest: digest(&message.digest)?,
        replica: NodeId(message.replica),
    };
    signed(body, &message.signature)
}

pub(super) fn commit(message: &pb::SignedCommit) -> Result<Signed<Commit>, Malformed> {
    let body = Commit {
        view: View(message.view),
        sequence: Sequence(message.sequence),
        digest: digest(&message.digest)?,
        replica: NodeId(message.replica),
    };
    signed(body, &message.signature)
}

pub(super) fn reply(message: pb::SignedReply) -> Result<Signed<Reply>, Malformed> {
    let result = |result: pb::Result| (result.counter, result.result);
    let body = Reply {
        view: View(message.view),
        client: NodeId(message.client),
        incarnation: message.incarnation,
        results: message.results.into_iter().map(result).collect(),
        replica: NodeId(message.replica),
    };
    signed(body, &message.signature)
}

pub(super) fn disputed(request: pb::ReplyRequest) -> Result<Message, Malformed> {
    let missing = Malformed::Value { field: "disputed", why: "is missing" };
    request.disputed.ok_or(missing).and_then(reply).map(Message::Disputed)
}

pub(super) fn checkpoint(message: &pb::SignedCheckpoint) -> Result<Signed<Checkpoint>, Malformed> {
    let body = Checkpoint {
        sequence: Sequence(message.sequence),
        digest: digest(&message.digest)?,
        replica: NodeId(message.replica),
    };
    signed(body, &message.signature)
}

pub(super) fn stable(message: &pb::StableCheckpoint) -> Result<Stable, Malformed> {
    Ok(Stable { checkpoints: all(&message.checkpoints, checkpoint)? })
}

fn prepared(message: &pb::PreparedCertificate) -> Result<Prepared, Malformed> {
    let pre_prepare = pre_prepare(required("pre_prepare", message.pre_prepare.as_ref())?)?;
    Ok(Prepared { pre_prepare, prepares: all(&message.prepares, prepare)? })
}

pub(super) fn view_change(message: &pb::SignedViewChange) -> Result<Signed<ViewChange>, Malformed> {
    let body = ViewChange {
        view: View(message.view),
        stable: stable(required("stable", message.stable.as_ref())?)?,
        prepared: all(&message.prepared, prepared)?,
        replica: NodeId(message.replica),
    };
    signed(body, &message.signature)
}

pub(super) fn new_view(message: &pb::SignedNewView) -> Result<Signed<NewView>, Malformed> {
    let body = NewView {
        view: View(message.view),
        view_changes: all(&message.view_changes, view_change)?,
        pre_prepares: all(&message.pre_prepares, pre_prepare)?,
        replica: NodeId(message.replica),
    };
    signed(body, &message.signature)
}

pub(super) fn status(message: &pb::SignedStatus) -> Result<Signed<Status>, Malformed> {
    let body = Status {
        view: View(message.view),
        active: message.active,
        stable: Sequence(message.stable),
        committed: Sequence(message.committed),
        fetching: Sequence(message.fetching),
        replica: NodeId(message.replica),
    };
    signed(body, &message.signature)
}

pub(super) fn fetch_batch(message: &pb::FetchBatchRequest) -> Result<FetchBatch, Malformed> {
    Ok(FetchBatch { sequence: Sequence(message.sequence), digest: digest(&message.digest)? })
}

pub(super) fn batch(message: pb::FetchBatchResponse) -> Result<Message, Malformed> {
    Ok(Message::Batch { sequence: Sequence(message.sequence), batch: requests(message.batch)? })
}

pub(super) fn fetch_state(message: &pb::FetchStateRequest) -> FetchState {
    FetchState { sequence: Sequence(message.sequence), number: message.number }
}

pub(super) fn state(message: pb::FetchStateResponse) -> State {
    let pb::FetchStateResponse { sequence, pieces, number, data } = message;
    State { sequence: Sequence(sequence), pieces, number, data }
}

pub(super) fn evidence(request: pb::EvidenceRequest) -> Result<Message, Malformed> {
    let malformed = |_| Malformed::Value { field: "piece", why: "is no piece of evidence" };
    Evidence::from_bytes(request.piece).map(Message::Evidence).map_err(malformed)
}
