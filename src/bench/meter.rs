//! [`Meter`]: what a load costs, from the nodes' own counters.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use tokio::task::JoinSet;

use crate::client::{ControlClient, CounterReport, Error};

/// How long a node may take to tell its counters: it is under load.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the counters of some nodes.
#[derive(Debug)]
pub struct Meter {
    nodes: Vec<ControlClient>,
}

/// The counters of all nodes at one time, by address; with each the life of the node that they belong to.
pub(super) type Reading = BTreeMap<String, (u64, CounterReport)>;

/// What one command cost all nodes together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Costs {
    /// Messages over the links between nodes, and to clients on those links.
    pub messages: f64,
    /// Their bytes.
    pub message_bytes: f64,
    /// Signatures that were made.
    pub signatures: f64,
    /// Signatures that were checked.
    pub verifications: f64,
    /// Syncs of logs.
    pub fsyncs: f64,
    /// Bytes written to logs.
    pub wal_bytes: f64,
}

impl Meter {
    /// For the nodes at these addresses. Must be called within a tokio runtime.
    pub fn new(addresses: &[String]) -> Result<Self, Error> {
        let client = |address: &String| Ok(ControlClient::new(address)?.with_timeout(PATIENCE));
        Ok(Self { nodes: addresses.iter().map(client).collect::<Result<_, Error>>()? })
    }

    /// The counters of those nodes that tell them, all asked at once.
    pub(super) async fn read(&self) -> Reading {
        let mut asked = JoinSet::new();
        for node in &self.nodes {
            let node = node.clone();
            asked.spawn(async move {
                let report = node.status(true).await.ok()?;
                Some((node.address().to_owned(), (report.incarnation, report.counters)))
            });
        }
        asked.join_all().await.into_iter().flatten().collect()
    }
}

/// What each of so many commands cost between two readings (invariant 3).
pub(super) fn costs(before: &Reading, after: &Reading, commands: u64) -> Option<Costs> {
    let lives = |reading: &Reading| {
        reading.iter().map(|(address, (life, _))| (address.clone(), *life)).collect::<Vec<_>>()
    };
    if commands == 0 || before.is_empty() || lives(before) != lives(after) {
        return None;
    }
    let each = |counter: fn(&CounterReport) -> u64| {
        let sum = |reading: &Reading| reading.values().map(|(_, counters)| counter(counters)).sum::<u64>();
        sum(after).saturating_sub(sum(before)) as f64 / commands as f64
    };
    Some(Costs {
        messages: each(|counters| counters.messages_sent),
        message_bytes: each(|counters| counters.bytes_sent),
        signatures: each(|counters| counters.signatures),
        verifications: each(|counters| counters.verifications),
        fsyncs: each(|counters| counters.fsyncs),
        wal_bytes: each(|counters| counters.wal_bytes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(life: u64, fsyncs: [u64; 2], signatures: u64) -> Reading {
        let counters = |fsyncs| CounterReport { fsyncs, signatures, ..CounterReport::default() };
        let [one, two] = fsyncs.map(counters);
        [("a:1".to_owned(), (1, one)), ("a:2".to_owned(), (life, two))].into()
    }

    #[test]
    fn a_command_costs_what_all_nodes_did_for_it() {
        let costs = costs(&reading(1, [10, 20], 5), &reading(1, [14, 26], 5), 5).unwrap();
        assert_eq!(costs, Costs { fsyncs: 2.0, ..Costs::default() });
    }

    #[test]
    fn where_it_is_not_known_there_are_no_costs() {
        let (before, after) = (reading(1, [10, 20], 5), reading(1, [14, 26], 5));
        assert_eq!(costs(&before, &after, 0), None, "for nothing");
        assert_eq!(costs(&before, &reading(2, [14, 0], 5), 5), None, "a node has started anew");
        assert_eq!(costs(&Reading::new(), &Reading::new(), 5), None, "nobody tells counters");
        let mut fewer = after;
        fewer.pop_last();
        assert_eq!(costs(&before, &fewer, 5), None, "a node is gone");
    }
}
