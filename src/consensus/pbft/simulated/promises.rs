//! What each honest replica has written and said: it never says two different things about one matter, says nothing that
//! its disk does not back, and goes back to no view that it left.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::message::{Message, PrePrepare, Sequence, Statement, View};
use super::super::record::Record;
use crate::consensus::{Digest, Index, Lsn, NodeId};
use crate::sim::{Checked, Fingerprint, Violation};

/// What a record makes true for ever, once it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fact {
    /// The replica stands by this PRE-PREPARE: its own PREPARE follows.
    Accepted(View, Sequence, Digest),
    /// It holds the certificate: its COMMIT follows.
    Prepared(View, Sequence, Digest),
    /// It knows the slot to be decided.
    Committed(Sequence, Digest),
    /// Its CHECKPOINT.
    Checkpoint(Sequence, Digest),
    /// It knows the checkpoint to be stable.
    Stable(Sequence, Digest),
    /// Its VIEW-CHANGE, with a fingerprint of it.
    ViewChange(View, u64),
    /// It entered the view, by the NEW-VIEW with this fingerprint.
    NewView(View, u64),
}

impl Fact {
    /// What a record says of its replica; evidence says nothing of it.
    pub(super) fn of(record: &Record) -> Option<Self> {
        Some(match record {
            Record::PrePrepare { pre_prepare, .. } => Self::accepted(&pre_prepare.body),
            Record::Prepared(prepared) => {
                Self::Prepared(prepared.view(), prepared.sequence(), prepared.digest())
            }
            Record::Committed { sequence, digest, .. } => Self::Committed(*sequence, *digest),
            Record::Checkpoint(signed) => Self::Checkpoint(signed.body.sequence, signed.body.digest),
            Record::Stable(stable) => Self::Stable(stable.sequence(), stable.digest().unwrap_or_default()),
            Record::ViewChange(signed) => Self::ViewChange(signed.body.view, print(&signed.body)),
            Record::NewView(signed) => Self::NewView(signed.body.view, print(&signed.body)),
            Record::Evidence { .. } => return None,
        })
    }

    /// That a replica stands by this PRE-PREPARE.
    pub(super) fn accepted(said: &PrePrepare) -> Self {
        Self::Accepted(said.view, said.sequence, said.digest)
    }

    /// About what it says anything: another fact about the same contradicts it.
    fn matter(self) -> (u8, View, Sequence) {
        match self {
            Self::Accepted(view, sequence, _) => (1, view, sequence),
            Self::Prepared(view, sequence, _) => (2, view, sequence),
            Self::Committed(sequence, _) => (3, View::ZERO, sequence),
            Self::Checkpoint(sequence, _) => (4, View::ZERO, sequence),
            Self::Stable(sequence, _) => (5, View::ZERO, sequence),
            Self::ViewChange(view, _) => (6, view, Sequence::ZERO),
            Self::NewView(view, _) => (7, view, Sequence::ZERO),
        }
    }
}

/// What a signed message says, and what its sender's disk must hold before it leaves.
fn backing(message: &Message, node: NodeId) -> Option<Fact> {
    let mine = |replica: NodeId| replica == node;
    match message {
        Message::PrePrepare { pre_prepare, .. } if mine(pre_prepare.body.replica) => {
            Some(Fact::accepted(&pre_prepare.body))
        }
        Message::Prepare(signed) if mine(signed.body.replica) => {
            let said = signed.body;
            Some(Fact::Accepted(said.view, said.sequence, said.digest))
        }
        Message::Commit(signed) if mine(signed.body.replica) => {
            let said = signed.body;
            Some(Fact::Prepared(said.view, said.sequence, said.digest))
        }
        Message::Checkpoint(signed) if mine(signed.body.replica) => {
            Some(Fact::Checkpoint(signed.body.sequence, signed.body.digest))
        }
        Message::ViewChange(signed) if mine(signed.body.replica) => {
            Some(Fact::ViewChange(signed.body.view, print(&signed.body)))
        }
        Message::NewView(signed) if mine(signed.body.replica) => {
            Some(Fact::NewView(signed.body.view, print(&signed.body)))
        }
        _ => None,
    }
}

/// Equal, as good as always, for equal statements alone.
fn print<T: Statement>(body: &T) -> u64 {
    let mut print = Fingerprint::default();
    print.bytes(&body.to_bytes());
    print.value()
}

/// What is known of one replica.
#[derive(Debug, Default)]
struct Known {
    /// What it has written in this life and found when that began. By matter, what it wrote of it.
    written: BTreeMap<(u8, View, Sequence), Fact>,
    /// What is on its disk.
    durable: BTreeSet<Fact>,
    pending: VecDeque<(Lsn, Fact)>,
    /// What it ever said. Nothing that it says later contradicts it.
    said: BTreeMap<(u8, View, Sequence), Fact>,
    /// The view into which, or towards which, it went last, as it wrote.
    view: View,
    /// The newest snapshot on its disk.
    snapshot: Sequence,
    /// What it found its state to be in this life, by checkpoint: after a restart it may be right again.
    states: BTreeMap<Sequence, Digest>,
    /// The checkpoint at which it knows its state to be another one than that of the others.
    damaged: Option<Sequence>,
}

/// What all honest replicas promise.
#[derive(Debug, Default)]
pub(super) struct Promises {
    known: BTreeMap<NodeId, Known>,
    /// Those whose state was damaged in memory: their CHECKPOINTs may be wrong, and right later.
    struck: BTreeSet<NodeId>,
}

impl Promises {
    pub(super) fn struck(&mut self, node: NodeId) {
        self.struck.insert(node);
    }

    /// Whether a replica's word about its state may be wrong.
    pub(super) fn is_struck(&self, node: NodeId) -> bool {
        self.struck.contains(&node)
    }

    /// A record is written. `Ok(true)`: it says something new.
    pub(super) fn wrote(&mut self, node: NodeId, lsn: Lsn, fact: Fact) -> Checked<bool> {
        let struck = self.is_struck(node);
        let known = self.known.entry(node).or_default();
        known.pending.push_back((lsn, fact));
        let earlier = known.written.insert(fact.matter(), fact);
        if earlier == Some(fact) {
            return Ok(false);
        }
        if let Some(earlier) = earlier.filter(|_| !(struck && matches!(fact, Fact::Checkpoint(..)))) {
            return Err(kept(node, &format!("writes {fact:?} after {earlier:?}")));
        }
        known.go_on(node, fact)?;
        known.compare_states(fact);
        Ok(true)
    }

    /// A slot is handed to the store: not on top of a state that is known to be wrong.
    pub(super) fn executes(&self, node: NodeId, index: Index) -> Checked {
        match self.known.get(&node).and_then(|known| known.damaged) {
            None => Ok(()),
            Some(at) => Err(Violation::new(
                "wrong-state-unused",
                format!("node {node} executes {index} on a state that it knows to be wrong since {at}"),
            )),
        }
    }

    /// The disk holds everything up to there. Returns what that makes true.
    pub(super) fn durable(&mut self, node: NodeId, up_to: Lsn) -> Vec<Fact> {
        let known = self.known.entry(node).or_default();
        let mut news = Vec::new();
        while let Some((_, fact)) = known.pending.pop_front_if(|(lsn, _)| *lsn <= up_to) {
            if known.durable.insert(fact) {
                news.push(fact);
            }
        }
        news
    }

    pub(super) fn snapshot(&mut self, node: NodeId, at: Sequence) {
        let known = self.known.entry(node).or_default();
        known.snapshot = known.snapshot.max(at);
        known.damaged = known.damaged.filter(|damaged| *damaged > at);
    }

    /// The replica starts again: what had not reached the disk was never written.
    pub(super) fn restarted(&mut self, node: NodeId) {
        let known = self.known.entry(node).or_default();
        known.pending.clear();
        known.written = known.durable.iter().map(|fact| (fact.matter(), *fact)).collect();
        known.view = known.durable_view();
        known.states.clear();
        known.damaged = None;
    }

    /// Whether the replica's disk holds it.
    pub(super) fn holds(&self, node: NodeId, fact: &Fact) -> bool {
        self.known.get(&node).is_some_and(|known| known.durable.contains(fact))
    }

    /// What the replica wrote of certificates, above a checkpoint.
    pub(super) fn certificates_above(
        &self,
        node: NodeId,
        stable: Sequence,
    ) -> impl Iterator<Item = (View, Sequence, Digest)> + '_ {
        let written = self.known.get(&node).into_iter().flat_map(|known| known.written.values());
        written.filter_map(move |fact| match fact {
            Fact::Prepared(view, sequence, digest) if *sequence > stable => Some((*view, *sequence, *digest)),
            _ => None,
        })
    }

    /// The highest view that the replica's disk knows.
    pub(super) fn view(&self, node: NodeId) -> View {
        self.known.get(&node).map_or(View::ZERO, Known::durable_view)
    }

    /// A message leaves: nothing that the replica ever sent contradicts it, and its disk backs it.
    pub(super) fn sent(&mut self, node: NodeId, message: &Message) -> Checked {
        let Some(fact) = backing(message, node) else { return Ok(()) };
        let struck = self.is_struck(node);
        let known = self.known.entry(node).or_default();
        // A PREPARE and the PRE-PREPARE of one slot have one matter: nobody sends both.
        let earlier = *known.said.entry(fact.matter()).or_insert(fact);
        if earlier != fact && !(struck && matches!(fact, Fact::Checkpoint(..))) {
            return Err(kept(node, &format!("says {fact:?} after {earlier:?}")));
        }
        if !known.durable.contains(&fact) {
            return Err(kept(node, &format!("says {fact:?}, and its disk does not hold that")));
        }
        if let Fact::Checkpoint(sequence, _) = fact {
            return known.backs_checkpoint(node, sequence);
        }
        Ok(())
    }
}

impl Known {
    /// A replica that left a view accepts and prepares nothing in it any more: its VIEW-CHANGE told all.
    fn go_on(&mut self, node: NodeId, fact: Fact) -> Checked {
        match fact {
            Fact::Accepted(view, ..) | Fact::Prepared(view, ..) if view < self.view => {
                Err(kept(node, &format!("writes {fact:?} after it went on to view {}", self.view)))
            }
            Fact::ViewChange(view, _) | Fact::NewView(view, _) if view < self.view => Err(Violation::new(
                "views-monotonic",
                format!("node {node} goes from view {} back to {view}", self.view),
            )),
            Fact::ViewChange(view, _) | Fact::NewView(view, _) => {
                self.view = view;
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The replica learns what its own state is, or what it should be.
    fn compare_states(&mut self, fact: Fact) {
        match fact {
            Fact::Checkpoint(at, own) => drop(self.states.insert(at, own)),
            Fact::Stable(at, stable) if self.states.get(&at).is_some_and(|own| *own != stable) => {
                self.damaged = Some(at);
            }
            _ => {}
        }
    }

    /// Who vouches for a state can rebuild it: the last slot of it is on the disk, in the log or in a snapshot.
    fn backs_checkpoint(&self, node: NodeId, sequence: Sequence) -> Checked {
        let first = Fact::Committed(sequence, Digest([0; 32]));
        let next = self.durable.range(first..).next();
        let logged = matches!(next, Some(Fact::Committed(at, _)) if *at == sequence);
        if logged || self.snapshot >= sequence {
            return Ok(());
        }
        Err(kept(node, &format!("vouches for the state at {sequence}, which its disk does not lead to")))
    }

    fn durable_view(&self) -> View {
        let views = self.durable.iter().map(|fact| match fact {
            Fact::ViewChange(view, _) | Fact::NewView(view, _) => *view,
            _ => View::ZERO,
        });
        views.max().unwrap_or_default()
    }
}

fn kept(node: NodeId, what: &str) -> Violation {
    Violation::new("promises-kept", format!("node {node} {what}"))
}
