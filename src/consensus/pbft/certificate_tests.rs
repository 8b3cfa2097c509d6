//! What is a certificate and what only looks like one.

use super::*;
use crate::consensus::pbft::message::View;
use crate::consensus::pbft::testing::Cast;

/// A certificate and its proof as four replicas make them, to be spoiled.
fn prepared(cast: &Cast) -> Prepared {
    cast.prepared(View(1), Sequence(5), Digest([5; 32]))
}

fn verdict(cast: &Cast, certificate: &Prepared) -> Result<(), &'static str> {
    certificate.check(&cast.quorum)?;
    require(certificate.verify(&cast.verifier()), "signature")
}

#[test]
fn a_prepared_certificate_holds_for_every_number_of_replicas() {
    for n in 1..=10 {
        let cast = Cast::new(n);
        let certificate = prepared(&cast);
        assert_eq!(verdict(&cast, &certificate), Ok(()), "n = {n}");
        assert_eq!(certificate.prepares.len(), cast.quorum.quorum() - 1);
    }
}

#[test]
fn a_prepared_certificate_needs_q_minus_1_matching_prepares_of_backups() {
    type Spoil = fn(&Cast, &mut Prepared);
    let cases: [(&str, Spoil); 10] = [
        ("a certificate has not Q - 1 PREPAREs", |_, c| {
            c.prepares.pop();
        }),
        ("a certificate's PREPAREs are not of different members", |_, c| c.prepares[1] = c.prepares[0]),
        ("a certificate's PREPAREs are not of different members", |_, c| c.prepares.reverse()),
        ("a certificate's PREPAREs are not of different members", |_, c| {
            c.prepares[1].body.replica = NodeId(9);
        }),
        // View 1 of the members 1, 2, 3, 4 has the primary 2.
        ("a certificate has a PREPARE of the primary", |cast, c| {
            c.prepares[1] = cast.prepare(2, View(1), Sequence(5), Digest([5; 32]));
        }),
        ("a certificate's PREPAREs do not match its PRE-PREPARE", |cast, c| {
            c.prepares[0] = cast.prepare(1, View(1), Sequence(5), Digest([6; 32]));
        }),
        ("a certificate's PREPAREs do not match its PRE-PREPARE", |cast, c| {
            c.prepares[0] = cast.prepare(1, View(5), Sequence(5), Digest([5; 32]));
        }),
        ("a PRE-PREPARE is not of its view's primary", |_, c| c.pre_prepare.body.replica = NodeId(1)),
        ("sequence numbers begin at 1", |_, c| c.pre_prepare.body.sequence = Sequence::ZERO),
        ("signature", |_, c| c.prepares[1].signature = c.prepares[0].signature),
    ];
    let cast = Cast::new(4);
    for (why, spoil) in cases {
        let mut certificate = prepared(&cast);
        certificate.prepares.sort_by_key(|prepare| prepare.body.replica);
        spoil(&cast, &mut certificate);
        assert_eq!(verdict(&cast, &certificate), Err(why));
    }
}

#[test]
fn too_few_votes_make_no_certificate() {
    let cast = Cast::new(4);
    let whole = prepared(&cast);
    assert_eq!(Prepared::of(&cast.quorum, whole.pre_prepare, &whole.prepares[..1]), None);
    assert_eq!(Prepared::of(&cast.quorum, whole.pre_prepare, &whole.prepares), Some(whole));
    let whole = cast.stable(Sequence(8), Digest([8; 32]));
    assert_eq!(Stable::of(&cast.quorum, &whole.checkpoints[..2]), None);
    assert_eq!(Stable::of(&cast.quorum, &whole.checkpoints), Some(whole));
}

#[test]
fn a_stable_checkpoint_needs_q_replicas_that_say_the_same() {
    type Spoil = fn(&Cast, &mut Stable);
    let cast = Cast::new(4);
    let verdict = |proof: &Stable| {
        proof.check(&cast.quorum)?;
        require(proof.verify(&cast.verifier()), "signature")
    };
    let whole = cast.stable(Sequence(8), Digest([8; 32]));
    assert_eq!(verdict(&whole), Ok(()));
    assert_eq!((whole.sequence(), whole.digest()), (Sequence(8), Some(Digest([8; 32]))));
    let nothing = Stable::default();
    assert_eq!(verdict(&nothing), Ok(()));
    assert_eq!((nothing.sequence(), nothing.digest()), (Sequence::ZERO, None));

    let cases: [(&str, Spoil); 6] = [
        ("a proof has not Q CHECKPOINTs", |_, s| {
            s.checkpoints.pop();
        }),
        ("a proof's CHECKPOINTs are not of different members", |_, s| s.checkpoints[1] = s.checkpoints[0]),
        ("a proof's CHECKPOINTs are not alike", |cast, s| {
            s.checkpoints[1] = cast.checkpoint(2, Sequence(8), Digest([9; 32]));
        }),
        ("a proof's CHECKPOINTs are not alike", |cast, s| {
            s.checkpoints[2] = cast.checkpoint(3, Sequence(16), Digest([8; 32]));
        }),
        ("sequence numbers begin at 1", |_, s| s.checkpoints[0].body.sequence = Sequence::ZERO),
        ("signature", |_, s| s.checkpoints[0].signature = s.checkpoints[1].signature),
    ];
    for (why, spoil) in cases {
        let mut proof = whole.clone();
        spoil(&cast, &mut proof);
        assert_eq!(verdict(&proof), Err(why));
    }
}
