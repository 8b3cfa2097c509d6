//! A readable account of a run: one line for each thing that happened.

use std::collections::VecDeque;

/// How much of a run is told. Telling it costs more than running it, so that sweeps do without and a failing run is
/// repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracing {
    /// Nothing.
    Off,
    /// The last so many lines.
    Last(usize),
    /// Everything.
    All,
}

/// The lines so far.
#[derive(Debug)]
pub(super) struct Trace {
    tracing: Tracing,
    lines: VecDeque<String>,
}

impl Trace {
    pub(super) fn new(tracing: Tracing) -> Self {
        Self { tracing, lines: VecDeque::new() }
    }

    pub(super) fn is_on(&self) -> bool {
        self.tracing != Tracing::Off
    }

    /// Adds a line about something that happened at `now` (microseconds) at `place`.
    pub(super) fn push(&mut self, now: u64, place: &str, what: &str) {
        if let Tracing::Last(limit) = self.tracing
            && self.lines.len() == limit
        {
            self.lines.pop_front();
        }
        self.lines.push_back(format!("{:>12.6}  {place:<9} {what}", now as f64 / 1e6));
    }

    pub(super) fn take(&mut self) -> Vec<String> {
        std::mem::take(&mut self.lines).into()
    }
}
