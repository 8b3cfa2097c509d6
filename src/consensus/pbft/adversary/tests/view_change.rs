//! Abuses of the view change, and what an honest checker says to them.

use std::collections::BTreeSet;

use super::super::super::message::Status;
use super::super::super::signing::Verifier;
use super::super::super::testing::Cast;
use super::*;

/// Replica 1 of four with the tests' keys, which abuses the view change.
fn liar(cast: &Cast) -> Adversary {
    let misbehaviour = Misbehaviour::new("bad-view-change", 7);
    Adversary::new(&misbehaviour, cast.signer(1), cast.quorum.clone(), Options::default()).unwrap()
}

/// The VIEW-CHANGE that replica `of` would honestly send: two slots prepared above a stable checkpoint.
fn view_change(cast: &Cast, of: u64, view: u64) -> Signed<ViewChange> {
    let stable = cast.stable(Sequence(8), Digest([8; 32]));
    let slot =
        |view, sequence: u64| cast.prepared(View(view), Sequence(sequence), Digest([sequence as u8; 32]));
    let prepared = vec![slot(0, 9), slot(1, 10)];
    cast.signer(of).sign(ViewChange { view: View(view), stable, prepared, replica: NodeId(of) })
}

fn refusal(cast: &Cast, verifier: &Verifier, body: &ViewChange) -> Option<&'static str> {
    let window = Options::default().window;
    let refused = body.check(&cast.quorum, window).err();
    refused.or_else(|| (!body.verify_proofs(verifier)).then_some("forged"))
}

#[test]
fn its_view_changes_prove_nothing_and_are_refused_or_do_no_harm() {
    let cast = Cast::new(4);
    let verifier = cast.verifier();
    let mut refusals = BTreeSet::new();
    let mut believed = 0;
    let mut liar = liar(&cast);
    for view in 2..60 {
        let honest = view_change(&cast, 1, view);
        assert_eq!(refusal(&cast, &verifier, &honest.body), None);
        let honest = Message::ViewChange(honest);
        let leaves = tampered(&mut liar, vec![to(2, honest.clone()), to(3, honest)]);
        let [Message::ViewChange(one), Message::ViewChange(other)] = [&leaves[0].message, &leaves[1].message]
        else {
            panic!("{leaves:?}")
        };
        assert_eq!(one, other, "everybody is told the same");
        assert!(verifier.verify(one));
        match refusal(&cast, &verifier, &one.body) {
            Some(why) => drop(refusals.insert(why)),
            // Stale or empty: true as far as it goes, and Q others know better.
            None => believed += 1,
        }
    }
    assert!(believed > 5, "{believed} believed");
    let expected =
        ["forged", "a proof has not Q CHECKPOINTs", "a proof's CHECKPOINTs are not of different members"];
    assert!(expected.iter().all(|why| refusals.contains(why)), "{refusals:?}");
}

#[test]
fn its_new_views_are_refused_each() {
    let cast = Cast::new(4);
    let verifier = cast.verifier();
    let window = Options::default().window;
    let mut refusals = BTreeSet::new();
    for view in (4..200).step_by(4) {
        let view_changes: Vec<_> = (1..=3).map(|of| view_change(&cast, of, view)).collect();
        let plan = super::super::super::new_view::Plan::of(&view_changes);
        let again = plan.pre_prepares.into_iter().map(|(sequence, digest)| {
            cast.signer(1).sign(PrePrepare { view: View(view), sequence, digest, replica: NodeId(1) })
        });
        let pre_prepares = again.collect();
        let body = NewView { view: View(view), view_changes, pre_prepares, replica: NodeId(1) };
        assert_eq!(body.check(&cast.quorum, window), Ok(()));
        let honest = Message::NewView(cast.signer(1).sign(body));
        let leaves = tampered(&mut liar(&cast), vec![to(2, honest)]);
        let [Outgoing { message: Message::NewView(spoilt), .. }] = &leaves[..] else { panic!("{leaves:?}") };
        assert!(verifier.verify(spoilt));
        let refused = spoilt.body.check(&cast.quorum, window).err();
        let refused = refused.or_else(|| (!spoilt.body.verify_proofs(&verifier)).then_some("forged"));
        refusals.insert(refused.expect("no backup begins such a view"));
    }
    let expected = [
        "a NEW-VIEW's O is not what follows from its V",
        "a NEW-VIEW has not Q VIEW-CHANGEs",
        "a NEW-VIEW's V is not of different members",
        "forged",
    ];
    assert!(expected.iter().all(|why| refusals.contains(why)), "{refusals:?}");
}

#[test]
fn with_each_status_it_asks_for_one_more_view() {
    let cast = Cast::new(4);
    let mut liar = liar(&cast);
    let body = Status {
        view: View(1),
        active: true,
        stable: Sequence(8),
        committed: Sequence(9),
        fetching: Sequence::ZERO,
        replica: NodeId(1),
    };
    let mut last = View(1);
    for _ in 0..20 {
        let leaves = tampered(&mut liar, vec![to(2, Message::Status(cast.signer(1).sign(body)))]);
        let [
            Outgoing { message: Message::ViewChange(asked), .. },
            Outgoing { message: Message::Status(_), .. },
        ] = &leaves[..]
        else {
            panic!("{leaves:?}")
        };
        assert!(asked.body.view > last);
        assert_eq!(refusal(&cast, &cast.verifier(), &asked.body), None);
        last = asked.body.view;
    }
}
