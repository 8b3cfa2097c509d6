//! Linearizable reads without the log: ReadIndex, Diss. §6.4.
//!
//! A read point is the leader's commit index at some moment after the read arrived, if the server still led then. To
//! know that, the leader numbers *rounds*: every `AppendEntries` carries the newest one and its answer repeats it. A
//! quorum of answers of the same term for a round that began after the read arrived confirms it. One round serves all
//! that wait; what arrives while one is under way takes the next, which starts as soon as the current one ends.

use std::time::Duration;

use super::message::{Attempt, Body, ReadIndexResponse};
use super::progress::ReadRequest;
use super::server::{Raft, State, ignore_kind};
use crate::consensus::{Index, Lsn, NodeId, Output, ReadId, RejectReason, Rejection, Time};

/// The reads of this server's clients that wait for a point.
#[derive(Debug)]
pub(super) struct Reads {
    groups: Vec<Group>,
    attempt: Attempt,
    waiting: usize,
}

/// Reads that arrived together.
#[derive(Debug)]
struct Group {
    ids: Vec<ReadId>,
    deadline: Time,
    /// The attempt that was made for them, and when.
    asked: Option<(Attempt, Time)>,
}

impl Reads {
    pub(super) fn new(incarnation: u64) -> Self {
        Self { groups: Vec::new(), attempt: Attempt { incarnation, counter: 0 }, waiting: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// When the oldest read's time is up: groups are in the order of their arrival, and all get the same time.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.groups.first().map(|group| group.deadline)
    }

    /// There is no leader any more who could answer.
    pub(super) fn forget_attempts(&mut self) {
        self.groups.iter_mut().for_each(|group| group.asked = None);
    }

    /// Attempts made before `limit` count as lost.
    fn forget_attempts_before(&mut self, limit: Time) {
        for group in &mut self.groups {
            group.asked = group.asked.filter(|(_, at)| *at > limit);
        }
    }

    /// A new attempt for all reads that have none.
    fn new_attempt(&mut self, now: Time) -> Option<Attempt> {
        if self.groups.iter().all(|group| group.asked.is_some()) {
            return None;
        }
        self.attempt.counter += 1;
        for group in self.groups.iter_mut().filter(|group| group.asked.is_none()) {
            group.asked = Some((self.attempt, now));
        }
        Some(self.attempt)
    }

    /// Takes the reads for which `wanted` holds.
    fn take(&mut self, wanted: impl Fn(&Group) -> bool) -> Vec<ReadId> {
        let taken: Vec<ReadId> =
            self.groups.extract_if(.., |group| wanted(group)).flat_map(|group| group.ids).collect();
        self.waiting -= taken.len();
        taken
    }
}

impl Raft {
    /// Clients of this server want a read point.
    pub(super) fn on_read(&mut self, ids: Vec<ReadId>, out: &mut Output<Self>) {
        if ids.is_empty() {
            return;
        }
        if self.reads.waiting + ids.len() > self.options.max_pending_requests {
            let rejection = self.read_rejection(RejectReason::TooManyRequests);
            return out.reads.extend(ids.into_iter().map(|id| (id, Err(rejection.clone()))));
        }
        self.arm_retry();
        self.reads.waiting += ids.len();
        self.reads.groups.push(Group { ids, deadline: self.now + self.request_timeout, asked: None });
        self.ask_read_index(out);
    }

    /// Asks the leader, or joins the reads that wait here if this server leads.
    pub(super) fn ask_read_index(&mut self, out: &mut Output<Self>) {
        let Some(leader) = self.leader.filter(|_| !self.is_mute()) else { return };
        let Some(attempt) = self.reads.new_attempt(self.now) else { return };
        if leader == self.id {
            self.join_read_round(ReadRequest { node: self.id, attempt }, out);
        } else {
            self.send(leader, Body::ReadIndex(attempt), Lsn::ZERO, out);
        }
    }

    /// Asks again, by a new attempt, for reads that were not answered for `patience`.
    pub(super) fn retry_reads(&mut self, patience: Duration, out: &mut Output<Self>) {
        if self.is_leader() {
            return;
        }
        let limit = Time::from_origin(self.now.since_origin().saturating_sub(patience));
        self.reads.forget_attempts_before(limit);
        self.ask_read_index(out);
    }

    /// Diss. §6.4: a follower asks on behalf of its clients.
    pub(super) fn on_read_index(&mut self, from: NodeId, attempt: Attempt, out: &mut Output<Self>) {
        let State::Leader(leader) = &self.state else {
            return ignore_kind(out, from, "ReadIndex", "not a leader");
        };
        if leader.reads.len() >= self.options.max_pending_requests {
            return ignore_kind(out, from, "ReadIndex", "too many reads wait");
        }
        self.join_read_round(ReadRequest { node: from, attempt }, out);
    }

    fn join_read_round(&mut self, request: ReadRequest, out: &mut Output<Self>) {
        let State::Leader(leader) = &mut self.state else { return };
        leader.reads.push(request);
        self.advance_read_round(out);
    }

    /// Ends the round under way if a quorum has confirmed it, and begins the next if reads wait for one. Not before
    /// the term's no-op is committed: until then the commit index may be behind an earlier leader's (Diss. §6.4).
    pub(super) fn advance_read_round(&mut self, out: &mut Output<Self>) {
        while self.finish_read_round(out) {
            let State::Leader(leader) = &mut self.state else { return };
            if leader.reads.is_empty() || self.commit_index < leader.term_start {
                return;
            }
            leader.round += 1;
            leader.confirming = Some((self.commit_index, std::mem::take(&mut leader.reads)));
            for peer in self.peers().collect::<Vec<_>>() {
                self.send_empty(peer, true, out);
            }
        }
    }

    /// Whether no round is under way, once a confirmed one has been answered.
    fn finish_read_round(&mut self, out: &mut Output<Self>) -> bool {
        if !self.has_quorum_confirmed_round() {
            return false;
        }
        let State::Leader(leader) = &mut self.state else { return false };
        if let Some((index, requests)) = leader.confirming.take() {
            for ReadRequest { node, attempt } in requests {
                if node == self.id {
                    self.answer_reads(attempt, index, out);
                } else {
                    let response = ReadIndexResponse { attempt, index };
                    self.send(node, Body::ReadIndexResponse(response), Lsn::ZERO, out);
                }
            }
        }
        true
    }

    fn has_quorum_confirmed_round(&self) -> bool {
        let State::Leader(leader) = &self.state else { return false };
        let peers = leader.peers.values().filter(|peer| peer.round >= leader.round).count();
        peers + usize::from(self.members.contains(&self.id)) >= self.quorum()
    }

    /// The leader's answer to an attempt of this server.
    pub(super) fn on_read_index_response(&mut self, response: ReadIndexResponse, out: &mut Output<Self>) {
        // An attempt that was given up finds no reads.
        self.answer_reads(response.attempt, response.index, out);
    }

    fn answer_reads(&mut self, attempt: Attempt, index: Index, out: &mut Output<Self>) {
        let ids = self.reads.take(|group| group.asked.is_some_and(|(asked, _)| asked == attempt));
        out.reads.extend(ids.into_iter().map(|id| (id, Ok(index))));
    }

    /// Rejects the reads whose time is up.
    pub(super) fn reject_overdue_reads(&mut self, out: &mut Output<Self>) {
        let now = self.now;
        if self.reads.deadline().is_none_or(|deadline| deadline > now) {
            return;
        }
        let reason = if self.leader.is_some() { RejectReason::TimedOut } else { RejectReason::NoLeader };
        let rejection = self.read_rejection(reason);
        let ids = self.reads.take(|group| group.deadline <= now);
        out.reads.extend(ids.into_iter().map(|id| (id, Err(rejection.clone()))));
    }

    fn read_rejection(&self, reason: RejectReason) -> Rejection {
        Rejection { reason, never_executed: true, leader: self.leader }
    }
}
