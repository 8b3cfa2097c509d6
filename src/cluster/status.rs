//! How a cluster is: what its supervisor knows and what its nodes say, put together, with reasons.
//!
//! **Healthy** means: a leader that a majority follows, every node that should run reachable, and all of them within
//! a few thousand indices of the highest applied one, with equal digests at equal index. **Converged** means the same applied
//! index everywhere, with equal digests. A node that was ended on purpose is not one that should run, and is left out;
//! a paused, cut-off or failed one should, and keeps the cluster from being either.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use super::{DiskFault, Info, NodeInfo, NodeState};
use crate::client::{ControlClient, NodeReport};

/// How far a healthy node may be behind the leader, in indices: about what a busy cluster applies between two
/// heartbeats.
const HEALTHY_LAG: u64 = 5_000;
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
        let mut asked = Vec::new();
        for node in &info.nodes {
            let client = (node.state == NodeState::Running).then(|| self.client(&node.address)).flatten();
            asked.push(tokio::spawn(async move {
                match client {
                    Some(client) => {
                        Some(client.status(!with_digest).await.map_err(|error| error.to_string()))
                    }
                    None => None,
                }
            }));
        }
        let mut nodes = Vec::new();
        for (node, answer) in info.nodes.iter().zip(asked) {
            let answer = answer.await.unwrap_or_else(|error| Some(Err(error.to_string())));
            nodes.push((node.clone(), answer));
        }
        assess(info, nodes)
    }

    fn client(&mut self, address: &str) -> Option<ControlClient> {
        if !self.clients.contains_key(address) {
            let client = ControlClient::new(address).ok()?.with_timeout(ANSWER_TIMEOUT);
            self.clients.insert(address.to_owned(), client);
        }
        self.clients.get(address).cloned()
    }
}

/// What a node said; `None` for one that was not asked.
type Answer = Option<Result<NodeReport, String>>;

fn assess(info: &Info, answers: Vec<(NodeInfo, Answer)>) -> ClusterStatus {
    let mut nodes: Vec<NodeStatus> =
        answers.into_iter().map(|(node, answer)| of_node(node, answer)).collect();
    let highest = nodes.iter().filter_map(|node| node.applied).max();
    for node in &mut nodes {
        node.behind = node.applied.and_then(|applied| Some(highest? - applied));
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

fn of_node(node: NodeInfo, answer: Answer) -> NodeStatus {
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
        if node.behind > Some(HEALTHY_LAG) {
            node.why.push(format!("{} indices behind", node.behind.unwrap_or_default()));
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
    let mut nodes = status.nodes.iter().filter(|node| should_run(node));
    let Some(first) = nodes.next() else { return Some("no node runs".to_owned()) };
    let same =
        |node: &NodeStatus| node.reachable && node.applied == first.applied && node.digest == first.digest;
    if same(first) && nodes.all(same) {
        return None;
    }
    let all: Vec<String> = status.nodes.iter().filter(|node| should_run(node)).map(applied_of).collect();
    let equal = status.nodes.iter().filter(|node| should_run(node)).all(|node| node.applied == first.applied);
    let what = if equal && first.reachable { "digests differ" } else { "not converged" };
    Some(format!("{what}: {}", all.join(", ")))
}

#[cfg(test)]
pub(super) mod tests;
