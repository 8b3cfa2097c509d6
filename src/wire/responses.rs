//! Responses: the store's and etcd's messages, both ways.

use super::pb::{etcdserverpb as pb, mvccpb};
use crate::consensus::NodeId;
use crate::kv::{
    CompactionResponse, DeleteRangeResponse, KeyValue, PutResponse, RangeResponse, TxnOpResponse, TxnResponse,
};

/// What a node adds to an answer of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The cluster.
    pub(crate) cluster_id: u64,
    /// The node that answers.
    pub(crate) member_id: NodeId,
    /// The epoch, as far as the node knows.
    pub(crate) epoch: u64,
}

impl Header {
    /// etcd's header for an answer as of a revision.
    pub(crate) fn at(self, revision: i64) -> pb::ResponseHeader {
        let Self { cluster_id, member_id, epoch } = self;
        pb::ResponseHeader { cluster_id, member_id: member_id.0, revision, raft_term: epoch }
    }

    /// The answer to a read.
    pub(crate) fn range(self, range: RangeResponse) -> pb::RangeResponse {
        pb::RangeResponse { header: Some(self.at(range.revision)), ..range_to_pb(range) }
    }

    /// The answer to a write.
    pub(crate) fn put(self, put: PutResponse) -> pb::PutResponse {
        pb::PutResponse { header: Some(self.at(put.revision)), ..put_to_pb(put) }
    }

    /// The answer to a deletion.
    pub(crate) fn delete(self, delete: DeleteRangeResponse) -> pb::DeleteRangeResponse {
        pb::DeleteRangeResponse { header: Some(self.at(delete.revision)), ..delete_to_pb(delete) }
    }

    /// The answer to a transaction. The answers within carry a header with the revision alone, as in etcd.
    pub(crate) fn txn(self, txn: TxnResponse) -> pb::TxnResponse {
        pb::TxnResponse { header: Some(self.at(txn.revision)), ..txn_to_pb(txn) }
    }

    /// The answer to a compaction.
    pub(crate) fn compact(self, compaction: CompactionResponse) -> pb::CompactionResponse {
        pb::CompactionResponse { header: Some(self.at(compaction.revision)) }
    }
}

fn inner_header(revision: i64) -> pb::ResponseHeader {
    pb::ResponseHeader { revision, ..Default::default() }
}

fn range_to_pb(range: RangeResponse) -> pb::RangeResponse {
    pb::RangeResponse {
        header: Some(inner_header(range.revision)),
        kvs: range.kvs.into_iter().map(Into::into).collect(),
        more: range.more,
        count: range.count,
    }
}

fn put_to_pb(put: PutResponse) -> pb::PutResponse {
    pb::PutResponse { header: Some(inner_header(put.revision)), prev_kv: put.prev_kv.map(Into::into) }
}

fn delete_to_pb(delete: DeleteRangeResponse) -> pb::DeleteRangeResponse {
    pb::DeleteRangeResponse {
        header: Some(inner_header(delete.revision)),
        deleted: delete.deleted,
        prev_kvs: delete.prev_kvs.into_iter().map(Into::into).collect(),
    }
}

fn txn_to_pb(txn: TxnResponse) -> pb::TxnResponse {
    pb::TxnResponse {
        header: Some(inner_header(txn.revision)),
        succeeded: txn.succeeded,
        responses: txn.responses.into_iter().map(Into::into).collect(),
    }
}

impl From<TxnOpResponse> for pb::ResponseOp {
    fn from(response: TxnOpResponse) -> Self {
        use pb::response_op::Response;
        let response = match response {
            TxnOpResponse::Range(range) => Response::ResponseRange(range_to_pb(range)),
            TxnOpResponse::Put(put) => Response::ResponsePut(put_to_pb(put)),
            TxnOpResponse::DeleteRange(delete) => Response::ResponseDeleteRange(delete_to_pb(delete)),
            TxnOpResponse::Txn(txn) => Response::ResponseTxn(txn_to_pb(txn)),
        };
        Self { response: Some(response) }
    }
}

impl From<KeyValue> for mvccpb::KeyValue {
    fn from(kv: KeyValue) -> Self {
        let KeyValue { key, create_revision, mod_revision, version, value } = kv;
        Self { key, create_revision, mod_revision, version, value, lease: 0 }
    }
}

/// A server's answer makes no sense: it leaves out what it must say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer leaves out {0}")]
pub struct UnexpectedAnswer(pub &'static str);

impl From<mvccpb::KeyValue> for KeyValue {
    fn from(kv: mvccpb::KeyValue) -> Self {
        let mvccpb::KeyValue { key, create_revision, mod_revision, version, value, lease: _ } = kv;
        Self { key, create_revision, mod_revision, version, value }
    }
}

/// The revision of a header; zero without one, as in the answers within a transaction of some servers.
fn revision_of(header: Option<&pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

impl From<pb::RangeResponse> for RangeResponse {
    fn from(range: pb::RangeResponse) -> Self {
        Self {
            revision: revision_of(range.header.as_ref()),
            kvs: range.kvs.into_iter().map(Into::into).collect(),
            more: range.more,
            count: range.count,
        }
    }
}

impl From<pb::PutResponse> for PutResponse {
    fn from(put: pb::PutResponse) -> Self {
        Self { revision: revision_of(put.header.as_ref()), prev_kv: put.prev_kv.map(Into::into) }
    }
}

impl From<pb::DeleteRangeResponse> for DeleteRangeResponse {
    fn from(delete: pb::DeleteRangeResponse) -> Self {
        Self {
            revision: revision_of(delete.header.as_ref()),
            deleted: delete.deleted,
            prev_kvs: delete.prev_kvs.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<pb::CompactionResponse> for CompactionResponse {
    fn from(compaction: pb::CompactionResponse) -> Self {
        Self { revision: revision_of(compaction.header.as_ref()) }
    }
}

impl TryFrom<pb::TxnResponse> for TxnResponse {
    type Error = UnexpectedAnswer;

    fn try_from(txn: pb::TxnResponse) -> Result<Self, UnexpectedAnswer> {
        Ok(Self {
            revision: revision_of(txn.header.as_ref()),
            succeeded: txn.succeeded,
            responses: txn.responses.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl TryFrom<pb::ResponseOp> for TxnOpResponse {
    type Error = UnexpectedAnswer;

    fn try_from(op: pb::ResponseOp) -> Result<Self, UnexpectedAnswer> {
        use pb::response_op::Response;
        Ok(match op.response.ok_or(UnexpectedAnswer("the answer to an operation of the transaction"))? {
            Response::ResponseRange(range) => Self::Range(range.into()),
            Response::ResponsePut(put) => Self::Put(put.into()),
            Response::ResponseDeleteRange(delete) => Self::DeleteRange(delete.into()),
            Response::ResponseTxn(txn) => Self::Txn(txn.try_into()?),
        })
    }
}
