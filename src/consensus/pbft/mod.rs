//! PBFT: Castro and Liskov, "Practical Byzantine Fault Tolerance" (OSDI'99) and "Practical Byzantine Fault Tolerance
//! and Proactive Recovery" (TOCS 2002), in the form with public-key signatures, with their names.

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
