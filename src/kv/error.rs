//! Why a command is refused.

/// Why a command is refused. Where etcd has the case, the text is etcd's to the letter: clients match on it.
///
/// A refused command changed nothing, with the exceptions of [`SessionReplyLost`](Self::SessionReplyLost) and
/// [`SessionSequenceTooOld`](Self::SessionSequenceTooOld), which say so.
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
    /// The request cannot be served in this state; repeating it does not help.
    FailedPrecondition,
}

impl KvError {
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
