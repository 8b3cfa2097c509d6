//! How a cluster is: what its supervisor knows and what its nodes say, put together, with reasons.
//!
//! **Healthy** means: a leader that a majority follows, every node that should run reachable, and each of them, within
//! two heartbeats, as far as the leader had committed when it was asked, with equal digests at equal index.
//! **Converged** means that there is a leader which has nothing left to commit or execute, and that all nodes are at
//! its index with its digest. A node that was ended on purpose is not one that should run, and is left out; a paused,
//! cut-off or failed one should, and keeps the cluster from being either.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{DiskFault, Info, NodeInfo, NodeState};
use crate::client::{ControlClient, NodeReport};

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
    /// Who leads: the node that says so and that a majority follows.
    pub leader: Option<u64>,
    /// Whether it is healthy.
    pub healthy: bool,
    /// What keeps it from being healthy, in words.
    pub why: Vec<String>,
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
    /// How many indices it is behind the highest applied one of all.
    pub behind: Option<u64>,
    /// What keeps it from being healthy, in words.
    pub why: Vec<String>,
    /// Its log file.
    pub log: PathBuf,
}

/// Asks nodes how they are. Keeps its connections, so that asking again is cheap.
#[derive(Debug, Default)]
pub struct Surveyor {
    clients: BTreeMap<String, ControlClient>,
}

impl Surveyor {
    /// Asks all running nodes at once. A node that does not answer in time is unreachable; nothing waits for it longer.
    pub async fn survey(&mut self, info: &Info, with_digest: bool) -> ClusterStatus {
        let running = |node: &&NodeInfo| node.state == NodeState::Running;
        let mut answers = self.ask(info.nodes.iter().filter(running), with_digest).await;
        let goal = committed_by_leader(&answers);
        let trails = |answer: &Answer| answer.as_ref().is_ok_and(|report| report.applied < goal);
        let trailing = |answers: &Answers| -> Vec<u64> {
            answers.iter().filter(|(_, answer)| trails(answer)).map(|(id, _)| *id).collect()
        };
        let mut late = trailing(&answers);
        for _ in 0..HEALTHY_LAG.as_millis() / AGAIN.as_millis() {
            if late.is_empty() {
                break;
            }
            tokio::time::sleep(AGAIN).await;
            let again = self.ask(info.nodes.iter().filter(|node| late.contains(&node.id)), with_digest).await;
            answers.extend(again.into_iter().filter(|(_, answer)| answer.is_ok()));
            late = trailing(&answers);
        }
        assess(info, &answers, goal)
    }

    async fn ask(&mut self, nodes: impl Iterator<Item = &NodeInfo>, with_digest: bool) -> Answers {
        let mut asked = Vec::new();
        for node in nodes {
            if let Some(client) = self.client(&node.address) {
                let asking =
                    async move { client.status(!with_digest).await.map_err(|error| error.to_string()) };
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

/// How far the leader says that the cluster has committed; zero without a leader.
fn committed_by_leader(answers: &Answers) -> u64 {
    let reports = answers.values().filter_map(|answer| answer.as_ref().ok());
    let leaders = reports.filter(|report| report.leader == Some(report.id));
    leaders.max_by_key(|report| report.epoch).map_or(0, |report| report.committed)
}

/// Puts together what is known. A node that has not applied up to `goal` trails.
fn assess(info: &Info, answers: &Answers, goal: u64) -> ClusterStatus {
    let node = |node: &NodeInfo| of_node(node.clone(), answers.get(&node.id).cloned());
    let mut nodes: Vec<NodeStatus> = info.nodes.iter().map(node).collect();
    let highest = nodes.iter().filter_map(|node| node.applied).max();
    for node in &mut nodes {
        node.behind = node.applied.and_then(|applied| Some(highest? - applied));
        if node.applied.is_some_and(|applied| applied < goal) {
            node.why.push(format!("{} indices behind", node.behind.unwrap_or_default()));
        }
    }
    let leader = leader_of(&nodes);
    explain_nodes(&mut nodes, leader);
    let mut status = ClusterStatus {
        name: info.name.clone(),
        protocol: info.protocol.clone(),
        leader,
        healthy: false,
        why: Vec::new(),
        nodes,
    };
    status.why = explain_cluster(&status, info);
    status.healthy = status.why.is_empty();
    status
}

fn of_node(node: NodeInfo, answer: Option<Answer>) -> NodeStatus {
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
        why: Vec::new(),
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
            status.role = Some(report.role);
            status.epoch = Some(report.epoch);
            status.leader = report.leader;
            status.last = Some(report.last);
            status.committed = Some(report.committed);
            status.applied = Some(report.applied);
            status.digest_at = report.digest.is_some().then_some(report.digest_at);
            status.digest = report.digest;
            why.extend(report.why);
        }
    }
    match node.disk {
        DiskFault::Ok => {}
        fault => why.push(format!("its disk is made to misbehave: {fault}")),
    }
    status.why = why;
    status
}

/// The node that says that it leads, in the highest epoch in which one does, if a majority of all nodes follows it.
fn leader_of(nodes: &[NodeStatus]) -> Option<u64> {
    let claims =
        nodes.iter().filter(|node| node.leader == Some(node.id) && node.role.as_deref() == Some("leader"));
    let leader = claims.max_by_key(|node| node.epoch)?;
    let followers =
        nodes.iter().filter(|node| node.leader == Some(leader.id) && node.epoch == leader.epoch).count();
    (followers > nodes.len() / 2).then_some(leader.id)
}

fn explain_nodes(nodes: &mut [NodeStatus], leader: Option<u64>) {
    let leading = leader.and_then(|id| nodes.iter().find(|node| node.id == id)).cloned();
    for node in nodes.iter_mut() {
        let Some(leading) = &leading else { break };
        if !node.reachable || node.id == leading.id {
            continue;
        }
        if node.leader != Some(leading.id) {
            let follows = node.leader.map_or("nobody".to_owned(), |id| id.to_string());
            node.why.push(format!("follows {follows}, not the leader {}", leading.id));
        }
        let same_index = node.digest_at.is_some() && node.digest_at == leading.digest_at;
        if same_index && node.digest != leading.digest {
            let at = node.digest_at.unwrap_or_default();
            node.why.push(format!("its state differs from the leader's at index {at}"));
        }
    }
}

fn explain_cluster(status: &ClusterStatus, info: &Info) -> Vec<String> {
    let mut why = Vec::new();
    let total = status.nodes.len();
    let reachable = status.nodes.iter().filter(|node| node.reachable).count();
    if reachable <= total / 2 {
        why.push(format!("no quorum: {reachable} of {total} reachable"));
    } else if status.leader.is_none() {
        why.push("no leader that a majority follows".to_owned());
    }
    if !info.partition.is_healed() {
        why.push(format!("partitioned: {}", info.partition));
    }
    for node in status.nodes.iter().filter(|node| node.state != NodeState::Stopped && !node.why.is_empty()) {
        why.push(format!("node {}: {}", node.id, node.why.join(", ")));
    }
    for node in status.nodes.iter().filter(|node| should_run(node) && !node.reachable && node.why.is_empty())
    {
        why.push(format!("node {} is not reachable", node.id));
    }
    why
}

fn should_run(node: &NodeStatus) -> bool {
    node.state != NodeState::Stopped
}

/// Something to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A node leads and a majority follows it.
    Leader,
    /// See the [module](self).
    Healthy,
    /// See the [module](self).
    Converged,
    /// All nodes that should run have executed up to this index.
    Applied(u64),
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "leader" => Ok(Self::Leader),
            "healthy" => Ok(Self::Healthy),
            "converged" => Ok(Self::Converged),
            _ => text
                .strip_prefix("applied>=")
                .and_then(|index| index.trim().parse().ok())
                .map(Self::Applied)
                .ok_or_else(|| {
                    format!("`{text}` is no condition; known are leader, healthy, converged and applied>=N")
                }),
        }
    }
}

impl Condition {
    /// What is still missing; `None` when the condition holds.
    pub fn missing(self, status: &ClusterStatus) -> Option<String> {
        let because = |what: &str| {
            let why =
                if status.why.is_empty() { String::new() } else { format!(": {}", status.why.join("; ")) };
            Some(format!("{what}{why}"))
        };
        match self {
            Self::Leader if status.leader.is_none() => because("no leader"),
            Self::Healthy if !status.healthy => because("not healthy"),
            Self::Converged => missing_convergence(status),
            Self::Applied(index) => {
                let short = |node: &&NodeStatus| should_run(node) && node.applied < Some(index);
                let nodes: Vec<String> = status.nodes.iter().filter(short).map(applied_of).collect();
                (!nodes.is_empty()).then(|| format!("not all nodes applied {index}: {}", nodes.join(", ")))
            }
            Self::Leader | Self::Healthy => None,
        }
    }
}

fn applied_of(node: &NodeStatus) -> String {
    match node.applied {
        Some(applied) => format!("node {} applied {applied}", node.id),
        None => format!("node {} does not answer", node.id),
    }
}

fn missing_convergence(status: &ClusterStatus) -> Option<String> {
    let leading = status.leader.and_then(|id| status.nodes.iter().find(|node| node.id == id));
    let Some(leader) = leading else { return Some("not converged: no leader".to_owned()) };
    let should: Vec<&NodeStatus> = status.nodes.iter().filter(|node| should_run(node)).collect();
    let there = |node: &&NodeStatus| node.reachable && node.applied == leader.last;
    if !should.iter().all(there) {
        let all: Vec<String> = should.into_iter().map(applied_of).collect();
        let last = leader.last.unwrap_or_default();
        return Some(format!("not converged: the leader's last index is {last}, {}", all.join(", ")));
    }
    let differs = should.iter().find(|node| node.digest != leader.digest);
    differs.map(|node| format!("digests differ: node {}'s from the leader's", node.id))
}

#[cfg(test)]
pub(super) mod tests;
