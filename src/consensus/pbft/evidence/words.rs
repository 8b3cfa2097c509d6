//! Evidence for people: what it proves, and its messages field by field.

use bytes::Bytes;

use super::super::message::{NewView, Prepared, Sequence, Signed, Stable, View, ViewChange};
use super::super::quorum::Quorum;
use super::super::signing::Verifier;
use super::judge::Charge;
use super::said::{Evidence, Said, Vote};
use crate::consensus::{
    Court, Decode as _, Digest, Encode as _, Judgement, NodeId, Signature, Statement, Words, hex,
};

/// The most members of a cluster whose evidence is looked at: those of a court come from a file.
const MAX_MEMBERS: usize = 1024;

/// Reads, checks and describes a piece.
pub(in super::super) fn judge_bytes(court: &Court, piece: &Bytes) -> Result<Judgement, String> {
    let sorted = court.members.is_sorted_by(|a, b| a < b);
    if court.members.is_empty() || court.members.len() > MAX_MEMBERS || !sorted {
        return Err("the cluster's members are not known".to_owned());
    }
    let evidence = Evidence::from_bytes(piece.clone())
        .map_err(|error| format!("it is not a piece of evidence: {error}"))?;
    if evidence.to_bytes() != *piece {
        return Err("it is not written as evidence is".to_owned());
    }
    let verifier = Verifier::new(court.cluster_id, court.keys.clone());
    let charge = evidence.judge(&Quorum::new(&court.members), &verifier)?;
    Ok(describe(&evidence, charge))
}

fn describe(evidence: &Evidence, charge: Charge) -> Judgement {
    const FAULT_MODEL: &str =
        "at most f members lie: then no two certificates of one view and sequence differ";
    let Charge { accused, kind, view, sequence, what } = charge;
    let is_about_a_state = matches!(evidence.said(), [Said::Checkpoint(_), _]);
    Judgement {
        accused,
        charge: what,
        epoch: (!is_about_a_state).then_some(view.0),
        index: (sequence > Sequence::ZERO).then_some(sequence.0),
        provided: kind.rests_on_the_fault_model().then_some(FAULT_MODEL),
        statements: evidence.said().iter().map(statement).collect(),
    }
}

fn statement(said: &Said) -> Statement {
    let fields = match said {
        Said::PrePrepare(Signed { signature, .. })
        | Said::Prepare(Signed { signature, .. })
        | Said::Commit(Signed { signature, .. }) => {
            said.vote().map(|said| vote(said, signature)).unwrap_or_default()
        }
        _ => others(said),
    };
    Statement { title: said.kind(), fields }
}

type Fields = Vec<(&'static str, Words)>;

fn one(value: &impl ToString) -> Words {
    Words::One(value.to_string())
}

fn vote(said: Vote, signature: &Signature) -> Fields {
    let Vote { view, sequence, digest, replica } = said;
    let mut fields = slot(view, sequence, digest);
    fields.extend([("replica", one(&replica)), ("signature", Words::One(hex(&signature.0)))]);
    fields
}

fn slot(view: View, sequence: Sequence, digest: Digest) -> Fields {
    vec![("view", one(&view)), ("sequence", one(&sequence)), ("digest", one(&digest))]
}

fn others(said: &Said) -> Fields {
    match said {
        Said::Checkpoint(Signed { body, signature }) => vec![
            ("sequence", one(&body.sequence)),
            ("digest", one(&body.digest)),
            ("replica", one(&body.replica)),
            ("signature", Words::One(hex(&signature.0))),
        ],
        Said::ViewChange(signed) => {
            let ViewChange { view, stable, prepared, replica } = &signed.body;
            vec![
                ("view", one(&view)),
                ("stable", one(&checkpoint(stable))),
                ("prepared", Words::List(prepared.iter().map(certificate).collect())),
                ("replica", one(&replica)),
                ("signature", Words::One(hex(&signed.signature.0))),
            ]
        }
        Said::NewView(signed) => {
            let NewView { view, view_changes, pre_prepares, replica } = &signed.body;
            let again = |signed: &Signed<super::super::PrePrepare>| {
                format!("sequence {}: {}", signed.body.sequence, signed.body.digest)
            };
            vec![
                ("view", one(&view)),
                ("V", Words::List(view_changes.iter().map(view_change).collect())),
                ("O", Words::List(pre_prepares.iter().map(again).collect())),
                ("replica", one(&replica)),
                ("signature", Words::One(hex(&signed.signature.0))),
            ]
        }
        Said::Certificate(prepared) => {
            let mut fields = slot(prepared.view(), prepared.sequence(), prepared.digest());
            fields.push(("signed by", Words::List(signers(prepared))));
            fields
        }
        Said::PrePrepare(_) | Said::Prepare(_) | Said::Commit(_) => Vec::new(),
    }
}

fn checkpoint(stable: &Stable) -> String {
    let digest = stable.digest().map_or_else(String::new, |digest| format!(": {digest}"));
    format!("sequence {}{digest}", stable.sequence())
}

fn certificate(prepared: &Prepared) -> String {
    format!("view {}, sequence {}: {}", prepared.view(), prepared.sequence(), prepared.digest())
}

fn signers(prepared: &Prepared) -> Vec<String> {
    let primary = format!("{} (PRE-PREPARE)", prepared.pre_prepare.body.replica);
    let backup = |id: NodeId| format!("{id} (PREPARE)");
    let backups = prepared.prepares.iter().map(|prepare| backup(prepare.body.replica));
    std::iter::once(primary).chain(backups).collect()
}

fn view_change(signed: &Signed<ViewChange>) -> String {
    let ViewChange { view, stable, prepared, replica } = &signed.body;
    let prepared: Vec<String> = prepared.iter().map(certificate).collect();
    let stable = checkpoint(stable);
    format!("of replica {replica} for view {view}, stable {stable}, prepared [{}]", prepared.join("; "))
}
