//! PBFT: Castro and Liskov, "Practical Byzantine Fault Tolerance" (OSDI'99) and "Practical Byzantine Fault Tolerance
//! and Proactive Recovery" (TOCS 2002), in the form with public-key signatures, with their names.

mod certificate;
mod check;
mod client;
mod codec;
mod message;
mod new_view;
mod numbers;
mod options;
mod quorum;
mod signing;
mod sizes;
mod verified;

pub use check::Checker;
pub use client::{Client, MAX_COMMANDS, REQUEST_BYTES, REQUEST_SPAN};
pub use message::*;
pub use new_view::{Plan, validate};
pub use options::Options;
pub use quorum::Quorum;
pub use signing::{Signer, Verifier};

#[cfg(test)]
mod samples;
#[cfg(test)]
mod testing;
