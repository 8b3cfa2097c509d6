//! What follows from VIEW-CHANGEs, and what a NEW-VIEW may not say.

use super::*;
use crate::consensus::NodeId;
use crate::consensus::pbft::testing::Cast;

const WINDOW: u64 = 16;

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

/// P of these (view, sequence, digest).
fn prepared(cast: &Cast, slots: &[(u64, u64, u8)]) -> Vec<Prepared> {
    let slot = |&(view, sequence, number)| cast.prepared(View(view), Sequence(sequence), digest(number));
    slots.iter().map(slot).collect()
}

/// Replicas 1, 2 and 3 of four want view 2, the first with this P.
fn view_changes(cast: &Cast, slots: &[(u64, u64, u8)]) -> Vec<Signed<ViewChange>> {
    let first = cast.view_change(1, View(2), Stable::default(), prepared(cast, slots));
    let others = [2, 3].map(|replica| cast.view_change(replica, View(2), Stable::default(), Vec::new()));
    [first].into_iter().chain(others).collect()
}

#[test]
fn what_prepared_anywhere_is_proposed_again_and_gaps_are_null() {
    let cast = Cast::new(4);
    let plan = Plan::of(&view_changes(&cast, &[(0, 1, 1), (1, 3, 3)]));
    let null = Batch::default().digest();
    assert_eq!(plan.stable, Stable::default());
    assert_eq!(plan.pre_prepares, [(Sequence(1), digest(1)), (Sequence(2), null), (Sequence(3), digest(3))]);
    assert_eq!(plan.last(), Sequence(3));
    let nothing = Plan::of(&view_changes(&cast, &[]));
    assert_eq!((nothing.pre_prepares.len(), nothing.last()), (0, Sequence::ZERO));
}

#[test]
fn the_certificate_of_the_highest_view_wins_whoever_shows_it() {
    let cast = Cast::new(4);
    let old = cast.view_change(1, View(3), Stable::default(), prepared(&cast, &[(0, 1, 9)]));
    let new = cast.view_change(2, View(3), Stable::default(), prepared(&cast, &[(2, 1, 2)]));
    let middle = cast.view_change(3, View(3), Stable::default(), prepared(&cast, &[(1, 1, 5)]));
    for order in [[&old, &new, &middle], [&new, &middle, &old], [&middle, &old, &new]] {
        let plan = Plan::of(&order.map(Clone::clone));
        assert_eq!(plan.pre_prepares, [(Sequence(1), digest(2))]);
    }
}

#[test]
fn what_lies_below_the_latest_stable_checkpoint_is_done() {
    let cast = Cast::new(4);
    let mut changes = view_changes(&cast, &[(0, 7, 7), (0, 8, 8), (0, 10, 10)]);
    let stable = cast.stable(Sequence(8), digest(88));
    changes[2] = cast.view_change(3, View(2), stable.clone(), Vec::new());
    let plan = Plan::of(&changes);
    assert_eq!(plan.stable, stable);
    let null = Batch::default().digest();
    assert_eq!(plan.pre_prepares, [(Sequence(9), null), (Sequence(10), digest(10))]);
}

#[test]
fn a_view_change_shows_certificates_of_earlier_views_within_its_window() {
    let cast = Cast::new(4);
    let verdict = |view: u64, stable: &Stable, slots: &[(u64, u64, u8)]| {
        let change = cast.view_change(1, View(view), stable.clone(), prepared(&cast, slots));
        change.body.check(&cast.quorum, WINDOW)
    };
    let (none, at_8) = (Stable::default(), cast.stable(Sequence(8), digest(88)));
    assert_eq!(verdict(2, &none, &[(0, 1, 1), (1, 16, 2)]), Ok(()));
    assert_eq!(verdict(2, &at_8, &[(0, 9, 1), (1, 24, 2)]), Ok(()));
    let ascend = Err("a VIEW-CHANGE's certificates do not ascend from its checkpoint");
    assert_eq!(verdict(2, &at_8, &[(0, 8, 1)]), ascend);
    assert_eq!(verdict(2, &none, &[(0, 2, 1), (0, 1, 1)]), ascend);
    assert_eq!(verdict(2, &none, &[(0, 2, 1), (1, 2, 1)]), ascend);
    assert_eq!(verdict(2, &none, &[(0, 17, 1)]), Err("a VIEW-CHANGE's certificate is above the window"));
    assert_eq!(verdict(2, &none, &[(2, 1, 1)]), Err("a VIEW-CHANGE's certificate is not of an earlier view"));
    assert_eq!(verdict(0, &none, &[]), Err("nobody changes to the first view"));
    let slots: Vec<_> = (1..=17).map(|sequence| (0, sequence, 1)).collect();
    assert_eq!(verdict(2, &none, &slots), Err("a VIEW-CHANGE has more certificates than the window"));
}

#[test]
fn an_honest_new_view_is_accepted_for_every_number_of_replicas() {
    for n in 1..=7 {
        let cast = Cast::new(n);
        let slots: &[_] = &[(0, 1, 1), (0, 4, 4)];
        let senders = 1..=cast.quorum.quorum() as u64;
        let change = |replica| cast.view_change(replica, View(2), Stable::default(), prepared(&cast, slots));
        let new_view = cast.new_view(View(2), senders.map(change).collect());
        assert_eq!(new_view.body.pre_prepares.len(), 4);
        assert_eq!(validate(&new_view, &cast.quorum, WINDOW, &cast.verifier()), Ok(()), "n = {n}");
    }
}

/// Makes a NEW-VIEW for view 2, spoils it, and lets its primary (3 of 4) sign the result.
fn verdict_on(spoil: impl FnOnce(&Cast, &mut NewView)) -> Result<(), &'static str> {
    let cast = Cast::new(4);
    let mut body = cast.new_view(View(2), view_changes(&cast, &[(0, 1, 1), (1, 3, 3)])).body;
    spoil(&cast, &mut body);
    let signed = cast.signer(body.replica.0).sign(body);
    validate(&signed, &cast.quorum, WINDOW, &cast.verifier())
}

#[test]
fn o_must_be_what_follows_from_v() {
    let wrong = Err("a NEW-VIEW's O is not what follows from its V");
    assert_eq!(verdict_on(|_, _| ()), Ok(()));
    assert_eq!(verdict_on(|_, body| body.pre_prepares.clear()), wrong, "drops all that prepared");
    let drops_the_last = |_: &Cast, body: &mut NewView| {
        body.pre_prepares.pop();
    };
    assert_eq!(verdict_on(drops_the_last), wrong);
    let null_instead = |cast: &Cast, body: &mut NewView| {
        body.pre_prepares[0] = cast.pre_prepare(View(2), Sequence(1), Batch::default().digest());
    };
    assert_eq!(verdict_on(null_instead), wrong);
    let one_more = |cast: &Cast, body: &mut NewView| {
        body.pre_prepares.push(cast.pre_prepare(View(2), Sequence(4), digest(4)));
    };
    assert_eq!(verdict_on(one_more), wrong);
    let of_another_view = |cast: &Cast, body: &mut NewView| {
        body.pre_prepares[0] = cast.pre_prepare(View(6), Sequence(1), digest(1));
    };
    assert_eq!(verdict_on(of_another_view), Err("a NEW-VIEW's O is for another view"));
}

#[test]
fn v_must_be_of_q_replicas_for_that_very_view() {
    let few = |_: &Cast, body: &mut NewView| {
        body.view_changes.pop();
    };
    assert_eq!(verdict_on(few), Err("a NEW-VIEW has not Q VIEW-CHANGEs"));
    let twice = |_: &Cast, body: &mut NewView| body.view_changes[2] = body.view_changes[1].clone();
    assert_eq!(verdict_on(twice), Err("a NEW-VIEW's V is not of different members"));
    let stale = |cast: &Cast, body: &mut NewView| {
        body.view_changes[1] = cast.view_change(2, View(1), Stable::default(), Vec::new());
    };
    assert_eq!(verdict_on(stale), Err("a NEW-VIEW's V is for another view"));
    let of_a_backup = |_: &Cast, body: &mut NewView| body.replica = NodeId(1);
    assert_eq!(verdict_on(of_a_backup), Err("a NEW-VIEW is not of its view's primary"));
}

#[test]
fn every_signature_counts() {
    const FORGED: Result<(), &str> = Err("a NEW-VIEW has a signature that does not hold");
    let forged_o =
        |_: &Cast, body: &mut NewView| body.pre_prepares[1].signature = body.pre_prepares[0].signature;
    assert_eq!(verdict_on(forged_o), FORGED);
    let forged_v =
        |_: &Cast, body: &mut NewView| body.view_changes[1].signature = body.view_changes[0].signature;
    assert_eq!(verdict_on(forged_v), FORGED);
    // A liar among the replicas signs a VIEW-CHANGE whose certificate is forged.
    let forged_p = |cast: &Cast, body: &mut NewView| {
        let mut change = body.view_changes[0].body.clone();
        change.prepared[0].prepares[0].signature = change.prepared[0].prepares[1].signature;
        body.view_changes[0] = cast.signer(1).sign(change);
    };
    assert_eq!(verdict_on(forged_p), FORGED);
}
