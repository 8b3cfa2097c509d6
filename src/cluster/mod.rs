//! The supervisor: it owns the nodes of a cluster, as processes or as tasks, and the faults that they are given.
//!
//! # The idea
//!
//! `cluster up` starts one [supervisor](Supervisor) process. It holds the cluster's lock, starts the nodes, listens on a
//! Unix socket, and stays. Everyone else (the command line, scenarios) is a client: [`Cluster`] asks the supervisor
//! for what only it knows (pids, what should run, which faults are wanted) and the nodes themselves for what they know
//! (role, indices, digest), and puts both together ([`status`]).
//!
//! A node is the same to the supervisor whether it is a child process or a task of its own runtime ([`member`]):
//! it can be started, paused, resumed and ended, and it says why when it ends by itself.
//!
//! # What lies in a cluster's directory
//!
//! | name | what |
//! |---|---|
//! | `cluster.toml` | the effective configuration, with nothing left to defaults |
//! | `supervisor.lock` | locked while the supervisor lives; its pid and start time, for people |
//! | `supervisor.sock` | where it listens (elsewhere when the path is too long for a socket) |
//! | `supervisor.log`, `node-N.log` | logs |
//! | `children.json` | the processes it has started, by pid and start time |
//! | `served` | there once the cluster has served: from then on an empty node directory is a loss |
//! | `node-N/` | a node's data |
//! | `keys/` | private keys of the members and of this machine's clients, where the protocol [signs](keys) |
//! | `malicious.json` | which nodes [lie](malice), if any do |
//!
//! # Invariants
//!
//! 1. One supervisor a cluster: the kernel's lock on `supervisor.lock` decides.
//! 2. A supervisor that ends, however it ends, leaves no node running: in an orderly end it waits for them; when it is
//!    killed, the nodes notice that their standard input closes; and what still runs then (a stopped process notices
//!    nothing) is found in `children.json` by the next supervisor or `down`, and killed.
//! 3. Nothing is signalled by pid alone: pids are reused, pairs of pid and start time are not.
//! 4. The wanted faults outlive a node: one that starts has its faults before its links open.
//! 5. A reply says [`Reply::Done`] only when what was asked for has taken effect.
//!
//! # Left out
//!
//! A failed node is not started again by itself: whoever breaks things on purpose wants to see them broken.

mod boot;
mod client;
mod command;
mod door;
mod error;
mod faults;
mod files;
mod gateway;
mod host;
pub mod keys;
pub mod lie;
mod links;
mod lock;
pub mod malice;
pub mod member;
mod operations;
mod paths;
mod plan;
mod ports;
mod process;
mod roster;
mod server;
mod start;
pub mod status;
mod supervisor;
mod target;
mod temporary;
mod up;
mod watched;
pub mod wire;

pub use boot::{Boot, run};
pub use client::Cluster;
pub use door::Door;
pub use error::{Error, ErrorKind, Result};
pub use faults::{DiskFault, Partition};
pub use files::open_log;
pub use gateway::{gateway_door, serve_gateway};
pub use host::{Host, NodeStart, node_config};
pub use lie::Lie;
pub use links::{LinkEffect, LinkFault};
pub use lock::{Attempt, Lock};
pub use malice::{Liars, Malicious};
pub use paths::{ClusterDir, StateDir};
pub use plan::{Wish, reap, remove, wipe};
pub use ports::{FreePorts, check_free, free_ports, holder, is_loopback, listen};
pub use process::ProcessId;
pub use roster::Roster;
pub use status::{ClusterStatus, Condition, Convicted, NodeStatus, Surveyor, Suspected};
pub use supervisor::{Setup, Supervisor};
pub use target::{Target, resolve};
pub use temporary::Temporary;
pub use up::{UpOutcome, up};
pub use watched::{Unwatched, Watched};
pub use wire::{Info, KillSignal, NodeInfo, NodeState, Phase, Reply, Request};
