//! What can be waited for.

use super::{ClusterStatus, NodeStatus};

/// Something to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A node leads and a quorum follows it.
    Leader,
    /// See the [module](super).
    Healthy,
    /// See the [module](super).
    Converged,
    /// All nodes that should run, and do not lie, have executed up to this index.
    Applied(u64),
}

impl std::str::FromStr for Condition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "leader" | "primary" => Ok(Self::Leader),
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
            Self::Leader if status.leader.is_none() => {
                because(&format!("no {}", status.entry().words.leader))
            }
            Self::Healthy if !status.healthy => because("not healthy"),
            Self::Converged => missing_convergence(status),
            Self::Applied(index) => {
                let short = |node: &&NodeStatus| node.counts() && node.applied < Some(index);
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
    let word = status.entry().words.leader;
    let Some(reference) = status.reference() else { return Some(format!("not converged: no {word}")) };
    let whose = if status.leader == Some(reference.id) {
        format!("the {word}'s")
    } else {
        format!("node {}'s", reference.id)
    };
    let counted: Vec<&NodeStatus> = status.nodes.iter().filter(|node| node.counts()).collect();
    let there = |node: &&NodeStatus| node.reachable && node.applied == reference.last;
    if !counted.iter().all(there) {
        let all: Vec<String> = counted.into_iter().map(applied_of).collect();
        let last = reference.last.unwrap_or_default();
        let index = status.entry().words.index;
        return Some(format!("not converged: {whose} last {index} is {last}, {}", all.join(", ")));
    }
    let differs = counted.iter().find(|node| node.digest != reference.digest);
    differs.map(|node| format!("digests differ: node {}'s from {whose}", node.id))
}
