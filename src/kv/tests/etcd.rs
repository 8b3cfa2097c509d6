//! etcd's behaviour, case by case. What is expected here was observed on etcd 3.4.23 through its JSON gateway.

use super::{bytes, delete, get, put, store_with};
use crate::kv::*;

fn range(key: &str, range_end: &str) -> RangeRequest {
    RangeRequest { range_end: bytes(range_end), ..get(key) }
}

fn txn(success: Vec<TxnOp>) -> TxnRequest {
    TxnRequest { success, ..TxnRequest::default() }
}

fn nested(success: Vec<TxnOp>) -> TxnOp {
    TxnOp::Txn(txn(success))
}

fn run(store: &mut Store, request: TxnRequest) -> Result<TxnResponse, KvError> {
    validate(&Op::Txn(request.clone()), &Limits::default())?;
    match store.execute(&Op::Txn(request))? {
        Response::Txn(response) => Ok(response),
        other => panic!("{other:?}"),
    }
}

fn compact(store: &mut Store, revision: i64) -> Result<i64, KvError> {
    store.execute(&Op::Compact(CompactionRequest { revision })).map(|response| response.revision())
}

/// Four writes: `a` twice, `b` and `c`. The store is at revision 5.
fn letters() -> Store {
    store_with(&[("a", "v"), ("b", "v"), ("c", "z"), ("a", "x")])
}

fn keys(response: &RangeResponse) -> String {
    response.kvs.iter().map(|kv| String::from_utf8_lossy(&kv.key).into_owned()).collect::<Vec<_>>().join(" ")
}

#[test]
fn an_empty_store_is_at_revision_1_and_the_first_put_makes_it_2() {
    let mut store = Store::new();
    assert_eq!(store.range(&get("a")).unwrap(), RangeResponse { revision: 1, ..RangeResponse::default() });
    let nothing = store.execute(&Op::DeleteRange(delete("a", ""))).unwrap();
    assert_eq!(nothing.revision(), 1, "deleting nothing keeps the revision");
    let first = store.execute(&Op::Put(PutRequest { prev_kv: true, ..put("a", "v") })).unwrap();
    assert_eq!(first, Response::Put(PutResponse { revision: 2, prev_kv: None }));
}

#[test]
fn a_deleted_key_starts_anew() {
    let mut store = letters();
    store.execute(&Op::DeleteRange(delete("a", ""))).unwrap();
    store.execute(&Op::Put(put("a", "new"))).unwrap();
    let now = store.range(&get("a")).unwrap().kvs.remove(0);
    assert_eq!((now.create_revision, now.mod_revision, now.version), (7, 7, 1));
    let before = store.range(&RangeRequest { revision: 5, ..get("a") }).unwrap().kvs.remove(0);
    assert_eq!((before.create_revision, before.mod_revision, before.version), (2, 5, 2));
}

#[test]
fn an_empty_key_is_refused_even_with_a_range_end() {
    let mut store = letters();
    assert_eq!(store.range(&range("", "\0")), Err(KvError::EmptyKey));
    assert_eq!(store.execute(&Op::Put(put("", "v"))), Err(KvError::EmptyKey));
    assert_eq!(store.execute(&Op::DeleteRange(delete("", "z"))), Err(KvError::EmptyKey));
    let compare = Compare {
        result: CompareResult::Less,
        target: CompareTarget::Lease(1),
        key: bytes(""),
        range_end: bytes(""),
    };
    let request = TxnRequest { compare: vec![compare], ..TxnRequest::default() };
    assert_eq!(run(&mut store, request), Err(KvError::EmptyKey));
}

#[test]
fn ranges() {
    let store = letters();
    let cases = [
        ("from a key on", range("b", "\0"), "b c", 2),
        ("ends before its end", range("a", "c"), "a b", 2),
        ("end before the start", range("c", "a"), "", 0),
        ("negative revision is now", RangeRequest { revision: -3, ..get("a") }, "a", 1),
        ("negative limit is none", RangeRequest { limit: -3, ..range("a", "z") }, "a b c", 3),
        ("count only", RangeRequest { count_only: true, limit: 1, ..range("a", "z") }, "", 3),
        ("a negative lower bound", RangeRequest { min_mod_revision: -4, ..range("a", "z") }, "a b c", 3),
        ("a negative upper bound", RangeRequest { max_mod_revision: -4, ..range("a", "z") }, "", 3),
    ];
    for (case, request, expected, count) in cases {
        let response = store.range(&request).unwrap();
        assert_eq!((keys(&response).as_str(), response.count), (expected, count), "{case}");
        assert!(!response.more, "{case}");
    }
}

#[test]
fn limits_and_sorting() {
    let store = letters();
    let by_mod = RangeRequest { sort_target: SortTarget::Mod, ..range("a", "z") };
    let cases = [
        (
            "a target without an order sorts behind the limit",
            RangeRequest { limit: 2, ..by_mod.clone() },
            "b c",
        ),
        (
            "an order sorts before the limit",
            RangeRequest { limit: 1, sort_order: SortOrder::Descend, ..by_mod },
            "a",
        ),
        (
            "a filter comes before the limit",
            RangeRequest { min_mod_revision: 4, limit: 1, ..range("a", "z") },
            "a",
        ),
    ];
    for (case, request, expected) in cases {
        let response = store.range(&request).unwrap();
        assert_eq!((keys(&response).as_str(), response.more, response.count), (expected, true, 3), "{case}");
    }
    let ties = RangeRequest {
        sort_target: SortTarget::Value,
        sort_order: SortOrder::Descend,
        keys_only: true,
        ..range("t1", "t9")
    };
    let response = store_with(&[("t1", "s"), ("t2", "s"), ("t3", "s")]).range(&ties).unwrap();
    assert_eq!(keys(&response), "t1 t2 t3");
    assert!(response.kvs.iter().all(|kv| kv.value.is_empty()));
}

#[test]
fn revisions_that_are_compacted_or_to_come() {
    let mut store = letters();
    let at = |store: &Store, revision| store.range(&RangeRequest { revision, ..get("a") });
    assert_eq!(at(&store, 6), Err(KvError::FutureRevision));
    assert_eq!(compact(&mut store, 6), Err(KvError::FutureRevision));
    assert_eq!(compact(&mut store, 5), Ok(5));
    assert_eq!(compact(&mut store, 5), Err(KvError::Compacted));
    assert_eq!(compact(&mut store, 3), Err(KvError::Compacted));
    assert_eq!(at(&store, 4), Err(KvError::Compacted));
    assert_eq!(at(&store, 5).unwrap().count, 1);

    let mut fresh = Store::new();
    assert_eq!(compact(&mut fresh, 0), Ok(1), "zero was not compacted yet");
    assert_eq!(compact(&mut fresh, 0), Err(KvError::Compacted));
    assert_eq!(compact(&mut fresh, -1), Err(KvError::Compacted));
}

#[test]
fn a_compaction_leaves_no_trace_of_what_it_forgot() {
    let mut store = letters();
    store.execute(&Op::DeleteRange(delete("b", "\0"))).unwrap();
    compact(&mut store, 6).unwrap();
    assert_eq!(store.mvcc.tree.get(crate::kv::tree::Name::of(b"b"), b"b").map(|_| ()), None);
    let history = store.mvcc.tree.get(crate::kv::tree::Name::of(b"a"), b"a").unwrap();
    assert_eq!(history.versions().count(), 1);
}

#[test]
fn ignoring_the_value_needs_one() {
    let mut store = letters();
    let keep = |key| PutRequest { ignore_value: true, prev_kv: true, ..put(key, "") };
    assert_eq!(store.execute(&Op::Put(keep("nokey"))), Err(KvError::KeyNotFound));
    let both = PutRequest { ignore_value: true, ..put("a", "x") };
    assert_eq!(store.execute(&Op::Put(both)), Err(KvError::ValueProvided));
    store.execute(&Op::Put(keep("a"))).unwrap();
    let kv = store.range(&get("a")).unwrap().kvs.remove(0);
    assert_eq!((kv.value, kv.version, kv.mod_revision), (bytes("x"), 3, 6));
    let missing_lease = PutRequest { ignore_lease: true, ..put("nokey", "x") };
    assert_eq!(store.execute(&Op::Put(missing_lease)), Err(KvError::KeyNotFound));
}

#[test]
fn a_transaction_that_fails_its_checks_writes_nothing() {
    let mut store = letters();
    let with = |op| txn(vec![TxnOp::Put(put("q", "v")), op]);
    let read = |revision| TxnOp::Range(RangeRequest { revision, ..get("a") });
    let keep = TxnOp::Put(PutRequest { ignore_value: true, ..put("nokey", "") });
    let digest = store.digest();
    assert_eq!(run(&mut store, with(read(6))), Err(KvError::FutureRevision));
    assert_eq!(run(&mut store, with(read(-3))), Err(KvError::Compacted));
    assert_eq!(run(&mut store, with(nested(vec![read(6)]))), Err(KvError::FutureRevision));
    let both = txn(vec![read(6), keep.clone()]);
    assert_eq!(run(&mut store, both), Err(KvError::KeyNotFound), "puts are checked before reads");
    assert_eq!(run(&mut store, with(keep)), Err(KvError::KeyNotFound));
    assert_eq!(store.digest(), digest);
}

#[test]
fn keys_that_are_written_twice() {
    let put = |key| TxnOp::Put(put(key, "v"));
    let del = |key, end| TxnOp::DeleteRange(delete(key, end));
    let cases = [
        ("two puts", vec![put("z"), put("z")], true),
        ("a put in a range that is deleted before", vec![del("a", "c"), put("b")], true),
        ("a put in a range that is deleted after", vec![put("b"), del("a", "c")], true),
        ("a put beside the range", vec![del("a", "b"), put("b")], false),
        ("two deletes", vec![del("c", ""), del("a", "z")], false),
        ("a put within and one outside", vec![nested(vec![put("n")]), put("n")], true),
        ("a put within, a delete outside", vec![nested(vec![put("n")]), del("n", "")], true),
        ("nested put, then nested delete", vec![nested(vec![put("n")]), nested(vec![del("n", "")])], false),
        ("nested delete, then nested put", vec![nested(vec![del("n", "")]), nested(vec![put("n")])], true),
        // etcd takes these two: its interval has its end before its start. Here they are what they look like.
        ("a put behind a delete from a key on", vec![del("a", "\0"), put("b")], true),
        ("a put behind a delete of all", vec![del("\0", "\0"), put("b")], true),
    ];
    for (case, ops, refused) in cases {
        let expected = if refused { Err(KvError::DuplicateKey) } else { Ok(()) };
        assert_eq!(run(&mut letters(), txn(ops.clone())).map(|_| ()), expected, "{case}");
        let failure = TxnRequest { failure: ops, ..TxnRequest::default() };
        assert_eq!(run(&mut letters(), failure).map(|_| ()), expected, "{case}, in the branch not taken");
    }
    let exclusive = TxnRequest { success: vec![put("n")], failure: vec![put("n")], ..TxnRequest::default() };
    run(&mut letters(), txn(vec![TxnOp::Txn(exclusive)])).unwrap();
}

#[test]
fn revisions_in_the_headers_of_a_transaction() {
    let mut store = letters();
    let ops = vec![
        TxnOp::DeleteRange(delete("none", "")),
        TxnOp::Put(put("m", "1")),
        TxnOp::DeleteRange(delete("none", "")),
        TxnOp::Range(get("m")),
        nested(vec![TxnOp::Put(put("n", "2"))]),
    ];
    let response = run(&mut store, txn(ops)).unwrap();
    let revisions = response.responses.iter().map(|response| match response {
        TxnOpResponse::Range(response) => response.revision,
        TxnOpResponse::Put(response) => response.revision,
        TxnOpResponse::DeleteRange(response) => response.revision,
        TxnOpResponse::Txn(response) => response.revision,
    });
    assert_eq!(revisions.collect::<Vec<_>>(), [5, 6, 6, 6, 0]);
    assert_eq!(response.revision, 6, "all writes of a transaction share a revision");
    assert_eq!(run(&mut store, txn(vec![TxnOp::Range(get("m"))])).unwrap().revision, 6);
    assert_eq!(run(&mut store, TxnRequest::default()).unwrap().revision, 6);
}

#[test]
fn a_transaction_reads_what_it_wrote_and_compares_what_was_before() {
    let mut store = letters();
    let missing = Compare {
        result: CompareResult::Equal,
        target: CompareTarget::Version(0),
        key: bytes("fresh"),
        range_end: bytes(""),
    };
    let inner = TxnRequest { compare: vec![missing], ..TxnRequest::default() };
    let ops = vec![TxnOp::Put(put("fresh", "1")), TxnOp::Range(get("fresh")), TxnOp::Txn(inner)];
    let response = run(&mut store, txn(ops)).unwrap();
    assert!(matches!(&response.responses[1], TxnOpResponse::Range(read) if read.count == 1));
    assert!(matches!(&response.responses[2], TxnOpResponse::Txn(inner) if inner.succeeded));
}

#[test]
fn comparisons() {
    let cases = [
        (
            "what is missing has no value",
            CompareResult::NotEqual,
            CompareTarget::Value(bytes("x")),
            "q",
            "",
            false,
        ),
        ("what is missing has version 0", CompareResult::Equal, CompareTarget::Version(0), "q", "", true),
        ("all of a range", CompareResult::Greater, CompareTarget::Create(1), "a", "z", true),
        ("one of a range does not", CompareResult::Greater, CompareTarget::Create(2), "a", "z", false),
        ("leases are zero", CompareResult::Less, CompareTarget::Lease(1), "a", "", true),
        ("a value", CompareResult::Less, CompareTarget::Value(bytes("y")), "a", "", true),
        ("a mod revision", CompareResult::NotEqual, CompareTarget::Mod(5), "a", "", false),
    ];
    for (case, result, target, key, range_end, holds) in cases {
        let compare = Compare { result, target, key: bytes(key), range_end: bytes(range_end) };
        let request = TxnRequest { compare: vec![compare], ..TxnRequest::default() };
        assert_eq!(run(&mut letters(), request).unwrap().succeeded, holds, "{case}");
    }
}

#[test]
fn too_many_operations() {
    let reads = |count| txn(vec![TxnOp::Range(get("m")); count]);
    run(&mut letters(), reads(128)).unwrap();
    assert_eq!(run(&mut letters(), reads(129)), Err(KvError::TooManyOps));
    // A nested transaction has what its parent leaves.
    let within = |count, depth| (0..depth).fold(reads(count), |inner, _| txn(vec![TxnOp::Txn(inner)]));
    // Not as deep as in etcd, where 128 operations are the only limit.
    run(&mut letters(), within(1, MAX_TXN_DEPTH - 1)).unwrap();
    assert_eq!(run(&mut letters(), within(1, MAX_TXN_DEPTH)), Err(KvError::TooManyOps));
    run(&mut letters(), within(127, 1)).unwrap();
    assert_eq!(run(&mut letters(), within(128, 1)), Err(KvError::TooManyOps));
}

#[test]
fn a_peek_leaves_no_trace() {
    let mut store = letters();
    let digest = store.digest();
    let request = txn(vec![TxnOp::Put(put("a", "peeked")), TxnOp::Range(get("a"))]);
    assert_eq!(store.peek(&request).unwrap().revision(), 6);
    assert_eq!(store.digest(), digest);
}

/// No message would hold it: nobody would ever be told.
#[test]
fn a_result_above_the_limit_is_refused_and_changes_nothing() {
    const VALUE: usize = 1 << 20;
    let mut store = Store::new();
    let last = MAX_RESULT_BYTES / VALUE;
    for number in 0..=last {
        store.execute(&Op::Put(put(&format!("k{number:02}"), &"v".repeat(VALUE)))).unwrap();
    }
    let (revision, digest) = (store.revision(), store.digest());
    let all = RangeRequest { key: bytes("k"), range_end: bytes("l"), ..RangeRequest::default() };
    let delete = DeleteRangeRequest { key: bytes("k"), range_end: bytes("l"), prev_kv: true };
    let txn = |ops: Vec<TxnOp>| TxnRequest { success: ops, ..TxnRequest::default() };
    let write = TxnOp::Put(put("other", "1"));
    let nested = TxnOp::Txn(txn(vec![TxnOp::Range(all.clone())]));
    assert_eq!(store.range(&all), Err(KvError::ResultTooLarge));
    assert_eq!(store.peek(&txn(vec![nested.clone()])), Err(KvError::ResultTooLarge));
    for op in [Op::Range(all.clone()), Op::DeleteRange(delete.clone()), Op::Txn(txn(vec![write, nested]))] {
        assert_eq!(store.execute(&op), Err(KvError::ResultTooLarge));
        assert_eq!((store.revision(), store.digest()), (revision, digest), "it changed nothing");
    }
    assert!(KvError::ResultTooLarge.to_string().contains("60 MiB"));

    let keys_only = RangeRequest { keys_only: true, ..all.clone() };
    assert_eq!(store.range(&keys_only).unwrap().kvs.len(), last + 1);
    let limited = RangeRequest { limit: last as i64 - 1, ..all };
    assert!(store.range(&limited).unwrap().more);
    let quiet = DeleteRangeRequest { prev_kv: false, ..delete };
    store.execute(&Op::DeleteRange(quiet)).unwrap();
}
