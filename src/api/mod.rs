//! What a node offers on its one port: etcd's v3 API for clients, sessions beside it, control, and the peers' services.
//! What is for clients a gateway offers too: a process next to an application, which is itself a client of the cluster.
//!
//! A service here turns a message into the store's own request, refuses what etcd's own API layer would refuse, asks
//! whoever executes commands here (the node, through its [`Handle`](crate::node::Handle), or the gateway's
//! [`Client`](crate::client::Client)), and turns the answer back. So both have the same semantics, limits, codes and texts.
//!
//! # Semantics
//!
//! Codes and texts are those of etcd 3.4, to the letter where a client may match on them. What goes beyond etcd travels
//! in metadata ([`crate::wire`]) that other clients ignore: sessions, and on errors whether the command may have been
//! executed.
//!
//! 1. A request is checked before it is proposed: a wrong one costs no entry in the log.
//! 2. A read, and a transaction that only reads, is served from a linearizable read point, or by a node at once if all
//!    its ranges are serializable; a gateway serves these linearizably, too.
//! 3. Every error says whether the command may have been executed.
//!
//! # Whom a caller trusts
//!
//! Who asks a gateway trusts that gateway, which is its own, and through it what the gateway's client believes.
//!
//! Who asks a node trusts that node, and no other. With a protocol that tolerates crashes only, that is all there is to trust. With
//! one whose replicas may lie, the replica behind this API acts as a client on behalf of its caller: it has the command
//! ordered under a key of its own, and answers once enough replicas have executed it alike. A replica that is honest thus
//! answers what is true, whoever else lies; one that lies can answer what it likes, since nothing in an etcd answer
//! proves it, and a serializable read is one replica's word in any case.
//!
//! Who does not want to believe a single replica uses a gateway, `consensusctl kv` with a client's key, or
//! [`Client::connect_as`](crate::client::Client::connect_as): these ask all replicas themselves, with requests that they
//! sign, and take only what one more replicas than may lie (f + 1) have answered and signed alike.
//!
//! # Left out
//!
//! Watches, leases, authentication and changes of membership are answered with UNIMPLEMENTED; a put with a lease is
//! refused as etcd refuses an unknown one.

mod authority;
mod connection;
mod control;
mod deadline;
mod errors;
mod executor;
mod gateway;
mod health;
mod kv;
mod maintenance;
mod seats;
mod server;
mod session;
#[cfg(test)]
pub(crate) mod tests;

pub use gateway::GatewayConfig;
pub use server::{ServeError, serve, serve_gateway};
