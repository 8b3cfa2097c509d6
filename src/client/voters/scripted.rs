//! Doubles for tests: a sans-I/O client that follows a script, and replicas that a test plays.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use tokio::sync::{mpsc, watch};

use super::driver::Replicas;
use crate::consensus::toy::{Toy, ToyMessage};
use crate::consensus::{
    Checked, ClientOutput, ClientSetup, Encode, NodeId, Proposal, Protocol, RejectReason, Rejection,
    RequestId, Time, VotingClient,
};
use crate::kv::{KvError, PutResponse, Reply, Response};

/// Two replicas must say the same.
pub(super) const VOTES: usize = 2;
/// From here on, an answer is no reply at all.
pub(super) const GARBLED: u64 = 1_000;
/// From here on, the store refuses.
pub(super) const REFUSED: u64 = 2_000;
/// From here on, the store answers a question of another kind.
pub(super) const MISTAKEN: u64 = 3_000;

/// Asks every member. `Answer { number }` is a vote for the first call that waits, with that number as the revision of a
/// put; `Tell { number }` rejects that call, as never executed if the number is even.
pub(super) struct Scripted {
    setup: ClientSetup,
    waiting: BTreeSet<u64>,
    votes: BTreeMap<u64, BTreeSet<NodeId>>,
    due: Option<Time>,
}

impl Scripted {
    fn id(&self, counter: u64) -> RequestId {
        RequestId { origin: self.setup.id, incarnation: self.setup.incarnation, counter }
    }
}

fn reply_of(number: u64) -> Bytes {
    let reply: Reply = match number {
        ..GARBLED => Ok(Response::Put(PutResponse { revision: number as i64, prev_kv: None })),
        GARBLED..REFUSED => return Bytes::from_static(b"garble"),
        REFUSED..MISTAKEN => Err(KvError::KeyNotFound),
        _ => Ok(Response::Compact(crate::kv::CompactionResponse { revision: 1 })),
    };
    reply.to_bytes()
}

impl VotingClient for Scripted {
    type Protocol = Toy;

    fn new(setup: ClientSetup) -> Self {
        Self { setup, waiting: BTreeSet::new(), votes: BTreeMap::new(), due: None }
    }

    fn checker(&self) -> <Toy as Protocol>::Checker {}

    fn propose(&mut self, now: Time, proposals: Vec<Proposal>, out: &mut ClientOutput<Toy>) {
        for Proposal { id, command, .. } in proposals {
            assert_eq!(id, self.id(id.counter), "a proposal of another life");
            assert!(self.waiting.insert(id.counter), "a number was used twice");
            for member in &self.setup.members {
                out.messages
                    .push((*member, ToyMessage::Ask { number: id.counter, payload: command.clone() }));
            }
        }
        self.due = Some(now + self.setup.retry);
    }

    fn on_message(
        &mut self,
        _now: Time,
        from: NodeId,
        message: Checked<ToyMessage>,
        out: &mut ClientOutput<Toy>,
    ) {
        let Some(&counter) = self.waiting.first() else { return };
        match message.into_inner() {
            ToyMessage::Answer { number } => {
                let votes = self.votes.entry(number).or_default();
                votes.insert(from);
                if votes.len() == VOTES {
                    self.votes.clear();
                    self.waiting.remove(&counter);
                    out.answers.push((self.id(counter), reply_of(number)));
                }
            }
            ToyMessage::Tell { number } => {
                self.waiting.remove(&counter);
                let never_executed = number % 2 == 0;
                let reason = RejectReason::TooManyRequests;
                out.rejected.push((self.id(counter), Rejection { reason, never_executed, leader: None }));
            }
            ToyMessage::Ask { .. } => {}
        }
    }

    fn on_timeout(&mut self, now: Time, out: &mut ClientOutput<Toy>) {
        self.due = (!self.waiting.is_empty()).then(|| now + self.setup.retry);
        for counter in &self.waiting {
            out.messages.push((self.setup.members[0], ToyMessage::ask(*counter)));
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.due
    }
}

/// A checked message.
pub(super) fn checked(message: ToyMessage) -> Checked<ToyMessage> {
    Toy::check(&(), NodeId(1), message).unwrap()
}

/// Replicas of which a test says how many are reached, and sees what they are sent.
pub(super) struct Played {
    pub(super) reached: watch::Receiver<usize>,
    pub(super) sent: mpsc::UnboundedSender<(NodeId, ToyMessage)>,
}

impl Replicas<Toy> for Played {
    fn send(&self, to: NodeId, message: ToyMessage) {
        let _ = self.sent.send((to, message));
    }

    fn reached(&self) -> usize {
        *self.reached.borrow()
    }

    async fn changed(&self) {
        let mut reached = self.reached.clone();
        let before = *reached.borrow_and_update();
        let _ = reached.wait_for(|now| *now != before).await;
    }

    /// At once: the test takes what is sent.
    async fn drained(&self) {}
}
