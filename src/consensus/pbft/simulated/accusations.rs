//! Who is accused, and who should be: judged by what arrived, apart from how the replicas find it out.

use std::collections::{BTreeMap, BTreeSet};

use super::super::message::{Message, Sequence, View};
use super::super::record::Record;
use super::super::replica::Replica;
use crate::consensus::{Digest, Lsn, NodeId};
use crate::sim::{Checked, Violation};

/// How many views back of its own a replica remembers votes for certain: it keeps four, one of which may be the next.
const VIEWS_BACK: u64 = 2;

/// What is known of the evidence that honest replicas hold, and of what they heard.
#[derive(Debug, Default)]
pub(super) struct Accusations {
    liars: BTreeSet<NodeId>,
    known: BTreeMap<NodeId, Known>,
}

/// A vote about a number: PRE-PREPARE, PREPARE or COMMIT.
#[derive(Clone, Copy, Debug)]
struct Vote {
    sequence: Sequence,
    view: View,
    signer: NodeId,
    digest: Digest,
}

#[derive(Debug, Default)]
struct Known {
    /// Arrived, to be taken in this step.
    arriving: Option<Vote>,
    /// What it heard and must remember.
    heard: BTreeMap<(Sequence, View, NodeId), Digest>,
    /// As it was after the last step: what it remembers ends here.
    high_water_mark: Sequence,
    view: View,
    /// Against whom records are on their way to its disk.
    pending: Vec<(Lsn, NodeId)>,
    /// Against whom its disk holds evidence.
    durable: BTreeSet<NodeId>,
}

impl Accusations {
    pub(super) fn new(liars: &[NodeId]) -> Self {
        Self { liars: liars.iter().copied().collect(), known: BTreeMap::new() }
    }

    pub(super) fn wrote(&mut self, node: NodeId, lsn: Lsn, record: &Record) {
        let Record::Evidence { said, more: false } = record else { return };
        // Of a certificate nobody alone is the signer: the other statement of the piece names the accused.
        if let Some(accused) = said.signer() {
            self.known.entry(node).or_default().pending.push((lsn, accused));
        }
    }

    pub(super) fn durable(&mut self, node: NodeId, up_to: Lsn) {
        let known = self.known.entry(node).or_default();
        let done = known.pending.extract_if(.., |(lsn, _)| *lsn <= up_to);
        known.durable.extend(done.map(|(_, accused)| accused));
    }

    pub(super) fn arrived(&mut self, node: NodeId, message: &Message) {
        let (sequence, view, signer, digest) = match message {
            Message::PrePrepare { pre_prepare, .. } => {
                let said = pre_prepare.body;
                (said.sequence, said.view, said.replica, said.digest)
            }
            Message::Prepare(signed) => {
                let said = signed.body;
                (said.sequence, said.view, said.replica, said.digest)
            }
            Message::Commit(signed) => {
                let said = signed.body;
                (said.sequence, said.view, said.replica, said.digest)
            }
            _ => return,
        };
        if signer != node {
            self.known.entry(node).or_default().arriving = Some(Vote { sequence, view, signer, digest });
        }
    }

    /// After a step: nobody honest is accused, and who was heard to contradict itself is.
    pub(super) fn stepped(&mut self, node: NodeId, replica: &Replica) -> Checked {
        if let Some(accused) = replica.convicted().find(|accused| !self.liars.contains(accused)) {
            let detail = format!("node {node} holds evidence against node {accused}, which is honest");
            return Err(Violation::new("no-honest-accused", detail));
        }
        let known = self.known.entry(node).or_default();
        let floor = replica.floor();
        if known.heard.first_key_value().is_some_and(|((first, ..), _)| *first <= floor) {
            known.heard = known.heard.split_off(&(floor.next(), View::ZERO, NodeId(0)));
        }
        let contradicted = known.arriving.take().and_then(|vote| known.hear(vote, floor));
        (known.high_water_mark, known.view) = (replica.high_water_mark(), replica.view);
        let Some(vote) = contradicted.filter(|vote| replica.convicted().all(|id| id != vote.signer)) else {
            return Ok(());
        };
        let Vote { sequence, view, signer, .. } = vote;
        Err(Violation::new(
            "contradictions-convict",
            format!(
                "node {node} heard node {signer} say two things about {sequence} in view {view}, and holds nothing \
                 against it"
            ),
        ))
    }

    /// What it heard is forgotten; what its disk holds is not.
    pub(super) fn restarted(&mut self, node: NodeId, replica: &Replica) -> Checked {
        let known = self.known.entry(node).or_default();
        *known = Known { durable: std::mem::take(&mut known.durable), ..Known::default() };
        let held: BTreeSet<NodeId> = replica.convicted().collect();
        let Some(lost) = known.durable.difference(&held).next() else { return Ok(()) };
        let detail = format!("node {node} starts again without the evidence against node {lost} on its disk");
        Err(Violation::new("contradictions-convict", detail))
    }
}

impl Known {
    /// Takes a vote; returns it if it contradicts one that the replica must remember.
    fn hear(&mut self, vote: Vote, floor: Sequence) -> Option<Vote> {
        let in_window = floor < vote.sequence && vote.sequence <= self.high_water_mark;
        let in_view = self.view.0.saturating_sub(VIEWS_BACK) <= vote.view.0 && vote.view <= self.view.next();
        if !in_window || !in_view {
            return None;
        }
        let first = *self.heard.entry((vote.sequence, vote.view, vote.signer)).or_insert(vote.digest);
        (first != vote.digest).then_some(vote)
    }
}
