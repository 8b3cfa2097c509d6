//! Clients' proposals on their way into the leader's log.
//!
//! Every server keeps the proposals of its own clients until it sees them committed or their time is up. It hands them
//! to whoever leads, again after a change of leader and after a while without an answer: an id is executed once however
//! often it is in the log, so that only the answer "never executed" needs care. It is given only when the proposal
//! cannot be in any log: it never left this server and never entered its log, or it left once and was refused by the
//! one leader that got it, for which a [`Forward`] is taken at most once.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::message::{Attempt, Body, Forward, ForwardRejected, proposal_size};
use super::record::{Entry, Payload};
use super::server::{Raft, State, ignore_kind};
use crate::consensus::{
    Committed, Lsn, NodeId, Output, Pressure, Proposal, RejectReason, Rejection, RequestId, Time,
};

/// The proposals of this server's clients that wait to be committed.
#[derive(Debug)]
pub(super) struct Proposals {
    waiting: BTreeMap<RequestId, Waiting>,
    /// In the order of their arrival; answered ones are taken out when they come to the front.
    deadlines: VecDeque<(Time, RequestId)>,
    bytes: usize,
    attempt: Attempt,
}

#[derive(Debug)]
struct Waiting {
    proposal: Proposal,
    /// How often it was forwarded, and when last.
    forwards: u32,
    forwarded_at: Time,
    /// Whether it was ever in this server's own log.
    logged: bool,
}

impl Proposals {
    pub(super) fn new(incarnation: u64) -> Self {
        let attempt = Attempt { incarnation, counter: 0 };
        Self { waiting: BTreeMap::new(), deadlines: VecDeque::new(), bytes: 0, attempt }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        self.deadlines.front().map(|(deadline, _)| *deadline)
    }

    fn insert(&mut self, proposal: Proposal, deadline: Time) {
        self.bytes += proposal_size(&proposal);
        self.deadlines.push_back((deadline, proposal.id));
        let waiting = Waiting { forwards: 0, forwarded_at: Time::ZERO, logged: false, proposal };
        self.waiting.insert(waiting.proposal.id, waiting);
    }

    fn remove(&mut self, id: RequestId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.bytes -= proposal_size(&waiting.proposal);
        // What was answered leaves the queue of deadlines as far as it is at its front, which is nearly always.
        while let Some((_, front)) = self.deadlines.front()
            && !self.waiting.contains_key(front)
        {
            self.deadlines.pop_front();
        }
        Some(waiting)
    }
}

impl Raft {
    /// Clients of this server propose commands.
    pub(super) fn on_propose(&mut self, proposals: Vec<Proposal>, out: &mut Output<Self>) {
        self.arm_retry();
        let deadline = self.now + self.request_timeout;
        let mut ids = Vec::with_capacity(proposals.len());
        for proposal in proposals {
            let id = proposal.id;
            if let Err(reason) = self.admit(&proposal) {
                self.reject(id, reason, true, out);
            } else {
                self.proposals.insert(proposal, deadline);
                ids.push(id);
            }
        }
        self.dispatch(&ids, out);
    }

    /// Whether this server may take one more proposal of its clients.
    fn admit(&self, proposal: &Proposal) -> Result<(), RejectReason> {
        let waiting = &self.proposals;
        if waiting.waiting.len() >= self.options.max_pending_requests
            || waiting.bytes >= self.options.max_pending_bytes
        {
            return Err(RejectReason::TooManyRequests);
        }
        self.may_append(proposal)
    }

    /// Whether this server's disk and log could take the proposal.
    fn may_append(&self, proposal: &Proposal) -> Result<(), RejectReason> {
        if proposal.command.len() > self.options.max_request_bytes {
            return Err(RejectReason::TooLarge);
        }
        match self.disk.pressure {
            Pressure::Ok if self.log.bytes() >= self.options.max_log_bytes && self.is_leader() => {
                Err(RejectReason::TooManyRequests)
            }
            Pressure::Ok => Ok(()),
            Pressure::Slow => Err(RejectReason::StorageSlow),
            Pressure::Full(_) => Err(RejectReason::StorageFull),
        }
    }

    /// Hands proposals of this server's clients to whoever leads, if that is known.
    fn dispatch(&mut self, ids: &[RequestId], out: &mut Output<Self>) {
        if ids.is_empty() {
            return;
        }
        match (&self.state, self.leader) {
            // While leadership is handed over, proposals wait for its outcome.
            (State::Leader(leader), _) if leader.transfer.is_some() => {}
            (State::Leader(_), _) => self.append_own(ids, out),
            // The retry timer hands them on once the disk answers.
            (_, Some(_)) if self.is_mute() => {}
            (_, Some(leader)) => self.send_forward(leader, ids, out),
            (_, None) => {}
        }
    }

    fn append_own(&mut self, ids: &[RequestId], out: &mut Output<Self>) {
        for id in ids {
            let Some(waiting) = self.proposals.waiting.get_mut(id) else { continue };
            waiting.logged = true;
            let proposal = waiting.proposal.clone();
            self.append_proposal(proposal, out);
        }
        self.broadcast_append_entries(out);
    }

    /// §5.3: the leader appends the command to its log, unless it is in the uncommitted part already.
    fn append_proposal(&mut self, proposal: Proposal, out: &mut Output<Self>) {
        let State::Leader(leader) = &mut self.state else { return };
        if leader.tail.insert(proposal.id) {
            let index = self.log.last_index().next();
            self.append_to_log(Entry { index, term: self.term, payload: Payload::Command(proposal) }, out);
        }
    }

    fn send_forward(&mut self, leader: NodeId, ids: &[RequestId], out: &mut Output<Self>) {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        for id in ids {
            let Some(waiting) = self.proposals.waiting.get_mut(id) else { continue };
            let size = proposal_size(&waiting.proposal);
            waiting.forwards += 1;
            waiting.forwarded_at = self.now;
            let proposal = waiting.proposal.clone();
            if !batch.is_empty() && bytes + size > self.options.max_append_bytes {
                self.send_forward_batch(leader, std::mem::take(&mut batch), out);
                bytes = 0;
            }
            bytes += size;
            batch.push(proposal);
        }
        if !batch.is_empty() {
            self.send_forward_batch(leader, batch, out);
        }
    }

    fn send_forward_batch(&mut self, leader: NodeId, proposals: Vec<Proposal>, out: &mut Output<Self>) {
        self.proposals.attempt.counter += 1;
        let forward = Forward { attempt: self.proposals.attempt, proposals };
        self.send(leader, Body::Forward(forward), Lsn::ZERO, out);
    }

    /// A follower's clients propose commands.
    pub(super) fn on_forward(&mut self, from: NodeId, forward: Forward, out: &mut Output<Self>) {
        let State::Leader(leader) = &mut self.state else {
            return ignore_kind(out, from, "Forward", "not a leader");
        };
        if leader.forwards.get(&from).is_some_and(|last| *last >= forward.attempt) {
            return ignore_kind(out, from, "Forward", "it came before");
        }
        leader.forwards.insert(from, forward.attempt);
        if leader.transfer.is_some() {
            return ignore_kind(out, from, "Forward", "leadership is being handed over");
        }
        let mut rejected: Vec<(RejectReason, RequestId)> = Vec::new();
        for proposal in forward.proposals {
            match self.may_append(&proposal) {
                Ok(()) => self.append_proposal(proposal, out),
                Err(reason) => rejected.push((reason, proposal.id)),
            }
        }
        for same in rejected.chunk_by(|a, b| a.0 == b.0) {
            let (reason, ids) = (same[0].0, same.iter().map(|(_, id)| *id).collect());
            self.send(from, Body::ForwardRejected(ForwardRejected { ids, reason }), Lsn::ZERO, out);
        }
        self.broadcast_append_entries(out);
    }

    /// The leader did not take some proposals. One that was also handed to another, or was in this server's own log,
    /// may still be executed: it goes on waiting.
    pub(super) fn on_forward_rejected(&mut self, rejected: &ForwardRejected, out: &mut Output<Self>) {
        for id in &rejected.ids {
            let refused = |waiting: &Waiting| waiting.forwards == 1 && !waiting.logged;
            if self.proposals.waiting.get(id).is_some_and(refused) {
                self.proposals.remove(*id);
                self.reject(*id, rejected.reason, true, out);
            }
        }
    }

    /// There is a new leader, or this one takes proposals again: hands it everything that waits.
    pub(super) fn redispatch_requests(&mut self, out: &mut Output<Self>) {
        let ids: Vec<RequestId> = self.proposals.waiting.keys().copied().collect();
        self.dispatch(&ids, out);
        self.reads.forget_attempts();
        self.ask_read_index(out);
    }

    /// The first request to wait starts the retry timer, or an old deadline would be due at once.
    pub(super) fn arm_retry(&mut self) {
        if self.proposals.is_empty() && self.reads.is_empty() {
            self.retry_deadline = self.now + self.options.retry_interval();
        }
    }

    /// Hands on again what the leader has not answered for a while: a message may have been lost.
    pub(super) fn retry_requests(&mut self, out: &mut Output<Self>) {
        let patience: Duration = self.options.retry_interval();
        if !self.is_leader() {
            let unanswered = |waiting: &&Waiting| self.now.since(waiting.forwarded_at) >= patience;
            let ids: Vec<RequestId> = self
                .proposals
                .waiting
                .values()
                .filter(unanswered)
                .map(|waiting| waiting.proposal.id)
                .collect();
            self.dispatch(&ids, out);
        }
        self.retry_reads(patience, out);
    }

    /// What is committed waits no more: the store answers its client.
    pub(super) fn forget_committed(&mut self, committed: &[Committed]) {
        for proposal in committed.iter().flat_map(|slot| &slot.proposals) {
            if let State::Leader(leader) = &mut self.state {
                leader.tail.remove(&proposal.id);
            }
            if proposal.id.origin == self.id {
                self.proposals.remove(proposal.id);
            }
        }
    }

    /// Rejects the proposals and reads whose time is up.
    pub(super) fn reject_overdue(&mut self, out: &mut Output<Self>) {
        self.reject_overdue_reads(out);
        while let Some((deadline, id)) = self.proposals.deadlines.front().copied()
            && deadline <= self.now
        {
            self.proposals.deadlines.pop_front();
            let Some(waiting) = self.proposals.remove(id) else { continue };
            let kept = waiting.forwards == 0 && !waiting.logged;
            let reason = if kept { RejectReason::NoLeader } else { RejectReason::TimedOut };
            self.reject(id, reason, kept, out);
        }
    }

    fn reject(&self, id: RequestId, reason: RejectReason, never_executed: bool, out: &mut Output<Self>) {
        out.rejected.push((id, Rejection { reason, never_executed, leader: self.leader }));
    }
}
