//! The smallest schedule of faults that still fails.

use super::run::{Report, RunOptions, run};
use super::simulated::Simulated;
use super::trace::Tracing;

/// How many runs may be spent on shrinking: a minute or so.
const BUDGET: usize = 300;

/// How much of the failing run is told.
const TRACE_LINES: usize = 80;

/// A failing run with as few faults as were found to suffice.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What repeats it.
    pub options: RunOptions,
    /// How it ends, with the last steps as a trace.
    pub report: Report,
    /// How many faults the whole schedule had.
    pub faults_before: usize,
}

/// Leaves out as many faults of a failing run as possible, so that it still breaks the same promise: delta debugging
/// (Zeller and Hildebrandt, 2002) over the schedule.
pub fn shrink<P: Simulated>(options: &RunOptions, failing: &Report) -> Shrunk {
    let options = &options.with::<P>(&failing.cast);
    let quiet = RunOptions { tracing: Tracing::Off, ..options.clone() };
    let wanted = failing.failure.as_ref().map(|failure| failure.invariant);
    let all: Vec<usize> = failing.schedule.iter().map(|injection| injection.number).collect();
    let faults_before = all.len();
    let mut runs = 0;
    let mut fails = |keep: &[usize]| {
        runs += 1;
        let options = RunOptions { keep: Some(keep.to_vec()), ..quiet.clone() };
        runs <= BUDGET && run::<P>(&options).failure.map(|failure| failure.invariant) == wanted
    };
    let keep = minimize(all, &mut fails);
    let options = RunOptions { keep: Some(keep), tracing: Tracing::Last(TRACE_LINES), ..options.clone() };
    let report = run::<P>(&options);
    Shrunk { options: RunOptions { tracing: Tracing::Off, ..options }, report, faults_before }
}

/// Leaves out chunks, from halves down to single ones, as long as what is left still fails.
fn minimize(mut keep: Vec<usize>, fails: &mut impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut chunk = keep.len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        while start < keep.len() {
            let end = (start + chunk).min(keep.len());
            let rest: Vec<usize> = keep[..start].iter().chain(&keep[end..]).copied().collect();
            if fails(&rest) {
                keep = rest;
            } else {
                start = end;
            }
        }
        chunk /= 2;
    }
    keep
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_it_takes_is_left() {
        let mut tried = 0;
        let kept = minimize((0..40).collect(), &mut |keep| {
            tried += 1;
            keep.contains(&7) && keep.contains(&31)
        });
        assert_eq!(kept, [7, 31]);
        assert!(tried < 60, "{tried} runs");
    }
}
