//! How the server sees itself and the cluster, in neutral words.

use std::time::Duration;

use super::progress::{Leader, Mode, Progress};
use super::server::{Campaign, Raft, State};
use crate::consensus::{Index, NodeId, PeerStatus, Pressure, Status};
use crate::text::counted;

impl Raft {
    pub(super) fn describe(&self) -> Status {
        let peers = match &self.state {
            State::Leader(leader) => self.describe_peers(leader),
            _ => Vec::new(),
        };
        Status {
            role: self.role(),
            epoch: self.term.0,
            leader: self.leader.map(|leader| leader.0),
            last: self.log.last_index().0,
            committed: self.commit_index.0,
            applied: self.applied.0,
            snapshot: self.snapshot_index().0,
            details: Vec::new(),
            peers,
            why: self.why(),
            convicted: Vec::new(),
            suspicions: Vec::new(),
        }
    }

    fn describe_peers(&self, leader: &Leader) -> Vec<PeerStatus> {
        let describe = |(id, peer): (&NodeId, &Progress)| PeerStatus {
            id: id.0,
            matched: peer.match_index.0,
            active: self.is_active(peer),
            state: peer.state(),
            why: self.why_peer(peer),
        };
        leader.peers.iter().map(describe).collect()
    }

    /// What a leader believes each follower to hold durably; nothing unless it leads.
    pub(super) fn matched(&self) -> impl Iterator<Item = (NodeId, Index)> {
        let peers = if let State::Leader(leader) = &self.state { Some(&leader.peers) } else { None };
        peers.into_iter().flatten().map(|(id, peer)| (*id, peer.match_index))
    }

    /// What keeps this server, or the cluster as it sees it, from being healthy.
    fn why(&self) -> Vec<String> {
        let mut why = Vec::new();
        match &self.state {
            State::Leader(leader) => self.why_leader(leader, &mut why),
            State::PreCandidate(campaign) => self.why_campaign("pre-vote", campaign, &mut why),
            State::Candidate(campaign) => self.why_campaign("vote", campaign, &mut why),
            State::Follower if self.leader.is_none() => {
                why.push(format!("no leader known for {}", seconds(self.now.since(self.last_heard))));
            }
            State::Follower => {}
        }
        if let Some(receiving) = &self.receiving {
            why.push(receiving.describe());
        }
        match self.disk.pressure {
            Pressure::Ok => {}
            Pressure::Slow => why.push("the disk is slow: new writes are refused".to_owned()),
            Pressure::Full(what) => why.push(format!("{}: new writes are refused", what.in_words())),
        }
        let lag = self.disk.lag(self.now);
        if lag >= self.options.election_timeout_min() {
            why.push(format!("the disk has not answered for {}", seconds(lag)));
        }
        why
    }

    fn why_campaign(&self, what: &str, campaign: &Campaign, why: &mut Vec<String>) {
        let (granted, refused) = (campaign.granted.len(), campaign.refused.len());
        let answered = campaign.granted.union(&campaign.refused).filter(|id| **id != self.id).count() + 1;
        let leaderless = seconds(self.now.since(self.last_heard));
        let quorum = self.quorum();
        why.push(format!(
            "no leader known for {leaderless}: {what} got {granted} of {quorum} needed, {refused} refused"
        ));
        if answered < quorum {
            why.push(format!("no quorum: {answered} of {} reachable", self.members.len()));
        }
    }

    /// What keeps a follower from being well, as its leader sees it.
    fn why_peer(&self, peer: &Progress) -> Option<String> {
        if !self.is_active(peer) {
            let silence = seconds(self.now.since(peer.last_heard));
            return Some(format!("has not answered the leader for {silence}"));
        }
        if peer.full {
            return Some("takes no entries: its disk is full".to_owned());
        }
        let Mode::Snapshot(sending) = &peer.mode else { return None };
        let (sent, all) = (sending.next, counted(sending.meta.pieces.into(), "piece", "pieces"));
        Some(format!("is being sent a snapshot: {sent} of {all}"))
    }

    fn why_leader(&self, leader: &Leader, why: &mut Vec<String>) {
        let reachable = self.reachable(self.options.election_timeout_min());
        if reachable < self.quorum() {
            why.push(format!("no quorum: {reachable} of {} reachable", self.members.len()));
        }
        if self.commit_index < leader.term_start {
            why.push("the term's first entry is not committed yet".to_owned());
        }
        if let Some(transfer) = leader.transfer {
            why.push(format!("leadership is being handed over to {}", transfer.target));
        }
    }
}

/// A time that people can read at a glance.
fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
