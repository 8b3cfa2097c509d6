//! How the server sees itself and the cluster, in neutral words.

use std::time::Duration;

use super::progress::{Leader, Mode};
use super::server::{Campaign, Raft, State};
use crate::consensus::{PeerStatus, Pressure, Status};

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
            peers,
            why: self.why(),
        }
    }

    fn describe_peers(&self, leader: &Leader) -> Vec<PeerStatus> {
        let describe = |(id, peer): (&crate::consensus::NodeId, &super::progress::Progress)| PeerStatus {
            id: id.0,
            matched: peer.match_index.0,
            active: self.is_active(peer),
            state: peer.state(),
        };
        leader.peers.iter().map(describe).collect()
    }

    /// What keeps this server, or the cluster as it sees it, from being healthy.
    fn why(&self) -> Vec<String> {
        let mut why = Vec::new();
        match &self.state {
            State::Leader(leader) => self.why_leader(leader, &mut why),
            State::PreCandidate(campaign) => why.push(self.why_campaign("pre-vote", campaign)),
            State::Candidate(campaign) => why.push(self.why_campaign("vote", campaign)),
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
            Pressure::Full => why.push("the disk is full: new writes are refused".to_owned()),
        }
        let lag = self.disk.lag(self.now);
        if lag >= self.options.election_timeout_min() {
            why.push(format!("the disk has not answered for {}", seconds(lag)));
        }
        why
    }

    fn why_campaign(&self, what: &str, campaign: &Campaign) -> String {
        let asked = self.members.len();
        let answers = format!("{what} got {} of {} needed", campaign.granted.len(), self.quorum());
        let silent = asked.saturating_sub(campaign.granted.len().max(1) + campaign.refused.len());
        let leaderless = seconds(self.now.since(self.last_heard));
        format!(
            "no leader known for {leaderless}: {answers}, {} refused, {silent} of {asked} did not answer",
            campaign.refused.len()
        )
    }

    fn why_leader(&self, leader: &Leader, why: &mut Vec<String>) {
        let reachable = self.reachable();
        if reachable < self.quorum() {
            why.push(format!("no quorum: {reachable} of {} reachable", self.members.len()));
        }
        for (id, peer) in &leader.peers {
            if !self.is_active(peer) {
                why.push(format!("{id} has not answered for {}", seconds(self.now.since(peer.last_heard))));
            } else if peer.full {
                why.push(format!("{id} takes no entries: its disk is full"));
            } else if let Mode::Snapshot(sending) = &peer.mode {
                why.push(format!(
                    "{id} is being sent a snapshot: {} of {} pieces",
                    sending.next, sending.meta.pieces
                ));
            }
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
