//! Requests that wait here for being executed, and what is known of those that were.
//!
//! A request has a name here: its signature, which covers all that it says. Its commands have ids, and others that carry
//! one of them are other requests: a client that signs two different commands under one id has one of them executed,
//! and both leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;

use super::message::{Batch, Request, Sequence, Signed};
use super::options::Options;
use super::turns::{Turn, Turns};
use crate::consensus::{NodeId, RequestId, Signature, Time};

/// For how many lives of one client it is remembered what was executed last: the store keeps the answers of as many.
const MAX_LIVES: usize = 32;
/// One client's requests take this part of the bytes that may wait at most, unless it is a single one: large requests
/// of one client do not take the others' place.
const CLIENT_SHARE: usize = 4;

/// About how many bytes it takes to find a command, besides its own.
const COMMAND_BYTES: usize = 256;

/// The requests that wait. Bounded by the options, in number, in bytes, and for each client.
#[derive(Debug, Default)]
pub(super) struct Pool {
    waiting: BTreeMap<Signature, Waiting>,
    /// Who waits for a command.
    by_id: BTreeMap<RequestId, BTreeSet<Signature>>,
    /// Of which commands the store was asked and has not answered: once is enough, for however many requests.
    asking: BTreeSet<RequestId>,
    /// How many wait of each client, and their bytes.
    clients: BTreeMap<NodeId, (usize, usize)>,
    bytes: usize,
    /// Those that are known not to be executed, nor handed to the store, in the order in which this replica began to time them.
    timed: BTreeMap<u64, Signature>,
    /// Of these, those that no slot of this view holds, in the order in which a primary takes them.
    unordered: BTreeMap<Turn, Signature>,
    tickets: u64,
    turns: Turns,
    /// For how long in all the primary had room for another slot, as far as it was watched: see `pace`.
    pub(super) room: Duration,
    /// Requests in slots of this view that the store has not been handed. Bounded by the window.
    ordered: BTreeMap<Signature, Sequence>,
    /// Requests that the store was handed and has not reported executed: nobody is judged by how long it takes. Bounded by
    /// the window.
    executing: BTreeMap<Signature, Sequence>,
    /// The highest counter that was executed of each life of each client, as far as this life of the replica saw it.
    executed: BTreeMap<NodeId, BTreeMap<u64, u64>>,
}

/// A request that waits.
#[derive(Debug)]
struct Waiting {
    request: Signed<Request>,
    /// Its commands that were not executed, as far as known.
    open: BTreeSet<u64>,
    /// Those of which the store was asked whether it had executed them.
    asked: BTreeSet<u64>,
    /// What it answered to those that it had.
    results: Results,
    /// Its place among the timed ones.
    ticket: Option<u64>,
    /// Its place among those that are to be ordered.
    turn: Turn,
    /// Since when it is timed in this view.
    since: Time,
    /// What [`Pool::room`] was then.
    room: Duration,
    /// When it was last passed on to the primary.
    relayed: Option<Time>,
}

/// Answers by counter; `None`: the store has executed it and does not know the answer any more.
pub(super) type Results = BTreeMap<u64, Option<Bytes>>;

/// What became of a request that arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// It waits: it is known to be new, or it waited already.
    Waits,
    /// Some of its commands may have been executed: the store must be asked about these.
    Ask(Vec<RequestId>),
    /// There is no room.
    Refused(&'static str),
}

/// What is known of a request now that the store has answered.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) name: Signature,
    pub(super) client: NodeId,
    pub(super) incarnation: u64,
    /// What was executed before.
    pub(super) results: Results,
    /// Whether something of it is still to be executed.
    pub(super) waits: bool,
}

/// How many bytes a request takes here.
fn room(request: &Signed<Request>) -> usize {
    request.size() + request.body.commands.len() * COMMAND_BYTES
}

impl Pool {
    /// Takes a request in.
    pub(super) fn admit(&mut self, request: Signed<Request>, now: Time, options: &Options) -> Admission {
        let name = request.signature;
        if self.waiting.contains_key(&name) {
            return Admission::Waits;
        }
        if let Err(why) = self.has_room(&request, options) {
            return Admission::Refused(why);
        }
        let is_new = self.is_new(&request.body);
        let ids: Vec<RequestId> = request.body.ids().collect();
        let (count, bytes) = self.clients.entry(request.body.client).or_default();
        (*count, *bytes) = (*count + 1, *bytes + room(&request));
        self.bytes += room(&request);
        for id in &ids {
            self.by_id.entry(*id).or_default().insert(name);
        }
        let open: BTreeSet<u64> = ids.iter().map(|id| id.counter).collect();
        let asked = if is_new { BTreeSet::new() } else { open.clone() };
        let results = Results::new();
        let turn = self.turns.next(request.body.client, request.size());
        let (ticket, since, relayed, room) = (None, now, None, self.room);
        let waiting = Waiting { request, open, asked, results, ticket, turn, since, room, relayed };
        self.waiting.insert(name, waiting);
        if is_new {
            self.make_ready(&name, now);
            return Admission::Waits;
        }
        Admission::Ask(ids.into_iter().filter(|id| self.asking.insert(*id)).collect())
    }

    fn has_room(&self, request: &Signed<Request>, options: &Options) -> Result<(), &'static str> {
        let (count, bytes) = self.clients.get(&request.body.client).copied().unwrap_or_default();
        let too_long = count > 0 && bytes + room(request) > options.max_pending_bytes / CLIENT_SHARE;
        if too_long || count >= options.max_client_requests {
            return Err("as many requests of this client as are kept wait already");
        }
        let full = self.waiting.len() >= options.max_pending_requests
            || self.bytes + room(request) > options.max_pending_bytes;
        if full { Err("as many requests as are kept wait already") } else { Ok(()) }
    }

    /// Whether all its commands come after all that was executed of this life of the client.
    fn is_new(&self, request: &Request) -> bool {
        let last = self.executed.get(&request.client).and_then(|lives| lives.get(&request.incarnation));
        let first = request.commands.first().map(|(counter, _)| counter);
        last.is_some_and(|last| first.is_some_and(|first| first > last))
    }

    fn make_ready(&mut self, name: &Signature, now: Time) {
        if self.executing.contains_key(name) {
            return; // The order has it: all that it waits for is the store.
        }
        let Some(waiting) = self.waiting.get_mut(name) else { return };
        self.tickets += 1;
        waiting.ticket = Some(self.tickets);
        (waiting.since, waiting.room) = (now, self.room);
        self.timed.insert(self.tickets, *name);
        if !self.ordered.contains_key(name) {
            self.unordered.insert(waiting.turn, *name);
        }
    }

    /// The store says of a command whether it has executed it: with what answer, or not at all. Returns the requests of
    /// which it has now said everything.
    pub(super) fn on_recalled(
        &mut self,
        id: RequestId,
        executed: Option<&Option<Bytes>>,
        now: Time,
    ) -> Vec<Settled> {
        self.asking.remove(&id);
        let names = self.by_id.get(&id).cloned().unwrap_or_default();
        if executed.is_some() {
            self.note_executed(id);
        }
        names.into_iter().filter_map(|name| self.settle(name, id.counter, executed, now)).collect()
    }

    fn settle(
        &mut self,
        name: Signature,
        counter: u64,
        executed: Option<&Option<Bytes>>,
        now: Time,
    ) -> Option<Settled> {
        let waiting = self.waiting.get_mut(&name)?;
        let was_asked = waiting.asked.remove(&counter);
        if let Some(result) = executed {
            waiting.open.remove(&counter);
            if was_asked {
                waiting.results.insert(counter, result.clone());
            }
        }
        let was_ready = !was_asked && (waiting.ticket.is_some() || self.executing.contains_key(&name));
        if !waiting.asked.is_empty() || was_ready && !waiting.open.is_empty() {
            return None;
        }
        let (client, incarnation) = (waiting.request.body.client, waiting.request.body.incarnation);
        let (results, waits) = (std::mem::take(&mut waiting.results), !waiting.open.is_empty());
        if waits {
            self.make_ready(&name, now);
        } else {
            self.remove(&name);
        }
        Some(Settled { name, client, incarnation, results, waits })
    }

    /// A command was executed, by whatever request: who waited for nothing else leaves.
    pub(super) fn on_executed(&mut self, id: RequestId) {
        self.note_executed(id);
        for name in self.by_id.get(&id).cloned().unwrap_or_default() {
            let Some(waiting) = self.waiting.get_mut(&name) else { continue };
            waiting.open.remove(&id.counter);
            // One that the store was asked about stays for its answer, which the client may lack.
            if waiting.open.is_empty() && waiting.asked.is_empty() {
                self.remove(&name);
            }
        }
    }

    fn note_executed(&mut self, id: RequestId) {
        let lives = self.executed.entry(id.origin).or_default();
        let last = lives.entry(id.incarnation).or_default();
        *last = id.counter.max(*last);
        if lives.len() > MAX_LIVES {
            lives.pop_first();
        }
    }

    fn remove(&mut self, name: &Signature) {
        let Some(waiting) = self.waiting.remove(name) else { return };
        self.bytes -= room(&waiting.request);
        if let Some(ticket) = waiting.ticket {
            self.timed.remove(&ticket);
            self.unordered.remove(&waiting.turn);
        }
        let client = waiting.request.body.client;
        if let Some((count, bytes)) = self.clients.get_mut(&client) {
            (*count, *bytes) = (*count - 1, *bytes - room(&waiting.request));
            if *count == 0 {
                self.clients.remove(&client);
            }
        }
        for id in waiting.request.body.ids() {
            if let Some(names) = self.by_id.get_mut(&id) {
                names.remove(name);
                if names.is_empty() {
                    self.by_id.remove(&id);
                }
            }
        }
    }
}

/// The order.
impl Pool {
    /// Takes what waits into a batch: the null one if nothing does (TOCS §5.1.4). The clients take turns, by the bytes
    /// that they ask for: one with a thousand requests does not keep the others waiting for all of them. The limits hold
    /// unless a single request exceeds them.
    pub(super) fn next_batch(&self, options: &Options) -> Batch {
        let (mut batch, mut commands, mut bytes) = (Batch::default(), 0, 0);
        for name in self.unordered.values() {
            let Some(waiting) = self.waiting.get(name) else { continue };
            let body = &waiting.request.body;
            commands += body.commands.len();
            bytes += body.command_bytes();
            let fits = commands <= options.max_batch_requests && bytes <= options.max_batch_bytes;
            if !fits && !batch.is_null() {
                break;
            }
            batch.0.push(waiting.request.clone());
        }
        batch
    }

    /// A slot of this view holds these requests. Returns for how long the primary had room for the one of them that was
    /// known here for longest, since it was known; `None` if none of them was.
    pub(super) fn note_ordered(&mut self, batch: &Batch, sequence: Sequence) -> Option<Duration> {
        let mut neglected = None;
        for request in &batch.0 {
            self.ordered.insert(request.signature, sequence);
            let Some(waiting) = self.waiting.get(&request.signature) else { continue };
            if self.unordered.remove(&waiting.turn).is_some() {
                self.turns.reached(waiting.turn);
                neglected = neglected.max(Some(self.room.saturating_sub(waiting.room)));
            }
        }
        neglected
    }

    /// The store was handed this slot: from now on it knows the requests, and their time is up.
    pub(super) fn forget_ordered(&mut self, batch: &Batch, sequence: Sequence) {
        for request in &batch.0 {
            if self.ordered.get(&request.signature).is_some_and(|at| *at <= sequence) {
                self.ordered.remove(&request.signature);
            }
            self.executing.insert(request.signature, sequence);
            if let Some(waiting) = self.waiting.get_mut(&request.signature)
                && let Some(ticket) = waiting.ticket.take()
            {
                self.timed.remove(&ticket);
                self.unordered.remove(&waiting.turn);
            }
        }
    }

    /// The store has executed up to here.
    pub(super) fn on_applied(&mut self, applied: Sequence) {
        self.executing.retain(|_, at| *at > applied);
    }

    /// The slot that was to hold these requests holds something else: they are to be ordered elsewhere.
    pub(super) fn take_back(&mut self, batch: &Batch) {
        for request in &batch.0 {
            self.ordered.remove(&request.signature);
            if let Some(waiting) = self.waiting.get(&request.signature)
                && waiting.ticket.is_some()
            {
                self.unordered.insert(waiting.turn, request.signature);
            }
        }
    }

    /// A view begins (TOCS §4.5): no slot of it holds anything yet, and everything that waits is timed anew.
    pub(super) fn restart(&mut self, now: Time) {
        self.ordered.clear();
        self.unordered.clear();
        for name in self.timed.values() {
            if let Some(waiting) = self.waiting.get_mut(name) {
                self.unordered.insert(waiting.turn, *name);
                (waiting.since, waiting.room) = (now, self.room);
                waiting.relayed = None;
            }
        }
    }

    /// Slots up to here were left out: a snapshot has brought what they did. Those above are handed to the store again.
    pub(super) fn forget_ordered_up_to(&mut self, sequence: Sequence) {
        self.executing.clear();
        self.ordered.retain(|_, at| *at > sequence);
    }
}

/// Waiting.
impl Pool {
    /// Since when the request has waited that has waited for longest.
    pub(super) fn oldest(&self) -> Option<Time> {
        self.waiting.get(self.timed.values().next()?).map(|waiting| waiting.since)
    }

    /// The number of that request among all that were timed.
    pub(super) fn oldest_ticket(&self) -> Option<u64> {
        self.timed.keys().next().copied()
    }

    /// Whether more waits than may, in all or of one client. A single request may have more bytes.
    pub(super) fn is_overfull(&self, options: &Options) -> bool {
        let of_one = self.clients.values().any(|(count, _)| *count > options.max_client_requests);
        let bytes = self.bytes > options.max_pending_bytes && self.waiting.len() > 1;
        of_one || bytes || self.waiting.len() > options.max_pending_requests
    }

    /// How many requests wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// A waiting request that is to be passed on to the primary, unless a slot holds it or it was passed on lately.
    pub(super) fn relay(&mut self, name: &Signature, now: Time, lately: Duration) -> Option<Signed<Request>> {
        let waiting = self.waiting.get_mut(name)?;
        let unordered = self.unordered.contains_key(&waiting.turn);
        if !unordered || waiting.relayed.is_some_and(|at| now.since(at) < lately) {
            return None;
        }
        waiting.relayed = Some(now);
        Some(waiting.request.clone())
    }

    /// The commands that are waited for.
    pub(super) fn awaited(&self) -> impl Iterator<Item = RequestId> + '_ {
        self.by_id.keys().copied()
    }

    /// The first requests that no slot of this view holds, by name.
    pub(super) fn first_unordered(&self, count: usize) -> Vec<Signature> {
        self.unordered.values().take(count).copied().collect()
    }

    /// Of those that were timed first, the ones that no slot of this view holds although they have waited for so long.
    pub(super) fn neglected(&self, now: Time, long: Duration, count: usize) -> Vec<Signature> {
        let oldest = self.timed.values().take(count).copied();
        let neglected = |name: &Signature| {
            let waits = |waiting: &Waiting| {
                self.unordered.contains_key(&waiting.turn) && now.since(waiting.since) >= long
            };
            self.waiting.get(name).is_some_and(waits)
        };
        oldest.filter(neglected).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
