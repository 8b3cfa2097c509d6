//! The list of all scenarios, and choosing from it.

use std::sync::LazyLock;

use super::stories::{byzantine, chaos, election, replication};
use super::{Scenario, lies};

/// All scenarios, suite by suite, in the order in which they run.
pub static SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let mut scenarios = TOLD.to_vec();
    scenarios.extend(lies::scenarios());
    scenarios
});

/// Those that are told one by one.
const TOLD: &[Scenario] = &[
    Scenario {
        suite: "election",
        name: "leader-election",
        shows: "a new cluster agrees on one leader, which serves",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(election::leader_election(stage)),
    },
    Scenario {
        suite: "election",
        name: "failover",
        shows: "another node leads when the leader is killed, and serves without it",
        faults: 2,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(election::failover(stage)),
    },
    Scenario {
        suite: "election",
        name: "rejoin",
        shows: "a node that was away catches up and disturbs nobody, whether it followed or led",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(election::rejoin(stage)),
    },
    Scenario {
        suite: "election",
        name: "split-vote",
        shows: "halves without a quorum acknowledge nothing, and all nodes starting at once still find a leader",
        faults: 1,
        spare_nodes: 1,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(election::split_vote(stage)),
    },
    Scenario {
        suite: "election",
        name: "transfer",
        shows: "a rolling restart hands leadership over and serves throughout",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(election::transfer(stage)),
    },
    Scenario {
        suite: "replication",
        name: "log-replication",
        shows: "all nodes execute the same writes to the same state, and each serves the newest to read",
        faults: 2,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(replication::log_replication(stage)),
    },
    Scenario {
        suite: "replication",
        name: "wal-persistence",
        shows: "everything acknowledged is there after all nodes were killed at once",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(replication::wal_persistence(stage)),
    },
    Scenario {
        suite: "replication",
        name: "snapshot-catch-up",
        shows: "a node that was away longer than the log is kept is brought back by a snapshot",
        faults: 1,
        spare_nodes: 0,
        // Some 150 writes of the load's size.
        settings: &[("snapshot_log_bytes", 32 * 1024), ("keep_log_bytes", 1024)],
        liars: None,
        story: |stage| Box::pin(replication::snapshot_catch_up(stage)),
    },
    Scenario {
        suite: "replication",
        name: "exactly-once",
        shows: "writes that are repeated through killed leaders are executed once",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(replication::exactly_once(stage)),
    },
    Scenario {
        suite: "chaos",
        name: "leader-failure",
        shows: "one leader after the other is killed under load, and nothing acknowledged is lost",
        faults: 2,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(chaos::leader_failure(stage)),
    },
    Scenario {
        suite: "chaos",
        name: "network-partition",
        shows: "the majority goes on without the leader, the minority acknowledges nothing, and both agree after",
        faults: 2,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(chaos::network_partition(stage)),
    },
    Scenario {
        suite: "chaos",
        name: "partition-shapes",
        shows: "a connected quorum serves however the links lie: an isolated leader, a bridge, other bridges",
        faults: 2,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(chaos::partition_shapes(stage)),
    },
    Scenario {
        suite: "chaos",
        name: "unreliable-links",
        shows: "links that lose, duplicate, reorder and delay, or carry one way only, cost time and nothing else",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(chaos::unreliable_links(stage)),
    },
    Scenario {
        suite: "chaos",
        name: "pause",
        shows: "a leader that was frozen is replaced, and serves nothing stale when it wakes",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(chaos::pause(stage)),
    },
    Scenario {
        suite: "chaos",
        name: "disk",
        shows: "slow, stalled and failing disks of a minority cost no acknowledged write",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: None,
        story: |stage| Box::pin(chaos::disk(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "normal-operation",
        shows: "four replicas order what clients sign, and each holds the same state",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[]),
        story: |stage| Box::pin(byzantine::normal_operation(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "byzantine-tolerance",
        shows: "a backup that votes for other digests than it should costs nobody anything",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[(4, "wrong-digest")]),
        story: |stage| Box::pin(byzantine::byzantine_tolerance(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "primary-killed",
        shows: "one primary after the other is killed under load, and each time the next view serves",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[]),
        story: |stage| Box::pin(byzantine::primary_killed(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "primary-partitioned",
        shows: "a primary that nobody hears is replaced, acknowledges nothing, and follows when it is back",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[]),
        story: |stage| Box::pin(byzantine::primary_partitioned(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "all-killed-and-restarted",
        shows: "everything acknowledged is there after all replicas were killed at once, also between two views",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[]),
        story: |stage| Box::pin(byzantine::all_killed_and_restarted(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "equivocating-primary",
        shows: "a first primary that tells each backup something else is replaced, and no two replicas differ",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[(1, "equivocate")]),
        story: |stage| Box::pin(byzantine::lying_primary(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "silent-primary",
        shows: "a first primary that says nothing is replaced",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[(1, "silent")]),
        story: |stage| Box::pin(byzantine::lying_primary(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "lying-primary",
        shows: "a first primary that proposes what nobody asked for is replaced",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[(1, "wrong-digest")]),
        story: |stage| Box::pin(byzantine::lying_primary(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "rejoin-after-garbage-collection",
        shows: "a replica that was away longer than messages are kept is brought back by a certified state",
        faults: 1,
        spare_nodes: 0,
        // Checkpoints after every few writes of the load.
        settings: &[
            ("checkpoint_interval", 8),
            ("window", 16),
            ("snapshot_bytes", 16 * 1024),
            ("max_batch_requests", 4),
        ],
        liars: Some(&[]),
        story: |stage| Box::pin(byzantine::rejoin_after_garbage_collection(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "gateway",
        shows: "callers of a gateway are told the truth and served, in whichever way a replica lies",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[(1, "equivocate")]),
        story: |stage| Box::pin(byzantine::gateway(stage)),
    },
    Scenario {
        suite: "pbft",
        name: "two-clients-one-key",
        shows: "two processes with one client's key disturb neither each other nor the order",
        faults: 1,
        spare_nodes: 0,
        settings: &[],
        liars: Some(&[]),
        story: |stage| Box::pin(byzantine::two_clients_one_key(stage)),
    },
];

/// The suites, in order.
pub fn suites() -> Vec<&'static str> {
    let mut suites: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.suite).collect();
    suites.dedup();
    suites
}

/// What `all`, a suite's name or `SUITE/NAME` means; `None` for what is neither.
pub fn select(what: &str) -> Option<Vec<&'static Scenario>> {
    let meant = |scenario: &&Scenario| what == "all" || what == scenario.suite || what == scenario.path();
    let chosen: Vec<&Scenario> = SCENARIOS.iter().filter(meant).collect();
    (!chosen.is_empty()).then_some(chosen)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::is_valid_name;
    use crate::registry::PROTOCOLS;

    #[test]
    fn every_scenario_can_be_named_and_its_name_can_name_a_cluster() {
        let paths: BTreeSet<String> = SCENARIOS.iter().map(Scenario::path).collect();
        assert_eq!(paths.len(), SCENARIOS.len(), "a name stands for two scenarios");
        for scenario in SCENARIOS.iter() {
            assert!(is_valid_name(scenario.name), "{}", scenario.name);
            assert_eq!(select(&scenario.path()).unwrap().len(), 1);
        }
        assert_eq!(select("all").unwrap().len(), SCENARIOS.len());
        assert_eq!(suites().iter().map(|suite| select(suite).unwrap().len()).sum::<usize>(), SCENARIOS.len());
        assert!(select("election/unheard-of").is_none());
    }

    #[test]
    fn the_settings_of_every_scenario_make_sense_to_the_protocols_that_know_them() {
        for protocol in PROTOCOLS {
            for scenario in SCENARIOS.iter().filter(|scenario| scenario.applies_to(protocol)) {
                let mut options = (protocol.default_options)();
                options.extend(
                    scenario.settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())),
                );
                assert_eq!((protocol.check_options)(&options), Ok(()), "{scenario:?}");
            }
        }
    }
}
