//! A replica that lies in one way after the other.

use super::super::message::Message;
use super::behaviours::{self, TOLERATED};
use super::lie::{Liar, Lie};
use crate::consensus::{Misbehaviour, NodeId, Outgoing, Time};

/// It changes its behaviour once in so many request timers: often enough to show all of them within minutes, and long
/// enough for each to cost a view change if it can.
const TIMERS: u32 = 8;

/// A word by which choices differ, see [`Liar::choose`].
const WHICH: u64 = 1;

/// Behaves in one of the tolerated ways at a time, drawn anew for each stretch of its time. What a behaviour remembered
/// or held back is lost with it.
#[derive(Debug, Default)]
pub(super) struct Any {
    /// The behaviour of the current stretch, and which stretch that is.
    current: Option<(u64, Box<dyn Lie>)>,
}

impl Lie for Any {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        match self.current(me) {
            Some(lie) => lie.tamper(me, outgoing, leaves),
            None => leaves.push(outgoing),
        }
    }

    fn overhear(&mut self, me: &Liar, from: NodeId, message: &Message, leaves: &mut Vec<Outgoing<Message>>) {
        if let Some(lie) = self.current(me) {
            lie.overhear(me, from, message, leaves);
        }
    }

    fn hears(&mut self, me: &Liar, from: NodeId, message: &Message) -> bool {
        self.current(me).is_none_or(|lie| lie.hears(me, from, message))
    }

    fn deadline(&self) -> Option<Time> {
        self.current.as_ref().and_then(|(_, lie)| lie.deadline())
    }

    fn on_time(&mut self, me: &Liar, leaves: &mut Vec<Outgoing<Message>>) {
        if let Some((_, lie)) = &mut self.current {
            lie.on_time(me, leaves);
        }
    }
}

impl Any {
    /// The behaviour of this stretch of time, made when it begins.
    fn current(&mut self, me: &Liar) -> Option<&mut Box<dyn Lie>> {
        let length = me.options().request_timer() * TIMERS;
        let stretch = me.now.since_origin().as_micros() / length.as_micros().max(1);
        let stretch = u64::try_from(stretch).unwrap_or(u64::MAX);
        if self.current.as_ref().is_none_or(|(current, _)| *current != stretch) {
            let name = TOLERATED[me.choose(TOLERATED.len() as u64, &[WHICH, stretch]) as usize];
            let lie = behaviours::behaviour(&Misbehaviour::new(name, 0));
            self.current = lie.ok().map(|lie| (stretch, lie));
        }
        self.current.as_mut().map(|(_, lie)| lie)
    }
}
