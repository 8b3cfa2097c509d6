//! Clients' requests: taking them in, timing them, and answering (TOCS §4.2).
//!
//! A request that arrives is looked up in the store first ([`Output::recall`](crate::consensus::Output::recall)): one that
//! was executed is answered as it was then, whoever lost the answer. What was not executed waits here until it is. A
//! backup passes it on to the primary and times it *by itself*: progress with other requests does not help a primary that
//! ignores this one (Aardvark, NSDI'09).

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::message::{Message, Reply, Request, Signed};
use super::replica::{Out, Replica};
use crate::consensus::{
    Checked, ClientOutput, Digest, Event, Index, NodeId, Outcome, Pressure, Proposal, ReadId, Recall,
    RejectReason, Rejection, RequestId, Time, VotingClient as _,
};

/// Requests that the store is asked about at once: more than that are not taken in. They come again.
const MAX_RECALLS: usize = 4096;

/// Bytes of results in one REPLY, unless a single one is larger.
const REPLY_BYTES: usize = 1 << 20;

/// Requests that the store is being asked about.
#[derive(Debug, Default)]
pub(super) struct Recalls {
    asked: BTreeMap<Digest, Signed<Request>>,
}

impl Replica {
    /// Callers of this node want commands ordered: its client asks for them.
    pub(super) fn on_propose(&mut self, proposals: Vec<Proposal>, out: &mut Out) {
        let reason = match self.disk.pressure {
            Pressure::Ok => {
                let mut wanted = ClientOutput::default();
                self.client.propose(self.now, proposals, &mut wanted);
                return self.carry_out(wanted, out);
            }
            Pressure::Slow => RejectReason::StorageSlow,
            Pressure::Full => RejectReason::StorageFull,
        };
        let rejection = Rejection { reason, never_executed: true, leader: Some(self.primary()) };
        out.rejected.extend(proposals.into_iter().map(|proposal| (proposal.id, rejection.clone())));
    }

    /// Reads never come here: they are ordered (see [`crate::consensus::Answers::ByVote`]).
    pub(super) fn on_read(ids: &[ReadId], out: &mut Out) {
        let rejection = Rejection { reason: RejectReason::TimedOut, never_executed: true, leader: None };
        out.reads.extend(ids.iter().map(|id| (*id, Err(rejection.clone()))));
    }

    /// The client's timers.
    pub(super) fn drive_client(&mut self, out: &mut Out) {
        if self.client.deadline().is_some_and(|deadline| deadline <= self.now) {
            let mut wanted = ClientOutput::default();
            self.client.on_timeout(self.now, &mut wanted);
            self.carry_out(wanted, out);
        }
    }

    /// A reply to this node's client.
    pub(super) fn on_reply(&mut self, from: NodeId, message: Checked<Message>, out: &mut Out) {
        let mut wanted = ClientOutput::default();
        self.client.on_message(self.now, from, message, &mut wanted);
        self.carry_out(wanted, out);
    }

    /// Does what this node's client wants. What it sends to this replica never leaves it.
    fn carry_out(&mut self, wanted: ClientOutput<super::Pbft>, out: &mut Out) {
        out.answers.extend(wanted.answers);
        out.rejected.extend(wanted.rejected);
        for (to, message) in wanted.messages {
            match message {
                Message::Request(request) if to == self.id => self.on_request(self.id, request, out),
                message => self.send(to, message, crate::consensus::Lsn::ZERO, out),
            }
        }
    }

    /// A request of a client, or relayed by a replica.
    pub(super) fn on_request(&mut self, from: NodeId, request: Signed<Request>, out: &mut Out) {
        let digest = request.digest();
        if self.pool.contains(&digest) {
            // The client asks again: the primary may have lost it.
            return self.relay(from, request, out);
        }
        if self.recalls.asked.contains_key(&digest) {
            return;
        }
        if self.recalls.asked.len() >= MAX_RECALLS {
            let why = "too many requests are being looked up";
            return out.trace.push(Event::Ignored { from, kind: "Request", why });
        }
        out.recall.extend(request.body.ids());
        self.recalls.asked.insert(digest, request);
    }

    /// The store says what became of requests: answers what was executed, and keeps the rest.
    pub(super) fn on_recalled(&mut self, recalled: Vec<(RequestId, Recall)>, out: &mut Out) {
        let mut executed = Vec::new();
        let mut known = BTreeSet::new();
        for (id, recall) in recalled {
            known.insert(id);
            if let Recall::Executed(outcome) = recall {
                self.pool.executed(id);
                executed.push((id, outcome));
            }
        }
        let done: BTreeSet<RequestId> = executed.iter().map(|(id, _)| *id).collect();
        self.reply(executed, out);
        let is_known = |request: &Signed<Request>| request.body.ids().all(|id| known.contains(&id));
        let answered: Vec<Digest> = self
            .recalls
            .asked
            .iter()
            .filter(|(_, request)| is_known(request))
            .map(|(digest, _)| *digest)
            .collect();
        for digest in answered {
            let Some(request) = self.recalls.asked.remove(&digest) else { continue };
            if !request.body.ids().all(|id| done.contains(&id)) {
                self.keep_request(digest, request, &done, out);
            }
        }
    }

    fn keep_request(
        &mut self,
        digest: Digest,
        request: Signed<Request>,
        done: &BTreeSet<RequestId>,
        out: &mut Out,
    ) {
        let from = request.body.client;
        let ordered = self.is_ordered(&digest);
        if let Err(full) = self.pool.insert(self.now, digest, request.clone(), ordered, &self.options) {
            return out.trace.push(Event::Ignored { from, kind: "Request", why: full.0 });
        }
        done.iter().for_each(|id| self.pool.executed(*id));
        self.relay(self.id, request, out);
    }

    /// Whether a PRE-PREPARE of this view has the request.
    fn is_ordered(&self, digest: &Digest) -> bool {
        let accepted = self.slots.range(self.executed.next()..).filter_map(|(_, slot)| {
            let accepted = slot.accepted_in(self.view)?;
            slot.batch(&accepted.pre_prepare.body.digest)
        });
        accepted.flat_map(|batch| &batch.0).any(|request| request.digest() == *digest)
    }

    /// Passes a request on to the primary, unless it came from there or this is it.
    fn relay(&self, from: NodeId, request: Signed<Request>, out: &mut Out) {
        let primary = self.primary();
        if self.active && primary != self.id && primary != from {
            self.send(primary, Message::Request(request), crate::consensus::Lsn::ZERO, out);
        }
    }

    /// Passes everything that waits on to a new primary.
    pub(super) fn relay_all(&self, out: &mut Out) {
        self.pool.iter().for_each(|request| self.relay(self.id, request.clone(), out));
    }

    /// After a state was taken over from others, the store knows better what was executed.
    pub(super) fn recall_all(&self, out: &mut Out) {
        out.recall.extend(self.pool.iter().flat_map(|request| request.body.ids()));
    }

    /// The store has executed.
    pub(super) fn on_applied(&mut self, index: Index, outcomes: Vec<(RequestId, Outcome)>, out: &mut Out) {
        self.applied = index.into();
        outcomes.iter().for_each(|(id, _)| self.pool.executed(*id));
        self.reply(outcomes, out);
    }

    /// Tells each client what became of its commands: one REPLY for those of one life that are here together.
    fn reply(&mut self, outcomes: Vec<(RequestId, Outcome)>, out: &mut Out) {
        let mut of: BTreeMap<(NodeId, u64), BTreeMap<u64, Option<Bytes>>> = BTreeMap::new();
        for (id, outcome) in outcomes {
            let result = match outcome {
                Outcome::Answered(bytes) => Some(bytes),
                Outcome::Forgotten => None,
            };
            of.entry((id.origin, id.incarnation)).or_default().insert(id.counter, result);
        }
        for ((client, incarnation), results) in of {
            for results in pieces(results) {
                let body = Reply { view: self.view, client, incarnation, results, replica: self.id };
                let reply = Message::Reply(self.signer.sign(body));
                if client == self.id {
                    self.on_reply(self.id, Checked::vouch(reply), out);
                } else {
                    self.send(client, reply, crate::consensus::Lsn::ZERO, out);
                }
            }
        }
    }

    /// When the request that waits for longest has waited too long. A backup wants another primary then; but only if it
    /// hears a quorum, since alone it would leave the view for nothing and miss what goes on in it.
    pub(super) fn request_deadline(&self) -> Option<Time> {
        let waits = self.active && !self.is_primary() && self.hears_a_quorum();
        let since = self.pool.oldest().filter(|_| waits)?;
        Some(since + self.view_changes.request_timeout(&self.options))
    }

    pub(super) fn on_request_timer(&mut self, out: &mut Out) {
        if self.request_deadline().is_some_and(|deadline| deadline <= self.now) {
            self.start_view_change(self.view.next(), "a request was not executed in time", out);
        }
    }
}

/// Cuts results into lists of a bounded size.
fn pieces(results: BTreeMap<u64, Option<Bytes>>) -> Vec<Vec<(u64, Option<Bytes>)>> {
    let (mut pieces, mut bytes) = (vec![Vec::new()], 0);
    for (counter, result) in results {
        bytes += result.as_ref().map_or(0, Bytes::len);
        let last = pieces.len() - 1;
        if bytes > REPLY_BYTES && !pieces[last].is_empty() {
            bytes = result.as_ref().map_or(0, Bytes::len);
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push((counter, result));
        }
    }
    pieces
}
