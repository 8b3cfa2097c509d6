//! Batches that are named somewhere and are not here: fetched by their digest, which proves them.

use std::collections::BTreeMap;

use super::message::{Batch, FetchBatch, Message, Sequence};
use super::replica::{Out, Replica};
use crate::consensus::{Digest, Event, Lsn, NodeId, Time};

/// Batches that one replica is given in a status interval: a whole window takes a few of them, and a flood of questions
/// costs no more.
const BATCHES_AT_ONCE: usize = 128;

/// Batches that are being fetched: at most one a slot of the window.
#[derive(Debug, Default)]
pub(super) struct Fetches {
    wanted: BTreeMap<Sequence, Wanted>,
}

#[derive(Debug)]
struct Wanted {
    digest: Digest,
    /// Who was asked last, and when.
    asked: NodeId,
    at: Time,
}

impl Replica {
    /// Asks for a batch, first the one who named it.
    pub(super) fn fetch_batch(&mut self, sequence: Sequence, digest: Digest, source: NodeId, out: &mut Out) {
        let asked = if source == self.id { self.after_peer(source) } else { source };
        let known = self.fetches.wanted.get(&sequence).is_some_and(|wanted| wanted.digest == digest);
        if known || asked == self.id || !self.lacks(sequence, &digest) {
            return;
        }
        self.fetches.wanted.insert(sequence, Wanted { digest, asked, at: self.now });
        // While the disk is behind it could not be written: it is fetched when the timer comes round after that.
        if !self.disk.is_behind() {
            self.send(asked, Message::FetchBatch(FetchBatch { sequence, digest }), Lsn::ZERO, out);
        }
    }

    /// Asks again, someone else.
    pub(super) fn fetch_again(&mut self, out: &mut Out) {
        let mut wanted = std::mem::take(&mut self.fetches.wanted);
        wanted.retain(|sequence, wanted| self.lacks(*sequence, &wanted.digest));
        for (sequence, wanted) in &mut wanted {
            let due = self.now.since(wanted.at) >= self.options.status_interval();
            if due && !self.disk.is_behind() {
                (wanted.asked, wanted.at) = (self.after_peer(wanted.asked), self.now);
                let fetch = FetchBatch { sequence: *sequence, digest: wanted.digest };
                self.send(wanted.asked, Message::FetchBatch(fetch), Lsn::ZERO, out);
            }
        }
        self.fetches.wanted = wanted;
    }

    /// Whether a slot still names a batch that is not here. Once it is decided it wants that one alone: what a liar
    /// proposes there must not take its place. Of a later view it wants none yet.
    fn lacks(&self, sequence: Sequence, digest: &Digest) -> bool {
        self.slots.get(&sequence).is_some_and(|slot| {
            let early = slot.early.filter(|early| early.body.view == self.view);
            let early = early.map(|early| early.body.digest);
            slot.decided.or(early) == Some(*digest) && slot.batch(digest).is_none()
        })
    }

    /// The next member after this one, apart from this replica.
    pub(super) fn after_peer(&self, id: NodeId) -> NodeId {
        let members = self.quorum.members();
        let later = members.iter().filter(|member| **member > id);
        let next = later.chain(members).find(|member| **member != self.id);
        next.copied().unwrap_or(self.id)
    }

    pub(super) fn on_fetch_batch(&mut self, from: NodeId, fetch: FetchBatch, out: &mut Out) {
        let FetchBatch { sequence, digest } = fetch;
        let Some(peer) = self.peers.get_mut(&from) else { return };
        peer.batches += 1;
        if peer.batches > BATCHES_AT_ONCE {
            let why = "it asks for too many batches at once";
            return out.trace.push(Event::Ignored { from, kind: "FetchBatch", why });
        }
        let batch = self.slots.get(&sequence).and_then(|slot| slot.batch(&digest));
        if let Some(batch) = batch {
            self.send(from, Message::Batch { sequence, batch: batch.clone() }, Lsn::ZERO, out);
        } else {
            let why = "that batch is not here";
            out.trace.push(Event::Ignored { from, kind: "FetchBatch", why });
        }
    }

    pub(super) fn on_batch(&mut self, from: NodeId, sequence: Sequence, batch: Batch, out: &mut Out) {
        let digest = batch.digest();
        if !self.lacks(sequence, &digest) {
            let why = "nobody asked for it";
            return out.trace.push(Event::Ignored { from, kind: "Batch", why });
        }
        self.keep_wanted_batch(sequence, digest, batch, out);
    }

    /// Keeps a batch if a slot names it, and goes on with what waited for it.
    pub(super) fn keep_wanted_batch(
        &mut self,
        sequence: Sequence,
        digest: Digest,
        batch: Batch,
        out: &mut Out,
    ) {
        if !self.lacks(sequence, &digest) || batch.digest() != digest {
            return;
        }
        self.fetches.wanted.remove(&sequence);
        let view = self.view;
        let Some(slot) = self.slots.get_mut(&sequence) else { return };
        slot.keep_batch(digest, batch);
        let early = slot.early.filter(|early| early.body.digest == digest && early.body.view == view);
        let may_accept = self.active && !self.disk.is_behind();
        let acceptable = early.filter(|_| may_accept && slot.accepted_in(view).is_none());
        if let Some(pre_prepare) = acceptable {
            self.accept_known(pre_prepare, out);
        }
    }
}
