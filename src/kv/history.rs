//! One key and what is kept of its past.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use imbl::Vector;

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
    pub(super) version: i64,
    /// `None` is a tombstone: the key was deleted.
    pub(super) value: Option<Bytes>,
}

/// A key with its versions, oldest first. The oldest is never a tombstone.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub(super) key: Key,
    /// The hash over the key and all versions, each linked to those before it: a write costs one hash however long the
    /// history is.
    chain: Digest,
    last: Version,
    /// The versions before the last: none for most keys.
    older: Option<Arc<Vector<Version>>>,
}

impl History {
    /// A history of one version; `start` is the key's hash.
    pub(super) fn new(key: Key, start: &Digest, version: Version) -> Self {
        Self { key, chain: link(start, &version), last: version, older: None }
    }

    pub(super) fn chain(&self) -> &Digest {
        &self.chain
    }

    pub(super) fn last(&self) -> &Version {
        &self.last
    }

    /// Appends a version.
    pub(super) fn push(&mut self, version: Version) {
        self.chain = link(&self.chain, &version);
        let previous = std::mem::replace(&mut self.last, version);
        Arc::make_mut(self.older.get_or_insert_default()).push_back(previous);
    }

    pub(super) fn versions(&self) -> impl Iterator<Item = &Version> {
        self.older.iter().flat_map(|older| older.iter()).chain(std::iter::once(&self.last))
    }

    /// The version with this number, counted from the oldest.
    fn version(&self, number: usize) -> &Version {
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
            version: version.version,
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

    /// Drops the oldest `count` versions; fewer than there are. `start` is the key's hash.
    pub(super) fn drop_oldest(&mut self, count: usize, start: &Digest) {
        if let Some(older) = &mut self.older {
            let rest = Arc::make_mut(older).split_off(count);
            self.older = if rest.is_empty() { None } else { Some(Arc::new(rest)) };
        }
        self.chain = self.versions().fold(*start, |chain, version| link(&chain, version));
    }

    /// About how many bytes the history takes in a snapshot.
    pub(super) fn weight(&self) -> usize {
        let values = |version: &Version| 32 + version.value.as_ref().map_or(0, Bytes::len);
        self.key.len() + self.versions().map(values).sum::<usize>()
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

/// Links a version to the chain of those before it.
fn link(chain: &Digest, version: &Version) -> Digest {
    let mut fixed = [0; 29];
    fixed[..8].copy_from_slice(&version.at.revision.to_le_bytes());
    fixed[8..12].copy_from_slice(&version.at.sub.to_le_bytes());
    fixed[12..20].copy_from_slice(&version.create.to_le_bytes());
    fixed[20..28].copy_from_slice(&version.version.to_le_bytes());
    fixed[28] = version.value.is_some().into();
    let hasher = Hasher::new(Domain::Version).digest(chain).bytes(&fixed);
    hasher.bytes(version.value.as_deref().unwrap_or_default()).finish()
}

impl Encode for Version {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_i64_le(self.at.revision);
        buf.put_u32_le(self.at.sub);
        buf.put_i64_le(self.create);
        buf.put_i64_le(self.version);
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
            version: i64(reader)?,
            value: if reader.bool()? { Some(own(&reader.bytes()?)) } else { None },
        })
    }
}

impl Encode for History {
    fn encode(&self, buf: &mut BytesMut) {
        put_bytes(buf, &self.key);
        buf.put_u32_le(self.older.as_ref().map_or(0, |older| older.len()) as u32 + 1);
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
        let start = super::tree::Name::hash(&key);
        let mut history = Self::new(key, &start, Version::decode(reader)?);
        for _ in 1..count {
            history.push(Version::decode(reader)?);
        }
        Ok(history)
    }
}
