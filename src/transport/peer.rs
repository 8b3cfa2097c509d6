//! What a replica holds for one peer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;

use super::counters::Counters;
use super::faults::Direction;
use super::filter::{Filtered, Passage};
use super::inbox::Mailbox;
use super::intake::Intake;
use super::queue::{Drain, Hold, PEER_QUEUE, Queue};
use super::refusals::Refusals;
use super::wire::{Lane, Wire};

/// One peer: its queues, and what its streams share.
pub(super) struct Peer<P: Wire> {
    pub(super) intake: Intake<P>,
    /// The lanes that this side opens.
    pub(super) lanes: Vec<usize>,
    /// One for each of [`Wire::LANES`], for the streams that this replica opens.
    requests: Vec<Queue<P::Message>>,
    /// Likewise for the streams that the peer opens.
    responses: Vec<Queue<P::Message>>,
    /// The peer was heard of: try again now.
    pub(super) hint: Notify,
    /// How many of the streams that this replica opened are up.
    open_lanes: AtomicUsize,
    pub(super) refusals: Arc<Refusals>,
}

/// The messages that leave on one stream.
pub(super) type Leaving<M> = Filtered<Drain<M>, M>;

impl<P: Wire> Peer<P> {
    pub(super) fn new(
        passage: Passage,
        lanes: Vec<usize>,
        checker: P::Checker,
        inbox: Mailbox<P::Message>,
        refusals: Arc<Refusals>,
    ) -> Self {
        let queues =
            || P::LANES.iter().map(|_| Queue::new(Arc::clone(&passage.counters), PEER_QUEUE)).collect();
        Self {
            requests: queues(),
            responses: queues(),
            hint: Notify::new(),
            open_lanes: AtomicUsize::new(0),
            refusals,
            lanes,
            intake: Intake::new(passage, checker, inbox),
        }
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        self.intake.counters()
    }

    pub(super) fn passage(&self) -> &Passage {
        &self.intake.passage
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

    /// Whether something waits to leave on a stream that is up.
    pub(super) fn is_sending(&self) -> bool {
        self.is_connected() && self.requests.iter().any(|queue| !queue.is_empty())
    }

    /// Opens the leaving half of a stream; it lasts as long as the [`Hold`], and ends an older one.
    pub(super) fn open(&self, lane: Lane) -> (Leaving<P::Message>, Hold<P::Message>) {
        let (drain, hold) = self.queue(lane).open();
        (Filtered::new(drain, self.passage().clone(), Direction::Out, lane.number()), hold)
    }

    /// Whether all streams that this replica opens are up.
    pub(super) fn is_connected(&self) -> bool {
        self.open_lanes.load(Ordering::Acquire) == self.lanes.len()
    }

    /// Counts a stream as up until the guard is dropped.
    pub(super) fn up(&self) -> Up<'_> {
        self.open_lanes.fetch_add(1, Ordering::AcqRel);
        Up(&self.open_lanes)
    }
}

/// A stream that is up.
pub(super) struct Up<'a>(&'a AtomicUsize);

impl Drop for Up<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
