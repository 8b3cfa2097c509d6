//! Judges histories without revisions, of plain registers: puts, deletions and reads of single keys.
//!
//! Linearizability is local (Herlihy and Wing, 1990): such a history is linearizable if that of every key is. Each
//! key's operations are searched for an order (Wing and Gong, 1993), with the states that were reached before
//! remembered (Lowe, 2017).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use bytes::Bytes;

use super::explain::{Explanation, Rule, Verdict, name, show};
use super::history::{History, Operation, Outcome};
use super::{Limits, Summary};
use crate::kv::{Op, RangeRequest, Response};

/// What an operation does to a register.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Action {
    Write(Option<Bytes>),
    Read(Option<Bytes>),
}

/// An operation of one key.
struct Access<'a> {
    operation: &'a Operation,
    action: Action,
    /// When it returned; the end of time if that is not known, so that it may also never happen.
    completed: u64,
}

/// How the search of a key ended, other than well.
enum Stop {
    NoOrder(Explanation),
    OutOfBudget,
}

/// Judges a history without revisions.
pub(super) fn check(history: &History, limits: &Limits<'_>) -> Verdict {
    let mut keys: BTreeMap<Bytes, Vec<Access<'_>>> = BTreeMap::new();
    let mut unknown = 0;
    for operation in &history.operations {
        match access(operation) {
            Ok(Some((key, access))) => {
                unknown += usize::from(access.completed == u64::MAX);
                keys.entry(key).or_default().push(access);
            }
            Ok(None) => {}
            Err(why) => return Verdict::Unknown(format!("{}: {why}", name(operation))),
        }
    }
    let mut steps = 0;
    for (key, accesses) in keys {
        match search(&key, accesses, limits, &mut steps) {
            Ok(()) => {}
            Err(Stop::NoOrder(explanation)) => return Verdict::Violated(explanation),
            Err(Stop::OutOfBudget) => {
                return Verdict::Unknown(format!(
                    "the budget ran out at key {}: give it more time",
                    show(&key)
                ));
            }
        }
    }
    Verdict::Passed(Summary { operations: history.operations.len(), unknown, ..Summary::default() })
}

/// What an operation is to its key; nothing if it cannot have had an effect or shown one.
fn access(operation: &Operation) -> Result<Option<(Bytes, Access<'_>)>, &'static str> {
    let (key, write) = match &operation.op {
        Op::Put(request) if !request.ignore_value => (&request.key, Some(Some(request.value.clone()))),
        Op::DeleteRange(request) if request.range_end.is_empty() => (&request.key, Some(None)),
        Op::Range(request) if is_plain(request) => (&request.key, None),
        Op::OpenSession => return Ok(None),
        _ => return Err("without revisions, only puts, deletions and reads of single keys can be judged"),
    };
    if operation.consistency == super::Consistency::Serializable {
        return Err("without revisions, serializable reads cannot be judged");
    }
    let (action, completed) = match (&operation.outcome, write) {
        (Outcome::Ok(_), Some(value)) => (Action::Write(value), operation.completed.unwrap_or(u64::MAX)),
        (Outcome::Unknown(_), Some(value)) => (Action::Write(value), u64::MAX),
        (Outcome::Ok(Response::Range(reply)), None) => {
            let value = reply.kvs.first().map(|kv| kv.value.clone());
            (Action::Read(value), operation.completed.unwrap_or(u64::MAX))
        }
        _ => return Ok(None),
    };
    Ok(Some((key.clone(), Access { operation, action, completed })))
}

fn is_plain(request: &RangeRequest) -> bool {
    let plain = RangeRequest { key: request.key.clone(), ..RangeRequest::default() };
    *request == plain
}

/// A set of operations, as bits.
type Bits = Vec<u64>;

/// Searches an order of one key's operations, depth first.
fn search(
    key: &Bytes,
    mut accesses: Vec<Access<'_>>,
    limits: &Limits<'_>,
    steps: &mut u64,
) -> Result<(), Stop> {
    accesses.sort_by_key(|access| access.operation.invoked);
    let needed = accesses.iter().filter(|access| access.completed != u64::MAX).count();
    let mut done: Bits = vec![0; accesses.len().div_ceil(64)];
    let mut seen: BTreeSet<(Bits, Option<Bytes>)> = BTreeSet::new();
    let (mut value, mut placed) = (None::<Bytes>, 0);
    let mut trail: Vec<(usize, Option<Bytes>)> = Vec::new();
    let (mut from, mut furthest) = (0, (0, None));
    while placed < needed {
        *steps += 1;
        if *steps > limits.steps
            || (steps.is_multiple_of(256) && (limits.expired)())
            || seen.len() > MAX_STATES
        {
            return Err(Stop::OutOfBudget);
        }
        if let Some((index, after)) = next(&accesses, &done, value.as_ref(), from) {
            done[index / 64] |= 1 << (index % 64);
            if seen.insert((done.clone(), after.clone())) {
                placed += usize::from(accesses[index].completed != u64::MAX);
                trail.push((index, std::mem::replace(&mut value, after)));
                from = 0;
            } else {
                done[index / 64] &= !(1 << (index % 64));
                from = index + 1;
            }
            continue;
        }
        if placed >= furthest.0 {
            furthest = (placed, Some((done.clone(), value.clone())));
        }
        let Some((index, before)) = trail.pop() else {
            return Err(Stop::NoOrder(no_order(key, &accesses, furthest.1)));
        };
        placed -= usize::from(accesses[index].completed != u64::MAX);
        done[index / 64] &= !(1 << (index % 64));
        value = before;
        from = index + 1;
    }
    Ok(())
}

/// So many states of one key are remembered: some hundred bytes each, a gigabyte at most.
const MAX_STATES: usize = 4_000_000;

/// The next operation that can come now, with the value after it: nobody who is not placed returned before its call.
fn next(
    accesses: &[Access<'_>],
    done: &Bits,
    value: Option<&Bytes>,
    from: usize,
) -> Option<(usize, Option<Bytes>)> {
    let open = |index: &usize| done[index / 64] >> (index % 64) & 1 == 0;
    let mut first_return = u64::MAX;
    for index in (0..accesses.len()).filter(open) {
        if accesses[index].operation.invoked > first_return {
            break;
        }
        first_return = first_return.min(accesses[index].completed);
    }
    (from..accesses.len())
        .filter(open)
        .take_while(|&index| accesses[index].operation.invoked <= first_return)
        .find_map(|index| match &accesses[index].action {
            Action::Write(after) => Some((index, after.clone())),
            Action::Read(read) if read.as_ref() == value => Some((index, read.clone())),
            Action::Read(_) => None,
        })
}

/// Names the operation that could not be placed when most others were, and who wrote what it should have seen.
fn no_order(key: &Bytes, accesses: &[Access<'_>], furthest: Option<(Bits, Option<Bytes>)>) -> Explanation {
    let (done, value) = furthest.unwrap_or_default();
    let is_done = |index: usize| done.get(index / 64).is_some_and(|bits| bits >> (index % 64) & 1 == 1);
    let stuck = (0..accesses.len())
        .filter(|&index| !is_done(index) && matches!(accesses[index].action, Action::Read(_)))
        .min_by_key(|&index| accesses[index].completed);
    let writer = accesses
        .iter()
        .enumerate()
        .rev()
        .find(|(index, access)| is_done(*index) && access.action == Action::Write(value.clone()));
    let mut involved: Vec<&Operation> = Vec::new();
    let held = value.as_ref().map_or_else(|| "nothing".to_owned(), |value| show(value));
    let mut story = format!("key {} held {held}", show(key));
    if let Some(stuck) = stuck {
        let _ = write!(story, " when {} read something else", name(accesses[stuck].operation));
        involved.push(accesses[stuck].operation);
    }
    if let Some((_, writer)) = writer {
        let _ = write!(story, "; {} had written that", name(writer.operation));
        involved.push(writer.operation);
    }
    Explanation::new(Rule::NoOrder, story, &involved)
}
