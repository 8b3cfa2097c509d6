//! What a node offers on its one port: etcd's v3 API for clients, sessions beside it, control, and the peers' services.
//!
//! A service here turns a message into the store's own request, refuses what etcd's own API layer would refuse, asks
//! the node through its [`Handle`](crate::node::Handle), and turns the answer back.
//!
//! # Semantics
//!
//! Codes and texts are those of etcd 3.4, to the letter where a client may match on them. What goes beyond etcd travels
//! in metadata ([`crate::wire`]) that other clients ignore: sessions, and on errors whether the command may have been
//! executed.
//!
//! 1. A request is checked before it is proposed: a wrong one costs no entry in the log.
//! 2. A read, and a transaction that only reads, is served from a linearizable read point, or at once if all its
//!    ranges are serializable. Nothing that reads is written to the log.
//! 3. Every error says whether the command may have been executed.
//!
//! # Left out
//!
//! Watches, leases, authentication and changes of membership are answered with UNIMPLEMENTED; a put with a lease is
//! refused as etcd refuses an unknown one.

mod connection;
mod control;
mod errors;
mod kv;
mod maintenance;
mod server;
mod session;
#[cfg(test)]
pub(crate) mod tests;

pub use server::{ServeError, serve};
