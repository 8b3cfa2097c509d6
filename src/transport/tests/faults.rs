//! Faults on connections that are there already.

use std::time::Duration;

use super::rig::{pair, until};
use crate::consensus::NodeId;
use crate::consensus::toy::ToyMessage;
use crate::transport::{Direction, Effect, Rule};

#[tokio::test]
async fn a_partition_on_one_side_cuts_both_directions_and_heals() {
    let (mut one, mut two, _town) = pair().await;
    one.faults.set_blocked([NodeId(2)]);
    assert_eq!(one.faults.blocked(), [NodeId(2)]);
    one.send(2, ToyMessage::ask(1));
    two.send(1, ToyMessage::ask(2));
    until("both were lost at one", || one.links.counters().dropped_by_fault == 2).await;
    assert_eq!((one.received(), two.received()), (None, None));
    assert_eq!(one.links.connected(), [NodeId(2)], "the connection is still there");
    assert_eq!(one.links.counters().connected, 1);

    one.faults.set_blocked([]);
    one.send(2, ToyMessage::ask(3));
    two.send(1, ToyMessage::ask(4));
    assert_eq!(two.receive().await, (1, ToyMessage::ask(3)));
    assert_eq!(one.receive().await, (2, ToyMessage::ask(4)));
}

#[tokio::test]
async fn a_rule_with_a_direction_cuts_that_way_alone() {
    let (mut one, mut two, _town) = pair().await;
    one.faults.set_rules(vec![Rule {
        peer: Some(NodeId(2)),
        direction: Some(Direction::Out),
        kind: None,
        effect: Effect::Drop(1.0),
    }]);
    one.send(2, ToyMessage::ask(1));
    two.send(1, ToyMessage::ask(2));
    assert_eq!(one.receive().await, (2, ToyMessage::ask(2)));
    until("lost", || one.links.counters().dropped_by_fault == 1).await;
    assert_eq!(two.received(), None);
}

fn of_kind(kind: &str, effect: Effect) -> Rule {
    Rule { peer: None, direction: Some(Direction::In), kind: Some(kind.to_owned()), effect }
}

#[tokio::test]
async fn a_rule_touches_its_kind_alone() {
    let (one, mut two, _town) = pair().await;
    two.faults.set_rules(vec![of_kind("Ask", Effect::Drop(1.0))]);
    one.send(2, ToyMessage::ask(1));
    until("the question is lost", || two.links.counters().dropped_by_fault == 1).await;
    one.send(2, ToyMessage::Tell { number: 2 });
    assert_eq!(two.receive().await, (1, ToyMessage::Tell { number: 2 }));
}

#[tokio::test]
async fn what_is_duplicated_comes_twice() {
    let (one, mut two, _town) = pair().await;
    two.faults.set_rules(vec![of_kind("Ask", Effect::Duplicate(1.0))]);
    one.send(2, ToyMessage::ask(1));
    one.send(2, ToyMessage::ask(2));
    let mut numbers = Vec::new();
    for _ in 0..4 {
        numbers.push(two.receive().await.1.number());
    }
    assert_eq!(numbers, [1, 1, 2, 2]);
}

#[tokio::test]
async fn what_is_delayed_is_overtaken_and_comes_later() {
    let (one, mut two, _town) = pair().await;
    let by = Duration::from_millis(200);
    two.faults.set_rules(vec![of_kind("Ask", Effect::Delay { by, jitter: Duration::ZERO })]);
    let began = tokio::time::Instant::now();
    one.send(2, ToyMessage::ask(1));
    one.send(2, ToyMessage::Tell { number: 2 });
    assert_eq!(two.receive().await, (1, ToyMessage::Tell { number: 2 }));
    assert_eq!(two.receive().await, (1, ToyMessage::ask(1)));
    assert!(began.elapsed() >= by);
}

#[tokio::test]
async fn what_is_reordered_all_arrives() {
    let (one, mut two, _town) = pair().await;
    let effect = Effect::Reorder { probability: 0.5, by: Duration::from_millis(20) };
    two.faults.set_rules(vec![of_kind("Ask", effect)]);
    for number in 0..100 {
        one.send(2, ToyMessage::ask(number));
    }
    let mut numbers = Vec::new();
    for _ in 0..100 {
        numbers.push(two.receive().await.1.number());
    }
    assert!(!numbers.is_sorted(), "none was overtaken");
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..100));
}

#[tokio::test]
async fn a_throttled_link_passes_its_bytes_a_second() {
    let (one, mut two, _town) = pair().await;
    // A message has 9 bytes: one each 10 ms.
    two.faults.set_rules(vec![of_kind("Ask", Effect::Throttle { bytes_per_second: 900 })]);
    let began = tokio::time::Instant::now();
    for number in 0..20 {
        one.send(2, ToyMessage::ask(number));
    }
    for number in 0..20 {
        assert_eq!(two.receive().await, (1, ToyMessage::ask(number)));
    }
    assert!(began.elapsed() >= Duration::from_millis(190));
}

#[tokio::test]
async fn a_partition_loses_what_is_delayed_already() {
    let (one, mut two, _town) = pair().await;
    let by = Duration::from_millis(100);
    two.faults.set_rules(vec![of_kind("Ask", Effect::Delay { by, jitter: Duration::ZERO })]);
    one.send(2, ToyMessage::ask(1));
    until("sent", || one.links.counters().messages_sent == 1).await;
    two.faults.set_blocked([NodeId(1)]);
    until("lost", || two.links.counters().dropped_by_fault == 1).await;
    assert_eq!(two.received(), None);
}
