//! Clients' requests: taking them in, timing them, and answering (TOCS §4.2).
//!
//! A request that may have been executed before is looked up in the store first
//! ([`Output::recall`](crate::consensus::Output::recall)) and answered as it was then, whoever lost the answer. What was
//! not executed waits here until it is. A backup passes it on to the primary and times it *by itself*: progress with
//! other requests does not help a primary that ignores this one (Aardvark, NSDI'09).
//!
//! The paper times a request until it is executed. Here its time is up when it is decided and everything before it is, so
//! that it goes to the store: what the store takes to execute it is the command's doing, and another primary would not be
//! quicker.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;

use super::message::{Message, Reply, Request, Signed};
use super::pool::{Admission, Results, Settled};
use super::replica::{Out, Replica};
use super::suspicion::Suspect;
use crate::consensus::{
    Checked, ClientOutput, Event, Index, Lsn, NodeId, Outcome, Pressure, Proposal, ReadId, Recall,
    RejectReason, Rejection, RequestId, Signature, Time, VotingClient as _,
};

/// Bytes of results in one REPLY, unless a single one is larger.
const REPLY_BYTES: usize = 1 << 20;
/// Results in one REPLY.
const REPLY_RESULTS: usize = 4096;
/// Requests that are passed on to a new primary when its view begins; the clients send the others again themselves.
const RELAYED_AT_ONCE: usize = 256;

/// So many of the oldest requests are passed on to a primary again in a status interval: those that the timer runs for.
const NEGLECTED_AT_ONCE: usize = 32;

/// This node's own callers, and the client that acts for them.
impl Replica {
    /// Callers of this node want commands ordered: its client asks for them.
    pub(super) fn on_propose(&mut self, proposals: Vec<Proposal>, out: &mut Out) {
        let reason = match self.disk.pressure() {
            Pressure::Ok => {
                let mut wanted = ClientOutput::default();
                self.client.propose(self.now, proposals, &mut wanted);
                return self.carry_out(wanted, out);
            }
            Pressure::Slow => RejectReason::StorageSlow,
            Pressure::Full(_) => RejectReason::StorageFull,
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
        for replica in std::mem::take(&mut wanted.dissenters) {
            self.suspect(replica, Suspect::WrongReply);
        }
        self.carry_out(wanted, out);
    }

    /// Does what this node's client wants. What it sends to this replica never leaves it.
    fn carry_out(&mut self, wanted: ClientOutput<super::Pbft>, out: &mut Out) {
        out.answers.extend(wanted.answers);
        out.rejected.extend(wanted.rejected);
        for (to, message) in wanted.messages {
            match message {
                Message::Request(request) if to == self.id => self.on_request(self.id, request, out),
                Message::Disputed(_) if to == self.id => {} // It knows.
                message => self.send(to, message, Lsn::ZERO, out),
            }
        }
    }
}

/// Requests.
impl Replica {
    /// A request of a client, or relayed by a replica that takes this one for the primary.
    pub(super) fn on_request(&mut self, from: NodeId, request: Signed<Request>, out: &mut Out) {
        let client = request.body.client;
        let ignore = |from, why, out: &mut Out| out.trace.push(Event::Ignored { from, kind: "Request", why });
        if from != client && !self.is_primary() {
            return ignore(from, "it was passed on to a replica that is not the primary", out);
        }
        let name = request.signature;
        match self.pool.admit(request, self.now, &self.options) {
            Admission::Waits => self.relay(&name, out),
            Admission::Ask(ids) => out.recall.extend(ids),
            Admission::Refused(why) => ignore(client, why, out),
        }
    }

    /// The store says what became of requests: answers what was executed, and keeps the rest.
    pub(super) fn on_recalled(&mut self, recalled: Vec<(RequestId, Recall)>, out: &mut Out) {
        for (id, recall) in recalled {
            let executed = match recall {
                Recall::NotExecuted => None,
                Recall::Executed(outcome) => Some(result(outcome)),
            };
            self.settle_disputes(id, executed.as_ref().and_then(Option::as_ref));
            for settled in self.pool.on_recalled(id, executed.as_ref(), self.now) {
                let Settled { name, client, incarnation, results, waits } = settled;
                self.reply(client, incarnation, results, out);
                if waits {
                    self.relay(&name, out);
                }
            }
        }
    }

    /// Passes a request on to the primary, at most once in a status interval, unless this is it.
    fn relay(&mut self, name: &Signature, out: &mut Out) {
        if !self.active || self.is_primary() {
            return;
        }
        if let Some(request) = self.pool.relay(name, self.now, self.options.status_interval()) {
            self.send(self.primary(), Message::Request(request), Lsn::ZERO, out);
        }
    }

    /// Passes what waits on to a new primary, who may have heard of none of it.
    pub(super) fn relay_all(&mut self, out: &mut Out) {
        for name in self.pool.first_unordered(RELAYED_AT_ONCE) {
            self.relay(&name, out);
        }
    }

    /// Passes on again what has waited for long: a primary whose pool was full, or whom the first word did not reach, has
    /// to hear of what this replica will leave it for.
    pub(super) fn relay_neglected(&mut self, out: &mut Out) {
        let long = self.options.request_timer() / 4;
        for name in self.pool.neglected(self.now, long, NEGLECTED_AT_ONCE) {
            self.relay(&name, out);
        }
    }

    /// After a state was taken over from others, the store knows better what was executed.
    pub(super) fn recall_all(&self, out: &mut Out) {
        out.recall.extend(self.pool.awaited());
    }
}

/// Answers.
impl Replica {
    /// The store has executed. Each client gets one REPLY for all of one life that is here together.
    pub(super) fn on_applied(&mut self, index: Index, outcomes: Vec<(RequestId, Outcome)>, out: &mut Out) {
        self.applied = index.into();
        let mut of: BTreeMap<(NodeId, u64), Results> = BTreeMap::new();
        for (id, outcome) in outcomes {
            self.pool.on_executed(id);
            of.entry((id.origin, id.incarnation)).or_default().insert(id.counter, result(outcome));
        }
        self.pool.on_applied(self.applied);
        self.view_changes.on_applied(self.applied, self.now, self.pool.oldest(), &self.options);
        for ((client, incarnation), results) in of {
            self.reply(client, incarnation, results, out);
        }
    }

    /// Tells a client what became of its commands, in messages of a bounded size. They name the view that was installed
    /// here last: the primary of an unfinished view is nobody to turn to.
    fn reply(&mut self, client: NodeId, incarnation: u64, results: Results, out: &mut Out) {
        if results.is_empty() || self.keys.public(client).is_none() {
            return;
        }
        for results in pieces(results) {
            let view = self.installed_view();
            let body = Reply { view, client, incarnation, results, replica: self.id };
            let reply = Message::Reply(self.signer.sign(body));
            if client == self.id {
                self.on_reply(self.id, Checked::vouch(reply), out);
            } else {
                self.send(client, reply, Lsn::ZERO, out);
            }
        }
    }
}

/// Patience.
impl Replica {
    /// A replica that hears no quorum, or is being brought up to date, cannot know whether the primary does its work:
    /// alone it would leave the view for nothing, and its requests may be executed already. Its patience begins when it
    /// can judge. One whose disk is far behind can neither judge nor vote. One whose window is full of decided slots that its
    /// store has not executed waits for that, and not for the primary. One that merely lacks messages does judge: what it lacks may be
    /// what a lying primary keeps from it, and the view change needs its voice.
    pub(super) fn judge_or_not(&mut self) {
        let can = self.active
            && !self.disk.is_behind()
            && self.hears_a_quorum()
            && self.transfer.is_none()
            && self.checkpoints.diverged().is_none()
            && (self.executed < self.high_water_mark() || self.applied == self.executed);
        self.judges_since = can.then(|| self.judges_since.unwrap_or(self.now));
    }

    /// When the request that waits for longest has waited too long: a backup wants another primary then.
    pub(super) fn request_deadline(&self) -> Option<Time> {
        let judges_since = self.judges_since.filter(|_| self.active && !self.is_primary())?;
        let since = self.pool.oldest()?.max(judges_since);
        Some(since + self.patience_with_primary())
    }

    /// The request that waits for longest, by its ticket, and for how long it may, if this replica judges the primary; for
    /// whoever watches.
    pub(super) fn timed_request(&self) -> Option<(u64, Duration)> {
        self.judges_since.filter(|_| self.active && !self.is_primary())?;
        Some((self.pool.oldest_ticket()?, self.patience_with_primary()))
    }

    fn patience_with_primary(&self) -> Duration {
        self.view_changes.request_timeout(&self.options)
    }

    pub(super) fn on_request_timer(&mut self, out: &mut Out) {
        if self.request_deadline().is_some_and(|deadline| deadline <= self.now) {
            let others = self.pool.oldest().is_some_and(|since| self.pace.decided_since(since));
            let what = if others {
                Suspect::Censors
            } else if self.hears(self.primary()) {
                Suspect::LeavesOut
            } else {
                Suspect::Stalls
            };
            self.suspect(self.primary(), what);
            self.start_view_change(self.view.next(), "a request was not ordered in time", out);
        }
    }
}

/// What a REPLY says of an outcome.
fn result(outcome: Outcome) -> Option<Bytes> {
    match outcome {
        Outcome::Answered(bytes) => Some(bytes),
        Outcome::Forgotten => None,
    }
}

/// Cuts results into lists of a bounded size.
fn pieces(results: Results) -> Vec<Vec<(u64, Option<Bytes>)>> {
    let (mut pieces, mut bytes) = (vec![Vec::new()], 0);
    for (counter, result) in results {
        bytes += result.as_ref().map_or(0, Bytes::len);
        let last = pieces.len() - 1;
        if (bytes > REPLY_BYTES || pieces[last].len() == REPLY_RESULTS) && !pieces[last].is_empty() {
            bytes = result.as_ref().map_or(0, Bytes::len);
            pieces.push(Vec::new());
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push((counter, result));
        }
    }
    pieces
}
