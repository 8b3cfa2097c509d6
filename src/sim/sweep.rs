//! Many runs, on several threads.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::run::{Report, RunOptions, run};
use super::simulated::Simulated;
use super::stats::Stats;

/// Which seeds, and how.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// What all runs have in common; the seed is the first one.
    pub options: RunOptions,
    /// How many seeds.
    pub seeds: u64,
    /// On how many threads. Changes nothing but the time it takes.
    pub jobs: usize,
}

/// What came of a sweep.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// How many runs were made.
    pub runs: u64,
    /// What happened in all of them.
    pub stats: Stats,
    /// The failing run of the lowest seed. All lower seeds were run.
    pub failure: Option<Report>,
    /// How many runs broke which promise.
    pub violations: BTreeMap<&'static str, u64>,
    /// Seeds on whose histories there is no verdict, with the reason.
    pub unknown: Vec<(u64, String)>,
}

/// Runs the seeds in ascending order until all are done or one fails that must not: where more nodes lie than the
/// protocol tolerates, all seeds are run and the failures counted. `progress` hears of each that has ended.
pub fn sweep<P: Simulated>(sweep: &Sweep, progress: &(dyn Fn(u64) + Sync)) -> Outcome {
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let outcome = Mutex::new(Outcome::default());
    std::thread::scope(|scope| {
        for _ in 0..sweep.jobs.max(1) {
            scope.spawn(|| {
                while !failed.load(Ordering::Acquire) {
                    let number = next.fetch_add(1, Ordering::AcqRel);
                    if number >= sweep.seeds {
                        return;
                    }
                    let seed = sweep.options.seed + number;
                    let report = run::<P>(&RunOptions { seed, ..sweep.options.clone() });
                    if report.failure.is_some() && !report.cast.outside_the_fault_model {
                        failed.store(true, Ordering::Release);
                    }
                    outcome.lock().unwrap_or_else(PoisonError::into_inner).add(report);
                    progress(seed);
                }
            });
        }
    });
    let mut outcome = outcome.into_inner().unwrap_or_else(PoisonError::into_inner);
    outcome.unknown.sort();
    outcome
}

impl Outcome {
    fn add(&mut self, report: Report) {
        self.runs += 1;
        self.stats.add(&report.stats);
        if let Some(why) = &report.unknown {
            self.unknown.push((report.seed, why.clone()));
        }
        if let Some(failure) = &report.failure {
            *self.violations.entry(failure.invariant).or_default() += 1;
        }
        if report.failure.is_some() && self.failure.as_ref().is_none_or(|lowest| lowest.seed > report.seed) {
            self.failure = Some(report);
        }
    }
}
