//! Clients of a cluster: [`Client`] for its store, [`ControlClient`] for one of its nodes.
//!
//! There are two ways to believe an answer, and a [`Client`] is made for one of them:
//!
//! | made by | whom it asks | whom it believes | for |
//! |---|---|---|---|
//! | [`Client::connect`] | any node, over etcd's API | the node that answers | nodes that crash, but do not lie |
//! | [`Client::connect_as`] | all replicas, with signed requests | enough replicas that answer alike | replicas that may lie |
//!
//! [`NodeClient`] asks one node once, for measurements.
//!
//! What it offers and how it fails is the same. Which of them a protocol needs stands in the
//! [registry](crate::registry); [`crate::cluster::Door`] knows for a given cluster.
//!
//! # How a call to any node is carried out
//!
//! The client knows several nodes; each can serve every request, since followers pass on what only the leader can
//! do. It asks the leader first if it knows it, because that spares a hop. When a node cannot be reached, has no leader
//! or is overloaded, the next one is asked at once; after a round without success the client waits a little, from
//! 10 ms up to 100 ms, until the call's deadline.
//!
//! # How votes are counted
//!
//! A task drives the protocol's own sans-I/O client ([`crate::consensus::VotingClient`]), which signs, repeats and
//! compares; what it sends travels on the same links as what replicas send each other. Linearizable reads are ordered as
//! writes are. A serializable read asks one replica over etcd's API, and what it answers is that replica's word alone.
//!
//! # Invariants
//!
//! 1. A write is executed at most once. With a session (the default) it carries a number under which the cluster
//!    remembers it, so that it is repeated without fear; without one it is repeated only while every attempt so far is
//!    certain to have had no effect, and else reported as [`Error::Unknown`]. Where votes are counted, every request has
//!    such a number, and there are no sessions.
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
mod node;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod voters;

pub use control::{
    ControlClient, ConvictionReport, CounterReport, NodeReport, PeerReport, Ping, SuspicionReport,
};
pub use error::Error;
pub use node::NodeClient;
pub use store::{Client, Consistency, Options};
pub use voters::{DEFAULT_RETRY, HEADS, TAILS, TwoFaced, VoterConfig};
