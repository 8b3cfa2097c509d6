//! What replies prove, whatever the order of what is not known: which keys an operation concerns, whether it wrote,
//! and the states of keys that it saw.

use bytes::Bytes;

use crate::kv::{
    KeyValue, Op, RangeRequest, RangeResponse, Response, TxnOp, TxnOpResponse, TxnRequest, TxnResponse,
};

/// Keys, given as etcd gives them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span {
    pub(super) key: Bytes,
    pub(super) range_end: Bytes,
}

impl Span {
    pub(super) fn new(key: &Bytes, range_end: &Bytes) -> Self {
        Self { key: key.clone(), range_end: range_end.clone() }
    }

    /// The only key, if it is one key.
    pub(super) fn only(&self) -> Option<&Bytes> {
        self.range_end.is_empty().then_some(&self.key)
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        match &self.range_end[..] {
            [] => self.key == key,
            [0] => key >= &self.key[..],
            end => key >= &self.key[..] && key < end,
        }
    }
}

/// What a write leaves in its keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// This value.
    Put(Bytes),
    /// The value that was there.
    Keep,
    /// Nothing.
    Delete,
}

/// The keys that an operation concerns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Footprint {
    /// What it may write, in whichever branch.
    pub(super) writes: Vec<(Span, Effect)>,
    /// What decides whether it writes.
    pub(super) compares: Vec<Span>,
    /// What it reads.
    pub(super) reads: Vec<Span>,
    /// The lowest revision that it asks for by number, if it asks for any.
    pub(super) asks_for: Option<i64>,
}

impl Footprint {
    pub(super) fn of(op: &Op) -> Self {
        let mut footprint = Self::default();
        match op {
            Op::Range(request) => footprint.range(request),
            Op::Put(request) => footprint.put(&request.key, &request.value, request.ignore_value),
            Op::DeleteRange(request) => footprint.delete(Span::new(&request.key, &request.range_end)),
            Op::Txn(request) => footprint.txn(request),
            Op::Compact(_) | Op::OpenSession => {}
        }
        footprint
    }

    fn range(&mut self, request: &RangeRequest) {
        self.reads.push(Span::new(&request.key, &request.range_end));
        if request.revision > 0 {
            self.asks_for =
                Some(self.asks_for.map_or(request.revision, |lowest| lowest.min(request.revision)));
        }
    }

    fn put(&mut self, key: &Bytes, value: &Bytes, ignore_value: bool) {
        let span = Span::new(key, &Bytes::new());
        if ignore_value {
            // Writes what is there, and only if something is.
            self.compares.push(span.clone());
            self.writes.push((span, Effect::Keep));
        } else {
            self.writes.push((span, Effect::Put(value.clone())));
        }
    }

    fn delete(&mut self, span: Span) {
        // Deleting nothing is no write.
        self.compares.push(span.clone());
        self.writes.push((span, Effect::Delete));
    }

    fn txn(&mut self, request: &TxnRequest) {
        self.compares
            .extend(request.compare.iter().map(|compare| Span::new(&compare.key, &compare.range_end)));
        for op in request.success.iter().chain(&request.failure) {
            match op {
                TxnOp::Range(request) => self.range(request),
                TxnOp::Put(request) => self.put(&request.key, &request.value, request.ignore_value),
                TxnOp::DeleteRange(request) => self.delete(Span::new(&request.key, &request.range_end)),
                TxnOp::Txn(nested) => self.txn(nested),
            }
        }
    }

    /// Whether it may write the key.
    pub(super) fn may_write(&self, key: &[u8]) -> bool {
        self.writes.iter().any(|(span, _)| span.contains(key))
    }

    /// Whether it may put this value, or any if none is given, into the key.
    pub(super) fn may_put(&self, key: &[u8], value: Option<&Bytes>) -> bool {
        self.writes.iter().any(|(span, effect)| {
            span.contains(key)
                && match (effect, value) {
                    (Effect::Put(put), Some(value)) => put == value,
                    // A put that keeps the value can have left any.
                    (Effect::Put(_) | Effect::Keep, _) => true,
                    (Effect::Delete, _) => false,
                }
        })
    }

    /// All keys that it concerns.
    pub(super) fn spans(&self) -> impl Iterator<Item = &Span> {
        self.writes.iter().map(|(span, _)| span).chain(&self.compares).chain(&self.reads)
    }
}

/// Whether the operation with this reply moved the revision.
pub(super) fn wrote(response: &Response) -> bool {
    match response {
        Response::Put(_) => true,
        Response::DeleteRange(reply) => reply.deleted > 0,
        Response::Txn(reply) => txn_wrote(reply),
        Response::Range(_) | Response::Compact(_) | Response::OpenSession(_) => false,
    }
}

fn txn_wrote(reply: &TxnResponse) -> bool {
    reply.responses.iter().any(|part| match part {
        TxnOpResponse::Put(_) => true,
        TxnOpResponse::DeleteRange(reply) => reply.deleted > 0,
        TxnOpResponse::Txn(nested) => txn_wrote(nested),
        TxnOpResponse::Range(_) => false,
    })
}

/// The state of a key, as some reply shows it. It held from `kv.mod_revision` up to, with, revision `at`.
#[derive(Clone, Debug)]
pub(super) struct Sighting {
    pub(super) kv: KeyValue,
    pub(super) at: i64,
    /// Whether the reply shows the value.
    pub(super) value: bool,
}

/// What a reply shows of keys: those that were there, and those that certainly were not, with the revision.
#[derive(Debug, Default)]
pub(super) struct Sightings {
    pub(super) present: Vec<Sighting>,
    pub(super) absent: Vec<(Bytes, i64)>,
}

impl Sightings {
    /// What `response` to `op` shows; `op` wrote at the reply's revision if `wrote`.
    pub(super) fn of(op: &Op, response: &Response, wrote: bool) -> Self {
        let mut sightings = Self::default();
        let revision = response.revision();
        let before = if wrote { revision - 1 } else { revision };
        match (op, response) {
            (Op::Range(request), Response::Range(reply)) => sightings.range(request, reply, revision),
            (Op::Put(_), Response::Put(reply)) => sightings.all(reply.prev_kv.iter(), before),
            (Op::DeleteRange(request), Response::DeleteRange(reply)) => {
                sightings.all(reply.prev_kvs.iter(), before);
                if request.range_end.is_empty() {
                    sightings.absent.push((request.key.clone(), revision));
                }
            }
            (Op::Txn(request), Response::Txn(reply)) => sightings.txn(request, reply, revision, before),
            _ => {}
        }
        sightings
    }

    fn all<'a>(&mut self, kvs: impl Iterator<Item = &'a KeyValue>, at: i64) {
        self.present.extend(kvs.map(|kv| Sighting { kv: kv.clone(), at, value: true }));
    }

    fn range(&mut self, request: &RangeRequest, reply: &RangeResponse, at: i64) {
        let at = if request.revision > 0 { request.revision.min(at) } else { at };
        let sightings = reply.kvs.iter().map(|kv| Sighting { kv: kv.clone(), at, value: !request.keys_only });
        self.present.extend(sightings);
        if request.range_end.is_empty() && reply.count == 0 {
            self.absent.push((request.key.clone(), at));
        }
    }

    /// A transaction's reads see its own writes; only what is older says something of the state before it.
    fn txn(&mut self, request: &TxnRequest, reply: &TxnResponse, revision: i64, before: i64) {
        let branch = if reply.succeeded { &request.success } else { &request.failure };
        for (op, part) in branch.iter().zip(&reply.responses) {
            match (op, part) {
                (TxnOp::Range(request), TxnOpResponse::Range(reply)) => {
                    let mut inner = Self::default();
                    inner.range(request, reply, before);
                    self.present
                        .extend(inner.present.into_iter().filter(|seen| seen.kv.mod_revision <= before));
                    if before == revision {
                        self.absent.append(&mut inner.absent);
                    }
                }
                (TxnOp::Put(_), TxnOpResponse::Put(reply)) => {
                    self.all(reply.prev_kv.iter().filter(|kv| kv.mod_revision <= before), before);
                }
                (TxnOp::DeleteRange(_), TxnOpResponse::DeleteRange(reply)) => {
                    self.all(reply.prev_kvs.iter().filter(|kv| kv.mod_revision <= before), before);
                }
                (TxnOp::Txn(request), TxnOpResponse::Txn(reply)) => {
                    self.txn(request, reply, revision, before);
                }
                _ => {}
            }
        }
    }
}
