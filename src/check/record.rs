//! Records a history while it happens: for the simulator (one thread, virtual time) and for scenarios (many tasks, a
//! real clock). The caller brings the time.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::history::{Consistency, Fact, Header, History, Operation, Outcome};
use crate::kv::{Op, SessionTag};

/// Collects operations as they begin and end.
///
/// Times are microseconds since the run began, on one clock for all clients. An operation that never ends is recorded
/// as unknown, as it must be: it may be executed yet.
#[derive(Debug, Default)]
pub struct Recorder {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    history: History,
    open: BTreeMap<u64, Operation>,
    next: u64,
}

/// Names an operation that has begun; [`Recorder::complete`] takes it.
#[derive(Debug)]
#[must_use = "an operation that is not completed is recorded as unknown"]
pub struct Ticket(u64);

/// What is known of an operation when it begins.
#[derive(Clone, Debug)]
pub struct Call {
    /// Whose call it is; one at a time for each client.
    pub client: u64,
    /// The session and sequence number that make it safe to retry. All retries are one call.
    pub session: Option<SessionTag>,
    /// What is asked.
    pub op: Op,
    /// What a read asks for.
    pub consistency: Consistency,
}

impl Recorder {
    /// Starts an empty history.
    pub fn new(header: Header) -> Self {
        let inner = Inner { history: History { header, ..History::default() }, ..Inner::default() };
        Self { inner: Mutex::new(inner) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An operation begins. To be called before anything of it leaves the client.
    pub fn invoke(&self, now: u64, call: Call) -> Ticket {
        let mut inner = self.lock();
        let ticket = inner.next;
        inner.next += 1;
        let operation = Operation {
            line: 0,
            client: call.client,
            session: call.session,
            op: call.op,
            consistency: call.consistency,
            node: None,
            invoked: now,
            completed: None,
            outcome: Outcome::Unknown("never returned".to_owned()),
        };
        inner.open.insert(ticket, operation);
        Ticket(ticket)
    }

    /// An operation ends; `node` is who answered. To be called after the answer has arrived.
    #[expect(clippy::needless_pass_by_value, reason = "a ticket is good for one completion")]
    pub fn complete(&self, now: u64, ticket: Ticket, node: Option<u64>, outcome: Outcome) {
        let mut inner = self.lock();
        if let Some(operation) = inner.open.remove(&ticket.0) {
            inner.push(Operation { node, completed: Some(now), outcome, ..operation });
        }
    }

    /// Something happened to the cluster.
    pub fn fact(&self, now: u64, what: impl Into<String>) {
        self.lock().history.facts.push(Fact { at: now, what: what.into() });
    }

    /// Ends the recording. What has not returned is unknown. The lines are those of the file that
    /// [`History::write`] makes.
    pub fn finish(self) -> History {
        let mut inner = self.inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        while let Some((_, operation)) = inner.open.pop_first() {
            inner.push(operation);
        }
        let mut history = inner.history;
        let first = 2 + history.facts.len();
        history.operations.iter_mut().zip(first..).for_each(|(operation, line)| operation.line = line);
        history
    }
}

impl Inner {
    fn push(&mut self, operation: Operation) {
        self.history.operations.push(operation);
    }
}
