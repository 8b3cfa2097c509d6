//! Nodes as people name them: by id or by role.

use std::collections::BTreeSet;
use std::str::FromStr;

use super::faults::list;
use super::{ClusterDir, ClusterStatus, Error, NodeState, Result};

/// One or several nodes, by id or role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// The node of this id.
    Id(u64),
    /// Whoever leads (Raft's leader, PBFT's primary).
    Leader,
    /// One running node that does not lead: the one with the highest id.
    Follower,
    /// All nodes.
    All,
}

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "leader" | "primary" => Ok(Self::Leader),
            "follower" | "backup" => Ok(Self::Follower),
            "all" => Ok(Self::All),
            _ => text.parse().map(Self::Id).map_err(|_| {
                format!(
                    "`{text}` is no target; targets are an id as 3, `leader`, `follower`, `all`, or a list as 1,2 (also \
                     `primary` and `backup`)"
                )
            }),
        }
    }
}

impl Target {
    /// Reads a comma list.
    pub fn parse_list(text: &str) -> std::result::Result<Vec<Self>, String> {
        text.split(',').map(|part| part.trim().parse()).collect()
    }

    /// Whether it depends on who leads.
    pub fn is_role(self) -> bool {
        matches!(self, Self::Leader | Self::Follower)
    }
}

/// The ids of the nodes that `targets` name, given how the cluster in `dir` is.
pub fn resolve(targets: &[Target], status: &ClusterStatus, dir: &ClusterDir) -> Result<BTreeSet<u64>> {
    let all: BTreeSet<u64> = status.nodes.iter().map(|node| node.id).collect();
    let mut ids = BTreeSet::new();
    for target in targets {
        match target {
            Target::Id(id) if all.contains(id) => {
                ids.insert(*id);
            }
            Target::Id(id) => {
                let (words, all) = (status.entry().words, list(&all));
                let (leader, follower) = (words.leader, words.follower);
                return Err(Error::usage(format!("there is no node {id}"))
                    .hint(format!("the nodes are {all}; also `{leader}`, `{follower}`, `all`")));
            }
            Target::Leader => {
                ids.insert(status.leader.ok_or_else(|| no_leader(status, dir))?);
            }
            Target::Follower => {
                let leader = status.leader.ok_or_else(|| no_leader(status, dir))?;
                let mut followers = status.nodes.iter().rev();
                let follower = followers
                    .find(|node| {
                        node.id != leader && node.state == NodeState::Running && !ids.contains(&node.id)
                    })
                    .ok_or_else(|| Error::failed(format!("no {} runs", status.entry().words.follower)))?;
                ids.insert(follower.id);
            }
            Target::All => ids.extend(&all),
        }
    }
    Ok(ids)
}

fn no_leader(status: &ClusterStatus, dir: &ClusterDir) -> Error {
    let why = if status.why.is_empty() { String::new() } else { format!(": {}", status.why.join("; ")) };
    let word = status.entry().words.leader;
    let wait = dir.command(format!("wait --until {word}"));
    Error::failed(format!("no node leads the cluster {} now{why}", status.name))
        .hint(format!("name a node by its id, or wait for a {word}: {wait}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::StateDir;
    use crate::cluster::status::tests::{node, status_of};

    fn ids(text: &str, status: &ClusterStatus) -> Result<Vec<u64>> {
        let targets = Target::parse_list(text).map_err(Error::usage)?;
        let dir = StateDir::new(Some("/x".into()))?.cluster("lab")?;
        resolve(&targets, status, &dir).map(|ids| ids.into_iter().collect())
    }

    #[test]
    fn targets_are_found_by_id_and_role() {
        let status = status_of((1..=5).map(|id| node(id, Some(2))).collect());
        assert_eq!(ids("3", &status).unwrap(), [3]);
        assert_eq!(ids("leader", &status).unwrap(), [2]);
        assert_eq!(ids("primary,1", &status).unwrap(), [1, 2]);
        assert_eq!(ids("follower", &status).unwrap(), [5]);
        assert_eq!(ids("backup", &status).unwrap(), [5]);
        assert_eq!(ids("follower,follower", &status).unwrap(), [4, 5]);
        assert_eq!(ids("all", &status).unwrap(), [1, 2, 3, 4, 5]);
    }

    #[test]
    fn unknown_targets_are_refused_with_the_valid_ones() {
        let status = status_of((1..=3).map(|id| node(id, None)).collect());
        assert!(ids("7", &status).unwrap_err().hint.unwrap().contains("1, 2, 3"));
        assert!(ids("chief", &status).unwrap_err().message.contains("`leader`, `follower`, `all`"));
        assert!(ids("leader", &status).unwrap_err().message.contains("no node leads"));
    }
}
