//! The leader's side of replication: §5.3, §5.4.2; pipelining and flow control Diss. §10.2; check-quorum Diss. §6.2.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::message::{AppendEntries, AppendEntriesResponse, AppendOutcome, Body, Message, Term};
use super::progress::{Leader, Mode, Progress};
use super::record::{Entry, Payload};
use super::server::{Raft, State, ignore_kind};
use crate::consensus::{Event, Index, Lsn, NodeId, Outgoing, Output, Pressure, Shortage};

impl Raft {
    /// Takes office: nothing is known of the followers, and a no-op opens the term (§5.3, Diss. §6.4).
    pub(super) fn become_leader(&mut self, out: &mut Output<Self>) {
        assert!(self.disk.is_hard_state_durable(), "a leader's own vote is durable");
        let last_index = self.log.last_index();
        let handed_over = matches!(&self.state, State::Candidate(campaign) if campaign.transfer);
        // The vote was written after everything in the log, so that the log is durable with it.
        assert_eq!(self.log.durable_index(), last_index, "a new leader's log is durable");
        let peers = self.peers().map(|peer| (peer, Progress::new(last_index, self.now))).collect();
        let tail: BTreeSet<_> = self.log.range(self.commit_index, last_index).filter_map(Entry::id).collect();
        self.state = State::Leader(Box::new(Leader {
            term_start: last_index.next(),
            peers,
            heartbeat_deadline: self.now + self.options.heartbeat_interval(),
            round: 0,
            confirming: None,
            reads: Vec::new(),
            transfer: None,
            tail,
            forwards: BTreeMap::new(),
        }));
        self.leader = Some(self.id);
        self.trace_role("a quorum voted for it", out);
        let noop = Entry { index: last_index.next(), term: self.term, payload: Payload::Noop };
        self.append_to_log(noop, out);
        self.broadcast_append_entries(out);
        self.redispatch_requests(out);
        // Not if it was handed over to this server: where all disks are full, office would be passed round for ever.
        if self.disk.pressure.is_full() && !handed_over {
            self.leave_office(out);
        }
    }

    /// Sends every follower the entries that it lacks, as far as its window allows.
    pub(super) fn broadcast_append_entries(&mut self, out: &mut Output<Self>) {
        for peer in self.peers().collect::<Vec<_>>() {
            self.send_append_entries(peer, out);
        }
    }

    /// Sends `to` the entries that it lacks, as far as its window allows. They do not wait for this server's own disk
    /// (Diss. §10.2.1): an entry is not promised by sending it.
    pub(super) fn send_append_entries(&mut self, to: NodeId, out: &mut Output<Self>) {
        loop {
            let State::Leader(leader) = &self.state else { return };
            let Some(peer) = leader.peers.get(&to) else { return };
            let gone = peer.next_index <= self.log.base_index();
            // Also to a follower whose disk was full: with its next entry gone there is nothing smaller to offer, and
            // its answers to heartbeats, which can only ask about the base, would never say that there is room again.
            if gone && matches!(peer.mode, Mode::Probe { waiting: false }) {
                return self.start_snapshot(to, out);
            }
            if !peer.has_room(&self.options) || peer.next_index > self.log.last_index() {
                return;
            }
            if gone {
                return self.start_snapshot(to, out);
            }
            self.send_entries(to, out);
        }
    }

    /// Sends `to` one message with the next entries.
    fn send_entries(&mut self, to: NodeId, out: &mut Output<Self>) {
        let State::Leader(leader) = &mut self.state else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        let first = peer.next_index;
        // A follower whose disk was full is asked with one entry whether it has room again.
        let most = if peer.full { 1 } else { self.options.max_append_entries };
        let entries = self.log.slice(first, most, self.options.max_append_bytes);
        let (Some(last), Some(prev_term)) = (entries.last(), self.log.term_at(first.prev())) else { return };
        let last = last.index;
        peer.on_sent(last, self.log.bytes_between(first.prev(), last));
        let commit = self.commit_index.min(last);
        peer.commit_sent = peer.commit_sent.max(commit);
        let append = AppendEntries {
            prev_index: first.prev(),
            prev_term,
            commit,
            round: leader.round,
            reply: true,
            entries,
        };
        let message = Message { term: self.term, body: Body::AppendEntries(append) };
        out.messages.push(Outgoing { to, message, after: self.disk.after(Lsn::ZERO) });
    }

    /// Sends `to` a message without entries: a heartbeat, a round of read confirmation, or (without `reply`) the news
    /// of a higher commit index. It says nothing about commits beyond the entry by which it lets the follower match.
    pub(super) fn send_empty(&mut self, to: NodeId, reply: bool, out: &mut Output<Self>) {
        let State::Leader(leader) = &mut self.state else { return };
        let Some(peer) = leader.peers.get_mut(&to) else { return };
        let prev_index = peer.next_index.prev().max(self.log.base_index());
        let prev_term = self.log.term_at(prev_index).expect("what was sent to a follower is in the log");
        let commit = self.commit_index.min(prev_index);
        peer.commit_sent = peer.commit_sent.max(commit);
        let append =
            AppendEntries { prev_index, prev_term, commit, round: leader.round, reply, entries: Vec::new() };
        let message = Message { term: self.term, body: Body::AppendEntries(append) };
        out.messages.push(Outgoing { to, message, after: self.disk.after(Lsn::ZERO) });
    }

    /// §5.3, §5.4: a follower holds the entries, or says where to look for the match.
    pub(super) fn on_append_entries_response(
        &mut self,
        from: NodeId,
        response: &AppendEntriesResponse,
        out: &mut Output<Self>,
    ) {
        const KIND: &str = "AppendEntriesResponse";
        let (now, last_index, base_index) = (self.now, self.log.last_index(), self.log.base_index());
        let State::Leader(leader) = &mut self.state else {
            return ignore_kind(out, from, KIND, "not a leader");
        };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        if response.round > leader.round {
            return ignore_kind(out, from, KIND, "it answers a round that was not begun");
        }
        if matches!(response.outcome, AppendOutcome::Matched(index) if index > last_index) {
            return ignore_kind(out, from, KIND, "it matches beyond the log");
        }
        // Only now is anything taken from it: what is refused confirms nothing either.
        peer.last_heard = now;
        peer.round = peer.round.max(response.round);
        match response.outcome {
            AppendOutcome::Matched(index) => {
                peer.on_matched(index, base_index);
                self.advance_leader_commit(out);
                self.continue_transfer(from, out);
            }
            AppendOutcome::Conflict { prev_index, index, term } => {
                self.back_off(from, prev_index, (index, term), out);
            }
            AppendOutcome::Full => {
                peer.full = true;
                peer.become_probe(peer.match_index.next(), true);
            }
        }
        self.send_append_entries(from, out);
        self.send_commit(from, out);
        self.advance_read_round(out);
    }

    /// §5.3 (end), with the follower's hint: the last position that could match is the leader's last one whose term is
    /// not above the hint's. Each exchange skips at least one whole term on one side.
    fn back_off(&mut self, from: NodeId, prev_index: Index, hint: (Index, Term), out: &mut Output<Self>) {
        let State::Leader(leader) = &mut self.state else { return };
        let Some(peer) = leader.peers.get_mut(&from) else { return };
        // A heartbeat asks about the base when what comes next for the follower was compacted meanwhile.
        let newest = peer.next_index.prev().max(self.log.base_index());
        let relevant = match peer.mode {
            Mode::Probe { .. } => prev_index == newest,
            Mode::Replicate => prev_index > peer.match_index && prev_index <= newest,
            // It will match once it has the snapshot.
            Mode::Snapshot(_) => return,
        };
        if !relevant || hint.0 > prev_index {
            return ignore_kind(out, from, "AppendEntriesResponse", "the conflict was resolved before");
        }
        let base = (self.log.base_index(), self.log.base_term());
        let next_index = if hint.0 < base.0 {
            hint.0.next()
        } else {
            match self.log.last_not_above(hint.0, hint.1) {
                // Not even the base can match: the entries before it are gone.
                (index, term) if index == base.0 && term > hint.1 => index,
                (index, _) => index.next(),
            }
        };
        // Each step backs off, so that a follower whose answers are strange is not probed at one place for ever.
        peer.become_probe(next_index.min(prev_index.max(Index(1))), false);
    }

    /// §5.3, §5.4.2: commits what a quorum holds durably, this server among them only as far as its own disk is, and
    /// only by counting an entry of the current term. Entries of earlier terms are committed with it (Figure 8).
    pub(super) fn advance_leader_commit(&mut self, out: &mut Output<Self>) {
        let State::Leader(leader) = &self.state else { return };
        let mut matched: Vec<Index> = leader.peers.values().map(|peer| peer.match_index).collect();
        if self.members.contains(&self.id) {
            matched.push(self.log.durable_index());
        }
        matched.sort_unstable_by(|a, b| b.cmp(a));
        let Some(&held_by_quorum) = matched.get(self.quorum() - 1) else { return };
        if held_by_quorum <= self.commit_index || self.log.term_at(held_by_quorum) != Some(self.term) {
            return;
        }
        self.advance_commit(held_by_quorum, out);
        self.broadcast_commit(out);
        self.advance_read_round(out);
    }

    /// Tells followers at once, since their clients wait for it, too.
    fn broadcast_commit(&mut self, out: &mut Output<Self>) {
        for to in self.peers().collect::<Vec<_>>() {
            self.send_append_entries(to, out);
            self.send_commit(to, out);
        }
    }

    /// Tells `to` the commit index, if it holds more of what is committed than it was told.
    fn send_commit(&mut self, to: NodeId, out: &mut Output<Self>) {
        let State::Leader(leader) = &self.state else { return };
        let Some(peer) = leader.peers.get(&to) else { return };
        let news = self.commit_index.min(peer.next_index.prev()) > peer.commit_sent;
        if news && matches!(peer.mode, Mode::Replicate) {
            self.send_empty(to, false, out);
        }
    }

    /// What a leader does by the clock: check-quorum, its own disk, transfer, heartbeats, snapshots unanswered.
    pub(super) fn on_leader_timeout(&mut self, out: &mut Output<Self>) {
        self.on_transfer_timeout(out);
        let State::Leader(leader) = &mut self.state else { return };
        if self.now < leader.heartbeat_deadline {
            return;
        }
        leader.heartbeat_deadline = self.now + self.options.heartbeat_interval();
        if !self.has_quorum_heard() {
            return self.become_follower(self.term, "heard of no quorum for an election timeout", out);
        }
        // A disk that stalls while there is nothing to write must not be found out by the first client.
        out.probe |= self.disk.probe(self.now, self.options.retry_interval());
        if self.disk.lag(self.now) >= self.options.election_timeout_max() {
            self.leave_office(out);
        }
        self.broadcast_heartbeat(out);
    }

    /// Check-quorum (Diss. §6.2): a leader that a quorum does not answer has no place in office, or those who still
    /// hear it would refuse to elect another.
    fn has_quorum_heard(&self) -> bool {
        self.reachable(self.options.election_timeout_max()) >= self.quorum()
    }

    /// How many members, this one included, were heard of within `time`.
    pub(super) fn reachable(&self, time: Duration) -> usize {
        let State::Leader(leader) = &self.state else { return 0 };
        let heard = leader.peers.values().filter(|peer| self.now.since(peer.last_heard) < time).count();
        heard + usize::from(self.members.contains(&self.id))
    }

    /// Whether a follower was heard of within the shortest election timeout: sooner than a leader steps down, so that
    /// `status` can say why it is about to.
    pub(super) fn is_active(&self, peer: &Progress) -> bool {
        self.now.since(peer.last_heard) < self.options.election_timeout_min()
    }

    fn broadcast_heartbeat(&mut self, out: &mut Output<Self>) {
        for to in self.peers().collect::<Vec<_>>() {
            let last_index = self.log.last_index();
            let State::Leader(leader) = &mut self.state else { return };
            let Some(peer) = leader.peers.get_mut(&to) else { continue };
            if let Mode::Probe { waiting } = &mut peer.mode {
                *waiting = false;
            }
            let in_log = peer.next_index > self.log.base_index() && peer.next_index <= last_index;
            if peer.full && in_log {
                self.send_entries(to, out);
            } else {
                self.send_empty(to, true, out);
            }
            self.retry_snapshot(to, out);
            self.continue_transfer(to, out);
        }
    }

    /// How the disk is doing decides who may propose, and whether this server should lead.
    pub(super) fn on_storage(&mut self, pressure: Pressure, out: &mut Output<Self>) {
        let before = std::mem::replace(&mut self.disk.pressure, pressure);
        if before == pressure {
            return;
        }
        let what = match pressure {
            Pressure::Ok => "the disk keeps up again",
            Pressure::Slow => "the disk is slow: no new proposals",
            Pressure::Full(Shortage::Disk) => "the disk is full: no new proposals",
            Pressure::Full(Shortage::Descriptors) => "no file descriptor is left: no new proposals",
            Pressure::Full(Shortage::Memory) => "the system has no memory left: no new proposals",
        };
        out.trace.push(Event::Noted { what, index: self.log.last_index() });
        if self.is_leader() && pressure.is_full() {
            self.leave_office(out);
        }
    }
}
