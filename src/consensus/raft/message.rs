//! What Raft servers send each other: the RPCs of the dissertation as one-way messages, plus what carries clients'
//! requests to the leader.

use bytes::Bytes;

use super::record::Entry;
use crate::consensus::{Epoch, Index, Proposal, RejectReason, RequestId, SnapshotMeta};

/// Raft's name for an epoch.
pub type Term = Epoch;

/// A message: whatever it says, it carries its sender's current term (never a term that the sender only hopes for,
/// not even in a pre-vote), so that the highest term always spreads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The sender's current term.
    pub term: Term,
    /// What it says.
    pub body: Body,
}

/// What a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// A candidate asks for a vote, or a pre-candidate whether it would get one.
    RequestVote(RequestVote),
    /// The answer.
    RequestVoteResponse(RequestVoteResponse),
    /// The leader replicates entries, tells its commit index, shows that it is there.
    AppendEntries(AppendEntries),
    /// The answer.
    AppendEntriesResponse(AppendEntriesResponse),
    /// The leader sends a piece of its snapshot.
    InstallSnapshot(InstallSnapshot),
    /// The answer.
    InstallSnapshotResponse(InstallSnapshotResponse),
    /// The leader asks the receiver to start an election at once (Diss. §3.10).
    TimeoutNow,
    /// A follower hands its clients' proposals to the leader.
    Forward(Forward),
    /// The leader did not take some of them.
    ForwardRejected(ForwardRejected),
    /// A follower asks for a read point (Diss. §6.4).
    ReadIndex(Attempt),
    /// The answer.
    ReadIndexResponse(ReadIndexResponse),
    /// The answer to a request of an earlier term (§5.1): the message's own term says which one began. It repeats nothing
    /// of the request, because whoever sent it may be in office again, in a later term, when this arrives late.
    TermOver(Rpc),
}

/// The RPCs that are answered even when their term is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    /// [`RequestVote`], also as a pre-vote.
    RequestVote,
    /// [`AppendEntries`].
    AppendEntries,
    /// [`InstallSnapshot`].
    InstallSnapshot,
}

/// Asks for a vote (§5.2, §5.4.1; pre-vote: Diss. §9.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestVote {
    /// Whether this only asks if a vote for the term after the sender's would be granted.
    pub pre_vote: bool,
    /// Whether the old leader asked for this election, so that having heard of it is no reason to refuse.
    pub transfer: bool,
    /// The index of the candidate's last entry.
    pub last_index: Index,
    /// That entry's term.
    pub last_term: Term,
}

/// Answers [`RequestVote`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestVoteResponse {
    /// As in the request.
    pub pre_vote: bool,
    /// Whether the vote is granted.
    pub granted: bool,
}

/// Replicates entries (§5.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntries {
    /// The index of the entry before the first of `entries`.
    pub prev_index: Index,
    /// That entry's term.
    pub prev_term: Term,
    /// The leader's commit index, but never more than `prev_index` and the entries prove to match.
    pub commit: Index,
    /// The leader's newest round of read confirmation when it sent this; grows within a term.
    pub round: u64,
    /// Whether an answer is wanted. A bare notice of a higher commit index wants none.
    pub reply: bool,
    /// The entries, with consecutive indices from `prev_index + 1`.
    pub entries: Vec<Entry>,
}

/// Answers [`AppendEntries`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendEntriesResponse {
    /// As in the request: the sender still followed this leader when that round was under way.
    pub round: u64,
    /// What became of it.
    pub outcome: AppendOutcome,
}

/// What became of an [`AppendEntries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AppendOutcome {
    /// The log matches the leader's, and is durable, up to here.
    Matched(Index),
    /// There is no entry at `prev_index` with `prev_term`.
    Conflict {
        /// As in the request.
        prev_index: Index,
        /// The last index, not after `prev_index`, that could match: its term is not above `prev_term`.
        index: Index,
        /// The term there.
        term: Term,
    },
    /// The disk is full: no entries are taken for now.
    Full,
}

/// A piece of a snapshot (§7, Diss. §5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallSnapshot {
    /// Of which snapshot.
    pub meta: SnapshotMeta,
    /// Which piece, from 0.
    pub number: u32,
    /// Its content.
    pub data: Bytes,
}

/// Answers [`InstallSnapshot`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstallSnapshotResponse {
    /// Of which snapshot.
    pub index: Index,
    /// What became of it.
    pub outcome: InstallOutcome,
}

/// What became of a piece of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstallOutcome {
    /// All pieces below this one are stored.
    Next(u32),
    /// Everything up to the snapshot's index is held durably, by the snapshot or otherwise.
    Done,
    /// It could not be stored, or did not match its digest: start again.
    Failed,
}

/// Proposals on their way to the leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forward {
    /// Grows with every forward of the sender. A leader takes only ascending ones of its own term, so that a repeated
    /// message is taken at most once and a refusal is final.
    pub attempt: Attempt,
    /// The proposals.
    pub proposals: Vec<Proposal>,
}

/// Proposals that the leader did not take and, from that [`Forward`], never will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForwardRejected {
    /// Which.
    pub ids: Vec<RequestId>,
    /// Why.
    pub reason: RejectReason,
}

/// Names one attempt of one server to get something from the leader, in all its lives: a late answer to an earlier
/// attempt must not pass for an answer to this one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Attempt {
    /// Which life of the server.
    pub incarnation: u64,
    /// Which attempt of that life.
    pub counter: u64,
}

/// Answers a [`Body::ReadIndex`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadIndexResponse {
    /// As in the request.
    pub attempt: Attempt,
    /// The read point.
    pub index: Index,
}

/// What a message's fixed fields take on the network, about.
const HEADER_BYTES: usize = 64;

impl crate::consensus::Message for Message {
    const KINDS: &'static [&'static str] = &[
        "PreVote",
        "RequestVote",
        "PreVoteResponse",
        "RequestVoteResponse",
        "AppendEntries",
        "AppendEntriesResponse",
        "InstallSnapshot",
        "InstallSnapshotResponse",
        "TimeoutNow",
        "Forward",
        "ForwardRejected",
        "ReadIndex",
        "ReadIndexResponse",
    ];

    fn kind(&self) -> &'static str {
        match &self.body {
            Body::RequestVote(request) if request.pre_vote => "PreVote",
            Body::RequestVote(_) => "RequestVote",
            Body::RequestVoteResponse(response) if response.pre_vote => "PreVoteResponse",
            Body::RequestVoteResponse(_) | Body::TermOver(Rpc::RequestVote) => "RequestVoteResponse",
            Body::AppendEntries(_) => "AppendEntries",
            Body::AppendEntriesResponse(_) | Body::TermOver(Rpc::AppendEntries) => "AppendEntriesResponse",
            Body::InstallSnapshot(_) => "InstallSnapshot",
            Body::InstallSnapshotResponse(_) | Body::TermOver(Rpc::InstallSnapshot) => {
                "InstallSnapshotResponse"
            }
            Body::TimeoutNow => "TimeoutNow",
            Body::Forward(_) => "Forward",
            Body::ForwardRejected(_) => "ForwardRejected",
            Body::ReadIndex(_) => "ReadIndex",
            Body::ReadIndexResponse(_) => "ReadIndexResponse",
        }
    }

    fn size(&self) -> usize {
        HEADER_BYTES
            + match &self.body {
                Body::AppendEntries(append) => append.entries.iter().map(Entry::size).sum(),
                Body::InstallSnapshot(piece) => {
                    piece.data.len() + piece.meta.members.len() * size_of::<u64>()
                }
                Body::Forward(forward) => forward.proposals.iter().map(proposal_size).sum(),
                Body::ForwardRejected(rejected) => rejected.ids.len() * size_of::<RequestId>(),
                _ => 0,
            }
    }
}

/// About how many bytes a proposal takes, in memory, on disk or on the network.
pub(super) fn proposal_size(proposal: &Proposal) -> usize {
    HEADER_BYTES + proposal.command.len()
}
