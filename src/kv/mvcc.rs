//! The keys with their revisions: what is left of etcd's `mvcc` package when it needs neither disk nor lock.

use bytes::Bytes;
use imbl::OrdMap;

use super::error::KvError;
use super::history::{Compaction, History, Key, Moment, Version};
use super::interval::Interval;
use super::response::KeyValue;
use super::tree::{Bucket, Name, Tree};

/// The keys, all their versions since the last compaction, and the revision.
#[derive(Clone, Debug)]
pub(super) struct Mvcc {
    /// The number of the last change. A fresh store is at 1, as in etcd, so that 0 can mean "now".
    pub(super) revision: i64,
    /// The oldest revision that can be read; -1 before the first compaction, as in etcd.
    pub(super) compacted: i64,
    pub(super) tree: Tree,
    /// Every key that has a history, in order, and where to find that.
    index: OrdMap<Key, Name>,
    /// Which key had a version superseded when: a compaction looks at these keys and no others. Follows from the
    /// histories, so no part of the digest.
    superseded: OrdMap<Moment, Key>,
}

impl Mvcc {
    pub(super) fn new() -> Self {
        Self {
            revision: 1,
            compacted: -1,
            tree: Tree::new(),
            index: OrdMap::new(),
            superseded: OrdMap::new(),
        }
    }

    /// The key as of `revision`.
    pub(super) fn get(&self, key: &[u8], revision: i64) -> Option<KeyValue> {
        self.tree.get(Name::of(key), key)?.at(revision)
    }

    /// The histories of the interval's keys that existed as of `revision`, in the order of keys.
    pub(super) fn scan<'a>(
        &'a self,
        interval: Interval<'a>,
        revision: i64,
    ) -> impl Iterator<Item = &'a History> {
        let (one, bounds) = match interval {
            Interval::One(key) => (self.tree.get(Name::of(key), key), None),
            Interval::From(_) | Interval::Between(..) => (None, interval.bounds()),
        };
        let many = bounds.into_iter().flat_map(|bounds| self.index.range::<_, [u8]>(bounds));
        let many = many.filter_map(|(key, name)| self.tree.get(*name, key));
        one.into_iter().chain(many).filter(move |history| history.exists_at(revision))
    }

    /// The revision that a read at `requested` sees while the store is at `current`.
    pub(super) fn read_revision(&self, requested: i64, current: i64) -> Result<i64, KvError> {
        if requested > current {
            return Err(KvError::FutureRevision);
        }
        let revision = if requested <= 0 { current } else { requested };
        if revision < self.compacted { Err(KvError::Compacted) } else { Ok(revision) }
    }

    /// Starts writes that will share one revision.
    pub(super) fn write(&mut self) -> Writer<'_> {
        Writer { mvcc: self, changes: 0 }
    }

    /// Forgets the versions that are not needed to read at `revision` or later.
    pub(super) fn compact(&mut self, revision: i64) -> Result<(), KvError> {
        if revision <= self.compacted {
            return Err(KvError::Compacted);
        }
        if revision > self.revision {
            return Err(KvError::FutureRevision);
        }
        self.compacted = revision;
        while let Some((moment, key)) = self.superseded.get_min().cloned() {
            if moment.revision > revision {
                break;
            }
            self.superseded.remove(&moment);
            self.compact_key(&key, revision);
        }
        Ok(())
    }

    fn compact_key(&mut self, key: &Key, revision: i64) {
        let start = Name::hash(key);
        let name = Name::from_hash(&start);
        match self.tree.get(name, key).map(|history| history.compaction(revision)) {
            None | Some(Compaction::Nothing) => {}
            Some(Compaction::Oldest(count)) => {
                self.tree.update(name, key, |history| history.drop_oldest(count, &start));
            }
            Some(Compaction::Everything) => {
                self.tree.remove(name, key);
                self.index.remove(key);
            }
        }
    }

    /// Puts a bucket of a snapshot in its place.
    pub(super) fn restore_bucket(&mut self, number: usize, bucket: Bucket) {
        for history in bucket.histories() {
            self.index.insert(history.key.clone(), Name::of(&history.key));
            for version in history.versions().skip(1) {
                self.superseded.insert(version.at, history.key.clone());
            }
        }
        self.tree.set_bucket(number, bucket);
    }
}

/// Writes that share one revision. What they wrote counts at once; [`finish`](Self::finish) moves the revision.
#[derive(Debug)]
pub(super) struct Writer<'a> {
    mvcc: &'a mut Mvcc,
    changes: u32,
}

impl Writer<'_> {
    pub(super) fn mvcc(&self) -> &Mvcc {
        self.mvcc
    }

    /// The revision as these writes see it: with the first of them it moves by one.
    pub(super) fn current(&self) -> i64 {
        self.mvcc.revision + i64::from(self.changes > 0)
    }

    fn moment(&mut self) -> Moment {
        let moment = Moment { revision: self.mvcc.revision + 1, sub: self.changes };
        self.changes += 1;
        moment
    }

    /// Writes a key.
    pub(super) fn put(&mut self, key: &[u8], value: Bytes) {
        let at = self.moment();
        let (name, key, superseded) = self.mvcc.tree.push(key, |last| {
            let (create, version) = match last {
                Some(last) if last.value.is_some() => (last.create, last.version + 1),
                _ => (at.revision, 1),
            };
            Version { at, create, version, value: Some(value) }
        });
        if superseded {
            self.mvcc.superseded.insert(at, key);
        } else {
            self.mvcc.index.insert(key, name);
        }
    }

    /// Deletes the keys of the interval and answers how many there were.
    pub(super) fn delete(&mut self, interval: Interval<'_>) -> i64 {
        let found = self.mvcc.scan(interval, self.current());
        let keys: Vec<Key> = found.map(|history| Key::clone(&history.key)).collect();
        for key in &keys {
            let at = self.moment();
            let tombstone = |_: Option<&Version>| Version { at, create: 0, version: 0, value: None };
            let (_, key, _) = self.mvcc.tree.push(key, tombstone);
            self.mvcc.superseded.insert(at, key);
        }
        keys.len() as i64
    }

    /// Ends the writes and answers the store's revision after them.
    pub(super) fn finish(self) -> i64 {
        let current = self.current();
        self.mvcc.revision = current;
        current
    }
}
