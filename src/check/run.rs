//! Sorts a history's operations by what is known of their place in the order of revisions.

use std::collections::BTreeMap;

use super::evidence::wrote;
use super::explain::{Explanation, Rule, Verdict, name};
use super::history::{Consistency, History, Operation, Outcome};
use crate::kv::{Op, Response, SessionTag};

/// Where an operation stands in the order of revisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// It made this revision.
    Write(i64),
    /// It changed nothing and stands behind this revision and before the next; compactions too.
    Read(i64),
    /// It saw this revision at a node that may have trailed.
    Serializable(i64),
    /// It was answered without a revision: an error, which changes nothing.
    Floating,
    /// It may have made a revision, or not.
    Maybe,
    /// It says nothing and did nothing.
    Nowhere,
}

impl Place {
    /// The revision, if it is known.
    pub(super) fn revision(self) -> Option<i64> {
        match self {
            Self::Write(revision) | Self::Read(revision) | Self::Serializable(revision) => Some(revision),
            Self::Floating | Self::Maybe | Self::Nowhere => None,
        }
    }
}

/// An operation on its way through the checker.
#[derive(Debug)]
pub(super) struct Judged<'a> {
    pub(super) operation: &'a Operation,
    pub(super) place: Place,
    /// The first call of the command, if there were several.
    pub(super) invoked: u64,
    /// When its reply first arrived; the end of time if it never did.
    pub(super) completed: u64,
}

/// A history, sorted.
#[derive(Debug)]
pub(super) struct Run<'a> {
    /// In the order of their calls.
    pub(super) ops: Vec<Judged<'a>>,
    /// Who made which revision, as far as replies tell.
    pub(super) writers: BTreeMap<i64, usize>,
    /// Who saw which revision, the reads of all kinds.
    pub(super) readers: BTreeMap<i64, Vec<usize>>,
}

impl<'a> Run<'a> {
    /// Sorts a history; what contradicts itself before anything is replayed is a verdict.
    pub(super) fn new(history: &'a History) -> Result<Self, Verdict> {
        let mut ops: Vec<_> = history.operations.iter().map(judge).collect();
        ops.sort_by_key(|judged| judged.invoked);
        let mut run = Self { ops, writers: BTreeMap::new(), readers: BTreeMap::new() };
        run.merge_sessions()?;
        run.index()?;
        run.sessions_are_opened_once()?;
        Ok(run)
    }

    pub(super) fn operation(&self, index: usize) -> &'a Operation {
        self.ops[index].operation
    }

    /// The indices of all operations at that kind of place.
    pub(super) fn at(&self, place: Place) -> impl Iterator<Item = usize> {
        self.ops.iter().enumerate().filter(move |(_, judged)| judged.place == place).map(|(index, _)| index)
    }

    /// Several calls with one session and number are one command: it is executed at most once, after its first call,
    /// and all its replies are one.
    fn merge_sessions(&mut self) -> Result<(), Verdict> {
        let mut commands: BTreeMap<SessionTag, Vec<usize>> = BTreeMap::new();
        for (index, judged) in self.ops.iter().enumerate() {
            if let Some(tag) = judged.operation.session {
                commands.entry(tag).or_default().push(index);
            }
        }
        commands.into_values().filter(|calls| calls.len() > 1).try_for_each(|calls| self.merge(&calls))
    }

    fn merge(&mut self, calls: &[usize]) -> Result<(), Verdict> {
        let first = self.operation(calls[0]);
        if let Some(&other) = calls.iter().find(|&&call| self.operation(call).op != first.op) {
            let other = self.operation(other);
            let why = format!(
                "{} and {} give one session and number to two different commands: the history is not sound",
                name(first),
                name(other)
            );
            return Err(Verdict::Unknown(why));
        }
        let answered: Vec<_> = calls.iter().copied().filter(|&call| self.is_answered(call)).collect();
        if let [kept, again @ ..] = &answered[..] {
            let (kept, again) = (self.operation(*kept), again.iter().map(|&call| self.operation(call)));
            if let Some(other) = again.into_iter().find(|other| other.outcome != kept.outcome) {
                return Err(Verdict::Violated(executed_twice(kept, other)));
            }
        }
        let stands = answered.first().copied().unwrap_or(calls[0]);
        let completed = answered.iter().map(|&call| self.ops[call].completed).min().unwrap_or(u64::MAX);
        let invoked = self.ops[calls[0]].invoked;
        for &call in calls.iter().filter(|&&call| call != stands) {
            self.ops[call].place = Place::Nowhere;
        }
        let judged = &mut self.ops[stands];
        (judged.invoked, judged.completed) = (invoked, completed);
        if answered.is_empty() && calls.iter().any(|&call| may_have_run(self.operation(call))) {
            self.ops[stands].place = Place::Maybe;
        }
        Ok(())
    }

    fn is_answered(&self, index: usize) -> bool {
        matches!(self.ops[index].place, Place::Write(_) | Place::Read(_) | Place::Serializable(_))
    }

    fn index(&mut self) -> Result<(), Verdict> {
        for (index, judged) in self.ops.iter().enumerate() {
            let operation = judged.operation;
            if judged.place.revision().is_some_and(|revision| revision < 1) {
                let why =
                    format!("{} has a reply without a revision, and other replies have one", name(operation));
                return Err(Verdict::Unknown(why));
            }
            match judged.place {
                Place::Write(revision) => {
                    if let Some(other) = self.writers.insert(revision, index) {
                        let other = self.ops[other].operation;
                        return Err(Verdict::Violated(one_revision_twice(revision, other, operation)));
                    }
                }
                Place::Read(revision) | Place::Serializable(revision) => {
                    self.readers.entry(revision).or_default().push(index);
                }
                Place::Floating | Place::Maybe | Place::Nowhere => {}
            }
        }
        Ok(())
    }

    fn sessions_are_opened_once(&self) -> Result<(), Verdict> {
        let mut opened = BTreeMap::new();
        for judged in self.ops.iter().filter(|judged| judged.place != Place::Nowhere) {
            if let Some(Response::OpenSession(reply)) = judged.operation.response()
                && let Some(other) = opened.insert(reply.session, judged.operation)
            {
                let story = format!("session {} was given to two clients", reply.session);
                let operations = [judged.operation, other];
                return Err(Verdict::Violated(Explanation::new(Rule::ExactlyOnce, story, &operations)));
            }
        }
        Ok(())
    }
}

fn judge(operation: &Operation) -> Judged<'_> {
    let place = match &operation.outcome {
        Outcome::Ok(response) if wrote(response) => Place::Write(response.revision()),
        Outcome::Ok(response) if operation.consistency == Consistency::Serializable => {
            Place::Serializable(response.revision())
        }
        Outcome::Ok(response) => Place::Read(response.revision()),
        Outcome::Error(error) if error.never_executed() => Place::Floating,
        Outcome::Unknown(_) | Outcome::Error(_) if may_have_run(operation) => Place::Maybe,
        Outcome::Refused(_) | Outcome::Unknown(_) | Outcome::Error(_) => Place::Nowhere,
    };
    let completed = match operation.outcome {
        Outcome::Ok(_) | Outcome::Error(_) => operation.completed.unwrap_or(u64::MAX),
        Outcome::Refused(_) | Outcome::Unknown(_) => u64::MAX,
    };
    Judged { operation, place, invoked: operation.invoked, completed }
}

/// Whether an operation whose outcome is unknown can have made a revision.
fn may_have_run(operation: &Operation) -> bool {
    let unknown = match &operation.outcome {
        Outcome::Unknown(_) => true,
        Outcome::Error(error) => !error.never_executed(),
        Outcome::Ok(_) | Outcome::Refused(_) => false,
    };
    unknown && !matches!(operation.op, Op::Compact(_) | Op::OpenSession) && !operation.op.is_read_only()
}

fn executed_twice(first: &Operation, second: &Operation) -> Explanation {
    let story = format!(
        "{} and {} are one command of one session, and were answered differently: it was executed twice",
        name(first),
        name(second)
    );
    Explanation::new(Rule::ExactlyOnce, story, &[second, first])
}

fn one_revision_twice(revision: i64, first: &Operation, second: &Operation) -> Explanation {
    let story = format!(
        "{} and {} were both acknowledged as the one write of revision {revision}: one of them was lost, or two nodes \
         took writes at once",
        name(first),
        name(second)
    );
    Explanation::new(Rule::OneWritePerRevision, story, &[second, first])
}
