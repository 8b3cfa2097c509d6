//! NEW-VIEWs that do not follow.

use super::super::super::message::{Batch, NewView, PrePrepare, Signed};
use super::super::super::new_view::Plan;
use super::super::lie::Liar;
use super::certificates;
use crate::consensus::Digest;

/// Words by which choices differ, see [`Liar::choose`].
const WHETHER: u64 = 21;

/// The same NEW-VIEW for everybody and each time, validly signed: half of them with a wrong O, the others with a V that
/// proves nothing.
pub(super) fn spoilt(me: &Liar, mut body: NewView) -> Signed<NewView> {
    match me.choose(6, &[WHETHER, body.view.0]) {
        // Too few.
        0 => drop(body.view_changes.pop()),
        // One of them twice.
        1 => {
            body.view_changes.pop();
            body.view_changes.extend(body.view_changes.first().cloned());
        }
        // Its own, with certificates that it made up, and the O that follows.
        2 => with_inventions(me, &mut body),
        _ => spoil_pre_prepares(me, &mut body),
    }
    me.sign(body)
}

fn with_inventions(me: &Liar, body: &mut NewView) {
    let Some(own) = body.view_changes.iter_mut().find(|signed| signed.body.replica == me.id()) else {
        return spoil_pre_prepares(me, body);
    };
    let mut told = own.body.clone();
    certificates::invent(me, &mut told);
    *own = me.sign(told);
    let view = body.view;
    let follows = Plan::of(&body.view_changes).pre_prepares.into_iter();
    let again = follows.map(|(sequence, digest)| me.pre_prepare((view, sequence), digest));
    body.pre_prepares = again.collect();
}

/// Without the last PRE-PREPARE, with the null request where something prepared, in another order, or with one more.
fn spoil_pre_prepares(me: &Liar, body: &mut NewView) {
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
}
