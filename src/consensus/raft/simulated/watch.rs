//! What the watch hears, and by which invariant it is judged.

use std::collections::{BTreeMap, BTreeSet};

use super::super::message::{AppendOutcome, Body, InstallOutcome, Message, Term};
use super::super::record::Record;
use super::super::server::Raft;
use super::disk::{Change, View, matches};
use super::invariants::RaftWatch;
use crate::consensus::{Committed, Index, Lsn, NodeId, SnapshotMeta};
use crate::sim::{Checked, Simulated as _, Violation, Watch};

impl Watch<Raft> for RaftWatch {
    fn new(members: &[NodeId], _: &[NodeId]) -> Self {
        Self {
            quorum: members.len() / 2 + 1,
            views: members.iter().map(|_| View::default()).collect(),
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
            rounds: BTreeMap::new(),
            campaigns: BTreeSet::new(),
            entries: Vec::new(),
            committed: Vec::new(),
        }
    }

    fn wrote(&mut self, node: NodeId, lsn: Lsn, record: Record) -> Checked {
        let change = match &record {
            Record::HardState { term, voted_for } => Change::HardState(*term, *voted_for),
            Record::Entry(entry) => Change::Entry(entry.index, entry.term),
            Record::Reset { index, term } => Change::Reset(*index, *term),
        };
        self.leader_append_only(node, change)?;
        if let Record::Entry(entry) = &record {
            let prev_term = self.view(node).written.term_at(entry.index.prev());
            self.log_matching(node, entry, prev_term)?;
        }
        let view = self.view(node);
        view.written.apply(change);
        view.pending.push_back((lsn, change));
        Ok(())
    }

    fn durable(&mut self, node: NodeId, up_to: Lsn) -> Checked {
        let view = &mut self.views[node.prev().0 as usize];
        while let Some((_, change)) = view.pending.pop_front_if(|(lsn, _)| *lsn <= up_to) {
            view.durable.apply(change);
            let Change::HardState(term, Some(vote)) = change else { continue };
            let first = *self.votes.entry((term, node)).or_insert(vote);
            if first != vote {
                return Err(Violation::new(
                    "one-vote-a-term",
                    format!(
                        "node {node} votes for node {vote} in term {term}, after a durable vote for node {first}"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, node: NodeId, meta: &SnapshotMeta) {
        let view = self.view(node);
        view.snapshot = view.snapshot.max((meta.index, meta.epoch));
    }

    /// Nothing leaves a node before it is durable: no term, no vote, no acknowledgement.
    fn sent(&mut self, node: NodeId, to: NodeId, message: &Message) -> Checked {
        let view = &self.views[node.prev().0 as usize];
        let term = message.term;
        if view.durable.term.max(view.snapshot.1) < term {
            return Err(Self::missing(node, &format!("says that term {term} began")));
        }
        self.answers_its_request(node, to, message)?;
        let view = &self.views[node.prev().0 as usize];
        let held = view.durable.last_index().max(view.snapshot.0);
        let missing = match &message.body {
            Body::RequestVoteResponse(response) if response.granted && !response.pre_vote => {
                let voted = self.votes.get(&(term, node)) == Some(&to);
                (!voted).then(|| format!("grants its vote of term {term} to node {to}"))
            }
            // Of a term that is over, what was acknowledged may have been replaced since.
            Body::AppendEntriesResponse(response) => match response.outcome {
                AppendOutcome::Matched(index) if view.durable.term == term && index > held => {
                    Some(format!("acknowledges entries up to {index}"))
                }
                _ => None,
            },
            Body::InstallSnapshotResponse(response)
                if response.outcome == InstallOutcome::Done && response.index > held =>
            {
                Some(format!("acknowledges the snapshot of {}", response.index))
            }
            _ => None,
        };
        missing.map_or(Ok(()), |what| Err(Self::missing(node, &what)))
    }

    /// State machine safety, in Raft's words: what is committed at an index is of one term.
    fn committed(&mut self, node: NodeId, slot: &Committed) -> Checked {
        let position = slot.index.prev().0 as usize;
        match self.committed.get(position) {
            None => {
                let by = self.leaders.keys().next_back().copied().unwrap_or_default();
                self.committed.push((slot.epoch, by));
            }
            Some((term, _)) if *term == slot.epoch => {}
            Some((term, _)) => {
                return Err(Violation::new(
                    "state-machine-safety",
                    format!(
                        "node {node} commits {}@{}, where term {term} was committed",
                        slot.index, slot.epoch
                    ),
                ));
            }
        }
        Ok(())
    }

    /// Term and commit index never go back; a leader is judged when it begins, and when it commits.
    fn stepped(&mut self, node: NodeId, replica: &Raft) -> Checked {
        let view = &self.views[node.prev().0 as usize];
        let (term, commit, leads) = (replica.term(), replica.commit_index(), replica.leads());
        if term < view.term || commit < view.commit {
            return Err(Violation::new(
                "monotonic",
                format!(
                    "node {node} goes back from term {} to {term}, or from commit index {} to {commit}",
                    view.term, view.commit
                ),
            ));
        }
        let (led, before) = (view.leads && view.term == term, view.commit);
        if leads && !led {
            self.new_leader(node, replica)?;
        }
        if leads {
            self.matched_is_held(node, replica)?;
        }
        if leads && commit > before {
            self.leader_commit(node, replica)?;
        }
        let view = self.view(node);
        (view.term, view.commit, view.leads) = (term, commit, leads);
        Ok(())
    }

    /// Nothing that was durable is missing after a restart: the disk holds what was durable, and of what was on its way
    /// a prefix.
    fn restarted(&mut self, node: NodeId, replica: &Raft, snapshot: Option<&SnapshotMeta>) -> Checked {
        let view = self.view(node);
        let newest = snapshot.map_or((Index::ZERO, Term::ZERO), |meta| (meta.index, meta.epoch));
        let pending = std::mem::take(&mut view.pending);
        let mut disk = view.durable.clone();
        let mut found = matches(&disk, replica, newest);
        for (_, change) in pending {
            if found {
                break;
            }
            disk.apply(change);
            found = matches(&disk, replica, newest);
        }
        if !found || newest.0 < view.snapshot.0 {
            return Err(Violation::new(
                "promises-survive",
                format!(
                    "node {node} starts again with term {}, vote {:?}, entries up to {} and snapshot {}; durable were \
                     term {}, vote {:?}, entries up to {}@{:?} and snapshot {}",
                    replica.term(),
                    replica.voted_for(),
                    replica.last_index(),
                    newest.0,
                    view.durable.term,
                    view.durable.voted_for,
                    view.durable.last_index(),
                    view.durable.term_at(view.durable.last_index()),
                    view.snapshot.0
                ),
            ));
        }
        if replica.last_index() == newest.0 && disk.last_index() != newest.0 {
            // The log did not match the snapshot, and is void.
            (disk.base, disk.base_term) = newest;
            disk.terms.clear();
        }
        // What was found on disk is durable now; votes among it count.
        let vote = disk.voted_for.map(|vote| ((disk.term, node), vote));
        view.snapshot = newest;
        view.written = disk.clone();
        view.durable = disk;
        (view.term, view.commit, view.leads) = (replica.term(), replica.commit_index(), false);
        self.votes.extend(vote);
        Ok(())
    }

    fn elections(&self) -> u64 {
        self.leaders.len() as u64
    }
}
