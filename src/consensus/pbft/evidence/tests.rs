//! What proves something, and what does not.

use bytes::Bytes;

use super::super::testing::{CLUSTER, Cast};
use super::super::{Commit, NewView, Prepare, Prepared, Sequence, Signed, Signer, Stable, View};
use super::judge::Kind;
use super::words::judge_bytes;
use super::*;
use crate::consensus::{Court, Digest, Encode as _, Keys, NodeId, PublicKey, Scheme, SecretKey};

const A: Digest = Digest([1; 32]);
const B: Digest = Digest([2; 32]);
const LIAR: u64 = 4;

fn view(number: u64) -> View {
    View(number)
}

fn at(number: u64) -> Sequence {
    Sequence(number)
}

fn commit(cast: &Cast, replica: u64, (view, sequence): (View, Sequence), digest: Digest) -> Signed<Commit> {
    cast.signer(replica).sign(Commit { view, sequence, digest, replica: NodeId(replica) })
}

fn judged(cast: &Cast, evidence: &Evidence) -> Result<(u64, Kind), &'static str> {
    let charge = evidence.judge(&cast.quorum, &cast.verifier())?;
    Ok((charge.accused.0, charge.kind))
}

fn proves(cast: &Cast, one: Said, other: Said) -> Result<(u64, Kind), &'static str> {
    judged(cast, &Evidence::pair(one, other))
}

#[test]
fn two_votes_for_one_view_and_number_convict_whatever_they_are() {
    let cast = Cast::new(4);
    let place = (view(3), at(7)); // Of which the liar is the primary.
    let votes = |digest| {
        [
            Said::PrePrepare(cast.pre_prepare(place.0, place.1, digest)),
            Said::Prepare(cast.prepare(LIAR, place.0, place.1, digest)),
            Said::Commit(commit(&cast, LIAR, place, digest)),
        ]
    };
    for one in votes(A) {
        for other in votes(B) {
            assert_eq!(proves(&cast, one.clone(), other), Ok((LIAR, Kind::Votes)));
        }
        for other in votes(A) {
            assert!(proves(&cast, one.clone(), other).is_err(), "they agree");
        }
    }
}

#[test]
fn votes_about_different_places_or_of_different_replicas_convict_nobody() {
    let cast = Cast::new(4);
    let vote = |replica, v, n, digest| Said::Prepare(cast.prepare(replica, view(v), at(n), digest));
    let first = vote(LIAR, 0, 7, A);
    assert!(proves(&cast, first.clone(), vote(LIAR, 1, 7, B)).is_err(), "another view");
    assert!(proves(&cast, first.clone(), vote(LIAR, 0, 8, B)).is_err(), "another number");
    assert!(proves(&cast, first.clone(), vote(3, 0, 7, B)).is_err(), "another replica");
    assert!(judged(&cast, &Evidence::alone(first)).is_err(), "one vote alone");
}

#[test]
fn two_checkpoints_for_one_number_convict() {
    let cast = Cast::new(4);
    let checkpoint = |n, digest| Said::Checkpoint(cast.checkpoint(LIAR, at(n), digest));
    assert_eq!(proves(&cast, checkpoint(8, A), checkpoint(8, B)), Ok((LIAR, Kind::Checkpoints)));
    assert!(proves(&cast, checkpoint(8, A), checkpoint(4, B)).is_err());
    assert!(proves(&cast, checkpoint(8, A), Said::Commit(commit(&cast, LIAR, (view(0), at(8)), B))).is_err());
}

#[test]
fn two_changes_of_one_view_convict() {
    let cast = Cast::new(4);
    let change =
        |v, stable: Stable| Said::ViewChange(Box::new(cast.view_change(LIAR, view(v), stable, Vec::new())));
    let later = cast.stable(at(4), A);
    let both = proves(&cast, change(1, Stable::default()), change(1, later.clone()));
    assert_eq!(both, Ok((LIAR, Kind::ViewChanges)));
    assert!(proves(&cast, change(1, Stable::default()), change(2, later)).is_err(), "another view");
    let of = |replicas: [u64; 3]| {
        let all = replicas.map(|id| cast.view_change(id, view(3), Stable::default(), Vec::new()));
        Said::NewView(Box::new(cast.new_view(view(3), all.to_vec())))
    };
    assert_eq!(proves(&cast, of([1, 2, 4]), of([1, 3, 4])), Ok((LIAR, Kind::NewViews)));
    assert!(proves(&cast, of([1, 2, 4]), of([1, 2, 4])).is_err(), "it is the same");
}

#[test]
fn a_view_change_that_hides_what_was_committed_convicts() {
    let cast = Cast::new(4);
    let committed = Said::Commit(commit(&cast, LIAR, (view(1), at(6)), A));
    let change = |v, stable: Stable, prepared| {
        Said::ViewChange(Box::new(cast.view_change(LIAR, view(v), stable, prepared)))
    };
    let none = Stable::default;
    let hidden = change(2, none(), Vec::new());
    assert_eq!(proves(&cast, committed.clone(), hidden), Ok((LIAR, Kind::Hidden)));
    let older = change(2, none(), vec![cast.prepared(view(0), at(6), B)]);
    assert_eq!(proves(&cast, committed.clone(), older), Ok((LIAR, Kind::Hidden)));
    let told = change(2, none(), vec![cast.prepared(view(1), at(6), A)]);
    assert!(proves(&cast, committed.clone(), told).is_err(), "it tells");
    let newer = change(3, none(), vec![cast.prepared(view(2), at(6), B)]);
    assert!(proves(&cast, committed.clone(), newer).is_err(), "it tells of something newer");
    let before = change(1, none(), Vec::new());
    assert!(proves(&cast, committed.clone(), before).is_err(), "it left before");
    let settled = change(2, cast.stable(at(8), A), Vec::new());
    assert!(proves(&cast, committed, settled).is_err(), "nobody needs to know any more");
}

#[test]
fn a_commit_against_a_certificate_convicts_provided_that_few_lie() {
    let cast = Cast::new(4);
    let committed = |digest| Said::Commit(commit(&cast, LIAR, (view(0), at(6)), digest));
    let certificate = cast.prepared(view(0), at(6), A);
    let against = |certificate: &Prepared| Said::Certificate(certificate.clone());
    assert_eq!(proves(&cast, committed(B), against(&certificate)), Ok((LIAR, Kind::Uncertified)));
    assert!(Kind::Uncertified.rests_on_the_fault_model());
    assert!(proves(&cast, committed(A), against(&certificate)).is_err(), "they agree");
    let elsewhere = cast.prepared(view(1), at(6), A);
    assert!(proves(&cast, committed(B), against(&elsewhere)).is_err(), "another view");
    let mut few = certificate;
    few.prepares.pop();
    assert!(proves(&cast, committed(B), against(&few)).is_err(), "that is no certificate");
}

#[test]
fn a_change_of_view_that_proves_nothing_convicts_who_signed_it() {
    let cast = Cast::new(4);
    let change = |prepared| {
        Evidence::alone(Said::ViewChange(Box::new(cast.view_change(
            LIAR,
            view(2),
            Stable::default(),
            prepared,
        ))))
    };
    let certificate = cast.prepared(view(0), at(6), A);
    assert!(judged(&cast, &change(vec![certificate.clone()])).is_err(), "it is in order");
    let mut forged = certificate.clone();
    forged.prepares[0].signature.0[5] ^= 1;
    assert_eq!(judged(&cast, &change(vec![forged])), Ok((LIAR, Kind::FalseProofs)));
    let mut few = certificate;
    few.prepares.pop();
    assert_eq!(judged(&cast, &change(vec![few])), Ok((LIAR, Kind::FalseProofs)));
}

#[test]
fn a_new_view_whose_o_does_not_follow_convicts_its_primary() {
    let cast = Cast::new(4);
    let told = cast.prepared(view(0), at(1), A);
    let all = [1, 2, 4].map(|id| cast.view_change(id, view(3), Stable::default(), vec![told.clone()]));
    let right = cast.new_view(view(3), all.to_vec()).body;
    let signed = |body| Evidence::alone(Said::NewView(Box::new(cast.signer(LIAR).sign(body))));
    assert!(judged(&cast, &signed(right.clone())).is_err(), "it is in order");
    let mut other = right.clone();
    other.pre_prepares[0] = cast.pre_prepare(view(3), at(1), B);
    assert_eq!(judged(&cast, &signed(other)), Ok((LIAR, Kind::WrongNewView)));
    let mut less = right.clone();
    less.pre_prepares.clear();
    assert_eq!(judged(&cast, &signed(less)), Ok((LIAR, Kind::WrongNewView)));
    let mut alone = right;
    alone.view_changes.truncate(1);
    assert_eq!(judged(&cast, &signed(alone)), Ok((LIAR, Kind::WrongNewView)));
}

#[test]
fn forged_numbers_in_a_new_view_cost_nothing() {
    let cast = Cast::new(4);
    let far = cast.prepared(view(0), Sequence(u64::MAX / 4), A);
    let all = [1, 2, 4].map(|id| cast.view_change(id, view(3), Stable::default(), vec![far.clone()]));
    let body = NewView {
        view: view(3),
        view_changes: all.to_vec(),
        pre_prepares: Vec::new(),
        replica: NodeId(LIAR),
    };
    let evidence = Evidence::alone(Said::NewView(Box::new(cast.signer(LIAR).sign(body))));
    assert_eq!(judged(&cast, &evidence), Ok((LIAR, Kind::WrongNewView)));
}

/// The court of a cluster with real keys, and a piece against the liar.
fn real() -> (Court, Vec<u8>) {
    let key = |id: u64| SecretKey::from_seed(Scheme::Ed25519, [id as u8; 32]);
    let public: std::collections::BTreeMap<NodeId, PublicKey> =
        (1..=4).map(|id| (NodeId(id), key(id).public())).collect();
    let signer = Signer::new(NodeId(LIAR), CLUSTER, &Keys::new(key(LIAR), public.clone()));
    let vote = |digest| {
        Said::Prepare(signer.sign(Prepare { view: view(0), sequence: at(7), digest, replica: NodeId(LIAR) }))
    };
    let members = (1..=4).map(NodeId).collect();
    let court = Court { cluster_id: CLUSTER, members, keys: Keys::public_only(public) };
    (court, Evidence::pair(vote(A), vote(B)).to_bytes().to_vec())
}

#[test]
fn a_piece_is_refused_after_any_single_bit_is_changed() {
    let (court, piece) = real();
    let judgement = judge_bytes(&court, &Bytes::from(piece.clone())).unwrap();
    assert_eq!((judgement.accused, judgement.epoch, judgement.index), (NodeId(LIAR), Some(0), Some(7)));
    assert_eq!(judgement.charge, "two PREPAREs for view 0, sequence 7");
    for bit in 0..piece.len() * 8 {
        let mut changed = piece.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(judge_bytes(&court, &Bytes::from(changed)).is_err(), "bit {bit}");
    }
    for length in 0..piece.len() {
        assert!(judge_bytes(&court, &Bytes::copy_from_slice(&piece[..length])).is_err());
    }
    let elsewhere = Court { cluster_id: CLUSTER + 1, ..court.clone() };
    assert!(judge_bytes(&elsewhere, &Bytes::from(piece.clone())).is_err(), "another cluster");
    let strangers = Court { keys: Keys::default(), ..court };
    assert!(judge_bytes(&strangers, &Bytes::from(piece)).is_err(), "unknown keys");
}
