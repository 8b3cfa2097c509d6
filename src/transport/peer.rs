//! What a replica holds for one peer, and how a message of that peer gets in.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use crate::consensus::Protocol;

use super::counters::Counters;
use super::faults::Direction;
use super::filter::{Filtered, Passage};
use super::links::Received;
use super::queue::{Drain, Hold, Queue};
use super::wire::{Lane, Wire};

/// One peer: its queues, and what its streams share.
pub(super) struct Peer<P: Wire> {
    pub(super) passage: Passage,
    /// One for each of [`Wire::LANES`], for the streams that this replica opens.
    requests: Vec<Queue<P::Message>>,
    /// Likewise for the streams that the peer opens.
    responses: Vec<Queue<P::Message>>,
    /// The peer was heard of: try again now.
    pub(super) hint: Notify,
    /// How many of the streams that this replica opened are up.
    open_lanes: AtomicUsize,
    checker: P::Checker,
    inbox: mpsc::Sender<Received<P::Message>>,
}

/// The messages that leave on one stream.
pub(super) type Leaving<M> = Filtered<Drain<M>, M>;

impl<P: Wire> Peer<P> {
    pub(super) fn new(
        passage: Passage,
        checker: P::Checker,
        inbox: mpsc::Sender<Received<P::Message>>,
    ) -> Self {
        let queues = || P::LANES.iter().map(|_| Queue::new(Arc::clone(&passage.counters))).collect();
        Self {
            requests: queues(),
            responses: queues(),
            hint: Notify::new(),
            open_lanes: AtomicUsize::new(0),
            checker,
            inbox,
            passage,
        }
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.passage.counters
    }

    fn queue(&self, lane: Lane) -> &Queue<P::Message> {
        match lane {
            Lane::Request(number) => &self.requests[number],
            Lane::Response(number) => &self.responses[number],
        }
    }

    pub(super) fn send(&self, message: P::Message) {
        self.queue(P::lane(&message)).push(message);
    }

    /// Opens the leaving half of a stream; it lasts as long as the [`Hold`], and ends an older one.
    pub(super) fn open(&self, lane: Lane) -> (Leaving<P::Message>, Hold<P::Message>) {
        let (drain, hold) = self.queue(lane).open();
        (Filtered::new(drain, self.passage.clone(), Direction::Out, lane.number()), hold)
    }

    /// Whether all streams that this replica opens are up.
    pub(super) fn is_connected(&self) -> bool {
        self.open_lanes.load(Ordering::Acquire) == P::LANES.len()
    }

    /// Counts a stream as up until the guard is dropped.
    pub(super) fn up(&self) -> Up<'_> {
        self.open_lanes.fetch_add(1, Ordering::AcqRel);
        Up(&self.open_lanes)
    }

    /// Takes what arrives on a stream until it ends, and says why it ended. While the inbox is full nothing is read:
    /// HTTP/2 then holds the peer back.
    pub(super) async fn take_in<S>(&self, arriving: S, lane: Lane) -> Status
    where
        S: Stream<Item = Result<P::Message, Status>> + Unpin,
    {
        let mut arriving = Filtered::new(arriving, self.passage.clone(), Direction::In, lane.number());
        loop {
            match arriving.next().await {
                Some(Ok(message)) => {
                    if self.deliver(message).await.is_err() {
                        return Status::unavailable("the replica is stopping");
                    }
                }
                Some(Err(status)) => return status,
                None => return Status::unavailable("the peer ended the stream"),
            }
        }
    }

    /// Checks a message and puts it into the inbox; an error means that nobody reads the inbox any more.
    async fn deliver(&self, message: P::Message) -> Result<(), Stopping> {
        let from = self.passage.peer;
        match <P as Protocol>::check(&self.checker, from, message) {
            Ok(message) => self.inbox.send(Received { from, message }).await.map_err(|_| Stopping),
            Err(refused) => {
                self.counters().refused();
                tracing::debug!(peer = %from, %refused, "message refused");
                Ok(())
            }
        }
    }
}

/// Nobody reads the inbox any more.
struct Stopping;

/// A stream that is up.
pub(super) struct Up<'a>(&'a AtomicUsize);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
