//! The keys with their revisions: what is left of etcd's `mvcc` package when it needs neither disk nor lock.

use bytes::Bytes;
use imbl::{OrdMap, Vector};

use super::error::KvError;
use super::history::{Compaction, History, Key, Moment, Version};
use super::interval::Interval;
use super::response::KeyValue;
use super::tree::{BUCKETS, Name, Tree};

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
    /// Which key had a version superseded when, in order: a compaction looks at these keys and no others. Follows from
    /// the histories, so no part of the digest.
    superseded: Vector<(Moment, Key)>,
}

impl Mvcc {
    pub(super) fn new() -> Self {
        Self {
            revision: 1,
            compacted: -1,
            tree: Tree::new(),
            index: OrdMap::new(),
            superseded: Vector::new(),
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
        while self.superseded.front().is_some_and(|(moment, _)| moment.revision <= revision) {
            if let Some((_, key)) = self.superseded.pop_front() {
                self.compact_key(&key, revision);
            }
        }
        Ok(())
    }

    fn compact_key(&mut self, key: &Key, revision: i64) {
        let hash = Name::hash(key);
        let name = Name::from_hash(&hash);
        match self.tree.get(name, key).map(|history| history.compaction(revision)) {
            None | Some(Compaction::Nothing) => {}
            Some(Compaction::Oldest(count)) => {
                self.tree.drop_oldest(&hash, key, count);
            }
            Some(Compaction::Everything) => {
                self.tree.remove(name, key);
                self.index.remove(key);
            }
        }
    }

    /// Ends a restoration, in which only the tree was filled: finds the keys in it. Sorted first, because a map that
    /// is filled in order is filled several times as fast.
    pub(super) fn index_restored_tree(&mut self) {
        let (mut keys, mut superseded) = (Vec::new(), Vec::new());
        for bucket in (0..BUCKETS).map(|number| self.tree.bucket(number)) {
            keys.extend(bucket.names().map(|(name, key)| (Key::clone(key), name)));
            for history in bucket.histories() {
                let later = history.versions().skip(1);
                superseded.extend(later.map(|version| (version.at, Key::clone(&history.key))));
            }
        }
        keys.sort_unstable();
        superseded.sort_unstable();
        self.index = keys.into_iter().collect();
        self.superseded = superseded.into_iter().collect();
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
            let (create, count) = match last {
                Some(last) if last.value.is_some() => (last.create, last.count + 1),
                _ => (at.revision, 1),
            };
            Version { at, create, count, value: Some(value) }
        });
        if superseded {
            self.mvcc.superseded.push_back((at, key));
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
            let tombstone = |_: Option<&Version>| Version { at, create: 0, count: 0, value: None };
            let (_, key, _) = self.mvcc.tree.push(key, tombstone);
            self.mvcc.superseded.push_back((at, key));
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
