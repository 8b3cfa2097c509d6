//! PBFT: Castro and Liskov, "Practical Byzantine Fault Tolerance" (OSDI'99) and "Practical Byzantine Fault Tolerance
//! and Proactive Recovery" (TOCS 2002), in the form with public-key signatures, with their names.
//!
//! # The idea
//!
//! n replicas, of which f = (n - 1) / 3 may do anything at all, execute the same requests in the same order. Time is
//! divided into *views*; in each one replica, the *primary*, gives requests sequence numbers, and the *backups* see to it
//! that it gives each number once: any two *quorums* of Q = ⌈(n + f + 1) / 2⌉ replicas have an honest one in common. Who
//! suspects the primary asks for the next view, and Q who do carry over all that may have been executed.
//!
//! | phase | what it promises | what it takes |
//! |---|---|---|
//! | pre-prepared | this replica signs nothing else for the number in this view | the primary's word, and the batch |
//! | prepared | nobody can prepare anything else for the number in this view | PREPAREs of Q - 1 backups |
//! | committed | no later view can have anything else under the number | COMMITs of Q replicas |
//! | stable | the state up to the number can be proved, and its messages forgotten | CHECKPOINTs of Q replicas |
//! | new view | it begins with all that can have been committed before | VIEW-CHANGEs of Q replicas |
//! | answered | an honest replica executed the request and got this answer | REPLYs of f + 1 replicas |
//!
//! | what | where | source |
//! |---|---|---|
//! | the normal case | `normal`, `slot` | TOCS §4.3 |
//! | requests, replies, patience with the primary | `requests`, `pool`, `client` | TOCS §4.2, §4.5 |
//! | checkpoints, the window, wrong states | `checkpoint` | TOCS §4.4 |
//! | from one view to the next | `view_change`, `new_view` | OSDI'99 §4.4, TOCS §4.5 |
//! | what was lost is sent again | `retransmit`, `fetch` | TOCS §5.2 |
//! | state transfer | `transfer` | TOCS §4.6 |
//! | after a crash | `recover`, `record`, `disk` | TOCS §4.1 |
//! | signatures, certificates, the check of what arrives | `signing`, `certificate`, `check`, `quorum` | TOCS §4.1 |
//! | liars, for laboratories | `adversary` | |
//!
//! # Invariants
//!
//! Between replicas (the simulator and the tests watch them): no two honest ones execute different batches under one
//! number; nothing is executed that no client signed; nothing twice. Of one honest replica alone:
//!
//! 1. What it says is durable before it leaves, and before it counts here: the PRE-PREPARE with its batch before the
//!    PREPARE, the certificate before the COMMIT, everything up to a checkpoint before its CHECKPOINT, VIEW-CHANGE and
//!    NEW-VIEW themselves.
//! 2. Over all its lives it says one thing about each place: a number in a view, a checkpoint, a change of view. What it
//!    sends again is the same byte for byte, since signing is deterministic.
//! 3. Its view never goes back, and it votes in a view only while that is installed.
//! 4. The store is handed slots in order, without a gap; none while a state is about to replace the store's, and none
//!    while the own state is known to be wrong.
//! 5. It backs proposals above the last stable checkpoint h and up to h + L alone. Up to h everything is settled: who
//!    voted there again could help to settle something else.
//! 6. Of each sender it counts one vote in a slot, for the digest that the vote names.
//! 7. All that it keeps is bounded: slots by the window, votes by the replicas, batches by what names them, requests by the
//!    options, answers to others by the status interval.
//!
//! # Deviations from the papers
//!
//! - A slot is committed here when Q replicas said COMMIT for one digest in one view, whether or not it prepared here, and
//!   whatever view this replica is in: f + 1 honest ones hold the certificate. So who left a view alone, or was told lies
//!   by the primary, executes what the others do. A digest's batch is fetched from anybody.
//! - The timer of a view change runs from when Q replicas want its view *or a later one*: those for the same view alone
//!   could be waited for without end by replicas that lost each other's messages.
//! - A replica is patient with the primary as long as it cannot judge: while it hears no quorum, and while it is being brought
//!   up to date. One that was stopped or cut off does not leave the view for that.
//! - Requests are timed one by one, each from when this replica began to wait for it (TOCS has one timer): service to some
//!   does not excuse neglect of others.
//! - A request carries several commands, each with an id under which it is executed once; the store knows which ones
//!   were. Clients have many requests outstanding.
//! - Slots are kept until the *next* checkpoint is stable, for those who are a little behind.
//! - NEW-VIEW carries whole VIEW-CHANGEs, so it proves itself, and takes anybody along who is in an earlier view.
//! - STATUS names four numbers and no messages: it is answered with what its sender lacks by the look of them, and with
//!   slots only if it does not get on by itself.
//! - States are transferred whole, by pieces, each checked by itself against the manifest whose digest the certificate
//!   names, not by descending into partitions.
//! - A batch belongs to no view: replicas may learn in different ones that it is committed, so the contract's epoch of
//!   a slot says nothing.
//!
//! # Left out
//!
//! - Tentative execution, read-only requests, digest replies and MACs (TOCS §5.1, §4): reads are ordered, and a Byzantine
//!   primary cannot hold them up by splitting a larger quorum.
//! - Proactive recovery (TOCS §4.6) and changes of membership.
//! - Help for a single honest replica that left the view alone (after a loss of messages that only it saw): it executes
//!   what the others do, but votes again only in the next view. To follow it at once, f liars would have to be followed.
//! - A demand on a slow primary's throughput (Aardvark, Prime): one that stays just below the timers is not replaced.

mod adversary;
mod certificate;
mod check;
mod checkpoint;
mod client;
mod codec;
mod disk;
mod fetch;
mod message;
mod new_view;
mod normal;
mod numbers;
mod options;
mod pbft;
mod pool;
mod quorum;
mod record;
mod recover;
mod replica;
mod requests;
mod retransmit;
mod signing;
mod simulated;
mod sizes;
mod slot;
mod status;
mod transfer;
mod verified;
mod view_change;
mod wire;

pub use check::Checker;
pub use client::{Client, MAX_COMMANDS, REQUEST_BYTES, REQUEST_SPAN};
pub use message::*;
pub use new_view::{Plan, validate};
pub use options::Options;
pub use pbft::Pbft;
pub use quorum::Quorum;
pub use record::Record;
pub use replica::Replica;
pub use signing::{Signer, Verifier};
pub use simulated::PbftWatch;

/// The epoch of a slot, as the contract calls it: a batch belongs to no view, since replicas may decide it in different
/// ones.
const EPOCH: crate::consensus::Epoch = crate::consensus::Epoch::ZERO;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
