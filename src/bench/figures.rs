//! What was measured, in numbers.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use super::Costs;
use crate::client;

/// The longest latency that can be told apart, in microseconds: far above every time-out.
const LONGEST_US: u64 = 60_000_000;

/// What all callers together saw in the window.
#[derive(Debug)]
pub(super) struct Tally {
    latencies: Histogram<u64>,
    pub(super) errors: Errors,
}

/// Calls that were not done, by what the caller knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Errors {
    /// Refused: certain to have had no effect.
    pub refused: u64,
    /// Those of which nobody knows whether they were executed, as after a time-out.
    pub unknown: u64,
    /// Those that reached no node.
    pub unreachable: u64,
    /// The words of the first one.
    pub first: Option<String>,
}

impl Errors {
    /// How many there were.
    pub fn total(&self) -> u64 {
        self.refused + self.unknown + self.unreachable
    }

    pub(super) fn note(&mut self, error: &client::Error) {
        match error {
            client::Error::Refused { .. } => self.refused += 1,
            client::Error::Unknown { .. } => self.unknown += 1,
            client::Error::Unreachable { .. } => self.unreachable += 1,
        }
        self.first.get_or_insert_with(|| error.to_string());
    }

    /// Counts another's errors too.
    pub fn add(&mut self, other: &Self) {
        self.refused += other.refused;
        self.unknown += other.unknown;
        self.unreachable += other.unreachable;
        if self.first.is_none() {
            self.first.clone_from(&other.first);
        }
    }
}

impl Tally {
    pub(super) fn new() -> Self {
        let latencies = Histogram::new_with_bounds(1, LONGEST_US, 3);
        Self { latencies: latencies.expect("bounds and precision are valid"), errors: Errors::default() }
    }

    pub(super) fn done(&mut self, took: Duration) {
        self.latencies.saturating_record(took.as_micros() as u64);
    }

    pub(super) fn commands(&self) -> u64 {
        self.latencies.len()
    }

    pub(super) fn figures(&self, took: Duration, costs: Option<Costs>) -> Figures {
        let seconds = took.as_secs_f64();
        Figures {
            seconds,
            commands: self.commands(),
            per_second: self.commands() as f64 / seconds.max(1e-9),
            latency_ms: Latency::of(&self.latencies),
            errors: self.errors.clone(),
            per_command: costs,
        }
    }
}

/// What a load saw of a cluster, and what it cost there.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    /// How long the window was.
    pub seconds: f64,
    /// Commands that were answered in it.
    pub commands: u64,
    /// How many that is in a second.
    pub per_second: f64,
    /// How long their callers waited.
    pub latency_ms: Latency,
    /// Calls that failed.
    pub errors: Errors,
    /// What a command cost all nodes together. `None` where that is not known: the nodes tell no counters, one of them
    /// ended or started meanwhile, or no command was answered.
    pub per_command: Option<Costs>,
}

/// Latencies at percentiles, in milliseconds; all zero where nothing was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// Nine of ten are no longer.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p99_9: f64,
    /// All.
    pub max: f64,
}

impl Latency {
    fn of(latencies: &Histogram<u64>) -> Self {
        let at = |quantile: f64| latencies.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: latencies.max() as f64 / 1000.0,
        }
    }
}

/// How far a figure spreads over several rounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// Half of the rounds have no more; of an even number of rounds the mean of the two in the middle.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these figures; `None` if there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first()?, *figures.last()?);
        let middle = figures.len() / 2;
        let median = if figures.len() % 2 == 1 {
            figures[middle]
        } else {
            f64::midpoint(figures[middle - 1], figures[middle])
        };
        Some(Self { min, median, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_its_median_in_the_middle_of_what_is_there() {
        assert_eq!(Spread::of([]), None);
        assert_eq!(Spread::of([3.0]), Some(Spread { min: 3.0, median: 3.0, max: 3.0 }));
        assert_eq!(Spread::of([9.0, 1.0, 2.0]), Some(Spread { min: 1.0, median: 2.0, max: 9.0 }));
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 9.0]), Some(Spread { min: 1.0, median: 3.0, max: 9.0 }));
    }

    #[test]
    fn errors_are_no_throughput() {
        let mut tally = Tally::new();
        for ms in [2, 4, 100] {
            tally.done(Duration::from_millis(ms));
        }
        tally.errors.note(&client::Error::Unreachable { message: "gone".to_owned() });
        tally.errors.note(&client::Error::Unknown { message: "late".to_owned() });
        let figures = tally.figures(Duration::from_secs(2), None);
        assert_eq!((figures.commands, figures.errors.total()), (3, 2));
        assert!((figures.per_second - 1.5).abs() < 1e-9, "{figures:?}");
        assert!(figures.errors.first.as_ref().is_some_and(|words| words.contains("gone")), "{figures:?}");
        let Latency { p50, p99, max, .. } = figures.latency_ms;
        assert!((3.9..4.1).contains(&p50) && (99.0..101.0).contains(&p99) && (99.0..101.0).contains(&max));
    }

    #[test]
    fn no_answer_is_no_latency_and_no_division_by_nothing() {
        let figures = Tally::new().figures(Duration::ZERO, None);
        assert_eq!((figures.commands, figures.latency_ms), (0, Latency::default()));
        assert_eq!(figures.per_second.to_bits(), 0.0_f64.to_bits());
    }
}
