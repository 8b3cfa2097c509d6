//! How Raft's messages travel: `protos/raft.proto`.
//!
//! Proto types end here. [`pack`] makes them of the core's messages and [`unpack`] the reverse; a message that was
//! packed is unpacked as it was, and anything else that can be unpacked is a message that somebody could have meant.
//! What a message may *say* is checked later, by [`super::Checker`].

mod pack;
mod unpack;

#[cfg(test)]
mod tests;

use bytes::{Buf, BufMut};
use prost::Message as _;

use super::message::{Body, Message, Rpc};
use super::server::Raft;
use crate::transport::{Lane, Malformed, Wire};

/// The messages of `protos/raft.proto`.
#[expect(unreachable_pub, clippy::pedantic, reason = "generated; documented in the proto file")]
mod pb {
    tonic::include_proto!("consensusctl.raft.v1");
}

const REQUEST_VOTE: usize = 0;
const APPEND_ENTRIES: usize = 1;
const INSTALL_SNAPSHOT: usize = 2;
const TIMEOUT_NOW: usize = 3;
const FORWARD: usize = 4;
const READ_INDEX: usize = 5;

impl Wire for Raft {
    const SERVICE: &'static str = "consensusctl.raft.v1.RaftService";
    const LANES: &'static [&'static str] =
        &["RequestVote", "AppendEntries", "InstallSnapshot", "TimeoutNow", "Forward", "ReadIndex"];

    fn lane(message: &Message) -> Lane {
        match &message.body {
            Body::RequestVote(_) => Lane::Request(REQUEST_VOTE),
            Body::RequestVoteResponse(_) | Body::TermOver(Rpc::RequestVote) => Lane::Response(REQUEST_VOTE),
            Body::AppendEntries(_) => Lane::Request(APPEND_ENTRIES),
            Body::AppendEntriesResponse(_) | Body::TermOver(Rpc::AppendEntries) => {
                Lane::Response(APPEND_ENTRIES)
            }
            Body::InstallSnapshot(_) => Lane::Request(INSTALL_SNAPSHOT),
            Body::InstallSnapshotResponse(_) | Body::TermOver(Rpc::InstallSnapshot) => {
                Lane::Response(INSTALL_SNAPSHOT)
            }
            Body::TimeoutNow => Lane::Request(TIMEOUT_NOW),
            Body::Forward(_) => Lane::Request(FORWARD),
            Body::ForwardRejected(_) => Lane::Response(FORWARD),
            Body::ReadIndex(_) => Lane::Request(READ_INDEX),
            Body::ReadIndexResponse(_) => Lane::Response(READ_INDEX),
        }
    }

    fn encode(message: Message, buf: &mut impl BufMut) {
        let term = message.term.0;
        let encoded = match message.body {
            Body::RequestVote(body) => pack::request_vote(term, &body).encode(buf),
            Body::RequestVoteResponse(body) => pack::request_vote_response(term, &body).encode(buf),
            Body::AppendEntries(body) => pack::append_entries(term, &body).encode(buf),
            Body::AppendEntriesResponse(body) => pack::append_entries_response(term, &body).encode(buf),
            Body::InstallSnapshot(body) => pack::install_snapshot(term, body).encode(buf),
            Body::InstallSnapshotResponse(body) => pack::install_snapshot_response(term, &body).encode(buf),
            Body::TimeoutNow => pb::TimeoutNowRequest { term }.encode(buf),
            Body::Forward(body) => pack::forward(term, body).encode(buf),
            Body::ForwardRejected(body) => pack::forward_rejected(term, &body).encode(buf),
            Body::ReadIndex(attempt) => pack::read_index(term, attempt).encode(buf),
            Body::ReadIndexResponse(body) => pack::read_index_response(term, body).encode(buf),
            Body::TermOver(Rpc::RequestVote) => pack::vote_term_over(term).encode(buf),
            Body::TermOver(Rpc::AppendEntries) => pack::append_term_over(term).encode(buf),
            Body::TermOver(Rpc::InstallSnapshot) => pack::install_term_over(term).encode(buf),
        };
        encoded.expect("the buffer grows");
    }

    fn decode(lane: Lane, buf: impl Buf) -> Result<Message, Malformed> {
        match lane {
            Lane::Request(REQUEST_VOTE) => Ok(unpack::request_vote(&pb::RequestVoteRequest::decode(buf)?)),
            Lane::Response(REQUEST_VOTE) => {
                Ok(unpack::request_vote_response(&pb::RequestVoteResponse::decode(buf)?))
            }
            Lane::Request(APPEND_ENTRIES) => unpack::append_entries(pb::AppendEntriesRequest::decode(buf)?),
            Lane::Response(APPEND_ENTRIES) => {
                unpack::append_entries_response(&pb::AppendEntriesResponse::decode(buf)?)
            }
            Lane::Request(INSTALL_SNAPSHOT) => {
                unpack::install_snapshot(pb::InstallSnapshotRequest::decode(buf)?)
            }
            Lane::Response(INSTALL_SNAPSHOT) => {
                unpack::install_snapshot_response(&pb::InstallSnapshotResponse::decode(buf)?)
            }
            Lane::Request(TIMEOUT_NOW) => Ok(unpack::timeout_now(pb::TimeoutNowRequest::decode(buf)?)),
            Lane::Request(FORWARD) => unpack::forward(pb::ForwardRequest::decode(buf)?),
            Lane::Response(FORWARD) => unpack::forward_rejected(&pb::ForwardResponse::decode(buf)?),
            Lane::Request(READ_INDEX) => unpack::read_index(&pb::ReadIndexRequest::decode(buf)?),
            Lane::Response(READ_INDEX) => unpack::read_index_response(&pb::ReadIndexResponse::decode(buf)?),
            Lane::Request(_) | Lane::Response(_) => {
                Err(Malformed::Value { field: "rpc", why: "carries no messages in this direction" })
            }
        }
    }
}
