//! Whole runs.

use super::*;
use crate::consensus::raft::Raft;

fn short(seed: u64) -> RunOptions {
    RunOptions { seed, time_us: 15_000_000, ..RunOptions::default() }
}

fn passes(options: &RunOptions) -> Report {
    let report = run::<Raft>(options);
    let failure = report.failure.as_ref().map(|failure| format!("{}: {}", failure.invariant, failure.detail));
    assert_eq!((failure, report.unknown.clone()), (None, None), "{}", options.command("raft"));
    report
}

#[test]
fn a_seed_gives_the_same_run_twice_and_told_or_not() {
    for seed in 1..=4 {
        let (one, two) = (passes(&short(seed)), passes(&short(seed)));
        assert_eq!((one.digest, &one.stats), (two.digest, &two.stats), "seed {seed}");
        assert_eq!(one.history, two.history, "seed {seed}");
        let told = passes(&RunOptions { tracing: Tracing::Last(10), ..short(seed) });
        assert_eq!((told.digest, told.trace.len()), (one.digest, 10), "seed {seed}");
    }
    assert_ne!(passes(&short(1)).digest, passes(&short(2)).digest);
}

#[test]
fn the_number_of_jobs_changes_nothing() {
    let runs = |jobs| {
        let outcome = sweep::<Raft>(&Sweep { options: short(10), seeds: 6, jobs }, &|_| {});
        assert!(outcome.failure.is_none(), "{:?}", outcome.failure.map(|report| report.failure));
        (outcome.runs, outcome.stats)
    };
    assert_eq!(runs(1), runs(3));
}

#[test]
fn faults_are_injected_and_counted() {
    let options = RunOptions { faults: FaultMix::parse("crashes,partitions,links").unwrap(), ..short(1) };
    let outcome = sweep::<Raft>(&Sweep { options, seeds: 12, jobs: 1 }, &|_| {});
    let stats = outcome.stats;
    assert!(outcome.failure.is_none());
    assert!(stats.injected.len() > 12, "{:?}", stats.injected);
    assert!(stats.crashes > 10 && stats.torn_writes > 0 && stats.lost_writes > 0, "{stats:?}");
    assert!(stats.messages_lost > 100 && stats.messages_duplicated > 100, "{stats:?}");
    assert!(stats.elections > 24 && stats.answered > 3000, "{stats:?}");
}

#[test]
fn a_calm_run_answers_everything() {
    let report = passes(&RunOptions { faults: FaultMix::none(), ..short(3) });
    assert_eq!((report.stats.crashes, report.stats.unknown), (0, 0));
    assert!(report.stats.snapshots > 0 || report.stats.answered > 300);
}

#[test]
fn clusters_of_other_sizes_pass() {
    for nodes in [1, 2, 3, 4, 7] {
        passes(&RunOptions { nodes: Some(nodes), ..short(nodes as u64) });
    }
}
