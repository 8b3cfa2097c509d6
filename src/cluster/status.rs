//! How a cluster is: what its supervisor knows and what its nodes say, put together, with reasons.
//!
//! **Healthy** means: a leader that a quorum follows, every node that should run reachable, and each of them, within
//! two heartbeats, as far as the leader had committed when it was asked, with equal digests at equal index.
//! **Converged** means that there is a leader which has nothing left to commit or execute, and that all nodes are at
//! its index with its digest. A node that was ended on purpose is not one that should run, and is left out; a paused,
//! cut-off or failed one should, and keeps the cluster from being either.
//!
//! A node that was made to lie counts neither for nor against anything: quorums are looked for among the others, and
//! where the leader itself lies, the most advanced of the others stands in for it. So a cluster is healthy when its
//! honest nodes are well, which is all that the protocol promises. It is not while a node leads that is proved to lie.
//!
//! The [headline](ClusterStatus::headline) says this in one line, in the same words whenever the same holds: who leads,
//! whether the cluster is healthy, the first causes if it is not, and who is missing or convicted in any case. What each
//! node says stands with the node.

mod blame;
mod condition;
mod reasons;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::malice::beyond_the_model;
use super::{DiskFault, NodeInfo, NodeState, Partition, Roster};
use crate::client::{ControlClient, ConvictionReport, Error as ClientError, NodeReport, SuspicionReport};
use crate::consensus::Misbehaviour;
use crate::registry::{self, Entry};
use crate::text::counted;

pub use blame::{Convicted, Suspected};
pub use condition::Condition;

/// How long a healthy node may take to get where the leader was: about two heartbeats.
const HEALTHY_LAG: Duration = Duration::from_millis(100);
/// How often a node that trails is asked again within that time.
const AGAIN: Duration = Duration::from_millis(10);
/// How long a node has to say how it is. A node answers without its disk or its peers, so this is ample.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// How a cluster is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClusterStatus {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: String,
    /// How many faulty nodes its protocol tolerates among so many.
    pub tolerates: u64,
    /// Who leads: the node that says so and that a quorum follows.
    pub leader: Option<u64>,
    /// Whether it is healthy.
    pub healthy: bool,
    /// How it is, in one line without its name, as `leader 1, healthy; node 2 is stopped`.
    pub headline: String,
    /// What keeps it from being healthy, in words.
    pub why: Vec<String>,
    /// The partition that it was given.
    pub partition: Partition,
    /// What should be known of it besides, in words: that more nodes lie than are tolerated.
    pub warnings: Vec<String>,
    /// Who is proved to lie, in ascending order of ids: what its honest nodes hold proof of.
    pub convicted: Vec<Convicted>,
    /// Who is suspected without proof, in ascending order of ids.
    pub suspicions: Vec<Suspected>,
    /// Its nodes, in ascending order of ids.
    pub nodes: Vec<NodeStatus>,
}

/// How a node is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NodeStatus {
    /// Its id.
    pub id: u64,
    /// Where it listens.
    pub address: String,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// How it is, from outside.
    pub state: NodeState,
    /// Whether it answers.
    pub reachable: bool,
    /// What it is in the protocol.
    pub role: Option<String>,
    /// Raft's term, PBFT's view.
    pub epoch: Option<u64>,
    /// Who leads, in its opinion.
    pub leader: Option<u64>,
    /// The highest index that it holds.
    pub last: Option<u64>,
    /// The highest index that it knows to be committed.
    pub committed: Option<u64>,
    /// The highest index that its store has executed.
    pub applied: Option<u64>,
    /// The digest of its state.
    pub digest: Option<String>,
    /// The index that the digest is of.
    pub digest_at: Option<u64>,
    /// How many indices it is behind the highest applied one of all that are honest.
    pub behind: Option<u64>,
    /// The peers that a partition cuts it off from.
    pub cut_off_from: Vec<u64>,
    /// What only its protocol has, by name, as `low_water_mark`.
    pub details: BTreeMap<String, u64>,
    /// How it lies to the others, on purpose: the name of the behaviour.
    pub malicious: Option<String>,
    /// The same with all that was said of it.
    pub misbehaviour: Option<Misbehaviour>,
    /// What keeps it from being healthy, in words.
    pub why: Vec<String>,
    /// Whom it can prove to lie.
    pub convicted: Vec<ConvictionReport>,
    /// Whom it suspects, without proof.
    pub suspicions: Vec<SuspicionReport>,
    /// Its log file, where that is known.
    pub log: Option<PathBuf>,
}

impl ClusterStatus {
    /// What is known of its protocol.
    pub fn entry(&self) -> &'static Entry {
        entry_of(&self.protocol)
    }

    /// The node of this id.
    pub fn node(&self, id: u64) -> Option<&NodeStatus> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Whether a node does its work, as far as it and the others say: what was proved against it is apart from that.
    pub(super) fn keeps_up(&self, node: &NodeStatus) -> bool {
        let convicted = self.convicted.iter().any(|one| one.id == node.id);
        node.why.len() == usize::from(convicted)
    }

    /// The node to which the others are held: the leader, or if that one lies, the most advanced one that does not.
    pub fn reference(&self) -> Option<&NodeStatus> {
        let leader = self.node(self.leader?)?;
        if leader.is_honest() {
            return Some(leader);
        }
        let honest = self.nodes.iter().filter(|node| node.is_honest() && node.reachable);
        honest.max_by_key(|node| (node.last, node.applied))
    }
}

impl NodeStatus {
    /// Whether it is not made to lie.
    pub fn is_honest(&self) -> bool {
        self.malicious.is_none()
    }

    /// Whether the cluster is expected to have it, and to be able to rely on it.
    fn counts(&self) -> bool {
        self.state != NodeState::Stopped && self.is_honest()
    }
}

/// What is known of a protocol; of one that a supervisor of another version runs, what is the default.
fn entry_of(protocol: &str) -> &'static Entry {
    registry::find(protocol).unwrap_or_else(registry::default_protocol)
}

/// Asks nodes how they are. Keeps its connections, so that asking again is cheap.
#[derive(Debug, Default)]
pub struct Surveyor {
    clients: BTreeMap<String, ControlClient>,
}

impl Surveyor {
    /// Asks all nodes at once that may run. A node that does not answer in time is unreachable; nothing waits for it
    /// longer.
    pub async fn survey(&mut self, info: &Roster, with_digest: bool) -> ClusterStatus {
        let running = |node: &&NodeInfo| matches!(node.state, NodeState::Running | NodeState::Unknown);
        let answers = self.ask(info.nodes.iter().filter(running), with_digest).await;
        let mut answers: Answers =
            answers.into_iter().map(|(id, answer)| (id, info.recognize(id, answer))).collect();
        let goal = committed(info, &answers);
        let mut late = trailing(info, &answers, goal);
        for _ in 0..HEALTHY_LAG.as_millis() / AGAIN.as_millis() {
            if late.is_empty() {
                break;
            }
            tokio::time::sleep(AGAIN).await;
            let again = self.ask(info.nodes.iter().filter(|node| late.contains(&node.id)), with_digest).await;
            let again = again.into_iter().map(|(id, answer)| (id, info.recognize(id, answer)));
            answers.extend(again.filter(|(_, answer)| answer.is_ok()));
            late = trailing(info, &answers, goal);
        }
        assess(entry_of(&info.protocol), info, &answers, goal)
    }

    async fn ask(&mut self, nodes: impl Iterator<Item = &NodeInfo>, with_digest: bool) -> Answers {
        let mut asked = Vec::new();
        for node in nodes {
            if let Some(client) = self.client(&node.address) {
                let asking =
                    async move { client.status(!with_digest).await.map_err(ClientError::of_one_node) };
                asked.push((node.id, tokio::spawn(asking)));
            }
        }
        let mut answers = Answers::new();
        for (id, answer) in asked {
            answers.insert(id, answer.await.unwrap_or_else(|error| Err(error.to_string())));
        }
        answers
    }

    fn client(&mut self, address: &str) -> Option<ControlClient> {
        if !self.clients.contains_key(address) {
            let client = ControlClient::new(address).ok()?.with_timeout(ANSWER_TIMEOUT);
            self.clients.insert(address.to_owned(), client);
        }
        self.clients.get(address).cloned()
    }
}

/// What a node said, or why it said nothing.
type Answer = Result<NodeReport, String>;

/// What the nodes said that were asked.
type Answers = BTreeMap<u64, Answer>;

/// How far the leader says that the cluster has committed; zero without a leader. Where the leader lies, how far the
/// most advanced of the others says.
fn committed(info: &Roster, answers: &Answers) -> u64 {
    let lies = |id: u64| info.nodes.iter().any(|node| node.id == id && node.malicious.is_some());
    let reports = || answers.values().filter_map(|answer| answer.as_ref().ok());
    let leaders = reports().filter(|report| report.leader == Some(report.id));
    match leaders.max_by_key(|report| report.epoch) {
        None => 0,
        Some(leader) if !lies(leader.id) => leader.committed,
        Some(_) => {
            reports().filter(|report| !lies(report.id)).map(|report| report.committed).max().unwrap_or(0)
        }
    }
}

/// The honest nodes that have not executed up to `goal`.
fn trailing(info: &Roster, answers: &Answers, goal: u64) -> Vec<u64> {
    let honest = info.nodes.iter().filter(|node| node.malicious.is_none());
    let trails = |id: &u64| matches!(answers.get(id), Some(Ok(report)) if report.applied < goal);
    honest.map(|node| node.id).filter(trails).collect()
}

/// Puts together what is known. A node that has not applied up to `goal` trails.
fn assess(entry: &Entry, info: &Roster, answers: &Answers, goal: u64) -> ClusterStatus {
    let node = |node: &NodeInfo| of_node(node.clone(), answers.get(&node.id).cloned(), &info.partition);
    let mut nodes: Vec<NodeStatus> = info.nodes.iter().map(node).collect();
    let highest = nodes.iter().filter(|node| node.is_honest()).filter_map(|node| node.applied).max();
    for node in &mut nodes {
        node.behind = node.applied.and_then(|applied| Some(highest?.saturating_sub(applied)));
        if node.applied.is_some_and(|applied| applied < goal) {
            let behind = counted(node.behind.unwrap_or_default(), "index", "indices");
            node.why.push(format!("{behind} behind"));
        }
    }
    let liars = nodes.iter().filter(|node| !node.is_honest()).count();
    let mut status = ClusterStatus {
        name: info.name.clone(),
        protocol: info.protocol.clone(),
        tolerates: entry.faults_of(nodes.len() as u64),
        leader: reasons::leader_of(entry, &nodes),
        healthy: false,
        headline: String::new(),
        why: Vec::new(),
        partition: info.partition.clone(),
        warnings: beyond_the_model(entry, nodes.len(), liars)
            .into_iter()
            .chain(info.links.iter().map(|fault| format!("links {fault}")))
            .collect(),
        convicted: blame::convicted(&nodes),
        suspicions: blame::suspected(&nodes),
        nodes,
    };
    if let Some(Ok(leader)) = status.leader.and_then(|id| answers.get(&id)) {
        reasons::hear_leader(&mut status, leader);
    }
    reasons::compare_nodes(entry, &mut status);
    let causes = reasons::causes(entry, &status);
    status.why = reasons::all(&status, &causes);
    status.healthy = status.why.is_empty();
    name_convicted(&mut status);
    status.headline = reasons::headline(entry, &status, causes);
    status
}

/// A node that is convicted is not well, whatever it says. The cluster may be: it does without such nodes, unless one
/// leads.
fn name_convicted(status: &mut ClusterStatus) {
    for Convicted { id, newest, .. } in &status.convicted {
        if let Some(node) = status.nodes.iter_mut().find(|node| node.id == *id) {
            node.why.insert(0, format!("convicted: {newest}"));
        }
    }
}

fn of_node(node: NodeInfo, answer: Option<Answer>, partition: &Partition) -> NodeStatus {
    let mut why: Vec<String> = node.why.into_iter().collect();
    let mut status = NodeStatus {
        id: node.id,
        address: node.address,
        pid: node.pid,
        state: node.state,
        reachable: false,
        role: None,
        epoch: None,
        leader: None,
        last: None,
        committed: None,
        applied: None,
        digest: None,
        digest_at: None,
        behind: None,
        cut_off_from: partition.blocked(node.id).into_iter().collect(),
        details: BTreeMap::new(),
        malicious: node.malicious,
        misbehaviour: node.misbehaviour,
        why: Vec::new(),
        convicted: Vec::new(),
        suspicions: Vec::new(),
        log: node.log,
    };
    if node.state == NodeState::Paused {
        why.push("paused".to_owned());
    }
    match answer {
        None => {}
        Some(Err(error)) => why.push(format!("does not answer: {error}")),
        Some(Ok(report)) => {
            status.reachable = true;
            status.state = NodeState::Running;
            status.cut_off_from.extend(report.blocked);
            status.cut_off_from.sort_unstable();
            status.cut_off_from.dedup();
            status.role = Some(report.role);
            status.epoch = Some(report.epoch);
            status.leader = report.leader;
            status.last = Some(report.last);
            status.committed = Some(report.committed);
            status.applied = Some(report.applied);
            status.digest_at = report.digest.is_some().then_some(report.digest_at);
            status.digest = report.digest;
            status.details = report.details;
            status.malicious = status.malicious.or(report.malicious);
            status.misbehaviour = status.misbehaviour.or(report.misbehaviour);
            why.extend(report.why);
            status.convicted = report.convicted;
            status.suspicions = report.suspicions;
        }
    }
    match node.disk {
        DiskFault::Ok => {}
        fault => why.push(format!("its disk is made to misbehave: {fault}")),
    }
    status.why = why;
    status
}

#[cfg(test)]
pub(crate) mod tests;
