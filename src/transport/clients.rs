//! [`Clients`]: a replica's end of the streams that clients open.
//!
//! A client is no peer: nobody calls it, and it comes and goes. What it is to be told leaves on the streams that it has
//! open now. Several processes may share a client's key, and the replica cannot tell them apart: each hears everything
//! that is for the client, and knows by the requests' ids what is its own.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::task::AbortHandle;
use tonic::{Status, Streaming};

use crate::consensus::NodeId;

use super::counters::Counters;
use super::faults::{Direction, LinkFaults};
use super::filter::{Filtered, Passage};
use super::inbox::Mailbox;
use super::intake::Intake;
use super::life::Life;
use super::peer::Leaving;
use super::queue::{Bounds, Queue};
use super::wire::{Lane, Wire};

/// How many streams of one lane a client may have open: more than processes share a key. One more ends the oldest.
const CLIENT_STREAMS: usize = 64;

/// What a stream holds for a client that reads slowly or not at all: a window of answers. A client that stopped reading
/// asks again. A single answer may be larger; what streams of one client hold of it they share.
const CLIENT_QUEUE: Bounds = Bounds { messages: 4096, bytes: 4 * 1024 * 1024 };

/// All clients that have a key, and their streams.
pub(super) struct Clients<P: Wire> {
    intakes: BTreeMap<NodeId, Arc<Intake<P>>>,
    streams: Mutex<Streams<P::Message>>,
    counters: Arc<Counters>,
}

struct Streams<M> {
    /// How many were ever opened.
    opened: u64,
    /// By client, lane, and which one it is: the oldest first.
    open: BTreeMap<(NodeId, usize, u64), OpenStream<M>>,
}

struct OpenStream<M> {
    queue: Queue<M>,
    reader: AbortHandle,
}

impl<P: Wire> Clients<P> {
    /// Knows `ids`. What they send is checked by `checker` and put into `inbox`. The faults on links are between members:
    /// clients see none of them.
    pub(super) fn new(
        ids: BTreeSet<NodeId>,
        life: &Life,
        counters: &Arc<Counters>,
        checker: &P::Checker,
        inbox: &Mailbox<P::Message>,
    ) -> Self {
        let intake = |id| {
            let (life, faults, counters) = (life.clone(), LinkFaults::default(), Arc::clone(counters));
            let passage = Passage { peer: id, life, faults, counters };
            (id, Arc::new(Intake::new(passage, checker.clone(), inbox.clone())))
        };
        let streams = Streams { opened: 0, open: BTreeMap::new() };
        Self {
            intakes: ids.into_iter().map(intake).collect(),
            streams: Mutex::new(streams),
            counters: Arc::clone(counters),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Streams<P::Message>> {
        self.streams.lock().expect("nothing panics while it holds the streams of clients")
    }

    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.intakes.is_empty()
    }

    /// Whether this is one.
    pub(super) fn knows(&self, id: NodeId) -> bool {
        self.intakes.contains_key(&id)
    }

    /// Sends a message on every stream of its lane that the client has open, or drops it if there is none.
    pub(super) fn send(&self, to: NodeId, message: &P::Message) {
        let Lane::Response(lane) = P::lane(message) else { return self.counters.dropped_unconnected(1) };
        let streams = self.lock();
        let mut sent = false;
        for (_, stream) in streams.open.range((to, lane, 0)..=(to, lane, u64::MAX)) {
            stream.queue.push(message.clone());
            sent = true;
        }
        if !sent {
            self.counters.dropped_unconnected(1);
        }
    }

    /// Takes a stream of a client that is known: a task reads what arrives, and what leaves is returned.
    pub(super) fn accept(
        self: &Arc<Self>,
        client: NodeId,
        lane: usize,
        arriving: Streaming<P::Message>,
    ) -> Leaving<P::Message> {
        let intake = Arc::clone(&self.intakes[&client]);
        let queue = Queue::new(Arc::clone(&self.counters), CLIENT_QUEUE);
        let (drain, hold) = queue.open();
        let leaving = Filtered::new(drain, intake.passage.clone(), Direction::Out, lane);
        let mut streams = self.lock();
        streams.opened += 1;
        let key = (client, lane, streams.opened);
        let clients = Arc::clone(self);
        let task = tokio::spawn(async move {
            let why = intake.take_in(arriving, Lane::Request(lane)).await;
            tracing::debug!(%client, rpc = P::LANES[lane], reason = why.message(), "a client's stream ended");
            hold.end(why);
            clients.lock().open.remove(&key);
        });
        streams.open.insert(key, OpenStream { queue, reader: task.abort_handle() });
        streams.end_oldest(client, lane);
        leaving
    }

    /// Ends all streams.
    pub(super) fn close(&self) {
        for stream in std::mem::take(&mut self.lock().open).into_values() {
            stream.reader.abort();
        }
    }
}

impl<M: crate::consensus::Message> Streams<M> {
    /// Ends the oldest stream of a client's lane if there is one too many.
    fn end_oldest(&mut self, client: NodeId, lane: usize) {
        let mut keys = self.open.range((client, lane, 0)..=(client, lane, u64::MAX)).map(|(key, _)| *key);
        let oldest = keys.next();
        if keys.count() < CLIENT_STREAMS {
            return;
        }
        if let Some(oldest) = oldest.and_then(|oldest| self.open.remove(&oldest)) {
            oldest.queue.close(Status::resource_exhausted(format!(
                "a client has at most {CLIENT_STREAMS} streams of an RPC: a newer one took this one's place"
            )));
            oldest.reader.abort();
        }
    }
}
