//! What replicas say, counted.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::super::dispute::result_digest;
use super::super::message::{Reply, Signed, View};
use super::super::sizes::reply_size;
use crate::consensus::{Digest, NodeId};

/// Up to so many bytes a REPLY is kept whole until its commands are answered.
const KEPT_BYTES: usize = 16 * 1024;

/// The results of one command, by replica. Only their digests, and short REPLYs, so that a liar's long ones take no room.
#[derive(Debug, Default)]
pub(super) struct Votes(BTreeMap<NodeId, Vote>);

/// What one replica says.
#[derive(Debug)]
struct Vote {
    /// None: it has forgotten.
    result: Option<Digest>,
    /// The REPLY, unless it is long.
    said: Option<Arc<Signed<Reply>>>,
}

impl Votes {
    /// Counts a replica's result in place of what it said before, and returns how many replicas say the same.
    pub(super) fn insert(&mut self, reply: &Arc<Signed<Reply>>, result: Option<&Bytes>) -> usize {
        let result = result.map(result_digest);
        let said = (reply_size(&reply.body) <= KEPT_BYTES).then(|| Arc::clone(reply));
        self.0.insert(reply.body.replica, Vote { result, said });
        self.0.values().filter(|other| other.result == result).count()
    }

    /// Who gave another result, and the REPLY in which it did, if that is kept. Who has forgotten it gave none.
    pub(super) fn dissenters(
        &self,
        result: Option<&Bytes>,
    ) -> impl Iterator<Item = (NodeId, Option<&Signed<Reply>>)> {
        let accepted = result.map(result_digest);
        let differs = move |vote: Digest| accepted.is_some_and(|accepted| accepted != vote);
        let dissenting = self.0.iter().filter(move |(_, vote)| vote.result.is_some_and(differs));
        dissenting.map(|(replica, vote)| (*replica, vote.said.as_deref()))
    }
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
