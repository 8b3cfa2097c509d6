//! Load on a cluster, measured: what it carries, how long its callers wait, and what each command costs it.
//!
//! # The idea
//!
//! A [`Load`] is a closed loop: each of N callers has one call under way, and makes the next one when it is answered.
//! So a slow cluster is asked less often, and N is how many callers there are, not how often they ask. [`measure`] puts
//! a load on a [`Site`] and tells the [`Figures`]; the [`Meter`] reads the nodes' own counters before and after, and the
//! difference, divided by the commands, is what one command costs all nodes together.
//!
//! [`compare()`] measures protocols against each other: each on a [cluster of its own](crate::cluster::Temporary), one
//! after the other, several rounds in turn, so that what else the machine does falls on all alike. What it says of two
//! protocols is the ratio of the two in one round, and how far it spreads over the rounds ([`Ratio`]).
//!
//! # Invariants
//!
//! 1. A call counts if it was answered within the window. The window opens after a warm-up of which nothing counts.
//! 2. A call that failed is counted as an error by its kind, and never as throughput or latency.
//! 3. Counters are read right before the window opens and right before it closes, so that what reading takes shifts both
//!    alike. Where a node ended or started in between, there are no costs rather than wrong ones.
//! 4. No two protocols are measured at once, and nothing is measured on a cluster of the user's that was not named.
//!
//! # Left out
//!
//! An open loop, which asks at a rate whatever the answers do. So the longest latencies of a cluster that stands still
//! for a moment are told once for each caller, and not once for each call that would have been made meanwhile.

mod caller;
mod compare;
mod figures;
mod load;
mod meter;
pub mod plot;
mod summary;

use std::fmt;

use serde::Serialize;

pub use caller::{Caller, Site};
pub use compare::{Event, Measurement, Plan, compare};
pub use figures::{Errors, Figures, Latency, Spread};
pub use load::{Api, CALL_TIMEOUT, Load, MAX_CONCURRENCY, MAX_VALUE_BYTES, Operation, measure};
pub use meter::{Costs, Meter};
pub use summary::{Ratio, Summary, ratios, summarize};

/// How many nodes are down while it is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// None.
    None,
    /// One that does not lead was killed before.
    One,
}

impl Fault {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::One => "one",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
