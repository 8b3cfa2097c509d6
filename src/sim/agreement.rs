//! The invariants that hold whatever the protocol: of the order, of the stores, of record numbers.
//!
//! What was agreed on is also the witness of the order in which the clients' writes were executed.

use std::collections::BTreeMap;

use super::simulated::{Checked, Violation};
use crate::check::Witness;
use crate::consensus::{Committed, Decode, Digest, Epoch, Index, NodeId, Proposal};
use crate::kv::{Answered, Command, Retention, Store};

/// What all nodes have agreed on so far, as the first of them said.
#[derive(Debug, Default)]
pub(super) struct Agreement {
    /// By index, from 1.
    slots: Vec<(Epoch, u64, NodeId)>,
    /// The slots themselves.
    order: Vec<Committed>,
    /// The store's revision after each slot, zero where nobody looked.
    revisions: Vec<(i64, NodeId)>,
    digests: BTreeMap<Index, (Digest, NodeId)>,
    pub(super) compared: u64,
}

impl Agreement {
    /// State machine safety: no two nodes execute different slots at one index.
    pub(super) fn slot(&mut self, node: NodeId, slot: &Committed) -> Checked {
        let found = (slot.epoch, Fingerprint::of(&slot.proposals).value());
        let position = slot.index.prev().0 as usize;
        match self.slots.get(position) {
            Some((epoch, print, _)) if (*epoch, *print) == found => Ok(()),
            Some((epoch, _, first)) => Err(Violation::new(
                "state-machine-safety",
                format!(
                    "at index {} node {node} executes a slot of epoch {}, node {first} had executed another one, of \
                     epoch {epoch}",
                    slot.index, slot.epoch
                ),
            )),
            None if position == self.slots.len() => {
                self.slots.push((found.0, found.1, node));
                self.order.push(slot.clone());
                Ok(())
            }
            None => Err(Violation::new(
                "order-without-gaps",
                format!(
                    "node {node} executes index {}, but nobody executed index {}",
                    slot.index,
                    self.slots.len() + 1
                ),
            )),
        }
    }

    /// The last index that any node has executed or is about to.
    pub(super) fn last(&self) -> Index {
        Index(self.slots.len() as u64)
    }

    /// Who made which revision: the agreed slots, executed once more.
    pub(super) fn witness(&self, retention: Retention) -> Witness {
        let mut witness = Witness::default();
        let mut store = Store::keeping(retention);
        for slot in &self.order {
            let answers = store.apply(slot);
            for (proposal, (_, answered)) in slot.proposals.iter().zip(answers) {
                if let (Answered::Now { reply: Ok(response), .. }, Ok(command)) =
                    (answered, Command::from_bytes(proposal.command.clone()))
                {
                    witness.executed(command.op, &response);
                }
            }
        }
        witness
    }

    /// A read sees all that was committed when it was asked for: its point is not below that.
    pub(super) fn read_point(node: NodeId, at: Index, committed: Index) -> Checked {
        if at >= committed {
            return Ok(());
        }
        Err(Violation::new(
            "read-points-are-fresh",
            format!("node {node} reads at index {at}, though {committed} was committed when it was asked to"),
        ))
    }

    /// Equal states at equal index, by their revision: cheap enough for every slot.
    pub(super) fn revision(&mut self, node: NodeId, applied: Index, revision: i64) -> Checked {
        let position = applied.0 as usize;
        if self.revisions.len() <= position {
            self.revisions.resize(position + 1, (0, NodeId::ZERO));
        }
        let (known, first) = self.revisions[position];
        if known == 0 {
            self.revisions[position] = (revision, node);
        } else if known != revision {
            return Err(Violation::new(
                "equal-states",
                format!(
                    "after index {applied} node {node} is at revision {revision}, node {first} at {known}"
                ),
            ));
        }
        Ok(())
    }

    /// Equal states at equal index, by the digest of everything.
    pub(super) fn digest(&mut self, node: NodeId, index: Index, digest: Digest) -> Checked {
        let (known, first) = *self.digests.entry(index).or_insert((digest, node));
        self.compared += u64::from(first != node);
        if known == digest {
            return Ok(());
        }
        Err(Violation::new(
            "equal-states",
            format!(
                "after index {index} node {node} has the digest {}, node {first} has {}",
                digest.short(),
                known.short()
            ),
        ))
    }
}

/// A number that differs, as good as always, when what was mixed into it differs. The same on every machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fingerprint(pub(super) u64);

impl Fingerprint {
    fn of(proposals: &[Proposal]) -> Self {
        let mut print = Self::default();
        for proposal in proposals {
            print.proposal(proposal);
        }
        print
    }

    /// The number.
    pub fn value(self) -> u64 {
        self.0
    }

    /// Mixes a proposal in: its name, its time and its command.
    pub fn proposal(&mut self, proposal: &Proposal) {
        self.mix(proposal.id.origin.0);
        self.mix(proposal.id.incarnation);
        self.mix(proposal.id.counter);
        self.mix(proposal.time.0);
        self.bytes(&proposal.command);
    }

    /// Mixes a number in.
    pub fn mix(&mut self, value: u64) {
        // The finalizer of SplitMix64.
        let mut z = self.0.rotate_left(5) ^ value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.0 = z ^ (z >> 31);
    }

    /// Mixes bytes in.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.mix(bytes.len() as u64);
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consensus::{RequestId, WallTime};

    fn slot(index: u64, command: &'static [u8]) -> Committed {
        let id = RequestId { origin: NodeId(1), incarnation: 1, counter: 1 };
        let proposal = Proposal { id, time: WallTime(0), command: command.into() };
        Committed { index: Index(index), epoch: Epoch(1), proposals: vec![proposal] }
    }

    #[test]
    fn different_slots_at_one_index_are_told() {
        let mut agreement = Agreement::default();
        agreement.slot(NodeId(1), &slot(1, b"put a")).unwrap();
        agreement.slot(NodeId(2), &slot(1, b"put a")).unwrap();
        let violation = agreement.slot(NodeId(3), &slot(1, b"put b")).unwrap_err();
        assert_eq!(violation.invariant, "state-machine-safety");
        assert_eq!(agreement.slot(NodeId(1), &slot(3, b"")).unwrap_err().invariant, "order-without-gaps");
        assert_eq!(agreement.last(), Index(1));
    }

    #[test]
    fn a_read_at_less_than_was_committed_is_told() {
        Agreement::read_point(NodeId(1), Index(4), Index(4)).unwrap();
        let violation = Agreement::read_point(NodeId(1), Index(3), Index(4)).unwrap_err();
        assert_eq!(violation.invariant, "read-points-are-fresh");
    }

    #[test]
    fn different_states_at_one_index_are_told() {
        let mut agreement = Agreement::default();
        agreement.revision(NodeId(1), Index(4), 9).unwrap();
        assert_eq!(agreement.revision(NodeId(2), Index(4), 8).unwrap_err().invariant, "equal-states");
        agreement.digest(NodeId(1), Index(4), Digest([1; 32])).unwrap();
        assert_eq!(
            agreement.digest(NodeId(2), Index(4), Digest([2; 32])).unwrap_err().invariant,
            "equal-states"
        );
        assert_eq!(agreement.compared, 1);
    }
}
