//! A replica that gives clients wrong answers.

use bytes::{Bytes, BytesMut};

use super::super::message::{Message, Reply, Signed};
use super::lie::{Liar, Lie};
use crate::consensus::Outgoing;

/// Words by which choices differ, see [`Liar::choose`].
const HOW: u64 = 1;
const WHERE: u64 = 2;

/// Its REPLYs have other results than its store gave, validly signed: one bit changed, an answer that is said to be
/// forgotten, the answer to something else, none but the first. Clients that believe f + 1 equal replies never see one.
#[derive(Debug)]
pub(super) struct WrongReply;

impl Lie for WrongReply {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::Reply(reply) if reply.body.replica == me.id() => Message::Reply(wrong(me, reply.body)),
            message => message,
        };
        leaves.push(Outgoing { to, message, after });
    }
}

fn wrong(me: &Liar, mut body: Reply) -> Signed<Reply> {
    let first = body.results.first().map_or(0, |(counter, _)| *counter);
    let about = |word| [word, body.client.0, body.incarnation, first];
    let how = me.choose(4, &about(HOW));
    let seed = me.choose(u64::MAX, &about(WHERE));
    match (how, body.results.as_mut_slice()) {
        (0, [(_, one), .., (_, other)]) => std::mem::swap(one, other),
        (1, [_, .., _]) => body.results.truncate(1),
        (2, results) => results.iter_mut().for_each(|(_, result)| *result = None),
        (_, results) => results.iter_mut().for_each(|(_, result)| *result = Some(changed(result, seed))),
    }
    me.sign(body)
}

/// Another result: with one bit changed, or made up where there is none.
fn changed(result: &Option<Bytes>, seed: u64) -> Bytes {
    let mut bytes = BytesMut::from(result.as_deref().unwrap_or_default());
    if bytes.is_empty() {
        return Bytes::from_static(b"made up");
    }
    let bit = (seed % (bytes.len() as u64 * 8)) as usize;
    bytes[bit / 8] ^= 1 << (bit % 8);
    bytes.freeze()
}
