//! What is executed: the same everywhere, what clients sent, and once.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;

use crate::consensus::{Committed, Index, NodeId, Outcome, Proposal, RequestId};
use crate::sim::{Checked, Fingerprint, Violation};

/// What clients sent, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Execution {
    /// What the clients of honest replicas want, by its fingerprint.
    sent: BTreeMap<RequestId, u64>,
    /// By index: the first replica that committed it, and the fingerprint of what it committed.
    committed: BTreeMap<Index, (NodeId, u64)>,
    /// What the stores answered: executing something a second time gives another answer.
    answered: BTreeMap<RequestId, (NodeId, Bytes)>,
}

impl Execution {
    pub(super) fn sent(&mut self, proposals: &[Proposal]) {
        self.sent.extend(proposals.iter().map(|proposal| (proposal.id, print(proposal))));
    }

    /// No two honest replicas commit different batches at a sequence number.
    pub(super) fn agreement(&mut self, node: NodeId, slot: &Committed) -> Checked {
        let mut found = Fingerprint::default();
        slot.proposals.iter().for_each(|proposal| found.mix(print(proposal)));
        let (first, known) = *self.committed.entry(slot.index).or_insert((node, found.value()));
        if known == found.value() {
            return Ok(());
        }
        let detail =
            format!("nodes {first} and {node} commit different batches at sequence number {}", slot.index);
        Err(Violation::new("agreement", detail))
    }

    /// Nothing is executed that no client sent. What a liar sends as a client is its own affair.
    pub(super) fn validity(
        &self,
        node: NodeId,
        slot: &Committed,
        honest: impl Fn(NodeId) -> bool,
    ) -> Checked {
        let invented = |proposal: &&Proposal| {
            honest(proposal.id.origin) && self.sent.get(&proposal.id) != Some(&print(proposal))
        };
        let Some(proposal) = slot.proposals.iter().find(invented) else { return Ok(()) };
        let id = proposal.id;
        let detail = format!("node {node} executes {id} at {}, which its client did not send so", slot.index);
        Err(Violation::new("validity", detail))
    }

    /// A request is executed once: each time that it is answered, the answer is the same.
    pub(super) fn answered(&mut self, node: NodeId, outcomes: &[(RequestId, Outcome)]) -> Checked {
        for (id, outcome) in outcomes {
            let Outcome::Answered(answer) = outcome else { continue };
            match self.answered.entry(*id) {
                Entry::Vacant(entry) => {
                    entry.insert((node, answer.clone()));
                }
                Entry::Occupied(entry) if entry.get().1 == *answer => {}
                Entry::Occupied(entry) => {
                    let detail = format!(
                        "node {node} answers {id} otherwise than node {} did: it was executed twice",
                        entry.get().0
                    );
                    return Err(Violation::new("at-most-once", detail));
                }
            }
        }
        Ok(())
    }
}

fn print(proposal: &Proposal) -> u64 {
    let mut print = Fingerprint::default();
    // Not its time: a client may put it anew into a request.
    print.mix(proposal.id.origin.0);
    print.mix(proposal.id.incarnation);
    print.mix(proposal.id.counter);
    print.bytes(&proposal.command);
    print.value()
}
