//! The server's state, and which handler gets what.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng as _;

use super::check::Checker;
use super::disk::Disk;
use super::log::Log;
use super::message::{Body, Message, Rpc, Term};
use super::options::Options;
use super::progress::Leader;
use super::proposals::Proposals;
use super::reads::Reads;
use super::record::{Entry, Record};
use super::snapshot::Receiving;
use crate::consensus::{
    Answers, Checked, Event, Index, Input, Lsn, Message as _, NodeId, Outgoing, Output, Protocol,
    RecoverError, Recovered, Refused, Role, Setup, SnapshotMeta, Status, Time,
};

/// A Raft server.
#[derive(Debug)]
pub struct Raft {
    pub(super) id: NodeId,
    pub(super) members: Vec<NodeId>,
    pub(super) options: Options,
    pub(super) request_timeout: Duration,
    pub(super) rng: ChaCha8Rng,
    /// The time of the last input.
    pub(super) now: Time,

    pub(super) term: Term,
    pub(super) voted_for: Option<NodeId>,
    pub(super) log: Log,
    pub(super) disk: Disk,
    pub(super) commit_index: Index,
    pub(super) applied: Index,

    pub(super) state: State,
    /// Who leads the current term, as far as known.
    pub(super) leader: Option<NodeId>,
    /// When a leader was last heard of; at first, when this life began.
    pub(super) last_heard: Time,
    pub(super) election_deadline: Time,

    pub(super) proposals: Proposals,
    pub(super) reads: Reads,
    /// When to look for requests that the leader did not answer.
    pub(super) retry_deadline: Time,

    /// The newest durable snapshot.
    pub(super) snapshot: Option<SnapshotMeta>,
    /// The checkpoint that was asked for and is not durable yet.
    pub(super) checkpointing: Option<Index>,
    pub(super) receiving: Option<Receiving>,
    /// Recovery threw the log away; the disk must learn it before the next entry.
    pub(super) reset_owed: bool,
}

/// What a server is (§5.1).
#[derive(Debug)]
pub(super) enum State {
    Follower,
    /// Asks whether it could win, without touching its term (Diss. §9.6).
    PreCandidate(Campaign),
    Candidate(Campaign),
    Leader(Box<Leader>),
}

/// How an election is going.
#[derive(Debug)]
pub(super) struct Campaign {
    /// Who granted; a candidate is among them once its own vote is durable.
    pub(super) granted: BTreeSet<NodeId>,
    /// Who refused its vote for the term. A pre-vote is refused for the moment only, because a leader is still heard of,
    /// and such a refusal may be of an earlier campaign in the same term: whoever gave it is asked again.
    pub(super) refused: BTreeSet<NodeId>,
    /// The old leader asked for it.
    pub(super) transfer: bool,
    /// When to ask again those who did not answer.
    pub(super) retry_deadline: Time,
}

impl Protocol for Raft {
    type Message = Message;
    type Record = Record;
    type Options = Options;
    type Checker = Checker;

    const NAME: &'static str = "raft";
    const ANSWERS: Answers = Answers::ByNode;

    fn recover(setup: Setup<Self>, recovered: Recovered<Record>) -> Result<Self, RecoverError> {
        super::recover::recover(setup, recovered)
    }

    fn check_options(options: &Options) -> Result<(), String> {
        options.validate()
    }

    fn checker(setup: &Setup<Self>) -> Checker {
        Checker::new(setup)
    }

    fn check(checker: &Checker, from: NodeId, message: Message) -> Result<Checked<Message>, Refused> {
        checker.check(from, &message)?;
        Ok(Checked::vouch(message))
    }

    fn handle(&mut self, now: Time, input: Input<Message>, out: &mut Output<Self>) {
        self.now = self.now.max(now);
        self.settle_reset(out);
        match input {
            Input::Message { from, message } => self.on_message(from, message.into_inner(), out),
            Input::Propose(proposals) => self.on_propose(proposals, out),
            Input::Read(ids) => self.on_read(ids, out),
            Input::Timeout => self.on_timeout(out),
            Input::Durable(lsn) => self.on_durable(lsn, out),
            Input::Applied { index, .. } => self.applied = self.applied.max(index),
            // Raft has no use for a digest but to write down what it is of.
            Input::Checkpointed { index, .. } => (out.save, out.release) = (Some(index), Some(index.next())),
            Input::Saved(meta) => self.on_saved(meta, out),
            Input::Recalled(_) => {}
            Input::Piece(piece) => self.on_piece(piece, out),
            Input::Install(progress) => self.on_install(progress, out),
            Input::Storage(pressure) => self.on_storage(pressure, out),
            Input::TransferLeadership(target) => self.on_transfer_leadership(target, out),
        }
        self.assert_invariants();
    }

    fn deadline(&self) -> Option<Time> {
        let role = match &self.state {
            State::Follower => Some(self.election_deadline),
            State::PreCandidate(campaign) | State::Candidate(campaign) => {
                Some(self.election_deadline.min(campaign.retry_deadline))
            }
            State::Leader(leader) => {
                let transfer = leader.transfer.map(|transfer| transfer.deadline);
                Some(transfer.map_or(leader.heartbeat_deadline, |at| at.min(leader.heartbeat_deadline)))
            }
        };
        let waiting = !self.proposals.is_empty() || !self.reads.is_empty();
        let retry = (waiting && !self.is_leader()).then_some(self.retry_deadline);
        let receiving = self.receiving.as_ref().and_then(Receiving::deadline);
        [role, retry, receiving, self.proposals.deadline(), self.reads.deadline()].into_iter().flatten().min()
    }

    fn describe_event(event: &Event) -> String {
        event.describe("term", "index")
    }

    fn status(&self) -> Status {
        self.describe()
    }
}

impl Raft {
    /// Routes a message by its term (§5.1), then by its kind.
    fn on_message(&mut self, from: NodeId, message: Message, out: &mut Output<Self>) {
        if from == self.id || !self.members.contains(&from) {
            return ignore(out, from, &message, "the sender is no other member");
        }
        if message.term < self.term {
            return self.on_stale_message(from, &message, out);
        }
        if message.term > self.term {
            if let Body::RequestVote(request) = &message.body
                && !request.transfer
                && self.hears_leader()
            {
                // Diss. §4.2.3: whoever hears a leader neither votes nor takes over the term.
                return ignore(out, from, &message, "there is a leader");
            }
            if self.is_mute() {
                // One term after the other would wait for the disk, and nothing could be promised in any of them.
                return ignore(out, from, &message, "the disk does not answer");
            }
            self.become_follower(message.term, "a higher term began", out);
        }
        self.on_current_message(from, message, out);
    }

    fn on_current_message(&mut self, from: NodeId, message: Message, out: &mut Output<Self>) {
        match message.body {
            // It told the term, and has no more to say.
            Body::TermOver(_) => ignore(out, from, &message, "it answers an earlier term"),
            Body::RequestVote(request) => self.on_request_vote(from, &request, out),
            Body::RequestVoteResponse(response) => self.on_request_vote_response(from, &response, out),
            Body::AppendEntries(append) => self.on_append_entries(from, append, out),
            Body::AppendEntriesResponse(response) => self.on_append_entries_response(from, &response, out),
            Body::InstallSnapshot(piece) => self.on_install_snapshot(from, piece, out),
            Body::InstallSnapshotResponse(response) => {
                self.on_install_snapshot_response(from, &response, out);
            }
            Body::TimeoutNow => self.on_timeout_now(from, out),
            Body::Forward(forward) => self.on_forward(from, forward, out),
            Body::ForwardRejected(rejected) => self.on_forward_rejected(&rejected, out),
            Body::ReadIndex(attempt) => self.on_read_index(from, attempt, out),
            Body::ReadIndexResponse(response) => self.on_read_index_response(response, out),
        }
    }

    /// A request of an earlier term is answered, so that its sender learns the term (§5.1); silence could leave it,
    /// with the only up-to-date log, asking in its old term for ever.
    fn on_stale_message(&mut self, from: NodeId, message: &Message, out: &mut Output<Self>) {
        let rpc = match &message.body {
            Body::RequestVote(_) => Rpc::RequestVote,
            Body::AppendEntries(_) => Rpc::AppendEntries,
            Body::InstallSnapshot(_) => Rpc::InstallSnapshot,
            _ => return ignore(out, from, message, "its term is over"),
        };
        self.send(from, Body::TermOver(rpc), Lsn::ZERO, out);
    }

    /// Runs what is due. Each part looks at its own deadline, so that an early call does nothing.
    fn on_timeout(&mut self, out: &mut Output<Self>) {
        match &self.state {
            State::Leader(_) => self.on_leader_timeout(out),
            _ => self.on_election_timeout(out),
        }
        self.on_receiving_timeout(out);
        if self.now >= self.retry_deadline {
            self.retry_deadline = self.now + self.options.retry_interval();
            self.retry_requests(out);
        }
        self.reject_overdue(out);
    }

    /// Records up to `lsn` are on disk: what was promised by them counts now (contract invariant 1).
    fn on_durable(&mut self, lsn: Lsn, out: &mut Output<Self>) {
        self.disk.on_durable(self.now, lsn);
        self.log.on_durable(lsn);
        match &self.state {
            State::Leader(_) => self.advance_leader_commit(out),
            State::Candidate(_) => self.count_own_vote(out),
            State::Follower | State::PreCandidate(_) => {}
        }
    }

    pub(super) fn is_leader(&self) -> bool {
        matches!(self.state, State::Leader(_))
    }

    /// What the server is.
    pub fn role(&self) -> Role {
        match self.state {
            State::Follower => Role::Follower,
            State::PreCandidate(_) => Role::PreCandidate,
            State::Candidate(_) => Role::Candidate,
            State::Leader(_) => Role::Leader,
        }
    }

    /// Whether to say nothing that can be said later, because the disk lets nothing leave.
    pub(super) fn is_mute(&self) -> bool {
        self.disk.is_mute(self.now, self.options.election_timeout_min())
    }

    /// How many servers are a majority of the configuration (§5.2).
    pub(super) fn quorum(&self) -> usize {
        self.members.len() / 2 + 1
    }

    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> {
        self.members.iter().copied().filter(|member| *member != self.id)
    }

    /// Sends a message that promises the records up to `promise`; none while the server is mute: one after the other would
    /// wait for the disk.
    pub(super) fn send(&self, to: NodeId, body: Body, promise: Lsn, out: &mut Output<Self>) {
        if self.is_mute() {
            return;
        }
        let message = Message { term: self.term, body };
        out.messages.push(Outgoing { to, message, after: self.disk.after(promise) });
    }

    /// Writes term and vote, as one record.
    pub(super) fn write_hard_state(&mut self, out: &mut Output<Self>) -> Lsn {
        let record = Record::HardState { term: self.term, voted_for: self.voted_for };
        self.disk.write(self.now, record, &mut out.records)
    }

    /// Appends an entry to the log, in memory and on disk.
    pub(super) fn append_to_log(&mut self, entry: Entry, out: &mut Output<Self>) {
        let lsn = self.disk.write(self.now, Record::Entry(entry.clone()), &mut out.records);
        self.log.append(entry, lsn);
    }

    /// Draws a new election timeout, from now (§5.2).
    pub(super) fn reset_election_timer(&mut self) {
        let min = self.options.election_timeout_min();
        let spread = self.options.election_timeout_max().saturating_sub(min).as_micros() as u64;
        let random = if spread == 0 { 0 } else { self.rng.next_u64() % spread };
        self.election_deadline = self.now + min + Duration::from_micros(random);
    }

    /// Invariants of this server alone; those between servers are the simulator's to watch.
    fn assert_invariants(&self) {
        assert!(self.commit_index <= self.log.last_index(), "invariant 4: what is committed is in the log");
        assert!(
            self.log.base_index() <= self.commit_index,
            "invariant 5: only committed entries are compacted"
        );
        assert!(self.log.last_term() <= self.term, "invariant 6: no entry is from a later term");
        assert!(self.leader != Some(self.id) || self.is_leader(), "invariant 7: who leads knows it");
    }
}

/// Read-only views for whoever checks invariants between servers.
impl Raft {
    /// The current term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// Who got this server's vote in the current term.
    pub fn voted_for(&self) -> Option<NodeId> {
        self.voted_for
    }

    /// The highest index known to be committed.
    pub fn commit_index(&self) -> Index {
        self.commit_index
    }

    /// The index of the first entry in memory; what is below is in the snapshot.
    pub fn first_index(&self) -> Index {
        self.log.first_index()
    }

    /// The index of the last entry.
    pub fn last_index(&self) -> Index {
        self.log.last_index()
    }

    /// The term of the entry at `index`, or of the one before the first in memory.
    pub fn term_at(&self, index: Index) -> Option<Term> {
        self.log.term_at(index)
    }

    /// The entry at `index`, if it is in memory.
    pub fn entry(&self, index: Index) -> Option<&Entry> {
        self.log.entry(index)
    }
}

/// Traces that a message had no effect.
pub(super) fn ignore(out: &mut Output<Raft>, from: NodeId, message: &Message, why: &'static str) {
    out.trace.push(Event::Ignored { from, kind: message.kind(), why });
}

/// As [`ignore`], for a handler that has only a part of the message left.
pub(super) fn ignore_kind(out: &mut Output<Raft>, from: NodeId, kind: &'static str, why: &'static str) {
    out.trace.push(Event::Ignored { from, kind, why });
}
