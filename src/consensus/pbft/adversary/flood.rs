//! A replica that drowns the others in messages.

use bytes::Bytes;

use super::super::message::{
    Commit, FetchBatch, FetchState, Message, Prepare, Request, Sequence, Signed, Status,
};
use super::lie::{Liar, Lie, at_once};
use crate::consensus::{Digest, NodeId, Outgoing, Signature, Time, WallTime};

/// So many bursts in a status interval.
const BURSTS: u32 = 10;
/// A burst has so many messages, to all peers together, as one line takes them: by default 4,800 a second, which is many
/// times what a cluster needs, and little enough for two cores that run all replicas and this one.
const MESSAGES: usize = 48;
/// Words by which choices differ, see [`Liar::choose`].
const WHERE: u64 = 1;
/// The life in which it signs requests: its replica's own client must not be mistaken for it.
const LIFE: u64 = 1 << 40;
/// How far from what is going on its votes are.
const FAR: u64 = 4096;

/// Does all that an honest replica does, and again and again sends everybody requests of its own, votes for slots far
/// away, questions, news of itself, and rubbish. How much is bounded by the time, whatever it is answered.
#[derive(Debug, Default)]
pub(super) struct Flood {
    next: Option<Time>,
    sent: u64,
}

impl Lie for Flood {
    fn tamper(&mut self, _: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>) {
        leaves.push(outgoing);
    }

    fn deadline(&self) -> Option<Time> {
        Some(self.next.unwrap_or(Time::ZERO))
    }

    fn on_time(&mut self, me: &Liar, leaves: &mut Vec<Outgoing<Message>>) {
        self.next = Some(me.now + me.options().status_interval() / BURSTS);
        for _ in 0..(MESSAGES / me.peers().count().max(1)).max(1) {
            self.sent += 1;
            let message = self.message(me);
            leaves.extend(me.peers().map(|peer: NodeId| at_once(peer, message.clone())));
        }
    }
}

impl Flood {
    fn message(&self, me: &Liar) -> Message {
        let sequence = Sequence(1 + me.choose(FAR, &[WHERE, self.sent]));
        let (view, replica, digest) = (me.view, me.id(), me.other(Digest([self.sent as u8; 32])));
        match self.sent % 8 {
            0 => {
                let commands = vec![(self.sent, Bytes::from_static(b"flood"))];
                let (time, incarnation) = (WallTime(0), LIFE);
                Message::Request(me.sign(Request { client: replica, incarnation, time, commands }))
            }
            1 => Message::FetchBatch(FetchBatch { sequence, digest }),
            2 => Message::FetchState(FetchState { sequence, number: 0 }),
            3 => Message::Status(me.sign(Status {
                view,
                active: true,
                stable: Sequence::ZERO,
                committed: Sequence::ZERO,
                fetching: Sequence::ZERO,
                replica,
            })),
            4 => me.checkpoint(sequence, digest),
            5 if !me.is_primary(view) => {
                Message::Prepare(me.sign(Prepare { view, sequence, digest, replica }))
            }
            6 => Message::Commit(Signed {
                body: Commit { view, sequence, digest, replica },
                signature: Signature([self.sent as u8; 64]),
            }),
            _ => me.commit((view, sequence), digest),
        }
    }
}
