//! Signatures, repetitions, answers and states that are not right.

use bytes::Bytes;

use super::super::super::check::Checker;
use super::super::super::message::{FetchState, Reply, Status};
use super::*;
use crate::consensus::{Message as _, Time};

/// What an honest replica checks messages with.
fn checker() -> Checker {
    let members = [1, 2, 3, 4].map(NodeId);
    Checker::new(1, &members, keys(2, 4), &Options::default())
}

fn reply(counter: u64) -> Message {
    let results =
        vec![(counter, Some(Bytes::from_static(b"one"))), (counter + 1, Some(Bytes::from_static(b"two")))];
    let body = Reply { view: View(1), client: NodeId(1001), incarnation: 1, results, replica: NodeId(1) };
    Message::Reply(signer(1).sign(body))
}

fn status(view: u64) -> Message {
    let body = Status {
        view: View(view),
        active: true,
        stable: Sequence(8),
        committed: Sequence(9),
        fetching: Sequence::ZERO,
        replica: NodeId(1),
    };
    Message::Status(signer(1).sign(body))
}

#[test]
fn corrupt_signatures_are_refused_and_nothing_else_changes() {
    let (checker, digest) = (checker(), Digest([5; 32]));
    let (mut refused, mut passed) = (0, 0);
    // Not those in which replica 1 is the primary, which does not prepare.
    for view in (1..26).filter(|view| view % 4 != 0) {
        let mut liar = adversary("corrupt-signature", 4);
        liar.is_at(Time::ZERO, View(view));
        for message in [prepare(1, view, digest), commit(1, view, digest), status(view), reply(view)] {
            let [left] = tampered(&mut liar, vec![to(2, message.clone())]).try_into().unwrap();
            if left.message == message {
                passed += 1;
            } else {
                refused += 1;
                assert_eq!(left.message.kind(), message.kind());
                let refused = checker.check(NodeId(1), left.message).unwrap_err();
                assert!(refused.why.contains("signature"), "{}", refused.why);
            }
        }
    }
    assert!(refused > 20 && passed > 5, "{refused} refused, {passed} passed");
}

#[test]
fn old_messages_come_again_as_they_were() {
    let mut liar = adversary("replay", 4);
    let (mut said, mut leaves) = (Vec::new(), Vec::new());
    for number in 0..2000 {
        let message = prepare(2 + number % 3, number + 1, Digest([5; 32]));
        said.push(message.clone());
        liar.overhear(NodeId(2), &message, &mut leaves);
    }
    assert!((400..600).contains(&leaves.len()), "a fourth of 2000: {}", leaves.len());
    assert!(leaves.iter().all(|outgoing| said.contains(&outgoing.message) && outgoing.to != NodeId(1)));
    let view = |outgoing: &Outgoing<Message>| lie::Vote::of(&outgoing.message).unwrap().view.unwrap().0;
    let late = leaves.iter().skip(300).map(view);
    assert!(late.clone().any(|view| view < 500), "some are very old");
    let own = to(3, commit(1, 1, Digest([5; 32])));
    assert_eq!(tampered(&mut liar, vec![own.clone()]), [own]);
}

#[test]
fn a_wrong_reply_is_signed_and_says_something_else() {
    let checker = checker();
    for counter in 1..20 {
        let honest = reply(counter);
        let leaves = tampered(
            &mut adversary("wrong-reply", 4),
            vec![to(1001, honest.clone()), to(1001, honest.clone())],
        );
        assert_eq!(leaves[0].message, leaves[1].message, "it says the same again");
        assert_ne!(leaves[0].message, honest);
        assert!(checker.check(NodeId(1), leaves[0].message.clone()).is_ok());
    }
}

#[test]
fn mutations_are_small_and_some_are_believed() {
    let (checker, digest) = (checker(), Digest([5; 32]));
    let mut liar = adversary("mutate", 4);
    let (mut same, mut believed, mut refused) = (0, 0, 0);
    for view in 1..200 {
        for message in [commit(1, view, digest), checkpoint(1, digest), status(view)] {
            let [left] = tampered(&mut liar, vec![to(2 + view % 3, message.clone())]).try_into().unwrap();
            assert_eq!(left.message.kind(), message.kind());
            if left.message == message {
                same += 1;
            } else if checker.check(NodeId(1), left.message).is_ok() {
                believed += 1;
            } else {
                refused += 1;
            }
        }
    }
    assert!(
        same > 300 && believed > 50 && refused > 10,
        "{same} same, {believed} believed, {refused} refused"
    );
}

#[test]
fn what_others_signed_is_not_mutated() {
    let mut liar = adversary("mutate", 4);
    for view in 1..40 {
        let relayed = to(2, commit(3, view, Digest([5; 32])));
        assert_eq!(tampered(&mut liar, vec![relayed.clone()]), [relayed]);
    }
}

#[test]
fn a_state_is_wrong_endless_late_or_gone() {
    let honest = |sequence| State {
        sequence: Sequence(sequence),
        pieces: 3,
        number: 1,
        data: Some(Bytes::from_static(b"piece")),
    };
    let (mut gone, mut endless, mut late) = (0, 0, 0);
    for sequence in 1..60 {
        let mut liar = adversary("lying-state", 4);
        let leaves = tampered(&mut liar, vec![to(2, Message::State(honest(sequence)))]);
        let Some(Outgoing { message: Message::State(state), .. }) = leaves.first() else {
            let deadline = liar.deadline().expect("what is held back has a time");
            liar.is_at(deadline, View(0));
            let mut released = Vec::new();
            liar.on_time(&mut released);
            assert_eq!(released, [to(2, Message::State(honest(sequence)))]);
            assert_eq!(liar.deadline(), None);
            late += 1;
            continue;
        };
        gone += usize::from(state.data.is_none());
        if state.pieces > 3 {
            endless += 1;
            let mut asides = Vec::new();
            let fetch = FetchState { sequence: Sequence(sequence), number: 777 };
            liar.overhear(NodeId(2), &Message::FetchState(fetch), &mut asides);
            assert!(matches!(
                &asides[..],
                [Outgoing { message: Message::State(State { number: 777, .. }), .. }]
            ));
        }
    }
    assert!(gone > 3 && endless > 3 && late > 3, "{gone} gone, {endless} endless, {late} late");
}

#[test]
fn who_fetches_a_batch_gets_another_one() {
    let batch = batch(&[1, 2]);
    let message = Message::Batch { sequence: Sequence(3), batch: batch.clone() };
    let leaves = tampered(&mut adversary("lying-state", 4), vec![to(2, message)]);
    assert!(matches!(&leaves[0].message, Message::Batch { batch: other, .. } if *other != batch));
}
