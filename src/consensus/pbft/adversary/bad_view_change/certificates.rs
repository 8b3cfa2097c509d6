//! Certificates that prove nothing.

use super::super::super::message::{
    Batch, Checkpoint, PrePrepare, Prepare, Prepared, Sequence, Signed, View, ViewChange,
};
use super::super::corrupt_signature::corrupt;
use super::super::lie::Liar;
use crate::consensus::{NodeId, Signature};

/// Words by which choices differ, see [`Liar::choose`].
const WHICH: u64 = 11;
const TWICE: u64 = 12;

/// Claims that in the last view the null request prepared wherever anything did, or in the first slot: of the right
/// form, and with signatures that nobody made. Who does not check them loses what was committed.
pub(super) fn invent(me: &Liar, body: &mut ViewChange) {
    let view = View(body.view.0.saturating_sub(1));
    let mut slots: Vec<Sequence> = body.prepared.iter().map(Prepared::sequence).collect();
    if slots.is_empty() {
        slots.push(body.stable.sequence().next());
    }
    body.prepared = slots.into_iter().map(|sequence| invented(me, view, sequence)).collect();
}

fn invented(me: &Liar, view: View, sequence: Sequence) -> Prepared {
    let digest = Batch::default().digest();
    let primary = me.quorum().primary(view);
    // Of something else, since it has no key for this.
    let signature = me.sign(Checkpoint { sequence, digest, replica: me.id() }).signature;
    let forged = |replica: NodeId| Signed { body: Prepare { view, sequence, digest, replica }, signature };
    let backups = me.quorum().members().iter().copied().filter(|member| *member != primary);
    let prepares = backups.take(me.quorum().quorum() - 1).map(forged).collect();
    let pre_prepare = Signed { body: PrePrepare { view, sequence, digest, replica: primary }, signature };
    Prepared { pre_prepare, prepares }
}

/// Leaves one vote out of each certificate, or has one in it twice.
pub(super) fn weaken(me: &Liar, body: &mut ViewChange) {
    let twice = me.choose(2, &[TWICE, body.view.0]) == 0;
    for prepared in &mut body.prepared {
        spoil(&mut prepared.prepares, twice);
    }
    spoil(&mut body.stable.checkpoints, twice);
}

fn spoil<T: Copy>(votes: &mut Vec<T>, twice: bool) {
    let last = votes.pop();
    if let (Some(first), Some(_), true) = (votes.first().copied(), last, twice) {
        votes.insert(0, first);
    }
}

/// Changes a bit of one signature, of a certificate or of the proof of its checkpoint.
pub(super) fn forge(me: &Liar, body: &mut ViewChange) {
    let prepared = body.prepared.iter_mut().flat_map(|prepared| &mut prepared.prepares);
    let prepared = prepared.map(|signed| &mut signed.signature);
    let stable = body.stable.checkpoints.iter_mut().map(|signed| &mut signed.signature);
    let mut all: Vec<&mut Signature> = prepared.chain(stable).collect();
    if !all.is_empty() {
        let which = me.choose(all.len() as u64, &[WHICH, body.view.0]) as usize;
        corrupt(me, all[which]);
    }
}
