//! What is known of revisions whose writer is not, before anything is tried.
//!
//! Every reply that shows a key proves which revision wrote it last, and that no later one did up to the reply's own
//! revision; and that the key did not exist before the revision that created it. For most revisions without a known writer that leaves one operation of unknown outcome, or a few.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::evidence::{Footprint, Sighting, Sightings, Span};
use super::run::{Place, Run};

/// A key that some reply shows with a revision whose writer is not known.
#[derive(Clone, Debug)]
pub(super) struct Proof {
    /// The key, as the reply shows it.
    pub(super) sighting: Sighting,
    /// Whose reply it was.
    pub(super) witness: usize,
    /// Whether the revision is the key's creation, and a later one wrote what is shown.
    pub(super) creation: bool,
}

/// All that replies prove.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    /// The revisions without a known writer.
    pub(super) gaps: BTreeSet<i64>,
    /// The operations that may have made them, in the order of their calls, with what they may write.
    pub(super) maybe: BTreeMap<usize, Footprint>,
    /// What is known of a gap.
    pub(super) proofs: BTreeMap<i64, Vec<Proof>>,
    /// By gap: the keys that it must have left without a value.
    pub(super) absent: BTreeMap<i64, BTreeSet<Bytes>>,
    /// The candidates of each gap, the latest call first.
    candidates: BTreeMap<i64, Vec<usize>>,
    /// By key: it was written at the first revision, and not again up to the second.
    quiet: BTreeMap<Bytes, BTreeMap<i64, i64>>,
    /// By key, in the order of replay: once this revision is replayed, the key's state is certain up to that one.
    certain: BTreeMap<Bytes, BTreeMap<i64, i64>>,
    /// By the revision that created a key, and the key: the versions that were seen, and who wrote them.
    lives: BTreeMap<(i64, Bytes), BTreeMap<i64, i64>>,
}

impl Knowledge {
    pub(super) fn new(run: &Run<'_>) -> Self {
        let last = run.writers.keys().chain(run.readers.keys()).copied().max().unwrap_or(1);
        let mut knowledge = Self {
            gaps: (2..=last).filter(|revision| !run.writers.contains_key(revision)).collect(),
            maybe: run
                .at(Place::Maybe)
                .map(|index| (index, Footprint::of(&run.operation(index).op)))
                .collect(),
            ..Self::default()
        };
        if knowledge.gaps.is_empty() {
            return knowledge;
        }
        for (index, judged) in run.ops.iter().enumerate() {
            if let (Some(revision), Some(response)) = (judged.place.revision(), judged.operation.response()) {
                let wrote = matches!(judged.place, Place::Write(_));
                knowledge.learn(index, revision, Sightings::of(&judged.operation.op, response, wrote));
            }
        }
        knowledge.settle();
        knowledge.find_candidates(run);
        knowledge.find_absent();
        knowledge
    }

    fn learn(&mut self, witness: usize, revision: i64, sightings: Sightings) {
        for (key, at) in sightings.absent {
            self.make_certain(key, revision, at);
        }
        for sighting in sightings.present {
            let (key, kv) = (sighting.kv.key.clone(), &sighting.kv);
            self.make_certain(key.clone(), revision, sighting.at);
            let (written, created) = (kv.mod_revision, kv.create_revision);
            self.make_quiet(&key, written, sighting.at);
            let versions = self.lives.entry((created, key)).or_insert_with(|| BTreeMap::from([(1, created)]));
            versions.insert(kv.version, written);
            if created != written && self.gaps.contains(&created) {
                let proof = Proof { sighting: sighting.clone(), witness, creation: true };
                self.proofs.entry(created).or_default().push(proof);
            }
            if self.gaps.contains(&written) {
                self.proofs.entry(written).or_default().push(Proof { sighting, witness, creation: false });
            }
        }
    }

    /// The key was written at revision `written`, and not again up to `until`.
    fn make_quiet(&mut self, key: &Bytes, written: i64, until: i64) {
        let known = self.quiet.entry(key.clone()).or_default().entry(written).or_insert(until);
        *known = (*known).max(until);
    }

    fn make_certain(&mut self, key: Bytes, revision: i64, at: i64) {
        let certain = self.certain.entry(key).or_default().entry(revision).or_insert(at);
        *certain = (*certain).max(at);
    }

    /// Makes `certain` cumulative, finds what is quiet because no version lies between two that were seen, and keeps
    /// few of the proofs that say the same.
    fn settle(&mut self) {
        let lives = std::mem::take(&mut self.lives);
        for ((_, key), versions) in &lives {
            for ((version, written), (next, until)) in versions.iter().zip(versions.iter().skip(1)) {
                if version + 1 == *next {
                    self.make_quiet(key, *written, until - 1);
                }
            }
        }
        self.lives = lives;
        for revisions in self.certain.values_mut() {
            let mut highest = 0;
            for at in revisions.values_mut() {
                highest = highest.max(*at);
                *at = highest;
            }
        }
        for proofs in self.proofs.values_mut() {
            proofs.sort_by(|a, b| (a.creation, &a.sighting.kv.key).cmp(&(b.creation, &b.sighting.kv.key)));
            proofs.dedup_by(|a, b| {
                (a.creation, &a.sighting.kv, a.sighting.value)
                    == (b.creation, &b.sighting.kv, b.sighting.value)
            });
        }
    }

    /// Up to which revision the state of `key` is certain while `revision` is being replayed.
    pub(super) fn certain_until(&self, key: &[u8], revision: i64) -> i64 {
        let until = self.certain.get(key).and_then(|revisions| revisions.range(..revision).next_back());
        until.map_or(1, |(_, at)| *at)
    }

    /// Whether a reply proves that `revision` did not write `key`.
    fn is_quiet(&self, key: &[u8], revision: i64) -> bool {
        let last = self.quiet.get(key).and_then(|revisions| revisions.range(..revision).next_back());
        last.is_some_and(|(_, until)| revision <= *until)
    }

    /// Who may have made a gap, the latest call first.
    pub(super) fn candidates(&self, gap: i64) -> &[usize] {
        self.candidates.get(&gap).map_or(&[], Vec::as_slice)
    }

    fn find_candidates(&mut self, run: &Run<'_>) {
        let returned = returned(run, &self.gaps);
        let mut all = BTreeMap::new();
        for (&gap, &returned) in &returned {
            let proofs = self.proofs.get(&gap).map_or(&[][..], Vec::as_slice);
            let fits = |(&index, footprint): (&usize, &Footprint)| {
                let in_time = run.ops[index].invoked <= returned;
                (in_time && self.can_make(gap, footprint, proofs)).then_some(index)
            };
            all.insert(gap, self.maybe.iter().rev().filter_map(fits).collect::<Vec<_>>());
        }
        reserve(&mut all);
        self.candidates = all;
    }

    fn can_make(&self, gap: i64, footprint: &Footprint, proofs: &[Proof]) -> bool {
        let proven = proofs.iter().all(|proof| {
            let value = Some(&proof.sighting.kv.value).filter(|_| proof.sighting.value && !proof.creation);
            footprint.may_put(&proof.sighting.kv.key, value)
        });
        let mut spans = footprint.writes.iter().map(|(span, _)| span);
        // A range that holds a quiet key was not deleted: the key was there, and would have gone with it.
        let quiet = |span: &Span| match span.only() {
            Some(key) => self.is_quiet(key, gap),
            None => self.quiet.keys().any(|key| span.contains(key) && self.is_quiet(key, gap)),
        };
        proven && if footprint.compares.is_empty() { !spans.any(quiet) } else { !spans.all(quiet) }
    }

    /// A key did not exist right before its creation. If gaps came right before it, the last of them that may concern
    /// the key must have left it so: held against that gap, this saves the search all that lies between.
    fn find_absent(&mut self) {
        for (created, key) in self.lives.keys() {
            let gaps = (2..*created).rev().take_while(|revision| self.gaps.contains(revision));
            let writes = |index: &usize| self.maybe[index].may_write(key);
            let mut concerned = gaps.filter(|gap| self.candidates(*gap).iter().any(writes));
            if let Some(gap) = concerned.next() {
                self.absent.entry(gap).or_default().insert(key.clone());
            }
        }
    }
}

/// A gap with one candidate takes it from all others, and so on.
fn reserve(candidates: &mut BTreeMap<i64, Vec<usize>>) {
    let mut owners: BTreeMap<usize, i64> = BTreeMap::new();
    loop {
        let mut found = false;
        for (&gap, list) in candidates.iter() {
            if let [only] = list[..] {
                found |= owners.insert(only, gap).is_none();
            }
        }
        if !found {
            return;
        }
        for (gap, list) in candidates.iter_mut() {
            list.retain(|index| owners.get(index).is_none_or(|owner| owner == gap));
        }
    }
}

/// For each gap, the first return of anyone who saw it or a later revision: its writer was called before.
fn returned(run: &Run<'_>, gaps: &BTreeSet<i64>) -> BTreeMap<i64, u64> {
    let mut seen: Vec<(i64, u64)> =
        run.ops.iter().filter_map(|judged| Some((judged.place.revision()?, judged.completed))).collect();
    seen.sort_unstable();
    let mut first = u64::MAX;
    let mut returned = BTreeMap::new();
    for &gap in gaps.iter().rev() {
        while let Some((_, completed)) = seen.pop_if(|(revision, _)| *revision >= gap) {
            first = first.min(completed);
        }
        returned.insert(gap, first);
    }
    returned
}
