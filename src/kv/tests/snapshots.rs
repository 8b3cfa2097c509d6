//! Snapshots and their restoration.

use bytes::Bytes;
use proptest::prelude::*;

use super::{generate, put, store_with};
use crate::consensus::{Committed, Digest, Encode, Epoch, Index, NodeId, Proposal, RequestId, WallTime};
use crate::kv::*;

/// A store that has something of everything: keys, histories, sessions with replies, request windows with gaps.
fn grown(ops: &[Op]) -> Store {
    let mut store = Store::new();
    for (number, op) in (1..).zip(ops) {
        let session = (number % 3 == 0).then_some(SessionTag { session: 1 + number % 2, sequence: number });
        let command = Command { session, op: if number < 3 { Op::OpenSession } else { op.clone() } };
        let id = RequestId { origin: NodeId(number % 4), incarnation: 7, counter: number * number % 50 };
        let proposal = Proposal { id, time: WallTime::default(), command: command.to_bytes() };
        let index = store.applied().next();
        store.apply(&Committed { index, epoch: Epoch(1), proposals: vec![proposal] });
    }
    store
}

fn pieces(frozen: &Frozen) -> Vec<Bytes> {
    (0..frozen.pieces()).map(|number| frozen.piece(number).unwrap()).collect()
}

fn restore(frozen: &Frozen, pieces: &[Bytes]) -> Result<Store, RestoreError> {
    let mut restore = Restore::new(Retention::Ids, frozen.index(), frozen.digest());
    for (number, piece) in (0..).zip(pieces) {
        restore.add(number, piece.clone())?;
    }
    restore.finish()
}

proptest! {
    #[test]
    fn a_restored_store_goes_on_like_its_original(before in generate::ops(40), after in generate::ops(20)) {
        let mut store = grown(&before);
        let frozen = store.freeze();
        let mut restored = restore(&frozen, &pieces(&frozen)).unwrap();
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
        place in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let frozen = grown(&ops).freeze();
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

        let mut restore = Restore::new(Retention::Ids, frozen.index(), frozen.digest());
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
    let mut restored = restore(&frozen, &pieces(&frozen)).unwrap();
    assert_eq!(restored.revision(), 2);
    assert_eq!(restored.digest(), frozen.digest());
    assert_ne!(restored.digest(), store.digest());
}

#[test]
fn a_small_store_has_two_pieces_and_a_large_one_pieces_of_a_mebibyte() {
    assert_eq!(Store::new().freeze().pieces(), 2);
    let mut store = Store::new();
    for number in 0..5_000 {
        let op = put(&format!("key-{number}"), &"v".repeat(1000));
        store.execute(&Op::Put(op)).unwrap();
    }
    let frozen = store.freeze();
    assert_eq!(frozen.pieces(), 6);
    assert!(pieces(&frozen).iter().all(|piece| piece.len() < 1_200_000));
    assert_eq!(frozen.piece(6), None);
    let restored = restore(&frozen, &pieces(&frozen)).unwrap();
    assert_eq!(restored.clone().digest(), store.digest());
}

#[test]
fn pieces_come_in_any_order_behind_the_manifest_and_each_once() {
    let mut store = Store::new();
    for number in 0..3_000 {
        store.execute(&Op::Put(put(&number.to_string(), &"v".repeat(1000)))).unwrap();
    }
    let frozen = store.freeze();
    let mut restore = Restore::new(Retention::Ids, frozen.index(), frozen.digest());
    let last = frozen.pieces() - 1;
    let piece = |number| frozen.piece(number).unwrap();
    assert_eq!(restore.add(last, piece(last)), Err(RestoreError::NoManifest { piece: last }));
    for number in [0, 0, last].into_iter().chain(1..last) {
        restore.add(number, piece(number)).unwrap();
    }
    // True pieces over and over would have no end.
    assert_eq!(restore.add(last, piece(last)), Err(RestoreError::NothingNew { piece: last }));
    assert_eq!(restore.add(last + 1, piece(1)), Err(RestoreError::NothingNew { piece: last + 1 }));
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
    assert_eq!(restore.finish().unwrap_err(), RestoreError::Incomplete { sections: 2 });

    let mut at_another_index = Restore::new(Retention::Ids, Index(5), frozen.digest());
    at_another_index.add(0, frozen.piece(0).unwrap()).unwrap_err();
    Restore::new(Retention::Ids, Index(0), Digest::default()).finish().unwrap_err();
}
