//! Suspicion: what a replica observes of the others that an honest one would hardly do, and that proves nothing.
//!
//! Two signed messages that contradict each other are evidence, which convinces anybody. Silence, delay, censorship,
//! floods, wrong pieces of a state and messages with bad signatures leave nothing behind that one could show. Here a
//! replica counts them, each by the one whose they seem to be, for people who look for the faulty one.
//!
//! # Invariants
//!
//! 1. Nothing follows from a suspicion: nobody is refused, left out or accused for it. Views are left for the reasons of
//!    `requests`, `pace` and `view_change` alone.
//! 2. It is bounded: a number and two times for each peer and kind.
//! 3. It fades: what was not observed for [`FORGET`] is forgotten.
//!
//! # What it cannot tell
//!
//! An honest replica that is down, cut off, slow, or whose links lose messages looks faulty, and is named with what was
//! seen: `not heard of for 3 s`. One that was away and is back is given [`CATCHING_UP`]: until then it may send much, and
//! vote late. A liar that tells only others lies is seen by those others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::replica::Replica;
use crate::consensus::{NodeId, Suspicion, Time};

/// After so long without being observed again, something is forgotten.
const FORGET: Duration = Duration::from_secs(30);
/// Nothing heard of a peer for so long is silence: it is many STATUS intervals, and longer than a restart.
const SILENCE: Duration = Duration::from_secs(3);
/// Status intervals without a word after which a peer was away.
const AWAY_INTERVALS: u32 = 3;
/// For so long a peer that was away may be catching up.
const CATCHING_UP: Duration = Duration::from_secs(3);
/// More messages than that in a status interval may be a flood: a peer sends as many only under full load.
const FLOOD: u64 = 120;
/// It is one if it is so many times what the others sent.
const FLOOD_FACTOR: u64 = 8;
/// More messages without effect than that in a status interval, and than half of all, may be replayed.
const REPLAYED: u64 = 8;
/// They are if they are so many times those of the others: who is behind is sent everything twice, by everybody.
const REPLAY_FACTOR: u64 = 4;

/// What a peer may be suspected of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Suspect {
    /// Its messages are refused before they are looked at.
    Invalid,
    /// As primary it kept requests waiting, see `pace`.
    SlowPrimary,
    /// As primary it did not have a request ordered in time, and others it did.
    Censors,
    /// As primary it did not have a request ordered in time, nor any other, although it was heard of.
    LeavesOut,
    /// As primary it did not have a request ordered in time, and was not heard of; or it did not begin its view.
    Stalls,
    /// Its votes come long after the others have decided.
    LateVotes,
    /// It voted for something else than what was decided in the view.
    WrongVote,
    /// Its CHECKPOINT is of another state than the stable one.
    WrongCheckpoint,
    /// What it sent of its state does not fit the certificate.
    WrongState,
    /// Its REPLY differs from what f + 1 others answered, or from what was executed here.
    WrongReply,
    /// It sends far more than others.
    Floods,
    /// It sends again what has been said before.
    Replays,
}

impl Suspect {
    fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid messages",
            Self::SlowPrimary | Self::LateVotes => "slow",
            Self::Censors => "censors",
            Self::LeavesOut => "leaves out requests",
            Self::Stalls => "stalls",
            Self::WrongVote | Self::WrongCheckpoint => "wrong votes",
            Self::WrongState => "wrong state",
            Self::WrongReply => "wrong replies",
            Self::Floods => "floods",
            Self::Replays => "replays",
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Invalid => "its messages are refused: a signature or the form is wrong",
            Self::SlowPrimary => "as primary it kept requests waiting while it had room for them",
            Self::Censors => "as primary it left out a request while it ordered others",
            Self::LeavesOut => "as primary it did not order a request in time, although it was heard of",
            Self::Stalls => "as primary it did not serve, or not begin its view",
            Self::LateVotes => "its votes come long after the others have decided",
            Self::WrongVote => "it voted for something else than what was decided",
            Self::WrongCheckpoint => "its CHECKPOINT is of another state than the stable one",
            Self::WrongState => "a state that it sent does not fit the certificate",
            Self::WrongReply => "its answers to clients differ from what was executed",
            Self::Floods => "it sends far more than the others do",
            Self::Replays => "most of what it sends was said before",
        }
    }

    /// From how many times on it is worth telling: what happens to honest replicas, too, when a link or a disk is slow
    /// for a moment, is told when it goes on.
    fn least(self) -> u64 {
        match self {
            Self::LateVotes => 8,
            Self::SlowPrimary | Self::Floods | Self::Replays => 3,
            _ => 1,
        }
    }
}

/// What was observed.
#[derive(Debug, Default)]
pub(super) struct Suspicions {
    marks: BTreeMap<(NodeId, Suspect), Mark>,
    /// What came from each peer in this status interval.
    traffic: BTreeMap<NodeId, Traffic>,
}

/// One kind of observation of one peer.
#[derive(Clone, Copy, Debug)]
struct Mark {
    since: Time,
    last: Time,
    times: u64,
}

#[derive(Clone, Copy, Debug, Default)]
struct Traffic {
    messages: u64,
    without_effect: u64,
}

impl Suspicions {
    fn mark(&mut self, id: NodeId, what: Suspect, times: u64, now: Time) {
        let mark = self.marks.entry((id, what)).or_insert(Mark { since: now, last: now, times: 0 });
        if now.since(mark.last) >= FORGET {
            *mark = Mark { since: now, last: now, times: 0 };
        }
        (mark.last, mark.times) = (now, mark.times.saturating_add(times));
    }

    /// A status interval is over: who sent far more than the others? Not who is excused.
    fn judge_traffic(&mut self, now: Time, excused: &BTreeSet<NodeId>) {
        let traffic = std::mem::take(&mut self.traffic);
        for (id, of) in traffic.iter().filter(|(id, _)| !excused.contains(id)) {
            let others = || traffic.iter().filter(|(other, _)| *other != id).map(|(_, of)| *of);
            let most = |of: fn(Traffic) -> u64| others().map(of).max().unwrap_or_default();
            if of.messages > FLOOD && of.messages > FLOOD_FACTOR * most(|of| of.messages) {
                self.mark(*id, Suspect::Floods, 1, now);
            }
            let many = of.without_effect > REPLAYED && of.without_effect * 2 > of.messages;
            if many && of.without_effect > REPLAY_FACTOR * most(|of| of.without_effect) {
                self.mark(*id, Suspect::Replays, 1, now);
            }
        }
        self.marks.retain(|_, mark| now.since(mark.last) < FORGET);
    }
}

impl Replica {
    /// Something was observed that speaks against a replica; nothing ever does against this one.
    pub(super) fn suspect(&mut self, id: NodeId, what: Suspect) {
        self.suspect_often(id, what, 1);
    }

    /// A peer's votes came long after the others had decided.
    pub(super) fn suspect_late(&mut self, id: NodeId) {
        if !self.is_catching_up(id) {
            self.suspect(id, Suspect::LateVotes);
        }
    }

    fn suspect_often(&mut self, id: NodeId, what: Suspect, times: u64) {
        if self.peers.contains_key(&id) {
            self.suspicions.mark(id, what, times, self.now);
        }
    }

    /// So many messages of a peer were refused before they came here.
    pub(super) fn note_refused(&mut self, now: Time, from: NodeId, times: u64) {
        self.now = self.now.max(now);
        self.suspect_often(from, Suspect::Invalid, times);
        // They took room on the link as others do.
        if self.peers.contains_key(&from) {
            self.suspicions.traffic.entry(from).or_default().messages += times;
        }
    }

    /// Something of a peer has arrived.
    pub(super) fn note_heard(&mut self, from: NodeId) {
        let away = self.options.status_interval() * AWAY_INTERVALS;
        if let Some(peer) = self.peers.get_mut(&from) {
            if self.now.since(peer.heard) >= away {
                peer.returned = Some(self.now);
            }
            peer.heard = self.now;
        }
    }

    fn is_catching_up(&self, id: NodeId) -> bool {
        let returned = self.peers.get(&id).and_then(|peer| peer.returned);
        returned.is_some_and(|returned| self.now.since(returned) < CATCHING_UP)
    }

    /// A message of a peer was handled.
    pub(super) fn note_traffic(&mut self, from: NodeId, without_effect: bool) {
        if self.peers.contains_key(&from) {
            let traffic = self.suspicions.traffic.entry(from).or_default();
            traffic.messages += 1;
            traffic.without_effect += u64::from(without_effect);
        }
    }

    /// A status interval is over.
    pub(super) fn judge_traffic(&mut self) {
        let excused = self.peers.keys().copied().filter(|id| self.is_catching_up(*id)).collect();
        self.suspicions.judge_traffic(self.now, &excused);
    }

    /// For `status`.
    pub(super) fn suspected(&self) -> Vec<Suspicion> {
        let ago = |time: Time| self.now.since(time).as_secs_f64();
        let mut suspected: Vec<Suspicion> = Vec::new();
        for ((id, what), mark) in &self.suspicions.marks {
            if mark.times >= what.least() && self.now.since(mark.last) < FORGET {
                let (words, since, last) = (what.words(), ago(mark.since), ago(mark.last));
                let why = format!("{words}; first {since:.1} s ago, last {last:.1} s ago");
                suspected.push(Suspicion { id: id.0, what: what.name(), why, times: mark.times });
            }
        }
        for (id, peer) in &self.peers {
            let silence = self.now.since(peer.heard);
            if silence >= SILENCE {
                let why = format!("not heard of for {} s", silence.as_secs());
                suspected.push(Suspicion { id: id.0, what: "silent", why, times: 1 });
            }
        }
        suspected.sort_by_key(|suspicion| suspicion.id);
        suspected
    }
}
