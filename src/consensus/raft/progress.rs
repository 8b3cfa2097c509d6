//! What a leader knows, and only while it leads.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::message::Attempt;
use super::options::Options;
use crate::consensus::{Index, NodeId, RequestId, SnapshotMeta, Time};

/// A leader's volatile state. Made anew for each term, so that nothing of an earlier one can leak into it.
#[derive(Debug)]
pub(super) struct Leader {
    /// The index of the term's no-op; before it is committed, the commit index may be behind (Diss. §6.4).
    pub(super) term_start: Index,
    pub(super) peers: BTreeMap<NodeId, Progress>,
    pub(super) heartbeat_deadline: Time,
    /// The newest round of read confirmation.
    pub(super) round: u64,
    /// Who waits for that round, and the read point it confirms.
    pub(super) confirming: Option<(Index, Vec<ReadRequest>)>,
    /// Who waits for the next round.
    pub(super) reads: Vec<ReadRequest>,
    pub(super) transfer: Option<Transfer>,
    /// The commands of the uncommitted entries: a proposal that comes again is not appended again.
    pub(super) tail: BTreeSet<RequestId>,
    /// The last forward taken from each peer.
    pub(super) forwards: BTreeMap<NodeId, Attempt>,
}

/// Who asked for a read point: a peer, or this server itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReadRequest {
    pub(super) node: NodeId,
    pub(super) attempt: Attempt,
}

/// A transfer of leadership that is under way (Diss. §3.10).
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub(super) target: NodeId,
    /// When the leader gives up and takes proposals again.
    pub(super) deadline: Time,
}

/// What a leader knows about a follower.
#[derive(Debug)]
pub(super) struct Progress {
    /// The highest index that the follower holds durably.
    pub(super) match_index: Index,
    /// The next entry to send.
    pub(super) next_index: Index,
    pub(super) mode: Mode,
    /// The follower's disk is full: it is offered entries with heartbeats only.
    pub(super) full: bool,
    /// The last index and the bytes of each unanswered message with entries.
    inflight: VecDeque<(Index, usize)>,
    inflight_bytes: usize,
    /// When it last answered anything.
    pub(super) last_heard: Time,
    /// The highest round that it confirmed.
    pub(super) round: u64,
    /// The highest commit index that it was told.
    pub(super) commit_sent: Index,
}

/// How entries reach a follower.
#[derive(Debug)]
pub(super) enum Mode {
    /// One message at a time, until it is known where the logs match.
    Probe {
        /// Whether that message is under way.
        waiting: bool,
    },
    /// One message behind the other, without waiting for answers.
    Replicate,
    /// The entries it needs are gone: it gets the snapshot.
    Snapshot(Sending),
}

/// A snapshot on its way to a follower.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) meta: SnapshotMeta,
    /// The follower stored all pieces below this one.
    pub(super) next: u32,
    /// All pieces below this one were asked of the store.
    pub(super) asked: u32,
    /// When to send again what was not answered.
    pub(super) deadline: Time,
    /// How often that was done since something was last confirmed.
    pub(super) retries: u32,
}

impl Progress {
    /// A follower of a new leader whose log ends with `last_index`.
    pub(super) fn new(last_index: Index, now: Time) -> Self {
        Self {
            match_index: Index::ZERO,
            next_index: last_index.next(),
            mode: Mode::Probe { waiting: false },
            full: false,
            inflight: VecDeque::new(),
            inflight_bytes: 0,
            last_heard: now,
            round: 0,
            commit_sent: Index::ZERO,
        }
    }

    /// Whether one more message with entries may be sent now.
    pub(super) fn has_room(&self, options: &Options) -> bool {
        match self.mode {
            Mode::Probe { waiting } => !waiting && !self.full,
            Mode::Replicate => {
                self.inflight.len() < options.max_inflight_messages
                    && self.inflight_bytes < options.max_inflight_bytes
            }
            Mode::Snapshot(_) => false,
        }
    }

    /// Entries up to `last` were sent.
    pub(super) fn on_sent(&mut self, last: Index, bytes: usize) {
        match &mut self.mode {
            Mode::Probe { waiting } => *waiting = true,
            Mode::Replicate => {
                self.inflight.push_back((last, bytes));
                self.inflight_bytes += bytes;
                self.next_index = last.next();
            }
            Mode::Snapshot(_) => {}
        }
    }

    /// The follower holds everything up to `index`. `base` is where the leader's log in memory begins.
    pub(super) fn on_matched(&mut self, index: Index, base: Index) {
        let progressed = index > self.match_index;
        self.match_index = self.match_index.max(index);
        self.next_index = self.next_index.max(self.match_index.next());
        while let Some((last, bytes)) = self.inflight.front()
            && *last <= index
        {
            self.inflight_bytes -= bytes;
            self.inflight.pop_front();
        }
        self.full &= !progressed;
        match self.mode {
            Mode::Probe { .. } if !self.full => self.mode = Mode::Replicate,
            Mode::Snapshot(_) if self.match_index >= base => {
                self.next_index = self.match_index.next();
                self.mode = Mode::Replicate;
            }
            _ => {}
        }
    }

    /// Starts over from `next_index`, carefully.
    pub(super) fn become_probe(&mut self, next_index: Index, waiting: bool) {
        self.next_index = next_index.max(self.match_index.next());
        self.clear_inflight();
        self.mode = Mode::Probe { waiting };
    }

    /// Starts to send the snapshot `meta`.
    pub(super) fn become_snapshot(&mut self, meta: SnapshotMeta, deadline: Time) {
        self.clear_inflight();
        self.mode = Mode::Snapshot(Sending { meta, next: 0, asked: 0, deadline, retries: 0 });
    }

    /// The snapshot that is on its way to the follower.
    pub(super) fn sending(&self) -> Option<&Sending> {
        match &self.mode {
            Mode::Snapshot(sending) => Some(sending),
            Mode::Probe { .. } | Mode::Replicate => None,
        }
    }

    fn clear_inflight(&mut self) {
        self.inflight.clear();
        self.inflight_bytes = 0;
    }

    /// What the leader is doing for the follower, for `status`.
    pub(super) fn state(&self) -> &'static str {
        match self.mode {
            _ if self.full => "disk full",
            Mode::Probe { .. } => "probing",
            Mode::Replicate => "replicating",
            Mode::Snapshot(_) => "sending snapshot",
        }
    }
}
