//! How the replica sees itself and the cluster, in neutral words.

use super::replica::Replica;
use crate::consensus::{PeerStatus, Pressure, Status};

impl Replica {
    pub(super) fn status(&self) -> Status {
        let accepted = self.slots.iter().rev().find(|(_, slot)| slot.accepted.is_some());
        Status {
            role: self.role(),
            epoch: self.view.0,
            leader: self.active.then(|| self.primary().0),
            last: accepted.map_or(self.executed, |(sequence, _)| (*sequence).max(self.executed)).0,
            committed: self.executed.0,
            applied: self.applied.0,
            snapshot: self.checkpoints.saved().0,
            details: vec![
                ("low_water_mark", self.low_water_mark().0),
                ("high_water_mark", self.high_water_mark().0),
                ("stable_checkpoint", self.low_water_mark().0),
                ("waiting_requests", self.pool.len() as u64),
            ],
            peers: self.peers_status(),
            why: self.why(),
            convicted: self.evidence.describe(),
            suspicions: self.suspected(),
        }
    }

    fn peers_status(&self) -> Vec<PeerStatus> {
        let describe = |id: &crate::consensus::NodeId| {
            let status = self.peers.get(id).and_then(|peer| peer.status);
            let state = match status {
                None => "not heard of",
                Some(status) if status.view > self.view => "in a later view",
                Some(status) if status.view < self.view => "in an earlier view",
                Some(status) if status.active => "in this view",
                Some(_) => "waiting for this view",
            };
            let matched = status.map_or(0, |status| status.committed.0);
            PeerStatus { id: id.0, matched, active: self.hears(*id), state, why: None }
        };
        self.peers.keys().map(describe).collect()
    }

    /// What keeps this replica, or the cluster as it sees it, from being healthy.
    fn why(&self) -> Vec<String> {
        let mut why = Vec::new();
        if !self.hears_a_quorum() {
            let heard = self.quorum.members().iter().filter(|id| self.hears(**id)).count();
            let (n, quorum) = (self.quorum.n(), self.quorum.quorum());
            why.push(format!("hears {heard} of {n} replicas, itself included; a quorum is {quorum}"));
        }
        if !self.active {
            let (view, primary, quorum) = (self.view, self.primary(), self.quorum.quorum());
            let count = self.view_changes.for_view(view).count();
            why.push(format!(
                "waits for the NEW-VIEW of view {view} from its primary {primary}: {count} of {quorum} VIEW-CHANGEs are here"
            ));
        }
        if let Some(sequence) = self.checkpoints.diverged() {
            why.push(format!(
                "its own state differs from the stable one at {sequence}; it is being replaced"
            ));
        }
        if let Some(transfer) = &self.transfer {
            why.push(transfer.describe());
        }
        if self.active && !self.pool.is_empty() && self.executed == self.high_water_mark() {
            why.push("the window is full: no checkpoint became stable".to_owned());
        }
        if let Some(waited) = self.pool.oldest().map(|since| self.now.since(since))
            && waited >= self.options.request_timer()
        {
            why.push(format!("a request has waited to be ordered for {:.1} s", waited.as_secs_f64()));
        }
        match self.disk.pressure() {
            Pressure::Ok => {}
            Pressure::Slow => why.push("the disk does not keep up".to_owned()),
            Pressure::Full(what) => why.push(what.in_words().to_owned()),
        }
        let lag = self.disk.lag(self.now);
        if lag >= self.options.request_timer() {
            why.push(format!("the disk has not answered for {:.1} s", lag.as_secs_f64()));
        }
        why
    }
}
