//! What has arrived and was not handled yet: a queue for each sender, emptied in turns.
//!
//! A single queue for all belongs to whoever fills it fastest: behind a thousand messages of a replica that floods, the
//! others' votes would wait. So each sender has its own, with a limit of its own, and the reader takes a few of each in
//! turn. While a sender's queue is full its streams are not read, and HTTP/2 holds that sender back, nobody else.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::consensus::{Message, NodeId};

use super::endpoint::MAX_MESSAGE_BYTES;
use super::links::Received;

/// Bytes that wait of one sender, unless a single message has more: what its queue at the other end holds at most.
const SENDER_BYTES: usize = MAX_MESSAGE_BYTES;

/// How many messages of one sender are taken at a time, before the next one's turn: a slot's votes and what comes with
/// them, so that a sender whose queue is full keeps the others waiting for no more than this.
const AT_A_TIME: usize = 16;

/// How many messages of one sender one call of [`Inbox::recv_many`] takes: what they cost to handle keeps those waiting
/// who arrive meanwhile.
const OF_ONE: usize = 128;

/// Makes an inbox. `messages` of each sender may wait in it.
pub fn inbox<M: Message>(messages: usize) -> (Mailbox<M>, Inbox<M>) {
    let state = State { lines: BTreeMap::new(), turns: VecDeque::new(), mailboxes: 1, closed: false };
    let shared = Arc::new(Shared { state: Mutex::new(state), arrived: Notify::new(), messages });
    (Mailbox(Arc::clone(&shared)), Inbox(shared))
}

/// Where messages are put. Cheap to clone; when the last is dropped the inbox ends.
#[derive(Debug)]
pub struct Mailbox<M>(Arc<Shared<M>>);

/// Where they are taken.
#[derive(Debug)]
pub struct Inbox<M>(Arc<Shared<M>>);

/// Nobody reads the inbox any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed;

#[derive(Debug)]
struct Shared<M> {
    state: Mutex<State<M>>,
    arrived: Notify,
    messages: usize,
}

#[derive(Debug)]
struct State<M> {
    /// One for each who ever sent something: members and clients with keys, so few.
    lines: BTreeMap<NodeId, Line<M>>,
    /// Those whose line is not empty, the next one first.
    turns: VecDeque<NodeId>,
    mailboxes: usize,
    closed: bool,
}

/// What one sender sent.
#[derive(Debug)]
struct Line<M> {
    waiting: VecDeque<Received<M>>,
    bytes: usize,
    /// Refused messages that nobody was told of.
    refused: u64,
    room: Arc<Notify>,
}

impl<M> Default for Line<M> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), bytes: 0, refused: 0, room: Arc::default() }
    }
}

impl<M> Shared<M> {
    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().expect("nothing panics while it holds an inbox")
    }
}

impl<M> Clone for Mailbox<M> {
    fn clone(&self) -> Self {
        self.0.lock().mailboxes += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<M> Drop for Mailbox<M> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.mailboxes -= 1;
        if state.mailboxes == 0 {
            self.0.arrived.notify_one();
        }
    }
}

impl<M> Drop for Inbox<M> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closed = true;
        state.lines.values().for_each(|line| line.room.notify_waiters());
    }
}

impl<M: Message> Mailbox<M> {
    /// Puts a message into its sender's line; waits as long as that is full.
    ///
    /// # Errors
    ///
    /// Nobody reads the inbox any more.
    pub async fn send(&self, received: Received<M>) -> Result<(), Closed> {
        let mut received = Some(received);
        loop {
            let room = match self.try_send(&mut received) {
                Ok(()) => return Ok(()),
                Err(Full::Closed) => return Err(Closed),
                Err(Full::For(room)) => room,
            };
            let mut freed = std::pin::pin!(room.notified());
            freed.as_mut().enable();
            // Room may have come before this task was to be told of it.
            match self.try_send(&mut received) {
                Ok(()) => return Ok(()),
                Err(Full::Closed) => return Err(Closed),
                Err(Full::For(_)) => freed.await,
            }
        }
    }

    fn try_send(&self, received: &mut Option<Received<M>>) -> Result<(), Full> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(Full::Closed);
        }
        let Some(message) = received.take() else { return Ok(()) };
        let (from, size) = (message.from, message.message.get().size());
        let line = state.lines.entry(from).or_default();
        let full = line.waiting.len() >= self.0.messages || line.bytes + size > SENDER_BYTES;
        if full && !line.waiting.is_empty() {
            *received = Some(message);
            return Err(Full::For(Arc::clone(&line.room)));
        }
        line.bytes += size;
        line.waiting.push_back(message);
        if line.waiting.len() == 1 {
            state.turns.push_back(from);
        }
        drop(state);
        self.0.arrived.notify_one();
        Ok(())
    }

    /// A message of this sender was refused: whoever reads the inbox is told how many.
    pub(super) fn refused(&self, from: NodeId) {
        let mut state = self.0.lock();
        let line = state.lines.entry(from).or_default();
        line.refused = line.refused.saturating_add(1);
    }
}

/// Why a message was not taken.
enum Full {
    For(Arc<Notify>),
    Closed,
}

impl<M: Message> Inbox<M> {
    /// Takes messages, up to `limit`, from all who sent some in turn, and waits until there is one. Returns how many: none
    /// when there will be no more.
    pub async fn recv_many(&mut self, into: &mut Vec<Received<M>>, limit: usize) -> usize {
        loop {
            let count = self.take(into, limit);
            if count > 0 || self.is_ended() {
                return count;
            }
            self.0.arrived.notified().await;
        }
    }

    /// Takes the next message, and waits until there is one; `None` when there will be no more.
    pub async fn recv(&mut self) -> Option<Received<M>> {
        let mut one = Vec::with_capacity(1);
        self.recv_many(&mut one, 1).await;
        one.pop()
    }

    /// Takes a message that is here already.
    pub fn try_recv(&mut self) -> Option<Received<M>> {
        let mut one = Vec::with_capacity(1);
        self.take(&mut one, 1);
        one.pop()
    }

    /// Takes what is here already, up to `limit` and `OF_ONE` of each sender.
    pub fn take(&mut self, into: &mut Vec<Received<M>>, limit: usize) -> usize {
        let mut state = self.0.lock();
        let State { lines, turns, .. } = &mut *state;
        let mut taken: BTreeMap<NodeId, usize> = BTreeMap::new();
        let (before, mut passed) = (into.len(), 0);
        while into.len() - before < limit && passed < turns.len() {
            let Some(from) = turns.pop_front() else { break };
            let Some(line) = lines.get_mut(&from) else { continue };
            let of_one = taken.entry(from).or_default();
            let count = AT_A_TIME.min(limit - (into.len() - before)).min(OF_ONE - *of_one);
            *of_one += count;
            passed = if count == 0 { passed + 1 } else { 0 };
            for received in line.waiting.drain(..count.min(line.waiting.len())) {
                line.bytes -= received.message.get().size();
                into.push(received);
            }
            line.room.notify_waiters();
            if !line.waiting.is_empty() {
                turns.push_back(from);
            }
        }
        into.len() - before
    }

    /// How many messages of whom were refused since this was asked last.
    pub fn take_refused(&mut self) -> Vec<(NodeId, u64)> {
        let mut state = self.0.lock();
        let refused = |(id, line): (&NodeId, &mut Line<M>)| (*id, std::mem::take(&mut line.refused));
        state.lines.iter_mut().map(refused).filter(|(_, count)| *count > 0).collect()
    }

    fn is_ended(&self) -> bool {
        let state = self.0.lock();
        state.mailboxes == 0 && state.turns.is_empty()
    }
}

#[cfg(test)]
#[path = "inbox_tests.rs"]
mod tests;
