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
//!         └──────────┴──────┘ applied with outcomes, recalled, checkpointed
//! ```
//!
//! * [`Sequencer`] owns the protocol. It numbers nothing and decides nothing itself: it encodes records, holds each
//!   message back until the log is durable as far as the message promises, and routes the rest.
//! * [`Logger`] owns the log. Everything that waits becomes one batch and one sync.
//! * [`Executor`] owns the store. It executes what is committed, answers whoever waits here, and serves reads at
//!   their read point. A read that may take long leaves it as a [`Query`], with a clone of the store, so that it holds up
//!   nothing. Where clients count votes ([`Answers::ByVote`](crate::consensus::Answers::ByVote)) it answers no
//!   command itself: it tells the protocol every outcome, and the sequencer brings the answer once the protocol has
//!   enough equal ones.
//! * [`Archive`] owns the snapshots: the states that are kept in memory from checkpoint to release, those of them that
//!   are saved to disk, and the snapshots that are received.
//!
//! # Invariants
//!
//! 1. No message leaves before the log is durable up to its `after` (checked where messages are released).
//! 2. The protocol hears [`Input::Durable`](crate::consensus::Input::Durable) only for records whose sync has returned.
//! 3. Record numbers follow each other without a gap, and committed slots likewise.
//! 4. The executor never executes a slot twice and never goes back, also when a snapshot replaces its store. The one
//!    exception is a repair ([`Install::repair`](crate::consensus::Install)): a store that was found to be wrong is
//!    replaced by an older state that is right, and slots are handed out again from there.
//! 5. The log forgets nothing that the newest durable snapshot does not cover: what the protocol gives up takes effect
//!    only once the records of the same output are durable.

mod archive;
mod executor;
mod logger;
mod recovery;
mod sequencer;

pub use archive::{Archive, ArchiveWork, Archived, Kept};
pub use executor::{Executed, Executor, ExecutorWork, Installed, Query, StoreStatus};
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
