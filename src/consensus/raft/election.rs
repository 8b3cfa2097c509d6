//! Elections: §5.2, §5.4.1; pre-vote Diss. §9.6; standing by a leader Diss. §4.2.3.

use std::collections::BTreeSet;

use super::message::{Body, RequestVote, RequestVoteResponse, Term};
use super::server::{Campaign, Raft, State, ignore_kind};
use crate::consensus::{Event, Lsn, NodeId, Output};

impl Raft {
    /// Whether a leader was heard of so lately that no other is wanted (Diss. §4.2.3). A leader hears itself: it gives
    /// up by itself when a quorum does not answer.
    pub(super) fn hears_leader(&self) -> bool {
        let heard = self.now.since(self.last_heard) < self.options.election_timeout_min();
        self.is_leader() || (self.leader.is_some() && heard)
    }

    /// Follows whoever leads `term`. Everything that only a leader or candidate knows is forgotten (§5.1).
    pub(super) fn become_follower(&mut self, term: Term, why: &'static str, out: &mut Output<Self>) {
        assert!(term >= self.term, "the term never goes back");
        if term > self.term {
            self.term = term;
            self.voted_for = None;
            self.leader = None;
            self.write_hard_state(out);
        }
        if matches!(self.state, State::Follower) {
            return;
        }
        if self.is_leader() {
            self.leader = None;
            self.reads.forget_attempts();
            self.last_heard = self.now;
        }
        self.state = State::Follower;
        self.reset_election_timer();
        self.trace_role(why, out);
    }

    /// Takes note that `leader` leads the current term and is there.
    pub(super) fn follow(&mut self, leader: NodeId, out: &mut Output<Self>) {
        if !matches!(self.state, State::Follower) {
            self.become_follower(self.term, "another server leads this term", out);
        }
        self.last_heard = self.now;
        self.reset_election_timer();
        if self.leader != Some(leader) {
            self.leader = Some(leader);
            out.trace.push(Event::Follows { leader, epoch: self.term });
            self.redispatch_requests(out);
        }
    }

    /// The election timer, or a candidate's retry timer, may have run out (§5.2).
    pub(super) fn on_election_timeout(&mut self, out: &mut Output<Self>) {
        if self.now >= self.election_deadline {
            self.reset_election_timer();
            if let Some(why) = self.cannot_campaign() {
                out.trace.push(Event::Noted { what: why, index: self.log.last_index() });
                self.forget_silent_leader();
                if matches!(self.state, State::PreCandidate(_)) {
                    self.become_follower(self.term, why, out);
                }
            } else {
                self.become_pre_candidate(out);
            }
        } else if let State::PreCandidate(campaign) | State::Candidate(campaign) = &mut self.state
            && self.now >= campaign.retry_deadline
        {
            campaign.retry_deadline = self.now + self.options.vote_retry();
            if !self.is_mute() {
                self.broadcast_request_vote(out);
            }
        }
    }

    /// A server whose disk has stalled could neither vote for itself nor write as a leader.
    fn cannot_campaign(&self) -> Option<&'static str> {
        if !self.members.contains(&self.id) {
            return Some("no campaign: not a member");
        }
        let stalled = self.disk.lag(self.now) >= self.options.election_timeout_max();
        (stalled || !self.disk.is_hard_state_durable()).then_some("no campaign: the disk does not answer")
    }

    fn forget_silent_leader(&mut self) {
        if self.leader.take().is_some() {
            self.reads.forget_attempts();
        }
    }

    /// Asks whether an election could be won, before disturbing anyone with a higher term (Diss. §9.6).
    fn become_pre_candidate(&mut self, out: &mut Output<Self>) {
        self.forget_silent_leader();
        self.state = State::PreCandidate(self.campaign(false));
        self.trace_role("heard of no leader for an election timeout", out);
        self.broadcast_request_vote(out);
        if let State::PreCandidate(campaign) = &mut self.state {
            campaign.granted.insert(self.id);
        }
        self.conclude_election(out);
    }

    /// Starts an election in a new term (§5.2). The own vote counts once it is durable.
    pub(super) fn become_candidate(&mut self, transfer: bool, why: &'static str, out: &mut Output<Self>) {
        assert!(!self.is_leader(), "a leader starts no election");
        self.term = self.term.next();
        self.voted_for = Some(self.id);
        self.leader = None;
        self.reads.forget_attempts();
        self.write_hard_state(out);
        self.reset_election_timer();
        self.state = State::Candidate(self.campaign(transfer));
        self.trace_role(why, out);
        self.broadcast_request_vote(out);
    }

    fn campaign(&self, transfer: bool) -> Campaign {
        let retry_deadline = self.now + self.options.vote_retry();
        Campaign { granted: BTreeSet::new(), refused: BTreeSet::new(), transfer, retry_deadline }
    }

    /// Asks everyone who has not answered yet.
    fn broadcast_request_vote(&mut self, out: &mut Output<Self>) {
        let (campaign, pre_vote) = match &self.state {
            State::PreCandidate(campaign) => (campaign, true),
            State::Candidate(campaign) => (campaign, false),
            State::Follower | State::Leader(_) => return,
        };
        let request = RequestVote {
            pre_vote,
            transfer: campaign.transfer,
            last_index: self.log.last_index(),
            last_term: self.log.last_term(),
        };
        for peer in self.peers() {
            if !campaign.granted.contains(&peer) && !campaign.refused.contains(&peer) {
                self.send(peer, Body::RequestVote(request.clone()), Lsn::ZERO, out);
            }
        }
    }

    /// §5.2, §5.4.1: at most one vote a term, and only for a log that is at least as up to date.
    pub(super) fn on_request_vote(&mut self, from: NodeId, request: &RequestVote, out: &mut Output<Self>) {
        let stands_by_leader = self.hears_leader() && !request.transfer;
        let up_to_date = self.log.is_up_to_date(request.last_index, request.last_term);
        let may_vote = request.pre_vote || self.voted_for.is_none_or(|node| node == from);
        let granted = !stands_by_leader && up_to_date && may_vote;
        if granted && !request.pre_vote {
            assert!(!self.is_leader(), "a leader has voted for itself");
            if self.voted_for.is_none() {
                self.voted_for = Some(from);
                self.write_hard_state(out);
            }
            self.become_follower(self.term, "voted for another server", out);
            self.reset_election_timer();
        }
        let response = RequestVoteResponse { pre_vote: request.pre_vote, granted };
        // The vote is part of the newest term record, for which every message waits.
        self.send(from, Body::RequestVoteResponse(response), self.disk.hard_state(), out);
    }

    /// §5.2: counts a vote of the current term.
    pub(super) fn on_request_vote_response(
        &mut self,
        from: NodeId,
        response: &RequestVoteResponse,
        out: &mut Output<Self>,
    ) {
        let campaign = match &mut self.state {
            State::PreCandidate(campaign) if response.pre_vote => campaign,
            State::Candidate(campaign) if !response.pre_vote => campaign,
            _ => return ignore_kind(out, from, "RequestVoteResponse", "no such election is under way"),
        };
        if response.granted {
            campaign.refused.remove(&from);
            campaign.granted.insert(from);
        } else if !response.pre_vote && !campaign.granted.contains(&from) {
            campaign.refused.insert(from);
        }
        self.conclude_election(out);
    }

    /// A candidate's own vote counts like any other: once it is durable (contract invariant 1).
    pub(super) fn count_own_vote(&mut self, out: &mut Output<Self>) {
        if let State::Candidate(campaign) = &mut self.state
            && self.disk.is_hard_state_durable()
        {
            campaign.granted.insert(self.id);
            self.conclude_election(out);
        }
    }

    fn conclude_election(&mut self, out: &mut Output<Self>) {
        let quorum = self.quorum();
        match &self.state {
            State::PreCandidate(campaign) if campaign.granted.len() >= quorum => {
                self.become_candidate(false, "a quorum would vote for it", out);
            }
            // Without its own durable vote a server does not lead: it might vote for another one after a crash. A
            // snapshot that ends meanwhile writes term and vote anew; then the election waits for that record, too.
            State::Candidate(campaign)
                if campaign.granted.len() >= quorum
                    && campaign.granted.contains(&self.id)
                    && self.disk.is_hard_state_durable() =>
            {
                self.become_leader(out);
            }
            _ => {}
        }
    }

    pub(super) fn trace_role(&self, why: &'static str, out: &mut Output<Self>) {
        out.trace.push(Event::Became { role: self.role(), epoch: self.term, why });
    }
}
