//! How many replicas it takes for what.

use std::sync::Arc;

use super::message::View;
use crate::consensus::NodeId;

/// The members and the thresholds that follow from their number. Cheap to clone.
///
/// 1. Two quorums have an honest replica in common: what one decided the other cannot contradict.
/// 2. When f replicas are silent, a quorum is left: nobody has to be waited for.
/// 3. Of f + 1 replicas one is honest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quorum {
    members: Arc<[NodeId]>,
}

impl Quorum {
    /// `members` in ascending order of ids, at least one.
    pub fn new(members: &[NodeId]) -> Self {
        assert!(!members.is_empty(), "a cluster has members");
        assert!(members.is_sorted_by(|a, b| a < b), "members are in ascending order, each once");
        Self { members: members.into() }
    }

    /// Everybody, in ascending order.
    pub fn members(&self) -> &[NodeId] {
        &self.members
    }

    /// Whether `id` is a member.
    pub fn contains(&self, id: NodeId) -> bool {
        self.members.binary_search(&id).is_ok()
    }

    /// n: how many replicas there are.
    pub fn n(&self) -> usize {
        self.members.len()
    }

    /// f: how many of them may be faulty.
    pub fn f(&self) -> usize {
        (self.n() - 1) / 3
    }

    /// Q: a quorum, which is 2f + 1 when n is 3f + 1.
    pub fn quorum(&self) -> usize {
        (self.n() + self.f() + 1).div_ceil(2)
    }

    /// f + 1: one honest replica is among them.
    pub fn weak(&self) -> usize {
        self.f() + 1
    }

    /// The primary of a view (TOCS §4.1).
    pub fn primary(&self, view: View) -> NodeId {
        self.members[(view.0 % self.n() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(n: u64) -> Quorum {
        let members: Vec<NodeId> = (1..=n).map(NodeId).collect();
        Quorum::new(&members)
    }

    #[test]
    fn thresholds_of_one_to_thirteen_replicas() {
        let wanted = [
            (1, 0, 1),
            (2, 0, 2),
            (3, 0, 2),
            (4, 1, 3),
            (5, 1, 4),
            (6, 1, 4),
            (7, 2, 5),
            (8, 2, 6),
            (9, 2, 6),
            (10, 3, 7),
            (11, 3, 8),
            (12, 3, 8),
            (13, 4, 9),
        ];
        for (n, f, quorum) in wanted {
            let of = of(n);
            assert_eq!((of.n() as u64, of.f(), of.quorum(), of.weak()), (n, f, quorum, f + 1), "n = {n}");
        }
    }

    #[test]
    fn quorums_meet_in_an_honest_replica_and_one_is_left_when_f_are_silent() {
        for n in 4..=100 {
            let of = of(n);
            let common = 2 * of.quorum() - of.n();
            assert!(common > of.f(), "n = {n}: {common} in common may all be faulty");
            assert!(of.n() - of.f() >= of.quorum(), "n = {n}: a quorum waits for a silent replica");
            assert!(of.quorum() - of.f() >= of.weak(), "n = {n}: a quorum lacks f + 1 honest ones");
        }
    }

    #[test]
    fn the_primary_goes_round() {
        let members = Quorum::new(&[2, 3, 5, 8].map(NodeId));
        let primaries: Vec<u64> = (0..6).map(|view| members.primary(View(view)).0).collect();
        assert_eq!(primaries, [2, 3, 5, 8, 2, 3]);
        assert_eq!(members.primary(View(u64::MAX)).0, 8);
        assert!(members.contains(NodeId(5)) && !members.contains(NodeId(4)));
    }
}
