//! Whoever lies, floods, dawdles or leaves requests out: what a replica does about it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::message::View;
use super::super::replica::Replica;
use crate::consensus::{NodeId, Time};
use crate::sim::{Checked, Violation};

/// The request that each replica has waited for longest, timed here once more.
#[derive(Debug, Default)]
pub(super) struct Defences {
    waits: BTreeMap<NodeId, Wait>,
}

#[derive(Clone, Copy, Debug)]
struct Wait {
    view: View,
    ticket: u64,
    since: Time,
    /// The longest that the replica has been ready to wait meanwhile.
    patience: Duration,
}

impl Defences {
    /// After a step: queues keep to their limits, and no replica stays with a primary that it knows to be slow, or that
    /// leaves out a request for as long as the timer, whatever else it orders meanwhile.
    pub(super) fn stepped(&mut self, node: NodeId, replica: &Replica) -> Checked {
        if replica.is_overfull() {
            return Err(Violation::new("queues-bounded", format!("node {node} keeps too many requests")));
        }
        if replica.is_primary_slow() {
            let detail = format!("node {node} stays in a view whose primary it knows to be slow");
            return Err(Violation::new("slow-primaries-left", detail));
        }
        if replica.has_convicted_primary() {
            let detail = format!("node {node} stays in a view whose primary it convicts");
            return Err(Violation::new("convicted-primaries-left", detail));
        }
        self.time(node, replica)
    }

    fn time(&mut self, node: NodeId, replica: &Replica) -> Checked {
        let Some((ticket, patience)) = replica.timed_request() else {
            self.waits.remove(&node);
            return Ok(());
        };
        let fresh = Wait { view: replica.view, ticket, since: replica.now, patience };
        let wait = self.waits.entry(node).or_insert(fresh);
        if (wait.view, wait.ticket) != (fresh.view, fresh.ticket) {
            *wait = fresh;
        }
        wait.patience = wait.patience.max(patience);
        let waited = replica.now.since(wait.since);
        if waited <= wait.patience {
            return Ok(());
        }
        let detail = format!(
            "node {node} stays in view {} and has waited {waited:?} for a request, where it would wait {:?}",
            wait.view, wait.patience
        );
        Err(Violation::new("requests-time-out", detail))
    }

    /// What the replica waited for in its earlier life is forgotten.
    pub(super) fn restarted(&mut self, node: NodeId) {
        self.waits.remove(&node);
    }
}
