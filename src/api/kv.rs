//! etcd's `KV` service.

use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

use super::deadline::Deadline;
use super::errors::{malformed, refused, too_large};
use super::executor::{Answered, Executor};
use crate::kv::{self, Command, Limits, Op, validate};
use crate::wire::pb::etcdserverpb::{self as pb, kv_server::Kv, request_op};
use crate::wire::session_of;

/// The largest request, as etcd's default.
const MAX_REQUEST_BYTES: usize = 3 << 19;

/// The largest message that is decoded at all: as in etcd, room for a bit more than the largest request, so that one
/// slightly above the limit is refused in words.
pub(super) const MAX_MESSAGE_BYTES: usize = MAX_REQUEST_BYTES + (512 << 10);

/// Serves etcd's `KV`.
#[derive(Clone)]
pub(super) struct KvService {
    executor: Executor,
}

impl KvService {
    /// Serves for `executor`.
    pub(super) fn new(executor: Executor) -> Self {
        Self { executor }
    }

    /// Proposes a write that was found to be in order, and waits for its execution.
    async fn propose(&self, op: Op, bytes: usize, metadata: &MetadataMap) -> Answered {
        validate(&op, &Limits::default()).map_err(refused)?;
        if bytes > MAX_REQUEST_BYTES {
            return Err(too_large());
        }
        let session = session_of(metadata).map_err(malformed)?;
        let answer = self.executor.execute(Command { session, op }, bytes);
        Deadline::of(metadata).keep(&self.executor, true, answer).await
    }

    /// Checks a read and has it served: linearizably, or from a state that may be old.
    async fn read(&self, op: Op, bytes: usize, serializable: bool, metadata: &MetadataMap) -> Answered {
        validate(&op, &Limits::default()).map_err(refused)?;
        let answer = async {
            if serializable {
                self.executor.read_serializable(op, bytes).await
            } else {
                self.executor.read(op, bytes).await
            }
        };
        Deadline::of(metadata).keep(&self.executor, false, answer).await
    }
}

#[tonic::async_trait]
impl Kv for KvService {
    async fn range(&self, request: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let (serializable, bytes) = (message.serializable, message.encoded_len());
        let op = Op::Range(message.try_into().map_err(malformed)?);
        match self.read(op, bytes, serializable, &metadata).await? {
            (kv::Response::Range(range), header) => Ok(Response::new(header.range(range))),
            (other, _) => Err(mismatch(&other)),
        }
    }

    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let bytes = message.encoded_len();
        let op = Op::Put(message.try_into().map_err(malformed)?);
        match self.propose(op, bytes, &metadata).await? {
            (kv::Response::Put(put), header) => Ok(Response::new(header.put(put))),
            (other, _) => Err(mismatch(&other)),
        }
    }

    async fn delete_range(
        &self,
        request: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let bytes = message.encoded_len();
        match self.propose(Op::DeleteRange(message.into()), bytes, &metadata).await? {
            (kv::Response::DeleteRange(delete), header) => Ok(Response::new(header.delete(delete))),
            (other, _) => Err(mismatch(&other)),
        }
    }

    async fn txn(&self, request: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let bytes = message.encoded_len();
        let serializable = is_serializable(&message);
        let txn: kv::TxnRequest = message.try_into().map_err(malformed)?;
        let answer = if txn.is_read_only() {
            self.read(Op::Txn(txn), bytes, serializable, &metadata).await?
        } else {
            self.propose(Op::Txn(txn), bytes, &metadata).await?
        };
        match answer {
            (kv::Response::Txn(txn), header) => Ok(Response::new(header.txn(txn))),
            (other, _) => Err(mismatch(&other)),
        }
    }

    async fn compact(
        &self,
        request: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        let (metadata, _, message) = request.into_parts();
        let bytes = message.encoded_len();
        match self.propose(Op::Compact(message.into()), bytes, &metadata).await? {
            (kv::Response::Compact(compaction), header) => Ok(Response::new(header.compact(compaction))),
            (other, _) => Err(mismatch(&other)),
        }
    }
}

/// Whether a transaction that only reads may be served from a state that may be old: every read in it says so. One
/// that only compares says nothing, and is linearizable; nested reads count like the outer ones.
fn is_serializable(txn: &pb::TxnRequest) -> bool {
    let mut ops = txn.success.iter().chain(&txn.failure).peekable();
    ops.peek().is_some()
        && ops.all(|op| match &op.request {
            Some(request_op::Request::RequestRange(range)) => range.serializable,
            Some(request_op::Request::RequestTxn(nested)) => is_serializable(nested),
            _ => false,
        })
}

/// The store answered another question than was asked, which none of its replies can do: a session's number was used
/// for two different commands, and the second got the first one's reply.
fn mismatch(other: &kv::Response) -> Status {
    let kind = match other {
        kv::Response::Range(_) => "a read",
        kv::Response::Put(_) => "a put",
        kv::Response::DeleteRange(_) => "a deletion",
        kv::Response::Txn(_) => "a transaction",
        kv::Response::Compact(_) => "a compaction",
        kv::Response::OpenSession(_) => "the opening of a session",
    };
    Status::failed_precondition(format!(
        "this number of the session was used before, for {kind}: every command needs a number of its own"
    ))
}
