//! A replica that agrees with everybody, about everything.

use std::collections::BTreeMap;

use super::super::message::{Message, Sequence, View};
use super::lie::{Liar, Lie, Vote, at_once};
use crate::consensus::{Digest, NodeId, Outgoing};

/// Of so many slots and checkpoints it remembers what each replica believes: more than any window is wide.
const MAX_SLOTS: usize = 2048;

/// Tells each replica what that one wants to hear: PREPARE and COMMIT for whatever it was told was proposed, CHECKPOINT
/// for whatever it came to. Alone it does no harm, since it contradicts nobody to his face. With an equivocating primary
/// it gives both sides their quorum: one liar more than four replicas tolerate.
#[derive(Debug, Default)]
pub(super) struct Accomplice {
    /// By sequence number and view (none for checkpoints): what each replica believes.
    believed: BTreeMap<(Sequence, Option<View>), BTreeMap<NodeId, Digest>>,
}

impl Lie for Accomplice {
    /// Its replica's own votes wait until it is known what the receiver wants to hear.
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match Vote::of(&message).filter(|vote| vote.replica == me.id()) {
            Some(vote) => self.believed_by(to, (vote.sequence, vote.view)).map_or_else(
                || (vote.view.is_none() || leads(me, vote.view)).then(|| message.clone()),
                |digest| me.vote_for(&message, digest),
            ),
            None => Some(message),
        };
        leaves.extend(message.map(|message| Outgoing { to, message, after }));
    }

    fn overhear(&mut self, me: &Liar, from: NodeId, message: &Message, leaves: &mut Vec<Outgoing<Message>>) {
        let (view, sequence, digest) = match message {
            Message::PrePrepare { pre_prepare, .. } => {
                let body = pre_prepare.body;
                (Some(body.view), body.sequence, body.digest)
            }
            message => match Vote::of(message) {
                Some(vote) => (vote.view, vote.sequence, vote.digest),
                None => return,
            },
        };
        let about = (sequence, view);
        if self.believed.entry(about).or_default().insert(from, digest) == Some(digest) {
            return;
        }
        while self.believed.len() > MAX_SLOTS {
            self.believed.pop_first();
        }
        // What is forgotten at once would be answered again each time: two accomplices would never end.
        if !self.believed.contains_key(&about) {
            return;
        }
        let Some(view) = view else {
            leaves.push(at_once(from, me.checkpoint(sequence, digest)));
            return;
        };
        if !me.is_primary(view) {
            leaves.push(at_once(from, me.prepare((view, sequence), digest)));
        }
        leaves.push(at_once(from, me.commit((view, sequence), digest)));
    }
}

impl Accomplice {
    fn believed_by(&self, replica: NodeId, about: (Sequence, Option<View>)) -> Option<Digest> {
        self.believed.get(&about)?.get(&replica).copied()
    }
}

/// As primary it need not wait: its proposal is what everybody was told.
fn leads(me: &Liar, view: Option<View>) -> bool {
    view.is_some_and(|view| me.is_primary(view))
}
