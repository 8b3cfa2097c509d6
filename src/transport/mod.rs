//! gRPC links between replicas, and from clients that take part in a protocol to replicas; and the faults that can be put
//! on those between replicas.
//!
//! A replica keeps one connection to each peer, and on it one bidirectional stream for each of the protocol's RPCs: a
//! *lane*. A message costs no round trip of its own. Requests leave on the streams that a replica opened; responses
//! leave on the streams that its peer opened, and belong to a request by what they say, not by their position.
//!
//! ```text
//!   core ── send ──▶ queue ──▶ gate, faults ──▶ HTTP/2 ──▶ decode ──▶ gate, faults ──▶ check ──▶ inbox ──▶ core
//! ```
//!
//! Messages of one lane and direction arrive in the order in which they were sent, or not at all; between lanes there
//! is no order. While a connection is lost and made anew, messages are lost.
//!
//! Where clients take part in a protocol, they open some of the lanes as well ([`Wire::CLIENT_LANES`]), with
//! [`ClientLinks`]. A client's id is that of a key that the replica knows, above all members' ids. Nobody calls a client:
//! what is sent to it leaves on the streams of its message's lane that it has open at that moment, on all of them, since
//! several processes may share a key; without one the message is lost.
//!
//! What a protocol has to bring is [`Wire`]: the names of its RPCs, and how a message becomes bytes and bytes a message.
//! Nothing in here knows a protocol.
//!
//! # Invariants
//!
//! 1. [`Links::send`] never waits. A queue is bounded in messages and bytes; what does not fit is dropped and counted:
//!    consensus tolerates loss, and a replica that stopped reading must cost its peers no memory.
//! 2. What waits for a peer that is not connected is bounded far tighter, and the oldest goes first: nobody is served
//!    by last minute's heartbeats.
//! 3. A message reaches the inbox only from a stream whose metadata named this cluster, this protocol, a member (or, on
//!    a client's lane, a client that has a key) as the sender and *this* replica as the receiver, signed by that sender
//!    where it has a key, and only after [`crate::consensus::Protocol::check`].
//! 4. A peer has at most one stream a lane and direction: a newer one ends the older. A client has at most 64 a lane,
//!    each with a small queue of its own: one more ends the oldest.
//! 5. Each message between replicas meets [`LinkFaults`] when it leaves and again when it arrives, on connections that stay open. So a
//!    partition that is set on one side alone is complete, and is in force for what is queued already.
//! 6. What arrives waits in a line of its sender's own, bounded in messages and bytes, and the lines are emptied in turns;
//!    of one sender's messages one is checked at a time. Who floods waits for itself.
//! 7. Behind a paused [`Gate`] nothing is read and nothing is sent, and connections stay as they are.
//! 8. Two processes that run as one peer are noticed by how their streams take each other's place, and told (`doubles.rs`).
//! 9. When [`Links`] is dropped, its tasks end and its streams break, in both directions.
//!
//! # Limits
//!
//! Bytes that are no gRPC, or no message of the protocol, end the stream or connection on which they came with a status
//! that says why, and nothing else. A message that can be decoded but is refused by the protocol's check is counted and
//! skipped: the stream goes on, because what else it carries may be honest.
//!
//! # Left out
//!
//! Encryption of links. Where nodes have no keys, the metadata guard against mistakes, not against malice: a replica
//! believes whoever can reach its port. Where they have, the metadata are signed, and not fresh: whoever listens on the
//! network can use them again to take a stream's place, and could cut it as well.

mod client_links;
mod clients;
mod codec;
mod counters;
mod dial;
mod doubles;
mod endpoint;
mod faults;
mod filter;
pub mod gate;
mod identity;
mod inbox;
mod intake;
mod life;
mod links;
mod peer;
mod queue;
#[cfg(test)]
mod queue_tests;
mod refusals;
mod server;
mod wire;

pub use client_links::{ClientLinkSetup, ClientLinks};
pub use counters::LinkCounters;
pub use endpoint::{MAX_MESSAGE_BYTES, server};
pub use faults::{Direction, Effect, LinkFaults, Rule};
pub use gate::Gate;
pub use inbox::{Closed, Inbox, Mailbox, inbox};
pub use links::{BadAddress, LinkSetup, Links, Received};
pub use server::PeerServer;
pub use wire::{Lane, Malformed, Wire};
#[cfg(test)]
mod tests;
