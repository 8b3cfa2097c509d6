//! One replica, synchronous: a protocol, its log, its store, its snapshots, and the clients that wait.
//!
//! The engine is four **stages**. Each is a plain struct that takes work and gives results; none owns a thread, a clock
//! or a socket, and none calls another. Whoever drives them carries the results forward: the real node with a task or
//! thread for each ([`crate::node`]), the simulator in one thread under a virtual clock ([`crate::sim`]). What runs in
//! the simulator is therefore what runs in production, not a likeness.
//!
//! ```text
//!            messages, commands, reads, timeouts
//!                           │
//!                  ┌────────▼────────┐  messages, when the log allows; rejections
//!         ┌───────►│    Sequencer    ├──────────────────────────────────────────►
//!         │        │  (the protocol) │
//!         │        └─┬──────┬──────┬─┘
//!         │  records │      │      │ pieces to read and to store
//!         │  ┌───────▼┐     │    ┌─▼───────┐
//!         │  │ Logger │     │    │ Archive │ snapshots on disk
//!         │  └───────┬┘     │    └─▲─────┬─┘
//!         │  durable │      │      │     │ restored store
//!         │          │  ┌───▼──────┴──┐  │
//!         │          │  │  Executor   │◄─┘
//!         │          │  │ (the store) ├──────────────────────────────────────────►
//!         │          │  └───┬─────────┘  answers
//!         └──────────┴──────┘ applied, checkpointed
//! ```
//!
//! * [`Sequencer`] owns the protocol. It numbers nothing and decides nothing itself: it encodes records, holds each
//!   message back until the log is durable as far as the message promises, and routes the rest.
//! * [`Logger`] owns the log. Everything that waits becomes one batch and one sync.
//! * [`Executor`] owns the store. It executes what is committed, answers whoever waits here, and serves reads at
//!   their read point.
//! * [`Archive`] owns the snapshots, those that this replica takes and those that it receives.
//!
//! # Invariants
//!
//! 1. No message leaves before the log is durable up to its `after` (checked where messages are released).
//! 2. The protocol hears [`Input::Durable`](crate::consensus::Input::Durable) only for records whose sync has returned.
//! 3. Record numbers follow each other without a gap, and committed slots likewise.
//! 4. The executor never executes a slot twice and never goes back, also when a snapshot replaces its store.
//! 5. The log forgets nothing that the newest durable snapshot does not cover: what the protocol gives up takes effect
//!    only once the records of the same output are durable.

mod archive;
mod executor;
mod logger;
mod recovery;
mod sequencer;

pub use archive::{Archive, ArchiveWork, Archived};
pub use executor::{Executed, Executor, ExecutorWork, StoreStatus};
pub use logger::{LogWork, Logged, Logger};
pub use recovery::{EngineConfig, OpenError, Opened, Recovery, open};
pub use sequencer::{Effects, Event, Sequencer};

use crate::consensus::{ReadId, RequestId};

/// Names whoever waits for an answer at this node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Ticket {
    /// A command.
    Command(RequestId),
    /// A read.
    Read(ReadId),
}

#[cfg(test)]
mod tests;
