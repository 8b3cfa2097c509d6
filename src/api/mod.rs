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
//! # Whom a caller trusts
//!
//! The node that it asks, and no other. With a protocol that tolerates crashes only, that is all there is to trust. With
//! one whose replicas may lie, the replica behind this API acts as a client on behalf of its caller: it has the command
//! ordered under a key of its own, and answers once enough replicas have executed it alike. A replica that is honest thus
//! answers what is true, whoever else lies; one that lies can answer what it likes, since nothing in an etcd answer
//! proves it, and a serializable read is one replica's word in any case.
//!
//! Who does not want to believe a single replica uses `consensusctl kv` with a client's key, or
//! [`Client::connect_as`](crate::client::Client::connect_as): these ask all replicas themselves, with requests that they
//! sign, and take only what one more replicas than may lie (f + 1) have answered and signed alike.
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
