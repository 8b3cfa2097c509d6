//! Replays a history on the model, and searches for who made the revisions whose writer is not known.
//!
//! Revision after revision, the write is executed on the model and every reply at that revision is compared with the
//! model's. At a revision without a known writer (a *gap*) a candidate is tried, and when replies later differ, the
//! search goes back. Three things keep it short (the search of Wing and Gong, 1993, with what Lowe, 2017, and constraint
//! solvers add):
//!
//! - A difference names keys. Only gaps behind the last revision at which those keys are certain, and only those whose
//!   candidates may write them, can be to blame: the search jumps back to the latest of these, and when it runs out of
//!   candidates, to the latest gap of all that its dead ends blamed.
//! - Gaps that were jumped over are tried first with what they had.
//! - Of two operations that ask for the same, the second is not tried where the first failed: whoever fits a gap in
//!   time fits every later one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::evidence::Span;
use super::explain::{Explanation, Verdict};
use super::knowledge::Knowledge;
use super::mismatch::{Failure, concerned, get};
use super::run::Run;
use super::window::{Window, windows};
use super::witness::Witness;
use super::{Limits, Summary};
use crate::kv::{Op, Response, Store};
use crate::text::counted;

/// A gap that has a candidate in it.
struct Choice {
    gap: i64,
    /// The model before it.
    before: Store,
    candidates: Vec<usize>,
    /// The candidates before this one were tried.
    next: usize,
    chosen: usize,
    /// The earlier gaps that the failures of the candidates so far blame.
    blamed: BTreeSet<i64>,
}

/// Why the replay cannot go on.
struct DeadEnd {
    failure: Box<Failure>,
    blamed: BTreeSet<i64>,
}

/// How the search ends, other than well.
enum Stop {
    Violated(Box<Explanation>),
    OutOfBudget,
}

/// The replay's state.
struct Search<'a> {
    run: &'a Run<'a>,
    knowledge: Knowledge,
    limits: &'a Limits<'a>,
    model: Store,
    choices: Vec<Choice>,
    /// Which candidate is in which gap.
    used: BTreeMap<usize, i64>,
    /// What to try first in a gap.
    preferred: BTreeMap<i64, usize>,
    windows: Vec<Window>,
    /// By window: the revision at which the error was explained.
    explained: Vec<Option<i64>>,
    /// The dead end that lay furthest.
    deepest: Option<(i64, Failure)>,
    steps: u64,
    backtracks: u64,
}

/// Replays the run.
pub(super) fn replay(run: &Run<'_>, witness: &Witness, limits: &Limits<'_>) -> Verdict {
    let knowledge = Knowledge::new(run);
    let preferred = witness.preferred(run, &knowledge);
    let windows = windows(run);
    let mut search = Search {
        run,
        knowledge,
        limits,
        model: Store::new(),
        choices: Vec::new(),
        used: BTreeMap::new(),
        preferred,
        explained: vec![None; windows.len()],
        windows,
        deepest: None,
        steps: 0,
        backtracks: 0,
    };
    match search.run_to_the_end() {
        Ok(last) => Verdict::Passed(Summary {
            operations: run.ops.len(),
            unknown: search.knowledge.maybe.len(),
            unknown_executed: search.choices.len(),
            revision: last,
            backtracks: search.backtracks,
        }),
        Err(Stop::Violated(explanation)) => Verdict::Violated(*explanation),
        Err(Stop::OutOfBudget) => Verdict::Unknown(format!(
            "the budget ran out after {} and {} taken back, with {} of unknown outcome to place: give it more time",
            counted(search.steps, "step", "steps"),
            counted(search.backtracks, "choice", "choices"),
            counted(search.knowledge.maybe.len() as u64, "operation", "operations")
        )),
    }
}

impl Search<'_> {
    fn run_to_the_end(&mut self) -> Result<i64, Stop> {
        let run = self.run;
        let last = run.writers.keys().chain(run.readers.keys()).copied().max().unwrap_or(1);
        let mut revision = 1;
        while revision <= last {
            self.step_within_budget()?;
            let dead_end = match self.step(revision) {
                Ok(()) => {
                    revision += 1;
                    continue;
                }
                Err(dead_end) => dead_end,
            };
            revision = self.go_back(revision, dead_end)?;
        }
        Ok(last)
    }

    fn step_within_budget(&mut self) -> Result<(), Stop> {
        self.steps += 1;
        let look_at_clock = self.steps.is_multiple_of(256);
        let spent = self.steps > self.limits.steps || (look_at_clock && (self.limits.expired)());
        if spent { Err(Stop::OutOfBudget) } else { Ok(()) }
    }

    /// Makes a revision, unless [`Self::go_back`] has made it, and compares who read at it.
    fn step(&mut self, revision: i64) -> Result<(), DeadEnd> {
        if self.model.revision() < revision {
            match self.run.writers.get(&revision) {
                Some(&writer) => self.write(writer, revision)?,
                None => self.open_gap(revision)?,
            }
        }
        let run = self.run;
        for &reader in run.readers.get(&revision).map_or(&[][..], Vec::as_slice) {
            self.read(reader, revision)?;
        }
        self.explain_errors(revision)
    }

    fn write(&mut self, writer: usize, revision: i64) -> Result<(), DeadEnd> {
        let operation = self.run.operation(writer);
        // Where replies show what was before, the state before is kept to explain a difference.
        let reply = if matches!(&operation.op, Op::Put(request) if !request.prev_kv) {
            self.model.execute(&operation.op)
        } else {
            let mut after = self.model.clone();
            let reply = after.execute(&operation.op);
            if reply.as_ref().ok() == operation.response() {
                self.model = after;
            }
            reply
        };
        match operation.response() {
            Some(actual) if reply.as_ref().ok() != Some(actual) => {
                Err(self.differs(writer, reply, actual, revision, revision - 1))
            }
            _ => Ok(()),
        }
    }

    fn read(&mut self, reader: usize, revision: i64) -> Result<(), DeadEnd> {
        let operation = self.run.operation(reader);
        let Some(actual) = operation.response() else { return Ok(()) };
        let expected = match &operation.op {
            Op::Range(request) => self.model.range(request).map(Response::Range),
            // Compactions are judged beside the replay; sessions have no state that replies show.
            Op::Compact(_) | Op::OpenSession => return Ok(()),
            op => self.model.clone().execute(op),
        };
        if expected.as_ref().ok() == Some(actual) {
            return Ok(());
        }
        // A read of an old revision shows what was certain by then, not what became so later.
        let until = match &operation.op {
            Op::Range(request) if request.revision > 0 => revision.min(request.revision),
            _ => revision,
        };
        Err(self.differs(reader, expected, actual, revision, until))
    }

    /// A reply differs from the model's, whose state counts up to, with, revision `until`.
    fn differs(
        &self,
        index: usize,
        expected: crate::kv::Reply,
        actual: &Response,
        revision: i64,
        until: i64,
    ) -> DeadEnd {
        let keys = concerned(&self.run.operation(index).op, &expected, actual, &self.model);
        let blamed = self.blame(keys.as_deref(), revision, until);
        let states = keys.unwrap_or_default().into_iter();
        let keys = states.map(|key| (key.clone(), get(&self.model, &key, 0))).collect();
        DeadEnd { failure: Box::new(Failure::Reply { index, expected, keys }), blamed }
    }

    /// Errors that some state in their time must explain.
    fn explain_errors(&mut self, revision: i64) -> Result<(), DeadEnd> {
        for number in 0..self.windows.len() {
            let window = &self.windows[number];
            if self.explained[number].is_some() || !(window.first..=window.last).contains(&revision) {
                continue;
            }
            let reply = self.model.clone().execute(&self.run.operation(window.index).op);
            if reply.err() == Some(window.error) {
                self.explained[number] = Some(revision);
            } else if revision == window.last {
                let blamed = self.blame(None, revision, revision);
                return Err(DeadEnd { failure: Box::new(Failure::Error(window.index)), blamed });
            }
        }
        Ok(())
    }

    /// The gaps that can have to do with the state of these keys, at revision `until`, while `revision` is replayed;
    /// all gaps if no keys are given.
    fn blame(&self, keys: Option<&[Bytes]>, revision: i64, until: i64) -> BTreeSet<i64> {
        let all = || self.choices.iter().map(|choice| choice.gap).filter(|&gap| gap <= until).collect();
        let Some(keys) = keys else { return all() };
        let mut blamed = BTreeSet::new();
        let mut open: Vec<(Bytes, i64)> = keys.iter().map(|key| (key.clone(), until)).collect();
        let mut seen = BTreeSet::new();
        while let Some((key, until)) = open.pop() {
            if !seen.insert((key.clone(), until)) {
                continue;
            }
            let since = self.knowledge.certain_until(&key, revision.min(until + 1));
            let from = self.choices.partition_point(|choice| choice.gap <= since);
            let to = self.choices.partition_point(|choice| choice.gap <= until).max(from);
            let choices = &self.choices[from..to];
            for choice in choices {
                let footprint = &self.knowledge.maybe[&choice.chosen];
                if footprint.may_write(&key) {
                    blamed.insert(choice.gap);
                    // What it did depends in turn on the keys that it compared.
                    let Some(compared) = only_keys(&footprint.compares) else { return all() };
                    open.extend(compared.into_iter().map(|compared| (compared, choice.gap - 1)));
                }
            }
            for choice in choices {
                if self.may_be_written(&choice.candidates, &key, &blamed) {
                    blamed.insert(choice.gap);
                }
            }
        }
        blamed
    }

    /// Whether one of the candidates may write the key, other than those that are in a gap that is blamed already:
    /// while it stays as it is, they are in no other.
    fn may_be_written(&self, candidates: &[usize], key: &Bytes, blamed: &BTreeSet<i64>) -> bool {
        let free = |index: &&usize| self.used.get(index).is_none_or(|gap| !blamed.contains(gap));
        candidates.iter().filter(free).any(|index| self.knowledge.maybe[index].may_write(key))
    }

    /// Tries to fill a gap that is met for the first time since the last jump back.
    fn open_gap(&mut self, gap: i64) -> Result<(), DeadEnd> {
        let mut candidates = self.knowledge.candidates(gap).to_vec();
        let preferred = self.preferred.get(&gap);
        if let Some(at) = candidates.iter().position(|candidate| Some(candidate) == preferred) {
            candidates[..=at].rotate_right(1);
        }
        let before = self.model.clone();
        let choice = Choice { gap, before, candidates, next: 0, chosen: 0, blamed: BTreeSet::new() };
        match self.fill(choice) {
            Ok(()) => Ok(()),
            Err(blamed) => Err(DeadEnd { failure: Box::new(Failure::Gap(gap)), blamed }),
        }
    }

    /// Puts the next candidate that works into the gap, or says which earlier gaps are to blame that none does.
    fn fill(&mut self, mut choice: Choice) -> Result<(), BTreeSet<i64>> {
        while let Some(&candidate) = choice.candidates.get(choice.next) {
            choice.next += 1;
            if let Some(&gap) = self.used.get(&candidate) {
                choice.blamed.insert(gap);
                continue;
            }
            let op = &self.run.operation(candidate).op;
            let tried = &choice.candidates[..choice.next - 1];
            if tried
                .iter()
                .any(|&other| !self.used.contains_key(&other) && self.run.operation(other).op == *op)
            {
                continue;
            }
            let mut model = choice.before.clone();
            let written = model.execute(op).is_ok() && model.revision() == choice.gap;
            let blamed = if written {
                self.disproved(choice.gap, candidate, &model)
            } else {
                let compared = only_keys(&self.knowledge.maybe[&candidate].compares);
                Some(self.blame(compared.as_deref(), choice.gap, choice.gap - 1))
            };
            if let Some(blamed) = blamed {
                choice.blamed.extend(blamed);
                continue;
            }
            choice.chosen = candidate;
            self.used.insert(candidate, choice.gap);
            self.preferred.insert(choice.gap, candidate);
            self.model = model;
            self.choices.push(choice);
            return Ok(());
        }
        Err(choice.blamed)
    }

    /// If a reply shows that the gap left something else than the model holds: the gaps to blame.
    fn disproved(&self, gap: i64, candidate: usize, model: &Store) -> Option<BTreeSet<i64>> {
        let wrong = self.wrong_by_proof(gap, model).or_else(|| {
            let mut absent = self.knowledge.absent.get(&gap)?.iter();
            absent.find(|key| get(model, key, 0).is_some())
        })?;
        // What it left depends on the key itself and on what it compared: another branch would have left something else.
        let keys = only_keys(&self.knowledge.maybe[&candidate].compares).map(|mut keys| {
            keys.push(wrong.clone());
            keys
        });
        Some(self.blame(keys.as_deref(), gap, gap - 1))
    }

    /// A key that the model holds otherwise than a reply shows that the gap left it.
    fn wrong_by_proof(&self, gap: i64, model: &Store) -> Option<&Bytes> {
        let wrong = self.knowledge.proofs.get(&gap)?.iter().find(|proof| {
            let (shown, held) = (&proof.sighting.kv, get(model, &proof.sighting.kv.key, 0));
            held.is_none_or(|held| {
                let state = (held.create_revision, held.mod_revision, held.version);
                if proof.creation {
                    state != (gap, gap, 1)
                } else {
                    state != (shown.create_revision, gap, shown.version)
                        || (proof.sighting.value && held.value != shown.value)
                }
            })
        })?;
        Some(&wrong.sighting.kv.key)
    }

    /// Leaves a dead end: goes back to the latest gap to blame that has another candidate. Returns the revision to go
    /// on with.
    fn go_back(&mut self, revision: i64, dead_end: DeadEnd) -> Result<i64, Stop> {
        let DeadEnd { failure, mut blamed } = dead_end;
        if blamed.is_empty() {
            return Err(self.violated(&failure));
        }
        if self.deepest.as_ref().is_none_or(|(deepest, _)| revision > *deepest) {
            self.deepest = Some((revision, *failure));
        }
        while let Some(gap) = blamed.pop_last() {
            self.step_within_budget()?;
            self.backtracks += 1;
            let Some(mut choice) = self.take_back(gap) else { break };
            choice.blamed.append(&mut blamed);
            match self.fill(choice) {
                Ok(()) => return Ok(gap),
                Err(earlier) => blamed = earlier,
            }
        }
        let (_, failure) = self.deepest.take().unwrap_or((revision, Failure::Gap(revision)));
        Err(self.violated(&failure))
    }

    /// Takes back all choices from this gap on, and returns the gap's own.
    fn take_back(&mut self, gap: i64) -> Option<Choice> {
        while let Some(choice) = self.choices.pop() {
            self.used.remove(&choice.chosen);
            if choice.gap == gap {
                for explained in &mut self.explained {
                    explained.take_if(|revision| *revision >= gap);
                }
                return Some(choice);
            }
        }
        None
    }

    fn violated(&self, failure: &Failure) -> Stop {
        let placed = |revision: i64| {
            let known = self.run.writers.get(&revision).copied();
            known.or_else(|| self.used.iter().find(|(_, gap)| **gap == revision).map(|(index, _)| *index))
        };
        Stop::Violated(Box::new(failure.explain(self.run, &self.knowledge, placed)))
    }
}

/// The keys, if all spans are single keys.
fn only_keys(spans: &[Span]) -> Option<Vec<Bytes>> {
    spans.iter().map(|span| span.only().cloned()).collect()
}
