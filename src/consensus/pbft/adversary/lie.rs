//! [`Lie`]: what a behaviour can do; and what all of them need for it.

use std::fmt::Debug;

use sha2::{Digest as _, Sha256};

use super::super::message::{
    Checkpoint, Commit, Message, PrePrepare, Prepare, Sequence, Signed, Statement, View,
};
use super::super::options::Options;
use super::super::quorum::Quorum;
use super::super::signing::Signer;
use crate::consensus::{Digest, Lsn, NodeId, Outgoing, Time};

/// A way to lie: stands between an honest replica and the network. What the replica itself believes stays true to what
/// it was told.
pub(super) trait Lie: Debug + Send {
    /// The replica wants to send `outgoing`. What leaves instead is put into `leaves`.
    fn tamper(&mut self, me: &Liar, outgoing: Outgoing<Message>, leaves: &mut Vec<Outgoing<Message>>);

    /// A message arrived, which the replica takes as well. What is said to it behind the replica's back is put into
    /// `leaves`; it may be held back by whoever calls, if this is no occasion to lie.
    fn overhear(
        &mut self,
        _me: &Liar,
        _from: NodeId,
        _message: &Message,
        _leaves: &mut Vec<Outgoing<Message>>,
    ) {
    }

    /// Whether its replica gets to hear a message that arrives: one that it does not might have been lost.
    fn hears(&mut self, _me: &Liar, _from: NodeId, _message: &Message) -> bool {
        true
    }

    /// When it wants to say something by itself, if it does.
    fn deadline(&self) -> Option<Time> {
        None
    }

    /// Its deadline has come: what it says now is put into `leaves`. The next deadline is later than now.
    fn on_time(&mut self, _me: &Liar, _leaves: &mut Vec<Outgoing<Message>>) {}
}

/// A view and a sequence number: what one PRE-PREPARE is about.
pub(super) type Slot = (View, Sequence);

/// Who lies: a member with the keys of its own replica and nobody else's.
#[derive(Clone, Debug)]
pub(super) struct Liar {
    signer: Signer,
    quorum: Quorum,
    options: Options,
    seed: u64,
    /// The time, as its replica knows it.
    pub(super) now: Time,
    /// The view that its replica is in, or wants to enter.
    pub(super) view: View,
}

impl Liar {
    pub(super) fn new(signer: Signer, quorum: Quorum, options: Options, seed: u64) -> Self {
        Self { signer, quorum, options, seed, now: Time::ZERO, view: View::ZERO }
    }

    /// The settings of its cluster.
    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    pub(super) fn id(&self) -> NodeId {
        self.signer.id()
    }

    /// The members and the thresholds.
    pub(super) fn quorum(&self) -> &Quorum {
        &self.quorum
    }

    /// All others.
    pub(super) fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.quorum.members().iter().copied().filter(|id| *id != self.id())
    }

    pub(super) fn is_primary(&self, view: View) -> bool {
        self.quorum.primary(view) == self.id()
    }

    pub(super) fn sign<T: Statement>(&self, body: T) -> Signed<T> {
        self.signer.sign(body)
    }

    /// A number below `bound` that depends on the seed and on `about` alone: so that the same is chosen again after a
    /// restart.
    pub(super) fn choose(&self, bound: u64, about: &[u64]) -> u64 {
        let mut hash = Sha256::new().chain_update(self.seed.to_le_bytes());
        for word in about {
            hash.update(word.to_le_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        let word = digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        word % bound
    }

    /// Another digest, of nothing that anybody has.
    pub(super) fn other(&self, digest: Digest) -> Digest {
        let hash = Sha256::new().chain_update(b"another").chain_update(digest.0);
        Digest(hash.chain_update(self.id().0.to_le_bytes()).finalize().into())
    }

    pub(super) fn pre_prepare(&self, (view, sequence): Slot, digest: Digest) -> Signed<PrePrepare> {
        self.sign(PrePrepare { view, sequence, digest, replica: self.id() })
    }

    pub(super) fn prepare(&self, (view, sequence): Slot, digest: Digest) -> Message {
        Message::Prepare(self.sign(Prepare { view, sequence, digest, replica: self.id() }))
    }

    pub(super) fn commit(&self, (view, sequence): Slot, digest: Digest) -> Message {
        Message::Commit(self.sign(Commit { view, sequence, digest, replica: self.id() }))
    }

    pub(super) fn checkpoint(&self, sequence: Sequence, digest: Digest) -> Message {
        Message::Checkpoint(self.sign(Checkpoint { sequence, digest, replica: self.id() }))
    }

    /// The same vote for another digest; `None` of what is no vote of this replica.
    pub(super) fn vote_for(&self, message: &Message, digest: Digest) -> Option<Message> {
        let vote = Vote::of(message).filter(|vote| vote.replica == self.id())?;
        Some(match (message, vote.view) {
            (Message::Prepare(_), Some(view)) => self.prepare((view, vote.sequence), digest),
            (Message::Commit(_), Some(view)) => self.commit((view, vote.sequence), digest),
            _ => self.checkpoint(vote.sequence, digest),
        })
    }
}

/// What PREPARE, COMMIT and CHECKPOINT have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    /// None of a CHECKPOINT.
    pub(super) view: Option<View>,
    pub(super) sequence: Sequence,
    pub(super) digest: Digest,
    pub(super) replica: NodeId,
}

impl Vote {
    /// The vote that a message is, if it is one.
    pub(super) fn of(message: &Message) -> Option<Self> {
        let (view, sequence, digest, replica) = match message {
            Message::Prepare(Signed { body, .. }) => {
                (Some(body.view), body.sequence, body.digest, body.replica)
            }
            Message::Commit(Signed { body, .. }) => {
                (Some(body.view), body.sequence, body.digest, body.replica)
            }
            Message::Checkpoint(Signed { body, .. }) => (None, body.sequence, body.digest, body.replica),
            _ => return None,
        };
        Some(Self { view, sequence, digest, replica })
    }
}

/// A message that waits for nothing: who lies does not care what its disk holds.
pub(super) fn at_once(to: NodeId, message: Message) -> Outgoing<Message> {
    Outgoing { to, message, after: Lsn::ZERO }
}
