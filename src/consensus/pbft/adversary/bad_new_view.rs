//! A primary whose view begins with something else than what it must.

use super::super::message::{Batch, Message, NewView, PrePrepare, Signed};
use super::super::new_view::Plan;
use super::lie::{Liar, Lie};
use crate::consensus::{Digest, Outgoing};

/// Its NEW-VIEWs have the VIEW-CHANGEs that came, and a wrong O, all of it validly signed: without the last PRE-PREPARE,
/// with the null request where something prepared, in another order, or with one more. Backups who did not compute O
/// themselves would lose what was committed.
#[derive(Debug)]
pub(super) struct BadNewView;

impl Lie for BadNewView {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::NewView(new_view) if new_view.body.replica == me.id() => {
                Message::NewView(spoilt(me, new_view.body))
            }
            message => message,
        };
        leaves.push(Outgoing { to, message, after });
    }
}

/// The same NEW-VIEW for everybody and each time: with a wrong O.
fn spoilt(me: &Liar, mut body: NewView) -> Signed<NewView> {
    let view = body.view;
    let null = Batch::default().digest();
    let mut again: Vec<PrePrepare> = body.pre_prepares.iter().map(|signed| signed.body).collect();
    let prepared: Vec<usize> = (0..again.len()).filter(|at| again[*at].digest != null).collect();
    match (me.choose(3, &[view.0]), prepared.as_slice()) {
        (0, [.., _]) => again.truncate(again.len() - 1),
        (1, [at, ..]) => again[*at].digest = null,
        (_, [first, .., last]) => {
            let digests: [Digest; 2] = [again[*last].digest, again[*first].digest];
            [again[*first].digest, again[*last].digest] = digests;
        }
        _ => {
            let sequence = Plan::of(&body.view_changes).last().next();
            again.push(PrePrepare { view, sequence, digest: null, replica: me.id() });
        }
    }
    body.pre_prepares = again.into_iter().map(|said| me.sign(said)).collect();
    me.sign(body)
}
