//! What replicas send each other, as the shared code sees it.

use std::fmt::Debug;

/// A protocol's message.
pub trait Message: Clone + Debug + Send + 'static {
    /// All names that [`kind`](Self::kind) can give.
    const KINDS: &'static [&'static str];

    /// The message's name in the paper, as `AppendEntries`: for faults, traces and counters.
    fn kind(&self) -> &'static str;

    /// About how many bytes the message takes on the network: bounds what a link's queue holds.
    fn size(&self) -> usize;
}

/// A message that was decoded and whose limits, sender and signatures were checked. Only
/// [`super::Protocol::check`] makes one, so that nothing else reaches [`super::Protocol::handle`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked<M>(M);

impl<M> Checked<M> {
    /// Vouches for a message. For the protocols' `check` only.
    pub(in crate::consensus) fn vouch(message: M) -> Self {
        Self(message)
    }

    /// The message.
    pub fn into_inner(self) -> M {
        self.0
    }

    /// The message.
    pub fn get(&self) -> &M {
        &self.0
    }
}

/// Why a message of a peer was not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} refused: {why}")]
pub struct Refused {
    /// The message's kind.
    pub kind: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}
