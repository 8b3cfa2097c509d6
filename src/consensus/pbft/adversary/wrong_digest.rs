//! A replica whose votes are for something else than what was proposed, all for the same.

use super::super::message::{Batch, Message};
use super::lie::{Liar, Lie, Vote};
use crate::consensus::Outgoing;

/// Its PREPAREs, COMMITs and CHECKPOINTs carry another digest, validly signed; and as primary its PRE-PREPAREs, half of
/// them with the batch, which is then not the one that they name, and half of them without, so that the backups look for
/// a batch that nobody has.
#[derive(Debug)]
pub(super) struct WrongDigest;

impl Lie for WrongDigest {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::PrePrepare { pre_prepare, batch } if pre_prepare.body.replica == me.id() => {
                let slot = (pre_prepare.body.view, pre_prepare.body.sequence);
                let with_batch = me.choose(2, &[slot.0.0, slot.1.0]) == 0;
                Message::PrePrepare {
                    pre_prepare: me.pre_prepare(slot, me.other(pre_prepare.body.digest)),
                    batch: if with_batch { batch } else { Batch::default() },
                }
            }
            message => Vote::of(&message)
                .and_then(|vote| me.vote_for(&message, me.other(vote.digest)))
                .unwrap_or(message),
        };
        leaves.push(Outgoing { to, message, after });
    }
}
