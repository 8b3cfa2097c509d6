//! Seeds that found something, each with what it found: they must pass for ever.

use consensusctl::consensus::raft::Raft;
use consensusctl::sim::{RunOptions, run};

fn passes(seed: u64, seconds: u64) {
    let options = RunOptions { seed, time_us: seconds * 1_000_000, ..RunOptions::default() };
    let report = run::<Raft>(&options);
    let failure = report.failure.map(|failure| format!("{}: {}", failure.invariant, failure.detail));
    assert_eq!((failure, report.unknown), (None, None), "{}", options.command("raft"));
}

/// A follower whose next entries were compacted while its window was full was never brought up to date: its answers
/// about the base of the leader's log were taken for late ones. The reduced test is in `consensus::raft::tests`. The
/// first seed is the one that finds the planted bug, the others were so before smaller segments were drawn.
#[test]
fn a_follower_behind_a_compacted_log_catches_up() {
    for seed in [33, 61, 66, 205, 211] {
        passes(seed, 40);
    }
}

/// The checker took what became certain of a key at a later revision for certain at an earlier one, and so blamed no
/// gap when a read of an old revision differed.
#[test]
fn reads_of_old_revisions_find_the_gap_that_explains_them() {
    for seed in [300, 395] {
        passes(seed, 60);
    }
}
