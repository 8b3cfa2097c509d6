//! The deterministic simulator.

mod agreement;
mod chaos;
mod client;
mod dice;
mod event;
mod faults;
mod network;
mod node;
mod raft;
mod run;
mod schedule;
mod simulated;
mod stages;
mod stats;
mod trace;
mod workload;
mod world;

pub use dice::Dice;
pub use faults::{Fault, FaultMix};
pub use run::{Failure, Report, RunOptions, run};
pub use schedule::{Injection, Target};
pub use simulated::{Checked, Simulated, Violation, Watch};
pub use stats::Stats;
pub use trace::Tracing;
