//! What others said, as long as it can matter: so that a second, different word is noticed.

use std::collections::BTreeMap;

use super::super::message::{Checkpoint, Commit, Prepared, Sequence, Signed, View, ViewChange};
use super::judge::hides;
use super::said::{Evidence, Said};
use crate::consensus::NodeId;

/// In how many views a replica's votes about one number, and certificates for it, are remembered: the current one, those
/// of view changes that follow each other, and one for who is ahead. Who says more pushes out what it said itself.
pub(in super::super) const VIEWS_OF_EACH: usize = 4;

/// What was said about the numbers of a window that the caller moves.
#[derive(Debug, Default)]
pub(in super::super) struct Memory {
    slots: BTreeMap<Sequence, Slot>,
    checkpoints: BTreeMap<(Sequence, NodeId), Signed<Checkpoint>>,
}

#[derive(Debug, Default)]
struct Slot {
    /// PRE-PREPARE, PREPARE and COMMIT of each replica, the first of each.
    votes: BTreeMap<NodeId, BTreeMap<View, Vec<Said>>>,
    certificates: BTreeMap<View, Prepared>,
}

impl Memory {
    /// Everything up to there can be forgotten.
    pub(in super::super) fn forget(&mut self, floor: Sequence) {
        self.slots = self.slots.split_off(&floor.next());
        self.checkpoints = self.checkpoints.split_off(&(floor.next(), NodeId(0)));
    }

    /// Takes a PRE-PREPARE, PREPARE or COMMIT, and says what it contradicts. `now` is the view of this replica.
    pub(super) fn vote(&mut self, said: Said, now: View) -> Option<Evidence> {
        let vote = said.vote()?;
        let slot = self.slots.entry(vote.sequence).or_default();
        let of = slot.votes.entry(vote.replica).or_default();
        let kept = of.entry(vote.view).or_default();
        let other = kept.iter().find(|kept| kept.vote().is_some_and(|kept| kept.digest != vote.digest));
        if let Some(other) = other {
            return Some(Evidence::pair(other.clone(), said));
        }
        let uncertified =
            slot.certificates.get(&vote.view).and_then(|certificate| against(&said, certificate));
        if kept.iter().all(|kept| kept.kind() != said.kind()) {
            kept.push(said);
        }
        make_room(of, now);
        uncertified
    }

    /// Takes a certificate, whose votes were taken, and says which COMMITs it contradicts.
    pub(super) fn certificate(&mut self, certificate: &Prepared, now: View) -> Vec<Evidence> {
        let slot = self.slots.entry(certificate.sequence()).or_default();
        let (view, known) = (certificate.view(), &mut slot.certificates);
        if known.contains_key(&view) {
            return Vec::new(); // Of another digest: its signers are convicted by their votes.
        }
        known.insert(view, certificate.clone());
        make_room(known, now);
        let said = slot.votes.values().filter_map(|of| of.get(&view)).flatten();
        said.filter_map(|said| against(said, certificate)).collect()
    }

    /// Whether this certificate is known, so that its votes are.
    pub(super) fn knows(&self, certificate: &Prepared) -> bool {
        let slot = self.slots.get(&certificate.sequence());
        slot.and_then(|slot| slot.certificates.get(&certificate.view())) == Some(certificate)
    }

    /// Takes a CHECKPOINT, and says what it contradicts.
    pub(super) fn checkpoint(&mut self, said: Signed<Checkpoint>) -> Option<Evidence> {
        let key = (said.body.sequence, said.body.replica);
        let kept = *self.checkpoints.entry(key).or_insert(said);
        let differs = kept.body.digest != said.body.digest;
        differs.then(|| Evidence::pair(Said::Checkpoint(kept), Said::Checkpoint(said)))
    }

    /// The COMMIT that a VIEW-CHANGE should have told of, if there is one.
    pub(super) fn hidden_by(&self, view_change: &Signed<ViewChange>) -> Option<Evidence> {
        let said = &view_change.body;
        let above = self.slots.range(said.stable.sequence().next()..);
        let earlier = above.filter_map(|(_, slot)| slot.votes.get(&said.replica));
        let mut said_before = earlier.flat_map(|of| of.range(..said.view)).flat_map(|(_, said)| said);
        said_before.find_map(|before| hidden(before, view_change))
    }
}

/// The evidence that a COMMIT and a VIEW-CHANGE make, if they do.
pub(super) fn hidden(said: &Said, view_change: &Signed<ViewChange>) -> Option<Evidence> {
    let Said::Commit(Signed { body, .. }) = said else { return None };
    let pair = || Evidence::pair(said.clone(), Said::ViewChange(Box::new(view_change.clone())));
    hides(body, &view_change.body).then(pair)
}

/// The evidence that a COMMIT and a certificate of its view and number make, if they do.
fn against(said: &Said, certificate: &Prepared) -> Option<Evidence> {
    let Said::Commit(Signed { body: Commit { digest, .. }, .. }) = said else { return None };
    let pair = || Evidence::pair(said.clone(), Said::Certificate(certificate.clone()));
    (*digest != certificate.digest()).then(pair)
}

/// Forgets a view if there are too many: the furthest ahead, which may be made up, or else the oldest.
fn make_room<T>(of: &mut BTreeMap<View, T>, now: View) {
    if of.len() <= VIEWS_OF_EACH {
        return;
    }
    let ahead = of.last_key_value().is_some_and(|(view, _)| *view > now.next());
    if ahead {
        of.pop_last()
    } else {
        of.pop_first()
    };
}
