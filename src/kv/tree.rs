//! The Merkle tree that holds the histories: 64 groups of 64 buckets, a key's bucket given by its hash.
//!
//! Every node keeps its digest until something below it changes. All nodes are shared between clones and copied when
//! they are written, so that a clone costs 64 reference counts and a write after it the copy of one path.

use std::sync::Arc;

use super::hash::{Domain, EMPTY, Hasher};
use super::history::{History, Version};
use crate::consensus::Digest;

/// How many children the root and each group have. With a million keys a bucket then holds 250: small enough to rehash
/// one for a single write (8 KB of digests), and to copy one for the first write after a snapshot.
const FANOUT: usize = 64;

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

/// A history and its place in the bucket. The name saves the look at the key, which lies elsewhere in memory.
#[derive(Clone, Debug)]
struct Slot {
    name: Name,
    history: Arc<History>,
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

    /// A bucket of histories as they stand in a snapshot. Their order is taken as it is: if it is not the right one,
    /// nor is the digest.
    pub(super) fn from_histories(histories: Vec<History>) -> Self {
        let slot = |history: History| Slot { name: Name::of(&history.key), history: Arc::new(history) };
        let slots: Vec<_> = histories.into_iter().map(slot).collect();
        Self { digest: Some(digest_of(&slots)), slots }
    }

    pub(super) fn histories(&self) -> impl ExactSizeIterator<Item = &History> {
        self.slots.iter().map(|slot| &*slot.history)
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

/// The digests are hashed in order, not summed: who may choose keys could otherwise forge a state of equal digest.
fn digest_of(slots: &[Slot]) -> Digest {
    if slots.is_empty() {
        return EMPTY;
    }
    let hasher = Hasher::new(Domain::Bucket);
    slots.iter().fold(hasher, |hasher, slot| hasher.digest(slot.history.chain())).finish()
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

/// The digest of a tree whose buckets have the given digests.
pub(super) fn digest_from_buckets(buckets: &[Digest; BUCKETS]) -> Digest {
    root_digest(buckets.chunks(FANOUT).map(|group| group_digest(group.iter().copied())))
}

/// All histories.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    groups: Vec<Arc<Group>>,
}

impl Tree {
    pub(super) fn new() -> Self {
        let group = Group { digest: Some(EMPTY), buckets: vec![Arc::new(Bucket::new()); FANOUT] };
        Self { groups: vec![Arc::new(group); FANOUT] }
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

    /// Puts a whole bucket in its place.
    pub(super) fn set_bucket(&mut self, number: usize, bucket: Bucket) {
        *self.bucket_mut(number) = bucket;
    }

    pub(super) fn get(&self, name: Name, key: &[u8]) -> Option<&History> {
        let bucket = self.bucket(name.bucket());
        bucket.find(name, key).ok().map(|at| &*bucket.slots[at].history)
    }

    /// Changes the history of a key that is there.
    pub(super) fn update<T>(
        &mut self,
        name: Name,
        key: &[u8],
        change: impl FnOnce(&mut History) -> T,
    ) -> Option<T> {
        let bucket = self.bucket_mut(name.bucket());
        let at = bucket.find(name, key).ok()?;
        Some(change(Arc::make_mut(&mut bucket.slots[at].history)))
    }

    /// Appends a version to a key's history, made by `version` from the last one; starts the history if there is
    /// none. Answers whether there was one, and the key in the history's own allocation.
    pub(super) fn push(
        &mut self,
        key: &[u8],
        version: impl FnOnce(Option<&Version>) -> Version,
    ) -> (Name, super::history::Key, bool) {
        let hash = Name::hash(key);
        let name = Name::from_hash(&hash);
        let bucket = self.bucket_mut(name.bucket());
        match bucket.find(name, key) {
            Ok(at) => {
                let history = Arc::make_mut(&mut bucket.slots[at].history);
                history.push(version(Some(history.last())));
                (name, Arc::clone(&history.key), true)
            }
            Err(at) => {
                let history = History::new(key.into(), &hash, version(None));
                let key = Arc::clone(&history.key);
                bucket.slots.insert(at, Slot { name, history: Arc::new(history) });
                (name, key, false)
            }
        }
    }

    pub(super) fn remove(&mut self, name: Name, key: &[u8]) {
        let bucket = self.bucket_mut(name.bucket());
        if let Ok(at) = bucket.find(name, key) {
            bucket.slots.remove(at);
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
