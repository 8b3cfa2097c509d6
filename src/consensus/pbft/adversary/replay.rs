//! A replica that says again what anybody once said.

use super::super::message::Message;
use super::lie::{Liar, Lie, at_once};
use crate::consensus::{Message as _, NodeId, Outgoing};

/// So many messages it remembers.
const MAX_REMEMBERED: usize = 512;
/// A larger message it does not remember: with [`MAX_REMEMBERED`] this bounds its memory.
const MAX_BYTES: usize = 128 << 10;
/// One message that arrives in so many makes it say an old one again: few enough that two who do it cannot keep each
/// other going.
const ONE_IN: u64 = 4;

/// Words by which choices differ, see [`Liar::choose`].
const PLACE: u64 = 1;
const WHETHER: u64 = 2;
const WHICH: u64 = 3;
const TO_WHOM: u64 = 4;

/// Everything that it sends is honest. Beside that it sends old messages of anybody to anybody, verbatim and validly
/// signed: votes and proposals of views that are over, requests that were executed, VIEW-CHANGEs and NEW-VIEWs, states.
/// When its memory is full, a new message takes the place of any other one, so that some are very old.
#[derive(Debug, Default)]
pub(super) struct Replay {
    remembered: Vec<Message>,
    /// How many messages it has seen.
    seen: u64,
}

impl Lie for Replay {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        self.remember(me, &outgoing.message);
        leaves.push(outgoing);
    }

    fn overhear(&mut self, me: &Liar, _: NodeId, message: &Message, leaves: &mut Vec<Outgoing<Message>>) {
        self.remember(me, message);
        let about = |word| [word, self.seen];
        if self.remembered.is_empty() || me.choose(ONE_IN, &about(WHETHER)) != 0 {
            return;
        }
        let which = me.choose(self.remembered.len() as u64, &about(WHICH)) as usize;
        let peers: Vec<NodeId> = me.peers().collect();
        if !peers.is_empty() {
            let to = peers[me.choose(peers.len() as u64, &about(TO_WHOM)) as usize];
            leaves.push(at_once(to, self.remembered[which].clone()));
        }
    }
}

impl Replay {
    fn remember(&mut self, me: &Liar, message: &Message) {
        self.seen += 1;
        if message.size() > MAX_BYTES {
            return;
        }
        if self.remembered.len() < MAX_REMEMBERED {
            self.remembered.push(message.clone());
        } else {
            let place = me.choose(MAX_REMEMBERED as u64, &[PLACE, self.seen]) as usize;
            self.remembered[place] = message.clone();
        }
    }
}
