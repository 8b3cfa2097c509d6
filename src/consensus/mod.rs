//! The contract that every consensus protocol meets, and the protocols that meet it.
//!
//! A protocol is a **deterministic state machine**: [`Input`]s go in, [`Output`]s come out. It owns no socket, file,
//! thread, clock or source of randomness: the time comes with each input and a seed comes with [`Setup`]. So the same
//! code runs in a real node, in the simulator and in a unit test, and equal inputs give equal outputs, bit for bit.
//!
//! # The caller's duty
//!
//! Whoever drives a protocol (in this crate only [`crate::engine`]) owes it six things:
//!
//! 1. [`Protocol::recover`] it from the newest durable snapshot and *all* durable records, in order.
//! 2. Call [`Protocol::handle`] with each input, with a `now` that never goes backward, and when
//!    [`Protocol::deadline`] has come with [`Input::Timeout`]. An early timeout does nothing.
//! 3. Write `records` to the log in order, and say [`Input::Durable`] when they are on disk, never before.
//! 4. Send each message only when the log is durable up to its `after`. Losing, repeating or reordering messages is
//!    allowed; changing them is not (that is a Byzantine fault).
//! 5. Hand `committed` to the store in order, and say [`Input::Applied`] as it is executed.
//! 6. Serve what `reads`, `rejected`, `answers`, `recall`, `checkpoint`, `save`, `pieces` and `install` ask for, as each
//!    says.
//!
//! # Invariants
//!
//! 1. A promise leaves a node, and is counted by the node itself, only after it is durable.
//! 2. A log sequence number ([`Lsn`]) names one record: it is never used twice in one life of a node, and a durable
//!    one never again.
//! 3. `committed` has no gaps and never goes back: index `i + 1` follows index `i`.
//! 4. Input from a peer never panics: it is refused and traced, or reported as evidence.

mod client;
mod codec;
mod contract;
mod evidence;
mod keys;
mod message;
mod misbehaviour;
pub mod pbft;
pub mod raft;
mod status;
#[cfg(test)]
pub(crate) mod toy;
mod types;

pub use client::{ClientOutput, ClientSetup, VotingClient};
pub use codec::{Decode, DecodeError, Encode, Reader};
pub(crate) use codec::{put_bytes, put_list};
pub use contract::*;
pub use evidence::{Court, JudgeEvidence, Judgement, Statement, Words, hex};
pub use keys::{BadKey, KeyUses, Keys, PublicKey, Scheme, SecretKey, Signature, unhex};
pub use message::*;
pub use misbehaviour::{Behaviour, Misbehaviour, Proof};
pub use status::{Conviction, Event, PeerStatus, Role, Status, Suspicion};
pub use types::*;
