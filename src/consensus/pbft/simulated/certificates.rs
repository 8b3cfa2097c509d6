//! Quorums and certificates, judged by what the disks of honest replicas hold and not by what anybody believes.

use std::collections::{BTreeMap, BTreeSet};

use super::super::message::{NewView, Prepared, Sequence, Signed, Stable, View, ViewChange};
use super::promises::{Fact, Promises};
use crate::consensus::{Digest, NodeId};
use crate::sim::{Checked, Violation};

/// The thresholds of design and papers, reckoned here once more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Thresholds {
    /// How many may be faulty.
    pub(super) f: usize,
    /// How many make a quorum.
    pub(super) quorum: usize,
}

impl Thresholds {
    pub(super) fn of(members: usize) -> Self {
        let f = (members - 1) / 3;
        Self { f, quorum: (members + f + 1).div_ceil(2) }
    }

    /// How many of a quorum are honest at least.
    fn honest(self) -> usize {
        self.quorum - self.f
    }
}

/// What prepared where, and what must survive view changes.
#[derive(Debug)]
pub(super) struct Certificates {
    members: Vec<NodeId>,
    liars: BTreeSet<NodeId>,
    thresholds: Thresholds,
    /// By view and sequence number: what has a certificate.
    prepared: BTreeMap<(View, Sequence), Digest>,
    /// The honest replicas whose disks hold a certificate.
    holders: BTreeMap<(Sequence, Digest), BTreeMap<View, BTreeSet<NodeId>>>,
    /// What every later view must keep: so many hold its certificate that any quorum has one of them. With the view.
    locked: BTreeMap<Sequence, (View, Digest)>,
}

impl Certificates {
    pub(super) fn new(members: &[NodeId], liars: &[NodeId]) -> Self {
        Self {
            members: members.to_vec(),
            liars: liars.iter().copied().collect(),
            thresholds: Thresholds::of(members.len()),
            prepared: BTreeMap::new(),
            holders: BTreeMap::new(),
            locked: BTreeMap::new(),
        }
    }

    fn is_honest(&self, node: NodeId) -> bool {
        !self.liars.contains(&node)
    }

    /// No two certificates for one view and sequence number; and those in them who are honest did say what it says they
    /// said.
    pub(super) fn certificate(
        &mut self,
        node: NodeId,
        certificate: &Prepared,
        promises: &Promises,
    ) -> Checked {
        let said = certificate.pre_prepare.body;
        let (view, sequence, digest) = (said.view, said.sequence, said.digest);
        let place = (view, sequence);
        let first = *self.prepared.entry(place).or_insert(digest);
        if first != digest {
            return Err(Violation::new(
                "one-certificate",
                format!(
                    "node {node} has a certificate for {} at {sequence} in view {view}, and there is one for {}",
                    digest.short(),
                    first.short()
                ),
            ));
        }
        let alike = |vote: &Signed<_>| {
            let body: &super::super::message::Prepare = &vote.body;
            (body.view, body.sequence, body.digest) == (view, sequence, digest)
        };
        let primary = self.members[(view.0 % self.members.len() as u64) as usize];
        let voters: BTreeSet<NodeId> =
            certificate.prepares.iter().filter(|vote| alike(vote)).map(|vote| vote.body.replica).collect();
        let enough = voters.len() + 1 >= self.thresholds.quorum
            && voters.len() == certificate.prepares.len()
            && !voters.contains(&primary)
            && said.replica == primary;
        let fact = Fact::Accepted(view, sequence, digest);
        let invented = voters
            .iter()
            .chain([&primary])
            .find(|voter| self.is_honest(**voter) && !promises.holds(**voter, &fact));
        match invented {
            None if enough => Ok(()),
            None => Err(unreal(
                node,
                &format!("took {voters:?} and the primary for a quorum at {sequence} in view {view}"),
            )),
            Some(voter) => Err(unreal(
                node,
                &format!(
                    "counts a vote of node {voter} for {} at {sequence} in view {view}, whose disk has none",
                    digest.short()
                ),
            )),
        }
    }

    /// The certificate is on the disk of an honest replica.
    pub(super) fn durable(
        &mut self,
        node: NodeId,
        view: View,
        sequence: Sequence,
        digest: Digest,
    ) -> Checked {
        let holders = self.holders.entry((sequence, digest)).or_default().entry(view).or_default();
        holders.insert(node);
        if holders.len() < self.thresholds.honest() {
            return Ok(());
        }
        let (earlier, locked) = *self.locked.entry(sequence).or_insert((view, digest));
        if locked == digest {
            return Ok(());
        }
        Err(Violation::new(
            "committed-survives",
            format!(
                "{} prepared at a quorum at {sequence} in view {view}, where {} had in view {earlier}",
                digest.short(),
                locked.short()
            ),
        ))
    }

    /// A slot counts as decided only when so many hold its certificate that they make a quorum with those who lie.
    pub(super) fn committed(&self, node: NodeId, sequence: Sequence, digest: Digest) -> Checked {
        let views = self.holders.get(&(sequence, digest));
        let most = views.and_then(|views| views.values().map(BTreeSet::len).max()).unwrap_or(0);
        if most + self.liars.len() >= self.thresholds.quorum {
            return Ok(());
        }
        Err(unreal(
            node,
            &format!(
                "takes {} at {sequence} for committed, whose certificate {most} honest disks hold",
                digest.short()
            ),
        ))
    }

    /// A stable checkpoint is backed by the CHECKPOINTs of as many honest replicas as a quorum has at least.
    pub(super) fn stable(&self, node: NodeId, stable: &Stable, promises: &Promises) -> Checked {
        let Some(digest) = stable.digest() else { return Ok(()) };
        let fact = Fact::Checkpoint(stable.sequence(), digest);
        let voters: BTreeSet<NodeId> = stable
            .checkpoints
            .iter()
            .filter(|vote| (vote.body.sequence, vote.body.digest) == (stable.sequence(), digest))
            .map(|vote| vote.body.replica)
            .collect();
        let invented = voters.iter().find(|voter| {
            self.is_honest(**voter) && !promises.is_struck(**voter) && !promises.holds(**voter, &fact)
        });
        if voters.len() >= self.thresholds.quorum && invented.is_none() {
            return Ok(());
        }
        Err(Violation::new(
            "stable-is-backed",
            format!(
                "node {node} takes the state {} at {} for stable by the word of {voters:?}, of which {invented:?} did \
                 not say so",
                digest.short(),
                stable.sequence()
            ),
        ))
    }

    /// A VIEW-CHANGE of an honest replica tells of everything that prepared there, or of something newer.
    pub(super) fn tells_all(node: NodeId, said: &ViewChange, promises: &Promises) -> Checked {
        let stable = said.stable.sequence();
        let told: BTreeMap<Sequence, View> =
            said.prepared.iter().map(|prepared| (prepared.sequence(), prepared.view())).collect();
        let mut held = promises.certificates_above(node, stable);
        let missing =
            held.find(|(view, sequence, _)| told.get(sequence).is_none_or(|in_view| in_view < view));
        let Some((view, sequence, digest)) = missing else { return Ok(()) };
        Err(Violation::new(
            "committed-survives",
            format!(
                "node {node} changes to view {} and does not tell that {} prepared at {sequence} in view {view}",
                said.view,
                digest.short()
            ),
        ))
    }

    /// An honest replica enters a view: of what prepared it keeps the newest, and so everything that may have been
    /// committed before.
    pub(super) fn new_view(&mut self, node: NodeId, said: &NewView, promises: &Promises) -> Checked {
        let again: BTreeMap<Sequence, Digest> =
            said.pre_prepares.iter().map(|signed| (signed.body.sequence, signed.body.digest)).collect();
        let stable = said.view_changes.iter().map(|signed| signed.body.stable.sequence()).max();
        let stable = stable.unwrap_or_default();
        let mut newest: BTreeMap<Sequence, &Prepared> = BTreeMap::new();
        for prepared in said.view_changes.iter().flat_map(|signed| &signed.body.prepared) {
            self.certificate(node, prepared, promises)?;
            let of_slot = newest.entry(prepared.sequence()).or_insert(prepared);
            if of_slot.view() < prepared.view() {
                *of_slot = prepared;
            }
        }
        let mut above = newest.range(stable.next()..).map(|(_, prepared)| *prepared);
        if let Some(old) = above.find(|prepared| again.get(&prepared.sequence()) != Some(&prepared.digest()))
        {
            return Err(Violation::new(
                "newest-prepared-kept",
                format!(
                    "node {node} enters view {} with {:?} at {}, where {} prepared in view {}",
                    said.view,
                    again.get(&old.sequence()),
                    old.sequence(),
                    old.digest().short(),
                    old.view()
                ),
            ));
        }
        let mut locked = self.locked.range(stable.next()..).filter(|(_, (view, _))| *view < said.view);
        let lost = locked.find(|(sequence, (_, digest))| again.get(sequence) != Some(digest));
        let Some((sequence, (view, digest))) = lost else { return Ok(()) };
        Err(Violation::new(
            "committed-survives",
            format!(
                "node {node} enters view {} with {:?} at {sequence}, where {} prepared at a quorum in view {view}",
                said.view,
                again.get(sequence),
                digest.short()
            ),
        ))
    }
}

fn unreal(node: NodeId, what: &str) -> Violation {
    Violation::new("quorums-are-real", format!("node {node} {what}"))
}
