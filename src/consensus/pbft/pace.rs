//! A demand on the primary's pace (Aardvark, NSDI'09 §4.3; Prime, TDSC'11 §V): one that stays just below the request
//! timer is left, too.
//!
//! # The idea
//!
//! An honest primary proposes whatever waits as soon as it has room for another slot. So a backup watches how long
//! requests that it knows itself stay without a slot *while there is room*: that is the primary's doing, where waiting
//! for room is the load's. What it compares this with it observes itself, on the same machines under the same load:
//!
//! - how long the replicas take to agree about a slot once it is proposed. This has two rounds of messages and two
//!   writes to disk; a request on its way through the primary has one of each. A slow network, a slow disk everywhere, or
//!   two cores for all replicas make both longer.
//! - what earlier primaries came to that were left. Among f + 1 in a row is an honest one, so the best of them is what
//!   can be asked for: where all are slow for a reason that nobody sees, the view changes end once each replica has left
//!   f + 1 primaries, others than itself.
//! - a floor, `slow_primary_ms`, below which nobody is slow: a pause, or a sync that takes long, is no reason to leave.
//!
//! The median of the last [`WINDOW`] slots counts, so that neither a single long wait nor a few quick slots decide.
//! It takes f + 1 who find the primary slow, as for every view change, to take the others along.
//!
//! # What a backup sees
//!
//! Requests that clients show to everybody: the first of each client, one in every quarter of a second, and all that
//! are sent again. Requests of this node's own callers are shown likewise, to this replica, too.
//!
//! # What it cannot see
//!
//! A primary that orders at once what is shown, and is slow with the rest; it has to guess which ones are shown until
//! backups pass them on. A primary that fills its slots with little. A primary that is slow only while f others are
//! down, and votes late as well: then the agreement needs it, and is as slow as it likes. Each of them is bounded by
//! the request timer, as every client sends again, to everybody, what gets no answer.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::message::Sequence;
use super::replica::{Out, Replica};
use super::suspicion::Suspect;
use crate::consensus::Time;

/// Over so many slots a primary is judged: at one request at a time, just below the timer, some four seconds.
const WINDOW: usize = 8;
/// By how much a primary may be slower than the agreement about a slot, which takes twice its steps.
const AGREEMENTS: u32 = 4;
/// By how much it may be slower than the best of its predecessors that were left: what was measured once varies.
const PREDECESSORS: u32 = 2;

/// What this replica observes of the primary's pace.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// For how long requests in the last slots of this view had waited for one while there was room.
    waits: VecDeque<Duration>,
    /// How long the last slots took from their PRE-PREPARE to their decision.
    agreements: VecDeque<Duration>,
    /// Slots that are not decided: when they were proposed. Bounded by the window.
    under_way: BTreeMap<Sequence, Time>,
    /// The last slot that was proposed in this view.
    last: Sequence,
    /// When a slot of this view was last decided.
    decided: Option<Time>,
    /// What the last f + 1 primaries came to that were left.
    left: VecDeque<Duration>,
    /// Up to when the time with room was counted, if there is room.
    room_since: Option<Time>,
}

impl Pace {
    /// A backup has accepted a slot.
    fn on_proposed(&mut self, sequence: Sequence, waited: Option<Duration>, now: Time) {
        self.under_way.insert(sequence, now);
        self.last = self.last.max(sequence);
        if let Some(waited) = waited {
            keep(&mut self.waits, waited, WINDOW);
        }
    }

    /// Whether something that the primary of this view proposed was decided since then.
    pub(super) fn decided_since(&self, since: Time) -> bool {
        self.decided.is_some_and(|decided| decided > since)
    }

    fn on_decided(&mut self, sequence: Sequence, now: Time) {
        self.decided = Some(now);
        if let Some(proposed) = self.under_way.remove(&sequence) {
            keep(&mut self.agreements, now.since(proposed), WINDOW);
        }
    }

    /// How long requests wait for the primary, once that is known.
    pub(super) fn measured(&self) -> Option<Duration> {
        (self.waits.len() == WINDOW).then(|| median(&self.waits)).flatten()
    }

    /// How long they may.
    pub(super) fn allowed(&self, floor: Duration, primaries: usize) -> Duration {
        let agreement = median(&self.agreements).unwrap_or_default() * AGREEMENTS;
        let best = self.left.iter().min().filter(|_| self.left.len() >= primaries);
        floor.max(agreement).max(best.copied().unwrap_or_default() * PREDECESSORS)
    }

    /// The view is left.
    fn on_left(&mut self, primaries: usize) {
        if let Some(measured) = self.measured() {
            keep(&mut self.left, measured, primaries);
        }
        self.waits.clear();
        self.under_way.clear();
        (self.last, self.decided) = (Sequence::ZERO, None);
        self.room_since = None;
    }
}

impl Replica {
    /// Counts the time during which the primary had room for another slot and could be judged.
    pub(super) fn count_room(&mut self) {
        if let Some(since) = self.pace.room_since {
            self.pool.room += self.now.since(since);
        }
        let last = self.pace.last;
        let room = last.0.saturating_sub(self.executed.0) < self.options.max_in_flight
            && last < self.high_water_mark();
        let watched = self.judges_since.is_some() && !self.is_primary();
        self.pace.room_since = (room && watched).then_some(self.now);
    }

    /// A slot of this view was accepted; `waited` says for how long its requests had room.
    pub(super) fn note_pace(&mut self, sequence: Sequence, waited: Option<Duration>) {
        // What a NEW-VIEW proposes again says nothing about its primary.
        if !self.is_primary() && sequence > self.proposed {
            let waited = waited.filter(|_| self.judges_since.is_some());
            self.pace.on_proposed(sequence, waited, self.now);
            let floor = self.options.slow_primary();
            let allowed = self.pace.allowed(floor, self.quorum.weak());
            // Long before the median says so, for people who look: a few such waits are a symptom.
            if !floor.is_zero() && waited.is_some_and(|waited| waited > allowed) {
                self.suspect(self.primary(), Suspect::SlowPrimary);
            }
        }
    }

    /// A slot was decided.
    pub(super) fn note_agreement(&mut self, sequence: Sequence) {
        self.pace.on_decided(sequence, self.now);
    }

    /// The view is left, or was left by the others.
    pub(super) fn leave_pace(&mut self) {
        let primaries = self.quorum.weak();
        self.pace.on_left(primaries);
    }

    /// Whether the primary is slower than it has to be, as far as this replica can judge.
    pub(super) fn is_primary_slow(&self) -> bool {
        let floor = self.options.slow_primary();
        let judges = self.judges_since.is_some() && self.active && !self.is_primary() && !floor.is_zero();
        let allowed = || self.pace.allowed(floor, self.quorum.weak());
        judges && self.pace.measured().is_some_and(|measured| measured > allowed())
    }

    /// Asks for another primary if this one is slower than it has to be.
    pub(super) fn judge_pace(&mut self, out: &mut Out) {
        if self.pace.measured().is_some_and(|measured| measured <= self.options.slow_primary()) {
            self.pace.left.clear(); // So good a primary is possible again.
        }
        if self.is_primary_slow() {
            self.suspect(self.primary(), Suspect::SlowPrimary);
            self.start_view_change(
                self.view.next(),
                "the primary is slower than what it is compared with",
                out,
            );
        }
    }
}

fn keep(kept: &mut VecDeque<Duration>, duration: Duration, most: usize) {
    kept.push_back(duration);
    while kept.len() > most {
        kept.pop_front();
    }
}

fn median(durations: &VecDeque<Duration>) -> Option<Duration> {
    let mut sorted: Vec<Duration> = durations.iter().copied().collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied()
}
