//! The subcommands and the options that all share.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use super::{
    Format, bench, byzantine, check, cluster, evidence, fault, gateway, keys, kv, link, logs, node, sim,
    status, supervisor, test, wal,
};

const TOUR: &str = "\
A minute's tour:
  consensusctl cluster up                      five Raft nodes on ports 5001-5005
  consensusctl status                          who leads, who trails, and why
  consensusctl kv put colour blue              and `kv get colour`, against any node
  consensusctl kill leader                     as a crash would
  consensusctl partition --isolate leader      cut it off; `partition heal` undoes it
  consensusctl cluster restart                 bring all nodes back
  consensusctl wait --until converged          all replicas equal again
  consensusctl cluster down                    nothing is left running; the data stays
  consensusctl cluster up --protocol pbft --malicious 4
                                               four PBFT replicas on ports 6001-6004; one lies, in vain

Exit codes: 0 done, 1 failed, 2 usage, 3 verdict violated, 4 outcome or verdict unknown, 5 cluster not reachable,
6 done in part: some nodes could not be started.";

/// Reads a time that is longer than none.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("it must be longer than that".to_owned()) } else { Ok(time) }
}

/// Runs Raft and PBFT clusters of a replicated key-value store, breaks them on purpose, and shows why they behave as they
/// do.
#[derive(Debug, Parser)]
#[command(name = "consensusctl", version, after_help = TOUR, max_term_width = 110)]
pub struct Cli {
    /// What all subcommands share.
    #[command(flatten)]
    pub global: Global,
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Options of all subcommands.
#[derive(Clone, Debug, Args)]
pub struct Global {
    /// How facts are printed
    #[arg(long, global = true, value_enum, default_value_t, help_heading = "Global options")]
    pub output: Format,
    /// The directory that holds all clusters [default: `$CONSENSUSCTL_STATE_DIR`, or `$XDG_STATE_HOME/consensusctl`, or
    /// ~/.local/state/consensusctl]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub state_dir: Option<PathBuf>,
    /// Which cluster; the only running one is the default
    #[arg(long, global = true, value_name = "NAME", visible_alias = "name", help_heading = "Global options")]
    pub cluster: Option<String>,
    /// Which events are logged, in the syntax of `RUST_LOG`, as `debug` or `info,consensusctl::storage=debug`
    #[arg(long, global = true, value_name = "FILTER", help_heading = "Global options")]
    pub log: Option<String>,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Brings clusters up and down
    #[command(subcommand)]
    Cluster(cluster::ClusterCommand),
    /// Runs one node in the foreground, for one host of a cluster that spans several
    Node(node::NodeArgs),
    #[command(hide = true)]
    /// Runs a cluster's supervisor; `cluster up` starts it
    Supervisor(supervisor::SupervisorArgs),
    /// Makes keys for clusters over several hosts, where the protocol signs
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Reads and writes the store
    Kv(kv::KvArgs),
    /// Serves etcd's API next to an application, which then need not trust any single node
    Gateway(gateway::GatewayArgs),
    /// Shows how a cluster is, and why
    Status(status::StatusArgs),
    /// Shows who is proved to lie, and checks proofs anywhere
    #[command(subcommand)]
    Evidence(evidence::EvidenceCommand),
    /// Waits until something holds
    Wait(status::WaitArgs),
    /// Shows what nodes have logged
    Logs(logs::LogsArgs),
    /// Ends nodes and leaves them down
    Kill(fault::KillArgs),
    /// Stops nodes in their tracks; they notice nothing
    Pause(fault::TargetArgs),
    /// Lets paused nodes go on
    Resume(fault::TargetArgs),
    /// Cuts links between nodes
    Partition(fault::PartitionArgs),
    /// Makes links between nodes lose, delay, duplicate or reorder messages, one way
    #[command(subcommand)]
    Link(link::LinkCommand),
    /// Makes nodes' disks misbehave
    Disk(fault::DiskArgs),
    /// Makes nodes lie to the others, on purpose
    #[command(subcommand)]
    Byzantine(byzantine::ByzantineCommand),
    /// Looks at the logs on disk
    #[command(subcommand)]
    Wal(wal::WalCommand),
    /// Judges recorded histories
    Check(check::CheckArgs),
    /// Runs scenarios on clusters of their own: elections, crashes, partitions, bad disks
    Test(test::TestArgs),
    /// Runs simulated clusters and checks that they kept their promises
    Sim(sim::SimArgs),
    /// Measures what clusters carry and what it costs; protocols side by side
    Bench(bench::BenchArgs),
}
