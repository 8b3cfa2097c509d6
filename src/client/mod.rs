//! Clients of a cluster: [`Client`] for its store, [`ControlClient`] for one of its nodes.
//!
//! # How a call is carried out
//!
//! A [`Client`] knows several nodes; each can serve every request, since followers pass on what only the leader can
//! do. It asks the leader first if it knows it, because that spares a hop. When a node cannot be reached, has no leader
//! or is overloaded, the next one is asked at once; after a round without success the client waits a little, from
//! 10 ms up to 100 ms, until the call's deadline.
//!
//! # Invariants
//!
//! 1. A write is executed at most once. With a session (the default) it carries a number under which the cluster
//!    remembers it, so that it is repeated without fear; without one it is repeated only while every attempt so far is
//!    certain to have had no effect, and else reported as [`Error::Unknown`].
//! 2. All attempts of one write carry the same number, and a number is never used for a second write.
//! 3. [`Error::Refused`] and [`Error::Unreachable`] mean that nothing was executed and nothing will be.
//! 4. A call ends by its deadline.
//!
//! # Left out
//!
//! Watches and leases, which the cluster does not serve. A read that is superseded by its own repetition is simply
//! forgotten.

mod any_node;
mod attempt;
mod control;
mod endpoint;
mod error;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod voters;

pub use control::{ControlClient, CounterReport, NodeReport, PeerReport, Ping};
pub use error::Error;
pub use store::{Client, Consistency, Options};
pub use voters::{DEFAULT_RETRY, VoterConfig};
