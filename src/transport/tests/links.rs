//! Delivery, reconnection, bounds, and the gate.

use bytes::Bytes;
use tokio::net::TcpListener;

use super::rig::{Replica, Town, pair, until};
use crate::consensus::toy::ToyMessage;
use crate::consensus::{Keys, NodeId};

#[tokio::test]
async fn requests_and_responses_arrive_in_order_both_ways() {
    let (mut one, mut two, _town) = pair().await;
    for number in 0..100 {
        one.send(2, ToyMessage::ask(number));
    }
    for number in 0..100 {
        assert_eq!(two.receive().await, (1, ToyMessage::ask(number)));
        two.send(1, ToyMessage::Answer { number });
    }
    for number in 0..100 {
        assert_eq!(one.receive().await, (2, ToyMessage::Answer { number }));
    }
    two.send(1, ToyMessage::Tell { number: 1 });
    assert_eq!(one.receive().await, (2, ToyMessage::Tell { number: 1 }));
    let (sent, received) = (one.links.counters(), two.links.counters());
    assert_eq!((sent.messages_sent, sent.bytes_sent), (100, 900));
    assert_eq!((received.messages_received, received.bytes_received), (100, 900));
}

#[tokio::test]
async fn what_is_sent_before_a_peer_is_up_waits_for_it_and_only_the_newest_of_it() {
    let mut town = Town::new(2);
    let one = town.start(1).await;
    for number in 0..100 {
        one.send(2, ToyMessage::Tell { number });
    }
    let mut two = town.start(2).await;
    assert_eq!(two.receive().await, (1, ToyMessage::Tell { number: 84 }));
    assert_eq!(one.links.counters().dropped_unconnected, 84);
}

#[tokio::test]
async fn a_peer_that_restarts_on_its_port_is_found_again() {
    let (one, two, mut town) = pair().await;
    drop(two);
    until("one notices", || one.links.connected().is_empty()).await;
    let mut two = town.start(2).await;
    two.connected_to(&[1]).await;
    one.connected_to(&[2]).await;
    one.send(2, ToyMessage::ask(1));
    assert_eq!(two.receive().await, (1, ToyMessage::ask(1)));
}

#[tokio::test]
async fn dropping_links_ends_the_streams_that_peers_opened() {
    let mut town = Town::new(3);
    let (one, two, three) = (town.start(1).await, town.start(2).await, town.start(3).await);
    for (replica, peers) in [(&one, [2, 3]), (&two, [1, 3]), (&three, [1, 2])] {
        replica.connected_to(&peers).await;
    }
    drop(three);
    one.connected_to(&[2]).await;
    two.connected_to(&[1]).await;
}

#[tokio::test]
async fn a_node_that_is_dropped_while_it_is_paused_lets_go_of_its_connections() {
    let (one, two, _town) = pair().await;
    two.gate.pause();
    let gate = two.gate.clone();
    drop(two);
    until("one notices", || one.links.connected().is_empty()).await;
    assert!(gate.is_paused());
}

#[tokio::test]
async fn a_peer_that_stopped_reading_costs_bounded_memory_and_no_time() {
    const MESSAGES: u64 = 40_000;
    let (one, mut two, _town) = pair().await;
    two.gate.pause();
    let payload = Bytes::from(vec![7; 16 * 1024]);
    for number in 0..MESSAGES {
        one.send(2, ToyMessage::Ask { number, payload: payload.clone() });
        if number % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let dropped = one.links.counters().dropped_by_full_queue;
    assert!(dropped > MESSAGES / 2, "only {dropped} of {MESSAGES} were dropped");

    two.gate.resume();
    let mut last = None;
    for _ in 0..MESSAGES - dropped {
        let (_, message) = two.receive().await;
        assert!(last < Some(message.number()), "out of order");
        last = Some(message.number());
    }
    assert_eq!(two.received(), None);
}

#[tokio::test]
async fn a_full_inbox_holds_the_peer_back_and_loses_nothing() {
    let two = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let one = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peers = vec![
        (NodeId(1), one.local_addr().unwrap().to_string()),
        (NodeId(2), two.local_addr().unwrap().to_string()),
    ];
    let one = Replica::start((NodeId(1), Keys::default()), 7, peers.clone(), one, 1);
    let mut two = Replica::start((NodeId(2), Keys::default()), 7, peers, two, 1);
    one.connected_to(&[2]).await;
    for number in 0..5_000 {
        one.send(2, ToyMessage::ask(number));
    }
    for number in 0..5_000 {
        assert_eq!(two.receive().await, (1, ToyMessage::ask(number)));
    }
}

#[tokio::test]
async fn a_paused_node_neither_reads_nor_sends_and_then_goes_on() {
    let (mut one, mut two, _town) = pair().await;
    two.gate.pause();
    one.send(2, ToyMessage::ask(1));
    two.send(1, ToyMessage::Tell { number: 2 });
    until("one has sent", || one.links.counters().messages_sent == 1).await;
    assert_eq!(two.links.counters().messages_received, 0);
    assert_eq!(two.links.counters().messages_sent, 0);
    assert_eq!(one.links.connected(), [NodeId(2)], "connections stay open");

    two.gate.resume();
    assert_eq!(two.receive().await, (1, ToyMessage::ask(1)));
    assert_eq!(one.receive().await, (2, ToyMessage::Tell { number: 2 }));
}

#[tokio::test]
async fn a_paused_node_answers_no_new_stream() {
    let mut town = Town::new(2);
    let two = town.start(2).await;
    two.gate.pause();
    let one = town.start(1).await;
    until("one reached the port", || one.links.counters().connected == 1).await;
    assert!(one.links.connected().is_empty());
    two.gate.resume();
    one.connected_to(&[2]).await;
}
