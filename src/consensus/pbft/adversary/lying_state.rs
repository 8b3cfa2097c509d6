//! A replica that gives others a wrong state.

use bytes::{Bytes, BytesMut};

use super::super::message::{Message, State};
use super::lie::{Liar, Lie};
use crate::consensus::Outgoing;

/// Words by which choices differ, see [`Liar::choose`].
const WHETHER: u64 = 1;
const WHERE: u64 = 2;
const WHICH: u64 = 3;

/// So many bytes at the front of a piece tell what it is about: half of the lies are there.
const FRONT: usize = 48;

/// Half of the pieces of its state that it is asked for leave it with one bit changed.
#[derive(Debug)]
pub(super) struct LyingState;

impl Lie for LyingState {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::State(state) => Message::State(spoilt(me, state)),
            message => message,
        };
        leaves.push(Outgoing { to, message, after });
    }
}

fn spoilt(me: &Liar, state: State) -> State {
    let about = |word| [word, state.sequence.0, state.number.into()];
    let lies = me.choose(2, &about(WHETHER)) == 0;
    let Some(data) = state.data.as_ref().filter(|data| lies && !data.is_empty()) else { return state };
    let reach = if me.choose(2, &about(WHERE)) == 0 { data.len().min(FRONT) } else { data.len() };
    let bit = me.choose(reach as u64 * 8, &about(WHICH)) as usize;
    let mut changed = BytesMut::from(data.as_ref());
    changed[bit / 8] ^= 1 << (bit % 8);
    let data: Option<Bytes> = Some(changed.freeze());
    State { data, ..state }
}
