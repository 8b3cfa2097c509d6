//! PBFT: Castro and Liskov, "Practical Byzantine Fault Tolerance" (OSDI'99) and "Practical Byzantine Fault Tolerance
//! and Proactive Recovery" (TOCS 2002), in the form with public-key signatures, with their names. `docs/pbft.md` tells
//! the same to readers and shows it on a running cluster.
//!
//! # The idea
//!
//! n replicas, of which f = (n - 1) / 3 may do anything at all, execute the same requests in the same order. Time is
//! divided into *views*; in each one replica, the *primary*, gives requests sequence numbers, and the *backups* see to
//! it that it gives each number once: any two *quorums* of Q = ⌈(n + f + 1) / 2⌉ replicas have an honest one in common.
//! Who suspects the primary asks for the next view, and Q who do carry over all that may have been executed.
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
//! f + 1 VIEW-CHANGEs for later views also make a replica join the change: one of them is honest.
//!
//! # The files
//!
//! | what | where | source |
//! |---|---|---|
//! | the state of a replica, and where each input goes; what `status` shows | `replica`, `status` | TOCS §4.1 |
//! | the normal case; what is known of one number | `normal`, `slot` | TOCS §4.3 |
//! | requests, replies, patience with the primary | `requests`, `pool` | TOCS §4.2, §4.5 |
//! | the client's side, of programs and of a node's own callers | `client` | TOCS §4.2 |
//! | whose request is next; a demand on the primary's pace | `turns`, `pace` | Aardvark §4, Prime §V |
//! | what speaks against a replica and proves nothing | `suspicion` | |
//! | checkpoints, the window, wrong states | `checkpoint` | TOCS §4.4 |
//! | from one view to the next | `view_change`, `new_view` | OSDI'99 §4.4, TOCS §4.5 |
//! | what was lost is sent again; batches by digest | `retransmit`, `fetch` | TOCS §5.2 |
//! | state transfer | `transfer` | TOCS §4.6 |
//! | what is written, and the replica after a crash | `record`, `disk`, `recover` | TOCS §4.1 |
//! | thresholds and certificates | `quorum`, `certificate` | TOCS §4.1 |
//! | what is signed, and the check of all that arrives | `signing`, `verified`, `check` | TOCS §4.1 |
//! | messages, their canonical bytes, and how they travel | `message`, `codec`, `wire` | OSDI'99 §4 |
//! | proof of who lied, and what follows for a primary | `evidence`, `conviction` | |
//! | settings | `options` | |
//! | liars, for laboratories, around the honest replica | `protocol`, `adversary` | TOCS §2 |
//! | the simulator's watch over the invariants | `simulated` | |
//!
//! # Invariants
//!
//! Between honest replicas, with at most f liars; the simulator and the tests watch them (`simulated` has their names):
//!
//! - A. No two execute different batches under one number.
//! - B. Nothing is executed that no client signed, and nothing twice.
//! - C. No two certificates of one view and number are for different batches.
//! - D. What prepared at Q replicas is told by any Q VIEW-CHANGEs for later views, and so kept by every NEW-VIEW.
//!
//! Of one honest replica alone:
//!
//! 1. What it says is durable before it leaves, and before it counts here: the PRE-PREPARE with its batch before the
//!    PREPARE, the certificate before the COMMIT, everything up to a checkpoint before its CHECKPOINT, VIEW-CHANGE and
//!    NEW-VIEW themselves.
//! 2. Over all its lives it says one thing about each place: a number in a view, a checkpoint, a change of view. What
//!    it sends again is the same byte for byte, since signing is deterministic.
//! 3. Its view never goes back, and it votes in a view only while that is installed.
//! 4. The store is handed slots in order, without a gap; none while a state is about to replace the store's, and none
//!    while the own state is known to be wrong.
//! 5. It backs proposals above the last stable checkpoint h and up to h + L alone. Up to h everything is settled: who
//!    voted there again could help to settle something else.
//! 6. Of each sender it counts one vote in a slot, for the digest that the vote names.
//! 7. All that it keeps is bounded: slots by the window, votes by the replicas, batches by what names them, requests by
//!    the options, answers to others by the status interval.
//!
//! # Deviations from the papers
//!
//! Order and votes:
//!
//! - A slot is committed here when Q replicas said COMMIT for one digest in one view, whether or not it prepared here,
//!   and whatever view this replica is in: f + 1 honest ones hold the certificate. So who left a view alone, or was
//!   told lies by the primary, executes what the others do. A digest's batch is fetched from anybody.
//! - Certificates have exactly Q signatures, or Q - 1 PREPAREs, in ascending order of replicas: one more would prove
//!   nothing more, and a bound on the size of messages follows.
//! - A batch belongs to no view: replicas may learn in different ones that it is committed, so the contract's epoch of
//!   a slot is always zero.
//! - Slots are kept until the *next* checkpoint is stable, for those who are a little behind.
//!
//! Views:
//!
//! - The timer of a view change runs from when Q replicas want its view *or a later one*: those for the same view alone
//!   could be waited for without end by replicas that lost each other's messages.
//! - A replica is patient with the primary as long as it cannot judge: while it hears no quorum, and while it is being
//!   brought up to date. One that was stopped or cut off does not leave the view for that.
//! - Requests are timed one by one, each from when this replica began to wait for it (TOCS has one timer): service to
//!   some does not excuse neglect of others. This timer doubles from view to view as the view change's does.
//! - The timers go back to their shortest only when an execution shows that they are long enough: nothing waits any more,
//!   or the view has lasted for a while and nothing has waited for long. The papers reset them at once; on a machine that
//!   is slower than they are, views would follow each other for ever, each with a little progress.
//! - A primary against which there is proof is left at once, and its later views are passed over: see `conviction`.
//! - NEW-VIEW carries whole VIEW-CHANGEs, so it proves itself, and takes anybody along who is in an earlier view.
//!
//! Requests and answers:
//!
//! - A request carries several commands, each with an id under which it is executed once; the store knows which ones
//!   were, and what it answered. Clients have many requests outstanding.
//! - Reads are ordered like writes, so they need the quorum that writes need and no larger one.
//! - Replies are compared command by command, without the view and the replica that they name.
//!
//! What is lost and what is kept:
//!
//! - STATUS names four numbers and no messages. It is sent at regular intervals, so it is the heartbeat, too, by which
//!   a replica knows whom it hears. It is answered with what its sender lacks by the look of it, and with slots only if
//!   that one does not get on by itself; with ever fewer, if it never does.
//! - States at checkpoints are kept in memory, and saved to disk only when enough was written since the last. Until
//!   then executed batches stay in the log, from which a replica that starts again executes them anew.
//! - States are transferred whole, by pieces of a bounded size, each checked when it comes against the manifest whose
//!   digest the certificate names and the pieces before it; what has not changed is transferred, too. A transfer goes on
//!   while newer checkpoints become stable, within limits.
//!
//! # Left out
//!
//! - MACs, digest replies, tentative execution and the read-only optimisation (TOCS §4, §5.1): a Byzantine primary
//!   could hold up the larger quorums that the last two need.
//! - Proactive recovery, and changes of membership or keys. A replica whose log was lost is not brought back under its
//!   id.
//! - Evidence against clients, and of what stores computed: see `evidence` for what convicts and what does not.
//! - Help for a single honest replica that left the view alone (after a loss of messages that only it saw): it executes
//!   what the others do, but votes again only in the next view. To follow it at once, f liars would have to be
//!   followed.
//! - A primary that is faulty and not missed: without a request that waits nobody leaves a view.
//! - A primary that is slow only with requests that no backup knows of yet, or that fills its slots with little: `pace`
//!   says what a backup cannot see.

mod adversary;
mod certificate;
mod check;
mod checkpoint;
mod client;
mod codec;
mod conviction;
mod disk;
mod dispute;
mod evidence;
mod fetch;
mod message;
mod new_view;
mod normal;
mod numbers;
mod options;
mod pace;
mod pool;
mod protocol;
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
mod suspicion;
mod transfer;
mod turns;
mod verified;
mod view_change;
mod wire;

pub use check::Checker;
pub use client::{Client, MAX_COMMANDS, REQUEST_BYTES, REQUEST_SPAN};
pub use evidence::{Evidence, Said};
pub use message::*;
pub use new_view::{Plan, validate};
pub use options::Options;
pub use protocol::Pbft;
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
