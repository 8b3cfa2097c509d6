//! How many bytes the store says that it holds.

use super::super::*;

fn execute(store: &mut Store, op: &Op) {
    store.execute(op).unwrap();
}

fn put(store: &mut Store, key: &'static str, value: &'static str) {
    execute(store, &Op::Put(PutRequest { key: key.into(), value: value.into(), ..PutRequest::default() }));
}

#[test]
fn bytes_follow_puts_deletes_and_compactions() {
    let mut store = Store::new();
    assert_eq!(store.bytes(), 0);
    put(&mut store, "key", "four");
    assert_eq!(store.bytes(), 3 + 4);
    put(&mut store, "key", "seven77");
    assert_eq!(store.bytes(), 3 + 4 + 7, "the old version is still there to be read");
    put(&mut store, "other", "x");
    assert_eq!(store.bytes(), 3 + 4 + 7 + 5 + 1);
    execute(&mut store, &Op::DeleteRange(DeleteRangeRequest { key: "other".into(), ..Default::default() }));
    assert_eq!(store.bytes(), 3 + 4 + 7 + 5 + 1, "a tombstone has no value");

    let restored = {
        let frozen = store.freeze();
        let mut restore = Restore::new(Retention::Ids, frozen.index(), frozen.digest());
        for number in 0..frozen.pieces() {
            restore.add(number, frozen.piece(number).unwrap()).unwrap();
        }
        restore.finish().unwrap()
    };
    assert_eq!(restored.bytes(), store.bytes());

    let revision = store.revision();
    execute(&mut store, &Op::Compact(CompactionRequest { revision }));
    assert_eq!(store.bytes(), 3 + 7, "only what can still be read");
}
