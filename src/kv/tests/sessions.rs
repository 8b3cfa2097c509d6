//! Exactly once: request ids and sessions.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::{get, put, store_with};
use crate::consensus::{Committed, Encode, Epoch, NodeId, Proposal, RequestId, WallTime};
use crate::kv::*;

fn id(incarnation: u64, counter: u64) -> RequestId {
    RequestId { origin: NodeId(1), incarnation, counter }
}

/// Applies a slot with one command and answers what the store answers.
fn apply(store: &mut Store, id: RequestId, session: Option<(u64, u64)>, op: Op) -> Option<Reply> {
    let session = session.map(|(session, sequence)| SessionTag { session, sequence });
    let proposal = Proposal { id, time: WallTime::default(), command: Command { session, op }.to_bytes() };
    let index = store.applied().next();
    let mut answered = store.apply(&Committed { index, epoch: Epoch(1), proposals: vec![proposal] });
    match answered.pop().filter(|(answered, _)| *answered == id) {
        Some((_, Answered::Now { reply, encoded: None })) => Some(reply),
        Some((_, Answered::Forgotten)) => None,
        other => panic!("{other:?}"),
    }
}

/// A client whose every command reaches the order under a new request id.
struct Client {
    store: Store,
    counter: u64,
}

impl Client {
    fn new() -> Self {
        Self { store: Store::new(), counter: 0 }
    }

    fn open(&mut self) -> u64 {
        self.counter += 1;
        match apply(&mut self.store, id(1, self.counter), None, Op::OpenSession) {
            Some(Ok(Response::OpenSession(opened))) => opened.session,
            other => panic!("{other:?}"),
        }
    }

    fn call(&mut self, session: u64, sequence: u64, op: Op) -> Reply {
        self.counter += 1;
        apply(&mut self.store, id(1, self.counter), Some((session, sequence)), op).unwrap()
    }

    fn put(&mut self, session: u64, sequence: u64, value: &str) -> Reply {
        self.call(session, sequence, Op::Put(put("k", value)))
    }
}

#[test]
fn a_request_that_is_ordered_twice_is_executed_and_answered_once() {
    let mut store = Store::new();
    assert!(apply(&mut store, id(1, 0), None, Op::Put(put("a", "1"))).is_some());
    assert_eq!(apply(&mut store, id(1, 0), None, Op::Put(put("a", "1"))), None);
    assert_eq!((store.revision(), store.applied().0), (2, 2));
}

#[test]
fn a_request_of_an_older_life_is_not_executed() {
    let mut store = Store::new();
    assert!(apply(&mut store, id(2, 1), None, Op::Put(put("a", "1"))).is_some());
    assert_eq!(apply(&mut store, id(1, 9), None, Op::Put(put("a", "2"))), None);
    assert!(apply(&mut store, id(3, 1), None, Op::Put(put("a", "3"))).is_some());
    assert_eq!(store.revision(), 3);
}

#[test]
fn the_largest_counter_does_not_reopen_the_window() {
    let mut store = Store::new();
    for counter in [1, u64::MAX] {
        assert!(apply(&mut store, id(1, counter), None, Op::OpenSession).is_some());
    }
    for counter in [0, 1, 2, u64::MAX] {
        assert_eq!(apply(&mut store, id(1, counter), None, Op::OpenSession), None);
    }
    assert!(apply(&mut store, id(1, u64::MAX - 1), None, Op::OpenSession).is_some());
}

proptest! {
    #[test]
    fn request_window_is_the_set_of_what_was_executed(
        counters in proptest::collection::vec(
            prop_oneof![0..40_u64, REQUEST_WINDOW - 20..REQUEST_WINDOW + 60], 0..80,
        ),
    ) {
        let (mut store, mut executed, mut newest) = (Store::new(), BTreeSet::new(), 0);
        for counter in counters {
            let expected = counter + REQUEST_WINDOW > newest && executed.insert(counter);
            newest = newest.max(if expected { counter } else { 0 });
            let reply = apply(&mut store, id(1, counter), None, Op::OpenSession);
            prop_assert_eq!(reply.is_some(), expected, "{}", counter);
        }
    }
}

#[test]
fn a_retry_is_answered_like_the_first_attempt_and_not_executed() {
    let mut client = Client::new();
    let session = client.open();
    let first = client.put(session, 1, "1");
    let second = client.put(session, 2, "2");
    assert_eq!(client.put(session, 1, "1"), first);
    assert_eq!(client.put(session, 2, "2"), second);
    assert_eq!(client.store.revision(), 3);
    assert_eq!(&client.store.range(&get("k")).unwrap().kvs[0].value[..], b"2");
}

#[test]
fn a_refusal_is_an_answer_too() {
    let mut client = Client::new();
    let session = client.open();
    let keep = PutRequest { ignore_value: true, ..put("k", "") };
    assert_eq!(client.call(session, 1, Op::Put(keep.clone())), Err(KvError::KeyNotFound));
    client.put(session, 2, "v").unwrap();
    // Executed anew it would succeed now, and the client would hear two answers to one command.
    assert_eq!(client.call(session, 1, Op::Put(keep)), Err(KvError::KeyNotFound));
}

#[test]
fn commands_may_overtake_each_other_within_the_window_and_not_beyond() {
    let mut client = Client::new();
    let session = client.open();
    client.put(session, 0, "never").unwrap_err();
    client.put(session, SESSION_WINDOW, "late").unwrap();
    client.put(session, 1, "first").unwrap();
    client.put(session, SESSION_WINDOW + 1, "later").unwrap();
    assert_eq!(client.put(session, 1, "first"), Err(KvError::SessionSequenceTooOld));
    client.put(session, 2, "second").unwrap();
    assert_eq!(client.store.revision(), 5);
}

#[test]
fn replies_that_are_too_large_to_keep_are_said_to_be_lost() {
    let mut client = Client::new();
    let session = client.open();
    let large = "v".repeat(SESSION_REPLY_BYTES);
    client.put(session, 1, &large).unwrap();
    client.call(session, 2, Op::Range(get("k"))).unwrap();
    assert_eq!(client.call(session, 2, Op::Range(get("k"))), Err(KvError::SessionReplyLost));
    // Three replies that fit one by one, but not together: the oldest goes.
    client.put(session, 3, &"v".repeat(SESSION_REPLY_BYTES / 2)).unwrap();
    for sequence in 4..7 {
        client.call(session, sequence, Op::Range(get("k"))).unwrap();
    }
    assert_eq!(client.call(session, 5, Op::Range(get("k"))), Err(KvError::SessionReplyLost));
    client.call(session, 6, Op::Range(get("k"))).unwrap();
}

#[test]
fn the_session_unused_for_longest_expires_and_is_not_mistaken_for_a_new_one() {
    let mut client = Client::new();
    let (first, second) = (client.open(), client.open());
    client.put(first, 1, "1").unwrap();
    for _ in 2..MAX_SESSIONS {
        client.open();
    }
    client.put(first, 2, "2").unwrap();
    client.put(second, 1, "3").unwrap();
    client.put(first, 1, "1").unwrap();
    client.open();
    client.open();
    // The third was opened before `first` and `second` were last used, so they outlived it.
    assert_eq!(client.put(second + 1, 1, "x"), Err(KvError::SessionExpired));
    client.put(first, 1, "1").unwrap();
    assert_eq!(client.put(u64::MAX, 1, "x"), Err(KvError::SessionExpired));
    assert_eq!(client.store.revision(), 4);
}

#[test]
fn sessions_duplicates_and_no_ops_do_not_move_the_revision() {
    let mut store = store_with(&[("a", "1")]);
    let index = store.applied().next();
    let digest = store.digest();
    assert!(store.apply(&Committed { index, epoch: Epoch(2), proposals: Vec::new() }).is_empty());
    apply(&mut store, id(1, 1), None, Op::OpenSession).unwrap().unwrap();
    assert_eq!(apply(&mut store, id(1, 1), None, Op::OpenSession), None);
    assert_eq!((store.revision(), store.applied().0), (2, 3));
    assert_ne!(store.digest(), digest, "the digest covers the applied index and the sessions");
}

#[test]
#[should_panic(expected = "invariant 1")]
fn a_gap_in_the_order_is_not_executed() {
    let mut store = Store::new();
    store.apply(&Committed { index: crate::consensus::Index(2), epoch: Epoch(1), proposals: Vec::new() });
}
