//! Whose message is next.

use super::*;
use crate::consensus::Protocol as _;
use crate::consensus::toy::{Toy, ToyMessage};

fn checked(from: u64, message: ToyMessage) -> Received<ToyMessage> {
    let from = NodeId(from);
    Received { from, message: Toy::check(&(), from, message).unwrap() }
}

fn of(from: u64, number: u64) -> Received<ToyMessage> {
    checked(from, ToyMessage::Tell { number })
}

fn large(from: u64) -> Received<ToyMessage> {
    checked(from, ToyMessage::Ask { number: 1, payload: vec![0; SENDER_BYTES / 2].into() })
}

fn senders(received: &[Received<ToyMessage>]) -> Vec<u64> {
    received.iter().map(|received| received.from.0).collect()
}

#[tokio::test]
async fn who_sends_little_waits_for_a_few_of_each_other_and_not_for_all() {
    let (mailbox, mut inbox) = inbox(1000);
    for number in 0..1000 {
        mailbox.send(of(1, number)).await.unwrap();
    }
    mailbox.send(of(2, 0)).await.unwrap();
    mailbox.send(of(3, 0)).await.unwrap();
    let mut taken = Vec::new();
    inbox.take(&mut taken, 1000);
    let position = |id| senders(&taken).iter().position(|from| *from == id).unwrap();
    assert_eq!((position(2), position(3)), (AT_A_TIME, AT_A_TIME + 1));
    assert_eq!(taken.len(), OF_ONE + 2, "what comes meanwhile does not wait for the whole queue");
}

#[tokio::test]
async fn messages_of_one_sender_stay_in_order_and_none_is_lost() {
    let (mailbox, mut inbox) = inbox(100);
    for number in 0..100 {
        mailbox.send(of(1 + number % 2, number)).await.unwrap();
    }
    drop(mailbox);
    let mut numbers: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    while let Some(received) = inbox.recv().await {
        numbers.entry(received.from.0).or_default().push(received.message.get().number());
    }
    assert!(numbers.values().all(|numbers| numbers.len() == 50 && numbers.is_sorted()));
}

#[tokio::test]
async fn a_full_line_holds_its_sender_back_and_nobody_else() {
    let (mailbox, mut inbox) = inbox(2);
    mailbox.send(of(1, 0)).await.unwrap();
    mailbox.send(of(1, 1)).await.unwrap();
    let more = tokio::spawn({
        let mailbox = mailbox.clone();
        async move { mailbox.send(of(1, 2)).await }
    });
    tokio::task::yield_now().await;
    mailbox.send(of(2, 0)).await.unwrap();
    assert!(!more.is_finished(), "two of one sender wait already");
    assert_eq!(inbox.recv().await.unwrap().from, NodeId(1));
    more.await.unwrap().unwrap();
    let mut rest = Vec::new();
    inbox.take(&mut rest, 10);
    assert_eq!(rest.len(), 3);
}

#[tokio::test]
async fn a_line_is_bounded_in_bytes_but_for_a_single_message() {
    let (mailbox, mut inbox) = inbox(100);
    mailbox.send(large(1)).await.unwrap();
    let mut more = std::pin::pin!(mailbox.send(large(1)));
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(more.as_mut().poll(cx).is_pending()));
    assert!(waits.await, "the second half would be more than a whole");
    assert!(inbox.try_recv().is_some());
    more.await.unwrap();
}

#[tokio::test]
async fn who_puts_something_in_for_nobody_is_told() {
    let (mailbox, inbox) = inbox(1);
    mailbox.send(of(1, 0)).await.unwrap();
    let mut more = std::pin::pin!(mailbox.send(of(1, 1)));
    let waits = std::future::poll_fn(|cx| std::task::Poll::Ready(more.as_mut().poll(cx).is_pending()));
    assert!(waits.await);
    drop(inbox);
    assert_eq!(more.await, Err(Closed));
}

#[tokio::test]
async fn refused_messages_are_counted_by_sender_and_told_once() {
    let (mailbox, mut inbox) = inbox::<ToyMessage>(1);
    mailbox.refused(NodeId(3));
    mailbox.refused(NodeId(3));
    assert_eq!(inbox.take_refused(), [(NodeId(3), 2)]);
    assert_eq!(inbox.take_refused(), []);
}
