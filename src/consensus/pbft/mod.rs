//! PBFT: Castro and Liskov, "Practical Byzantine Fault Tolerance" (OSDI'99) and "Practical Byzantine Fault Tolerance
//! and Proactive Recovery" (TOCS 2002), in the form with public-key signatures, with their names.

mod message;

pub use message::*;
