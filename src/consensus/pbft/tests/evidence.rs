//! Replicas find contradictions, keep them, and tell each other.

use super::cluster::{Cluster, sequence as at, view};
use crate::consensus::pbft::evidence::PIECES_OF_KIND;
use crate::consensus::pbft::testing::Cast;
use crate::consensus::pbft::{
    Batch, Checkpoint, Commit, Message, PrePrepare, Record, Sequence, Signed, Stable, View,
};
use crate::consensus::{Conviction, Digest, NodeId};

const A: Digest = Digest([1; 32]);
const B: Digest = Digest([2; 32]);
const LIAR: u64 = 4;

fn commit(cast: &Cast, replica: u64, (view, sequence): (View, Sequence), digest: Digest) -> Signed<Commit> {
    cast.signer(replica).sign(Commit { view, sequence, digest, replica: NodeId(replica) })
}

fn convicted(cluster: &Cluster, id: u64) -> Vec<Conviction> {
    cluster.status(id).convicted
}

fn inject_votes(cluster: &mut Cluster, to: u64, number: u64) {
    for digest in [A, B] {
        let vote = cluster.cast.prepare(LIAR, view(0), at(number), digest);
        cluster.inject(LIAR, to, Message::Prepare(vote));
    }
    cluster.settle();
}

#[test]
fn who_finds_a_contradiction_names_the_liar_and_tells_the_others_who_forget_nothing() {
    let mut cluster = Cluster::new(4);
    inject_votes(&mut cluster, 2, 3);
    let wanted = Conviction { id: LIAR, pieces: 1, newest: "two PREPAREs for view 0, sequence 3".to_owned() };
    for id in 1..=3 {
        assert_eq!(convicted(&cluster, id), std::slice::from_ref(&wanted), "n{id}");
        cluster.restart(id);
        assert_eq!(convicted(&cluster, id), std::slice::from_ref(&wanted), "n{id} after a restart");
    }
    assert_eq!(convicted(&cluster, LIAR), [], "nobody keeps anything against itself");
}

#[test]
fn evidence_outlives_the_log_that_it_was_first_written_to() {
    let mut cluster = Cluster::new(4);
    inject_votes(&mut cluster, 2, 3);
    for counter in 1..=24 {
        cluster.put(counter, &format!("c{counter}"));
    }
    assert!(cluster.node(2).saved_index() >= 16, "the log was cut");
    cluster.restart(2);
    assert_eq!(convicted(&cluster, 2).len(), 1);
}

#[test]
fn what_is_kept_against_one_liar_is_bounded_and_a_piece_is_kept_once() {
    let mut cluster = Cluster::new(4);
    for number in 1..=8 {
        inject_votes(&mut cluster, 2, number);
        inject_votes(&mut cluster, 2, number);
    }
    assert_eq!(convicted(&cluster, 2)[0].pieces, PIECES_OF_KIND as u64);
    let records = cluster.durable_records(2).filter(|record| matches!(record, Record::Evidence { .. }));
    assert_eq!(records.count(), 2 * PIECES_OF_KIND);
}

#[test]
fn contradictions_inside_the_messages_of_others_count() {
    let mut cluster = Cluster::new(4);
    let said = |cluster: &Cluster, digest| cluster.cast.prepared(view(0), at(2), digest);
    // The primary told replica 2 one thing, and replica 3 shows in its VIEW-CHANGE that it was told another.
    let pre_prepare: Signed<PrePrepare> = cluster.cast.pre_prepare(view(0), at(2), A);
    let batch = Batch::default();
    cluster.inject(1, 2, Message::PrePrepare { pre_prepare, batch });
    let told = said(&cluster, B);
    let change = cluster.cast.view_change(3, view(1), Stable::default(), vec![told]);
    cluster.inject(3, 2, Message::ViewChange(change));
    cluster.deliver_kinds(&["PrePrepare", "ViewChange"]);
    assert_eq!(convicted(&cluster, 2)[0].id, 1);
}

#[test]
fn a_view_change_and_a_commit_convict_in_either_order() {
    for commit_first in [true, false] {
        let mut cluster = Cluster::new(4);
        let vote = Message::Commit(commit(&cluster.cast, LIAR, (view(0), at(2)), A));
        let change = cluster.cast.view_change(LIAR, view(1), Stable::default(), Vec::new());
        let mut both = vec![vote, Message::ViewChange(change)];
        if !commit_first {
            both.reverse();
        }
        for message in both {
            cluster.inject(LIAR, 2, message);
        }
        cluster.settle();
        let held = convicted(&cluster, 2);
        assert!(held[0].newest.contains("hides"), "{held:?}");
    }
}

#[test]
fn a_refused_new_view_convicts_its_signer_and_is_not_entered() {
    let mut cluster = Cluster::new(4);
    let all = [1, 2, 4].map(|id| cluster.cast.view_change(id, view(3), Stable::default(), Vec::new()));
    let mut body = cluster.cast.new_view(view(3), all.to_vec()).body;
    body.pre_prepares.push(cluster.cast.pre_prepare(view(3), at(1), A));
    let wrong = cluster.cast.signer(LIAR).sign(body);
    cluster.inject(LIAR, 2, Message::NewView(wrong));
    cluster.settle();
    assert_eq!(cluster.view(2), 0);
    assert_eq!(convicted(&cluster, 3)[0].newest, "a NEW-VIEW for view 3 whose O does not follow from its V");
}

#[test]
fn votes_for_many_views_push_out_their_signers_own_and_nobody_elses() {
    let mut cluster = Cluster::new(4);
    let vote =
        |cluster: &Cluster, id, v, digest| Message::Prepare(cluster.cast.prepare(id, view(v), at(2), digest));
    for message in [vote(&cluster, 3, 0, A), vote(&cluster, LIAR, 1, A)] {
        cluster.inject(LIAR, 2, message);
    }
    for v in (100..400).filter(|v| v % 4 != 3) {
        let far = vote(&cluster, LIAR, v, A);
        cluster.inject(LIAR, 2, far);
    }
    cluster.settle();
    for message in [vote(&cluster, 3, 0, B), vote(&cluster, LIAR, 1, B)] {
        cluster.inject(LIAR, 2, message);
    }
    cluster.settle();
    let ids: Vec<u64> = convicted(&cluster, 2).iter().map(|conviction| conviction.id).collect();
    assert_eq!(ids, [3, LIAR], "made-up views give way first");
}

#[test]
fn two_checkpoints_for_one_number_convict() {
    let mut cluster = Cluster::new(4);
    for digest in [A, B] {
        let said: Signed<Checkpoint> = cluster.cast.checkpoint(LIAR, at(4), digest);
        cluster.inject(LIAR, 2, Message::Checkpoint(said));
    }
    cluster.settle();
    assert_eq!(convicted(&cluster, 2)[0].newest, "two CHECKPOINTs for sequence 4");
}

/// So a fault of its memory convicts nobody: what it signed of the wrong state is its word for that number.
#[test]
fn a_replica_that_repaired_its_state_stays_with_its_first_word() {
    let mut cluster = Cluster::new(4);
    (1..=4).for_each(|counter| cluster.put(counter, "x"));
    cluster.node_mut(2).store.rot();
    // It signs CHECKPOINTs for 8 and 12 before it hears those of the others.
    (5..=12).for_each(|counter| cluster.put_without_checkpoints_to(2, counter, "x"));
    assert_eq!(cluster.applied(2), 12);
    let is_at = |message: &Message, sequence| matches!(message, Message::Checkpoint(said) if said.body.sequence == at(sequence));
    while cluster.deliver_if(|envelope| envelope.to == 2 && is_at(&envelope.message, 8)) {}
    cluster.block_kind("Checkpoint", 2);
    cluster.block_kind("Stable", 2);
    let stays = |cluster: &Cluster| cluster.node(2).traced("stays with that");
    cluster.wait_until("that it executes the numbers up to 12 again", stays);
    cluster.heal();
    cluster.wait_until("health", |cluster| cluster.status(2).why.is_empty());
    (13..=20).for_each(|counter| cluster.put(counter, "x"));
    cluster.wait_executed(&["x"; 20]);
    for id in 1..=4 {
        assert_eq!(convicted(&cluster, id), [], "n{id}");
    }
}

/// What somebody says in view 0 twice, differently.
fn convict(cluster: &mut Cluster, liar: u64, to: u64) {
    for digest in [A, B] {
        let vote = commit(&cluster.cast, liar, (view(0), at(3)), digest);
        cluster.inject(liar, to, Message::Commit(vote));
    }
}

#[test]
fn a_convicted_primary_is_left_without_a_request_that_waits() {
    let mut cluster = Cluster::new(4);
    convict(&mut cluster, 1, 3);
    cluster.settle();
    for id in 1..=4 {
        assert_eq!((cluster.view(id), cluster.is_active(id)), (1, true), "n{id}");
    }
    assert!(cluster.node(3).traced("the primary is convicted"));
    cluster.put(1, "x");
    cluster.wait_executed(&["x"]);
}

#[test]
fn proof_that_was_lost_is_shown_again_to_those_who_stay_with_a_convicted_primary() {
    let mut cluster = Cluster::new(4);
    cluster.lose_kind("Evidence");
    convict(&mut cluster, 1, 3);
    cluster.settle();
    assert_eq!([1, 2, 3, 4].map(|id| cluster.view(id)), [0, 0, 1, 0], "one alone takes nobody along");
    cluster.heal();
    let left = |cluster: &Cluster| (1..=4).all(|id| cluster.view(id) == 1 && cluster.is_active(id));
    cluster.wait_until("that all have left the view", left);
    assert_eq!([2, 4].map(|id| convicted(&cluster, id)[0].id), [1, 1]);
}

#[test]
fn views_of_convicted_primaries_are_passed_over() {
    let mut cluster = Cluster::new(7);
    convict(&mut cluster, 2, 5);
    cluster.settle();
    assert_eq!(cluster.view(5), 0, "who is not the primary is not left");
    convict(&mut cluster, 1, 5);
    let left = |cluster: &Cluster| (1..=7).all(|id| cluster.view(id) == 2 && cluster.is_active(id));
    cluster.wait_until("that node 3 is the primary", left);
}

#[test]
fn with_more_liars_than_are_tolerated_views_do_not_follow_each_other_for_ever() {
    let mut cluster = Cluster::new(4);
    for liar in [1, 2, 4] {
        convict(&mut cluster, liar, 3);
    }
    cluster.advance(5_000);
    assert!(cluster.view(3) <= 3, "{}", cluster.view(3));
}

#[test]
fn a_replica_that_starts_again_leaves_the_primary_that_its_log_convicts() {
    let mut cluster = Cluster::new(4);
    convict(&mut cluster, 1, 3);
    cluster.settle();
    cluster.restart(3);
    cluster.advance(500);
    assert_eq!((cluster.view(3), cluster.is_active(3)), (1, true));
}
