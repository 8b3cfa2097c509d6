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
//! again chooses as before.
//!
//! | behaviour | what it does | tolerated |
//! |---|---|---|
//! | `wrong-digest` | votes for digests of nothing, PRE-PREPAREs that nobody can prepare | f of them |
//! | `equivocate` | two batches under one number; votes that differ by receiver | f of them |
//! | `silent` | nothing | f of them |
//! | `bad-new-view` | NEW-VIEWs whose O does not follow from their V | f of them |
//! | `skip-ahead` | as primary leaves numbers out, within the window and beyond | f of them |
//! | `lying-state` | pieces of its state with a bit changed | f of them |
//! | `accomplice` | agrees with everybody | f of them; it shows what happens with more than f |

mod accomplice;
mod bad_new_view;
mod behaviours;
mod equivocate;
mod lie;
mod lying_state;
mod silent;
mod skip_ahead;
#[cfg(test)]
mod tests;
mod wrong_digest;

pub(super) use behaviours::{BEHAVIOURS, TOLERATED};
use lie::{Liar, Lie};

use super::message::Message;
use super::quorum::Quorum;
use super::signing::Signer;
use crate::consensus::{Misbehaviour, NodeId, Outgoing};

/// Stands between an honest replica and the network, and lies.
#[derive(Debug)]
pub(super) struct Adversary {
    me: Liar,
    lie: Box<dyn Lie>,
}

impl Adversary {
    /// Does what it is told, in the name of the signer; refuses a behaviour that there is not.
    pub(super) fn new(misbehaviour: &Misbehaviour, signer: Signer, quorum: Quorum) -> Result<Self, String> {
        let lie = behaviours::behaviour(&misbehaviour.behaviour)?;
        Ok(Self { me: Liar::new(signer, quorum, misbehaviour.seed), lie })
    }

    /// A message arrived, which the replica takes as well. What is said to it behind the replica's back goes into
    /// `leaves`.
    pub(super) fn overhear(&mut self, from: NodeId, message: &Message, leaves: &mut Vec<Outgoing<Message>>) {
        self.lie.overhear(&self.me, from, message, leaves);
    }

    /// The replica wants to send these messages: what leaves instead goes into `leaves`.
    pub(super) fn tamper(&mut self, honest: Vec<Outgoing<Message>>, leaves: &mut Vec<Outgoing<Message>>) {
        for outgoing in honest {
            self.lie.tamper(&self.me, outgoing, leaves);
        }
    }
}
