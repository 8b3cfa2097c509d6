//! What the store can be asked, field for field as in etcd's `rpc.proto`.
//!
//! Revisions, versions and limits are `i64` as on etcd's wire: a negative one is a legal request there and has a
//! defined answer, so it must survive the way to the store. Leases are not supported: whoever converts requests
//! refuses a lease other than zero.

use bytes::Bytes;

/// A command of the store, as it is proposed, ordered and logged.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Command {
    /// Makes the command safe to retry; see [the module](super).
    pub session: Option<SessionTag>,
    /// What to do.
    pub op: Op,
}

/// Names one command of one session. All retries of a command carry the same tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionTag {
    /// The session, as [`Op::OpenSession`] answered it.
    pub session: u64,
    /// The how-manieth command of the session this is. Starts at 1; commands may overtake each other within
    /// [`SESSION_WINDOW`](super::SESSION_WINDOW).
    pub sequence: u64,
}

/// What a command does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// Reads, in the order of the writes.
    Range(RangeRequest),
    /// Writes one key.
    Put(PutRequest),
    /// Deletes a key or a range of keys.
    DeleteRange(DeleteRangeRequest),
    /// Compares, then does one of two lists of operations as one.
    Txn(TxnRequest),
    /// Forgets what is older than a revision.
    Compact(CompactionRequest),
    /// Opens a session and answers its id. Changes no key and no revision.
    OpenSession,
}

impl Op {
    /// Whether the operation cannot change anything, whatever the store holds.
    pub fn is_read_only(&self) -> bool {
        match self {
            Self::Range(_) => true,
            Self::Txn(txn) => txn.is_read_only(),
            Self::Put(_) | Self::DeleteRange(_) | Self::Compact(_) | Self::OpenSession => false,
        }
    }

    /// Whether the operation reads a single key, and so is quick whatever the store holds.
    pub(crate) fn reads_one_key(&self) -> bool {
        matches!(self, Self::Range(range) if range.range_end.is_empty())
    }

    /// Whether the operation may both change something and answer with much.
    pub(super) fn writes_and_may_answer_much(&self) -> bool {
        match self {
            Self::DeleteRange(delete) => delete.prev_kv,
            Self::Txn(txn) => !txn.is_read_only() && txn.may_answer_much(),
            Self::Range(_) | Self::Put(_) | Self::Compact(_) | Self::OpenSession => false,
        }
    }
}

/// Asks for one key, or for a range of keys.
///
/// A `range_end` that is empty asks for `key` alone; one zero byte asks for all keys from `key` on; anything else for
/// the keys from `key` up to, without, `range_end`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RangeRequest {
    /// The first key.
    pub key: Bytes,
    /// Where the range ends.
    pub range_end: Bytes,
    /// At most so many keys; none or fewer means all.
    pub limit: i64,
    /// As of this revision; zero or less means now.
    pub revision: i64,
    /// In which direction the result is sorted.
    pub sort_order: SortOrder,
    /// By what the result is sorted.
    pub sort_target: SortTarget,
    /// Leave the values out.
    pub keys_only: bool,
    /// Leave everything but the count out.
    pub count_only: bool,
    /// Drop keys modified before this revision; zero for no such bound.
    pub min_mod_revision: i64,
    /// Drop keys modified after this revision; zero for no such bound.
    pub max_mod_revision: i64,
    /// Drop keys created before this revision; zero for no such bound.
    pub min_create_revision: i64,
    /// Drop keys created after this revision; zero for no such bound.
    pub max_create_revision: i64,
}

/// The direction of a sort.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortOrder {
    /// By key if the target is the key, else ascending.
    #[default]
    None,
    /// Smallest first.
    Ascend,
    /// Largest first.
    Descend,
}

/// What a sort looks at. Keys that are equal in it stay in the order of keys.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SortTarget {
    /// The key.
    #[default]
    Key,
    /// The number of writes since the key was created.
    Version,
    /// The revision that created the key.
    Create,
    /// The revision of the last write.
    Mod,
    /// The value.
    Value,
}

/// Writes one key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PutRequest {
    /// The key.
    pub key: Bytes,
    /// Its new value.
    pub value: Bytes,
    /// Answer what the key was before.
    pub prev_kv: bool,
    /// Write the value that the key has; refused if there is none.
    pub ignore_value: bool,
    /// Keep the lease that the key has. There are none, so that all it does is to refuse a missing key.
    pub ignore_lease: bool,
}

/// Deletes a key or a range of keys; the range is given as in [`RangeRequest`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeleteRangeRequest {
    /// The first key.
    pub key: Bytes,
    /// Where the range ends.
    pub range_end: Bytes,
    /// Answer what was deleted.
    pub prev_kv: bool,
}

/// Compares, then does one of two lists of operations as one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxnRequest {
    /// All must hold for `success` to be done.
    pub compare: Vec<Compare>,
    /// Done if all comparisons hold.
    pub success: Vec<TxnOp>,
    /// Done if one does not.
    pub failure: Vec<TxnOp>,
}

impl TxnRequest {
    /// Whether it may answer with more than it was asked with.
    fn may_answer_much(&self) -> bool {
        self.success.iter().chain(&self.failure).any(|op| match op {
            TxnOp::Range(range) => !range.count_only,
            TxnOp::Put(put) => put.prev_kv,
            TxnOp::DeleteRange(delete) => delete.prev_kv,
            TxnOp::Txn(nested) => nested.may_answer_much(),
        })
    }

    /// Whether no branch, nested ones included, holds a write.
    pub fn is_read_only(&self) -> bool {
        self.success.iter().chain(&self.failure).all(|op| match op {
            TxnOp::Range(_) => true,
            TxnOp::Put(_) | TxnOp::DeleteRange(_) => false,
            TxnOp::Txn(nested) => nested.is_read_only(),
        })
    }
}

/// One operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TxnOp {
    /// Reads, seeing what the transaction wrote so far.
    Range(RangeRequest),
    /// Writes.
    Put(PutRequest),
    /// Deletes.
    DeleteRange(DeleteRangeRequest),
    /// A transaction within; its comparisons see the store as it was before the outermost one.
    Txn(TxnRequest),
}

/// A condition on one key, or on every key of a range (given as in [`RangeRequest`]).
///
/// A key, or a range, that holds nothing compares as if it had version and revisions zero; comparing its value fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Compare {
    /// How the key's property relates to the target.
    pub result: CompareResult,
    /// Which property, and what it is compared with.
    pub target: CompareTarget,
    /// The first key.
    pub key: Bytes,
    /// Where the range ends.
    pub range_end: Bytes,
}

/// A relation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CompareResult {
    /// The property equals the target.
    #[default]
    Equal,
    /// It is greater.
    Greater,
    /// It is less.
    Less,
    /// It differs.
    NotEqual,
}

/// A property of a key, and what it is compared with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CompareTarget {
    /// The number of writes since the key was created; zero for a key that does not exist.
    Version(i64),
    /// The revision that created the key.
    Create(i64),
    /// The revision of the last write.
    Mod(i64),
    /// The value.
    Value(Bytes),
    /// The lease, which is always zero.
    Lease(i64),
}

/// Forgets what is older than a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompactionRequest {
    /// The oldest revision that stays readable.
    pub revision: i64,
}
