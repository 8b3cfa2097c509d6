//! A replica whose signatures do not hold.

use super::super::message::{Message, Signed, Statement};
use super::lie::{Liar, Lie};
use crate::consensus::{NodeId, Outgoing, Signature};

/// Words by which choices differ, see [`Liar::choose`].
const ALL: u64 = 1;
const KIND: u64 = 2;
const BIT: u64 = 3;

/// One bit of a signature is wrong: in half of the views of everything that it signs, in the others of half of the kinds
/// of what it signs. What others signed it passes on.
#[derive(Debug)]
pub(super) struct CorruptSignature;

impl Lie for CorruptSignature {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, mut message, after } = outgoing;
        if let Some((kind, signature)) = own_signature(me.id(), &mut message) {
            let all = me.choose(2, &[ALL, me.view.0]) == 0;
            if all || me.choose(2, &[KIND, me.view.0, kind.into()]) == 0 {
                corrupt(me, signature);
            }
        }
        leaves.push(Outgoing { to, message, after });
    }
}

/// Flips one bit, always the same one of the same signature.
pub(super) fn corrupt(me: &Liar, signature: &mut Signature) {
    let said = signature.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let bit = me.choose(signature.0.len() as u64 * 8, &[BIT, said]) as usize;
    signature.0[bit / 8] ^= 1 << (bit % 8);
}

/// The kind and the signature of what `of` itself says.
fn own_signature(of: NodeId, message: &mut Message) -> Option<(u8, &mut Signature)> {
    fn own<T: Statement>(of: NodeId, signed: &mut Signed<T>) -> Option<(u8, &mut Signature)> {
        (signed.body.signer() == of).then_some((T::KIND, &mut signed.signature))
    }
    match message {
        Message::Request(signed) => own(of, signed),
        Message::PrePrepare { pre_prepare, .. } => own(of, pre_prepare),
        Message::Prepare(signed) => own(of, signed),
        Message::Commit(signed) => own(of, signed),
        Message::Reply(signed) => own(of, signed),
        Message::Checkpoint(signed) => own(of, signed),
        Message::ViewChange(signed) => own(of, signed),
        Message::NewView(signed) => own(of, signed),
        Message::Status(signed) => own(of, signed),
        Message::Disputed(_)
        | Message::Stable(_)
        | Message::FetchBatch(_)
        | Message::Batch { .. }
        | Message::FetchState(_)
        | Message::State(_)
        | Message::Evidence(_) => None,
    }
}
