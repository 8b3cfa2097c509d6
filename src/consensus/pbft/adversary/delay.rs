//! A replica that does everything, late.

use std::collections::VecDeque;

use super::super::message::Message;
use super::lie::{Liar, Lie, Vote};
use crate::consensus::{Outgoing, Time};

/// The part of the request timer for which it holds a PRE-PREPARE back, in tenths: the rest is what agreeing takes on a
/// busy machine.
const TENTHS: u32 = 8;

/// So many messages are held back at most; then the oldest leaves early.
const MAX_HELD: usize = 4096;

/// As primary it proposes each batch just before the backups lose their patience, as backup it votes so late; all of it
/// in order.
#[derive(Debug, Default)]
pub(super) struct Delay {
    held: VecDeque<(Time, Outgoing<Message>)>,
}

impl Lie for Delay {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        if !is_held(me, &outgoing.message) {
            return leaves.push(outgoing);
        }
        self.held.push_back((me.now + me.options().request_timer() * TENTHS / 10, outgoing));
        if self.held.len() > MAX_HELD {
            leaves.extend(self.held.pop_front().map(|(_, oldest)| oldest));
        }
    }

    fn deadline(&self) -> Option<Time> {
        self.held.front().map(|(due, _)| *due)
    }

    fn on_time(&mut self, me: &Liar, leaves: &mut Vec<Outgoing<Message>>) {
        while let Some((_, outgoing)) = self.held.pop_front_if(|(due, _)| *due <= me.now) {
            leaves.push(outgoing);
        }
    }
}

fn is_held(me: &Liar, message: &Message) -> bool {
    match message {
        Message::PrePrepare { pre_prepare, .. } => pre_prepare.body.replica == me.id(),
        Message::Prepare(_) | Message::Commit(_) => {
            !me.is_primary(me.view) && Vote::of(message).is_some_and(|vote| vote.replica == me.id())
        }
        _ => false,
    }
}
