//! How long a cluster of processes is out of service when its leader is killed.
//!
//! ```text
//! cargo bench --bench failover [-- ROUNDS]
//! ```
//!
//! A client writes throughout, one write after the other. In each round the leader is killed with SIGKILL; the round's
//! figure is the longest gap between two acknowledged writes. The bars, at the default time-outs: a median under 1.0 s and
//! a worst case under 2.5 s. Afterwards all nodes are killed at once and every acknowledged write is read back. The
//! command fails when a bar is missed or a write is lost.

#![expect(clippy::print_stdout, reason = "a program, whose output is its result")]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use consensusctl::client::{Client, Consistency, Options};
use consensusctl::cluster::{
    Boot, Cluster, Condition, FreePorts, KillSignal, StateDir, Target, UpOutcome, Wish, free_ports, up,
};
use consensusctl::kv::{PutRequest, RangeRequest};

const NODES: u16 = 5;
const MEDIAN: Duration = Duration::from_secs(1);
const WORST: Duration = Duration::from_millis(2500);
const PATIENCE: Duration = Duration::from_mins(1);

type Failure = Box<dyn std::error::Error>;

struct Lab {
    cluster: Cluster,
    endpoints: Vec<String>,
    _ports: FreePorts,
    _dir: tempfile::TempDir,
}

impl Lab {
    async fn start() -> Result<Self, Failure> {
        let (dir, ports) =
            (tempfile::Builder::new().prefix("bench-").tempdir_in("target")?, free_ports(NODES)?);
        let boot = Boot {
            dir: StateDir::new(Some(dir.path().canonicalize()?))?.cluster("bench")?,
            wish: Wish { nodes: Some(NODES.into()), port: Some(ports.first()), ..Wish::default() },
            in_process: false,
            fresh: false,
            program: PathBuf::from(env!("CARGO_BIN_EXE_consensusctl")),
            log: None,
        };
        let (UpOutcome::Started(cluster) | UpOutcome::AlreadyRunning(cluster)) =
            up(&boot, std::future::pending(), |_| {}).await?;
        let endpoints = ports.ports().map(|port| format!("127.0.0.1:{port}")).collect();
        Ok(Self { cluster, endpoints, _ports: ports, _dir: dir })
    }

    async fn client(&self) -> Result<Client, Failure> {
        Ok(Client::connect(&self.endpoints, Options { timeout: PATIENCE, ..Options::default() }).await?)
    }

    async fn kill(&mut self, target: Target) -> Result<(), Failure> {
        let ids = self.cluster.resolve(&[target]).await?;
        self.cluster.kill(ids, KillSignal::Kill).await?;
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Failure> {
        let down = self.cluster.status(false).await?.nodes.into_iter().filter(|node| !node.reachable);
        self.cluster.restart(down.map(|node| node.id).collect(), false, |_| {}).await?;
        self.cluster.wait(&[Condition::Healthy], PATIENCE).await?;
        Ok(())
    }
}

/// Writes until it is told to stop; answers when each write was acknowledged.
async fn write(client: Client, stop: Arc<AtomicBool>) -> Result<Vec<Instant>, consensusctl::client::Error> {
    let mut acknowledged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let key = format!("key-{:08}", acknowledged.len());
        client.put(PutRequest { key: key.into(), value: "v".into(), ..PutRequest::default() }).await?;
        acknowledged.push(Instant::now());
    }
    Ok(acknowledged)
}

async fn rounds(lab: &mut Lab, count: usize) -> Result<(Vec<Duration>, usize), Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn(write(lab.client().await?, stop.clone()));
    let mut kills = Vec::new();
    for _ in 0..count {
        lab.cluster.wait(&[Condition::Leader], PATIENCE).await?;
        kills.push(Instant::now());
        lab.kill(Target::Leader).await?;
        lab.cluster.wait(&[Condition::Leader], PATIENCE).await?;
        lab.restart().await?;
    }
    kills.push(Instant::now());
    stop.store(true, Ordering::Relaxed);
    let acknowledged = writer.await??;
    let gap = |window: &[Instant]| {
        let inside = acknowledged.windows(2).filter(|pair| pair[1] >= window[0] && pair[0] < window[1]);
        inside.map(|pair| pair[1] - pair[0]).max().unwrap_or_default()
    };
    Ok((kills.windows(2).map(gap).collect(), acknowledged.len()))
}

async fn lost(lab: &mut Lab, written: usize) -> Result<usize, Failure> {
    lab.kill(Target::All).await?;
    lab.restart().await?;
    let range =
        RangeRequest { key: "key-".into(), range_end: "key.".into(), count_only: true, ..Default::default() };
    let found = lab.client().await?.get(range, Consistency::Linearizable).await?;
    Ok(written.saturating_sub(found.count as usize))
}

async fn run(count: usize) -> Result<bool, Failure> {
    let mut lab = Lab::start().await?;
    let (mut gaps, written) = rounds(&mut lab, count).await?;
    gaps.sort();
    let (median, worst) = (gaps[gaps.len() / 2], gaps[gaps.len() - 1]);
    let lost = lost(&mut lab, written).await?;
    lab.cluster.down().await?;
    println!("{NODES} nodes, {count} times SIGKILL of the leader under {written} acknowledged writes");
    println!("longest gap between two acknowledged writes, by round: {gaps:.2?}");
    println!("median {median:.2?} (bar {MEDIAN:.1?}), worst {worst:.2?} (bar {WORST:.1?})");
    println!("after SIGKILL of all nodes at once: {lost} of {written} acknowledged writes lost");
    Ok(median < MEDIAN && worst < WORST && lost == 0)
}

#[tokio::main]
async fn main() -> ExitCode {
    let count = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(10);
    match run(count).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            println!("could not measure: {error}");
            ExitCode::FAILURE
        }
    }
}
