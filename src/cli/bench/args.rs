//! What `bench` is asked for, and whether that makes sense.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::check_connections;
use crate::bench::{Api, Fault, Load, MAX_CONCURRENCY, MAX_VALUE_BYTES, Operation};
use crate::cli::{CliError, CliResult};
use crate::config::MAX_NODES;
use crate::registry::{self, Entry};
use crate::text::counted;

/// How many connections callers share unless it is said.
const CONNECTIONS: usize = 8;
/// How often protocols are measured unless it is said: enough for a median.
const ROUNDS: u32 = 3;
/// The longest window: an hour.
const MAX_SECONDS: f64 = 3600.0;

#[derive(Clone, Debug, Args)]
pub(super) struct LoadArgs {
    /// Measure these protocols in turn, on clusters of its own [default: a cluster that runs already]
    #[arg(long, value_name = "LIST", value_delimiter = ',', conflicts_with = "bench_endpoints")]
    protocol: Vec<String>,
    /// Measure the cluster at these addresses, as host:port, separated by commas
    #[arg(id = "bench_endpoints", long = "endpoints", value_name = "ADDRESS", value_delimiter = ',')]
    endpoints: Vec<String>,
    /// How many callers there are; several numbers are measured one after the other
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "64", value_parser = callers)]
    concurrency: Vec<usize>,
    /// How many connections, or with `--api client` clients, they share [default: 8, or fewer where fewer call]
    #[arg(long, value_name = "N", value_parser = callers)]
    connections: Option<usize>,
    /// How long calls count, in each measurement
    #[arg(long, value_name = "S", default_value = "5", value_parser = seconds)]
    seconds: f64,
    /// For how long before that they do not
    #[arg(long, value_name = "S", default_value = "1", value_parser = warm_up)]
    warm_up: f64,
    /// How long values are
    #[arg(long, value_name = "BYTES", default_value = "256", value_parser = value_size)]
    value_size: usize,
    /// How many keys there are
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    keys: u64,
    /// How often all of it is measured [default: 3 with --protocol, else 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// How callers ask: each one node over etcd's API, which is believed, or as the protocol's own client
    #[arg(long, value_enum, default_value_t = ApiArg::Etcd)]
    api: ApiArg,
    /// How many nodes each cluster has [default: as many as it takes to tolerate one fault]
    #[arg(long, value_name = "N", requires = "protocol", value_parser = clap::value_parser!(u64).range(1..=MAX_NODES as u64))]
    nodes: Option<u64>,
    /// Measure with no node down, with one that does not lead killed, or with both one after the other
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "none", requires = "protocol")]
    fault: Vec<FaultArg>,
    /// Run the nodes as tasks of a supervisor, not as processes
    #[arg(long, requires = "protocol")]
    in_process: bool,
    /// Write a figure of it to this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ApiArg {
    Etcd,
    Client,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FaultArg {
    None,
    One,
}

/// What is to be measured, checked.
#[derive(Debug)]
pub(super) struct Chosen {
    pub(super) site: Where,
    /// But for the number of callers.
    pub(super) load: Load,
    pub(super) concurrency: Vec<usize>,
    pub(super) rounds: u32,
    pub(super) plot: Option<PathBuf>,
}

/// On what.
#[derive(Debug)]
pub(super) enum Where {
    /// Clusters of its own.
    Own(Own),
    /// The nodes at these addresses.
    Endpoints(Vec<String>),
    /// The cluster that runs here.
    Running,
}

/// Which clusters.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) protocols: Vec<&'static Entry>,
    pub(super) nodes: Option<u64>,
    pub(super) faults: Vec<Fault>,
    pub(super) in_process: bool,
}

impl Chosen {
    /// How many measurements it takes on one cluster.
    pub(super) fn measurements(&self) -> usize {
        self.concurrency.len() * self.rounds as usize
    }
}

impl LoadArgs {
    pub(super) fn choose(self, operation: Operation, serializable: bool) -> CliResult<Chosen> {
        if let Some(dir) = self.plot.as_deref().and_then(Path::parent)
            && !dir.as_os_str().is_empty()
            && !dir.is_dir()
        {
            return Err(CliError::usage(format!("--plot: there is no directory {}", dir.display())));
        }
        let most = self.concurrency.iter().copied().max().unwrap_or(1);
        let connections = self.connections.unwrap_or_else(|| CONNECTIONS.min(most));
        if connections > most {
            let callers = counted(most as u64, "caller", "callers");
            return Err(CliError::usage(format!(
                "--connections {connections}, but only {callers} at a time"
            ))
            .hint(format!("at most one for each caller; more callers with --concurrency {connections}")));
        }
        let api = match self.api {
            ApiArg::Etcd => Api::Etcd,
            ApiArg::Client => Api::Client,
        };
        let load = Load {
            operation,
            api,
            serializable,
            concurrency: most,
            connections,
            seconds: self.seconds,
            warm_up_seconds: self.warm_up,
            value_size: self.value_size,
            keys: self.keys,
        };
        let rounds = self.rounds.unwrap_or(if self.protocol.is_empty() { 1 } else { ROUNDS });
        let (concurrency, plot) = (distinct(self.concurrency.clone()), self.plot.clone());
        Ok(Chosen { site: self.site(&load)?, load, concurrency, rounds, plot })
    }

    fn site(self, load: &Load) -> CliResult<Where> {
        if self.protocol.is_empty() {
            return Ok(if self.endpoints.is_empty() {
                Where::Running
            } else {
                Where::Endpoints(self.endpoints)
            });
        }
        let protocols = protocols(&self.protocol)?;
        let faults = distinct(self.fault).into_iter().map(|fault| match fault {
            FaultArg::None => Fault::None,
            FaultArg::One => Fault::One,
        });
        let mut faults: Vec<Fault> = faults.collect();
        // A node that was killed stays down, so that what is measured without a fault comes first.
        faults.sort_unstable();
        for protocol in &protocols {
            check_connections(load.api, load.connections, protocol.connect.is_some())?;
            if let Some(nodes) = self.nodes
                && faults.contains(&Fault::One)
                && protocol.faults_of(nodes) == 0
            {
                return Err(CliError::usage(format!(
                    "--fault one: {}: {}",
                    protocol.name,
                    protocol.tolerance(nodes)
                ))
                .hint("without --nodes each cluster has as many as it takes to tolerate one"));
            }
        }
        Ok(Where::Own(Own { protocols, nodes: self.nodes, faults, in_process: self.in_process }))
    }
}

/// The protocols of these names, each once.
fn protocols(names: &[String]) -> CliResult<Vec<&'static Entry>> {
    let find = |name: &String| registry::named(name).map_err(CliError::usage);
    distinct(names.to_vec()).iter().map(find).collect()
}

/// The same without what was said before.
fn distinct<T: PartialEq>(all: Vec<T>) -> Vec<T> {
    let mut distinct = Vec::new();
    for one in all {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

fn callers(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("nobody would call; at least 1".to_owned()),
        Ok(count) if count <= MAX_CONCURRENCY => Ok(count),
        Ok(_) => Err(format!("at most {MAX_CONCURRENCY}: a node admits no more at once")),
        Err(_) => Err("not a whole number".to_owned()),
    }
}

fn seconds(text: &str) -> Result<f64, String> {
    let given = warm_up(text)?;
    if given > 0.0 { Ok(given) } else { Err("nothing can be measured in no time".to_owned()) }
}

fn warm_up(text: &str) -> Result<f64, String> {
    let given: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    if (0.0..=MAX_SECONDS).contains(&given) {
        Ok(given)
    } else {
        Err(format!("from 0 to {MAX_SECONDS} seconds"))
    }
}

fn value_size(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(bytes) if bytes <= MAX_VALUE_BYTES => Ok(bytes),
        Ok(_) => {
            Err(format!("at most {MAX_VALUE_BYTES}: a request may have 1.5 MiB, with its key and encoding"))
        }
        Err(_) => Err("not a number of bytes".to_owned()),
    }
}
