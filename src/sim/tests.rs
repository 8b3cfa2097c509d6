//! Whole runs.

use super::*;
use crate::consensus::pbft::Pbft;
use crate::consensus::raft::Raft;
use crate::consensus::{NodeId, Scheme};

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

fn with_liars(seed: u64, liars: &[(u64, &str)]) -> RunOptions {
    let malicious = liars.iter().map(|(id, lie)| (NodeId(*id), (*lie).to_owned())).collect();
    RunOptions { malicious: Some(malicious), time_us: 10_000_000, ..short(seed) }
}

fn pbft_passes(options: &RunOptions) -> Report {
    let report = run::<Pbft>(options);
    let failure = report.failure.as_ref().map(|failure| format!("{}: {}", failure.invariant, failure.detail));
    assert_eq!(failure, None, "{} ({})", options.command("pbft"), report.cast);
    report
}

#[test]
fn replicas_that_may_lie_give_the_same_run_twice() {
    for seed in [1, 3] {
        let (one, two) = (pbft_passes(&short(seed)), pbft_passes(&short(seed)));
        assert_eq!((one.digest, &one.stats, &one.cast), (two.digest, &two.stats, &two.cast), "seed {seed}");
        let named = pbft_passes(&short(seed).with::<Pbft>(&one.cast));
        assert_eq!(named.digest, one.digest, "seed {seed}: naming who was drawn changes nothing");
    }
}

#[test]
fn a_lying_primary_costs_at_most_two_view_changes() {
    for seed in 1..=8 {
        for lie in ["silent", "equivocate", "wrong-digest"] {
            let nodes = Some(4 + seed as usize % 4);
            let options = RunOptions { nodes, ..with_liars(seed, &[(1, lie)]) };
            let report = pbft_passes(&RunOptions { faults: FaultMix::none(), ..options });
            assert!(report.stats.elections <= 2, "seed {seed}, {lie}: {}", report.stats.elections);
            assert!(report.stats.answered > 100, "seed {seed}, {lie}: {}", report.stats.answered);
        }
    }
}

#[test]
fn two_colluding_replicas_of_four_break_agreement_and_one_of_them_does_not() {
    let run = |seed, liars: &[(u64, &str)]| {
        let options = RunOptions { nodes: Some(4), faults: FaultMix::none(), ..with_liars(seed, liars) };
        run::<Pbft>(&options)
    };
    let colluders = [(1, "equivocate"), (2, "accomplice")];
    let broken = (1..=10).map(|seed| run(seed, &colluders)).filter(|report| {
        assert!(report.cast.outside_the_fault_model);
        report.failure.as_ref().is_some_and(|failure| failure.invariant == "agreement")
    });
    assert!(broken.count() >= 5);
    for (seed, liar) in (1..=4).flat_map(|seed| colluders.map(|liar| (seed, liar))) {
        let report = run(seed, &[liar]);
        assert_eq!(report.failure, None, "seed {seed}, {liar:?}");
        assert!(!report.cast.outside_the_fault_model);
    }
}

#[test]
fn real_signatures_pass_as_cheap_ones_do() {
    let options = RunOptions { time_us: 3_000_000, signatures: Scheme::Ed25519, ..short(5) };
    pbft_passes(&options);
}
