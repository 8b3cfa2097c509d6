//! [`RaftWatch`], and the invariants that it judges one by one (§5, Figure 3).

use std::collections::{BTreeMap, BTreeSet};

use super::super::message::{Body, Message, Term};
use super::super::record::{Entry, Payload};
use super::super::server::Raft;
use super::disk::{Change, View};
use crate::consensus::{Index, NodeId};
use crate::sim::{Checked, Fingerprint, Violation};

/// An entry as it was first written anywhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    term: Term,
    print: u64,
    prev_term: Option<Term>,
    node: NodeId,
}

/// Watches Raft's invariants.
#[derive(Debug)]
pub struct RaftWatch {
    pub(super) quorum: usize,
    pub(super) views: Vec<View>,
    pub(super) leaders: BTreeMap<Term, NodeId>,
    /// All votes that were ever durable.
    pub(super) votes: BTreeMap<(Term, NodeId), NodeId>,
    /// The newest round of read confirmation that each leader has told, by its term.
    pub(super) rounds: BTreeMap<(Term, NodeId), u64>,
    /// In which terms each server has asked for votes, and in which for pre-votes.
    pub(super) campaigns: BTreeSet<(Term, NodeId, bool)>,
    /// By index, from 1: the entries of each term there.
    pub(super) entries: Vec<Vec<Known>>,
    /// By index, from 1: the term of the committed entry, and the highest term that had a leader when it was first seen
    /// to be committed: it was committed in that term or an earlier one.
    pub(super) committed: Vec<(Term, Term)>,
}

impl RaftWatch {
    pub(super) fn view(&mut self, node: NodeId) -> &mut View {
        &mut self.views[node.prev().0 as usize]
    }

    /// An answer is given in the term of its request: it confirms no round of read confirmation that the leader of its
    /// term has not begun (Diss. §6.4), and neither grants nor refuses a vote that was not asked for in its term (§5.2).
    pub(super) fn answers_its_request(&mut self, node: NodeId, to: NodeId, message: &Message) -> Checked {
        let term = message.term;
        let told = match &message.body {
            Body::AppendEntries(append) => {
                let told = self.rounds.entry((term, node)).or_default();
                *told = append.round.max(*told);
                return Ok(());
            }
            Body::AppendEntriesResponse(response) => (self.rounds.get(&(term, to)), response.round),
            Body::RequestVote(request) => {
                self.campaigns.insert((term, node, request.pre_vote));
                return Ok(());
            }
            Body::RequestVoteResponse(response) => {
                return if self.campaigns.contains(&(term, to, response.pre_vote)) {
                    Ok(())
                } else {
                    let detail =
                        format!("node {node} answers node {to} in term {term}, where it asked for no vote");
                    Err(Violation::new("answers-its-request", detail))
                };
            }
            _ => return Ok(()),
        };
        match told {
            (Some(told), round) if round <= *told => Ok(()),
            (told, round) => Err(Violation::new(
                "answers-its-request",
                format!(
                    "node {node} confirms round {round} of node {to} in term {term}, where the newest is {}",
                    told.map_or("none".to_owned(), u64::to_string)
                ),
            )),
        }
    }

    /// Log matching: two logs with an entry of the same index and term have the same entry, and the same one before it;
    /// from one to the next, all before it.
    pub(super) fn log_matching(&mut self, node: NodeId, entry: &Entry, prev_term: Option<Term>) -> Checked {
        let mut print = Fingerprint::default();
        if let Payload::Command(proposal) = &entry.payload {
            print.proposal(proposal);
        }
        let position = entry.index.prev().0 as usize;
        if self.entries.len() <= position {
            self.entries.resize(position + 1, Vec::new());
        }
        let known = self.entries[position].iter_mut().find(|known| known.term == entry.term);
        let Some(known) = known else {
            self.entries[position].push(Known { term: entry.term, print: print.value(), prev_term, node });
            return Ok(());
        };
        let same_before = known.prev_term.is_none() || prev_term.is_none() || known.prev_term == prev_term;
        known.prev_term = known.prev_term.or(prev_term);
        if known.print == print.value() && same_before {
            return Ok(());
        }
        Err(Violation::new(
            "log-matching",
            format!(
                "entry {}@{} of node {node} follows term {prev_term:?} and differs from that of node {}, which follows \
                 term {:?}",
                entry.index, entry.term, known.node, known.prev_term
            ),
        ))
    }

    /// Leader append-only: a leader never replaces or removes an entry of its log.
    pub(super) fn leader_append_only(&self, node: NodeId, change: Change) -> Checked {
        let view = &self.views[node.prev().0 as usize];
        let broken = match change {
            Change::Entry(index, term) => {
                view.leads
                    && term == view.term
                    && view.written.term == term
                    && index <= view.written.last_index()
            }
            Change::HardState(..) | Change::Reset(..) => false,
        };
        if !broken {
            return Ok(());
        }
        let last = view.written.last_index();
        Err(Violation::new(
            "leader-append-only",
            format!(
                "node {node} leads term {} and writes {change:?} though its log goes up to {last}",
                view.term
            ),
        ))
    }

    /// Election safety: a term has one leader at most. Leader completeness: it has every entry that was
    /// committed in an earlier term (§5.4.3).
    pub(super) fn new_leader(&mut self, node: NodeId, replica: &Raft) -> Checked {
        let term = replica.term();
        let first = *self.leaders.entry(term).or_insert(node);
        if first != node {
            let detail = format!("nodes {first} and {node} both lead term {term}");
            return Err(Violation::new("election-safety", detail));
        }
        // A leader of an earlier term that is elected late need not have what was committed in a later one.
        let earlier = self.committed.iter().rposition(|(_, by)| *by < term);
        let Some(position) = earlier else { return self.elected(node, term) };
        let (last, wanted) = (Index(position as u64 + 1), Some(self.committed[position].0));
        let found = replica.term_at(last);
        if last >= replica.first_index() && found != wanted {
            return Err(Violation::new(
                "leader-completeness",
                format!(
                    "node {node} leads term {term} without entry {last}@{wanted:?}, which is committed: it has {found:?} \
                     there"
                ),
            ));
        }
        self.elected(node, term)
    }

    /// A leader has a quorum of votes, and all of them are durable: counted no sooner than that.
    fn elected(&self, node: NodeId, term: Term) -> Checked {
        let votes = self.votes.range((term, NodeId::ZERO)..(term.next(), NodeId::ZERO));
        let count = votes.filter(|(_, candidate)| **candidate == node).count();
        if count >= self.quorum {
            return Ok(());
        }
        Err(Violation::new(
            "durable-before-counted",
            format!(
                "node {node} leads term {term} with {count} durable votes, of {} that it takes",
                self.quorum
            ),
        ))
    }

    /// A leader commits only entries of its own term by counting (§5.4.2), and only when a quorum holds them durably.
    pub(super) fn leader_commit(&self, node: NodeId, replica: &Raft) -> Checked {
        let commit = replica.commit_index();
        let Some(term) = replica.term_at(commit) else { return Ok(()) };
        if term != replica.term() {
            return Err(Violation::new(
                "commit-own-term",
                format!(
                    "node {node} leads term {} and commits entry {commit}@{term} by counting",
                    replica.term()
                ),
            ));
        }
        let holders: Vec<_> =
            (1..).zip(&self.views).filter(|(_, view)| view.holds(commit, term)).map(|(id, _)| id).collect();
        if holders.len() >= self.quorum {
            return Ok(());
        }
        Err(Violation::new(
            "durable-before-counted",
            format!(
                "node {node} commits entry {commit}@{term}, which only the disks of nodes {holders:?} hold, of {} that \
                 it takes",
                self.quorum
            ),
        ))
    }

    /// A leader believes of a follower only what that one's disk holds (Figure 2: matchIndex begins at zero). Followers
    /// that have heard of a later term may have replaced it since.
    pub(super) fn matched_is_held(&self, node: NodeId, replica: &Raft) -> Checked {
        for (peer, index) in replica.matched() {
            let view = &self.views[peer.prev().0 as usize];
            let below_log = index < replica.first_index();
            let held = index == Index::ZERO
                || view.written.term > replica.term()
                || replica.term_at(index).map_or(below_log, |term| view.holds(index, term));
            if !held {
                return Err(Violation::new(
                    "matched-is-held",
                    format!(
                        "node {node} leads term {} and believes that node {peer} holds entry {index}, whose disk does \
                         not",
                        replica.term()
                    ),
                ));
            }
        }
        Ok(())
    }

    pub(super) fn missing(node: NodeId, what: &str) -> Violation {
        Violation::new("durable-before-sent", format!("node {node} {what}, and its disk does not hold that"))
    }
}
