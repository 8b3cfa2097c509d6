//! A replica that gives others a wrong state, or none, for ever.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::super::message::{Batch, FetchState, Message, Sequence, State};
use super::lie::{Liar, Lie, at_once};
use crate::consensus::{NodeId, Outgoing, Time};

/// Words by which choices differ, see [`Liar::choose`].
const WHETHER: u64 = 1;
const WHERE: u64 = 2;
const WHICH: u64 = 3;
const HOW: u64 = 4;
const LATE: u64 = 5;

/// So many bytes at the front of a piece tell what it is about: half of the lies are there.
const FRONT: usize = 48;
/// A state that does not end has so many pieces.
const ENDLESS: u32 = 1 << 20;
/// So many bytes has a piece of it that is not there.
const MADE_UP: usize = 1024;
/// So many pieces it holds back; what is more it does not send at all.
const MAX_HELD: usize = 64;
/// For so many request timers it holds a piece back at most: longer than anybody waits for one.
const MAX_LATE: u64 = 8;

/// What it does to who fetches a state; batches that others fetch lose a request. One way for each checkpoint and
/// receiver.
#[derive(Debug, Default)]
pub(super) struct LyingState {
    /// Pieces that it holds back, and until when; in the order in which they leave.
    held: VecDeque<(Time, Outgoing<Message>)>,
    /// The last piece that it sent, of which checkpoint, and how many there are.
    last: Option<(Sequence, u32, Bytes)>,
}

/// A way to lie about a state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    /// Half of the pieces have one bit changed, the manifest among them.
    Wrong,
    /// It has ever more pieces: whatever is asked for is made up.
    Endless,
    /// It has ever more pieces: when the true ones end, the last one comes again and again.
    Padded,
    /// It is gone, by its word.
    Gone,
    /// Each piece comes late.
    Late,
}

impl How {
    fn of(me: &Liar, sequence: u64, to: NodeId) -> Self {
        match me.choose(6, &[HOW, sequence, to.0]) {
            0 => Self::Endless,
            1 => Self::Gone,
            2 => Self::Late,
            3 => Self::Padded,
            _ => Self::Wrong,
        }
    }
}

impl Lie for LyingState {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::State(state) => match How::of(me, state.sequence.0, to) {
                How::Wrong => Message::State(spoilt(me, state)),
                How::Gone => Message::State(State { data: None, ..state }),
                How::Endless => Message::State(State { pieces: ENDLESS, ..state }),
                How::Padded => {
                    if let Some(data) = &state.data {
                        self.last = Some((state.sequence, state.pieces, data.clone()));
                    }
                    Message::State(State { pieces: ENDLESS, ..state })
                }
                How::Late => return self.hold(me, Outgoing { to, message: Message::State(state), after }),
            },
            Message::Batch { sequence, mut batch } => {
                batch.0.pop();
                Message::Batch { sequence, batch: Batch(batch.0) }
            }
            message => message,
        };
        leaves.push(Outgoing { to, message, after });
    }

    /// Pieces that its replica does not have and would not answer for.
    fn overhear(&mut self, me: &Liar, from: NodeId, message: &Message, leaves: &mut Vec<Outgoing<Message>>) {
        let Message::FetchState(FetchState { sequence, number }) = *message else { return };
        let beyond = |(at, pieces, _): &&(Sequence, u32, Bytes)| *at == sequence && number >= *pieces;
        let data = match How::of(me, sequence.0, from) {
            How::Endless if number > 0 => Bytes::from(vec![0; MADE_UP]),
            How::Padded => match self.last.as_ref().filter(beyond) {
                Some((.., last)) => last.clone(),
                None => return,
            },
            _ => return,
        };
        let state = State { sequence, pieces: ENDLESS, number, data: Some(data) };
        leaves.push(at_once(from, Message::State(state)));
    }

    fn deadline(&self) -> Option<Time> {
        self.held.front().map(|(until, _)| *until)
    }

    fn on_time(&mut self, me: &Liar, leaves: &mut Vec<Outgoing<Message>>) {
        while let Some((_, outgoing)) = self.held.pop_front_if(|(until, _)| *until <= me.now) {
            leaves.push(outgoing);
        }
    }
}

impl LyingState {
    fn hold(&mut self, me: &Liar, outgoing: Outgoing<Message>) {
        if self.held.len() < MAX_HELD {
            let late = 1 + me.choose(MAX_LATE, &[LATE, outgoing.to.0, self.held.len() as u64]) as u32;
            let until = me.now + me.options().request_timer() * late;
            // Nothing overtakes what is held back already.
            let until = self.held.back().map_or(until, |(last, _)| until.max(*last));
            self.held.push_back((until, outgoing));
        }
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
