//! Why a command is refused.

use super::response::MAX_RESULT_BYTES;

/// Why a command is refused. Where etcd has the case, the text is etcd's to the letter: clients match on it.
///
/// A refusal changes nothing. Those of sessions speak of a retry: an earlier attempt may have been executed, see
/// [`never_executed`](Self::never_executed).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, thiserror::Error)]
pub enum KvError {
    /// A key is empty.
    #[error("etcdserver: key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` for a key that does not exist.
    #[error("etcdserver: key not found")]
    KeyNotFound,
    /// `ignore_value` together with a value.
    #[error("etcdserver: value is provided")]
    ValueProvided,
    /// A transaction has more comparisons or operations, or deeper nesting, than is allowed.
    #[error("etcdserver: too many operations in txn request")]
    TooManyOps,
    /// A transaction may put a key twice, or put and delete it.
    #[error("etcdserver: duplicate key given in txn request")]
    DuplicateKey,
    /// The revision was compacted.
    #[error("etcdserver: mvcc: required revision has been compacted")]
    Compacted,
    /// The revision is not there yet.
    #[error("etcdserver: mvcc: required revision is a future revision")]
    FutureRevision,
    /// The result is above the limit for one.
    #[error(
        "the result has more than {MIB} MiB, the limit for one: nothing was done; ask for fewer keys at once, or for keys only",
        MIB = MAX_RESULT_BYTES >> 20
    )]
    ResultTooLarge,
    /// The command's bytes are not a command.
    #[error("the command cannot be decoded: it was written by another version, or damaged on its way here")]
    Malformed,
    /// The session is unknown: it expired because too many were used after it, or was never opened.
    #[error(
        "the session has expired or was never opened: open a new one; this command was not executed again"
    )]
    SessionExpired,
    /// The command was executed before, and its reply is no longer kept.
    #[error("this command of the session was executed before, but its reply is no longer kept")]
    SessionReplyLost,
    /// The sequence number is older than the session's window.
    #[error("the sequence number is too old for its session: whether the command was executed is not known")]
    SessionSequenceTooOld,
}

/// What kind of error it is; each names a code of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The request is wrong, whatever the state.
    InvalidArgument,
    /// The request asks for a revision that is not kept, or not yet there.
    OutOfRange,
    /// The answer would take more than there is room for.
    ResourceExhausted,
    /// The request cannot be served in this state; repeating it does not help.
    FailedPrecondition,
}

impl KvError {
    /// All of them.
    const ALL: [Self; 12] = [
        Self::EmptyKey,
        Self::KeyNotFound,
        Self::ValueProvided,
        Self::TooManyOps,
        Self::DuplicateKey,
        Self::Compacted,
        Self::FutureRevision,
        Self::ResultTooLarge,
        Self::Malformed,
        Self::SessionExpired,
        Self::SessionReplyLost,
        Self::SessionSequenceTooOld,
    ];

    /// The error that says so, to the letter: what a node's refusal means to whoever passes it on.
    pub fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|error| error.to_string() == text)
    }

    /// What kind of error it is.
    pub fn class(self) -> ErrorClass {
        match self {
            Self::EmptyKey
            | Self::KeyNotFound
            | Self::ValueProvided
            | Self::TooManyOps
            | Self::DuplicateKey
            | Self::Malformed => ErrorClass::InvalidArgument,
            Self::Compacted | Self::FutureRevision => ErrorClass::OutOfRange,
            Self::ResultTooLarge => ErrorClass::ResourceExhausted,
            Self::SessionExpired | Self::SessionReplyLost | Self::SessionSequenceTooOld => {
                ErrorClass::FailedPrecondition
            }
        }
    }

    /// Whether it is certain that the command was not executed, now or earlier.
    pub fn never_executed(self) -> bool {
        !matches!(self, Self::SessionExpired | Self::SessionReplyLost | Self::SessionSequenceTooOld)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_error_is_known_again_by_its_text() {
        let known: BTreeSet<KvError> =
            KvError::ALL.iter().filter_map(|error| KvError::from_text(&error.to_string())).collect();
        assert_eq!(known.len(), KvError::ALL.len(), "two errors say the same");
        assert_eq!(KvError::from_text("etcdserver: no leader"), None);
    }
}
