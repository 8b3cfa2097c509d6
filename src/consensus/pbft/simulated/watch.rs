//! [`PbftWatch`]: what it hears, and who judges it.

use std::collections::{BTreeMap, BTreeSet};

use super::super::Pbft;
use super::super::message::{Message, View};
use super::super::record::Record;
use super::accusations::Accusations;
use super::certificates::{Certificates, Thresholds};
use super::defences::Defences;
use super::execution::Execution;
use super::promises::{Fact, Promises};
use crate::consensus::{Committed, Lsn, NodeId, Outcome, Proposal, RequestId, SnapshotMeta};
use crate::sim::{Checked, Violation, Watch};

/// Watches PBFT's invariants over all honest replicas.
#[derive(Debug)]
pub struct PbftWatch {
    liars: BTreeSet<NodeId>,
    /// More lie than are tolerated: nothing but agreement is looked at, to see it break.
    outside: bool,
    promises: Promises,
    certificates: Certificates,
    execution: Execution,
    accusations: Accusations,
    defences: Defences,
    /// The view of each replica as it was after the last step.
    views: BTreeMap<NodeId, View>,
    /// All views that an honest replica entered.
    entered: BTreeSet<View>,
}

impl PbftWatch {
    fn judge(&mut self, node: NodeId, record: &Record) -> Checked {
        match record {
            Record::Prepared(prepared) => self.certificates.certificate(node, prepared, &self.promises),
            Record::Committed { sequence, digest, .. } => {
                self.certificates.committed(node, *sequence, *digest)
            }
            Record::Stable(stable) => self.certificates.stable(node, stable, &self.promises),
            Record::ViewChange(signed) => Certificates::tells_all(node, &signed.body, &self.promises),
            Record::NewView(signed) => {
                self.entered.insert(signed.body.view);
                self.certificates.new_view(node, &signed.body, &self.promises)
            }
            Record::PrePrepare { .. } | Record::Checkpoint(_) | Record::Evidence { .. } => Ok(()),
        }
    }
}

impl Watch<Pbft> for PbftWatch {
    fn new(members: &[NodeId], liars: &[NodeId]) -> Self {
        Self {
            outside: liars.len() > Thresholds::of(members.len()).f,
            liars: liars.iter().copied().collect(),
            promises: Promises::default(),
            certificates: Certificates::new(members, liars),
            execution: Execution::default(),
            accusations: Accusations::new(liars),
            defences: Defences::default(),
            views: BTreeMap::new(),
            entered: BTreeSet::new(),
        }
    }

    fn wrote(&mut self, node: NodeId, lsn: Lsn, record: Record) -> Checked {
        if self.outside {
            return Ok(());
        }
        let Some(fact) = Fact::of(&record) else {
            self.accusations.wrote(node, lsn, &record);
            return Ok(());
        };
        let is_new = self.promises.wrote(node, lsn, fact)?;
        if let Record::NewView(signed) = &record
            && signed.body.replica == node
        {
            // Its PRE-PREPAREs are in it: the primary stands by them from then on.
            for again in &signed.body.pre_prepares {
                self.promises.wrote(node, lsn, Fact::accepted(&again.body))?;
            }
        }
        if is_new { self.judge(node, &record) } else { Ok(()) }
    }

    fn durable(&mut self, node: NodeId, up_to: Lsn) -> Checked {
        self.accusations.durable(node, up_to);
        for fact in self.promises.durable(node, up_to) {
            if let Fact::Prepared(view, sequence, digest) = fact {
                self.certificates.durable(node, view, sequence, digest)?;
            }
        }
        Ok(())
    }

    fn snapshot(&mut self, node: NodeId, meta: &SnapshotMeta) {
        self.promises.snapshot(node, meta.index.into());
    }

    fn sent(&mut self, node: NodeId, _: NodeId, message: &Message) -> Checked {
        if self.outside { Ok(()) } else { self.promises.sent(node, message) }
    }

    fn committed(&mut self, node: NodeId, slot: &Committed) -> Checked {
        self.execution.agreement(node, slot)?;
        if !self.outside {
            self.promises.executes(node, slot.index)?;
        }
        self.execution.validity(node, slot, |origin| !self.liars.contains(&origin))
    }

    fn arrived(&mut self, node: NodeId, message: &Message) {
        self.accusations.arrived(node, message);
    }

    fn proposed(&mut self, _: NodeId, proposals: &[Proposal]) {
        self.execution.sent(proposals);
    }

    fn executed(&mut self, node: NodeId, outcomes: &[(RequestId, Outcome)]) -> Checked {
        if self.outside { Ok(()) } else { self.execution.answered(node, outcomes) }
    }

    fn struck(&mut self, node: NodeId) {
        self.promises.struck(node);
    }

    fn stepped(&mut self, node: NodeId, replica: &Pbft) -> Checked {
        if !self.outside {
            self.accusations.stepped(node, replica.replica())?;
        }
        self.defences.stepped(node, replica.replica())?;
        let view = replica.view();
        let before = self.views.insert(node, view).unwrap_or_default();
        if view >= before {
            return Ok(());
        }
        Err(Violation::new("views-monotonic", format!("node {node} goes from view {before} back to {view}")))
    }

    fn found(&mut self, node: NodeId, up_to: Lsn) -> Checked {
        self.durable(node, up_to)
    }

    /// What its disk knew of views it knows again.
    fn restarted(&mut self, node: NodeId, replica: &Pbft, snapshot: Option<&SnapshotMeta>) -> Checked {
        if let Some(meta) = snapshot {
            self.snapshot(node, meta);
        }
        self.promises.restarted(node);
        self.defences.restarted(node);
        let (known, view) = (self.promises.view(node), replica.view());
        self.views.insert(node, view);
        if self.outside {
            return Ok(());
        }
        self.accusations.restarted(node, replica.replica())?;
        if view >= known {
            return Ok(());
        }
        let detail = format!("node {node} starts again in view {view}, and its disk knew view {known}");
        Err(Violation::new("views-monotonic", detail))
    }

    fn elections(&self) -> u64 {
        self.entered.len() as u64
    }
}
