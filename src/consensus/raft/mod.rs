//! Raft, as in Diego Ongaro's dissertation ("Consensus: Bridging Theory and Practice", 2014), with its names.
//!
//! # The idea
//!
//! Time is divided into *terms*, each with at most one *leader*. The leader alone appends clients' commands to its log
//! and replicates it; an entry that a majority holds is *committed* and will be in the log of every later leader, since
//! nobody is elected whose log is older than that of any one of a majority. So all servers execute the same commands
//! in the same order. References such as "§5.3" are to the paper ("In Search of an Understandable Consensus
//! Algorithm", extended version), such as "Diss. §6.4" to the dissertation.
//!
//! | what | where | source |
//! |---|---|---|
//! | elections, pre-vote, standing by a leader | `election` | §5.2, §5.4.1, Diss. §4.2.3, §9.6 |
//! | the leader's side of replication, check-quorum | `replication`, `progress` | §5.3, §5.4.2, Diss. §6.2, §10.2 |
//! | the follower's side | `follower` | §5.3 |
//! | clients' commands | `proposals` | §8, Diss. §6.3 |
//! | linearizable reads | `reads` | Diss. §6.4 |
//! | snapshots | `snapshot` | §7, Diss. §5 |
//! | leadership transfer | `transfer` | Diss. §3.10 |
//! | after a crash | `recover`, `disk` | §5.1, Diss. §3.8 |
//!
//! # Invariants
//!
//! Between servers (§5, Figure 3; the simulator watches them): election safety, leader append-only, log matching,
//! leader completeness, state machine safety. Of one server alone, asserted as it runs:
//!
//! 1. What is promised is durable before the promise leaves or is counted here: term and vote before any message of
//!    that term, entries before their acknowledgement, the own vote before it counts, the own entries before they do.
//! 2. Term and vote are one record. The term never goes back, and the vote of a term never changes.
//! 3. The record numbers of the log's entries rise with their indices, so that what is durable is a prefix. A leader's
//!    log is durable up to where its term begins, because its vote was written after it.
//! 4. The commit index is never beyond the log, and never goes back.
//! 5. Only entries that a durable snapshot covers are forgotten; only uncommitted ones are replaced.
//! 6. No entry is of a term above the server's.
//! 7. A server that takes itself for the leader is in the leader's role, and the other way round.
//! 8. While a received snapshot is about to replace the store's state, nothing is handed to the store.
//!
//! # Deviations from the paper
//!
//! - RPCs are one-way messages: an answer that is lost is as good as a request that is lost. Every message carries its
//!   sender's *current* term, also a pre-vote, and a request of an earlier term is always answered. So the highest term
//!   spreads by any traffic, and two servers cannot refuse each other for ever, one for its old term and the other for
//!   its old log.
//! - The commit index in an `AppendEntries` is bounded by what that very message proves to match, on both sides. The
//!   paper bounds it at the follower only.
//! - The leader sends entries while its own disk still writes them (Diss. §10.2.1), and counts itself when it is done.
//! - A conflict is answered with a hint by which each exchange skips a whole term on one side (§5.3, end).
//! - An `AppendEntries` without entries is answered at once with what is durable by then, so that no heartbeat and no
//!   read waits for a disk.
//! - A leader whose disk stalls for an election timeout hands over or steps down: the followers would wait for ever for
//!   a server that hears everything and can promise nothing. It asks its disk now and then while there is nothing to
//!   write.
//! - A server whose disk has not taken its term for an election timeout takes no later one and says nothing: all of it
//!   could leave only when the disk answers, and would add up until then.
//!
//! # Left out
//!
//! - Membership change (§6, Diss. §4). Quorums are counted over the members that the snapshot names, so that learners
//!   and joint consensus find their place.
//! - Leases (Diss. §6.4.1): they trust clocks; a round of heartbeats costs no disk.
//! - A bound on the memory of a follower's log apart from its own snapshots: the leader's bound is its bound, too.

mod check;
mod disk;
mod election;
mod follower;
mod log;
mod message;
mod options;
mod progress;
mod proposals;
mod reads;
mod record;
mod recover;
mod replication;
mod server;
mod simulated;
mod snapshot;
mod status;
mod transfer;
mod wire;

pub use check::Checker;
pub use message::*;
pub use options::Options;
pub use record::{Entry, Payload, Record};
pub use server::Raft;

#[cfg(test)]
mod tests;
