//! The adversary: a replica that can be told to lie.
//!
//! [`Pbft`](super::Pbft) is what nodes and the simulator run: the honest [`Replica`](super::replica::Replica), and
//! around it, as long as it is told to misbehave, an [`Adversary`] that looks at what arrives and tampers with what
//! leaves. The honest code knows nothing of it.
//!
//! # What it can do
//!
//! Everything that a faulty replica of the papers can (TOCS §2), with the keys of its own replica and nobody else's, and
//! with everything that it has ever received. What its replica believes stays consistent: messages to itself, its log
//! and its store are not tampered with. That makes it a better liar, since it follows the protocol wherever the lie does
//! not begin, and it costs the honest ones nothing: no promise binds a liar.
//!
//! # A behaviour
//!
//! Each is a small type in a file of its own behind the trait [`Lie`], and a line in `behaviours`, which gives it its
//! name. Choices are drawn from the seed of the misbehaviour and from what they are about, so that a liar that starts
//! again chooses as before. The [`Adversary`] sees to how often it lies ([`Misbehaviour::per_mille`]) and from which
//! view on ([`Misbehaviour::from_epoch`]): a behaviour is not even asked where it is not to lie.
//!
//! | behaviour | what it does | tolerated |
//! |---|---|---|
//! | `any` | one of the others that are tolerated after the other | f of them |
//! | `wrong-digest` | votes for digests of nothing, PRE-PREPAREs that nobody can prepare | f of them |
//! | `equivocate` | two batches under one number; votes that differ by receiver | f of them |
//! | `silent` | nothing | f of them |
//! | `corrupt-signature` | signatures that do not hold, on everything or on some kinds | f of them |
//! | `replay` | old messages of anybody, verbatim, to anybody | f of them |
//! | `bad-view-change` | VIEW-CHANGEs with forged, weak, stale or no certificates, or for ever later views; NEW-VIEWs whose V proves nothing or whose O does not follow from it | f of them |
//! | `skip-ahead` | as primary leaves numbers out, within the window and beyond | f of them |
//! | `lying-state` | pieces of its state with a bit changed, without end (made up, or the last one over and over), late, or none; other batches than those asked for | f of them |
//! | `wrong-reply` | REPLYs with other results | f of them |
//! | `mutate` | small changes to otherwise valid messages | f of them |
//! | `delay` | PRE-PREPAREs just before the backups' patience ends, votes as late | f of them |
//! | `censor` | leaves out one client, or some key | f of them |
//! | `flood` | far too many messages of all kinds | f of them |
//! | `accomplice` | agrees with everybody | f of them; it shows what happens with more than f |

mod accomplice;
mod any;
mod bad_view_change;
mod behaviours;
mod censor;
mod corrupt_signature;
mod delay;
mod equivocate;
mod flood;
mod lie;
mod lying_state;
mod mutate;
mod occasion;
mod replay;
mod silent;
mod skip_ahead;
#[cfg(test)]
mod tests;
mod wrong_digest;
mod wrong_reply;

pub(super) use behaviours::{BEHAVIOURS, TOLERATED};
use lie::{Liar, Lie};

use super::message::{Message, View};
use super::options::Options;
use super::quorum::Quorum;
use super::signing::Signer;
use crate::consensus::{Input, Misbehaviour, NodeId, Outgoing, Time};

/// Stands between an honest replica and the network, and lies.
#[derive(Debug)]
pub(super) struct Adversary {
    me: Liar,
    lie: Box<dyn Lie>,
    /// See [`Misbehaviour::per_mille`].
    per_mille: u16,
    /// See [`Misbehaviour::from_epoch`].
    from_view: View,
}

/// Refuses what no replica can be told to do wrong.
pub(super) fn check(misbehaviour: &Misbehaviour) -> Result<(), String> {
    behaviours::behaviour(misbehaviour).map(|_| ())
}

impl Adversary {
    /// Does what it is told, in the name of the signer; refuses what [`check`] refuses.
    pub(super) fn new(
        misbehaviour: &Misbehaviour,
        signer: Signer,
        quorum: Quorum,
        options: Options,
    ) -> Result<Self, String> {
        let lie = behaviours::behaviour(misbehaviour)?;
        let me = Liar::new(signer, quorum, options, misbehaviour.seed);
        let from_view = View(misbehaviour.from_epoch);
        Ok(Self { me, lie, per_mille: misbehaviour.per_mille, from_view })
    }

    /// What time it is, and which view its replica is in.
    pub(super) fn is_at(&mut self, now: Time, view: View) {
        self.me.now = self.me.now.max(now);
        self.me.view = view;
    }

    /// A message arrived, which the replica takes as well. What is said to it behind the replica's back goes into
    /// `leaves`.
    pub(super) fn overhear(&mut self, from: NodeId, message: &Message, leaves: &mut Vec<Outgoing<Message>>) {
        let before = leaves.len();
        self.lie.overhear(&self.me, from, message, leaves);
        if !self.lies_about(message) {
            leaves.truncate(before);
        }
    }

    /// Whether the replica gets an input: all but messages that it is not to hear.
    pub(super) fn lets_in(&mut self, input: &Input<Message>) -> bool {
        let Input::Message { from, message } = input else { return true };
        !self.lies_about(message.get()) || self.lie.hears(&self.me, *from, message.get())
    }

    /// The replica wants to send these messages: what leaves instead goes into `leaves`.
    pub(super) fn tamper(&mut self, honest: Vec<Outgoing<Message>>, leaves: &mut Vec<Outgoing<Message>>) {
        for outgoing in honest {
            if self.lies_about(&outgoing.message) {
                self.lie.tamper(&self.me, outgoing, leaves);
            } else {
                leaves.push(outgoing);
            }
        }
    }

    /// When it wants to say something by itself.
    pub(super) fn deadline(&self) -> Option<Time> {
        self.lie.deadline()
    }

    /// What it says by itself, if the time for that has come, goes into `leaves`.
    pub(super) fn on_time(&mut self, leaves: &mut Vec<Outgoing<Message>>) {
        if self.lie.deadline().is_some_and(|deadline| deadline <= self.me.now) {
            let before = leaves.len();
            self.lie.on_time(&self.me, leaves);
            if self.me.view < self.from_view {
                leaves.truncate(before);
            }
        }
    }

    /// Whether a message is an occasion to lie: the same for all that is said about one slot, and after a restart.
    fn lies_about(&self, message: &Message) -> bool {
        let always = self.per_mille == Misbehaviour::ALWAYS;
        let drawn = || occasion::draw(&self.me, message) < self.per_mille;
        self.me.view >= self.from_view && (always || drawn())
    }
}
