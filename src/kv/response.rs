//! What the store answers, field for field as in etcd's `rpc.proto`; of the headers only the revision, which is all
//! that honest replicas agree on.

use bytes::Bytes;

use super::KvError;

/// The most bytes of one result: it must fit into a message, with what stands around it, or nobody would ever hear it.
pub const MAX_RESULT_BYTES: usize = 60 << 20;

/// The answer to a command.
pub type Reply = Result<Response, KvError>;

/// What a command that was executed answers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Response {
    /// To [`Op::Range`](super::Op::Range).
    Range(RangeResponse),
    /// To [`Op::Put`](super::Op::Put).
    Put(PutResponse),
    /// To [`Op::DeleteRange`](super::Op::DeleteRange).
    DeleteRange(DeleteRangeResponse),
    /// To [`Op::Txn`](super::Op::Txn).
    Txn(TxnResponse),
    /// To [`Op::Compact`](super::Op::Compact).
    Compact(CompactionResponse),
    /// To [`Op::OpenSession`](super::Op::OpenSession).
    OpenSession(OpenSessionResponse),
}

impl Response {
    /// The revision of the answer's header.
    pub fn revision(&self) -> i64 {
        match self {
            Self::Range(response) => response.revision,
            Self::Put(response) => response.revision,
            Self::DeleteRange(response) => response.revision,
            Self::Txn(response) => response.revision,
            Self::Compact(response) => response.revision,
            Self::OpenSession(response) => response.revision,
        }
    }
}

impl Response {
    /// Whether the answer is small enough to be told.
    pub(super) fn fits(&self) -> bool {
        self.bytes() <= MAX_RESULT_BYTES
    }

    /// How many bytes the answer takes at most, in any encoding.
    fn bytes(&self) -> usize {
        match self {
            Self::Range(range) => bytes_of(&range.kvs),
            Self::Put(put) => bytes_of(put.prev_kv.as_slice()),
            Self::DeleteRange(delete) => bytes_of(&delete.prev_kvs),
            Self::Txn(txn) => txn.bytes(),
            Self::Compact(_) | Self::OpenSession(_) => FIXED_BYTES,
        }
    }
}

impl RangeResponse {
    /// Whether the answer is small enough to be told.
    pub(super) fn fits(&self) -> bool {
        bytes_of(&self.kvs) <= MAX_RESULT_BYTES
    }
}

impl TxnResponse {
    fn bytes(&self) -> usize {
        let responses = self.responses.iter().map(|response| match response {
            TxnOpResponse::Range(range) => bytes_of(&range.kvs),
            TxnOpResponse::Put(put) => bytes_of(put.prev_kv.as_slice()),
            TxnOpResponse::DeleteRange(delete) => bytes_of(&delete.prev_kvs),
            TxnOpResponse::Txn(nested) => nested.bytes(),
        });
        FIXED_BYTES + responses.sum::<usize>()
    }
}

/// More than what stands around the keys and values: numbers, lengths, tags.
const FIXED_BYTES: usize = 64;

fn bytes_of(kvs: &[KeyValue]) -> usize {
    FIXED_BYTES + kvs.iter().map(|kv| FIXED_BYTES + kv.key.len() + kv.value.len()).sum::<usize>()
}

/// A key with its value and its place in history.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct KeyValue {
    /// The key.
    pub key: Bytes,
    /// The revision that created the key.
    pub create_revision: i64,
    /// The revision of the last write.
    pub mod_revision: i64,
    /// The number of writes since the key was created, that one included.
    pub version: i64,
    /// The value.
    pub value: Bytes,
}

/// The answer to a read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RangeResponse {
    /// The store's revision when it was read.
    pub revision: i64,
    /// What was found.
    pub kvs: Vec<KeyValue>,
    /// Whether the limit cut something off.
    pub more: bool,
    /// How many keys the range holds, whatever the limit and the filters.
    pub count: i64,
}

/// The answer to a write.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct PutResponse {
    /// The revision of the write.
    pub revision: i64,
    /// What the key was before, if that was asked and there was something.
    pub prev_kv: Option<KeyValue>,
}

/// The answer to a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeleteRangeResponse {
    /// The revision of the deletion, or the current one if nothing was deleted.
    pub revision: i64,
    /// How many keys were deleted.
    pub deleted: i64,
    /// What they were, if that was asked.
    pub prev_kvs: Vec<KeyValue>,
}

/// The answer to a transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct TxnResponse {
    /// The store's revision after the transaction; zero in a nested one, as in etcd.
    pub revision: i64,
    /// Whether the comparisons held.
    pub succeeded: bool,
    /// An answer for each operation of the branch that was done.
    pub responses: Vec<TxnOpResponse>,
}

/// The answer to one operation of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TxnOpResponse {
    /// To a read.
    Range(RangeResponse),
    /// To a write.
    Put(PutResponse),
    /// To a deletion.
    DeleteRange(DeleteRangeResponse),
    /// To a nested transaction.
    Txn(TxnResponse),
}

/// The answer to a compaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompactionResponse {
    /// The store's revision.
    pub revision: i64,
}

/// The answer to the opening of a session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct OpenSessionResponse {
    /// The store's revision.
    pub revision: i64,
    /// The session's id: never given twice.
    pub session: u64,
}
