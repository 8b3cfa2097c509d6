//! Who leads, what keeps a cluster and its nodes from being healthy, and the headline.

use super::{ClusterStatus, NodeStatus};
use crate::client::NodeReport;
use crate::cluster::NodeState;
use crate::cluster::faults::list;
use crate::registry::Entry;

/// How many honest nodes must agree: a quorum, or where fewer are honest, all of them.
fn needed(entry: &Entry, nodes: &[NodeStatus]) -> usize {
    let honest = nodes.iter().filter(|node| node.is_honest()).count();
    (entry.quorum(nodes.len() as u64) as usize).min(honest).max(1)
}

/// The node that says that it leads, in the highest epoch in which one does, if a quorum of all nodes follows it. A liar
/// that nobody follows is not heard. Who is cut off from a leader does not follow it, whatever it says: where the leader
/// of an epoch is known beforehand, as in PBFT, its name alone shows nothing.
pub(super) fn leader_of(entry: &Entry, nodes: &[NodeStatus]) -> Option<u64> {
    let needed = needed(entry, nodes);
    let is_followed = |leader: &NodeStatus| {
        let follows = |node: &&NodeStatus| {
            node.is_honest()
                && node.leader == Some(leader.id)
                && node.epoch == leader.epoch
                && !node.cut_off_from.contains(&leader.id)
        };
        nodes.iter().filter(follows).count() >= needed
    };
    let claims =
        nodes.iter().filter(|node| node.leader == Some(node.id) && node.role.as_deref() == Some("leader"));
    let heard = claims.filter(|node| node.is_honest() || is_followed(node));
    heard.max_by_key(|node| node.epoch).filter(|leader| is_followed(leader)).map(|leader| leader.id)
}

/// What the leader says of the others is told where they are. Of who was ended on purpose nothing else was expected.
pub(super) fn hear_leader(status: &mut ClusterStatus, leader: &NodeReport) {
    for peer in &leader.peers {
        let node = status.nodes.iter_mut().find(|node| node.id == peer.id);
        if let (Some(node), Some(why)) = (node, &peer.why)
            && node.state != NodeState::Stopped
        {
            node.why.push(why.clone());
        }
    }
}

/// Holds the nodes to the leader, or to who stands in for it.
pub(super) fn compare_nodes(entry: &Entry, status: &mut ClusterStatus) {
    let Some(leader) = status.leader else { return };
    let Some(reference) = status.reference().cloned() else { return };
    let word = entry.words.leader;
    let whose =
        if reference.id == leader { format!("the {word}'s") } else { format!("node {}'s", reference.id) };
    for node in status.nodes.iter_mut().filter(|node| node.reachable && node.id != leader) {
        if node.leader != Some(leader) {
            let follows = node.leader.map_or("nobody".to_owned(), |id| id.to_string());
            node.why.push(format!("follows {follows}, not the {word} {leader}"));
        }
        let same_index = node.digest_at.is_some() && node.digest_at == reference.digest_at;
        if same_index && node.digest != reference.digest {
            let at = node.digest_at.unwrap_or_default();
            node.why.push(format!("its state differs from {whose} at {} {at}", entry.words.index));
        }
    }
}

/// What keeps the cluster as a whole from being healthy.
pub(super) fn causes(entry: &Entry, status: &ClusterStatus) -> Vec<String> {
    let mut causes = Vec::new();
    let word = entry.words.leader;
    let honest: Vec<_> = status.nodes.iter().filter(|node| node.is_honest()).collect();
    let reachable: Vec<_> = honest.iter().filter(|node| node.reachable).collect();
    let who = if honest.len() < status.nodes.len() { "honest nodes" } else { "nodes" };
    let needed = needed(entry, &status.nodes);
    // The most that can hear each other.
    let together = reachable
        .iter()
        .map(|node| reachable.iter().filter(|other| !node.cut_off_from.contains(&other.id)).count());
    if reachable.len() < needed {
        let (there, all) = (reachable.len(), honest.len());
        causes.push(format!("no quorum: {there} of {all} {who} reachable, {needed} needed"));
    } else if status.leader.is_none() && together.max().unwrap_or_default() < needed {
        causes.push(format!("no quorum: no {needed} {who} hear each other"));
    } else if status.leader.is_none() {
        causes.push(format!("a quorum follows no {word}"));
    }
    if let Some(liar) = status.convicted.iter().find(|liar| status.leader == Some(liar.id)) {
        causes.push(format!("{word} {} is convicted", liar.id));
    }
    let cut_off: Vec<u64> =
        status.nodes.iter().filter(|node| !node.cut_off_from.is_empty()).map(|node| node.id).collect();
    if !status.partition.is_healed() {
        causes.push(format!("partitioned: {}", status.partition));
    } else if !cut_off.is_empty() {
        causes.push(of_nodes(&cut_off, "is cut off from others", "are cut off from others"));
    }
    causes
}

/// All that keeps the cluster from being healthy: its causes, and what each node has.
pub(super) fn all(status: &ClusterStatus, causes: &[String]) -> Vec<String> {
    let mut why = causes.to_vec();
    for node in status.nodes.iter().filter(|node| node.counts() && !node.why.is_empty()) {
        why.push(format!("node {}: {}", node.id, node.why.join(", ")));
    }
    for node in status.nodes.iter().filter(|node| node.counts() && !node.reachable && node.why.is_empty()) {
        why.push(format!("node {} is not reachable", node.id));
    }
    why
}

/// How the cluster is, in one line.
pub(super) fn headline(entry: &Entry, status: &ClusterStatus, causes: Vec<String>) -> String {
    let word = entry.words.leader;
    let leads = status.leader.map_or(format!("no {word}"), |id| format!("{word} {id}"));
    let which = |which: &dyn Fn(&NodeStatus) -> bool| -> Vec<u64> {
        status.nodes.iter().filter(|node| which(node)).map(|node| node.id).collect()
    };
    let silent = |node: &NodeStatus| {
        node.counts() && !node.reachable && !matches!(node.state, NodeState::Failed | NodeState::Paused)
    };
    // Where nobody leads or some are cut off, that is what the nodes complain of.
    let explained = |node: &NodeStatus| status.leader.is_none() || !node.cut_off_from.is_empty();
    let unwell =
        |node: &NodeStatus| node.counts() && node.reachable && !status.keeps_up(node) && !explained(node);
    let mut parts = causes;
    let mut group = |ids: Vec<u64>, one: &str, many: &str| {
        if !ids.is_empty() {
            parts.push(of_nodes(&ids, one, many));
        }
    };
    group(which(&|node| node.state == NodeState::Failed), "has failed", "have failed");
    group(which(&|node| node.state == NodeState::Paused), "is paused", "are paused");
    group(which(&silent), "does not answer", "do not answer");
    if !status.healthy {
        group(which(&unwell), "is not well", "are not well");
    }
    let health = if status.healthy { "healthy".to_owned() } else { "not healthy".to_owned() };
    // These are no reasons: the cluster does without them.
    let led = |id: u64| status.leader == Some(id);
    let convicted = status.convicted.iter().map(|one| one.id).filter(|id| !led(*id)).collect();
    group(convicted, "is convicted", "are convicted");
    group(which(&|node| node.state == NodeState::Stopped), "is stopped", "are stopped");
    let colon = if status.healthy { "; " } else { ": " };
    let parts = parts.join("; ");
    format!("{leads}, {health}{}{parts}", if parts.is_empty() { "" } else { colon })
}

fn of_nodes(ids: &[u64], one: &str, many: &str) -> String {
    match ids {
        [id] => format!("node {id} {one}"),
        _ => format!("nodes {} {many}", list(ids)),
    }
}
