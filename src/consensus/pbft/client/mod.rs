//! The client (TOCS §4.2): signs requests, sends them to the primary, to everybody when no answer comes, and accepts an
//! answer when f + 1 replicas gave it, because one of them is honest.
//!
//! The same machine serves a program that talks to all replicas and, inside a replica, that replica's own callers; there
//! the messages to itself are the caller's to deliver.
//!
//! # Invariants
//!
//! 1. No replica is believed alone: neither what it answers, nor in which view it is.
//! 2. Outstanding counters lie within [`REQUEST_SPAN`], because the store keeps the answers of so many of each life of a
//!    client: nothing is executed twice, and no answer is forgotten that somebody waits for.
//! 3. A request that is sent again is the same, byte for byte.
//! 4. Each command is answered or rejected once.
//!
//! # Deviations from the paper
//!
//! - A client has many requests outstanding, where the paper's has one; so a request carries all commands that waited,
//!   and replies are compared command by command: replicas may answer in other portions.
//! - The client broadcasts at first while it knows of no view, and one request in a while, by which the backups judge the
//!   primary; not because a request is large (TOCS §5.1.5).
//! - An answer that f + 1 others contradict is shown to the replicas, which else would not know of it (see `dispute`).
//! - Reads are ordered like writes (no §5.1.3): a Byzantine primary could block the larger quorum of the others for ever.

mod queue;
mod votes;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use self::queue::Queue;
use self::votes::{Views, Votes};
use super::check::Checker;
use super::message::{Message, Reply, Request, Signed, View};
use super::options::Options;
use super::protocol::Pbft;
use super::quorum::Quorum;
use super::signing::Signer;
use crate::consensus::{
    Checked, ClientOutput, ClientSetup, NodeId, Proposal, RejectReason, Rejection, RequestId, Time,
    VotingClient,
};

/// Commands in one request.
pub const MAX_COMMANDS: usize = 256;
/// Bytes of commands in one request, unless a single one has more: small enough that several fit into a batch.
pub const REQUEST_BYTES: usize = 256 * 1024;
/// Counters of one life of a client that are outstanding at once lie within so many.
pub const REQUEST_SPAN: u64 = 1024;

/// One request in so long goes to everybody at once, so that the backups see how long the primary takes over it (see
/// `pace`): often enough to judge it within seconds, and at no cost where there are many.
const SHOW_PAUSE: Duration = Duration::from_millis(250);

/// Of one replica no more than one wrong answer in so long is shown to the others: one is as good as many.
const DISPUTE_PAUSE: Duration = Duration::from_secs(1);

/// The pause before a request is sent again doubles up to so many times: eightfold.
const MAX_DOUBLINGS: u32 = 3;

/// The client's part of PBFT.
#[derive(Debug)]
pub struct Client {
    id: NodeId,
    incarnation: u64,
    quorum: Quorum,
    signer: Signer,
    checker: Checker,
    retry: Duration,
    request_timeout: Duration,
    /// Commands that were not sent so far.
    queue: Queue,
    /// Commands that were, by counter.
    commands: BTreeMap<u64, Command>,
    /// The requests that carried them, by the number of their sending.
    requests: BTreeMap<u64, Sent>,
    /// When each of them is sent again.
    retries: BTreeSet<(Time, u64)>,
    /// When each command, sent or not, is given up.
    deadlines: BTreeSet<(Time, u64)>,
    views: Views,
    /// When a request was last sent to everybody.
    shown: Option<Time>,
    /// When each replica's answer was last shown to the others.
    disputed: BTreeMap<NodeId, Time>,
    next_request: u64,
    /// The highest counter that was ever sent.
    newest: u64,
}

/// A command that was sent and waits for f + 1 equal results.
#[derive(Debug)]
struct Command {
    request: u64,
    deadline: Time,
    votes: Votes,
}

/// A request that was sent.
#[derive(Debug)]
struct Sent {
    request: Signed<Request>,
    /// How many of its commands wait.
    open: usize,
    retry_at: Time,
    doublings: u32,
}

/// What a client wants done.
type Sends = ClientOutput<Pbft>;

impl VotingClient for Client {
    type Protocol = Pbft;

    fn new(setup: ClientSetup) -> Self {
        Self::with_options(setup, &Options::default())
    }

    fn checker(&self) -> Checker {
        self.checker.clone()
    }

    fn propose(&mut self, now: Time, proposals: Vec<Proposal>, out: &mut Sends) {
        self.on_propose(now, proposals, out);
    }

    fn on_message(&mut self, now: Time, _: NodeId, message: Checked<Message>, out: &mut Sends) {
        if let Message::Reply(reply) = message.into_inner() {
            self.on_reply(now, reply, out);
        }
    }

    fn on_timeout(&mut self, now: Time, out: &mut Sends) {
        self.on_time(now, out);
    }

    fn deadline(&self) -> Option<Time> {
        self.next_deadline()
    }
}

impl Client {
    /// A client with the limits of `options`, as a replica has it for its own callers.
    pub fn with_options(setup: ClientSetup, options: &Options) -> Self {
        let ClientSetup { id, incarnation, cluster_id, members, keys, retry, request_timeout } = setup;
        Self {
            id,
            incarnation,
            quorum: Quorum::new(&members),
            signer: Signer::new(id, cluster_id, &keys),
            checker: Checker::new(cluster_id, &members, keys, options),
            retry,
            request_timeout,
            queue: Queue::new(options),
            commands: BTreeMap::new(),
            requests: BTreeMap::new(),
            retries: BTreeSet::new(),
            deadlines: BTreeSet::new(),
            views: Views::default(),
            shown: None,
            disputed: BTreeMap::new(),
            next_request: 0,
            newest: 0,
        }
    }

    /// The view that f + 1 replicas have reached, as far as their replies say.
    pub fn view(&self) -> View {
        self.confirmed_view().unwrap_or_default()
    }

    fn confirmed_view(&self) -> Option<View> {
        self.views.confirmed(self.quorum.weak())
    }

    fn on_propose(&mut self, now: Time, proposals: Vec<Proposal>, out: &mut Sends) {
        for proposal in proposals {
            let RequestId { origin, incarnation, counter } = proposal.id;
            assert_eq!(
                (origin, incarnation),
                (self.id, self.incarnation),
                "a client proposes in its own name"
            );
            assert!(!self.commands.contains_key(&counter), "a counter is used once");
            if let Some(reason) = self.refusal(&proposal) {
                self.reject(counter, reason, true, out);
                continue;
            }
            let deadline = now + self.request_timeout;
            self.deadlines.insert((deadline, counter));
            self.queue.insert(deadline, proposal);
        }
        self.send_queued(now, out);
    }

    /// Why a command cannot be taken.
    fn refusal(&self, proposal: &Proposal) -> Option<RejectReason> {
        // The store would not know whether it executed a counter so far behind.
        let too_late = proposal.id.counter.saturating_add(REQUEST_SPAN) <= self.newest;
        if too_late { Some(RejectReason::TooManyRequests) } else { self.queue.refusal(proposal) }
    }

    /// Sends what waits, in requests as large as may be, as far as the span reaches.
    fn send_queued(&mut self, now: Time, out: &mut Sends) {
        loop {
            let oldest = self.commands.keys().next().copied();
            let taken = self.queue.take(oldest);
            let Some(first) = taken.first() else { return };
            let commands = taken.iter().map(|(_, proposal)| (proposal.id.counter, proposal.command.clone()));
            let body = Request {
                client: self.id,
                incarnation: self.incarnation,
                time: first.1.time,
                commands: commands.collect(),
            };
            let request = self.signer.sign(body);
            self.send(now, &request, out);
            self.remember(now, &taken, request);
        }
    }

    /// To the primary; to everybody as long as it is not known who that is, because the first one may be long gone, and
    /// now and then.
    fn send(&mut self, now: Time, request: &Signed<Request>, out: &mut Sends) {
        let lately = self.shown.is_some_and(|shown| now.since(shown) < SHOW_PAUSE);
        let Some(view) = self.confirmed_view().filter(|_| lately) else {
            self.shown = Some(now);
            return self.send_to_all(request, out);
        };
        out.messages.push((self.quorum.primary(view), Message::Request(request.clone())));
    }

    fn send_to_all(&self, request: &Signed<Request>, out: &mut Sends) {
        let to_each = |member: &NodeId| (*member, Message::Request(request.clone()));
        out.messages.extend(self.quorum.members().iter().map(to_each));
    }

    fn remember(&mut self, now: Time, taken: &[(Time, Proposal)], request: Signed<Request>) {
        let number = self.next_request;
        self.next_request += 1;
        for (deadline, proposal) in taken {
            let counter = proposal.id.counter;
            self.newest = self.newest.max(counter);
            let command = Command { request: number, deadline: *deadline, votes: Votes::default() };
            self.commands.insert(counter, command);
        }
        let retry_at = now + self.retry;
        self.retries.insert((retry_at, number));
        self.requests.insert(number, Sent { request, open: taken.len(), retry_at, doublings: 0 });
    }

    fn on_reply(&mut self, now: Time, reply: Signed<Reply>, out: &mut Sends) {
        let reply = Arc::new(reply);
        let Reply { view, client, incarnation, ref results, replica } = reply.body;
        if (client, incarnation) != (self.id, self.incarnation) {
            return;
        }
        self.views.insert(replica, view);
        for (counter, result) in results {
            let Some(command) = self.commands.get_mut(counter) else { continue };
            if command.votes.insert(&reply, result.as_ref()) >= self.quorum.weak() {
                let command = self.forget(*counter).expect("a command that was just counted");
                self.dispute(now, &command.votes, result.as_ref(), out);
                self.accept(*counter, result.clone(), out);
            }
        }
        self.send_queued(now, out);
    }

    /// Names who answered something else than is accepted, and shows the others what it said, though not each time.
    fn dispute(&mut self, now: Time, votes: &Votes, accepted: Option<&Bytes>, out: &mut Sends) {
        for (dissenter, said) in votes.dissenters(accepted) {
            out.dissenters.insert(dissenter);
            let lately = self.disputed.get(&dissenter).is_some_and(|at| now.since(*at) < DISPUTE_PAUSE);
            let Some(said) = said.filter(|_| !lately) else { continue };
            self.disputed.insert(dissenter, now);
            let others = self.quorum.members().iter().filter(|id| **id != dissenter);
            out.messages.extend(others.map(|id| (*id, Message::Disputed(said.clone()))));
        }
    }

    /// f + 1 replicas gave this result, so an honest one did.
    fn accept(&self, counter: u64, result: Option<Bytes>, out: &mut Sends) {
        match result {
            Some(answer) => out.answers.push((self.request_id(counter), answer)),
            // It was executed, and what came of it is not known any more.
            None => self.reject(counter, RejectReason::TimedOut, false, out),
        }
    }

    fn on_time(&mut self, now: Time, out: &mut Sends) {
        while let Some((_, counter)) = self.deadlines.first().copied().filter(|(at, _)| *at <= now) {
            let never_sent = !self.commands.contains_key(&counter);
            self.forget(counter);
            self.reject(counter, RejectReason::TimedOut, never_sent, out);
        }
        while let Some((_, number)) = self.retries.first().copied().filter(|(at, _)| *at <= now) {
            self.send_again(now, number, out);
        }
        self.send_queued(now, out);
    }

    /// To everybody: the primary may be another, or faulty, and then the backups must know that this request waits.
    fn send_again(&mut self, now: Time, number: u64, out: &mut Sends) {
        let sent = self.requests.get_mut(&number).expect("only what was sent is sent again");
        self.retries.remove(&(sent.retry_at, number));
        sent.doublings = (sent.doublings + 1).min(MAX_DOUBLINGS);
        sent.retry_at = now + self.retry * (1 << sent.doublings);
        self.retries.insert((sent.retry_at, number));
        let request = sent.request.clone();
        self.send_to_all(&request, out);
    }

    /// Nobody waits for this command any more. Returns it if it was sent.
    fn forget(&mut self, counter: u64) -> Option<Command> {
        let Some(command) = self.commands.remove(&counter) else {
            let deadline = self.queue.remove(counter).expect("what is given up was sent or waits");
            self.deadlines.remove(&(deadline, counter));
            return None;
        };
        self.deadlines.remove(&(command.deadline, counter));
        let sent = self.requests.get_mut(&command.request).expect("a command's request is kept with it");
        sent.open -= 1;
        if sent.open == 0 {
            self.retries.remove(&(sent.retry_at, command.request));
            self.requests.remove(&command.request);
        }
        Some(command)
    }

    fn reject(&self, counter: u64, reason: RejectReason, never_executed: bool, out: &mut Sends) {
        let leader = Some(self.quorum.primary(self.view()));
        out.rejected.push((self.request_id(counter), Rejection { reason, never_executed, leader }));
    }

    fn request_id(&self, counter: u64) -> RequestId {
        RequestId { origin: self.id, incarnation: self.incarnation, counter }
    }

    fn next_deadline(&self) -> Option<Time> {
        let first = |times: &BTreeSet<(Time, u64)>| times.first().map(|(at, _)| *at);
        [first(&self.retries), first(&self.deadlines)].into_iter().flatten().min()
    }
}

#[cfg(test)]
mod tests;
