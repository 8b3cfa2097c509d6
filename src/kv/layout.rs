//! [`Layout`]: in which pieces a snapshot of a store is cut, and what stands in them.
//!
//! The state is a Merkle DAG whose nodes are bounded, and the pieces are that DAG, depth first, cut between nodes: whoever
//! reads them in order knows the digest of each node before it comes. What has many parts of its own that are hashed one
//! after the other (the blocks of a bucket, the versions of a key) is told from its end: the last part shows the digest
//! of what precedes it.

use std::ops::Range;

use bytes::{BufMut, Bytes, BytesMut};

use super::history::{History, Version};
use super::requests::Part;
use super::store::Store;
use super::tree::{BLOCK, BUCKETS, Bucket, Name, Slot};
use crate::consensus::{Digest, Encode, put_bytes};

/// Kinds of nodes in a piece.
pub(super) mod kind {
    pub(in crate::kv) const ORIGIN: u8 = 0;
    pub(in crate::kv) const LIFE: u8 = 1;
    pub(in crate::kv) const SESSIONS: u8 = 2;
    pub(in crate::kv) const BLOCK: u8 = 3;
    pub(in crate::kv) const OUTLINE: u8 = 4;
    pub(in crate::kv) const FIRST_RUN: u8 = 5;
    pub(in crate::kv) const RUN: u8 = 6;
}

/// A part of the state that is moved and checked as a whole.
#[derive(Debug)]
enum Node {
    /// Requests that were executed.
    Requests(Part),
    /// A section of sessions.
    Sessions(u64),
    /// A block of a bucket, with the digest of what precedes it: its histories.
    Block(Place, Digest),
    /// The same without the histories, only their chains: they follow by themselves.
    Outline(Place, Digest),
    /// Versions of one key, with the chain of what precedes them; `None` at the beginning.
    Run { place: Place, versions: Range<usize>, before: Option<Digest> },
}

/// Some slots of a bucket.
#[derive(Clone, Debug)]
struct Place {
    bucket: u32,
    slots: Range<usize>,
}

/// The nodes of each piece behind the manifest.
#[derive(Debug)]
pub(super) struct Layout(Vec<Vec<Node>>);

impl Layout {
    /// Cuts a store into pieces of about `bytes`: above that only where a single version or part has more.
    pub(super) fn of(store: &Store, bytes: usize) -> Self {
        let mut cutter = Cutter { limit: bytes, pieces: Vec::new(), piece: Vec::new(), bytes: 0 };
        for (part, weight) in store.requests.parts() {
            cutter.add(Node::Requests(part), weight);
        }
        for (number, weight) in store.sessions.weights() {
            cutter.add(Node::Sessions(number), weight);
        }
        for number in 0..BUCKETS as u32 {
            cutter.add_bucket(number, store.mvcc.tree.bucket(number as usize));
        }
        cutter.finish()
    }

    /// How many pieces there are behind the manifest.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Encodes a piece of the store that the layout is of, counted from the first behind the manifest.
    pub(super) fn encode(&self, store: &Store, number: usize) -> Option<Bytes> {
        let nodes = self.0.get(number)?;
        let mut buf = BytesMut::new();
        buf.put_u32_le(nodes.len() as u32);
        for node in nodes {
            node.encode(store, &mut buf);
        }
        Some(buf.freeze())
    }
}

struct Cutter {
    limit: usize,
    pieces: Vec<Vec<Node>>,
    piece: Vec<Node>,
    bytes: usize,
}

impl Cutter {
    fn add(&mut self, node: Node, weight: usize) {
        if self.bytes + weight > self.limit && !self.piece.is_empty() {
            self.pieces.push(std::mem::take(&mut self.piece));
            self.bytes = 0;
        }
        self.piece.push(node);
        self.bytes += weight;
    }

    /// A bucket's blocks, the last one first.
    fn add_bucket(&mut self, number: u32, bucket: &Bucket) {
        for (block, before) in bucket.before_blocks().into_iter().enumerate().rev() {
            let first = block * BLOCK;
            let slots = first..bucket.slots().len().min(first + BLOCK);
            let content = &bucket.slots()[slots.clone()];
            let weight = 40 + content.iter().map(|slot| slot.history.weight()).sum::<usize>();
            let place = Place { bucket: number, slots: slots.clone() };
            if weight <= self.limit {
                self.add(Node::Block(place, before), weight);
                continue;
            }
            self.add(Node::Outline(place, before), 40 + 32 * content.len());
            for (at, slot) in slots.zip(content).rev() {
                self.add_history(&Place { bucket: number, slots: at..at + 1 }, &slot.history);
            }
        }
    }

    /// A key's versions in runs, the newest first.
    fn add_history(&mut self, place: &Place, history: &History) {
        let starts = starts_of_runs(history, self.limit);
        let chains = chains_at(history, &starts);
        let mut end = history.len();
        for (start, before) in starts.into_iter().zip(chains).rev() {
            let weight = (start..end).map(|version| history.version(version).weight()).sum::<usize>();
            let weight = weight + if before.is_some() { 40 } else { 12 + history.key.len() };
            self.add(Node::Run { place: place.clone(), versions: start..end, before }, weight);
            end = start;
        }
    }

    fn finish(mut self) -> Layout {
        if !self.piece.is_empty() {
            self.pieces.push(self.piece);
        }
        Layout(self.pieces)
    }
}

/// The first version of each run, the oldest first: from the newest on, as many versions as fit into `limit` bytes.
fn starts_of_runs(history: &History, limit: usize) -> Vec<usize> {
    let (mut starts, mut bytes) = (Vec::new(), 0);
    for number in (0..history.len()).rev() {
        let weight = history.version(number).weight();
        if bytes + weight > limit && bytes > 0 {
            starts.push(number + 1);
            bytes = 0;
        }
        bytes += weight;
    }
    starts.push(0);
    starts.reverse();
    starts
}

/// The chain of what precedes each of these versions; `None` for the first.
fn chains_at(history: &History, starts: &[usize]) -> Vec<Option<Digest>> {
    let (mut chain, mut done) = (Name::hash(&history.key), 0);
    let mut chain_at = |start: usize| {
        chain = (done..start).fold(chain, |chain, number| history.version(number).link(&chain));
        done = start;
        (start > 0).then_some(chain)
    };
    starts.iter().map(|start| chain_at(*start)).collect()
}

impl Node {
    fn encode(&self, store: &Store, buf: &mut BytesMut) {
        match self {
            Self::Requests(Part::Section(number)) => {
                buf.put_u8(kind::ORIGIN);
                store.requests.encode_section(*number, buf);
            }
            Self::Requests(Part::Life(number, life)) => {
                buf.put_u8(kind::LIFE);
                store.requests.encode_life(*number, *life, buf);
            }
            Self::Sessions(number) => {
                buf.put_u8(kind::SESSIONS);
                store.sessions.encode_section(*number, buf);
            }
            Self::Block(place, before) => {
                place.encode_head(kind::BLOCK, before, buf);
                place.slots(store).iter().for_each(|slot| slot.history.encode(buf));
            }
            Self::Outline(place, before) => {
                place.encode_head(kind::OUTLINE, before, buf);
                place.slots(store).iter().for_each(|slot| slot.chain.encode(buf));
            }
            Self::Run { place, versions, before } => {
                let history = &place.slots(store)[0].history;
                let run = versions.clone().map(|number| history.version(number));
                encode_run(&history.key, before.as_ref(), run, buf);
            }
        }
    }
}

impl Place {
    fn slots<'a>(&self, store: &'a Store) -> &'a [Slot] {
        &store.mvcc.tree.bucket(self.bucket as usize).slots()[self.slots.clone()]
    }

    fn encode_head(&self, kind: u8, before: &Digest, buf: &mut BytesMut) {
        buf.put_u8(kind);
        before.encode(buf);
        buf.put_u32_le(self.slots.len() as u32);
    }
}

fn encode_run<'a>(
    key: &[u8],
    before: Option<&Digest>,
    versions: impl ExactSizeIterator<Item = &'a Version>,
    buf: &mut BytesMut,
) {
    if let Some(before) = before {
        buf.put_u8(kind::RUN);
        before.encode(buf);
    } else {
        buf.put_u8(kind::FIRST_RUN);
        put_bytes(buf, key);
    }
    buf.put_u32_le(versions.len() as u32);
    versions.for_each(|version| version.encode(buf));
}
