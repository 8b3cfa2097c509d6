//! Clients: what they may open, and what they hear.

use super::rig::{CLIENT, Town, until};
use crate::consensus::NodeId;
use crate::consensus::toy::{FORBIDDEN, Toy, ToyMessage};
use crate::transport::{ClientLinkSetup, ClientLinks, Inbox, inbox};

/// A process that has the key of a client of cluster 7.
struct Process {
    links: ClientLinks<Toy>,
    inbox: Inbox<ToyMessage>,
}

impl Process {
    fn start(town: &Town, me: NodeId) -> Self {
        let (sender, inbox) = inbox(16);
        let members = town.members.iter().map(|(id, address)| (*id, address.to_string())).collect();
        let setup =
            ClientLinkSetup { me, cluster_id: 7, keys: town.keys(me), members, checker: (), inbox: sender };
        Self { links: ClientLinks::open(setup).unwrap(), inbox }
    }

    async fn connected(&self, replicas: &[u64]) {
        until("connected", || self.links.connected().iter().map(|id| id.0).eq(replicas.iter().copied()))
            .await;
    }

    async fn receive(&mut self) -> (u64, ToyMessage) {
        let received = self.inbox.recv().await.unwrap();
        (received.from.0, received.message.into_inner())
    }
}

#[tokio::test]
async fn a_client_asks_every_replica_and_hears_each_answer() {
    let mut town = Town::new(2);
    let (mut one, mut two) = (town.start(1).await, town.start(2).await);
    let mut client = Process::start(&town, CLIENT);
    client.connected(&[1, 2]).await;
    client.links.send(NodeId(1), ToyMessage::ask(FORBIDDEN));
    for replica in [1, 2] {
        client.links.send(NodeId(replica), ToyMessage::ask(replica));
    }
    assert_eq!(one.receive().await, (CLIENT.0, ToyMessage::ask(1)), "what the check refuses is skipped");
    assert_eq!(two.receive().await, (CLIENT.0, ToyMessage::ask(2)));
    one.send(CLIENT.0, ToyMessage::Answer { number: 1 });
    assert_eq!(client.receive().await, (1, ToyMessage::Answer { number: 1 }));
    two.send(CLIENT.0, ToyMessage::Answer { number: 2 });
    assert_eq!(client.receive().await, (2, ToyMessage::Answer { number: 2 }));
}

#[tokio::test]
async fn processes_with_one_key_all_hear_what_is_for_it() {
    let mut town = Town::new(1);
    let one = town.start(1).await;
    let (mut first, mut second) = (Process::start(&town, CLIENT), Process::start(&town, CLIENT));
    first.connected(&[1]).await;
    second.connected(&[1]).await;
    one.send(CLIENT.0, ToyMessage::Answer { number: 5 });
    assert_eq!(first.receive().await, (1, ToyMessage::Answer { number: 5 }));
    assert_eq!(second.receive().await, (1, ToyMessage::Answer { number: 5 }));
    assert_eq!(one.links.connected(), [], "a client is no peer");
}

#[tokio::test]
async fn a_client_that_is_gone_costs_a_count_and_is_found_again() {
    let mut town = Town::new(1);
    let one = town.start(1).await;
    let first = Process::start(&town, CLIENT);
    first.connected(&[1]).await;
    drop(first);
    until("the stream is gone", || {
        one.send(CLIENT.0, ToyMessage::Answer { number: 1 });
        one.links.counters().dropped_unconnected > 0
    })
    .await;
    drop(one);
    let mut second = Process::start(&town, CLIENT);
    let one = town.start(1).await;
    second.connected(&[1]).await;
    one.send(CLIENT.0, ToyMessage::Answer { number: 2 });
    assert_eq!(second.receive().await, (1, ToyMessage::Answer { number: 2 }));
}

#[tokio::test]
async fn one_stream_too_many_ends_the_oldest() {
    let mut town = Town::new(1);
    let _one = town.start(1).await;
    let oldest = Process::start(&town, CLIENT);
    oldest.connected(&[1]).await;
    let mut others = Vec::new();
    for _ in 0..64 {
        let process = Process::start(&town, CLIENT);
        process.connected(&[1]).await;
        others.push(process);
    }
    // The oldest comes again at once, which ends the next.
    until("the oldest was ended and came again", || oldest.links.counters().connected > 1).await;
}

#[tokio::test]
async fn partitions_are_between_members() {
    let mut town = Town::new(2);
    let (mut one, two) = (town.start(1).await, town.start(2).await);
    let client = Process::start(&town, CLIENT);
    client.connected(&[1, 2]).await;
    one.connected_to(&[2]).await;
    two.connected_to(&[1]).await;
    one.faults.set_blocked([NodeId(2), CLIENT]);
    two.send(1, ToyMessage::ask(7));
    client.links.send(NodeId(1), ToyMessage::ask(8));
    assert_eq!(one.receive().await, (CLIENT.0, ToyMessage::ask(8)));
}

#[tokio::test]
async fn without_a_key_nobody_is_a_client() {
    let mut town = Town::new(1);
    let one = town.start(1).await;
    let stranger = Process::start(&town, NodeId(1002));
    until("refused", || one.links.counters().refused > 1).await;
    assert!(stranger.links.connected().is_empty());
    one.send(1002, ToyMessage::Answer { number: 1 });
    assert_eq!(one.links.counters().dropped_unconnected, 1);
}
