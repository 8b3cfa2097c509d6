//! Runs of the simulator.

use consensusctl::consensus::raft::Raft;
use consensusctl::sim::{FaultMix, RunOptions, Tracing, run};

#[test]
#[ignore = "by hand"]
fn explore() {
    let var = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let from = var("FROM", 1);
    let faults = std::env::var("FAULTS").unwrap_or("all".into());
    for seed in from..from + var("SEEDS", 10) {
        let tracing = if var("TRACE", 0) > 0 { Tracing::Last(var("TRACE", 0) as usize) } else { Tracing::Off };
        let options = RunOptions {
            seed,
            nodes: var("NODES", 5) as usize,
            time_us: var("TIME", 60) * 1_000_000,
            faults: FaultMix::parse(&faults).unwrap(),
            tracing,
            ..RunOptions::default()
        };
        let begin = std::time::Instant::now();
        let report = run::<Raft>(&options);
        let took = begin.elapsed();
        println!(
            "seed {seed} digest {:016x} took {took:?} factor {:.0} {:?} {:?}",
            report.digest,
            report.stats.simulated_us as f64 / 1e6 / took.as_secs_f64(),
            report.failure.as_ref().map(|f| f.invariant),
            report.unknown,
        );
        if var("VERBOSE", 0) > 0 {
            println!("{:?}", report.stats);
        }
        if let Some(failure) = &report.failure {
            for line in &report.trace {
                println!("{line}");
            }
            for injection in &report.schedule {
                println!("{injection}");
            }
            println!("at {}: {}: {}", failure.at, failure.invariant, failure.detail);
            return;
        }
    }
}
