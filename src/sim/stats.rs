//! What happened in a run, in numbers.

use std::collections::BTreeMap;

use serde::Serialize;

/// Counts of one run, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Simulated time, in microseconds.
    pub simulated_us: u64,
    /// Steps of the simulation.
    pub steps: u64,
    /// Leaders that were elected.
    pub elections: u64,
    /// Nodes that crashed, by whatever cause.
    pub crashes: u64,
    /// Crashes within the effects of one step.
    pub crashes_between_effects: u64,
    /// Nodes that started again.
    pub restarts: u64,
    /// Nodes that refused to start because their disk was damaged, as they should.
    pub rot_detected: u64,
    /// Messages that were sent.
    pub messages: u64,
    /// Messages that got lost, by faults of links, partitions or dead receivers.
    pub messages_lost: u64,
    /// Messages that arrived twice.
    pub messages_duplicated: u64,
    /// Messages that were held back.
    pub messages_delayed: u64,
    /// Messages that left their order.
    pub messages_reordered: u64,
    /// Messages of nodes that lie that were refused by whoever checked them.
    pub lies_refused: u64,
    /// Crashes that left a torn batch at the end of a log.
    pub torn_writes: u64,
    /// Crashes that lost writes that were not synced.
    pub lost_writes: u64,
    /// Snapshots that nodes took of their own state.
    pub snapshots: u64,
    /// Snapshots that nodes received from others.
    pub installs: u64,
    /// Operations that clients began.
    pub operations: u64,
    /// Those that were answered by the store.
    pub answered: u64,
    /// Those that were refused, and surely not executed.
    pub refused: u64,
    /// Those whose outcome stayed unknown.
    pub unknown: u64,
    /// Attempts beyond the first, over other nodes.
    pub retries: u64,
    /// Digests of states that were compared between nodes.
    pub digests_compared: u64,
    /// Faults that were injected, by name.
    pub injected: BTreeMap<&'static str, u64>,
}

impl Stats {
    /// Adds another run's counts.
    pub fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.simulated_us, other.simulated_us),
            (&mut self.steps, other.steps),
            (&mut self.elections, other.elections),
            (&mut self.crashes, other.crashes),
            (&mut self.crashes_between_effects, other.crashes_between_effects),
            (&mut self.restarts, other.restarts),
            (&mut self.rot_detected, other.rot_detected),
            (&mut self.messages, other.messages),
            (&mut self.messages_lost, other.messages_lost),
            (&mut self.messages_duplicated, other.messages_duplicated),
            (&mut self.messages_delayed, other.messages_delayed),
            (&mut self.messages_reordered, other.messages_reordered),
            (&mut self.lies_refused, other.lies_refused),
            (&mut self.torn_writes, other.torn_writes),
            (&mut self.lost_writes, other.lost_writes),
            (&mut self.snapshots, other.snapshots),
            (&mut self.installs, other.installs),
            (&mut self.operations, other.operations),
            (&mut self.answered, other.answered),
            (&mut self.refused, other.refused),
            (&mut self.unknown, other.unknown),
            (&mut self.retries, other.retries),
            (&mut self.digests_compared, other.digests_compared),
        ];
        for (sum, count) in pairs {
            *sum += count;
        }
        for (fault, count) in &other.injected {
            *self.injected.entry(fault).or_default() += count;
        }
    }
}
