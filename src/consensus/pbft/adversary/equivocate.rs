//! A replica that says different things to different others, each of them validly.

use std::collections::BTreeMap;

use super::super::message::{Batch, Message, PrePrepare, Signed};
use super::lie::{Liar, Lie, Slot, Vote, at_once};
use crate::consensus::{Digest, NodeId, Outgoing};

/// Of so many slots it remembers what it told whom: more than any window is wide.
const MAX_TOLD: usize = 2048;

/// Words by which choices differ, see [`Liar::choose`].
const ORDER: u64 = 1;
const CUT: u64 = 2;
const KIND: u64 = 3;

/// As primary it proposes two batches under one number, each to some of the backups, and at once gives each side its
/// COMMIT for what that side was told: so a side that finds enough PREPAREs commits. As backup it votes for the proposed
/// batch towards some and for another one towards the others.
#[derive(Debug, Default)]
pub(super) struct Equivocate {
    told: BTreeMap<Slot, Told>,
    /// The last batch that it proposed, to be proposed again: what was executed must not be executed twice.
    last: Option<(Slot, Batch)>,
    /// The one before.
    earlier: Option<Batch>,
}

/// The two sides of an equivocation.
#[derive(Debug)]
struct Told {
    truth: Digest,
    lie: Digest,
    batch: Batch,
}

impl Lie for Equivocate {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::PrePrepare { pre_prepare, batch } if pre_prepare.body.replica == me.id() => {
                self.propose(me, to, pre_prepare, batch, leaves)
            }
            message => self.vote(me, to, &message).unwrap_or(message),
        };
        leaves.push(Outgoing { to, message, after });
    }
}

impl Equivocate {
    /// What the backup `to` is told instead of the true PRE-PREPARE, and a COMMIT that fits.
    fn propose(
        &mut self,
        me: &Liar,
        to: NodeId,
        pre_prepare: Signed<PrePrepare>,
        batch: Batch,
        leaves: &mut Vec<Outgoing<Message>>,
    ) -> Message {
        let PrePrepare { view, sequence, digest, .. } = pre_prepare.body;
        let slot = (view, sequence);
        self.remember(me, slot, digest, &batch);
        let Some(told) = self.told.get(&slot) else { return Message::PrePrepare { pre_prepare, batch } };
        let lies = is_lied_to(me, slot, to);
        leaves.push(at_once(to, me.commit(slot, if lies { told.lie } else { told.truth })));
        if !lies {
            return Message::PrePrepare { pre_prepare, batch };
        }
        Message::PrePrepare { pre_prepare: me.pre_prepare(slot, told.lie), batch: told.batch.clone() }
    }

    /// Makes the other batch of a slot, when the slot is met for the first time.
    fn remember(&mut self, me: &Liar, slot: Slot, truth: Digest, batch: &Batch) {
        if self.told.contains_key(&slot) || batch.digest() != truth {
            return;
        }
        if self.last.as_ref().is_none_or(|(last, _)| *last != slot) {
            let last = self.last.replace((slot, batch.clone()));
            self.earlier = last.map(|(_, batch)| batch).or(self.earlier.take());
        }
        let batch = self.other_batch(me, slot, batch);
        let lie = batch.digest();
        if lie != truth {
            self.told.insert(slot, Told { truth, lie, batch });
        }
        while self.told.len() > MAX_TOLD {
            self.told.pop_first();
        }
    }

    /// A batch that an honest primary might have proposed as well: of valid requests, or of none.
    fn other_batch(&self, me: &Liar, slot: Slot, batch: &Batch) -> Batch {
        let requests = &batch.0;
        match (me.choose(4, &[KIND, slot.0.0, slot.1.0]), &self.earlier) {
            (0, _) if requests.len() > 1 => Batch(requests.iter().rev().cloned().collect()),
            (1, _) if requests.len() > 1 => Batch(requests[..requests.len() / 2].to_vec()),
            (2, Some(earlier)) => earlier.clone(),
            _ => Batch::default(),
        }
    }

    /// A vote as `to` is to see it: of a slot of its own, for what that one was told; else the truth to some and
    /// something else to the others.
    fn vote(&self, me: &Liar, to: NodeId, message: &Message) -> Option<Message> {
        let vote = Vote::of(message)?;
        let slot = (vote.view.unwrap_or_default(), vote.sequence);
        if !is_lied_to(me, slot, to) {
            return None;
        }
        let told = self.told.get(&slot).filter(|_| vote.view.is_some());
        me.vote_for(message, told.map_or_else(|| me.other(vote.digest), |told| told.lie))
    }
}

/// Whether `to` is on the side that hears the lie about a slot. Both sides have somebody.
fn is_lied_to(me: &Liar, (view, sequence): Slot, to: NodeId) -> bool {
    let rank = |id: NodeId| me.choose(u64::MAX, &[ORDER, view.0, sequence.0, id.0]);
    let before = me.peers().filter(|id| rank(*id) < rank(to)).count() as u64;
    let others = me.peers().count() as u64;
    others > 1 && before <= me.choose(others - 1, &[CUT, view.0, sequence.0])
}
