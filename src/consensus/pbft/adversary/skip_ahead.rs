//! A primary that leaves numbers out.

use super::super::message::{Message, Sequence};
use super::lie::{Liar, Lie};
use crate::consensus::Outgoing;

/// Words by which choices differ, see [`Liar::choose`].
const WHETHER: u64 = 1;
const HOW_FAR: u64 = 2;

/// By how many numbers it skips: within a window, beyond it, and far beyond all that can be.
const SKIPS: [u64; 6] = [1, 4, 12, 40, 1000, 1 << 40];

/// As primary it gives a third of its batches a later number than is due, the same towards everybody: nothing can be
/// executed until the gap is filled, and the numbers of the window are used up (TOCS §4.4).
#[derive(Debug)]
pub(super) struct SkipAhead;

impl Lie for SkipAhead {
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        let Outgoing { to, message, after } = outgoing;
        let message = match message {
            Message::PrePrepare { mut pre_prepare, batch } if pre_prepare.body.replica == me.id() => {
                let said = pre_prepare.body;
                let about = |word| [word, said.view.0, said.sequence.0];
                if me.choose(3, &about(WHETHER)) == 0 {
                    let skip = SKIPS[me.choose(SKIPS.len() as u64, &about(HOW_FAR)) as usize];
                    let later = Sequence(said.sequence.0.saturating_add(skip));
                    pre_prepare = me.pre_prepare((said.view, later), said.digest);
                }
                Message::PrePrepare { pre_prepare, batch }
            }
            message => message,
        };
        leaves.push(Outgoing { to, message, after });
    }
}
