//! Judges what clients of a cluster saw: was there one store, that did each thing once, in an order that everyone's
//! replies and clocks agree on?
//!
//! That is linearizability (Herlihy and Wing, 1990) of the whole store, with its revisions, transactions and sessions.
//! To decide it is hard in general; here it is mostly easy, since a reply tells its place: the store numbers its
//! changes, and every reply carries the number that it was given at.
//!
//! # How it is decided
//!
//! 1. Calls of one command of a session become one; they must have been answered alike (`run`).
//! 2. No two writes may claim one revision, and there must be enough writes for the revisions seen (`run`,
//!    `order`).
//! 3. The order of revisions must agree with time: who returned before another was called stands before it
//!    (`order`).
//! 4. Compactions must have forbidden what they forbid (`compaction`).
//! 5. All writes are replayed in the order of revisions, and every reply must be the model's to the byte. What is
//!    left to search for is who made the revisions that nobody was told of (`search`): what replies prove about them
//!    comes first (`knowledge`), then what a witness says (`witness`).
//!
//! Histories without revisions are judged key by key, as registers (`register`).
//!
//! # Invariants
//!
//! 1. *Sound*: a history that a correct store can have produced is never called violated. Where in doubt (equal times,
//!    a compaction of unknown outcome) the doubt favours the store.
//! 2. *Honest*: what was not decided is [`Verdict::Unknown`], never passed.
//! 3. *Deterministic*: equal histories and steps give equal verdicts. Time comes from the caller, as a budget.
//!
//! # What is promised to whom
//!
//! | operation | must |
//! |---|---|
//! | answered write | stand at its revision, above all that returned before its call |
//! | linearizable read | equal the model at its revision, not below what returned before its call |
//! | serializable read | equal the model at its revision, which must have been asked for before its return |
//! | error | be the model's answer at some revision within its time |
//! | refused | have no effect |
//! | unknown | have its effect once, at any time after its call, or never |
//!
//! # What is left out
//!
//! - Reads by number within transactions are not held against compactions that succeeded before them.
//! - An error's place in time is bounded by operations with revisions, not by other errors.
//! - Histories must begin with an empty store.

mod compaction;
mod evidence;
mod explain;
mod form;
mod format;
mod history;
mod knowledge;
mod mismatch;
mod order;
mod record;
mod register;
mod run;
mod search;
#[cfg(test)]
mod tests;
mod window;
mod witness;

pub use explain::{Explanation, Rule, Summary, Verdict};
pub use format::{FORMAT_VERSION, FormatError, HistoryWriter};
pub use history::{Consistency, Fact, Header, History, Operation, Outcome};
pub use record::{Call, Recorder, Ticket};
pub use witness::Witness;

use crate::kv::Response;
use run::Run;

/// How much may be spent on a verdict.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    /// So many steps: revisions replayed, choices taken back. A step takes some microseconds.
    pub steps: u64,
    /// Says when time is up. Asked now and then.
    pub expired: &'a dyn Fn() -> bool,
}

impl Limits<'_> {
    /// Steps only: the same verdict on every machine.
    pub fn steps(steps: u64) -> Limits<'static> {
        Limits { steps, expired: &|| false }
    }
}

impl std::fmt::Debug for Limits<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limits").field("steps", &self.steps).finish_non_exhaustive()
    }
}

/// Judges a history.
pub fn check(history: &History, limits: &Limits<'_>) -> Verdict {
    check_with(history, &Witness::default(), limits)
}

/// Judges a history; where the search has a choice, it tries first what the witness says.
pub fn check_with(history: &History, witness: &Witness, limits: &Limits<'_>) -> Verdict {
    let mut revisions =
        history.operations.iter().filter_map(Operation::response).map(Response::revision).peekable();
    if revisions.peek().is_some() && revisions.all(|revision| revision == 0) {
        return register::check(history, limits);
    }
    let judged = Run::new(history).and_then(|run| {
        order::check(&run)?;
        compaction::check(&run)?;
        Ok(search::replay(&run, witness, limits))
    });
    judged.unwrap_or_else(|verdict| verdict)
}
