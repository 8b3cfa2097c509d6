//! [`compare`]: protocols in turn, each on clusters of its own.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::watch;

use super::{Fault, Figures, Load, Site, measure};
use crate::cluster::{Cluster, Condition, Door, Error, KillSignal, Target, Temporary};
use crate::config::ClusterConfig;
use crate::registry::Entry;
use crate::text::counted;

/// How long a cluster may take to be well before it is measured.
const PATIENCE: Duration = Duration::from_mins(1);

/// What is to be compared.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The protocols, in the order in which they are measured.
    pub protocols: Vec<&'static Entry>,
    /// How many nodes each has; `None`: as many as it takes to tolerate one fault.
    pub nodes: Option<u64>,
    /// With which faults, one after the other.
    pub faults: Vec<Fault>,
    /// How often all of it is done.
    pub rounds: u32,
    /// What is put on them, but for the number of callers.
    pub load: Load,
    /// With how many callers, one after the other.
    pub concurrency: Vec<usize>,
    /// Whether nodes are tasks of a supervisor and not processes.
    pub in_process: bool,
    /// The binary that runs supervisors and nodes.
    pub program: PathBuf,
    /// Which events are logged, in place of the configuration's.
    pub log: Option<String>,
}

/// One measurement of a cluster.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// What it runs.
    pub protocol: String,
    /// How many nodes it has.
    pub nodes: usize,
    /// How many of them were down.
    pub fault: Fault,
    /// How many callers there were.
    pub concurrency: usize,
    /// In which round, from 1.
    pub round: u32,
    /// What came of it.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What there is to tell while it goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// What is being done.
    Doing(String),
    /// What was measured.
    Measured(&'a Measurement),
}

impl Plan {
    /// How many nodes a cluster of this protocol gets.
    pub fn nodes_of(&self, protocol: &Entry) -> u64 {
        self.nodes.unwrap_or_else(|| protocol.nodes_for(1))
    }

    /// How many measurements it takes.
    pub fn measurements(&self) -> usize {
        self.protocols.len() * self.faults.len() * self.concurrency.len() * self.rounds as usize
    }
}

/// Measures all of a plan, round by round, and in each round one protocol after the other; every second round in the
/// opposite order, so that none is always the first. Stops where `interrupted` turns true: what has been measured by
/// then was told.
pub async fn compare(
    plan: &Plan,
    interrupted: watch::Receiver<bool>,
    mut tell: impl FnMut(Event<'_>),
) -> Result<(), Error> {
    for round in 1..=plan.rounds {
        let mut protocols = plan.protocols.clone();
        if round % 2 == 0 {
            protocols.reverse();
        }
        for protocol in protocols {
            if *interrupted.borrow() {
                return Ok(());
            }
            one_cluster(plan, protocol, round, &interrupted, &mut tell).await?;
        }
    }
    Ok(())
}

/// One protocol in one round, from nothing to nothing.
async fn one_cluster(
    plan: &Plan,
    protocol: &'static Entry,
    round: u32,
    interrupted: &watch::Receiver<bool>,
    tell: &mut impl FnMut(Event<'_>),
) -> Result<(), Error> {
    let mut config = ClusterConfig::defaults(protocol);
    "bench".clone_into(&mut config.name);
    let place = Temporary::new("consensusctl-bench-", config, plan.nodes_of(protocol))?;
    tell(Event::Doing(format!("round {round}: bringing up {}", protocol.name)));
    let mut boot = place.boot(&plan.program, plan.in_process);
    boot.log.clone_from(&plan.log);
    let measured = match place.up(&boot, interrupted.clone()).await {
        Ok(cluster) => under_faults(plan, cluster, (protocol, round), interrupted, tell).await,
        Err(_) if *interrupted.borrow() => Ok(()),
        Err(error) => Err(error),
    };
    place.down().await?;
    if measured.is_err() {
        let kept = place.keep();
        return measured.map_err(|error| error.hint(format!("what it left is in {}", kept.display())));
    }
    Ok(())
}

async fn under_faults(
    plan: &Plan,
    mut cluster: Cluster,
    (protocol, round): (&Entry, u32),
    interrupted: &watch::Receiver<bool>,
    tell: &mut impl FnMut(Event<'_>),
) -> Result<(), Error> {
    let nodes: Vec<(u64, String)> =
        cluster.info().await?.nodes.into_iter().map(|node| (node.id, node.address)).collect();
    let door = Door::to_local(cluster.dir())?;
    let mut down = BTreeSet::new();
    for &fault in &plan.faults {
        if fault == Fault::One && down.is_empty() {
            down = cluster.resolve(&[Target::Follower]).await?;
            cluster.kill(down.clone(), KillSignal::Kill).await?;
        }
        let lives = |(id, address): &(u64, String)| (!down.contains(id)).then(|| address.clone());
        let site = Site { endpoints: nodes.iter().filter_map(lives).collect(), door: door.clone() };
        for &concurrency in &plan.concurrency {
            if *interrupted.borrow() {
                return Ok(());
            }
            cluster.wait(&[Condition::Leader], PATIENCE).await?;
            tell(Event::Doing(format!(
                "round {round}: {}, fault {fault}, {}",
                protocol.name,
                counted(concurrency as u64, "caller", "callers")
            )));
            let load = Load { concurrency, ..plan.load.clone() };
            let figures = measure(&site, &load, interrupted.clone()).await;
            let figures = figures.map_err(|error| Error::failed(format!("{}: {error}", protocol.name)))?;
            let (protocol, nodes) = (protocol.name.to_owned(), nodes.len());
            tell(Event::Measured(&Measurement { protocol, nodes, fault, concurrency, round, figures }));
        }
    }
    Ok(())
}
