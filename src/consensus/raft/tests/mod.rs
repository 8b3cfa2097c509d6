//! Situations of one server and of small clusters, in an order that the test decides. Each test names the section that
//! it checks, or what went wrong elsewhere.

mod cluster;
mod durability;
mod election;
mod flow;
mod golden;
mod proposals;
mod reads;
mod replication;
mod snapshot;
mod transfer;
