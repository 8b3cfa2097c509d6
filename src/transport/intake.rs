//! [`Intake`]: how what arrives from one sender gets in.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_stream::{Stream, StreamExt};
use tonic::Status;

use crate::consensus::Protocol;

use super::counters::Counters;
use super::faults::Direction;
use super::filter::{Filtered, Passage};
use super::inbox::{Closed, Mailbox};
use super::links::Received;
use super::wire::{Lane, Wire};

/// Checks what one sender says, on whatever stream it says it, and puts it into the inbox.
pub(super) struct Intake<P: Wire> {
    pub(super) passage: Passage,
    checker: P::Checker,
    inbox: Mailbox<P::Message>,
    /// Held by the stream whose message is being checked: all streams of a sender together get the share of the machine
    /// that one would get, and take turns.
    turn: Mutex<()>,
}

/// After so many messages a stream lets others run, whose messages may have arrived: checking one takes some fifty
/// microseconds.
const CHECKS_IN_A_ROW: u32 = 16;

impl<P: Wire> Intake<P> {
    pub(super) fn new(passage: Passage, checker: P::Checker, inbox: Mailbox<P::Message>) -> Self {
        Self { passage, checker, inbox, turn: Mutex::new(()) }
    }

    pub(super) fn counters(&self) -> &Arc<Counters> {
        &self.passage.counters
    }

    /// Takes what arrives on a stream until it ends, and says why it ended. While the inbox is full nothing is read:
    /// HTTP/2 then holds the sender back.
    pub(super) async fn take_in<S>(&self, arriving: S, lane: Lane) -> Status
    where
        S: Stream<Item = Result<P::Message, Status>> + Unpin,
    {
        let mut arriving = Filtered::new(arriving, self.passage.clone(), Direction::In, lane.number());
        let mut checked = 0;
        loop {
            match arriving.next().await {
                Some(Ok(message)) => {
                    if self.deliver(message).await.is_err() {
                        return Status::unavailable("the replica is stopping");
                    }
                    checked += 1;
                    if checked % CHECKS_IN_A_ROW == 0 {
                        tokio::task::yield_now().await;
                    }
                }
                Some(Err(status)) => return status,
                None => return Status::unavailable("the peer ended the stream"),
            }
        }
    }

    /// Checks a message and puts it into the inbox; an error means that nobody reads the inbox any more.
    async fn deliver(&self, message: P::Message) -> Result<(), Closed> {
        let from = self.passage.peer;
        let _turn = self.turn.lock().await;
        match <P as Protocol>::check(&self.checker, from, message) {
            Ok(message) => self.inbox.send(Received { from, message }).await,
            Err(refused) => {
                self.counters().refused();
                self.inbox.refused(from);
                tracing::debug!(peer = %from, %refused, "message refused");
                Ok(())
            }
        }
    }
}
