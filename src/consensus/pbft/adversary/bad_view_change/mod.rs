//! A replica that abuses the view change.

mod certificates;
mod new_view;

use super::super::message::{Message, Signed, Stable, View, ViewChange};
use super::lie::{Liar, Lie, at_once};
use crate::consensus::{NodeId, Outgoing};

/// Words by which choices differ, see [`Liar::choose`].
const HOW: u64 = 1;
const JUMP: u64 = 2;

/// By how many views the views of its unasked VIEW-CHANGEs go on.
const JUMPS: [u64; 4] = [1, 1, 5, 1000];

/// Its VIEW-CHANGEs tell something else than its replica knows: forged certificates, certificates of too few or with one
/// voter twice, what was true long ago, or nothing. As primary it begins its views with something else than what must
/// follow. And with each of its STATUS it asks for one more view that nobody wants. Everything is signed with its own
/// key.
#[derive(Debug, Default)]
pub(super) struct BadViewChange {
    /// The first VIEW-CHANGE that its replica made: of what was true then.
    old: Option<ViewChange>,
    /// For which view it asked last without need.
    asked: View,
}

impl Lie for BadViewChange {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::ViewChange(signed) if signed.body.replica == me.id() => {
                Message::ViewChange(self.spoilt(me, signed.body))
            }
            Message::NewView(signed) if signed.body.replica == me.id() => {
                Message::NewView(new_view::spoilt(me, signed.body))
            }
            message => {
                if matches!(&message, Message::Status(signed) if signed.body.replica == me.id()) {
                    leaves.push(self.unasked(me, to));
                }
                message
            }
        };
        leaves.push(Outgoing { to, message, after });
    }
}

impl BadViewChange {
    /// The same VIEW-CHANGE for everybody and each time: with something else than it should tell.
    fn spoilt(&mut self, me: &Liar, mut body: ViewChange) -> Signed<ViewChange> {
        let old = self.old.get_or_insert_with(|| body.clone());
        match me.choose(6, &[HOW, body.view.0]) {
            0 | 1 => certificates::invent(me, &mut body),
            2 => certificates::weaken(me, &mut body),
            3 => certificates::forge(me, &mut body),
            4 => (body.stable, body.prepared) = (old.stable.clone(), old.prepared.clone()),
            _ => body.prepared.clear(),
        }
        me.sign(body)
    }

    /// A VIEW-CHANGE for ever later views.
    fn unasked(&mut self, me: &Liar, to: NodeId) -> Outgoing<Message> {
        let jump = JUMPS[me.choose(JUMPS.len() as u64, &[JUMP, self.asked.0]) as usize];
        self.asked = View(self.asked.max(me.view).0 + jump);
        let body = match &self.old {
            Some(old) => ViewChange { view: self.asked, ..old.clone() },
            None => ViewChange {
                view: self.asked,
                stable: Stable::default(),
                prepared: Vec::new(),
                replica: me.id(),
            },
        };
        at_once(to, Message::ViewChange(me.sign(body)))
    }
}
