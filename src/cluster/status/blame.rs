//! What a cluster's honest nodes hold against somebody, put together: proof, and apart from it, suspicion.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::NodeStatus;
use crate::client::{ConvictionReport, SuspicionReport};
use crate::cluster::NodeState;

/// Somebody who is proved to lie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Convicted {
    /// Who.
    pub id: u64,
    /// What one of the newest pieces of evidence proves, in words.
    pub newest: String,
    /// The most pieces that one node keeps.
    pub pieces: u64,
    /// Which honest nodes hold evidence.
    pub held_by: Vec<u64>,
}

/// Somebody who is suspected of something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Suspected {
    /// Who.
    pub id: u64,
    /// Of what, as `silent`.
    pub what: String,
    /// What one of the nodes observed, in words.
    pub why: String,
    /// The most times that one node observed it.
    pub times: u64,
    /// Which honest nodes suspect it.
    pub by: Vec<u64>,
}

/// What those nodes hold that are not made to lie: a liar's word accuses nobody here.
pub(super) fn convicted(nodes: &[NodeStatus]) -> Vec<Convicted> {
    let mut all: BTreeMap<u64, Convicted> = BTreeMap::new();
    for (holder, said) in said_by_honest(nodes, |node| &node.convicted) {
        let ConvictionReport { id, pieces, newest } = said;
        let entry = all.entry(*id).or_insert_with(|| Convicted {
            id: *id,
            newest: newest.clone(),
            pieces: 0,
            held_by: Vec::new(),
        });
        entry.pieces = entry.pieces.max(*pieces);
        entry.held_by.push(holder);
    }
    all.into_values().collect()
}

/// What those nodes suspect that are not made to lie.
pub(super) fn suspected(nodes: &[NodeStatus]) -> Vec<Suspected> {
    let mut all: BTreeMap<(u64, &str), Suspected> = BTreeMap::new();
    // Silence that was made on purpose is no symptom.
    let explained = |holder: u64, said: &SuspicionReport| {
        let node = |id: u64| nodes.iter().find(|node| node.id == id);
        let cut_off = node(holder).is_some_and(|node| node.cut_off_from.contains(&said.id));
        let down = node(said.id).is_some_and(|node| {
            matches!(node.state, NodeState::Stopped | NodeState::Paused | NodeState::Failed)
        });
        said.what == "silent" && (cut_off || down)
    };
    let all_said = said_by_honest(nodes, |node| &node.suspicions);
    for (holder, said) in all_said.filter(|(holder, said)| !explained(*holder, said)) {
        let SuspicionReport { id, what, why, times } = said;
        let entry = all.entry((*id, what)).or_insert_with(|| Suspected {
            id: *id,
            what: what.clone(),
            why: why.clone(),
            times: 0,
            by: Vec::new(),
        });
        entry.times = entry.times.max(*times);
        // A node may suspect it of the same for several reasons.
        if entry.by.last() != Some(&holder) {
            entry.by.push(holder);
        }
    }
    all.into_values().collect()
}

fn said_by_honest<'a, T: 'a>(
    nodes: &'a [NodeStatus],
    what: fn(&NodeStatus) -> &[T],
) -> impl Iterator<Item = (u64, &'a T)> {
    let honest = nodes.iter().filter(|node| node.is_honest());
    honest.flat_map(move |node| what(node).iter().map(|said| (node.id, said)))
}

impl fmt::Display for Convicted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, newest, held_by, .. } = self;
        write!(f, "node {id} is convicted: {newest} (evidence of {})", nodes_in_words(held_by))
    }
}

impl fmt::Display for Suspected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, what, why, by, .. } = self;
        write!(f, "node {id} is suspected: {what}, {why} (by {})", nodes_in_words(by))
    }
}

fn nodes_in_words(ids: &[u64]) -> String {
    let list = ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    if ids.len() == 1 { format!("node {list}") } else { format!("nodes {list}") }
}
