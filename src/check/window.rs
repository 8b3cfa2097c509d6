//! Errors carry no revision. What is known of their place are the revisions around them in time.

use super::history::Consistency;
use super::history::Outcome;
use super::run::{Place, Run};
use crate::kv::KvError;

/// The revisions at one of which the store must have answered so.
#[derive(Debug)]
pub(super) struct Window {
    pub(super) index: usize,
    pub(super) error: KvError,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The windows of all errors that depend on the state of keys or on the revision.
pub(super) fn windows(run: &Run<'_>) -> Vec<Window> {
    // By return, the highest revision returned so far; by call, the lowest revision called from there on.
    let mut returned = Vec::new();
    let mut called = Vec::new();
    for judged in &run.ops {
        match judged.place {
            Place::Write(revision) => {
                returned.push((judged.completed, revision));
                called.push((judged.invoked, revision - 1));
            }
            Place::Read(revision) => {
                returned.push((judged.completed, revision));
                called.push((judged.invoked, revision));
            }
            _ => {}
        }
    }
    let seen = run.writers.keys().chain(run.readers.keys()).copied().max().unwrap_or(1);
    returned.sort_unstable();
    called.sort_unstable();
    let mut highest = 1;
    for (_, revision) in &mut returned {
        highest = highest.max(*revision);
        *revision = highest;
    }
    let mut lowest = seen;
    for (_, revision) in called.iter_mut().rev() {
        lowest = lowest.min(*revision);
        *revision = lowest;
    }
    let first_maybe = run.at(Place::Maybe).map(|index| run.ops[index].invoked).min();
    let errors = run.ops.iter().enumerate().filter_map(|(index, judged)| match judged.operation.outcome {
        // What was compacted is judged beside the replay.
        Outcome::Error(error) if judged.place == Place::Floating && error != KvError::Compacted => {
            let earlier = returned.partition_point(|(completed, _)| *completed < judged.invoked);
            let later = called.partition_point(|(invoked, _)| *invoked <= judged.completed);
            let first = if judged.operation.consistency == Consistency::Serializable || earlier == 0 {
                1
            } else {
                returned[earlier - 1].1
            };
            let last = called.get(later).map_or(seen, |(_, revision)| *revision);
            // Behind the last revision seen, writes of unknown outcome may have been executed that only this error shows.
            if last == seen && first_maybe.is_some_and(|invoked| invoked <= judged.completed) {
                return None;
            }
            Some(Window { index, error, first, last: last.max(first) })
        }
        _ => None,
    });
    errors.collect()
}
