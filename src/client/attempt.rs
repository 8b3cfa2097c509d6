//! One call and its attempts at several nodes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::Error;
use super::endpoint::{Endpoint, connection_failed, never_sent, words_of};
use crate::consensus::NodeId;
use crate::wire::{Outcome, leader_of, outcome_of};

/// The pause after the first round without success; it doubles with each further round.
const BACKOFF_MIN: Duration = Duration::from_millis(10);

/// The longest pause: an election takes some hundred milliseconds, of which little should be lost.
const BACKOFF_MAX: Duration = Duration::from_millis(100);

/// No further attempt begins with less time than this left: it would end without an answer, and turn what is clear so
/// far into an unknown outcome.
const ATTEMPT_MIN: Duration = Duration::from_millis(20);

/// The longest time that a call or an attempt can be given: more would not fit into the clock.
pub(super) const LIMIT: Duration = Duration::from_hours(365 * 24);

/// The nodes of a cluster, and which to ask first.
#[derive(Debug)]
pub(super) struct Nodes {
    endpoints: Vec<Endpoint>,
    /// The ids of the endpoints' nodes, as far as they said.
    ids: Vec<AtomicId>,
    preferred: AtomicUsize,
}

/// A node id that is learned; zero until then.
type AtomicId = std::sync::atomic::AtomicU64;

/// When a call may be sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Whatever became of earlier attempts: it changes nothing, or is executed once however often it is sent.
    Always,
    /// Only while no earlier attempt can have been executed.
    UnlessExecuted,
}

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// When the call ends.
    pub(super) deadline: Instant,
    /// How long the first attempt may take, if there can be a second; after silence the next one may take
    /// twice as long.
    pub(super) attempt: Duration,
}

/// What an attempt came to.
pub(super) enum Fate {
    /// The server's answer to this call is no, and would be everywhere.
    Final,
    /// It had no effect; another node, or the same one later, may do it.
    NoEffect,
    /// Nobody was there.
    NotReached,
    /// It may have been executed, or may be later.
    Unclear,
}

/// What the attempts of a call came to so far.
#[derive(Default)]
struct Trouble {
    maybe_executed: Option<String>,
    refused: Option<(String, String)>,
    not_reached: BTreeMap<String, String>,
}

impl Nodes {
    /// The nodes behind some endpoints, of which the first is asked first.
    pub(super) fn new(endpoints: Vec<Endpoint>) -> Self {
        let ids = endpoints.iter().map(|_| AtomicId::new(0)).collect();
        Self { endpoints, ids, preferred: AtomicUsize::new(0) }
    }

    /// All endpoints.
    pub(super) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Remembers which node answers at an endpoint.
    pub(super) fn learn(&self, endpoint: usize, id: NodeId) {
        self.ids[endpoint].store(id.0, Ordering::Relaxed);
    }

    /// Asks this endpoint first from now on.
    pub(super) fn prefer(&self, endpoint: usize) {
        self.preferred.store(endpoint, Ordering::Relaxed);
    }

    /// Sends a call to one node after the other until one has executed or refused it, or its time is over.
    pub(super) async fn call<T, F>(
        &self,
        repeat: Repeat,
        limits: Limits,
        send: impl Fn(Channel) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut trouble = Trouble::default();
        let mut attempt = limits.attempt;
        let mut pause = BACKOFF_MIN;
        let mut at = self.preferred.load(Ordering::Relaxed);
        for tried in 1.. {
            let endpoint = &self.endpoints[at];
            // An attempt that cannot be followed by another has all the time that is left.
            let ends = match repeat {
                Repeat::Always => limits.deadline.min(Instant::now() + attempt),
                Repeat::UnlessExecuted => limits.deadline,
            };
            let status = match timeout_at(ends, send(endpoint.channel())).await {
                Ok(Ok(response)) => return Ok(response.into_inner()),
                Ok(Err(status)) => Some(status),
                Err(_) => None,
            };
            let fate = status.as_ref().map_or(Fate::Unclear, fate_of);
            let words = status.as_ref().map_or_else(|| "no answer in time".to_owned(), words_of);
            if matches!(fate, Fate::Final) {
                return Err(trouble.finish(endpoint.name(), words, status.as_ref()));
            }
            trouble.note(&fate, endpoint.name(), words);
            at = self.move_on(at, status.as_ref().and_then(leader_of));
            let mut next = Instant::now();
            if tried % self.endpoints.len() == 0 {
                next += pause;
                pause = BACKOFF_MAX.min(pause * 2);
            }
            if trouble.forbids(repeat) || next + ATTEMPT_MIN > limits.deadline {
                break;
            }
            if status.is_none() {
                // Silence may mean that the node is only slow: the next one gets more time.
                attempt = attempt.saturating_mul(2).min(LIMIT);
            }
            sleep_until(next).await;
        }
        Err(trouble.into_error())
    }

    /// Chooses whom to ask after `from`: the leader if it is known and another, else the next.
    fn move_on(&self, from: usize, leader: Option<NodeId>) -> usize {
        let led =
            leader.and_then(|id| self.ids.iter().position(|known| known.load(Ordering::Relaxed) == id.0));
        let next = led.filter(|&index| index != from).unwrap_or((from + 1) % self.endpoints.len());
        // Only if no other call moved on already: else calls that fail together would skip over working nodes.
        let _ = self.preferred.compare_exchange(from, next, Ordering::Relaxed, Ordering::Relaxed);
        next
    }
}

/// Sorts an error by what it says of the call.
pub(super) fn fate_of(status: &Status) -> Fate {
    if never_sent(status) {
        return Fate::NotReached;
    }
    if connection_failed(status) {
        return Fate::Unclear;
    }
    match (status.code(), outcome_of(status)) {
        // The store, or a check before it, refused the request for what it is.
        (
            Code::InvalidArgument
            | Code::OutOfRange
            | Code::FailedPrecondition
            | Code::NotFound
            | Code::Unimplemented
            | Code::PermissionDenied
            | Code::Unauthenticated,
            _,
        ) => Fate::Final,
        // gRPC itself refused to read it.
        (Code::ResourceExhausted, _) if status.message().contains("message larger than max") => Fate::Final,
        (_, Some(Outcome::NeverExecuted)) => Fate::NoEffect,
        _ => Fate::Unclear,
    }
}

impl Trouble {
    fn note(&mut self, fate: &Fate, endpoint: &str, words: String) {
        match fate {
            Fate::Final | Fate::NoEffect => self.refused = Some((words, endpoint.to_owned())),
            Fate::NotReached => drop(self.not_reached.insert(endpoint.to_owned(), words)),
            Fate::Unclear => self.maybe_executed = Some(format!("{endpoint}: {words}")),
        }
    }

    fn forbids(&self, repeat: Repeat) -> bool {
        repeat == Repeat::UnlessExecuted && self.maybe_executed.is_some()
    }

    /// After a final answer. An answer that leaves open what became of an earlier attempt (its session has expired,
    /// its reply is gone) settles nothing if there was one.
    fn finish(self, endpoint: &str, words: String, status: Option<&Status>) -> Error {
        let open = status.and_then(outcome_of) == Some(Outcome::Unknown);
        if open && self.maybe_executed.is_some() {
            return Error::Unknown { message: format!("{endpoint}: {words}") };
        }
        Error::Refused { message: words, endpoint: endpoint.to_owned() }
    }

    /// When the time is over.
    fn into_error(self) -> Error {
        if let Some(message) = self.maybe_executed {
            return Error::Unknown { message };
        }
        if let Some((message, endpoint)) = self.refused {
            return Error::Refused { message, endpoint };
        }
        let each: Vec<String> =
            self.not_reached.into_iter().map(|(endpoint, words)| format!("{endpoint}: {words}")).collect();
        Error::Unreachable { message: each.join("; ") }
    }
}
