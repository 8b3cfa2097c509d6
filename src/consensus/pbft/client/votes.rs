//! What replicas say, counted.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::super::message::View;
use crate::consensus::{Digest, NodeId};

/// The results of one command, by replica. Only their digests, so that a liar's long ones take no room.
#[derive(Debug, Default)]
pub(super) struct Votes(BTreeMap<NodeId, Option<Digest>>);

impl Votes {
    /// Counts a replica's result in place of what it said before, and returns how many replicas say the same.
    pub(super) fn insert(&mut self, replica: NodeId, result: Option<&Bytes>) -> usize {
        let vote = result.map(digest);
        self.0.insert(replica, vote);
        self.0.values().filter(|other| **other == vote).count()
    }

    /// Who gave another result. Who has forgotten it gave none.
    pub(super) fn dissenters(&self, result: Option<&Bytes>) -> impl Iterator<Item = NodeId> + '_ {
        let accepted = result.map(digest);
        let differs = move |vote: Digest| accepted.is_some_and(|accepted| accepted != vote);
        self.0.iter().filter(move |(_, vote)| vote.is_some_and(differs)).map(|(replica, _)| *replica)
    }
}

fn digest(result: &Bytes) -> Digest {
    Digest(Sha256::digest(result).into())
}

/// The highest view that each replica claimed to be in.
#[derive(Debug, Default)]
pub(super) struct Views(BTreeMap<NodeId, View>);

impl Views {
    pub(super) fn insert(&mut self, replica: NodeId, view: View) {
        let known = self.0.entry(replica).or_default();
        *known = view.max(*known);
    }

    /// The highest view that as many replicas as `weak` have reached, one of which is honest; none while fewer were heard.
    pub(super) fn confirmed(&self, weak: usize) -> Option<View> {
        let mut views: Vec<View> = self.0.values().copied().collect();
        views.sort_unstable_by(|a, b| b.cmp(a));
        views.get(weak - 1).copied()
    }
}
