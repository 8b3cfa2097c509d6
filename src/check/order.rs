//! Holds the order of revisions against the order in time, without replaying anything.
//!
//! Revisions order all operations that carry one: the write of a revision, then whoever read at it, then the next
//! write. If an operation must stand behind another one, but had returned before that one was called, there is no
//! linearization. Going through the order once, with the latest call so far in hand, finds every such pair; and since
//! each operation can be thought of as a moment between its call and its return, there is nothing else to look for:
//! moments in an order exist exactly if no return comes before an earlier place's call.

use std::collections::BTreeMap;

use super::explain::{Explanation, Rule, Verdict, name, seconds};
use super::knowledge::Knowledge;
use super::mismatch::Failure;
use super::run::{Place, Run};
use crate::kv::Op;

/// The latest call among the operations that stand earlier in the order.
#[derive(Clone, Debug, Default)]
pub(super) struct Latest {
    overall: Option<usize>,
    /// By client: what a client called after its own return came later, even in the same microsecond.
    by_client: BTreeMap<u64, usize>,
}

impl Latest {
    pub(super) fn add(&mut self, run: &Run<'_>, index: usize) {
        let invoked = run.ops[index].invoked;
        if self.overall.is_none_or(|latest| run.ops[latest].invoked < invoked) {
            self.overall = Some(index);
        }
        let own = self.by_client.entry(run.operation(index).client).or_insert(index);
        *own = (*own).max(index);
    }

    /// An operation that stands earlier and was called only after `index` had returned.
    pub(super) fn contradicts(&self, run: &Run<'_>, index: usize) -> Option<usize> {
        let judged = &run.ops[index];
        let overall = self.overall.filter(|&other| run.ops[other].invoked > judged.completed);
        let own = self.by_client.get(&judged.operation.client).copied();
        overall.or(own.filter(|&other| other > index && run.ops[other].invoked >= judged.completed))
    }
}

/// Checks that there were enough writes for the revisions that were seen, then the order in time.
pub(super) fn check(run: &Run<'_>) -> Result<(), Verdict> {
    revisions_exist(run)?;
    order_in_time(run)
}

/// A revision can be seen only if as many writes had been asked for: known ones up to it, and unknown ones called
/// before the reply arrived.
fn revisions_exist(run: &Run<'_>) -> Result<(), Verdict> {
    let maybe: Vec<u64> = run.at(Place::Maybe).map(|index| run.ops[index].invoked).collect();
    let seen = run.ops.iter().enumerate().filter_map(|(index, op)| {
        let revision = op.place.revision()?;
        Some((revision, op.place != Place::Write(revision), index))
    });
    let mut seen: Vec<(i64, bool, usize)> = seen.collect();
    seen.sort_unstable();
    let mut known = 0;
    for (revision, read, index) in seen {
        known += usize::from(!read);
        let unknown = maybe.partition_point(|&invoked| invoked <= run.ops[index].completed);
        if revision - 1 > (known + unknown) as i64 {
            return Err(Verdict::Violated(too_many(run, index, revision, known + unknown)));
        }
    }
    Ok(())
}

/// More revisions were seen than there can have been: names one that nobody can have made, if one can be told.
fn too_many(run: &Run<'_>, index: usize, revision: i64, writes: usize) -> Explanation {
    // An absurd revision is not worth listing all that are missing below it.
    let sane = 2 * run.ops.len() as i64 + 1_000;
    if run.readers.keys().chain(run.writers.keys()).all(|&seen| seen < sane) {
        let knowledge = Knowledge::new(run);
        let impossible = |gap: &i64| knowledge.candidates(*gap).is_empty();
        let shown = knowledge.proofs.keys().copied().find(impossible);
        if let Some(gap) = shown.or_else(|| knowledge.gaps.iter().copied().find(impossible)) {
            return Failure::Gap(gap).explain(run, &knowledge, |_| None);
        }
    }
    let operation = run.operation(index);
    let story = format!(
        "{} saw revision {revision}, but by the time of its reply ({}) no more than {writes} writes had been asked for \
         that can have come before it, and the first write makes revision 2",
        name(operation),
        seconds(run.ops[index].completed)
    );
    Explanation::new(Rule::UnexplainedRevision, story, &[operation])
}

/// One pass over the revisions.
fn order_in_time(run: &Run<'_>) -> Result<(), Verdict> {
    let (mut all, mut writes) = (Latest::default(), Latest::default());
    let mut revisions: Vec<i64> = run.writers.keys().chain(run.readers.keys()).copied().collect();
    revisions.sort_unstable();
    revisions.dedup();
    for revision in revisions {
        if let Some(&writer) = run.writers.get(&revision) {
            if let Some(other) = all.contradicts(run, writer) {
                return Err(went_back(run, writer, other));
            }
            all.add(run, writer);
            writes.add(run, writer);
        }
        let readers = run.readers.get(&revision).map_or(&[][..], Vec::as_slice);
        for &reader in readers {
            if let Some(other) = writes.contradicts(run, reader) {
                return Err(from_the_future(run, reader, other));
            }
            let linearizable = run.ops[reader].place == Place::Read(revision);
            if let Some(other) = all.contradicts(run, reader).filter(|_| linearizable) {
                return Err(went_back(run, reader, other));
            }
        }
        readers.iter().filter(|&&r| run.ops[r].place == Place::Read(revision)).for_each(|&r| all.add(run, r));
    }
    Ok(())
}

/// `early` returned before `late` was called, yet `late` has the lower revision.
fn went_back(run: &Run<'_>, early: usize, late: usize) -> Verdict {
    let (first, second) = (run.operation(early), run.operation(late));
    let (high, low) = (run.ops[early].place.revision(), run.ops[late].place.revision());
    let (high, low) = (high.unwrap_or_default(), low.unwrap_or_default());
    let kind = match (run.ops[late].place, &second.op) {
        (Place::Write(_), _) => "the write",
        (_, Op::Range(_)) => "the read is stale: it",
        _ => "the operation",
    };
    let compared = if high == low { "not above" } else { "below" };
    let story = format!(
        "{kind} of {} was called at {}, after {} had returned at {} with revision {high}, and yet has revision {low}, \
         {compared} it",
        name(second),
        seconds(run.ops[late].invoked),
        name(first),
        seconds(run.ops[early].completed)
    );
    Verdict::Violated(Explanation::new(Rule::RealTime, story, &[second, first]))
}

/// A serializable read, or any, returned a revision whose write, or one below it, had not been called.
fn from_the_future(run: &Run<'_>, reader: usize, writer: usize) -> Verdict {
    let (read, write) = (run.operation(reader), run.operation(writer));
    let story = format!(
        "{} returned at {} with revision {}, which stands behind revision {} of {}, called only at {}",
        name(read),
        seconds(run.ops[reader].completed),
        run.ops[reader].place.revision().unwrap_or_default(),
        run.ops[writer].place.revision().unwrap_or_default(),
        name(write),
        seconds(run.ops[writer].invoked)
    );
    Verdict::Violated(Explanation::new(Rule::FromTheFuture, story, &[read, write]))
}
