//! The tokio shell around an [engine](crate::engine): the tasks and threads that drive its stages in real time.
//!
//! ```text
//!  api ──requests──► core task ──► log thread ──► disk
//!  peers ─messages─► (Sequencer)    (Logger)
//!                     │   ▲  ▲          │
//!                     │   │  └─durable──┘
//!                     ▼   └────applied──┐
//!                  links            store thread ──answers──► api
//!                                    (Executor) ──► query thread ──answers──► api
//!                                   archive thread ──► disk
//!                                    (Archive)
//! ```
//!
//! * The **core task** takes whatever has arrived since its last turn (no timer: what waits is the batch), gives it to
//!   the sequencer, and hands the effects on. It never blocks and holds no lock.
//! * The **log thread** writes and syncs; one sync serves all that waited.
//! * The **store thread** executes, answers the clients of this node, and serves reads of one key.
//! * The **query thread** serves reads that may take long, each on a clone of the store, while the store thread goes on. What
//!   nobody waits for any more is not begun.
//! * The **archive thread** writes and reads snapshots and prepares log segments: all that may take long.
//!
//! A command's way is one hop forward at a time: the channel that will carry its answer travels with it from the core
//! task to the store thread, so no table is shared and no lock is taken.
//! Where clients count votes it stays with the core task instead: the store's outcome goes back to the protocol, and the
//! answer comes when enough nodes gave the same. Linearizable reads are commands there.
//!
//! [`Node`] owns all of this and can pause it, stop it, or kill it as SIGKILL would; [`Handle`] is what the api and the
//! supervisor hold.

mod clock;
mod config;
mod core;
mod counters;
mod handle;
mod reply;
mod shell;
mod threads;

/// The name under which logs tell what replicas send each other; a line a message, from level `debug` on.
const MESSAGES: &str = "consensusctl::messages";
/// The name under which logs tell what is on disk; from level `debug` on also each write of the log.
const STORAGE: &str = "consensusctl::storage";

pub use clock::{Clock, wall_time};
pub use config::{DEFAULT_REQUEST_TIMEOUT, Member, NodeConfig};
pub use counters::CountersSnapshot;
pub use handle::{Answer, Handle, NodeError, NodeStatus};
pub use shell::{Node, NodeFailure, StartError};

#[cfg(test)]
mod tests;
