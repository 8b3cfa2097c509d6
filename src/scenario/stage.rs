//! The stage of a story: a cluster, clients at work on it, and the words in which stories speak.

mod deeds;
mod faulty;
mod gateway;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::load::{Address, Caller, FIRST_OTHER, Journal, Load, Manner, audit};
use super::{Failure, PATIENCE, Scenario, Told};
use crate::client::{Consistency, ControlClient, Error as ClientError};
use crate::cluster::{Cluster, ClusterStatus, Condition, Door, NodeState, NodeStatus};
use crate::consensus::Proof;
use crate::kv::{PutRequest, RangeRequest};
use crate::registry::Entry;

/// How often the cluster is asked while something is awaited of it: often enough to see most leaders, seldom enough
/// not to be a load.
const POLL: Duration = Duration::from_millis(50);
/// How long a write without a quorum is tried: several elections long.
const HOPELESS: Duration = Duration::from_secs(3);

/// A cluster under load, and what stories do to it and expect of it.
pub struct Stage {
    cluster: Cluster,
    nodes: Vec<Address>,
    /// How the clients get in.
    door: Door,
    protocol: &'static Entry,
    faults: u64,
    /// Who lies from the beginning, and how.
    cast: &'static [(u64, &'static str)],
    /// Who lies now.
    liars: Vec<u64>,
    /// Who has ever lied in a way that may convict.
    culprits: BTreeSet<u64>,
    /// Whether anything is promised of this cluster.
    promised: bool,
    journal: Arc<Journal>,
    load: Load,
    /// Who was seen leading in which epoch.
    leaders: BTreeMap<u64, u64>,
    next_caller: u64,
    tell: Box<dyn Fn(&str) + Send>,
}

impl Stage {
    /// Sets the clients to work on a cluster that serves, for a scenario. `tell` hears what happens.
    pub(super) async fn open(
        cluster: Cluster,
        scenario: &Scenario,
        protocol: &'static Entry,
        journal: Arc<Journal>,
        seed: u64,
        tell: Box<dyn Fn(&str) + Send>,
    ) -> Result<Self, Failure> {
        let whole = |why: String| Failure::new("clients can begin", why);
        let info = cluster.info().await.map_err(|error| whole(error.to_string()))?;
        let address = |node: crate::cluster::NodeInfo| Address { id: node.id, address: node.address };
        let nodes: Vec<Address> = info.nodes.into_iter().map(address).collect();
        let door = Door::to_local(cluster.dir()).map_err(|error| whole(error.to_string()))?;
        let liars = scenario.liars();
        let honest: Vec<Address> = nodes.iter().filter(|node| !liars.contains(&node.id)).cloned().collect();
        let load =
            Load::start(&journal, &door, &honest, seed).await.map_err(|error| whole(error.to_string()))?;
        let cast = scenario.liars.unwrap_or_default();
        let culprits = cast.iter().filter(|(_, how)| may_convict(protocol, Some(*how)));
        Ok(Self {
            cluster,
            nodes,
            door,
            protocol,
            faults: scenario.faults(protocol),
            cast,
            culprits: culprits.map(|(id, _)| *id).collect(),
            liars,
            promised: scenario.outside_the_fault_model(protocol).is_none(),
            journal,
            load,
            leaders: BTreeMap::new(),
            next_caller: FIRST_OTHER,
            tell,
        })
    }

    /// How many faults the cluster tolerates.
    pub fn faults(&self) -> usize {
        self.faults as usize
    }

    /// The ids of all nodes.
    pub fn nodes(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.id).collect()
    }

    /// The protocol that the cluster runs.
    pub fn protocol(&self) -> &'static Entry {
        self.protocol
    }

    /// The nodes that lie from the beginning, each with its behaviour.
    pub fn cast(&self) -> &'static [(u64, &'static str)] {
        self.cast
    }

    /// The ids of the nodes that lie now.
    pub fn liars(&self) -> Vec<u64> {
        self.liars.clone()
    }

    /// The ids of the nodes that do not.
    pub fn honest(&self) -> Vec<u64> {
        self.others(&self.liars)
    }

    /// All nodes but these.
    pub fn others(&self, than: &[u64]) -> Vec<u64> {
        self.nodes().into_iter().filter(|id| !than.contains(id)).collect()
    }

    /// So many nodes, this one among them.
    pub fn group_with(&self, member: u64, size: usize) -> Vec<u64> {
        [member].into_iter().chain(self.others(&[member])).take(size).collect()
    }
}

/// What stories wait for and expect.
impl Stage {
    /// Waits for a leader that a majority follows.
    pub async fn leader(&mut self) -> Result<u64, Failure> {
        let status = self.until("a node leads", |status| status.leader.is_some()).await?;
        Ok(status.leader.unwrap_or_default())
    }

    /// Waits until a node that is not `former` leads.
    pub async fn other_leader(&mut self, former: u64) -> Result<u64, Failure> {
        let what = format!("a node other than {former} leads");
        let status = self.until(&what, |status| status.leader.is_some_and(|id| id != former)).await?;
        Ok(status.leader.unwrap_or_default())
    }

    /// Waits until so many more writes of the clients have been acknowledged.
    pub async fn acknowledged(&mut self, more: u64) -> Told {
        let begun = self.journal.acknowledged();
        self.say(&format!("waiting for {more} writes"));
        if timeout(PATIENCE, self.journal.until_acknowledged(begun + more)).await.is_ok() {
            return Ok(());
        }
        let got = self.journal.acknowledged() - begun;
        Err(Failure::new(
            format!("{more} more writes are acknowledged"),
            format!("{got} were in {PATIENCE:?}"),
        ))
    }

    /// Gives the clients so long to have so many more writes acknowledged, which nobody promises them.
    pub async fn acknowledged_or_not(&mut self, more: u64, limit: Duration) {
        let begun = self.journal.acknowledged();
        self.say(&format!("waiting for {more} writes, or not"));
        let _ = timeout(limit, self.journal.until_acknowledged(begun + more)).await;
    }

    /// Waits until each of these nodes has executed what the leader, or an honest node in its place, has executed now.
    pub async fn caught_up(&mut self, ids: &[u64]) -> Told {
        let applied = |status: &ClusterStatus| status.reference().and_then(|node| node.applied);
        let status = self.until("a leader says how far it is", |status| applied(status).is_some()).await?;
        let target = applied(&status);
        let there = |node: &NodeStatus| !ids.contains(&node.id) || node.applied >= target;
        let what = format!("nodes {ids:?} have executed up to index {}", target.unwrap_or_default());
        self.until(&what, |status| status.nodes.iter().all(there)).await.map(drop)
    }

    /// Waits until a node has ended by itself.
    pub async fn failed(&mut self, id: u64) -> Told {
        let failed = |node: &NodeStatus| node.id == id && node.state == NodeState::Failed;
        let what = format!("node {id} ends rather than trust its disk");
        self.until(&what, |status| status.nodes.iter().any(failed)).await.map(drop)
    }

    /// Waits until all nodes are well.
    pub async fn healthy(&mut self) -> Told {
        self.until("the cluster is healthy", |status| Condition::Healthy.missing(status).is_none())
            .await
            .map(drop)
    }

    /// Waits until the leader has a snapshot that makes it forget what a node lacks that holds the log up to `held`.
    pub async fn snapshot_beyond(&mut self, held: u64) -> Told {
        let mut newest = 0;
        let forgotten = async {
            loop {
                let leader = self.leader().await?;
                newest = self.report_of(leader).await.map_or(newest, |report| report.snapshot);
                // The last few entries below a snapshot are kept; a hundred are more than those.
                if newest > held + 100 {
                    return Ok(());
                }
                sleep(POLL).await;
            }
        };
        timeout(PATIENCE, forgotten).await.unwrap_or_else(|_| {
            let expected = format!("the leader has a snapshot well beyond index {held}");
            Err(Failure::new(expected, format!("its newest is at {newest}")))
        })
    }

    /// How far the log of a node reaches.
    pub async fn last_of(&mut self, id: u64) -> Result<u64, Failure> {
        let report = self.report_of(id).await;
        report.map(|report| report.last).map_err(|error| {
            Failure::new(format!("node {id} says how far its log reaches"), error.to_string())
        })
    }

    /// That a write is not acknowledged by any of these nodes, each by itself.
    pub async fn refuses_writes(&mut self, ids: &[u64]) -> Told {
        self.say(&format!("trying writes at nodes {ids:?}, in vain"));
        let mut tried = Vec::new();
        for id in ids {
            let caller = self.caller_of(*id, Manner::For(HOPELESS)).await?;
            tried.push(tokio::spawn(async move {
                let put = PutRequest { key: "hopeless".into(), value: "x".into(), ..PutRequest::default() };
                caller.put(put).await
            }));
        }
        for (id, tried) in ids.iter().zip(tried) {
            if let Ok(Ok(response)) = tried.await {
                let found = format!("node {id} acknowledged one as revision {}", response.revision);
                return Err(Failure::new("no write is acknowledged without a quorum", found));
            }
        }
        Ok(())
    }

    /// Asks one node for a linearizable read, and one for what it has; the checker judges both.
    pub async fn reads_from(&mut self, id: u64) -> Told {
        let caller = self.caller_of(id, Manner::Patient).await?;
        let failed = |error: ClientError| Failure::new(format!("node {id} serves reads"), error.to_string());
        caller.get(everything(), Consistency::Linearizable).await.map_err(failed)?;
        caller.get(everything(), Consistency::Serializable).await.map_err(failed)?;
        Ok(())
    }

    /// That the status names the liars, and nobody else.
    pub async fn liars_are_named(&mut self) -> Told {
        let liars = self.liars();
        let named = move |status: &ClusterStatus| {
            status.nodes.iter().all(|node| node.malicious.is_some() == liars.contains(&node.id))
        };
        self.until("the status names those who lie, and nobody else", named).await.map(drop)
    }

    /// Waits until some honest node holds evidence against each of those who lied in this way, if that convicts them
    /// sooner or later.
    pub async fn convicted(&mut self, liars: &[u64], how: &str) -> Told {
        if self.protocol.behaviour(Some(how)).is_none_or(|how| how.proof != Proof::Due) {
            return Ok(());
        }
        let what = format!("an honest node holds evidence against each of {liars:?}");
        let convicted = |status: &ClusterStatus, id: &u64| status.convicted.iter().any(|one| one.id == *id);
        let all = |status: &ClusterStatus| liars.iter().all(|id| convicted(status, id));
        self.until(&what, all).await.map(drop)
    }

    /// Several clients at once, each of which writes a key of its own so many times. Says how often each key was written
    /// in the end.
    pub async fn write_alone(&mut self, names: &[&'static str], times: u64) -> Result<Vec<i64>, Failure> {
        self.say(&format!("{} clients write {times} times each", names.len()));
        let mut writing = Vec::new();
        for name in names {
            self.next_caller += 1;
            let caller = Caller::of_all(self.next_caller, &self.door, &self.journal).await;
            let caller = caller.map_err(|error| Failure::new("clients can be made", error.to_string()))?;
            writing.push(tokio::spawn(write_times(caller, name, times)));
        }
        let mut versions = Vec::new();
        for (name, writing) in names.iter().zip(writing) {
            let failed =
                |why: String| Failure::new(format!("the client of {name} writes {times} times"), why);
            let written = writing.await.map_err(|error| failed(error.to_string()))?;
            versions.push(written.map_err(|error| failed(error.to_string()))?);
        }
        Ok(versions)
    }

    /// A condition that can be looked at only once.
    pub fn expect(&self, holds: bool, expected: &str, found: impl Display) -> Told {
        if holds { Ok(()) } else { Err(Failure::new(expected, found.to_string())) }
    }

    /// Waits until the status is as wanted. Whatever is seen on the way must have one leader an epoch.
    pub async fn until(
        &mut self,
        what: &str,
        holds: impl Fn(&ClusterStatus) -> bool,
    ) -> Result<ClusterStatus, Failure> {
        self.say(&format!("waiting until {what}"));
        let mut last = "the cluster did not say how it is".to_owned();
        let awaited = async {
            loop {
                match self.status().await {
                    Ok(status) if holds(&status) => return Ok(status),
                    Ok(status) => last = status.why.join("; "),
                    Err(failure) => return Err(failure),
                }
                sleep(POLL).await;
            }
        };
        let awaited = timeout(PATIENCE, awaited).await;
        awaited.unwrap_or_else(|_| Err(Failure::new(what, format!("not in {PATIENCE:?}: {last}"))))
    }

    async fn status(&mut self) -> Result<ClusterStatus, Failure> {
        let status = self.cluster.status(true).await;
        let status = status.map_err(|error| Failure::new("the supervisor answers", error.to_string()))?;
        self.witness(&status)?;
        Ok(status)
    }

    /// Invariants 3 and 4.
    fn witness(&mut self, status: &ClusterStatus) -> Told {
        if !self.promised {
            return Ok(());
        }
        if let Some(wronged) = status.convicted.iter().find(|one| !self.culprits.contains(&one.id)) {
            return Err(Failure::new("nobody is convicted who signed nothing wrong", wronged.to_string()));
        }
        let claims = status.nodes.iter().filter(|node| node.role.as_deref() == Some("leader"));
        for (epoch, id) in claims.filter_map(|node| Some((node.epoch?, node.id))) {
            let seen = *self.leaders.entry(epoch).or_insert(id);
            if seen != id {
                let found = format!("nodes {seen} and {id} both led in epoch {epoch}");
                return Err(Failure::new("an epoch has one leader", found));
            }
        }
        Ok(())
    }

    fn note(&self, what: &str) -> String {
        self.journal.fact(what);
        self.say(what);
        what.to_owned()
    }

    fn say(&self, what: &str) {
        (self.tell)(what);
    }

    fn address(&self, id: u64) -> Result<&Address, Failure> {
        let missing = || Failure::new(format!("there is a node {id}"), "there is none");
        self.nodes.iter().find(|node| node.id == id).ok_or_else(missing)
    }

    async fn report_of(&self, id: u64) -> Result<crate::client::NodeReport, ClientError> {
        let nobody = |failure: Failure| ClientError::Unreachable { message: failure.to_string() };
        ControlClient::new(&self.address(id).map_err(nobody)?.address)?.status(true).await
    }

    async fn caller_of(&mut self, id: u64, manner: Manner) -> Result<Caller, Failure> {
        self.next_caller += 1;
        let caller = Caller::of_one_in(self.next_caller, self.address(id)?, &self.journal, manner).await;
        caller.map_err(|error| Failure::new(format!("node {id} can be asked"), error.to_string()))
    }
}

/// How every story ends.
impl Stage {
    /// Lets the clients end, waits until all nodes are equal, and reads everything back; where nothing is promised, nothing
    /// of it.
    pub(super) async fn close(&mut self) -> Told {
        if !self.promised {
            return Ok(());
        }
        self.say("waiting for the last answers");
        self.load.stop().await;
        self.until("all nodes have converged", |status| Condition::Converged.missing(status).is_none())
            .await?;
        self.next_caller += 1;
        let caller = Caller::of_all(self.next_caller, &self.door, &self.journal).await;
        let caller = caller.map_err(|error| Failure::new("clients can be made", error.to_string()))?;
        audit(&caller).await
    }

    /// How the cluster is, for a report.
    pub(super) async fn last_status(&mut self) -> Option<ClusterStatus> {
        self.cluster.status(true).await.ok()
    }

    /// Ends the clients at once, so that nobody holds the journal any more.
    pub(super) async fn leave(mut self) {
        self.load.abort().await;
    }
}

/// Writes a key so many times, and reads how often it was written.
async fn write_times(caller: Caller, key: &'static str, times: u64) -> Result<i64, ClientError> {
    for time in 0..times {
        let value = format!("{key} {time}").into();
        caller.put(PutRequest { key: key.into(), value, ..PutRequest::default() }).await?;
    }
    let read = RangeRequest { key: key.into(), ..RangeRequest::default() };
    let found = caller.get(read, Consistency::Linearizable).await?;
    Ok(found.kvs.first().map_or(0, |kv| kv.version))
}

/// All keys: from the lowest on, without an end.
fn everything() -> RangeRequest {
    let zero = bytes::Bytes::from_static(b"\0");
    RangeRequest { key: zero.clone(), range_end: zero, ..RangeRequest::default() }
}

/// Whether evidence against one who lies so can be right.
fn may_convict(protocol: &Entry, how: Option<&str>) -> bool {
    protocol.behaviour(how).is_some_and(|behaviour| behaviour.proof != Proof::Never)
}
