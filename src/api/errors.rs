//! Errors as gRPC says them, with etcd's codes and texts.

use tonic::{Code, Status};

use crate::client;
use crate::consensus::{RejectReason, Rejection};
use crate::kv::{ErrorClass, KvError};
use crate::node::NodeError;
use crate::wire::{Malformed, Outcome, set_leader, set_outcome};

/// A message that is no request of the store.
pub(super) fn malformed(error: Malformed) -> Status {
    let code = match error {
        Malformed::Lease => Code::NotFound,
        Malformed::EmptyOp | Malformed::Sort | Malformed::Compare | Malformed::Session => {
            Code::InvalidArgument
        }
    };
    never_executed(code, error.to_string())
}

/// The store's own refusal.
pub(super) fn refused(error: KvError) -> Status {
    let code = match error.class() {
        ErrorClass::InvalidArgument => Code::InvalidArgument,
        ErrorClass::OutOfRange => Code::OutOfRange,
        ErrorClass::ResourceExhausted => Code::ResourceExhausted,
        ErrorClass::FailedPrecondition => Code::FailedPrecondition,
    };
    let mut status = Status::new(code, error.to_string());
    set_outcome(&mut status, if error.never_executed() { Outcome::NeverExecuted } else { Outcome::Unknown });
    status
}

/// The node has no answer of the store.
pub(super) fn unanswered(error: NodeError) -> Status {
    match error {
        NodeError::Rejected(rejection) => rejected(&rejection),
        NodeError::Stopped => {
            let mut status = Status::unavailable(STOPPED);
            set_outcome(&mut status, Outcome::Unknown);
            status
        }
    }
}

/// A client of the cluster, which asked on behalf of the caller, has no answer of the store.
pub(super) fn not_done(error: client::Error) -> Status {
    let (code, text, outcome) = match error {
        client::Error::Refused { message, .. } => {
            let (code, text) = refusal(message);
            (code, text, Outcome::NeverExecuted)
        }
        client::Error::Unreachable { message } => (Code::Unavailable, message, Outcome::NeverExecuted),
        client::Error::Unknown { message } => {
            // Callers know etcd's words; who wants to know more finds it in the log.
            tracing::debug!(%message, "the outcome of a command is unknown");
            let (code, text) = in_words(RejectReason::TimedOut);
            (code, text.to_owned(), Outcome::Unknown)
        }
    };
    let mut status = Status::new(code, text);
    set_outcome(&mut status, outcome);
    status
}

/// What a client was refused, as a node says it: with etcd's words, which it has from a node, or the reason's own in front
/// of its own. What is neither has to do with who can be reached.
fn refusal(message: String) -> (Code, String) {
    let known = RejectReason::ALL.into_iter().find(|reason| {
        let (_, text) = in_words(*reason);
        message == text || message.starts_with(&reason.to_string())
    });
    match known.map(in_words) {
        Some((code, text)) => (code, text.to_owned()),
        None => (Code::Unavailable, message),
    }
}

/// The caller's time is up, sooner than the cluster's own. Of a write it is not known whether it will be executed.
pub(super) fn overdue(leaderless: bool, writes: bool) -> Status {
    let reason = if leaderless { RejectReason::NoLeader } else { RejectReason::TimedOut };
    rejected(&Rejection { reason, never_executed: !writes, leader: None })
}

/// A request above the limit for one.
pub(super) fn too_large() -> Status {
    never_done(RejectReason::TooLarge)
}

/// One request more than are served at once.
pub(super) fn too_many() -> Status {
    never_done(RejectReason::TooManyRequests)
}

const STOPPED: &str = "etcdserver: server stopped";

/// A reason's code, and etcd's words for it.
const fn in_words(reason: RejectReason) -> (Code, &'static str) {
    match reason {
        RejectReason::NoLeader => (Code::Unavailable, "etcdserver: no leader"),
        RejectReason::TimedOut => (Code::Unavailable, "etcdserver: request timed out"),
        RejectReason::TooManyRequests => (Code::ResourceExhausted, "etcdserver: too many requests"),
        RejectReason::TooLarge => (Code::InvalidArgument, "etcdserver: request is too large"),
        // etcd has no word for it: there such a write waits and times out.
        RejectReason::StorageSlow => {
            (Code::Unavailable, "etcdserver: the disk is too slow: too many writes wait for it")
        }
        RejectReason::StorageFull => (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
        RejectReason::Stopping => (Code::Unavailable, STOPPED),
    }
}

fn rejected(rejection: &Rejection) -> Status {
    let (code, text) = in_words(rejection.reason);
    let mut status = Status::new(code, text);
    let outcome = if rejection.never_executed { Outcome::NeverExecuted } else { Outcome::Unknown };
    set_outcome(&mut status, outcome);
    if let Some(leader) = rejection.leader {
        set_leader(&mut status, leader);
    }
    status
}

fn never_done(reason: RejectReason) -> Status {
    let (code, text) = in_words(reason);
    never_executed(code, text.to_owned())
}

fn never_executed(code: Code, text: String) -> Status {
    let mut status = Status::new(code, text);
    set_outcome(&mut status, Outcome::NeverExecuted);
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::outcome_of;

    fn refused(message: &str) -> client::Error {
        client::Error::Refused { message: message.to_owned(), endpoint: "h:1".to_owned() }
    }

    #[test]
    fn what_a_client_was_refused_is_said_as_a_node_says_it() {
        for (message, code, text) in [
            ("etcdserver: no leader", Code::Unavailable, "etcdserver: no leader"),
            (
                "too many requests; 2 of 4 replicas answered",
                Code::ResourceExhausted,
                "etcdserver: too many requests",
            ),
            (
                "too many requests of this client wait for an answer already",
                Code::ResourceExhausted,
                "etcdserver: too many requests",
            ),
            ("request is too large", Code::InvalidArgument, "etcdserver: request is too large"),
            ("1 of 4 replicas could be reached", Code::Unavailable, "1 of 4 replicas could be reached"),
        ] {
            let status = not_done(refused(message));
            assert_eq!((status.code(), status.message()), (code, text));
            assert_eq!(outcome_of(&status), Some(Outcome::NeverExecuted));
        }
    }

    #[test]
    fn an_unknown_outcome_stays_one() {
        let status = not_done(client::Error::Unknown { message: "0 of 4 replicas answered".to_owned() });
        assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: request timed out"));
        assert_eq!(outcome_of(&status), Some(Outcome::Unknown));
    }
}
