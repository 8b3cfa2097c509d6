use std::sync::Arc;

use bytes::Bytes;
use tokio_stream::StreamExt;
use tonic::{Code, Status};

use super::MAX_MESSAGE_BYTES;
use super::counters::Counters;
use super::queue::{PEER_QUEUE, Queue};
use crate::consensus::toy::ToyMessage;

fn queue() -> (Queue<ToyMessage>, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    (Queue::new(Arc::clone(&counters), PEER_QUEUE), counters)
}

fn large(number: u64, bytes: usize) -> ToyMessage {
    ToyMessage::Ask { number, payload: Bytes::from(vec![0; bytes]) }
}

#[tokio::test]
async fn what_waits_for_a_stream_is_little_and_new() {
    let (queue, counters) = queue();
    for number in 0..4 {
        queue.push(large(number, 500_000));
    }
    let (drain, hold) = queue.open();
    drop(hold);
    assert_eq!(drain.collect::<Vec<_>>().await.len(), 0, "the stream has ended");
    let (mut drain, _hold) = queue.open();
    assert_eq!(drain.next().await.unwrap().unwrap().number(), 2);
    assert_eq!(drain.next().await.unwrap().unwrap().number(), 3);
    assert_eq!(counters.read().dropped_unconnected, 2);
}

#[tokio::test]
async fn what_a_broken_stream_left_behind_is_forgotten_but_for_the_newest() {
    let (queue, counters) = queue();
    let (drain, _hold) = queue.open();
    (0..1000).for_each(|number| queue.push(ToyMessage::ask(number)));
    assert_eq!(counters.read().dropped_unconnected, 0);
    drop(drain);
    let (mut drain, _hold) = queue.open();
    assert_eq!(drain.next().await.unwrap().unwrap().number(), 984);
    assert_eq!(counters.read().dropped_unconnected, 984);
}

#[tokio::test]
async fn a_newer_stream_ends_the_older_and_gets_the_messages() {
    let (queue, _) = queue();
    let (mut older, older_hold) = queue.open();
    let waiting = tokio::spawn(async move { older.next().await });
    tokio::task::yield_now().await;
    let (mut newer, _hold) = queue.open();
    assert_eq!(waiting.await.unwrap().unwrap().unwrap_err().code(), Code::Aborted);
    drop(older_hold);
    queue.push(ToyMessage::ask(1));
    assert_eq!(newer.next().await.unwrap().unwrap().number(), 1);
}

#[tokio::test]
async fn a_stream_ends_with_the_status_that_its_hold_gives() {
    let (queue, _) = queue();
    let (mut drain, hold) = queue.open();
    hold.end(Status::invalid_argument("garbage"));
    assert_eq!(drain.next().await.unwrap().unwrap_err().message(), "garbage");
    assert!(drain.next().await.is_none());
}

#[test]
fn bytes_and_messages_are_bounded() {
    let (queue, counters) = queue();
    let (_drain, _hold) = queue.open();
    queue.push(large(0, MAX_MESSAGE_BYTES));
    assert_eq!(counters.read().dropped_by_full_queue, 1, "nobody could receive it");
    (0..20_000).for_each(|number| queue.push(ToyMessage::ask(number)));
    assert_eq!(counters.read().dropped_by_full_queue, 1 + 20_000 - 16 * 1024);
}
