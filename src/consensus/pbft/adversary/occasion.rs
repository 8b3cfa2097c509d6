//! What a message is about, by which it is drawn whether it is an occasion to lie.

use super::super::message::{Message, Signed};
use super::lie::Liar;
use crate::consensus::Misbehaviour;

/// A word by which these choices differ from those of the behaviours, see [`Liar::choose`].
const OCCASION: u64 = 0x0CCA_5104;

/// Words for what a message can be about.
const SLOT: u64 = 1;
const CHECKPOINT: u64 = 2;
const VIEW: u64 = 3;
const STATUS: u64 = 4;
const REQUEST: u64 = 5;
const STATE: u64 = 6;
const EVIDENCE: u64 = 7;

/// A number below [`Misbehaviour::ALWAYS`], the same for all messages about one thing. All that belongs to one slot in
/// one view is one occasion: half of an equivocation would be none.
pub(super) fn draw(me: &Liar, message: &Message) -> u16 {
    let [kind, one, two, three] = about(message);
    let drawn = me.choose(Misbehaviour::ALWAYS.into(), &[OCCASION, kind, one, two, three]);
    u16::try_from(drawn).unwrap_or(Misbehaviour::ALWAYS)
}

fn about(message: &Message) -> [u64; 4] {
    match message {
        Message::PrePrepare { pre_prepare: Signed { body, .. }, .. } => {
            [SLOT, body.view.0, body.sequence.0, 0]
        }
        Message::Prepare(Signed { body, .. }) => [SLOT, body.view.0, body.sequence.0, 0],
        Message::Commit(Signed { body, .. }) => [SLOT, body.view.0, body.sequence.0, 0],
        Message::Checkpoint(Signed { body, .. }) => [CHECKPOINT, body.sequence.0, 0, 0],
        Message::Stable(stable) => [CHECKPOINT, stable.sequence().0, 0, 0],
        Message::ViewChange(Signed { body, .. }) => [VIEW, body.view.0, body.replica.0, 0],
        Message::NewView(Signed { body, .. }) => [VIEW, body.view.0, body.replica.0, 0],
        Message::Status(Signed { body, .. }) => [STATUS, body.view.0, body.stable.0, body.committed.0],
        Message::Request(Signed { body, .. }) => {
            let first = body.commands.first().map_or(0, |(counter, _)| *counter);
            [REQUEST, body.client.0, body.incarnation, first]
        }
        Message::Reply(Signed { body, .. }) | Message::Disputed(Signed { body, .. }) => {
            let first = body.results.first().map_or(0, |(counter, _)| *counter);
            [REQUEST, body.client.0, body.incarnation, first]
        }
        Message::FetchBatch(fetch) => [STATE, fetch.sequence.0, 0, 0],
        Message::Batch { sequence, .. } => [STATE, sequence.0, 0, 0],
        Message::FetchState(fetch) => [STATE, fetch.sequence.0, fetch.number.into(), 1],
        Message::State(state) => [STATE, state.sequence.0, state.number.into(), 1],
        Message::Evidence(_) => [EVIDENCE, 0, 0, 0],
    }
}
