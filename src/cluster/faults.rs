//! The faults that a cluster can be given, as people write them and as they are handed to nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Error, Result};
use crate::text::counted;
use crate::wal;

/// Who must not talk to whom: for each node, the peers that it is cut off from. Symmetric. Two nodes can talk if some
/// group holds both, or if there are no groups at all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Partition {
    /// The groups, as `1,2 | 3,4,5`; within one all can talk. A node in several groups is a bridge between them. Empty:
    /// no partition.
    pub groups: Vec<BTreeSet<u64>>,
}

impl Partition {
    /// Splits the nodes into groups. Nodes that no group names form one more group together, so that `partition 1`
    /// cuts off node 1 alone and nobody is forgotten in a group that was not meant.
    pub fn groups(members: &BTreeSet<u64>, groups: Vec<BTreeSet<u64>>) -> Result<Self> {
        let mut seen = BTreeSet::new();
        for id in groups.iter().flatten() {
            if !members.contains(id) {
                return Err(Error::usage(format!("there is no node {id}"))
                    .hint(format!("the nodes are {}", list(members))));
            }
            if !seen.insert(*id) {
                return Err(Error::usage(format!("node {id} is named twice; a node is on one side")));
            }
        }
        let rest: BTreeSet<u64> = members.difference(&seen).copied().collect();
        let mut groups: Vec<_> = groups.into_iter().filter(|group| !group.is_empty()).collect();
        if !rest.is_empty() {
            groups.push(rest);
        }
        if groups.len() < 2 {
            return Err(Error::usage("a partition needs at least two sides, and this has all nodes on one")
                .hint("as in `partition 1,2 3,4,5`"));
        }
        Ok(Self { groups })
    }

    /// Cuts each of these nodes off from all others.
    pub fn isolate(members: &BTreeSet<u64>, alone: &BTreeSet<u64>) -> Result<Self> {
        Self::groups(members, alone.iter().map(|id| BTreeSet::from([*id])).collect())
    }

    /// Leaves each node the links to its two neighbours, in the order of ids.
    pub fn ring(members: &BTreeSet<u64>) -> Result<Self> {
        if members.len() < 4 {
            return Err(Error::usage(format!(
                "a ring of {} cuts no link: it takes four nodes",
                counted(members.len() as u64, "node", "nodes")
            )));
        }
        let next = members.iter().cycle().skip(1);
        let pairs = members.iter().zip(next).map(|(one, other)| BTreeSet::from([*one, *other]));
        Ok(Self::overlapping(pairs.collect()))
    }

    /// Splits the other nodes into two sides, between which `bridge` is the only way.
    pub fn bridge(members: &BTreeSet<u64>, bridge: u64) -> Result<Self> {
        let others = others(members, bridge)?;
        let (near, far) = others.split_at(others.len() / 2);
        let side = |side: &[u64]| side.iter().copied().chain([bridge]).collect();
        Ok(Self::overlapping(vec![side(near), side(far)]))
    }

    /// Leaves only the links of `hub`, which sees all; the others do not see each other.
    pub fn sees_all(members: &BTreeSet<u64>, hub: u64) -> Result<Self> {
        let pair = |other: u64| BTreeSet::from([hub, other]);
        Ok(Self::overlapping(others(members, hub)?.into_iter().map(pair).collect()))
    }

    /// Lets nodes talk only within these groups, which may share nodes: `1,2,3 | 3,4,5` leaves node 3 as the only way
    /// across, and `1,2 | 2,3 | 3,1` is no partition at all.
    pub fn overlapping(groups: Vec<BTreeSet<u64>>) -> Self {
        Self { groups }
    }

    /// Whether nobody is cut off.
    pub fn is_healed(&self) -> bool {
        self.groups.is_empty()
    }

    /// The peers that `id` is cut off from.
    pub fn blocked(&self, id: u64) -> BTreeSet<u64> {
        let (own, others): (Vec<_>, Vec<_>) = self.groups.iter().partition(|group| group.contains(&id));
        let heard: BTreeSet<u64> = own.into_iter().flatten().copied().collect();
        others.into_iter().flatten().copied().filter(|peer| !heard.contains(peer)).collect()
    }

    /// What each of `members` is cut off from.
    pub fn blocks(&self, members: &BTreeSet<u64>) -> BTreeMap<u64, BTreeSet<u64>> {
        members.iter().map(|id| (*id, self.blocked(*id))).collect()
    }
}

impl fmt::Display for Partition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.groups.iter().map(list).collect();
        f.write_str(if groups.is_empty() { "none" } else { "" })?;
        f.write_str(&groups.join(" | "))
    }
}

/// All but `one`, of which there must be two.
fn others(members: &BTreeSet<u64>, one: u64) -> Result<Vec<u64>> {
    let others: Vec<u64> = members.iter().copied().filter(|id| *id != one).collect();
    if others.len() < 2 {
        return Err(Error::usage("there are no two other nodes to cut off from each other"));
    }
    Ok(others)
}

/// Ids as people list them.
pub(super) fn list<'a>(ids: impl IntoIterator<Item = &'a u64>) -> String {
    ids.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is wrong with a node's disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DiskFault {
    /// Nothing.
    #[default]
    Ok,
    /// Each sync takes so many milliseconds longer.
    Slow(u64),
    /// No sync returns until the fault changes.
    Stall,
    /// Writes and syncs fail.
    Fail,
    /// No file can grow.
    Full,
}

impl From<DiskFault> for wal::DiskFault {
    fn from(fault: DiskFault) -> Self {
        match fault {
            DiskFault::Ok => Self::Ok,
            DiskFault::Slow(ms) => Self::Slow(Duration::from_millis(ms)),
            DiskFault::Stall => Self::Stall,
            DiskFault::Fail => Self::Fail,
            DiskFault::Full => Self::Full,
        }
    }
}

impl fmt::Display for DiskFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Slow(ms) => write!(f, "slow:{ms}"),
            Self::Stall => f.write_str("stall"),
            Self::Fail => f.write_str("fail"),
            Self::Full => f.write_str("full"),
        }
    }
}

impl FromStr for DiskFault {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text {
            "ok" => Ok(Self::Ok),
            "stall" => Ok(Self::Stall),
            "fail" => Ok(Self::Fail),
            "full" => Ok(Self::Full),
            _ => text.strip_prefix("slow:").and_then(|ms| ms.parse().ok()).map(Self::Slow).ok_or_else(|| {
                format!("`{text}` is no disk fault; known are ok, slow:MILLISECONDS, stall, fail, full")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ids: &[u64]) -> BTreeSet<u64> {
        ids.iter().copied().collect()
    }

    #[test]
    fn a_partition_blocks_both_ways_between_groups_and_nowhere_else() {
        let all = set(&[1, 2, 3, 4, 5]);
        let partition = Partition::groups(&all, vec![set(&[1, 2]), set(&[3, 4, 5])]).unwrap();
        assert_eq!(partition.blocked(1), set(&[3, 4, 5]));
        assert_eq!(partition.blocked(4), set(&[1, 2]));
        let blocks = partition.blocks(&all);
        let symmetric = blocks.iter().all(|(id, peers)| peers.iter().all(|peer| blocks[peer].contains(id)));
        assert!(symmetric);
        assert_eq!(partition.to_string(), "1, 2 | 3, 4, 5");
        assert_eq!(Partition::default().to_string(), "none");
    }

    #[test]
    fn a_node_in_two_groups_is_a_bridge_between_them() {
        let bridge = Partition::overlapping(vec![set(&[1, 2, 3]), set(&[3, 4, 5])]);
        assert_eq!(bridge.blocked(1), set(&[4, 5]));
        assert_eq!(bridge.blocked(3), set(&[]));
        let ring = Partition::overlapping((1..=5).map(|id| set(&[id, id % 5 + 1])).collect());
        assert_eq!(ring.blocked(1), set(&[3, 4]));
    }

    #[test]
    fn shapes_leave_the_links_that_their_names_say() {
        let all = set(&[1, 2, 3, 4, 5]);
        let ring = Partition::ring(&all).unwrap();
        assert_eq!([1, 3, 5].map(|id| ring.blocked(id)), [set(&[3, 4]), set(&[1, 5]), set(&[2, 3])]);
        assert_eq!(Partition::bridge(&all, 2).unwrap().to_string(), "1, 2, 3 | 2, 4, 5");
        let hub = Partition::sees_all(&all, 4).unwrap();
        assert_eq!((hub.blocked(4), hub.blocked(1)), (set(&[]), set(&[2, 3, 5])));
        assert_eq!(
            Partition::ring(&set(&[1, 2, 3])).unwrap_err().message,
            "a ring of 3 nodes cuts no link: it takes four nodes"
        );
        assert!(Partition::bridge(&set(&[1, 2]), 1).is_err());
    }

    #[test]
    fn nodes_that_are_not_named_are_a_group_of_their_own() {
        let all = set(&[1, 2, 3, 4, 5]);
        let partition = Partition::groups(&all, vec![set(&[1]), set(&[2])]).unwrap();
        assert_eq!(partition.to_string(), "1 | 2 | 3, 4, 5");
        assert_eq!(Partition::isolate(&all, &set(&[4])).unwrap().to_string(), "4 | 1, 2, 3, 5");
    }

    #[test]
    fn what_is_no_partition_is_refused() {
        let all = set(&[1, 2, 3]);
        let refused = |groups: Vec<BTreeSet<u64>>| Partition::groups(&all, groups).unwrap_err();
        assert!(refused(vec![set(&[1, 7])]).hint.unwrap().contains("1, 2, 3"));
        assert!(refused(vec![set(&[1]), set(&[1, 2])]).message.contains("twice"));
        assert!(refused(vec![set(&[1, 2, 3])]).message.contains("two sides"));
        assert!(refused(vec![]).message.contains("two sides"));
    }

    #[test]
    fn disk_faults_are_written_and_read_alike() {
        for fault in
            [DiskFault::Ok, DiskFault::Slow(3000), DiskFault::Stall, DiskFault::Fail, DiskFault::Full]
        {
            assert_eq!(fault.to_string().parse(), Ok(fault));
        }
        assert!("slow".parse::<DiskFault>().unwrap_err().contains("slow:MILLISECONDS"));
    }
}
