//! The write path of a durable cluster of three nodes on loopback: throughput, latency, and how many fsyncs an
//! acknowledged write costs each node, from the nodes' own counters.
//!
//! ```text
//! cargo bench --bench write_path [-- SECONDS]
//! ```
//!
//! One fsync serves all who wait, so the more writers there are, the fewer fsyncs a write costs. The bars: at most 1.1
//! fsyncs for each write and node with 1 writer, 0.2 with 64, 0.06 with 256. The command fails when one is missed.

#![expect(clippy::print_stdout, reason = "a program, whose output is its result")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use consensusctl::consensus::{Keys, NodeId};
use consensusctl::kv::{Command, Op, PutRequest};
use consensusctl::node::{DEFAULT_REQUEST_TIMEOUT, Handle, Member, Node, NodeConfig};
use consensusctl::wal::{DiskFault, WalOptions};
use consensusctl::{registry, transport};
use hdrhistogram::Histogram;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;

const NODES: u64 = 3;
const VALUE_BYTES: usize = 256;
const BARS: [(usize, f64); 4] = [(1, 1.1), (64, 0.2), (256, 0.06), (1024, 0.06)];

struct Cluster {
    nodes: Vec<Node>,
    _dir: tempfile::TempDir,
}

impl Cluster {
    async fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("bench-").tempdir_in("target").expect("target exists");
        let mut listeners = Vec::new();
        for _ in 0..NODES {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.expect("a free port"));
        }
        let members: Vec<_> = (1..)
            .zip(&listeners)
            .map(|(id, listener)| Member {
                id: NodeId(id),
                address: listener.local_addr().expect("bound").to_string(),
            })
            .collect();
        let mut nodes = Vec::new();
        for (member, listener) in members.iter().zip(listeners) {
            let node = (registry::default_protocol().start)(NodeConfig {
                id: member.id,
                cluster_name: "bench".to_owned(),
                cluster_id: 1,
                members: members.clone(),
                keys: Keys::default(),
                data_dir: dir.path().join(member.id.to_string()),
                create: true,
                laboratory: false,
                request_timeout: DEFAULT_REQUEST_TIMEOUT,
                wal: WalOptions::default(),
                options: toml::Table::new(),
                blocked: Vec::new(),
                link_rules: Vec::new(),
                disk_fault: DiskFault::Ok,
                misbehaviour: None,
            })
            .expect("the node starts");
            let routes = node.peer_routes();
            tokio::spawn(
                transport::server().add_routes(routes).serve_with_incoming(TcpListenerStream::new(listener)),
            );
            nodes.push(node);
        }
        Self { nodes, _dir: dir }
    }

    /// The leader, once a write went through.
    async fn leader(&self) -> Handle {
        loop {
            for node in &self.nodes {
                let handle = node.handle();
                let leads = handle
                    .status(false)
                    .await
                    .is_ok_and(|status| status.status.leader == Some(handle.id().0));
                if leads && handle.execute(&put(0, 0)).await.is_ok() {
                    return handle;
                }
            }
        }
    }

    async fn fsyncs(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for node in &self.nodes {
            counts.push(node.handle().status(false).await.expect("the node runs").counters.fsyncs);
        }
        counts
    }
}

fn put(writer: usize, number: u64) -> Command {
    let key = format!("key-{writer}-{}", number % 1000).into();
    let put = PutRequest { key, value: vec![b'v'; VALUE_BYTES].into(), ..PutRequest::default() };
    Command { session: None, op: Op::Put(put) }
}

/// Microseconds up to a minute.
fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000, 3).expect("valid bounds and precision")
}

async fn write(handle: Handle, writer: usize, until: Instant) -> Histogram<u64> {
    let mut latencies = histogram();
    for number in 0.. {
        let start = Instant::now();
        if start >= until {
            break;
        }
        let answer = handle.execute(&put(writer, number)).await.expect("the cluster serves");
        answer.reply.expect("a put is never refused");
        latencies.saturating_record(start.elapsed().as_micros() as u64);
    }
    latencies
}

async fn measure(cluster: &Cluster, writers: usize, seconds: u64, bar: f64) -> bool {
    let leader = cluster.leader().await;
    let before = cluster.fsyncs().await;
    let start = Instant::now();
    let until = start + Duration::from_secs(seconds);
    let tasks: Vec<_> =
        (0..writers).map(|writer| tokio::spawn(write(leader.clone(), writer, until))).collect();
    let mut latencies = histogram();
    for task in tasks {
        latencies.add(task.await.expect("the writer ran")).expect("equal histograms");
    }
    let took = start.elapsed().as_secs_f64();
    let after = cluster.fsyncs().await;
    let count = latencies.len() as f64;
    let worst =
        before.iter().zip(&after).map(|(before, after)| (after - before) as f64 / count).fold(0.0, f64::max);
    let verdict = if worst <= bar { "ok" } else { "MISSED" };
    println!(
        "{writers:>7}  {:>9.0}  {:>8.2}  {:>8.2}  {:>8.2}  {worst:>17.3}  {bar:>5}  {verdict}",
        count / took,
        latencies.value_at_quantile(0.5) as f64 / 1000.0,
        latencies.value_at_quantile(0.99) as f64 / 1000.0,
        latencies.max() as f64 / 1000.0,
    );
    worst <= bar
}

#[tokio::main]
async fn main() -> ExitCode {
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(3);
    println!(
        "{NODES} nodes, {VALUE_BYTES}-byte values, {seconds} s each; fsyncs for each write at the node with most"
    );
    println!("writers   writes/s    p50 ms    p99 ms    max ms  fsyncs/write/node    bar");
    let cluster = Cluster::start().await;
    let mut held = true;
    for (writers, bar) in BARS {
        held &= measure(&cluster, writers, seconds, bar).await;
    }
    for node in cluster.nodes {
        node.stop().await;
    }
    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
