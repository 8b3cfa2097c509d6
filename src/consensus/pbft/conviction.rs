//! What follows from proof: a primary that is convicted is left.
//!
//! Without that, one that lies about a few numbers and orders the others well would stay: requests are ordered in time,
//! and no timer runs out. A replica that holds evidence against the primary of its view asks for the next view whose
//! primary is not convicted, also while it still waits for a NEW-VIEW.
//!
//! # Invariants
//!
//! 1. No replica is in, or waits for, a view whose primary it convicts, as long as it convicts f at most. With more,
//!    nothing is promised, and views must not follow each other for ever. While its disk is so far behind that no word
//!    of it could leave, it waits for that.
//! 2. It spreads. Evidence is told to everybody when it is found; whoever shows by its STATUS that it is still in a view
//!    of a convicted primary is sent the evidence again. f + 1 VIEW-CHANGEs take along who does not hold it.
//!
//! Neither its votes nor its VIEW-CHANGEs are refused: quorums count it as one of the f that may lie, and a replica
//! that was repaired is of use.

use super::message::{Message, View};
use super::replica::{Out, Replica};
use crate::consensus::{Lsn, NodeId};

impl Replica {
    /// Whether this replica knows better than to have the primary of that view.
    fn rejects_primary_of(&self, view: View) -> bool {
        self.evidence.convicts(self.quorum.primary(view)) && self.convicted().count() <= self.quorum.f()
    }

    /// Whether the primary of the view that it is in, or waits for, is one that it convicts; for whoever watches as well.
    pub(super) fn has_convicted_primary(&self) -> bool {
        self.rejects_primary_of(self.view) && !self.disk.is_behind()
    }

    /// Asks for another primary than a convicted one.
    pub(super) fn leave_convicted_primary(&mut self, out: &mut Out) {
        if !self.has_convicted_primary() {
            return;
        }
        let mut view = self.view.next();
        while self.rejects_primary_of(view) {
            view = view.next();
        }
        self.start_view_change(view, "the primary is convicted", out);
    }

    /// Whoever stays with a convicted primary lacks the proof.
    pub(super) fn help_with_evidence(&self, from: NodeId, view: View, out: &mut Out) {
        let primary = self.quorum.primary(view);
        if primary != from
            && self.rejects_primary_of(view)
            && let Some(evidence) = self.evidence.first_against(primary)
        {
            self.send(from, Message::Evidence(evidence.clone()), Lsn::ZERO, out);
        }
    }
}
