//! One key and what is kept of its past.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{i64, own};
use super::hash::{Domain, Hasher};
use super::response::KeyValue;
use crate::consensus::{Decode, DecodeError, Digest, Encode, Reader, put_bytes};

/// A key, shared by all places that hold it. Half as large as [`Bytes`].
pub(super) type Key = Arc<[u8]>;

/// When a version was written: the revision, and its place among the writes of one transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment {
    pub(super) revision: i64,
    pub(super) sub: u32,
}

/// What a key was from one write to the next.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) at: Moment,
    /// The revision that created the key; zero in a tombstone.
    pub(super) create: i64,
    /// The number of writes since then; zero in a tombstone.
    pub(super) count: i64,
    /// `None` is a tombstone: the key was deleted.
    pub(super) value: Option<Bytes>,
}

/// How many versions share an allocation once a key has that many.
const CHUNK: usize = 64;

/// The versions before the last. Full chunks are shared between clones, so that the first write to a hot key after a
/// snapshot copies a fraction of its history.
#[derive(Clone, Debug, Default)]
struct Past {
    full: Vec<Arc<[Version]>>,
    open: Vec<Version>,
}

impl Past {
    fn len(&self) -> usize {
        self.full.len() * CHUNK + self.open.len()
    }

    fn push(&mut self, version: Version) {
        if self.open.capacity() == 0 {
            // Most keys that have a past have a short one.
            self.open.reserve_exact(1);
        }
        self.open.push(version);
        if self.open.len() == CHUNK {
            self.full.push(self.open.drain(..).collect());
        }
    }

    fn get(&self, number: usize) -> Option<&Version> {
        match self.full.get(number / CHUNK) {
            Some(chunk) => chunk.get(number % CHUNK),
            None => self.open.get(number - self.full.len() * CHUNK),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &Version> {
        self.full.iter().flat_map(|chunk| chunk.iter()).chain(&self.open)
    }
}

/// A key with its versions, oldest first. The oldest is never a tombstone.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) key: Key,
    last: Version,
    /// The versions before the last: none for most keys.
    older: Option<Box<Past>>,
}

impl History {
    /// A history of one version.
    pub(super) fn new(key: Key, version: Version) -> Self {
        Self { key, last: version, older: None }
    }

    /// A history of the versions that are given, the oldest first; `None` if there are none.
    pub(super) fn of(key: Key, versions: impl IntoIterator<Item = Version>) -> Option<Self> {
        let mut versions = versions.into_iter();
        let mut history = Self::new(key, versions.next()?);
        versions.for_each(|version| history.push(version));
        Some(history)
    }

    /// The hash over all versions, each linked to those before it, from the key's hash on: a write costs one hash
    /// however long the history is.
    pub(super) fn chain(&self, start: &Digest) -> Digest {
        self.versions().fold(*start, |chain, version| version.link(&chain))
    }

    pub(super) fn last(&self) -> &Version {
        &self.last
    }

    /// Appends a version.
    pub(super) fn push(&mut self, version: Version) {
        let previous = std::mem::replace(&mut self.last, version);
        self.older.get_or_insert_default().push(previous);
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.older.iter().flat_map(|older| older.iter()).chain(std::iter::once(&self.last))
    }

    /// How many versions there are.
    pub(super) fn len(&self) -> usize {
        self.older.as_ref().map_or(0, |older| older.len()) + 1
    }

    /// The version with this number, counted from the oldest.
    pub(super) fn version(&self, number: usize) -> &Version {
        self.older.as_ref().and_then(|older| older.get(number)).unwrap_or(&self.last)
    }

    /// How many versions were written at or before `revision`.
    fn count_until(&self, revision: i64) -> usize {
        let older = self.older.as_ref().map_or(0, |older| older.len());
        if self.last.at.revision <= revision {
            return older + 1;
        }
        let (mut low, mut high) = (0, older);
        while low < high {
            let middle = low.midpoint(high);
            if self.version(middle).at.revision <= revision {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// What the key was as of `revision`, a tombstone if it was deleted then; `None` if it had not been written yet.
    fn version_at(&self, revision: i64) -> Option<&Version> {
        self.count_until(revision).checked_sub(1).map(|number| self.version(number))
    }

    /// Whether the key existed as of `revision`.
    pub(super) fn exists_at(&self, revision: i64) -> bool {
        self.version_at(revision).is_some_and(|version| version.value.is_some())
    }

    /// The key as of `revision`; `None` if it did not exist then.
    pub(super) fn at(&self, revision: i64) -> Option<KeyValue> {
        let version = self.version_at(revision)?;
        Some(KeyValue {
            key: own(&self.key),
            create_revision: version.create,
            mod_revision: version.at.revision,
            version: version.count,
            value: version.value.clone()?,
        })
    }

    /// What compacting at `revision` does to the history: of the versions up to then only the newest is needed, and
    /// not even that if it is a tombstone.
    pub(super) fn compaction(&self, revision: i64) -> Compaction {
        let until = self.count_until(revision);
        let Some(newest) = until.checked_sub(1) else { return Compaction::Nothing };
        let dropped = if self.version(newest).value.is_none() { until } else { newest };
        if dropped == 0 {
            Compaction::Nothing
        } else if dropped > self.older.as_ref().map_or(0, |older| older.len()) {
            Compaction::Everything
        } else {
            Compaction::Oldest(dropped)
        }
    }

    /// Drops the oldest `count` versions; fewer than there are.
    pub(super) fn drop_oldest(&mut self, count: usize) {
        let mut rest = Past::default();
        let older = self.older.take();
        older
            .iter()
            .flat_map(|older| older.iter())
            .skip(count)
            .for_each(|version| rest.push(version.clone()));
        self.older = (rest.len() > 0).then(|| Box::new(rest));
    }

    /// Bytes of the key and of all its values.
    pub(super) fn bytes(&self) -> u64 {
        self.key.len() as u64 + self.versions().map(Version::bytes).sum::<u64>()
    }

    /// How many bytes the history takes in a snapshot.
    pub(super) fn weight(&self) -> usize {
        8 + self.key.len() + self.versions().map(Version::weight).sum::<usize>()
    }
}

/// What a compaction does to a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compaction {
    /// All versions stay.
    Nothing,
    /// So many of the oldest go, and some stay.
    Oldest(usize),
    /// The key is gone without a trace.
    Everything,
}

impl Version {
    /// Bytes of the value.
    pub(super) fn bytes(&self) -> u64 {
        self.value.as_ref().map_or(0, |value| value.len() as u64)
    }

    /// How many bytes the version takes in a snapshot.
    pub(super) fn weight(&self) -> usize {
        29 + self.value.as_ref().map_or(0, |value| 4 + value.len())
    }

    /// Links the version to the chain of those before it.
    pub(super) fn link(&self, chain: &Digest) -> Digest {
        let mut fixed = [0; 29];
        fixed[..8].copy_from_slice(&self.at.revision.to_le_bytes());
        fixed[8..12].copy_from_slice(&self.at.sub.to_le_bytes());
        fixed[12..20].copy_from_slice(&self.create.to_le_bytes());
        fixed[20..28].copy_from_slice(&self.count.to_le_bytes());
        fixed[28] = self.value.is_some().into();
        let hasher = Hasher::new(Domain::Version).digest(chain).bytes(&fixed);
        hasher.bytes(self.value.as_deref().unwrap_or_default()).finish()
    }
}

impl Encode for Version {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_i64_le(self.at.revision);
        buf.put_u32_le(self.at.sub);
        buf.put_i64_le(self.create);
        buf.put_i64_le(self.count);
        match &self.value {
            None => buf.put_u8(0),
            Some(value) => {
                buf.put_u8(1);
                put_bytes(buf, value);
            }
        }
    }
}

impl Decode for Version {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            at: Moment { revision: i64(reader)?, sub: reader.u32()? },
            create: i64(reader)?,
            count: i64(reader)?,
            value: if reader.bool()? { Some(own(&reader.bytes()?)) } else { None },
        })
    }
}

impl Encode for History {
    fn encode(&self, buf: &mut BytesMut) {
        put_bytes(buf, &self.key);
        buf.put_u32_le(self.len() as u32);
        self.versions().for_each(|version| version.encode(buf));
    }
}

impl Decode for History {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let key = Key::from(&reader.bytes()?[..]);
        let count = reader.u32()?;
        if count == 0 {
            return Err(DecodeError::Invalid { what: "the number of a key's versions", value: 0 });
        }
        let mut history = Self::new(key, Version::decode(reader)?);
        for _ in 1..count {
            history.push(Version::decode(reader)?);
        }
        Ok(history)
    }
}
