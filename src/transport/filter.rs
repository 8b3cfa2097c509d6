//! [`Filtered`]: the gate and the faults on one stream, leaving or arriving.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::time::{Instant, Sleep};
use tokio_stream::Stream;
use tonic::Status;

use crate::consensus::{Message, NodeId};

use super::counters::Counters;
use super::faults::{Dice, Direction, Letter, LinkFaults};
use super::life::Life;

/// How many delayed messages a stream holds; then it takes no more until one is due, and the queue before it fills.
const LATE_MESSAGES: usize = 4096;
/// How many bytes of them, likewise.
const LATE_BYTES: usize = 64 * 1024 * 1024;

/// What all streams of one peer share.
#[derive(Clone)]
pub(super) struct Passage {
    pub(super) peer: NodeId,
    pub(super) life: Life,
    pub(super) faults: LinkFaults,
    pub(super) counters: Arc<Counters>,
}

/// The messages of a stream that the faults let through, when they let them through.
pub(super) struct Filtered<S, M> {
    inner: S,
    passage: Passage,
    direction: Direction,
    dice: Dice,
    late: Late<M>,
    /// Set while the gate is paused.
    paused: Option<Pin<Box<dyn Future<Output = bool> + Send>>>,
}

/// Its messages are never pinned.
impl<S: Unpin, M> Unpin for Filtered<S, M> {}

impl<S, M> Filtered<S, M> {
    /// Filters `inner`; `lane` makes its dice differ from those of the peer's other streams.
    pub(super) fn new(inner: S, passage: Passage, direction: Direction, lane: usize) -> Self {
        let stream = passage.peer.0 << 8 | (lane as u64) << 1 | u64::from(direction == Direction::In);
        let mut rng = ChaCha8Rng::seed_from_u64(passage.faults.seed());
        rng.set_stream(stream);
        let dice = Dice { rng, free_at: None };
        Self { inner, passage, direction, dice, late: Late::default(), paused: None }
    }

    /// Ready when the gate is open, with whether the stream goes on.
    fn poll_gate(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.paused.is_some() || self.passage.life.is_paused() {
            let life = self.passage.life.clone();
            let paused = self.paused.get_or_insert_with(|| Box::pin(async move { life.passed().await }));
            let goes_on = ready!(paused.as_mut().poll(cx));
            self.paused = None;
            if !goes_on {
                return Poll::Ready(false);
            }
        }
        Poll::Ready(true)
    }
}

impl<S, M: Message> Filtered<S, M> {
    fn count(&self, message: &M) {
        match self.direction {
            Direction::Out => self.passage.counters.sent(message.size()),
            Direction::In => self.passage.counters.received(message.size()),
        }
    }

    /// Measures a message against the faults: it is lost, or comes back from [`Late`] when it is due.
    fn judge(&mut self, message: M, now: Instant) {
        let size = message.size();
        let letter =
            Letter { peer: self.passage.peer, direction: self.direction, kind: message.kind(), size };
        let fate = self.passage.faults.fate(letter, now, &mut self.dice);
        if fate.copies == 0 {
            self.passage.counters.dropped_by_fault();
            return;
        }
        for _ in 1..fate.copies {
            self.late.push(fate.at, message.clone());
        }
        self.late.push(fate.at, message);
    }

    /// The next message that was held back and is due, unless its peer was cut off meanwhile.
    fn next_due(&mut self) -> Option<M> {
        while let Some(message) = self.late.pop_due() {
            if !self.passage.faults.is_blocked(self.passage.peer) {
                return Some(message);
            }
            self.passage.counters.dropped_by_fault();
        }
        None
    }
}

impl<S, M> Stream for Filtered<S, M>
where
    S: Stream<Item = Result<M, Status>> + Unpin,
    M: Message,
{
    type Item = Result<M, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if !ready!(this.poll_gate(cx)) {
                return Poll::Ready(Some(Err(Status::unavailable("the replica has stopped"))));
            }
            if let Some(message) = this.next_due() {
                this.count(&message);
                return Poll::Ready(Some(Ok(message)));
            }
            if this.late.is_full() {
                ready!(this.late.poll_due(cx));
                continue;
            }
            match Pin::new(&mut this.inner).poll_next(cx) {
                Poll::Ready(Some(Ok(message))) if this.passage.faults.are_clear() => {
                    this.count(&message);
                    return Poll::Ready(Some(Ok(message)));
                }
                Poll::Ready(Some(Ok(message))) => this.judge(message, Instant::now()),
                Poll::Ready(end) => return Poll::Ready(end),
                Poll::Pending => ready!(this.late.poll_due(cx)),
            }
        }
    }
}

/// Messages that are held back, by when they are due and in the order in which they came.
struct Late<M> {
    messages: BTreeMap<(Instant, u64), M>,
    bytes: usize,
    pushed: u64,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<M> Default for Late<M> {
    fn default() -> Self {
        Self { messages: BTreeMap::new(), bytes: 0, pushed: 0, alarm: None }
    }
}

impl<M: Message> Late<M> {
    fn push(&mut self, at: Instant, message: M) {
        self.bytes += message.size();
        self.pushed += 1;
        self.messages.insert((at, self.pushed), message);
    }

    fn pop_due(&mut self) -> Option<M> {
        let first = self.messages.first_entry()?;
        if first.key().0 > Instant::now() {
            return None;
        }
        let message = first.remove();
        self.bytes -= message.size();
        Some(message)
    }

    fn is_full(&self) -> bool {
        self.messages.len() >= LATE_MESSAGES || self.bytes >= LATE_BYTES
    }

    /// Ready when the first message is due; pending for ever without one.
    fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(((at, _), _)) = self.messages.first_key_value() else { return Poll::Pending };
        let alarm = match &mut self.alarm {
            Some(alarm) => {
                if alarm.deadline() != *at {
                    alarm.as_mut().reset(*at);
                }
                alarm
            }
            unset => unset.insert(Box::pin(tokio::time::sleep_until(*at))),
        };
        alarm.as_mut().poll(cx)
    }
}
