//! Requests whose replies are kept: asked again, they are answered as they were.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;

use super::{get, put};
use crate::consensus::{Committed, Encode, Epoch, NodeId, Outcome, Proposal, Recall, RequestId, WallTime};
use crate::kv::*;

const CLIENT: NodeId = NodeId(1001);

fn id(incarnation: u64, counter: u64) -> RequestId {
    RequestId { origin: CLIENT, incarnation, counter }
}

fn store() -> Store {
    Store::keeping(Retention::Replies)
}

/// Applies a slot with one command.
fn apply(store: &mut Store, id: RequestId, op: Op) -> Answered {
    let proposal = Proposal { id, time: WallTime(0), command: Command { session: None, op }.to_bytes() };
    let index = store.applied().next();
    let mut answered = store.apply(&Committed { index, epoch: Epoch(1), proposals: vec![proposal] });
    assert_eq!(answered.len(), 1);
    answered.remove(0).1
}

/// Executes a put that was not executed before, and answers the encoded reply.
fn execute(store: &mut Store, id: RequestId) -> Bytes {
    match apply(store, id, Op::Put(put("k", &id.to_string()))) {
        Answered::Now { reply, encoded: Some(encoded) } => {
            assert_eq!(encoded, reply.to_bytes());
            encoded
        }
        other => panic!("{id}: {other:?}"),
    }
}

fn again(store: &mut Store, id: RequestId) -> Answered {
    apply(store, id, Op::Put(put("k", "again")))
}

fn restored(store: &mut Store) -> Store {
    let frozen = store.freeze();
    let mut restore = Restore::new(Retention::Replies, frozen.index(), frozen.digest());
    for number in 0..frozen.pieces() {
        restore.add(number, frozen.piece(number).unwrap()).unwrap();
    }
    restore.finish().unwrap()
}

#[test]
fn a_request_that_comes_again_is_answered_byte_for_byte_also_behind_a_snapshot() {
    let mut original = store();
    let reply = execute(&mut original, id(1, 1));
    execute(&mut original, id(1, 2));
    let mut restored = restored(&mut original);
    for store in [&mut original, &mut restored] {
        assert_eq!(store.recall(id(1, 1)), Recall::Executed(Outcome::Answered(reply.clone())));
        assert_eq!(again(store, id(1, 1)), Answered::Before(reply.clone()));
        assert_eq!(store.revision(), 3);
        assert_eq!(store.recall(id(1, 3)), Recall::NotExecuted);
    }
    assert_eq!(original.digest(), restored.digest());
}

#[test]
fn an_empty_store_that_keeps_replies_has_a_snapshot_too() {
    let mut empty = store();
    assert_eq!(restored(&mut empty).digest(), empty.digest());
}

#[test]
fn two_lives_of_one_client_do_not_hurt_each_other() {
    let mut store = store();
    let newer = execute(&mut store, id(9, 1));
    let older = execute(&mut store, id(4, 1));
    assert_ne!(newer, older);
    execute(&mut store, id(9, 2));
    execute(&mut store, id(4, 2));
    assert_eq!(again(&mut store, id(4, 1)), Answered::Before(older));
    assert_eq!(again(&mut store, id(9, 1)), Answered::Before(newer));
    assert_eq!(store.revision(), 5);
}

#[test]
fn one_life_too_many_ends_the_one_that_was_idle_for_longest_and_it_never_comes_back() {
    let mut store = store();
    for life in 1..=REPLY_LIVES as u64 {
        execute(&mut store, id(10 * life, 1));
    }
    let first = execute(&mut store, id(10, 2));
    execute(&mut store, id(5, 1));
    // Life 20 was idle for longest. Of it, and of any at or below it that is not held, nobody knows what it executed.
    for forgotten in [id(20, 1), id(20, 2), id(20, 9), id(15, 1), id(1, 1)] {
        assert_eq!(store.recall(forgotten), Recall::Executed(Outcome::Forgotten), "{forgotten}");
        assert_eq!(again(&mut store, forgotten), Answered::Forgotten);
    }
    assert_eq!(again(&mut store, id(10, 2)), Answered::Before(first), "an older life that is held is let in");
    execute(&mut store, id(5, 2));
    execute(&mut store, id(25, 1));
    assert_eq!(again(&mut store, id(30, 1)), Answered::Forgotten);
    let mut restored = restored(&mut store);
    assert_eq!(again(&mut restored, id(30, 2)), Answered::Forgotten, "a snapshot forgets no floor");
}

#[test]
fn a_counter_behind_the_window_is_not_executed() {
    let mut store = store();
    execute(&mut store, id(1, 0));
    execute(&mut store, id(1, REPLY_WINDOW));
    assert_eq!(again(&mut store, id(1, 0)), Answered::Forgotten);
    execute(&mut store, id(1, 1));
    execute(&mut store, id(1, u64::MAX));
    assert_eq!(again(&mut store, id(1, 2)), Answered::Forgotten);
    execute(&mut store, id(2, 2));
}

#[test]
fn a_reply_that_is_too_large_to_keep_is_given_once() {
    let mut store = store();
    apply(&mut store, id(1, 1), Op::Put(put("k", &"v".repeat(SESSION_REPLY_BYTES))));
    let Answered::Now { encoded: Some(encoded), .. } = apply(&mut store, id(1, 2), Op::Range(get("k")))
    else {
        panic!("not executed");
    };
    assert!(encoded.len() > SESSION_REPLY_BYTES);
    assert_eq!(apply(&mut store, id(1, 2), Op::Range(get("k"))), Answered::Forgotten);
    assert_eq!(store.recall(id(1, 2)), Recall::Executed(Outcome::Forgotten));
}

#[test]
fn the_oldest_replies_of_a_life_go_when_they_are_too_many_bytes() {
    let mut store = store();
    let value = "v".repeat(SESSION_REPLY_BYTES / 2);
    apply(&mut store, id(1, 1), Op::Put(put("k", &value)));
    let fit = (LIFE_REPLY_BYTES / (SESSION_REPLY_BYTES / 2)) as u64;
    for counter in 2..2 + fit {
        apply(&mut store, id(1, counter), Op::Range(get("k")));
    }
    assert_eq!(store.recall(id(1, 2)), Recall::Executed(Outcome::Forgotten));
    assert!(matches!(store.recall(id(1, 1 + fit)), Recall::Executed(Outcome::Answered(_))));
}

#[test]
fn what_is_kept_is_part_of_the_digest() {
    let (mut one, mut other) = (store(), store());
    execute(&mut one, id(1, 1));
    let op = Op::Put(put("k", &id(1, 1).to_string()));
    apply(&mut other, id(2, 1), op);
    assert_eq!(one.range(&get("k")), other.range(&get("k")));
    assert_ne!(one.digest(), other.digest(), "another life executed it");
}

/// What [`Retention::Replies`] promises, in the plainest words.
#[derive(Default)]
struct Model {
    /// By life: when it was used last, and the replies.
    lives: BTreeMap<u64, (usize, BTreeMap<u64, Bytes>)>,
    floor: u64,
    uses: usize,
}

impl Model {
    fn expects(&self, id: RequestId) -> Recall {
        let Some((_, replies)) = self.lives.get(&id.incarnation) else {
            let known = id.incarnation > self.floor;
            return if known { Recall::NotExecuted } else { Recall::Executed(Outcome::Forgotten) };
        };
        let newest = *replies.last_key_value().unwrap().0;
        if id.counter + REPLY_WINDOW <= newest {
            return Recall::Executed(Outcome::Forgotten);
        }
        let answered = |reply: &Bytes| Recall::Executed(Outcome::Answered(reply.clone()));
        replies.get(&id.counter).map_or(Recall::NotExecuted, answered)
    }

    fn executed(&mut self, id: RequestId, reply: Bytes) {
        self.uses += 1;
        let life = self.lives.entry(id.incarnation).or_default();
        life.0 = self.uses;
        life.1.insert(id.counter, reply);
        if self.lives.len() > REPLY_LIVES {
            let (&oldest, _) = self.lives.iter().min_by_key(|(_, life)| life.0).unwrap();
            self.lives.remove(&oldest);
            self.floor = self.floor.max(oldest);
        }
    }
}

proptest! {
    #[test]
    fn replies_are_kept_as_promised(
        requests in proptest::collection::vec(
            (1..60_u64, prop_oneof![0..6_u64, REPLY_WINDOW - 3..REPLY_WINDOW + 3]), 0..150,
        ),
        snapshot in 0..150_usize,
    ) {
        let (mut store, mut model) = (store(), Model::default());
        for (at, (life, counter)) in requests.into_iter().enumerate() {
            if at == snapshot {
                store = restored(&mut store);
            }
            let id = id(life, counter);
            let expected = model.expects(id);
            prop_assert_eq!(store.recall(id), expected.clone());
            match expected {
                Recall::NotExecuted => model.executed(id, execute(&mut store, id)),
                Recall::Executed(outcome) => {
                    let answered = again(&mut store, id);
                    prop_assert_eq!(answered.into_outcome(), outcome);
                }
            }
        }
        prop_assert_eq!(restored(&mut store).digest(), store.digest());
    }
}
