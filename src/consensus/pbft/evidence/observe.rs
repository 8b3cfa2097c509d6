//! The replica looks at everything that it is sent, before anything else does.

use super::super::message::{Checkpoint, Message, NewView, Prepared, Sequence, Signed, Stable, ViewChange};
use super::super::record::Record;
use super::super::replica::{Out, Replica};
use super::book::Entry;
use super::judge::Kind;
use super::memory::hidden;
use super::said::{Evidence, Said};
use crate::consensus::{Event, Lsn, NodeId};

impl Replica {
    /// Notes what a checked message says, and what it contradicts.
    pub(in super::super) fn observe(&mut self, from: NodeId, message: &Message, out: &mut Out) {
        match message {
            Message::PrePrepare { pre_prepare, .. } => self.hear(Said::PrePrepare(*pre_prepare), out),
            Message::Prepare(prepare) => self.hear(Said::Prepare(*prepare), out),
            Message::Commit(commit) => self.hear(Said::Commit(*commit), out),
            Message::Checkpoint(checkpoint) => self.hear_checkpoint(*checkpoint, out),
            Message::Stable(stable) => self.hear_stable(stable, out),
            Message::ViewChange(view_change) => self.hear_view_change(view_change, out),
            Message::NewView(new_view) => self.hear_new_view(new_view, out),
            Message::Evidence(evidence) => self.hold(from, evidence, out),
            Message::Request(_)
            | Message::Reply(_)
            | Message::Disputed(_)
            | Message::Status(_)
            | Message::FetchBatch(_)
            | Message::Batch { .. }
            | Message::FetchState(_)
            | Message::State(_) => {}
        }
    }

    /// A slot prepared here: whoever sent a COMMIT for something else there lied.
    pub(in super::super) fn observe_certificate(&mut self, certificate: &Prepared, out: &mut Out) {
        for evidence in self.memory.certificate(certificate, self.view) {
            self.hold(self.id, &evidence, out);
        }
    }

    /// Whether what is said about a number is remembered.
    fn remembers(&self, sequence: Sequence) -> bool {
        self.horizon() < sequence && sequence <= self.high_water_mark()
    }

    fn hear(&mut self, said: Said, out: &mut Out) {
        let Some(vote) = said.vote() else { return };
        if vote.replica == self.id || !self.remembers(vote.sequence) {
            return;
        }
        if matches!(said, Said::Commit(_)) && self.evidence.wants(vote.replica, Kind::Hidden) {
            let evidence = self.view_changes_of(vote.replica).find_map(|later| hidden(&said, later));
            if let Some(evidence) = evidence {
                self.hold(self.id, &evidence, out);
            }
        }
        if let Some(evidence) = self.memory.vote(said, self.view) {
            self.hold(self.id, &evidence, out);
        }
    }

    /// The VIEW-CHANGEs of a replica that are kept.
    fn view_changes_of(&self, id: NodeId) -> impl Iterator<Item = &Signed<ViewChange>> + '_ {
        let installed = self.new_view.iter().flat_map(|(new_view, _)| &new_view.body.view_changes);
        self.view_changes
            .all_of(id)
            .chain(installed.filter(move |view_change| view_change.body.replica == id))
    }

    fn hear_checkpoint(&mut self, checkpoint: Signed<Checkpoint>, out: &mut Out) {
        let Checkpoint { sequence, replica, .. } = checkpoint.body;
        if replica == self.id || !self.remembers(sequence) {
            return;
        }
        if let Some(evidence) = self.memory.checkpoint(checkpoint) {
            self.hold(self.id, &evidence, out);
        }
    }

    fn hear_stable(&mut self, stable: &Stable, out: &mut Out) {
        stable.checkpoints.iter().for_each(|checkpoint| self.hear_checkpoint(*checkpoint, out));
    }

    fn hear_certificate(&mut self, certificate: &Prepared, out: &mut Out) {
        if !self.remembers(certificate.sequence()) || self.memory.knows(certificate) {
            return;
        }
        self.hear(Said::PrePrepare(certificate.pre_prepare), out);
        certificate.prepares.iter().for_each(|prepare| self.hear(Said::Prepare(*prepare), out));
        self.observe_certificate(certificate, out);
    }

    fn hear_view_change(&mut self, view_change: &Signed<ViewChange>, out: &mut Out) {
        let said = &view_change.body;
        self.hear_stable(&said.stable, out);
        said.prepared.iter().for_each(|certificate| self.hear_certificate(certificate, out));
        if said.replica == self.id {
            return;
        }
        let mut kept = self.view_changes_of(said.replica);
        let other = kept.find(|kept| kept.body.view == said.view && kept.body != *said).cloned();
        drop(kept);
        if let Some(other) = other {
            let boxed = |signed: Signed<ViewChange>| Said::ViewChange(Box::new(signed));
            let evidence = Evidence::pair(boxed(other), boxed(view_change.clone()));
            self.hold(self.id, &evidence, out);
        }
        if self.evidence.wants(said.replica, Kind::Hidden)
            && let Some(evidence) = self.memory.hidden_by(view_change)
        {
            self.hold(self.id, &evidence, out);
        }
    }

    fn hear_new_view(&mut self, new_view: &Signed<NewView>, out: &mut Out) {
        let said = &new_view.body;
        said.view_changes.iter().for_each(|view_change| self.hear_view_change(view_change, out));
        said.pre_prepares.iter().for_each(|pre_prepare| self.hear(Said::PrePrepare(*pre_prepare), out));
        let kept = self.new_view.as_ref().map(|(kept, _)| kept).filter(|kept| kept.body.view == said.view);
        if let Some(kept) = kept.filter(|kept| kept.body != *said && said.replica != self.id) {
            let boxed = |signed: &Signed<NewView>| Said::NewView(Box::new(signed.clone()));
            let evidence = Evidence::pair(boxed(kept), boxed(new_view));
            self.hold(self.id, &evidence, out);
        }
    }

    /// Keeps a piece, on disk as well, and tells the others if it is the first against its culprit.
    fn hold(&mut self, from: NodeId, evidence: &Evidence, out: &mut Out) {
        let own = evidence.said().iter().find_map(Said::signer) == Some(self.id);
        if own {
            return; // By its own twin, if that is possible. It has no say in that.
        }
        let entry = match self.evidence.enter(evidence) {
            Ok(entry) => entry,
            Err(why) => return out.trace.push(Event::Ignored { from, kind: "Evidence", why }),
        };
        let (first, charge) = match entry {
            Entry::First(charge) => (true, charge),
            Entry::Kept(charge) => (false, charge),
            Entry::Known => return,
        };
        out.trace.push(Event::Convicted { liar: charge.accused, from, what: charge.what });
        // On a full disk it waits for the next time that the log is cut.
        if !self.disk.pressure().is_full() {
            self.write_evidence(evidence, out);
        }
        if first {
            self.broadcast(&Message::Evidence(evidence.clone()), Lsn::ZERO, out);
        }
    }

    /// A record for each statement: together they might be larger than what a log takes at once.
    fn write_evidence(&mut self, evidence: &Evidence, out: &mut Out) {
        let last = evidence.said().len() - 1;
        for (number, said) in evidence.said().iter().enumerate() {
            self.write(Record::Evidence { said: said.clone(), more: number < last }, out);
        }
    }

    /// Writes everything anew, behind the end of what the log keeps.
    pub(in super::super) fn write_all_evidence(&mut self, out: &mut Out) {
        let all: Vec<Evidence> = self.evidence.all().cloned().collect();
        for evidence in &all {
            self.write_evidence(evidence, out);
        }
    }
}
