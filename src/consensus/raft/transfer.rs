//! Leadership transfer: Diss. §3.10.

use super::message::Body;
use super::progress::Transfer;
use super::server::{Raft, State, ignore_kind};
use crate::consensus::{Event, Lsn, NodeId, Output};

impl Raft {
    /// The operator wants another leader.
    pub(super) fn on_transfer_leadership(&mut self, target: Option<NodeId>, out: &mut Output<Self>) {
        if !self.is_leader() {
            return self.note("no transfer: not the leader", out);
        }
        match target.or_else(|| self.best_successor()) {
            Some(target) => self.start_transfer(target, out),
            None => self.note("no transfer: no other member answers", out),
        }
    }

    /// This server should not lead, because of its disk: hands over, if there is anyone to hand over to.
    pub(super) fn leave_office(&mut self, out: &mut Output<Self>) {
        let State::Leader(leader) = &self.state else { return };
        if leader.transfer.is_some() {
            return;
        }
        if let Some(target) = self.best_successor() {
            self.note("hands leadership over because of its disk", out);
            self.start_transfer(target, out);
        }
    }

    /// The reachable follower that is most up to date, and whose disk takes entries.
    fn best_successor(&self) -> Option<NodeId> {
        let State::Leader(leader) = &self.state else { return None };
        let fit = leader.peers.iter().filter(|(_, peer)| self.is_active(peer) && !peer.full);
        fit.max_by_key(|(_, peer)| peer.match_index).map(|(id, _)| *id)
    }

    fn start_transfer(&mut self, target: NodeId, out: &mut Output<Self>) {
        let deadline = self.now + self.options.election_timeout_max();
        let State::Leader(leader) = &mut self.state else { return };
        if !leader.peers.contains_key(&target) {
            return self.note("no transfer: the target is no other member", out);
        }
        leader.transfer = Some(Transfer { target, deadline });
        self.note("leadership is being handed over", out);
        self.continue_transfer(target, out);
    }

    /// Once the target holds everything, tells it to start an election; with each heartbeat again, for the message may
    /// be lost, and a second one finds the target in a later term.
    pub(super) fn continue_transfer(&mut self, peer: NodeId, out: &mut Output<Self>) {
        let State::Leader(leader) = &self.state else { return };
        if leader.transfer.is_none_or(|transfer| transfer.target != peer) {
            return;
        }
        if leader.peers.get(&peer).is_some_and(|peer| peer.match_index == self.log.last_index()) {
            self.send(peer, Body::TimeoutNow, Lsn::ZERO, out);
        }
    }

    /// A transfer that takes longer than an election timeout has failed: the leader takes proposals again. A leader
    /// whose disk still stalls then steps down all the same.
    pub(super) fn on_transfer_timeout(&mut self, out: &mut Output<Self>) {
        let State::Leader(leader) = &mut self.state else { return };
        if leader.transfer.take_if(|transfer| self.now >= transfer.deadline).is_none() {
            return;
        }
        self.note("leadership could not be handed over", out);
        if self.disk.lag(self.now) >= self.options.election_timeout_max() {
            return self.become_follower(self.term, "its disk has stalled", out);
        }
        self.redispatch_requests(out);
    }

    /// Diss. §3.10: the leader wants this server to take over, at once and without a pre-vote.
    pub(super) fn on_timeout_now(&mut self, from: NodeId, out: &mut Output<Self>) {
        let follows = self.leader == Some(from) && !self.is_leader();
        if !follows || !self.members.contains(&self.id) {
            return ignore_kind(out, from, "TimeoutNow", "not from the leader that this server follows");
        }
        if self.disk.lag(self.now) >= self.options.election_timeout_min() {
            return ignore_kind(out, from, "TimeoutNow", "the disk does not answer");
        }
        self.become_candidate(true, "the leader hands over", out);
    }

    fn note(&self, what: &'static str, out: &mut Output<Self>) {
        out.trace.push(Event::Noted { what, index: self.log.last_index() });
    }
}
