//! How PBFT's messages travel: `protos/pbft.proto`.
//!
//! Proto types end here. [`pack`] makes them of the core's messages and [`unpack`] the reverse; a message that was
//! packed is unpacked as it was, bit for bit in the canonical encoding, so that its signatures hold. What a message may
//! *say* is checked later, by [`super::Checker`].

mod pack;
mod shape;
mod unpack;

#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut};
use prost::Message as _;

use self::shape::Shape;
use super::message::Message;
use super::protocol::Pbft;
use crate::transport::{Lane, Malformed, Wire};

/// What a message of a lane must look like, if it can hold others.
fn shape_of(lane: Lane) -> Option<&'static Shape> {
    Some(match lane {
        Lane::Request(REQUEST) => &shape::REQUEST,
        Lane::Request(PRE_PREPARE) => &shape::PRE_PREPARE,
        Lane::Request(REPLY) => &shape::DISPUTED,
        Lane::Response(REPLY) => &shape::REPLY,
        Lane::Response(CHECKPOINT) => &shape::STABLE,
        Lane::Request(VIEW_CHANGE) => &shape::VIEW_CHANGE,
        Lane::Request(NEW_VIEW) => &shape::NEW_VIEW,
        Lane::Response(FETCH_BATCH) => &shape::BATCH,
        _ => return None,
    })
}

/// The messages of `protos/pbft.proto`.
#[expect(unreachable_pub, clippy::pedantic, reason = "generated; documented in the proto file")]
mod pb {
    tonic::include_proto!("consensusctl.pbft.v1");
}

const REQUEST: usize = 0;
const PRE_PREPARE: usize = 1;
const PREPARE: usize = 2;
const COMMIT: usize = 3;
const REPLY: usize = 4;
const CHECKPOINT: usize = 5;
const VIEW_CHANGE: usize = 6;
const NEW_VIEW: usize = 7;
const STATUS: usize = 8;
const FETCH_BATCH: usize = 9;
const FETCH_STATE: usize = 10;
const EVIDENCE: usize = 11;

impl Wire for Pbft {
    const SERVICE: &'static str = "consensusctl.pbft.v1.PbftService";
    const LANES: &'static [&'static str] = &[
        "Request",
        "PrePrepare",
        "Prepare",
        "Commit",
        "Reply",
        "Checkpoint",
        "ViewChange",
        "NewView",
        "Status",
        "FetchBatch",
        "FetchState",
        "Evidence",
    ];
    const CLIENT_LANES: &'static [usize] = &[REQUEST, REPLY];

    /// A reply leaves on the stream that its receiver opened, because nobody can call a client.
    fn lane(message: &Message) -> Lane {
        match message {
            Message::Request(_) => Lane::Request(REQUEST),
            Message::PrePrepare { .. } => Lane::Request(PRE_PREPARE),
            Message::Prepare(_) => Lane::Request(PREPARE),
            Message::Commit(_) => Lane::Request(COMMIT),
            Message::Reply(_) => Lane::Response(REPLY),
            Message::Disputed(_) => Lane::Request(REPLY),
            Message::Checkpoint(_) => Lane::Request(CHECKPOINT),
            Message::Stable(_) => Lane::Response(CHECKPOINT),
            Message::ViewChange(_) => Lane::Request(VIEW_CHANGE),
            Message::NewView(_) => Lane::Request(NEW_VIEW),
            Message::Status(_) => Lane::Request(STATUS),
            Message::FetchBatch(_) => Lane::Request(FETCH_BATCH),
            Message::Batch { .. } => Lane::Response(FETCH_BATCH),
            Message::FetchState(_) => Lane::Request(FETCH_STATE),
            Message::State(_) => Lane::Response(FETCH_STATE),
            Message::Evidence(_) => Lane::Request(EVIDENCE),
        }
    }

    fn encode(message: Message, buf: &mut impl BufMut) {
        let encoded = match message {
            Message::Request(request) => pack::request(request).encode(buf),
            Message::PrePrepare { pre_prepare, batch } => pack::proposal(&pre_prepare, batch).encode(buf),
            Message::Prepare(prepare) => pack::prepare(&prepare).encode(buf),
            Message::Commit(commit) => pack::commit(&commit).encode(buf),
            Message::Reply(reply) => pack::reply(reply).encode(buf),
            Message::Disputed(reply) => pack::disputed(reply).encode(buf),
            Message::Checkpoint(checkpoint) => pack::checkpoint(&checkpoint).encode(buf),
            Message::Stable(stable) => pack::stable(&stable).encode(buf),
            Message::ViewChange(view_change) => pack::view_change(&view_change).encode(buf),
            Message::NewView(new_view) => pack::new_view(&new_view).encode(buf),
            Message::Status(status) => pack::status(&status).encode(buf),
            Message::FetchBatch(fetch) => pack::fetch_batch(&fetch).encode(buf),
            Message::Batch { sequence, batch } => pack::batch(sequence, batch).encode(buf),
            Message::FetchState(fetch) => pack::fetch_state(&fetch).encode(buf),
            Message::State(state) => pack::state(state).encode(buf),
            Message::Evidence(evidence) => pack::evidence(&evidence).encode(buf),
        };
        encoded.expect("the buffer grows");
    }

    fn decode(lane: Lane, mut buf: impl Buf) -> Result<Message, Malformed> {
        let buf = buf.copy_to_bytes(buf.remaining());
        if let Some(shape) = shape_of(lane) {
            shape.check(&buf)?;
        }
        Ok(match lane {
            Lane::Request(REQUEST) => Message::Request(unpack::request(pb::SignedRequest::decode(buf)?)?),
            Lane::Request(PRE_PREPARE) => unpack::proposal(pb::PrePrepareRequest::decode(buf)?)?,
            Lane::Request(PREPARE) => Message::Prepare(unpack::prepare(&pb::SignedPrepare::decode(buf)?)?),
            Lane::Request(COMMIT) => Message::Commit(unpack::commit(&pb::SignedCommit::decode(buf)?)?),
            Lane::Request(REPLY) => unpack::disputed(pb::ReplyRequest::decode(buf)?)?,
            Lane::Response(REPLY) => Message::Reply(unpack::reply(pb::SignedReply::decode(buf)?)?),
            Lane::Request(CHECKPOINT) => {
                Message::Checkpoint(unpack::checkpoint(&pb::SignedCheckpoint::decode(buf)?)?)
            }
            Lane::Response(CHECKPOINT) => {
                Message::Stable(unpack::stable(&pb::StableCheckpoint::decode(buf)?)?)
            }
            Lane::Request(VIEW_CHANGE) => {
                Message::ViewChange(unpack::view_change(&pb::SignedViewChange::decode(buf)?)?)
            }
            Lane::Request(NEW_VIEW) => Message::NewView(unpack::new_view(&pb::SignedNewView::decode(buf)?)?),
            Lane::Request(STATUS) => Message::Status(unpack::status(&pb::SignedStatus::decode(buf)?)?),
            Lane::Request(FETCH_BATCH) => {
                Message::FetchBatch(unpack::fetch_batch(&pb::FetchBatchRequest::decode(buf)?)?)
            }
            Lane::Response(FETCH_BATCH) => unpack::batch(pb::FetchBatchResponse::decode(buf)?)?,
            Lane::Request(FETCH_STATE) => {
                Message::FetchState(unpack::fetch_state(&pb::FetchStateRequest::decode(buf)?))
            }
            Lane::Response(FETCH_STATE) => {
                Message::State(unpack::state(pb::FetchStateResponse::decode(buf)?))
            }
            Lane::Request(EVIDENCE) => unpack::evidence(pb::EvidenceRequest::decode(buf)?)?,
            Lane::Request(_) | Lane::Response(_) => {
                return Err(Malformed::Value { field: "rpc", why: "carries no messages in this direction" });
            }
        })
    }
}
