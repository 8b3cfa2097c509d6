//! The bounded queue of one lane, from which at most one stream drains.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use tokio_stream::Stream;
use tonic::Status;

use crate::consensus::Message;

use super::counters::Counters;
use super::endpoint::MAX_MESSAGE_BYTES;

/// What a queue holds at most for someone who is connected but reads slowly or not at all. One message is taken whatever
/// its size, as long as it can be received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

/// For a peer: a protocol limits what it has in flight below this; so a full queue means that the peer has stopped
/// reading.
pub(super) const PEER_QUEUE: Bounds = Bounds { messages: 16 * 1024, bytes: MAX_MESSAGE_BYTES };

/// What a lane keeps for a peer that is not connected: enough for the vote request of a cluster that is just starting.
const WAITING_MESSAGES: usize = 16;
const WAITING_BYTES: usize = 1024 * 1024;

/// A lane's queue. Cheap to clone: its clones are one queue.
pub(super) struct Queue<M> {
    inner: Arc<Mutex<Inner<M>>>,
    bounds: Bounds,
    counters: Arc<Counters>,
}

struct Inner<M> {
    messages: VecDeque<M>,
    bytes: usize,
    /// Names the stream that may drain; older ones end.
    generation: u64,
    /// Whether that stream lasts.
    drained: bool,
    /// With what it is to end once it does not.
    verdict: Option<Status>,
    waker: Option<Waker>,
}

impl<M> Clone for Queue<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner), bounds: self.bounds, counters: Arc::clone(&self.counters) }
    }
}

impl<M: Message> Queue<M> {
    pub(super) fn new(counters: Arc<Counters>, bounds: Bounds) -> Self {
        let inner = Inner {
            messages: VecDeque::new(),
            bytes: 0,
            generation: 0,
            drained: false,
            verdict: None,
            waker: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)), bounds, counters }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<M>> {
        self.inner.lock().expect("nothing panics while it holds a queue")
    }

    /// Appends a message, or drops it if the queue is full. Never waits.
    pub(super) fn push(&self, message: M) {
        let mut inner = self.lock();
        let size = message.size();
        let full = inner.messages.len() >= self.bounds.messages
            || (inner.bytes + size > self.bounds.bytes && !inner.messages.is_empty());
        if full || size > MAX_MESSAGE_BYTES {
            self.counters.dropped_by_full_queue();
            return;
        }
        inner.bytes += size;
        inner.messages.push_back(message);
        if !inner.drained {
            self.counters.dropped_unconnected(inner.forget_old());
        }
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Whether nothing waits to leave.
    pub(super) fn is_empty(&self) -> bool {
        self.lock().messages.is_empty()
    }

    /// Opens the queue for a new stream, which ends the older one. The stream lasts as long as its [`Hold`].
    pub(super) fn open(&self) -> (Drain<M>, Hold<M>) {
        let mut inner = self.lock();
        inner.generation += 1;
        inner.drained = true;
        inner.verdict = None;
        let waker = inner.waker.take();
        let generation = inner.generation;
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
        let drain = Drain { queue: self.clone(), generation, ended: false };
        (drain, Hold { queue: self.clone(), generation })
    }

    /// Ends the stream with a status for its other end.
    pub(super) fn close(&self, status: Status) {
        let generation = self.lock().generation;
        self.end(generation, Some(status));
    }

    /// Ends a stream, if it is still the newest.
    fn end(&self, generation: u64, status: Option<Status>) {
        let mut inner = self.lock();
        if inner.generation != generation || !inner.drained {
            return;
        }
        inner.verdict = status;
        inner.drained = false;
        self.counters.dropped_unconnected(inner.forget_old());
        let waker = inner.waker.take();
        drop(inner);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<M: Message> Inner<M> {
    /// Shortens the queue to what is kept for a peer that is not connected; says how many messages went.
    fn forget_old(&mut self) -> u64 {
        let mut forgotten = 0;
        while self.messages.len() > WAITING_MESSAGES
            || (self.bytes > WAITING_BYTES && self.messages.len() > 1)
        {
            self.pop();
            forgotten += 1;
        }
        forgotten
    }

    fn pop(&mut self) -> Option<M> {
        let message = self.messages.pop_front()?;
        self.bytes -= message.size();
        Some(message)
    }
}

/// The stream's other half: when it is dropped, the stream ends.
pub(super) struct Hold<M: Message> {
    queue: Queue<M>,
    generation: u64,
}

impl<M: Message> Hold<M> {
    /// Ends the stream with a status for the peer.
    pub(super) fn end(self, status: Status) {
        self.queue.end(self.generation, Some(status));
    }
}

impl<M: Message> Drop for Hold<M> {
    fn drop(&mut self) {
        self.queue.end(self.generation, None);
    }
}

/// The messages of a queue, as they come.
pub(super) struct Drain<M: Message> {
    queue: Queue<M>,
    generation: u64,
    ended: bool,
}

impl<M: Message> Drain<M> {
    fn finish(&mut self, status: Option<Status>) -> Poll<Option<Result<M, Status>>> {
        self.ended = true;
        Poll::Ready(status.map(Err))
    }
}

impl<M: Message> Stream for Drain<M> {
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.ended {
            return Poll::Ready(None);
        }
        let queue = self.queue.clone();
        let mut inner = queue.lock();
        if inner.generation != self.generation {
            return self.finish(Some(Status::aborted("replaced by a newer stream of the same replica")));
        }
        if !inner.drained {
            return self.finish(inner.verdict.take());
        }
        if let Some(message) = inner.pop() {
            return Poll::Ready(Some(Ok(message)));
        }
        inner.waker = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl<M: Message> Drop for Drain<M> {
    fn drop(&mut self) {
        self.queue.end(self.generation, None);
    }
}
