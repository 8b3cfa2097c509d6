//! What clients and nodes say to each other: the generated messages, and the conversions between them and the store's
//! own types.
//!
//! Both ends use this module: [`crate::client`] turns requests into messages and answers back, the services of the
//! nodes do the reverse. Generated types stay in here and in those two.
//!
//! # Invariants
//!
//! 1. Conversions are total: every message gives a value or a [`Malformed`] that says what is wrong with it, in etcd's
//!    words where etcd has them.
//! 2. A value converted to a message and back is the same value.
//! 3. Byte strings are shared, never copied.
//!
//! # Metadata
//!
//! | key | on | says |
//! |---|---|---|
//! | [`SESSION`] | writes | which command of which session this is, so that it is executed once: see `protos/session.proto` |
//! | [`OUTCOME`] | errors | whether the command may have been executed: `never-executed` or `unknown` |
//! | [`LEADER`] | errors | the id of the node that leads, if the one that answers knows it |

mod control;
mod metadata;
pub(crate) mod pb;
mod requests;
mod responses;
#[cfg(test)]
mod tests;

pub use metadata::{LEADER, OUTCOME, Outcome, SESSION};
pub(crate) use metadata::{leader_of, outcome_of, session_of, set_leader, set_outcome, set_session};
pub use requests::Malformed;
pub(crate) use responses::Header;
pub use responses::UnexpectedAnswer;
