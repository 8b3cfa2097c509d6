//! The Merkle tree that holds the histories: 64 groups of 64 buckets, a key's bucket given by its hash.
//!
//! Every node keeps its digest until something below it changes. All nodes are shared between clones and copied when
//! they are written, so that a clone costs 64 reference counts and a write after it the copy of one path.

use std::sync::Arc;

use super::hash::{Domain, EMPTY, Hasher};
use super::history::{History, Key, Version};
use crate::consensus::Digest;

/// How many children the root and each group have. With a million keys a bucket then holds 250: small enough to rehash
/// one for a single write (8 KB of digests), and to copy one for the first write after a snapshot.
const FANOUT: usize = 64;

/// How many histories of a bucket are hashed together; a snapshot moves such a block as a whole unless it is too large.
pub(super) const BLOCK: usize = 64;

/// How many buckets there are.
pub(super) const BUCKETS: usize = FANOUT * FANOUT;

/// The front of a key's hash: its place in the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(u64);

impl Name {
    /// A key's whole hash, with which its history's chain starts.
    pub(super) fn hash(key: &[u8]) -> Digest {
        Hasher::new(Domain::Key).bytes(key).finish()
    }

    pub(super) fn from_hash(hash: &Digest) -> Self {
        let mut front = [0; 8];
        front.copy_from_slice(&hash.0[..8]);
        Self(u64::from_be_bytes(front))
    }

    pub(super) fn of(key: &[u8]) -> Self {
        Self::from_hash(&Self::hash(key))
    }

    pub(super) fn bucket(self) -> usize {
        (self.0 >> 52) as usize
    }
}

/// A history and its place in the bucket. The name saves the look at the key, and the chain the look at the history:
/// both lie elsewhere in memory.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    name: Name,
    /// The history's [chain](History::chain).
    pub(super) chain: Digest,
    pub(super) history: Arc<History>,
}

impl Slot {
    /// A history as it stands in a snapshot.
    pub(super) fn new(history: History) -> Self {
        let hash = Name::hash(&history.key);
        let (name, chain) = (Name::from_hash(&hash), history.chain(&hash));
        Self { name, chain, history: Arc::new(history) }
    }

    /// A history whose chain is known.
    pub(super) fn with_chain(history: History, chain: Digest) -> Self {
        Self { name: Name::of(&history.key), chain, history: Arc::new(history) }
    }
}

/// Some of the histories, in the order of names and, where these collide, keys.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    /// `None` while it is to be computed anew.
    digest: Option<Digest>,
    slots: Vec<Slot>,
}

impl Bucket {
    const fn new() -> Self {
        Self { digest: Some(EMPTY), slots: Vec::new() }
    }

    /// The slots, in the order in which they are hashed.
    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The digest of what precedes each block.
    pub(super) fn before_blocks(&self) -> Vec<Digest> {
        let mut before = EMPTY;
        let next = |block: &[Slot]| {
            let after = block_digest(&before, chains(block));
            std::mem::replace(&mut before, after)
        };
        self.slots.chunks(BLOCK).map(next).collect()
    }

    pub(super) fn histories(&self) -> impl ExactSizeIterator<Item = &History> {
        self.slots.iter().map(|slot| &*slot.history)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = (Name, &Key)> {
        self.slots.iter().map(|slot| (slot.name, &slot.history.key))
    }

    /// The bucket's digest, which must be up to date.
    pub(super) fn digest(&self) -> &Digest {
        self.digest.as_ref().expect("digests are brought up to date before they are read")
    }

    fn find(&self, name: Name, key: &[u8]) -> Result<usize, usize> {
        self.slots.binary_search_by(|slot| slot.name.cmp(&name).then_with(|| slot.history.key[..].cmp(key)))
    }

    fn rehash(&mut self) -> Digest {
        *self.digest.get_or_insert_with(|| digest_of(&self.slots))
    }
}

/// The digests are hashed in order, not summed: who may choose keys could otherwise forge a state of equal digest. Block
/// after block, each linked to those before it, so that any block can be shown without the others.
fn digest_of(slots: &[Slot]) -> Digest {
    slots.chunks(BLOCK).fold(EMPTY, |before, block| block_digest(&before, chains(block)))
}

fn chains(slots: &[Slot]) -> impl Iterator<Item = &Digest> {
    slots.iter().map(|slot| &slot.chain)
}

/// The digest of a bucket up to the end of a block, from that of what precedes the block and its histories' chains.
pub(super) fn block_digest<'a>(before: &Digest, chains: impl Iterator<Item = &'a Digest>) -> Digest {
    let hasher = Hasher::new(Domain::Bucket).digest(before);
    chains.fold(hasher, Hasher::digest).finish()
}

#[derive(Clone, Debug)]
struct Group {
    digest: Option<Digest>,
    buckets: Vec<Arc<Bucket>>,
}

impl Group {
    fn rehash(&mut self) -> Digest {
        if self.digest.is_none() {
            for bucket in self.buckets.iter_mut().filter(|bucket| bucket.digest.is_none()) {
                Arc::make_mut(bucket).rehash();
            }
            self.digest = Some(group_digest(self.buckets.iter().map(|bucket| *bucket.digest())));
        }
        *self.digest.get_or_insert(EMPTY)
    }
}

fn group_digest(buckets: impl Iterator<Item = Digest>) -> Digest {
    let (mut hasher, mut empty) = (Hasher::new(Domain::Group), true);
    for digest in buckets {
        empty &= digest == EMPTY;
        hasher = hasher.digest(&digest);
    }
    if empty { EMPTY } else { hasher.finish() }
}

fn root_digest(groups: impl Iterator<Item = Digest>) -> Digest {
    groups.fold(Hasher::new(Domain::Root), |hasher, group| hasher.digest(&group)).finish()
}

/// The digest of a tree whose buckets, all of them, have the given digests.
pub(super) fn digest_from_buckets(buckets: &[Digest]) -> Digest {
    root_digest(buckets.chunks(FANOUT).map(|group| group_digest(group.iter().copied())))
}

/// All histories.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    groups: Vec<Arc<Group>>,
    /// Bytes of all keys and values, old versions included. Follows from the histories, so no part of the digest.
    bytes: u64,
}

impl Tree {
    pub(super) fn new() -> Self {
        // All empty nodes are one and the same until they are written.
        let bucket = Arc::new(Bucket::new());
        let group = Arc::new(Group { digest: Some(EMPTY), buckets: vec![bucket; FANOUT] });
        Self { groups: vec![group; FANOUT], bytes: 0 }
    }

    /// Bytes of all keys and values, old versions included.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn bucket(&self, number: usize) -> &Bucket {
        &self.groups[number / FANOUT].buckets[number % FANOUT]
    }

    /// The bucket, to be written: its digest and those above it are to be computed anew.
    fn bucket_mut(&mut self, number: usize) -> &mut Bucket {
        let group = Arc::make_mut(&mut self.groups[number / FANOUT]);
        group.digest = None;
        let bucket = Arc::make_mut(&mut group.buckets[number % FANOUT]);
        bucket.digest = None;
        bucket
    }

    /// Puts slots of a snapshot in front of those that a bucket has. Their order is taken as it is: if it is not the right
    /// one, nor is the digest.
    pub(super) fn restore(&mut self, number: usize, slots: Vec<Slot>) {
        self.bytes += slots.iter().map(|slot| slot.history.bytes()).sum::<u64>();
        self.bucket_mut(number).slots.splice(0..0, slots);
    }

    pub(super) fn get(&self, name: Name, key: &[u8]) -> Option<&History> {
        let bucket = self.bucket(name.bucket());
        bucket.find(name, key).ok().map(|at| &*bucket.slots[at].history)
    }

    /// Drops the oldest `count` versions of a key, fewer than it has.
    pub(super) fn drop_oldest(&mut self, hash: &Digest, key: &[u8], count: usize) {
        let name = Name::from_hash(hash);
        let bucket = self.bucket_mut(name.bucket());
        if let Ok(at) = bucket.find(name, key) {
            let slot = &mut bucket.slots[at];
            let before = slot.history.bytes();
            Arc::make_mut(&mut slot.history).drop_oldest(count);
            slot.chain = slot.history.chain(hash);
            let after = slot.history.bytes();
            self.bytes -= before - after;
        }
    }

    /// Appends a version to a key's history, made by `version` from the last one; starts the history if there is
    /// none. Answers whether there was one, and the key in the history's own allocation.
    pub(super) fn push(
        &mut self,
        key: &[u8],
        version: impl FnOnce(Option<&Version>) -> Version,
    ) -> (Name, Key, bool) {
        let hash = Name::hash(key);
        let name = Name::from_hash(&hash);
        let bucket = self.bucket_mut(name.bucket());
        match bucket.find(name, key) {
            Ok(at) => {
                let slot = &mut bucket.slots[at];
                let version = version(Some(slot.history.last()));
                let bytes = version.bytes();
                slot.chain = version.link(&slot.chain);
                Arc::make_mut(&mut slot.history).push(version);
                let key = Key::clone(&slot.history.key);
                self.bytes += bytes;
                (name, key, true)
            }
            Err(at) => {
                let (key, version) = (Key::from(key), version(None));
                let chain = version.link(&hash);
                let history = Arc::new(History::new(Key::clone(&key), version));
                let bytes = history.bytes();
                bucket.slots.insert(at, Slot { name, chain, history });
                self.bytes += bytes;
                (name, key, false)
            }
        }
    }

    pub(super) fn remove(&mut self, name: Name, key: &[u8]) {
        let bucket = self.bucket_mut(name.bucket());
        if let Ok(at) = bucket.find(name, key) {
            let bytes = bucket.slots.remove(at).history.bytes();
            self.bytes -= bytes;
        }
    }

    /// Brings all digests up to date and answers the root's.
    pub(super) fn rehash(&mut self) -> Digest {
        for group in self.groups.iter_mut().filter(|group| group.digest.is_none()) {
            Arc::make_mut(group).rehash();
        }
        root_digest(self.groups.iter().map(|group| group.digest.unwrap_or(EMPTY)))
    }
}
