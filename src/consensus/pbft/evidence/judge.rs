//! Whether a piece proves anything, and against whom: a pure function of its bytes, the members and their keys.

use super::super::certificate::{are_distinct_members, require};
use super::super::message::{Commit, NewView, Prepared, Sequence, Signed, View, ViewChange};
use super::super::numbers::NUMBERS_END;
use super::super::quorum::Quorum;
use super::super::signing::Verifier;
use super::said::{Evidence, Said};
use crate::consensus::{Encode as _, NodeId};

/// What is proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Charge {
    /// Against whom.
    pub(in super::super) accused: NodeId,
    pub(in super::super) kind: Kind,
    /// The view in which it is about a number, or that it is about; zero for CHECKPOINTs.
    pub(in super::super) view: View,
    /// The number that it is about; zero for changes of view.
    pub(in super::super) sequence: Sequence,
    /// In words, without the accused.
    pub(in super::super) what: String,
}

/// Kinds of contradictions: see [the module](super).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in super::super) enum Kind {
    Votes,
    Checkpoints,
    ViewChanges,
    NewViews,
    Hidden,
    FalseProofs,
    WrongNewView,
    Uncertified,
}

impl Kind {
    /// Whether it proves something only if at most f replicas lie.
    pub(in super::super) fn rests_on_the_fault_model(self) -> bool {
        self == Self::Uncertified
    }
}

impl Evidence {
    /// What this proves, if it does: from the messages and the keys alone.
    pub(in super::super) fn judge(
        &self,
        quorum: &Quorum,
        verifier: &Verifier,
    ) -> Result<Charge, &'static str> {
        let charge = match self.said() {
            [Said::ViewChange(signed)] => false_proofs(signed, quorum, verifier)?,
            [Said::NewView(signed)] => wrong_new_view(signed, quorum, verifier)?,
            [one, other] => {
                require(one.to_bytes() < other.to_bytes(), "its statements are not in their order")?;
                contradiction(one, other, quorum)?
            }
            _ => return Err("one statement of this kind proves nothing"),
        };
        require(quorum.contains(charge.accused), "whom it accuses is no member")?;
        let signed = self.said().iter().all(|said| said.verify(verifier));
        require(signed, "a signature does not hold")?;
        Ok(charge)
    }
}

impl Evidence {
    /// What two statements say, signatures aside; of one alone that shows with the signatures in it.
    pub(super) fn content(&self, quorum: &Quorum) -> Option<Charge> {
        let [one, other] = self.said() else { return None };
        contradiction(one, other, quorum).ok()
    }
}

const NOTHING: &str = "its statements do not contradict each other";

fn contradiction(one: &Said, other: &Said, quorum: &Quorum) -> Result<Charge, &'static str> {
    if let (Said::Commit(commit), Said::Certificate(certificate)) = (one, other) {
        return uncertified(commit, certificate, quorum);
    }
    let accused = one.signer().ok_or(NOTHING)?;
    require(other.signer() == Some(accused), "its statements are of different replicas")?;
    match (one, other) {
        (Said::Checkpoint(Signed { body: one, .. }), Said::Checkpoint(Signed { body: other, .. })) => {
            require(one.sequence == other.sequence && one.digest != other.digest, NOTHING)?;
            let (sequence, what) = (one.sequence, format!("two CHECKPOINTs for sequence {}", one.sequence));
            Ok(Charge { accused, kind: Kind::Checkpoints, view: View::ZERO, sequence, what })
        }
        (Said::ViewChange(one), Said::ViewChange(other)) => {
            require(one.body.view == other.body.view && one.body != other.body, NOTHING)?;
            let what = format!("two VIEW-CHANGEs for view {}", one.body.view);
            Ok(about_view(accused, Kind::ViewChanges, one.body.view, what))
        }
        (Said::NewView(one), Said::NewView(other)) => {
            require(one.body.view == other.body.view && one.body != other.body, NOTHING)?;
            let what = format!("two NEW-VIEWs for view {}", one.body.view);
            Ok(about_view(accused, Kind::NewViews, one.body.view, what))
        }
        (Said::Commit(commit), Said::ViewChange(view_change)) => hidden(commit, view_change),
        _ => votes(one, other),
    }
}

fn about_view(accused: NodeId, kind: Kind, view: View, what: String) -> Charge {
    Charge { accused, kind, view, sequence: Sequence::ZERO, what }
}

fn votes(one: &Said, other: &Said) -> Result<Charge, &'static str> {
    let (first, second) = (one.vote().ok_or(NOTHING)?, other.vote().ok_or(NOTHING)?);
    let (view, sequence, accused) = (first.view, first.sequence, first.replica);
    require((second.view, second.sequence) == (view, sequence), "its statements are about different places")?;
    require(first.digest != second.digest, NOTHING)?;
    let which = if one.kind() == other.kind() {
        format!("two {}s", one.kind())
    } else {
        format!("a {} and a {} that differ", one.kind(), other.kind())
    };
    let what = format!("{which} for view {view}, sequence {sequence}");
    Ok(Charge { accused, kind: Kind::Votes, view, sequence, what })
}

/// Whether a VIEW-CHANGE keeps back the certificate without which its signer did not send this COMMIT.
pub(super) fn hides(commit: &Commit, said: &ViewChange) -> bool {
    let tells =
        |prepared: &Prepared| prepared.sequence() == commit.sequence && prepared.view() >= commit.view;
    commit.replica == said.replica
        && commit.view < said.view
        && commit.sequence > said.stable.sequence()
        && !said.prepared.iter().any(tells)
}

fn hidden(commit: &Signed<Commit>, view_change: &Signed<ViewChange>) -> Result<Charge, &'static str> {
    let Commit { view, sequence, replica: accused, .. } = commit.body;
    require(hides(&commit.body, &view_change.body), NOTHING)?;
    let next = view_change.body.view;
    let what =
        format!("a COMMIT for view {view}, sequence {sequence}, which its VIEW-CHANGE for view {next} hides");
    Ok(Charge { accused, kind: Kind::Hidden, view, sequence, what })
}

fn uncertified(
    commit: &Signed<Commit>,
    certificate: &Prepared,
    quorum: &Quorum,
) -> Result<Charge, &'static str> {
    let Commit { view, sequence, digest, replica: accused } = commit.body;
    certificate.check(quorum)?;
    let about = (certificate.view(), certificate.sequence()) == (view, sequence);
    require(about, "its statements are about different places")?;
    require(certificate.digest() != digest, NOTHING)?;
    let what = format!("a COMMIT for view {view}, sequence {sequence}, where something else prepared");
    Ok(Charge { accused, kind: Kind::Uncertified, view, sequence, what })
}

/// A VIEW-CHANGE that an honest replica would not have sent. The window is not looked at: it is a setting.
fn false_proofs(
    signed: &Signed<ViewChange>,
    quorum: &Quorum,
    verifier: &Verifier,
) -> Result<Charge, &'static str> {
    let said = &signed.body;
    let proved = said.check(quorum, NUMBERS_END).is_ok() && said.verify_proofs(verifier);
    require(!proved, "the VIEW-CHANGE is in order")?;
    let what = format!("a VIEW-CHANGE for view {} whose proofs prove nothing", said.view);
    Ok(about_view(said.replica, Kind::FalseProofs, said.view, what))
}

/// A NEW-VIEW that an honest primary would not have sent.
fn wrong_new_view(
    signed: &Signed<NewView>,
    quorum: &Quorum,
    verifier: &Verifier,
) -> Result<Charge, &'static str> {
    let said = &signed.body;
    let proved = is_justified(said, quorum) && said.verify_proofs(verifier);
    let follows = proved && has_the_right_length(said) && said.check_pre_prepares(quorum).is_ok();
    require(!follows, "the NEW-VIEW is in order")?;
    let why = if proved { "O does not follow from its V" } else { "V proves nothing" };
    let what = format!("a NEW-VIEW for view {} whose {why}", said.view);
    Ok(about_view(said.replica, Kind::WrongNewView, said.view, what))
}

/// Whether its V is one, signatures aside.
fn is_justified(said: &NewView, quorum: &Quorum) -> bool {
    let replicas = said.view_changes.iter().map(|view_change| view_change.body.replica);
    let in_order = |view_change: &Signed<ViewChange>| {
        view_change.body.view == said.view && view_change.body.check(quorum, NUMBERS_END).is_ok()
    };
    said.view > View::ZERO
        && said.view.0 < NUMBERS_END
        && said.replica == quorum.primary(said.view)
        && said.view_changes.len() == quorum.quorum()
        && are_distinct_members(quorum, replicas)
        && said.view_changes.iter().all(in_order)
}

/// Whether O is as long as V makes it. Looked at first: forged numbers would make O endless.
fn has_the_right_length(said: &NewView) -> bool {
    let of_all = || said.view_changes.iter().map(|view_change| &view_change.body);
    let min = of_all().map(|body| body.stable.sequence()).max().unwrap_or_default();
    let last = of_all().filter_map(|body| body.prepared.last()).map(Prepared::sequence).max();
    let max = last.unwrap_or_default().max(min);
    max.0 - min.0 == said.pre_prepares.len() as u64
}
