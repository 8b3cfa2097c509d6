//! Named end-to-end scenarios: a real cluster, broken on purpose under load, judged by what its clients saw.
//!
//! # The idea
//!
//! A [`Scenario`] is a story of ten lines about a [`Stage`]: kill the leader, wait until so many writes are acknowledged,
//! bring it back. The stage is a cluster of its own with a supervisor, processes (or tasks), disks and sockets, on free
//! ports, in a temporary directory; nothing of the user's is touched. While the story goes on, several clients (see
//! [`load`]) write, delete, compare-and-swap and read, and everything that they ask and are told goes into a history.
//! At the end the cluster must converge, what was acknowledged must be there, and [`crate::check`] judges the history.
//!
//! Stories speak of leaders, epochs and faults, never of a protocol: what a protocol needs to be told (how many nodes
//! tolerate how many faults, which settings it has) comes from [`crate::registry`]. One whose settings the protocol
//! lacks does not apply to it.
//!
//! # Invariants
//!
//! 1. Nothing is waited for by the clock: a story waits until a condition holds or so many writes were acknowledged,
//!    and [`PATIENCE`] bounds each wait at some ten times of what a loaded small machine needs.
//! 2. Nothing that a correct cluster may do fails a scenario: not an election more, not a refused write under a fault.
//! 3. In all that is ever seen, one epoch has one leader.
//! 4. In all that is ever seen, nobody is convicted who was not made to lie, and also then nobody whose way to lie leaves
//!    no proof.
//! 5. A scenario that is done leaves no process and no socket, and of its directory only what a failure needs to be
//!    understood.
//! 6. The verdict of a history outranks the story: a violated one is reported as that, whatever else went wrong. Only
//!    where more nodes lie than the protocol tolerates is nothing promised: there the verdict is told, and labelled.
//!
//! # Left out
//!
//! Links that lose messages in one direction only: the supervisor cuts both. The simulator does it.

mod catalogue;
mod evidence;
mod lies;
pub mod load;
mod report;
mod run;
mod stage;
mod stories;

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

pub use catalogue::{SCENARIOS, select, suites};
pub use evidence::Evidence;
pub use report::{Failure, Outcome, Report};
pub use run::{Ended, Setup, run};
pub use stage::Stage;

use crate::cluster::malice::beyond_the_model;
use crate::registry::Entry;

/// How long a story waits for any one thing.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// How many nodes a scenario's cluster may have: more than that, with their clients, are more than a small machine
/// carries, and then nothing but the machine is tested.
pub const MAX_NODES: u64 = 5;

/// What a story returns: what was expected and did not come.
pub type Told = Result<(), Failure>;

/// A story on its way.
pub type Telling<'a> = Pin<Box<dyn Future<Output = Told> + 'a>>;

/// A named story about a cluster.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// The suite that it belongs to.
    pub suite: &'static str,
    /// Its name in the suite. Names are stable.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub shows: &'static str,
    /// How many faults its cluster tolerates; fewer where that takes more than [`MAX_NODES`].
    pub faults: u64,
    /// How many nodes the cluster has beyond those that this takes.
    pub spare_nodes: u64,
    /// Settings that the story needs, in bytes; it applies only to protocols that know them.
    pub settings: &'static [(&'static str, i64)],
    /// `None`: a story for every protocol. Else one only for those whose replicas may lie, and these nodes do, each in its
    /// way.
    pub liars: Option<&'static [(u64, &'static str)]>,
    /// The story.
    pub story: for<'a> fn(&'a mut Stage) -> Telling<'a>,
}

impl Scenario {
    /// How it is named on the command line, as `chaos/pause`.
    pub fn path(&self) -> String {
        format!("{}/{}", self.suite, self.name)
    }

    /// How many faults its cluster tolerates with a protocol.
    pub fn faults(&self, protocol: &Entry) -> u64 {
        let fits = |faults: &u64| protocol.nodes_for(*faults) + self.spare_nodes <= MAX_NODES;
        (1..=self.faults).rev().find(fits).unwrap_or(1)
    }

    /// How many nodes it takes with a protocol.
    pub fn nodes(&self, protocol: &Entry) -> u64 {
        protocol.nodes_for(self.faults(protocol)) + self.spare_nodes
    }

    /// Whether the protocol has all that the story needs.
    pub fn applies_to(&self, protocol: &Entry) -> bool {
        let known = (protocol.default_options)();
        let lies = |name: &str| protocol.behaviour(Some(name)).is_some();
        let castable = self.liars.is_none_or(|liars| {
            !protocol.behaviours.is_empty() && liars.iter().all(|(_, behaviour)| lies(behaviour))
        });
        castable && self.settings.iter().all(|(name, _)| known.contains_key(*name))
    }

    /// The nodes that lie from the beginning.
    pub fn liars(&self) -> Vec<u64> {
        self.liars.unwrap_or_default().iter().map(|(id, _)| *id).collect()
    }

    /// What is to be said if more nodes lie than the protocol tolerates: nothing is promised then, and whatever the
    /// clients see is no fault of the cluster.
    pub fn outside_the_fault_model(&self, protocol: &Entry) -> Option<String> {
        beyond_the_model(protocol, self.nodes(protocol) as usize, self.liars().len())
    }
}

impl std::fmt::Debug for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenario").field("path", &self.path()).finish_non_exhaustive()
    }
}
