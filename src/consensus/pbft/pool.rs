//! Requests that wait to be executed, each with the time since when it does.

use std::collections::{BTreeMap, BTreeSet};

use super::message::{Request, Signed};
use super::options::Options;
use crate::consensus::{Digest, NodeId, RequestId, Time};

/// The requests that this replica knows of and that were not executed. A primary proposes them; a backup times them.
///
/// Bounded by the options, for each client and in all: of two clients the one that asks for more than its share loses.
#[derive(Debug, Default)]
pub(super) struct Pool {
    requests: BTreeMap<Digest, Waiting>,
    /// In the order of their arrival.
    order: BTreeMap<u64, Digest>,
    /// Which requests hold a command, by its id: more than one if the client is faulty.
    by_id: BTreeMap<RequestId, BTreeSet<Digest>>,
    per_client: BTreeMap<NodeId, usize>,
    bytes: usize,
    arrivals: u64,
    /// Those that are in no PRE-PREPARE of this view.
    unordered: BTreeSet<u64>,
}

#[derive(Debug)]
struct Waiting {
    request: Signed<Request>,
    arrival: u64,
    /// Since when this replica waits for it in this view.
    since: Time,
    /// Its commands that were not executed.
    left: BTreeSet<RequestId>,
}

/// Why a request is not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full(pub(super) &'static str);

impl Pool {
    /// Whether the request waits here.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.requests.contains_key(digest)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Adds a request that does not wait yet, to be ordered unless it is `ordered` already.
    pub(super) fn insert(
        &mut self,
        now: Time,
        digest: Digest,
        request: Signed<Request>,
        ordered: bool,
        options: &Options,
    ) -> Result<(), Full> {
        let client = request.body.client;
        if self.requests.len() >= options.max_pending_requests
            || self.bytes + request.size() > options.max_pending_bytes
        {
            return Err(Full("too many requests wait already"));
        }
        if self.per_client.get(&client).is_some_and(|count| *count >= options.max_client_requests) {
            return Err(Full("too many requests of this client wait already"));
        }
        self.arrivals += 1;
        let arrival = self.arrivals;
        for id in request.body.ids() {
            self.by_id.entry(id).or_default().insert(digest);
        }
        self.bytes += request.size();
        *self.per_client.entry(client).or_default() += 1;
        self.order.insert(arrival, digest);
        if !ordered {
            self.unordered.insert(arrival);
        }
        let left = request.body.ids().collect();
        self.requests.insert(digest, Waiting { request, arrival, since: now, left });
        Ok(())
    }

    /// A command was executed, whoever's request it came with: a request with no other command left waits no more.
    pub(super) fn executed(&mut self, id: RequestId) {
        for digest in self.by_id.remove(&id).unwrap_or_default() {
            let Some(waiting) = self.requests.get_mut(&digest) else { continue };
            waiting.left.remove(&id);
            if waiting.left.is_empty() {
                self.remove(&digest);
            }
        }
    }

    fn remove(&mut self, digest: &Digest) {
        let Some(waiting) = self.requests.remove(digest) else { return };
        self.order.remove(&waiting.arrival);
        self.unordered.remove(&waiting.arrival);
        self.bytes -= waiting.request.size();
        let client = waiting.request.body.client;
        if let Some(count) = self.per_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                self.per_client.remove(&client);
            }
        }
    }

    /// A PRE-PREPARE of this view has the request.
    pub(super) fn ordered(&mut self, digest: &Digest) {
        if let Some(waiting) = self.requests.get(digest) {
            self.unordered.remove(&waiting.arrival);
        }
    }

    /// Takes the next requests for a batch: as many as fit, at least one if there is any.
    pub(super) fn take_batch(&mut self, options: &Options) -> Vec<Signed<Request>> {
        let (mut batch, mut commands, mut bytes) = (Vec::new(), 0, 0);
        while let Some(arrival) = self.unordered.first().copied() {
            let Some(waiting) = self.order.get(&arrival).and_then(|digest| self.requests.get(digest)) else {
                self.unordered.remove(&arrival);
                continue;
            };
            let body = &waiting.request.body;
            commands += body.commands.len();
            bytes += body.command_bytes();
            if !batch.is_empty() && (commands > options.max_batch_requests || bytes > options.max_batch_bytes)
            {
                break;
            }
            batch.push(waiting.request.clone());
            self.unordered.remove(&arrival);
        }
        batch
    }

    /// A new view: nothing is ordered in it yet, and the waiting begins anew.
    pub(super) fn begin_view(&mut self, now: Time) {
        self.unordered = self.order.keys().copied().collect();
        for waiting in self.requests.values_mut() {
            waiting.since = now;
        }
    }

    /// Since when the request waits that waits for longest. (Those that came earlier wait for longer: a new view makes all
    /// begin at once.)
    pub(super) fn oldest(&self) -> Option<Time> {
        let (_, digest) = self.order.first_key_value()?;
        self.requests.get(digest).map(|waiting| waiting.since)
    }

    /// The requests in the order of their arrival.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Signed<Request>> + '_ {
        self.order.values().filter_map(|digest| self.requests.get(digest)).map(|waiting| &waiting.request)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.requests.len()
    }
}
