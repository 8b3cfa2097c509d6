//! What this server has told its disk, and what the disk has said is safe.

use std::collections::VecDeque;
use std::time::Duration;

use super::record::Record;
use crate::consensus::{Lsn, Pressure, Time};

/// Numbers the records, and knows which of them are durable.
#[derive(Debug)]
pub(super) struct Disk {
    /// The next record's number. Never goes back (contract invariant 2).
    next: Lsn,
    /// Everything up to here is durable.
    durable: Lsn,
    /// The newest record of term and vote.
    hard_state: Lsn,
    /// What is not durable yet: the last record of each moment of writing, and the moment.
    waiting: VecDeque<(Lsn, Time)>,
    /// Since when the disk has been asked whether it answers.
    probed: Option<Time>,
    /// When it last did.
    answered: Time,
    /// How the disk is doing.
    pub(super) pressure: Pressure,
}

impl Disk {
    /// All records below `next` are durable.
    pub(super) fn new(next: Lsn, now: Time) -> Self {
        Self {
            next,
            durable: next.prev(),
            hard_state: Lsn::ZERO,
            waiting: VecDeque::new(),
            probed: None,
            answered: now,
            pressure: Pressure::Ok,
        }
    }

    /// Numbers a record and hands it to the log on disk.
    pub(super) fn write(&mut self, now: Time, record: Record, records: &mut Vec<(Lsn, Record)>) -> Lsn {
        let lsn = self.next;
        self.next = lsn.next();
        if matches!(record, Record::HardState { .. }) {
            self.hard_state = lsn;
        }
        match self.waiting.back_mut() {
            Some((last, at)) if *at == now => *last = lsn,
            _ => self.waiting.push_back((lsn, now)),
        }
        records.push((lsn, record));
        lsn
    }

    /// Takes note that everything up to `lsn` is on disk.
    pub(super) fn on_durable(&mut self, now: Time, lsn: Lsn) {
        (self.probed, self.answered) = (None, now);
        assert!(lsn < self.next, "record {lsn} was reported durable, and was never written");
        self.durable = self.durable.max(lsn);
        while self.waiting.front().is_some_and(|(last, _)| *last <= self.durable) {
            self.waiting.pop_front();
        }
    }

    /// The newest record of term and vote.
    pub(super) fn hard_state(&self) -> Lsn {
        self.hard_state
    }

    /// Whether the current term and vote are durable.
    pub(super) fn is_hard_state_durable(&self) -> bool {
        self.hard_state <= self.durable
    }

    /// What a message that promises the records up to `lsn` waits for. Every message tells the sender's term, so that
    /// none leaves before the term is durable.
    pub(super) fn after(&self, lsn: Lsn) -> Lsn {
        let needed = lsn.max(self.hard_state);
        if needed <= self.durable { Lsn::ZERO } else { needed }
    }

    /// Whether nothing that the server says can leave for longer than `patience` already: its term waits for a disk
    /// that does not answer. What it says now would only add up.
    pub(super) fn is_mute(&self, now: Time, patience: Duration) -> bool {
        !self.is_hard_state_durable() && self.lag(now) >= patience
    }

    /// For how long the oldest write or probe has been under way.
    pub(super) fn lag(&self, now: Time) -> Duration {
        let written = self.waiting.front().map(|(_, since)| *since);
        written.into_iter().chain(self.probed).min().map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Whether it is to be asked if it still answers, because nothing has been written for `interval`: then it is taken as
    /// asked.
    pub(super) fn probe(&mut self, now: Time, interval: Duration) -> bool {
        let due = self.waiting.is_empty() && self.probed.is_none() && now.since(self.answered) >= interval;
        if due {
            self.probed = Some(now);
        }
        due
    }
}
