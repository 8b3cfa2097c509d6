use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use prost::Message;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::pb::etcdserverpb as pb;
use super::*;
use crate::consensus::NodeId;
use crate::kv::*;

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..5).prop_map(Bytes::from)
}

fn range_request() -> impl Strategy<Value = RangeRequest> {
    use SortOrder::{Ascend, Descend, None};
    let order = prop_oneof![Just(None), Just(Ascend), Just(Descend)];
    let target = prop_oneof![
        Just(SortTarget::Key),
        Just(SortTarget::Version),
        Just(SortTarget::Create),
        Just(SortTarget::Mod),
        Just(SortTarget::Value)
    ];
    (bytes(), bytes(), any::<[i64; 6]>(), order, target, any::<[bool; 2]>()).prop_map(
        |(key, range_end, numbers, sort_order, sort_target, [keys_only, count_only])| {
            let [
                limit,
                revision,
                min_mod_revision,
                max_mod_revision,
                min_create_revision,
                max_create_revision,
            ] = numbers;
            RangeRequest {
                key,
                range_end,
                limit,
                revision,
                sort_order,
                sort_target,
                keys_only,
                count_only,
                min_mod_revision,
                max_mod_revision,
                min_create_revision,
                max_create_revision,
            }
        },
    )
}

fn put_request() -> impl Strategy<Value = PutRequest> {
    (bytes(), bytes(), any::<[bool; 3]>()).prop_map(|(key, value, [prev_kv, ignore_value, ignore_lease])| {
        PutRequest { key, value, prev_kv, ignore_value, ignore_lease }
    })
}

fn compare() -> impl Strategy<Value = Compare> {
    use CompareResult::{Equal, Greater, Less, NotEqual};
    let result = prop_oneof![Just(Equal), Just(Greater), Just(Less), Just(NotEqual)];
    let target = prop_oneof![
        any::<i64>().prop_map(CompareTarget::Version),
        any::<i64>().prop_map(CompareTarget::Create),
        any::<i64>().prop_map(CompareTarget::Mod),
        bytes().prop_map(CompareTarget::Value),
        any::<i64>().prop_map(CompareTarget::Lease),
    ];
    (result, target, bytes(), bytes()).prop_map(|(result, target, key, range_end)| Compare {
        result,
        target,
        key,
        range_end,
    })
}

fn txn_request() -> impl Strategy<Value = TxnRequest> {
    let leaf = vec(compare(), 0..3).prop_map(|compare| TxnRequest {
        compare,
        success: Vec::new(),
        failure: Vec::new(),
    });
    leaf.prop_recursive(3, 24, 3, |inner| {
        let op = prop_oneof![
            range_request().prop_map(TxnOp::Range),
            put_request().prop_map(TxnOp::Put),
            (bytes(), bytes(), any::<bool>()).prop_map(|(key, range_end, prev_kv)| {
                TxnOp::DeleteRange(DeleteRangeRequest { key, range_end, prev_kv })
            }),
            inner.prop_map(TxnOp::Txn),
        ];
        (vec(compare(), 0..3), vec(op.clone(), 0..3), vec(op, 0..3))
            .prop_map(|(compare, success, failure)| TxnRequest { compare, success, failure })
    })
}

fn key_value() -> impl Strategy<Value = KeyValue> {
    (bytes(), any::<[i64; 3]>(), bytes()).prop_map(
        |(key, [create_revision, mod_revision, version], value)| KeyValue {
            key,
            create_revision,
            mod_revision,
            version,
            value,
        },
    )
}

fn txn_response() -> impl Strategy<Value = TxnResponse> {
    let leaf = (any::<i64>(), any::<bool>()).prop_map(|(revision, succeeded)| TxnResponse {
        revision,
        succeeded,
        responses: Vec::new(),
    });
    leaf.prop_recursive(3, 16, 3, |inner| {
        let response = prop_oneof![
            (any::<i64>(), vec(key_value(), 0..3), any::<bool>(), any::<i64>()).prop_map(
                |(revision, kvs, more, count)| {
                    TxnOpResponse::Range(RangeResponse { revision, kvs, more, count })
                }
            ),
            (any::<i64>(), option::of(key_value()))
                .prop_map(|(revision, prev_kv)| TxnOpResponse::Put(PutResponse { revision, prev_kv })),
            (any::<i64>(), any::<i64>(), vec(key_value(), 0..3)).prop_map(|(revision, deleted, prev_kvs)| {
                TxnOpResponse::DeleteRange(DeleteRangeResponse { revision, deleted, prev_kvs })
            }),
            inner.prop_map(TxnOpResponse::Txn),
        ];
        (any::<i64>(), any::<bool>(), vec(response, 0..3))
            .prop_map(|(revision, succeeded, responses)| TxnResponse { revision, succeeded, responses })
    })
}

/// Through the bytes, so that the field numbers on both ways are the same.
fn through_bytes<M: Message + Default>(message: &M) -> M {
    M::decode(&message.encode_to_vec()[..]).unwrap()
}

const HEADER: Header = Header { cluster_id: 1, member_id: NodeId(2), epoch: 3 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Invariant 2, for requests; a transaction holds all kinds of them.
    #[test]
    fn a_request_survives_the_way_there(txn in txn_request()) {
        let message = through_bytes(&pb::TxnRequest::from(txn.clone()));
        prop_assert_eq!(TxnRequest::try_from(message), Ok(txn));
    }

    /// Invariant 2, for responses.
    #[test]
    fn a_response_survives_the_way_back(txn in txn_response()) {
        let message = through_bytes(&HEADER.txn(txn.clone()));
        prop_assert_eq!(TxnResponse::try_from(message), Ok(txn));
    }

    /// Invariant 1: whatever decodes as a message converts or is refused.
    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..64)) {
        if let Ok(message) = pb::TxnRequest::decode(&bytes[..]) {
            let _ = TxnRequest::try_from(message);
        }
        if let Ok(message) = pb::RangeRequest::decode(&bytes[..]) {
            let _ = RangeRequest::try_from(message);
        }
    }
}

/// The bytes were made by hand from etcd's field numbers: 1 is a key, 2 a value, 4 `prev_kv`, 64 `range_end`.
#[test]
fn field_numbers_are_those_of_etcd() {
    let put = pb::PutRequest::decode(&b"\x0a\x01k\x12\x01v\x20\x01"[..]).unwrap();
    let put = PutRequest::try_from(put).unwrap();
    assert_eq!((&put.key[..], &put.value[..], put.prev_kv), (&b"k"[..], &b"v"[..], true));
    let compare = pb::Compare::decode(&b"\x08\x01\x10\x02\x1a\x01k\x30\x07\x82\x04\x01z"[..]).unwrap();
    let expected = Compare {
        result: CompareResult::Greater,
        target: CompareTarget::Mod(7),
        key: Bytes::from_static(b"k"),
        range_end: Bytes::from_static(b"z"),
    };
    assert_eq!(Compare::try_from(compare), Ok(expected));
}

#[test]
fn what_the_store_does_not_know_is_refused() {
    assert_eq!(
        PutRequest::try_from(pb::PutRequest { lease: 7, ..Default::default() }),
        Err(Malformed::Lease)
    );
    let range = pb::RangeRequest { sort_order: 3, ..Default::default() };
    assert_eq!(RangeRequest::try_from(range), Err(Malformed::Sort));
    let range = pb::RangeRequest { sort_target: -1, ..Default::default() };
    assert_eq!(RangeRequest::try_from(range), Err(Malformed::Sort));
    let txn = pb::TxnRequest { success: vec![pb::RequestOp { request: None }], ..Default::default() };
    assert_eq!(TxnRequest::try_from(txn), Err(Malformed::EmptyOp));
    let compare = pb::Compare { result: 4, ..Default::default() };
    assert_eq!(Compare::try_from(compare), Err(Malformed::Compare));
    let union = Some(pb::compare::TargetUnion::ModRevision(1));
    let compare = pb::Compare { target: 0, target_union: union, ..Default::default() };
    assert_eq!(Compare::try_from(compare), Err(Malformed::Compare), "a version compared with a revision");
}

/// Some libraries leave out what has its default value.
#[test]
fn a_comparison_without_a_value_compares_with_zero() {
    let compare = Compare::try_from(pb::Compare { target: 1, ..Default::default() }).unwrap();
    assert_eq!(compare.target, CompareTarget::Create(0));
}

#[test]
fn a_session_travels_in_metadata() {
    let mut metadata = MetadataMap::new();
    assert_eq!(session_of(&metadata), Ok(None));
    let tag = SessionTag { session: 7, sequence: 12 };
    set_session(&mut metadata, tag);
    assert_eq!(metadata.get(SESSION).unwrap(), "7-12");
    assert_eq!(session_of(&metadata), Ok(Some(tag)));
    for wrong in ["", "7", "7-", "-1", "7-0", "7-+1", "7-1-1", "x-1", "18446744073709551616-1"] {
        metadata.insert(SESSION, wrong.parse().unwrap());
        assert_eq!(session_of(&metadata), Err(Malformed::Session), "{wrong:?}");
    }
}

#[test]
fn an_error_says_what_became_of_the_command_and_who_leads() {
    let mut status = Status::new(Code::Unavailable, "etcdserver: no leader");
    assert_eq!((outcome_of(&status), leader_of(&status)), (None, None));
    set_outcome(&mut status, Outcome::NeverExecuted);
    set_leader(&mut status, NodeId(3));
    assert_eq!((outcome_of(&status), leader_of(&status)), (Some(Outcome::NeverExecuted), Some(NodeId(3))));
}
