//! Requests: etcd's messages and the store's, both ways.

use super::pb::etcdserverpb as pb;
use crate::kv::{
    CompactionRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest,
    SortOrder, SortTarget, TxnOp, TxnRequest,
};

/// What makes a message no request that the store knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A put names a lease.
    #[error("etcdserver: requested lease not found")]
    Lease,
    /// An operation of a transaction says nothing. The words are etcd's.
    #[error("etcdserver: key not found")]
    EmptyOp,
    /// A sort order or sort target that does not exist.
    #[error("etcdserver: invalid sort option")]
    Sort,
    /// A comparison with a relation or target that does not exist, or with a value that is not of the target's kind.
    #[error(
        "the comparison's result or target does not exist, or its value is of another kind than its target"
    )]
    Compare,
    /// The session metadata is not `<session>-<sequence>`.
    #[error(
        "the metadata {} must be <session>-<sequence>, both in decimal, sequences from 1",
        super::SESSION
    )]
    Session,
}

impl From<RangeRequest> for pb::RangeRequest {
    /// A linearizable read; `serializable` is not the store's matter and is set by whoever sends it.
    fn from(range: RangeRequest) -> Self {
        Self {
            key: range.key,
            range_end: range.range_end,
            limit: range.limit,
            revision: range.revision,
            sort_order: sort_order_to_pb(range.sort_order).into(),
            sort_target: sort_target_to_pb(range.sort_target).into(),
            serializable: false,
            keys_only: range.keys_only,
            count_only: range.count_only,
            min_mod_revision: range.min_mod_revision,
            max_mod_revision: range.max_mod_revision,
            min_create_revision: range.min_create_revision,
            max_create_revision: range.max_create_revision,
        }
    }
}

impl TryFrom<pb::RangeRequest> for RangeRequest {
    type Error = Malformed;

    fn try_from(range: pb::RangeRequest) -> Result<Self, Malformed> {
        Ok(Self {
            sort_order: sort_order_of(range.sort_order).ok_or(Malformed::Sort)?,
            sort_target: sort_target_of(range.sort_target).ok_or(Malformed::Sort)?,
            key: range.key,
            range_end: range.range_end,
            limit: range.limit,
            revision: range.revision,
            keys_only: range.keys_only,
            count_only: range.count_only,
            min_mod_revision: range.min_mod_revision,
            max_mod_revision: range.max_mod_revision,
            min_create_revision: range.min_create_revision,
            max_create_revision: range.max_create_revision,
        })
    }
}

fn sort_order_to_pb(order: SortOrder) -> pb::range_request::SortOrder {
    use pb::range_request::SortOrder as Wire;
    match order {
        SortOrder::None => Wire::None,
        SortOrder::Ascend => Wire::Ascend,
        SortOrder::Descend => Wire::Descend,
    }
}

fn sort_order_of(order: i32) -> Option<SortOrder> {
    use pb::range_request::SortOrder as Wire;
    Some(match Wire::try_from(order).ok()? {
        Wire::None => SortOrder::None,
        Wire::Ascend => SortOrder::Ascend,
        Wire::Descend => SortOrder::Descend,
    })
}

fn sort_target_to_pb(target: SortTarget) -> pb::range_request::SortTarget {
    use pb::range_request::SortTarget as Wire;
    match target {
        SortTarget::Key => Wire::Key,
        SortTarget::Version => Wire::Version,
        SortTarget::Create => Wire::Create,
        SortTarget::Mod => Wire::Mod,
        SortTarget::Value => Wire::Value,
    }
}

fn sort_target_of(target: i32) -> Option<SortTarget> {
    use pb::range_request::SortTarget as Wire;
    Some(match Wire::try_from(target).ok()? {
        Wire::Key => SortTarget::Key,
        Wire::Version => SortTarget::Version,
        Wire::Create => SortTarget::Create,
        Wire::Mod => SortTarget::Mod,
        Wire::Value => SortTarget::Value,
    })
}

impl From<PutRequest> for pb::PutRequest {
    fn from(put: PutRequest) -> Self {
        Self {
            key: put.key,
            value: put.value,
            lease: 0,
            prev_kv: put.prev_kv,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
        }
    }
}

impl TryFrom<pb::PutRequest> for PutRequest {
    type Error = Malformed;

    fn try_from(put: pb::PutRequest) -> Result<Self, Malformed> {
        if put.lease != 0 {
            return Err(Malformed::Lease);
        }
        Ok(Self {
            key: put.key,
            value: put.value,
            prev_kv: put.prev_kv,
            ignore_value: put.ignore_value,
            ignore_lease: put.ignore_lease,
        })
    }
}

impl From<DeleteRangeRequest> for pb::DeleteRangeRequest {
    fn from(delete: DeleteRangeRequest) -> Self {
        Self { key: delete.key, range_end: delete.range_end, prev_kv: delete.prev_kv }
    }
}

impl From<pb::DeleteRangeRequest> for DeleteRangeRequest {
    fn from(delete: pb::DeleteRangeRequest) -> Self {
        Self { key: delete.key, range_end: delete.range_end, prev_kv: delete.prev_kv }
    }
}

impl From<CompactionRequest> for pb::CompactionRequest {
    fn from(compaction: CompactionRequest) -> Self {
        Self { revision: compaction.revision, physical: false }
    }
}

impl From<pb::CompactionRequest> for CompactionRequest {
    fn from(compaction: pb::CompactionRequest) -> Self {
        Self { revision: compaction.revision }
    }
}

impl From<TxnRequest> for pb::TxnRequest {
    fn from(txn: TxnRequest) -> Self {
        Self {
            compare: txn.compare.into_iter().map(Into::into).collect(),
            success: txn.success.into_iter().map(Into::into).collect(),
            failure: txn.failure.into_iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::TxnRequest> for TxnRequest {
    type Error = Malformed;

    /// Recurses as deep as the transaction nests, which the decoder of the message has bounded already.
    fn try_from(txn: pb::TxnRequest) -> Result<Self, Malformed> {
        Ok(Self {
            compare: txn.compare.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            success: txn.success.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            failure: txn.failure.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<TxnOp> for pb::RequestOp {
    fn from(op: TxnOp) -> Self {
        use pb::request_op::Request;
        let request = match op {
            TxnOp::Range(range) => Request::RequestRange(range.into()),
            TxnOp::Put(put) => Request::RequestPut(put.into()),
            TxnOp::DeleteRange(delete) => Request::RequestDeleteRange(delete.into()),
            TxnOp::Txn(txn) => Request::RequestTxn(txn.into()),
        };
        Self { request: Some(request) }
    }
}

impl TryFrom<pb::RequestOp> for TxnOp {
    type Error = Malformed;

    fn try_from(op: pb::RequestOp) -> Result<Self, Malformed> {
        use pb::request_op::Request;
        Ok(match op.request.ok_or(Malformed::EmptyOp)? {
            Request::RequestRange(range) => Self::Range(range.try_into()?),
            Request::RequestPut(put) => Self::Put(put.try_into()?),
            Request::RequestDeleteRange(delete) => Self::DeleteRange(delete.into()),
            Request::RequestTxn(txn) => Self::Txn(txn.try_into()?),
        })
    }
}

impl From<Compare> for pb::Compare {
    fn from(compare: Compare) -> Self {
        use pb::compare::{CompareTarget as Target, TargetUnion};
        let (target, union) = match compare.target {
            CompareTarget::Version(version) => (Target::Version, TargetUnion::Version(version)),
            CompareTarget::Create(revision) => (Target::Create, TargetUnion::CreateRevision(revision)),
            CompareTarget::Mod(revision) => (Target::Mod, TargetUnion::ModRevision(revision)),
            CompareTarget::Value(value) => (Target::Value, TargetUnion::Value(value)),
            CompareTarget::Lease(lease) => (Target::Lease, TargetUnion::Lease(lease)),
        };
        Self {
            result: compare_result_to_pb(compare.result).into(),
            target: target.into(),
            key: compare.key,
            range_end: compare.range_end,
            target_union: Some(union),
        }
    }
}

impl TryFrom<pb::Compare> for Compare {
    type Error = Malformed;

    fn try_from(compare: pb::Compare) -> Result<Self, Malformed> {
        Ok(Self {
            result: compare_result_of(compare.result).ok_or(Malformed::Compare)?,
            target: compare_target_of(compare.target, compare.target_union).ok_or(Malformed::Compare)?,
            key: compare.key,
            range_end: compare.range_end,
        })
    }
}

fn compare_result_to_pb(result: CompareResult) -> pb::compare::CompareResult {
    use pb::compare::CompareResult as Wire;
    match result {
        CompareResult::Equal => Wire::Equal,
        CompareResult::Greater => Wire::Greater,
        CompareResult::Less => Wire::Less,
        CompareResult::NotEqual => Wire::NotEqual,
    }
}

fn compare_result_of(result: i32) -> Option<CompareResult> {
    use pb::compare::CompareResult as Wire;
    Some(match Wire::try_from(result).ok()? {
        Wire::Equal => CompareResult::Equal,
        Wire::Greater => CompareResult::Greater,
        Wire::Less => CompareResult::Less,
        Wire::NotEqual => CompareResult::NotEqual,
    })
}

/// A value that is left out is zero or empty: some client libraries leave out what has its default.
fn compare_target_of(target: i32, union: Option<pb::compare::TargetUnion>) -> Option<CompareTarget> {
    use pb::compare::{CompareTarget as Target, TargetUnion};
    let target = Target::try_from(target).ok()?;
    Some(match (target, union) {
        (Target::Version, None) => CompareTarget::Version(0),
        (Target::Version, Some(TargetUnion::Version(version))) => CompareTarget::Version(version),
        (Target::Create, None) => CompareTarget::Create(0),
        (Target::Create, Some(TargetUnion::CreateRevision(revision))) => CompareTarget::Create(revision),
        (Target::Mod, None) => CompareTarget::Mod(0),
        (Target::Mod, Some(TargetUnion::ModRevision(revision))) => CompareTarget::Mod(revision),
        (Target::Value, None) => CompareTarget::Value(bytes::Bytes::new()),
        (Target::Value, Some(TargetUnion::Value(value))) => CompareTarget::Value(value),
        (Target::Lease, None) => CompareTarget::Lease(0),
        (Target::Lease, Some(TargetUnion::Lease(lease))) => CompareTarget::Lease(lease),
        _ => return None,
    })
}
