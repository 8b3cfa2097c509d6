//! The deterministic simulator: a cluster in one thread, under a virtual clock, with everything that goes wrong drawn
//! from one seed.
//!
//! # The idea
//!
//! The engine's four stages ([`crate::engine`]) are plain structs, and so are the protocols. In production a task and
//! three threads carry the results of one stage to the next; here one event queue does. Every hand-over, message, sync
//! and request is an event at a time that is drawn from the seed, and between any two effects of a stage the node may
//! crash. What runs here is therefore what runs in production, on a disk ([`crate::wal::FaultyDisk`]) that loses, tears
//! and fails, with a network and clocks that do what they may.
//!
//! Equal [`RunOptions`] give equal runs, bit for bit, on any machine and with any number of jobs: a [`Report`] carries a
//! digest of everything that happened.
//!
//! | what | where |
//! |---|---|
//! | who takes part, and who of them lies | `cast` |
//! | the event queue and the loop | `event`, `world` |
//! | what carries results between stages | `stages` |
//! | the faults by name; a run's plan of them; how they strike | `faults`, `schedule`, `chaos`, `network` |
//! | clients and what they ask | `client`, `workload` |
//! | invariants of any protocol | `agreement`; of one protocol: its [`Watch`], in its own folder |
//! | runs, many of them, and the smallest that fails | `run`, `sweep`, `shrink` |
//!
//! # Phases
//!
//! 1. *Faults*, for two thirds of the time: the invariants are checked at every step.
//! 2. *Calm*: all faults end, but for a minority that may stay down or cut off. Every client must be served within a
//!    bound (`progress`).
//! 3. *Quiet*: clients stop. All replicas that can must come to the same state (`convergence`), and the clients' history
//!    is judged by [`crate::check`] (`linearizability`).
//!
//! # Invariants
//!
//! Checked incrementally: each step is judged by what it touched. Whatever the protocol:
//!
//! 1. `state-machine-safety`, `order-without-gaps`: all nodes execute the same slot at an index, in order.
//! 2. `equal-states`: equal revisions after every slot, equal digests at every checkpoint and every 64 slots.
//! 3. `record-numbers-once`: no record number is used twice, in no life of a node.
//! 4. `promises-survive`: nothing that was durable is missing after a restart.
//! 5. `honest-messages-pass`, `records-decode`: what an honest node sends or writes is never refused.
//! 6. `restart`, `disk-errors-have-causes`: a node starts after any crash, and stops only for a cause.
//! 7. `panic`: no assertion fails.
//!
//! Raft's own are documented on its watch, in `consensus::raft::simulated`, and listed in `docs/simulator.md`.
//!
//! # Left out
//!
//! - gRPC, tokio and threads: the shell around the engine is tested by scenarios on real clusters.
//! - Lost directory entries and files in the middle of a path: names survive a crash or not as the disk's model says.
//! - Clocks that go back: a node's clock never does, by contract.

mod agreement;
mod cast;
mod chaos;
mod client;
mod dice;
mod event;
mod faults;
mod lives;
mod network;
mod node;
mod phases;
mod run;
mod schedule;
mod shrink;
mod simulated;
mod stages;
mod stats;
mod sweep;
#[cfg(test)]
mod tests;
mod trace;
mod workload;
mod world;

pub use agreement::Fingerprint;
pub use cast::{Cast, check_liars, parse_liar};
pub use dice::Dice;
pub use faults::{Fault, FaultMix};
pub use run::{Failure, Report, RunOptions, run};
pub use schedule::{Injection, Target};
pub use shrink::{Shrunk, shrink};
pub use simulated::{Checked, Simulated, Violation, Watch};
pub use stats::Stats;
pub use sweep::{Outcome, Sweep, sweep};
pub use trace::{TraceKind, TraceLine, Tracing};
