//! Judges compactions and what depends on them, beside the replay.
//!
//! A compaction changes no revision and no key; all it does is to forbid: reads below it, and compactions at or below
//! it. So the replay leaves compactions out and keeps every revision readable, and this pass holds what was served and
//! what was refused against the compactions, which stand in the order of their own revisions:
//!
//! 1. A compaction that succeeded comes after those of lower revisions.
//! 2. What was served below a compaction's revision came before it.
//! 3. What was refused as compacted came after a compaction above it.
//!
//! Serializable reads are exempt from 2, since their node may trail. Compactions with unknown outcome are believed to
//! have been executed where a refusal needs one, and otherwise not.

use std::collections::BTreeMap;

use super::evidence::Footprint;
use super::explain::{Explanation, Rule, Verdict, name};
use super::history::Outcome;
use super::order::Latest;
use super::run::{Place, Run};
use crate::kv::{KvError, Op};

/// A compaction that succeeded.
#[derive(Debug)]
struct Compaction {
    index: usize,
    /// What it forgot: everything below.
    below: i64,
    /// Returns of operations that certainly came after it.
    until: Vec<usize>,
}

/// Checks all compactions of a run.
pub(super) fn check(run: &Run<'_>) -> Result<(), Verdict> {
    let mut chain = compactions(run)?;
    let served = served(run);
    for compaction in &chain {
        let revision = place(run, compaction.index);
        if let Some(&(index, ..)) =
            served.iter().find(|&&(_, at, asked)| at > revision && asked < compaction.below)
        {
            return Err(served_after(run, index, compaction));
        }
    }
    refusals(run, &mut chain)?;
    in_time(run, &chain, &served)
}

fn place(run: &Run<'_>, index: usize) -> i64 {
    run.ops[index].place.revision().unwrap_or_default()
}

/// The compactions that succeeded, in their only possible order (1).
fn compactions(run: &Run<'_>) -> Result<Vec<Compaction>, Verdict> {
    let mut chain: Vec<Compaction> = run
        .ops
        .iter()
        .enumerate()
        .filter(|(_, judged)| matches!(judged.place, Place::Read(_)))
        .filter_map(|(index, judged)| match &judged.operation.op {
            Op::Compact(request) => Some(Compaction { index, below: request.revision, until: Vec::new() }),
            _ => None,
        })
        .collect();
    chain.sort_by_key(|compaction| (place(run, compaction.index), compaction.below));
    if let Some(compaction) = chain.iter().find(|compaction| compaction.below > place(run, compaction.index))
    {
        let operation = run.operation(compaction.index);
        let story = format!("{} compacted at a revision that the store had not reached", name(operation));
        return Err(violated(&story, &[operation]));
    }
    if let Some([first, second]) = chain.array_windows().find(|[first, second]| first.below >= second.below) {
        let (first, second) = (run.operation(first.index), run.operation(second.index));
        let story =
            format!("{} succeeded although {} had compacted that far before", name(second), name(first));
        return Err(violated(&story, &[second, first]));
    }
    Ok(chain)
}

/// What was served at a revision asked for by number: who, where it stands, and what it asked for. Not reads within
/// transactions: whether one was executed depends on the branch, and this pass may only ever accuse rightly.
fn served(run: &Run<'_>) -> Vec<(usize, i64, i64)> {
    let numbered =
        run.ops.iter().enumerate().filter_map(|(index, judged)| match (&judged.operation.op, judged.place) {
            (Op::Range(request), Place::Read(at)) if request.revision > 0 => {
                Some((index, at, request.revision))
            }
            _ => None,
        });
    numbered.collect()
}

/// Holds refusals against what can have caused them (3), and notes until when a compaction must have happened.
fn refusals(run: &Run<'_>, chain: &mut [Compaction]) -> Result<(), Verdict> {
    let maybe: Vec<(u64, i64)> = run
        .ops
        .iter()
        .filter(|judged| {
            matches!(
                judged.operation.outcome,
                Outcome::Unknown(_)
                    | Outcome::Error(
                        KvError::SessionReplyLost | KvError::SessionExpired | KvError::SessionSequenceTooOld
                    )
            )
        })
        .filter_map(|judged| match &judged.operation.op {
            Op::Compact(request) => Some((judged.invoked, request.revision)),
            _ => None,
        })
        .collect();
    for (index, judged) in run.ops.iter().enumerate() {
        if judged.operation.outcome != Outcome::Error(KvError::Compacted) {
            continue;
        }
        // A read at the compacted revision is served, a compaction there is refused.
        let above = match &judged.operation.op {
            Op::Compact(request) => Some(request.revision),
            op => Footprint::of(op).asks_for.map(|asked| asked + 1),
        };
        let Some(above) = above else {
            let story =
                format!("{} was refused as compacted, and asks for no revision", name(judged.operation));
            return Err(violated(&story, &[judged.operation]));
        };
        if maybe.iter().any(|&(invoked, revision)| revision >= above && invoked <= judged.completed) {
            continue;
        }
        let cause = chain.iter_mut().find(|compaction| compaction.below >= above);
        let Some(cause) = cause.filter(|cause| run.ops[cause.index].invoked <= judged.completed) else {
            let story = format!(
                "{} was refused as compacted, and nobody had asked for a compaction that far",
                name(judged.operation)
            );
            return Err(violated(&story, &[judged.operation]));
        };
        cause.until.push(index);
    }
    Ok(())
}

/// One pass over the compactions in their order: whatever must come before one must have been called before it, and
/// those that saw it, had returned.
fn in_time(run: &Run<'_>, chain: &[Compaction], served: &[(usize, i64, i64)]) -> Result<(), Verdict> {
    let mut before = Latest::default();
    let mut earlier: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
    for &(index, _, asked) in served {
        earlier.entry(asked).or_default().push(index);
    }
    for compaction in chain {
        // What asked for less than this one keeps, and was served, came before it and all later ones.
        let later = earlier.split_off(&compaction.below);
        std::mem::replace(&mut earlier, later)
            .into_values()
            .flatten()
            .for_each(|index| before.add(run, index));
        if let Some(other) = before.contradicts(run, compaction.index) {
            return Err(served_after(run, other, compaction));
        }
        before.add(run, compaction.index);
        if let Some((seen, other)) =
            compaction.until.iter().find_map(|&seen| Some((seen, before.contradicts(run, seen)?)))
        {
            let (refused, other) = (run.operation(seen), run.operation(other));
            let story = format!(
                "{} was refused as compacted, although {}, called only later, must have come before the compaction",
                name(refused),
                name(other)
            );
            return Err(violated(&story, &[refused, other, run.operation(compaction.index)]));
        }
    }
    Ok(())
}

fn served_after(run: &Run<'_>, index: usize, compaction: &Compaction) -> Verdict {
    let (operation, cause) = (run.operation(index), run.operation(compaction.index));
    let story = format!(
        "{} came after {}, which compacted up to revision {}, and should have been refused",
        name(operation),
        name(cause),
        compaction.below
    );
    violated(&story, &[operation, cause])
}

fn violated(story: &str, operations: &[&super::Operation]) -> Verdict {
    Verdict::Violated(Explanation::new(Rule::Compaction, story, operations))
}
