//! Errors as gRPC says them, with etcd's codes and texts.

use tonic::{Code, Status};

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

/// A request above the limit for one.
pub(super) fn too_large() -> Status {
    never_executed(Code::InvalidArgument, TOO_LARGE.to_owned())
}

const STOPPED: &str = "etcdserver: server stopped";
const TOO_LARGE: &str = "etcdserver: request is too large";

fn rejected(rejection: &Rejection) -> Status {
    let (code, text) = match rejection.reason {
        RejectReason::NoLeader => (Code::Unavailable, "etcdserver: no leader"),
        RejectReason::TimedOut => (Code::Unavailable, "etcdserver: request timed out"),
        RejectReason::TooManyRequests => (Code::ResourceExhausted, "etcdserver: too many requests"),
        RejectReason::TooLarge => (Code::InvalidArgument, TOO_LARGE),
        // etcd has no word for it: there such a write waits and times out.
        RejectReason::StorageSlow => {
            (Code::Unavailable, "etcdserver: the disk is too slow: too many writes wait for it")
        }
        RejectReason::StorageFull => (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
        RejectReason::Stopping => (Code::Unavailable, STOPPED),
    };
    let mut status = Status::new(code, text);
    let outcome = if rejection.never_executed { Outcome::NeverExecuted } else { Outcome::Unknown };
    set_outcome(&mut status, outcome);
    if let Some(leader) = rejection.leader {
        set_leader(&mut status, leader);
    }
    status
}

fn never_executed(code: Code, text: String) -> Status {
    let mut status = Status::new(code, text);
    set_outcome(&mut status, Outcome::NeverExecuted);
    status
}
