//! `consensusctl` runs Raft (crash fault tolerant) and PBFT (Byzantine fault tolerant) clusters of a replicated
//! key-value store, breaks them on purpose, shows why they behave as they do, and proves that they stayed correct.
//!
//! # Layers
//!
//! A module uses only modules above it in this table; `tests/layers.rs` reads the sources and holds that line.
//!
//! | layer | what it holds | touches |
//! |---|---|---|
//! | [`text`] | pieces of which messages are made | nothing |
//! | [`consensus`] | the contract that every protocol meets, and the protocols: pure state machines | nothing |
//! | [`kv`] | the deterministic store: MVCC, transactions, sessions, snapshots, digest | nothing |
//! | [`wal`] | the log and the snapshots on disk, recovery, inspection | a [`wal::Disk`] |
//! | [`engine`] | one replica, synchronous: protocol, store, log, waiting clients, recovery | the three above |
//! | [`wire`] | what clients and nodes say to each other: messages, and conversions to the store's types | nothing |
//! | [`transport`] | gRPC links between replicas, and the faults on them | sockets |
//! | [`client`] | a cluster's client: finds a working node, retries safely | sockets |
//! | [`node`] | the shell around an engine: threads, links, timers | engine, transport |
//! | [`api`] | the services on a node's port: etcd v3 for clients, control | node, client |
//! | [`check`] | linearizability and exactly-once over histories of clients | nothing |
//! | [`sim`] | a simulated world of clock, network, disks and faults around the same engine | engine |
//! | [`registry`] | the protocols, one line each | all above |
//! | [`config`] | `cluster.toml` | nothing |
//! | [`cluster`] | the supervisor: nodes as processes or tasks, their state directory, faults on them | node, api, client |
//! | [`scenario`] | named end-to-end scenarios on a real cluster, judged by the checker | cluster, client, check |
//! | [`bench`](mod@bench) | load on a cluster, measured; protocols side by side | cluster, client |
//! | [`cli`] | the command line | all |
//!
//! # One vocabulary
//!
//! Inside a protocol's folder the paper's own terms are used; everywhere else these neutral ones.
//!
//! | shared code | Raft | PBFT |
//! |---|---|---|
//! | epoch | term | view |
//! | leader | leader | primary |
//! | index (slot) | log index | sequence number |
//! | checkpoint | snapshot | checkpoint |
//! | last | last log index | highest accepted sequence number |
//! | committed | `commit_index` | highest committed-local sequence number without a gap |

pub mod api;
pub mod bench;
pub mod check;
pub mod cli;
pub mod client;
pub mod cluster;
pub mod config;
pub mod consensus;
pub mod engine;
pub mod kv;
pub mod node;
pub mod registry;
pub mod scenario;
pub mod sim;
pub mod text;
pub mod transport;
pub mod wal;
pub mod wire;
