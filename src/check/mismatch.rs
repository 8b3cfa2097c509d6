//! Where a reply differs from the model's: which keys are to blame, and how to tell it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use bytes::Bytes;

use super::evidence::{Effect, Footprint};
use super::explain::{Explanation, Rule, key_value, name, response, show};
use super::knowledge::Knowledge;
use super::run::{Judged, Place, Run};
use crate::kv::{KeyValue, Op, RangeRequest, RangeResponse, Reply, Response, Store};

/// A dead end of the replay.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// A reply differs from the model's.
    Reply {
        /// Whose.
        index: usize,
        /// What the model answers.
        expected: Reply,
        /// The keys that differ, as the model has them before the operation.
        keys: Vec<(Bytes, Option<KeyValue>)>,
    },
    /// No candidate is left for a revision.
    Gap(i64),
    /// An error that no state in its time explains.
    Error(usize),
}

/// The keys of which at least one must have another state for the replies to agree; `None` if that cannot be told.
pub(super) fn concerned(op: &Op, expected: &Reply, actual: &Response, model: &Store) -> Option<Vec<Bytes>> {
    if let (Op::Range(request), Response::Range(actual)) = (op, actual)
        && let Some(key) = differing(request, expected, actual, model)
    {
        return Some(vec![key]);
    }
    let footprint = Footprint::of(op);
    let mut keys: Vec<Bytes> = footprint.spans().map(|span| span.only().cloned()).collect::<Option<_>>()?;
    keys.sort_unstable();
    keys.dedup();
    Some(keys)
}

/// One key that a range shows otherwise than the model has it, or misses.
fn differing(
    request: &RangeRequest,
    expected: &Reply,
    actual: &RangeResponse,
    model: &Store,
) -> Option<Bytes> {
    let at = if request.revision > 0 { request.revision } else { 0 };
    let state = |kv: &KeyValue| (kv.create_revision, kv.mod_revision, kv.version);
    let wrong = actual.kvs.iter().find(|seen| {
        let known = get(model, &seen.key, at);
        known.as_ref().map(state) != Some(state(seen))
            || (!request.keys_only && known.is_some_and(|known| known.value != seen.value))
    });
    let whole = request.limit <= 0 && !request.count_only && actual.kvs.len() as i64 == actual.count;
    let missing = match expected {
        Ok(Response::Range(expected)) if whole => {
            let shown: BTreeSet<&Bytes> = actual.kvs.iter().map(|kv| &kv.key).collect();
            expected.kvs.iter().find(|kv| !shown.contains(&kv.key))
        }
        _ => None,
    };
    wrong.or(missing).map(|kv| kv.key.clone())
}

/// A key's state in the model, as of a revision or now.
pub(super) fn get(model: &Store, key: &Bytes, revision: i64) -> Option<KeyValue> {
    let request = RangeRequest { key: key.clone(), revision, ..RangeRequest::default() };
    model.range(&request).ok().and_then(|mut reply| reply.kvs.pop())
}

impl Failure {
    /// Tells the failure; `placed` says who was taken for the writer of a revision.
    pub(super) fn explain(
        &self,
        run: &Run<'_>,
        knowledge: &Knowledge,
        placed: impl Fn(i64) -> Option<usize>,
    ) -> Explanation {
        match self {
            Self::Reply { index, expected, keys } => wrong_reply(run, *index, expected, keys, placed),
            Self::Gap(gap) => unexplained(run, knowledge, *gap),
            Self::Error(index) => {
                let operation = run.operation(*index);
                let story = format!("at no moment of {} can the store have answered so", name(operation));
                Explanation::new(Rule::WrongReply, story, &[operation])
            }
        }
    }
}

fn wrong_reply(
    run: &Run<'_>,
    index: usize,
    expected: &Reply,
    keys: &[(Bytes, Option<KeyValue>)],
    placed: impl Fn(i64) -> Option<usize>,
) -> Explanation {
    let operation = run.operation(index);
    let mut involved = vec![operation];
    let mut story = format!(
        "{} should have been answered \"{}\"",
        name(operation),
        expected.as_ref().map_or_else(ToString::to_string, response)
    );
    for (key, known) in keys {
        if let Some(known) = known {
            let _ = write!(story, "; the store held {}", key_value(known));
            if let Some(writer) = placed(known.mod_revision) {
                let _ = write!(story, ", written by {}", name(run.operation(writer)));
                involved.push(run.operation(writer));
            }
        } else {
            let _ = write!(story, "; the store did not hold {}", show(key));
            if let Some(remover) = remover(run, key, index) {
                let _ = write!(story, ", deleted by {}", name(run.operation(remover)));
                involved.push(run.operation(remover));
            }
        }
        if let Some(claimed) = claimed(run, index, key)
            && let Some(writer) = placed(claimed.mod_revision)
            && Some(claimed.mod_revision) != known.as_ref().map(|known| known.mod_revision)
        {
            let _ = write!(story, "; the reply shows what {} wrote", name(run.operation(writer)));
            involved.push(run.operation(writer));
        }
    }
    let rule = if shows_the_future(run, index) { Rule::FromTheFuture } else { Rule::WrongReply };
    Explanation::new(rule, story, &involved)
}

/// The key as the reply shows it.
fn claimed(run: &Run<'_>, index: usize, key: &Bytes) -> Option<KeyValue> {
    let operation = run.operation(index);
    let sightings = super::evidence::Sightings::of(
        &operation.op,
        operation.response()?,
        matches!(run.ops[index].place, Place::Write(_)),
    );
    sightings.present.into_iter().map(|seen| seen.kv).find(|kv| kv.key == key)
}

/// Whether the reply shows a key of a later revision than its own.
fn shows_the_future(run: &Run<'_>, index: usize) -> bool {
    match run.operation(index).response() {
        Some(Response::Range(reply)) => reply.kvs.iter().any(|kv| kv.mod_revision > reply.revision),
        _ => false,
    }
}

/// The last known deletion of a key before the operation.
fn remover(run: &Run<'_>, key: &Bytes, index: usize) -> Option<usize> {
    let before = run.ops[index].place.revision()?;
    let mut earlier =
        run.writers.range(..=before).rev().map(|(_, &writer)| writer).filter(|&writer| writer != index);
    earlier.find(|&writer| {
        matches!(run.operation(writer).op, Op::DeleteRange(_) | Op::Txn(_))
            && Footprint::of(&run.operation(writer).op).may_write(key)
    })
}

/// Nobody can have made the revision: says who saw it, and who wrote the same elsewhere.
fn unexplained(run: &Run<'_>, knowledge: &Knowledge, gap: i64) -> Explanation {
    let proofs = knowledge.proofs.get(&gap).map_or(&[][..], Vec::as_slice);
    let Some(proof) = proofs.first() else { return unseen(run, knowledge, gap) };
    let witness = run.operation(proof.witness);
    let kv = &proof.sighting.kv;
    let mut story = format!(
        "{} shows {}, but no operation whose outcome is unknown can have made revision {gap}",
        name(witness),
        key_value(kv)
    );
    let mut involved = vec![witness];
    let value = Some(&kv.value).filter(|_| proof.sighting.value && !proof.creation);
    let wrote_the_same = |judged: &&Judged<'_>| {
        let writes = Footprint::of(&judged.operation.op).writes;
        writes.iter().any(|(span, effect)| {
            span.only() == Some(&kv.key) && matches!(effect, Effect::Put(put) if Some(put) == value)
        })
    };
    // Whoever is known to have been executed, or not, says more than who may have been.
    let same = run.ops.iter().filter(wrote_the_same).min_by_key(|judged| judged.place == Place::Maybe);
    let mut rule = Rule::UnexplainedRevision;
    if let Some(same) = same {
        let line = name(same.operation);
        match same.place {
            Place::Write(revision) => {
                rule = Rule::ExactlyOnce;
                let _ = write!(
                    story,
                    "; {line} wrote that and is known to have made revision {revision}: it was executed twice"
                );
            }
            Place::Maybe => {
                let _ = write!(story, "; {line} may have, but was called too late or made another");
            }
            _ => {
                let _ = write!(story, "; {line} would have, but was not executed");
            }
        }
        involved.push(same.operation);
    }
    Explanation::new(rule, story, &involved)
}

/// A revision of which nothing is known but that there are later ones.
fn unseen(run: &Run<'_>, knowledge: &Knowledge, gap: i64) -> Explanation {
    let before = run.writers.range(..gap).next_back().map(|(_, &writer)| run.operation(writer));
    let after = run.writers.range(gap..).next().map(|(_, &writer)| run.operation(writer));
    let reader = run.readers.range(gap..).next().and_then(|(_, readers)| readers.first());
    let after = after.or(reader.map(|&reader| run.operation(reader)));
    let involved: Vec<_> = after.into_iter().chain(before).collect();
    let why = if knowledge.maybe.is_empty() {
        "there is no write of unknown outcome"
    } else {
        "no write of unknown outcome fits"
    };
    let story = format!("later revisions were seen, but nobody can have made revision {gap}: {why}");
    Explanation::new(Rule::UnexplainedRevision, story, &involved)
}
