//! Snapshots and their restoration.

use bytes::Bytes;
use proptest::prelude::*;

use super::{generate, put, store_with};
use crate::consensus::{Committed, Digest, Encode, Epoch, Index, NodeId, Proposal, RequestId, WallTime};
use crate::kv::*;

/// A store that has something of everything: keys, histories, sessions with replies, request windows with gaps.
fn grown(retention: Retention, ops: &[Op]) -> Store {
    let mut store = Store::keeping(retention);
    for (number, op) in (1..).zip(ops) {
        let session = (number % 3 == 0).then_some(SessionTag { session: 1 + number % 2, sequence: number });
        let command = Command { session, op: if number < 3 { Op::OpenSession } else { op.clone() } };
        let id = RequestId {
            origin: NodeId(number % 4),
            incarnation: 7 + number % 5 / 4,
            counter: number * number % 50,
        };
        commit(&mut store, id, &command);
    }
    store
}

fn commit(store: &mut Store, id: RequestId, command: &Command) {
    let proposal = Proposal { id, time: WallTime::default(), command: command.to_bytes() };
    let index = store.applied().next();
    store.apply(&Committed { index, epoch: Epoch(1), proposals: vec![proposal] });
}

fn pieces(frozen: &Frozen) -> Vec<Bytes> {
    (0..frozen.pieces()).map(|number| frozen.piece(number).unwrap()).collect()
}

fn restore(retention: Retention, frozen: &Frozen, pieces: &[Bytes]) -> Result<Store, RestoreError> {
    let mut restore = Restore::new(retention, frozen.index(), frozen.digest());
    for (number, piece) in (0..).zip(pieces) {
        restore.add(number, piece.clone())?;
    }
    restore.finish()
}

fn retentions() -> impl Strategy<Value = Retention> {
    prop_oneof![Just(Retention::Ids), Just(Retention::Replies)]
}

/// From pieces with a part each to the real size.
fn piece_sizes() -> impl Strategy<Value = usize> {
    prop_oneof![Just(1), Just(100), Just(1000), Just(PIECE_BYTES)]
}

proptest! {
    #[test]
    fn a_restored_store_goes_on_like_its_original(
        before in generate::ops(40),
        after in generate::ops(20),
        retention in retentions(),
        piece_bytes in piece_sizes(),
    ) {
        let mut store = grown(retention, &before);
        let frozen = store.freeze_in(piece_bytes);
        let mut restored = restore(retention, &frozen, &pieces(&frozen)).unwrap();
        prop_assert_eq!(restored.applied(), store.applied());
        prop_assert_eq!(restored.digest(), store.digest());
        for op in &after {
            prop_assert_eq!(restored.execute(op), store.execute(op));
            prop_assert_eq!(restored.digest(), store.digest());
        }
    }

    #[test]
    fn a_change_anywhere_is_refused(
        ops in generate::ops(40),
        retention in retentions(),
        piece_bytes in piece_sizes(),
        place in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let frozen = grown(retention, &ops).freeze_in(piece_bytes);
        let mut pieces = pieces(&frozen);
        let mut place = place.index(pieces.iter().map(Bytes::len).sum());
        let number = pieces.iter().position(|piece| {
            let here = place < piece.len();
            place -= if here { 0 } else { piece.len() };
            here
        });
        let number = number.unwrap();
        let mut damaged = pieces[number].to_vec();
        damaged[place] ^= change;
        let good = std::mem::replace(&mut pieces[number], damaged.into());

        let mut restore = Restore::new(retention, frozen.index(), frozen.digest());
        for (number, piece) in (0..).zip(&pieces[..number]) {
            restore.add(number, piece.clone()).unwrap();
        }
        restore.add(number as u32, pieces[number].clone()).unwrap_err();
        // The piece is refused by itself: with the right one from elsewhere all is well.
        restore.add(number as u32, good).unwrap();
        for (number, piece) in (0..).zip(&pieces).skip(number + 1) {
            restore.add(number, piece.clone()).unwrap();
        }
        prop_assert_eq!(restore.finish().unwrap().digest(), frozen.digest());
    }

    /// Whatever the limit, a piece has no more than that, or else a single version.
    #[test]
    fn any_store_is_cut_into_bounded_pieces(
        puts in prop::collection::vec((0..6_u8, 0..3_000_usize), 0..120),
        limit in 100..4_000_usize,
    ) {
        let mut store = Store::new();
        for (key, bytes) in puts {
            store.execute(&Op::Put(put(&key.to_string(), &"v".repeat(bytes)))).unwrap();
        }
        let frozen = store.freeze_in(limit);
        let pieces = pieces(&frozen);
        let longest = pieces.iter().skip(1).map(Bytes::len).max().unwrap_or_default();
        prop_assert!(longest <= limit.max(3_000) + 100, "{longest}");
        prop_assert_eq!(restore(Retention::Ids, &frozen, &pieces).unwrap().digest(), store.digest());
    }
}

/// All pieces are bounded, and make up the same store.
fn assert_bounded(retention: Retention, store: &mut Store) {
    let frozen = store.freeze();
    let pieces = pieces(&frozen);
    assert!(pieces.iter().all(|piece| piece.len() <= MAX_PIECE_BYTES));
    let mut restored = restore(retention, &frozen, &pieces).unwrap();
    assert_eq!(restored.digest(), store.digest());
    assert_eq!(restored.bytes(), store.bytes());
}

#[test]
fn a_key_with_a_long_history_is_cut() {
    for (puts, bytes) in [(52, 1_400_000), (60_000, 200)] {
        let mut store = Store::new();
        let value = "v".repeat(bytes);
        for _ in 0..puts {
            store.execute(&Op::Put(put("k", &value))).unwrap();
        }
        assert!(store.freeze().pieces() as usize > puts * bytes / PIECE_BYTES / 2);
        assert_bounded(Retention::Ids, &mut store);
        store.execute(&Op::Compact(CompactionRequest { revision: puts as i64 / 2 })).unwrap();
        assert_bounded(Retention::Ids, &mut store);
    }
}

/// Who chooses keys can fill one bucket.
#[test]
fn a_bucket_with_many_keys_is_cut() {
    let hash = |key: &String| super::super::tree::Name::of(key.as_bytes()).bucket();
    let mut store = Store::new();
    let keys = (0_u32..).map(|number| number.to_string()).filter(|key| hash(key) == 0);
    for key in keys.take(3 * 64 + 1) {
        store.execute(&Op::Put(put(&key, &"v".repeat(30_000)))).unwrap();
    }
    assert!(store.freeze().pieces() > 4);
    assert_bounded(Retention::Ids, &mut store);
}

#[test]
fn the_requests_and_sessions_of_a_client_that_uses_all_its_room_are_cut() {
    let read = Op::Range(RangeRequest { key: "k".into(), ..RangeRequest::default() });
    for retention in [Retention::Ids, Retention::Replies] {
        let mut store = Store::keeping(retention);
        let id = |incarnation, counter| RequestId { origin: NodeId(9), incarnation, counter };
        let first = Command { session: None, op: Op::Put(put("k", &"v".repeat(SESSION_REPLY_BYTES - 200))) };
        commit(&mut store, id(1, 1), &first);
        for incarnation in 1..=REPLY_LIVES as u64 {
            for counter in 2..LIFE_REPLY_BYTES as u64 / SESSION_REPLY_BYTES as u64 + 3 {
                commit(&mut store, id(incarnation, counter), &Command { session: None, op: read.clone() });
            }
        }
        let mut counter = 1_000;
        for session in 1..=200 {
            commit(&mut store, id(99, counter), &Command { session: None, op: Op::OpenSession });
            let session = Some(SessionTag { session, sequence: 1 });
            commit(&mut store, id(99, counter + 1), &Command { session, op: read.clone() });
            counter += 2;
        }
        let pieces = store.freeze().pieces();
        assert!(if retention == Retention::Replies { pieces > 33 } else { pieces > 3 }, "{pieces}");
        assert_bounded(retention, &mut store);
    }
}

#[test]
fn a_frozen_state_can_be_written_out_by_another_thread() {
    let mut store = store_with(&[("a", "1")]);
    let frozen = store.freeze();
    let writer = std::thread::spawn(move || pieces(&frozen).len());
    store.execute(&Op::Put(put("a", "2"))).unwrap();
    assert_eq!(writer.join().unwrap(), 2);
}

#[test]
fn writes_after_a_freeze_do_not_reach_it() {
    let mut store = store_with(&[("a", "1")]);
    let frozen = store.freeze();
    store.execute(&Op::Put(put("a", "2"))).unwrap();
    store.execute(&Op::Compact(CompactionRequest { revision: 3 })).unwrap();
    let mut restored = restore(Retention::Ids, &frozen, &pieces(&frozen)).unwrap();
    assert_eq!(restored.revision(), 2);
    assert_eq!(restored.digest(), frozen.digest());
    assert_ne!(restored.digest(), store.digest());
}

#[test]
fn a_small_store_has_two_pieces_at_most_and_a_large_one_pieces_of_a_mebibyte() {
    assert_eq!(Store::new().freeze().pieces(), 1);
    assert_eq!(store_with(&[("a", "1")]).freeze().pieces(), 2);
    let mut store = Store::new();
    for number in 0..5_000 {
        let op = put(&format!("key-{number}"), &"v".repeat(1000));
        store.execute(&Op::Put(op)).unwrap();
    }
    let frozen = store.freeze();
    assert_eq!(frozen.pieces(), 7);
    assert!(pieces(&frozen).iter().all(|piece| piece.len() < 1_200_000));
    assert_eq!(frozen.piece(7), None);
    let restored = restore(Retention::Ids, &frozen, &pieces(&frozen)).unwrap();
    assert_eq!(restored.clone().digest(), store.digest());
}

#[test]
fn pieces_come_in_order_and_each_once() {
    let mut store = Store::new();
    for number in 0..3_000 {
        store.execute(&Op::Put(put(&number.to_string(), &"v".repeat(1000)))).unwrap();
    }
    let frozen = store.freeze();
    let mut restore = Restore::new(Retention::Ids, frozen.index(), frozen.digest());
    let last = frozen.pieces() - 1;
    let piece = |number| frozen.piece(number).unwrap();
    assert_eq!(restore.add(last, piece(last)), Err(RestoreError::NoManifest { piece: last }));
    for number in [0, 0, 1] {
        restore.add(number, piece(number)).unwrap();
    }
    for wrong in [1, last] {
        assert_eq!(restore.add(2, piece(wrong)), Err(RestoreError::WrongPiece { piece: 2 }));
    }
    for number in 2..=last {
        restore.add(number, piece(number)).unwrap();
    }
    // True pieces over and over would have no end.
    assert_eq!(restore.add(last + 1, piece(last)), Err(RestoreError::NothingNew { piece: last + 1 }));
    assert_eq!(restore.finish().unwrap().digest(), frozen.digest());
}

#[test]
fn what_is_missing_or_of_another_state_is_refused() {
    let frozen = store_with(&[("a", "1")]).freeze();
    let other = store_with(&[("a", "2")]).freeze();
    let mut restore = Restore::new(Retention::Ids, frozen.index(), frozen.digest());
    assert!(matches!(restore.add(0, other.piece(0).unwrap()), Err(RestoreError::WrongManifest { .. })));
    restore.add(0, frozen.piece(0).unwrap()).unwrap();
    assert_eq!(restore.add(1, other.piece(1).unwrap()), Err(RestoreError::WrongPiece { piece: 1 }));
    assert_eq!(restore.finish().unwrap_err(), RestoreError::Incomplete { parts: 1 });

    let mut at_another_index = Restore::new(Retention::Ids, Index(5), frozen.digest());
    at_another_index.add(0, frozen.piece(0).unwrap()).unwrap_err();
    Restore::new(Retention::Ids, Index(0), Digest::default()).finish().unwrap_err();
}
