//! Random operations on few keys and few revisions, so that they meet.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::kv::*;

/// The keys in use; one is a prefix of another, and one is the other's immediate successor.
const KEYS: [&[u8]; 6] = [b"a", b"a\0", b"b", b"ba", b"c", b"\xff"];

fn key() -> impl Strategy<Value = Bytes> {
    (0..KEYS.len()).prop_map(|number| Bytes::from_static(KEYS[number]))
}

fn range_end() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        4 => Just(Bytes::new()),
        1 => Just(Bytes::from_static(b"\0")),
        2 => key(),
    ]
}

fn value() -> impl Strategy<Value = Bytes> {
    vec(0..3_u8, 0..3).prop_map(Bytes::from)
}

/// Often none, else one that exists, was compacted, lies ahead, or is nonsense.
fn revision() -> impl Strategy<Value = i64> {
    prop_oneof![3 => Just(0), 2 => -2..20_i64]
}

fn range_request() -> impl Strategy<Value = RangeRequest> {
    let order = prop_oneof![
        3 => Just(SortOrder::None),
        1 => Just(SortOrder::Ascend),
        1 => Just(SortOrder::Descend),
    ];
    let target = prop_oneof![
        Just(SortTarget::Key),
        Just(SortTarget::Version),
        Just(SortTarget::Create),
        Just(SortTarget::Mod),
        Just(SortTarget::Value),
    ];
    let bounds = (revision(), revision(), revision(), revision());
    let flags = (proptest::bool::weighted(0.2), proptest::bool::weighted(0.2));
    (key(), range_end(), -1..4_i64, revision(), order, target, flags, bounds).prop_map(
        |(key, range_end, limit, revision, sort_order, sort_target, flags, bounds)| RangeRequest {
            key,
            range_end,
            limit,
            revision,
            sort_order,
            sort_target,
            keys_only: flags.0,
            count_only: flags.1,
            min_mod_revision: bounds.0,
            max_mod_revision: bounds.1,
            min_create_revision: bounds.2,
            max_create_revision: bounds.3,
        },
    )
}

fn put_request() -> impl Strategy<Value = PutRequest> {
    (key(), value(), any::<bool>(), proptest::bool::weighted(0.2), proptest::bool::weighted(0.1)).prop_map(
        |(key, value, prev_kv, ignore_value, ignore_lease)| PutRequest {
            key,
            value: if ignore_value { Bytes::new() } else { value },
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete_request() -> impl Strategy<Value = DeleteRangeRequest> {
    (key(), range_end(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| DeleteRangeRequest {
        key,
        range_end,
        prev_kv,
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    let result = prop_oneof![
        Just(CompareResult::Equal),
        Just(CompareResult::Greater),
        Just(CompareResult::Less),
        Just(CompareResult::NotEqual),
    ];
    let target = prop_oneof![
        (0..4_i64).prop_map(CompareTarget::Version),
        (0..9_i64).prop_map(CompareTarget::Create),
        (0..9_i64).prop_map(CompareTarget::Mod),
        value().prop_map(CompareTarget::Value),
        (0..2_i64).prop_map(CompareTarget::Lease),
    ];
    (result, target, key(), range_end()).prop_map(|(result, target, key, range_end)| Compare {
        result,
        target,
        key,
        range_end,
    })
}

fn txn_op() -> impl Strategy<Value = TxnOp> {
    let leaf = prop_oneof![
        2 => range_request().prop_map(TxnOp::Range),
        3 => put_request().prop_map(TxnOp::Put),
        2 => delete_request().prop_map(TxnOp::DeleteRange),
    ];
    leaf.prop_recursive(3, 12, 3, |op| {
        (vec(compare(), 0..2), vec(op.clone(), 0..3), vec(op, 0..3))
            .prop_map(|(compare, success, failure)| TxnOp::Txn(TxnRequest { compare, success, failure }))
    })
}

fn txn_request() -> impl Strategy<Value = TxnRequest> {
    (vec(compare(), 0..3), vec(txn_op(), 0..4), vec(txn_op(), 0..4))
        .prop_map(|(compare, success, failure)| TxnRequest { compare, success, failure })
}

/// Any operation.
pub(super) fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => range_request().prop_map(Op::Range),
        4 => put_request().prop_map(Op::Put),
        2 => delete_request().prop_map(Op::DeleteRange),
        5 => txn_request().prop_map(Op::Txn),
        1 => (-2..20_i64).prop_map(|revision| Op::Compact(CompactionRequest { revision })),
        1 => Just(Op::OpenSession),
    ]
}

/// Some operations in a row.
pub(super) fn ops(count: usize) -> impl Strategy<Value = Vec<Op>> {
    vec(op(), 0..count)
}
