//! Raft in the simulator: its settings, its words, and its invariants (§5, Figure 3) over all nodes.
//!
//! The watch keeps for each node what its disk must hold (`durable`) and what was given to it so far (`written`), from
//! the records alone and without asking the replica. So a promise is judged by what is on disk, not by what the
//! replica believes.

use std::collections::{BTreeMap, VecDeque};

use super::message::{AppendOutcome, Body, InstallOutcome, Message, Term};
use super::options::Options;
use super::record::{Entry, Payload, Record};
use super::server::Raft;
use crate::consensus::{Committed, Index, Lsn, NodeId, Role, SnapshotMeta};
use crate::sim::{Checked, Dice, Fingerprint, Simulated, Violation, Watch};

impl Simulated for Raft {
    type Watch = RaftWatch;

    const SIZES: &'static [usize] = &[5];

    const SEGMENTS_KIB: &'static [u64] = &[4, 8, 16, 24, 64, 128];

    fn tolerates(nodes: usize) -> usize {
        (nodes - 1) / 2
    }

    fn small_options(dice: &mut Dice) -> Options {
        const KIB: usize = 1024;
        let snapshot_log_bytes = *dice.pick(&[2, 8, 32, 128]) * KIB;
        let keep_log_bytes = *dice.pick(&[0, 1, 4, 16]) * KIB;
        Options {
            max_append_entries: *dice.pick(&[1, 4, 64]),
            max_append_bytes: *dice.pick(&[KIB, 8 * KIB]),
            max_inflight_messages: *dice.pick(&[1, 4, 64]),
            max_inflight_bytes: *dice.pick(&[2 * KIB, 64 * KIB]),
            max_request_bytes: 4 * KIB,
            max_pending_requests: *dice.pick(&[4, 1000]),
            max_pending_bytes: 64 * KIB,
            snapshot_log_bytes,
            keep_log_bytes,
            max_log_bytes: 2 * (snapshot_log_bytes + keep_log_bytes) + 64 * KIB,
            max_inflight_pieces: *dice.pick(&[1, 2, 4]),
            ..Options::default()
        }
    }

    fn describe(message: &Message) -> String {
        let term = message.term;
        match &message.body {
            Body::RequestVote(request) => format!(
                "{} of term {term}: last entry {}@{}{}",
                if request.pre_vote { "PreVote" } else { "RequestVote" },
                request.last_index,
                request.last_term,
                if request.transfer { ", for a transfer" } else { "" }
            ),
            Body::RequestVoteResponse(response) => format!(
                "{} of term {term}: {}",
                if response.pre_vote { "PreVoteResponse" } else { "RequestVoteResponse" },
                if response.granted { "granted" } else { "refused" }
            ),
            Body::AppendEntries(append) => {
                let entries: Vec<_> =
                    append.entries.iter().map(|entry| format!("{}@{}", entry.index, entry.term)).collect();
                format!(
                    "AppendEntries of term {term} after {}@{}: [{}], commit {}, round {}",
                    append.prev_index,
                    append.prev_term,
                    entries.join(" "),
                    append.commit,
                    append.round
                )
            }
            Body::AppendEntriesResponse(response) => {
                format!(
                    "AppendEntriesResponse of term {term}: {:?}, round {}",
                    response.outcome, response.round
                )
            }
            Body::InstallSnapshot(piece) => {
                format!("InstallSnapshot of term {term}: {} piece {}", piece.meta.index, piece.number)
            }
            Body::InstallSnapshotResponse(response) => {
                format!("InstallSnapshotResponse of term {term}: {} {:?}", response.index, response.outcome)
            }
            Body::TimeoutNow => format!("TimeoutNow of term {term}"),
            Body::Forward(forward) => {
                let ids: Vec<_> = forward.proposals.iter().map(|proposal| proposal.id.to_string()).collect();
                format!("Forward of term {term}: {}", ids.join(" "))
            }
            Body::ForwardRejected(rejected) => format!("ForwardRejected of term {term}: {}", rejected.reason),
            Body::ReadIndex(attempt) => format!("ReadIndex of term {term}: {attempt:?}"),
            Body::ReadIndexResponse(response) => {
                format!("ReadIndexResponse of term {term}: {:?} at {}", response.attempt, response.index)
            }
        }
    }

    fn describe_record(record: &Record) -> String {
        match record {
            Record::HardState { term, voted_for: Some(node) } => format!("term {term}, vote for n{node}"),
            Record::HardState { term, voted_for: None } => format!("term {term}, no vote"),
            Record::Entry(Entry { index, term, payload: Payload::Noop }) => {
                format!("entry {index}@{term}: no-op")
            }
            Record::Entry(Entry { index, term, payload: Payload::Command(proposal) }) => {
                format!("entry {index}@{term}: command {}", proposal.id)
            }
            Record::Reset { index, term } => format!("reset to {index}@{term}"),
        }
    }

    fn leads(&self) -> bool {
        self.role() == Role::Leader
    }
}

/// What a log on disk comes to: the terms of its entries, above a base.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Disk {
    term: Term,
    voted_for: Option<NodeId>,
    base: Index,
    base_term: Term,
    terms: Vec<Term>,
}

impl Disk {
    fn last_index(&self) -> Index {
        Index(self.base.0 + self.terms.len() as u64)
    }

    fn term_at(&self, index: Index) -> Option<Term> {
        if index == self.base {
            return Some(self.base_term);
        }
        let position = index.0.checked_sub(self.base.0 + 1)?;
        self.terms.get(position as usize).copied()
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::HardState(term, voted_for) => (self.term, self.voted_for) = (term, voted_for),
            Change::Entry(index, term) => {
                if index <= self.base || index > self.last_index().next() {
                    // The log goes on behind a snapshot that is on disk already, the reset before it on its way.
                    (self.base, self.base_term) = (index.prev(), Term::ZERO);
                    self.terms.clear();
                }
                self.terms.truncate((index.0 - self.base.0 - 1) as usize);
                self.terms.push(term);
            }
            Change::Reset(index, term) => {
                (self.base, self.base_term) = (index, term);
                self.terms.clear();
            }
        }
    }
}

/// A record without its content.
#[derive(Clone, Copy, Debug)]
enum Change {
    HardState(Term, Option<NodeId>),
    Entry(Index, Term),
    Reset(Index, Term),
}

/// What is known of a node.
#[derive(Debug, Default)]
struct View {
    durable: Disk,
    written: Disk,
    /// Records that are written and not durable.
    pending: VecDeque<(Lsn, Change)>,
    /// The newest durable snapshot.
    snapshot: (Index, Term),
    /// As it was after the last step.
    term: Term,
    commit: Index,
    leads: bool,
}

impl View {
    /// Whether everything up to the entry is on the node's disk, as an entry or in a snapshot.
    fn holds(&self, index: Index, term: Term) -> bool {
        index <= self.snapshot.0 || index < self.durable.base || self.durable.term_at(index) == Some(term)
    }
}

/// An entry as it was first written anywhere.
#[derive(Clone, Copy, Debug)]
struct Known {
    term: Term,
    print: u64,
    prev_term: Option<Term>,
    node: NodeId,
}

/// Watches Raft's invariants.
#[derive(Debug)]
pub struct RaftWatch {
    quorum: usize,
    views: Vec<View>,
    leaders: BTreeMap<Term, NodeId>,
    /// All votes that were ever durable.
    votes: BTreeMap<(Term, NodeId), NodeId>,
    /// By index, from 1: the entries of each term there.
    entries: Vec<Vec<Known>>,
    /// By index, from 1: the term of the committed entry, and the highest term that had a leader when it was first seen
    /// to be committed: it was committed in that term or an earlier one.
    committed: Vec<(Term, Term)>,
}

impl RaftWatch {
    fn view(&mut self, node: NodeId) -> &mut View {
        &mut self.views[node.prev().0 as usize]
    }

    /// Log matching: two logs with an entry of the same index and term have the same entry, and the same one before it;
    /// from one to the next, all before it.
    fn log_matching(&mut self, node: NodeId, entry: &Entry, prev_term: Option<Term>) -> Checked {
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
    fn leader_append_only(&self, node: NodeId, change: Change) -> Checked {
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
    fn new_leader(&mut self, node: NodeId, replica: &Raft) -> Checked {
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
    fn leader_commit(&self, node: NodeId, replica: &Raft) -> Checked {
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
    fn matched_is_held(&self, node: NodeId, replica: &Raft) -> Checked {
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

    fn missing(node: NodeId, what: &str) -> Violation {
        Violation::new("durable-before-sent", format!("node {node} {what}, and its disk does not hold that"))
    }
}

impl Watch<Raft> for RaftWatch {
    fn new(members: &[NodeId], _: &[NodeId]) -> Self {
        Self {
            quorum: members.len() / 2 + 1,
            views: members.iter().map(|_| View::default()).collect(),
            leaders: BTreeMap::new(),
            votes: BTreeMap::new(),
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

/// Whether a replica that started again has what the disk held, given its newest snapshot.
fn matches(disk: &Disk, replica: &Raft, (snapshot, epoch): (Index, Term)) -> bool {
    let (term, vote) = if disk.term >= epoch { (disk.term, disk.voted_for) } else { (epoch, None) };
    if (replica.term(), replica.voted_for()) != (term, vote) {
        return false;
    }
    let fits =
        disk.term_at(snapshot) == Some(epoch) || (disk.base == snapshot && disk.base_term == Term::ZERO);
    if !fits {
        return replica.last_index() == snapshot;
    }
    let last = disk.last_index();
    replica.last_index() == last
        && (snapshot.next().0..=last.0)
            .all(|index| replica.term_at(Index(index)) == disk.term_at(Index(index)))
}
