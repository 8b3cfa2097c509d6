//! The normal case (TOCS §4.3).

use super::cluster::{Cluster, sequence, view};
use crate::consensus::pbft::{Batch, Commit, Message, Prepare};
use crate::consensus::{Digest, NodeId, Role};

#[test]
fn a_request_is_executed_by_all_and_answered_by_all() {
    for size in 1..=7 {
        let mut cluster = Cluster::new(size);
        cluster.put(1, "a");
        cluster.assert_equal(&["a"]);
        assert_eq!(cluster.answered(1), size as usize);
        assert_eq!(cluster.status(1).role, Role::Leader);
        assert!((1..=size).all(|id| cluster.view(id) == 0));
    }
}

#[test]
fn callers_of_every_replica_are_answered() {
    for size in [1, 4] {
        let mut cluster = Cluster::new(size);
        for id in 1..=size {
            let request = cluster.propose(id, "a");
            cluster.settle();
            let answers = &cluster.node(id).answers;
            assert_eq!(answers.last().map(|(id, _)| *id), Some(request), "n{id} of {size}");
        }
    }
}

#[test]
fn what_waits_while_batches_are_under_way_is_the_next_batch() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "0");
    for counter in 2..=11 {
        let request = cluster.sign(counter, "x");
        cluster.send(1, &request);
    }
    assert_eq!(cluster.status(1).last, 5, "four are under way, each with what waited then");
    cluster.settle();
    assert_eq!(cluster.applied(2), 6, "the rest is one batch");
    assert_eq!(cluster.answered(11), 4);
}

#[test]
fn votes_that_come_before_their_pre_prepare_count() {
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "a");
    cluster.send(1, &request);
    // The others' votes reach replica 4 first, and the PRE-PREPARE comes last.
    let waits = |message: &Message| {
        matches!(message, Message::PrePrepare { .. } | Message::FetchBatch(_) | Message::Batch { .. })
    };
    while cluster.deliver_if(|envelope| !waits(&envelope.message) || envelope.to != 4 && envelope.from != 4) {
    }
    assert_eq!(cluster.applied(4), 0, "it knows that something is committed, and not what");
    cluster.settle();
    cluster.assert_equal(&["a"]);
}

#[test]
fn votes_that_one_replica_repeats_count_once() {
    let mut cluster = Cluster::new(4);
    cluster.isolate(4);
    let request = cluster.sign(1, "a");
    let digest = Batch(vec![request.clone()]).digest();
    cluster.send(1, &request);
    cluster.deliver_if(|envelope| envelope.to == 2);
    for _ in 0..5 {
        let prepare = cluster.cast.prepare(3, view(0), sequence(1), digest);
        cluster.inject(3, 2, Message::Prepare(prepare));
    }
    let prepared = |cluster: &Cluster| {
        cluster.network.iter().any(|e| e.from == 2 && matches!(e.message, Message::Commit(_)))
    };
    assert!(prepared(&cluster), "its own PREPARE and one more are Q - 1");
    for _ in 0..5 {
        let body = Commit { view: view(0), sequence: sequence(1), digest, replica: NodeId(3) };
        let commit = cluster.cast.signer(3).sign(body);
        cluster.inject(3, 2, Message::Commit(commit));
    }
    assert_eq!(cluster.applied(2), 0, "two COMMITs are no quorum, however often one comes");
}

#[test]
fn votes_for_another_digest_do_not_count() {
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "a");
    cluster.send(1, &request);
    cluster.deliver_if(|envelope| envelope.to == 2);
    let other = Digest([9; 32]);
    for replica in [3, 4] {
        let prepare = cluster.cast.prepare(replica, view(0), sequence(1), other);
        cluster.inject(replica, 2, Message::Prepare(prepare));
    }
    assert!(!cluster.network.iter().any(|e| e.from == 2 && matches!(e.message, Message::Commit(_))));
    for replica in [1, 3, 4] {
        let body = Commit { view: view(0), sequence: sequence(2), digest: other, replica: NodeId(replica) };
        let commit = cluster.cast.signer(replica).sign(body);
        cluster.inject(replica, 3, Message::Commit(commit));
    }
    assert_eq!(cluster.applied(3), 0, "what is committed above a gap waits for it");
}

#[test]
fn a_primary_that_proposes_two_batches_for_a_slot_gets_neither_voted_for_by_all() {
    let mut cluster = Cluster::new(4);
    cluster.crash(1);
    let (a, b) = (cluster.sign(1, "a"), cluster.sign(2, "b"));
    for (to, request) in [(2, &a), (3, &a), (4, &b)] {
        let batch = Batch(vec![request.clone()]);
        let pre_prepare = cluster.cast.pre_prepare(view(0), sequence(1), batch.digest());
        cluster.inject(1, to, Message::PrePrepare { pre_prepare, batch });
    }
    let second = Batch(vec![b.clone()]);
    let pre_prepare = cluster.cast.pre_prepare(view(0), sequence(1), second.digest());
    cluster.inject(1, 2, Message::PrePrepare { pre_prepare, batch: second });
    assert!(cluster.node(2).traced("the primary proposed something else"));
    // The proof makes them leave the view; until the next one begins, nothing is decided.
    cluster.lose_kind("NewView");
    cluster.settle();
    assert!((2..=4).all(|id| cluster.applied(id) == 0), "neither has a quorum");
    cluster.heal();
    cluster.send_to_all(&a);
    cluster.send_to_all(&b);
    cluster.wait_until("both are executed in a later view", |cluster| {
        (2..=4).all(|id| cluster.executed(id).len() == 2)
    });
    assert!((2..=4).all(|id| cluster.executed(id) == cluster.executed(2)));
}

#[test]
fn a_prepare_of_the_primary_does_not_pass_the_check() {
    let cluster = Cluster::new(4);
    let body = Prepare { view: view(0), sequence: sequence(1), digest: Digest([1; 32]), replica: NodeId(1) };
    let prepare = cluster.cast.signer(1).sign(body);
    assert!(cluster.refusal(2, 1, Message::Prepare(prepare)).is_some());
}

#[test]
fn lost_messages_are_sent_again() {
    for kind in ["PrePrepare", "Prepare", "Commit", "Checkpoint"] {
        let mut cluster = Cluster::new(4);
        cluster.lose_kind(kind);
        (1..=5).for_each(|counter| cluster.put(counter, "x"));
        cluster.heal();
        cluster.wait_until("five slots", |cluster| (1..=4).all(|id| cluster.executed(id).len() == 5));
        cluster.wait_until("a checkpoint", |cluster| {
            (1..=4).all(|id| cluster.detail(id, "stable_checkpoint") == 4)
        });
        assert!((1..=4).all(|id| cluster.view(id) == 0), "{kind}: no view change");
    }
}

#[test]
fn a_full_disk_takes_nothing_new() {
    use crate::consensus::{Pressure, RejectReason, Shortage};
    let mut cluster = Cluster::new(4);
    cluster.storage(1, Pressure::Full(Shortage::Disk));
    cluster.put(1, "a");
    assert_eq!(cluster.status(1).last, 0, "a primary without room proposes nothing");
    cluster.propose(1, "b");
    assert_eq!(cluster.node(1).rejected[0].1.reason, RejectReason::StorageFull);
    assert!(cluster.node(1).rejected[0].1.never_executed);
    cluster.storage(1, Pressure::Ok);
    cluster.storage(4, Pressure::Full(Shortage::Disk));
    cluster.put(2, "c");
    assert_eq!(cluster.status(4).last, 0, "a backup without room accepts nothing");
    assert_eq!(cluster.answered(2), 3);
    cluster.storage(4, Pressure::Ok);
    cluster.wait_executed(&["a", "c"]);
}

#[test]
fn who_was_told_lies_alone_is_shown_the_votes_that_decided() {
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "a");
    cluster.send(1, &request);
    // The primary tells replica 4 something else, and commits to that towards it.
    cluster.lose(|envelope| envelope.to == 4);
    let batch = Batch(vec![cluster.sign(2, "b")]);
    let lie = cluster.cast.pre_prepare(view(0), sequence(1), batch.digest());
    let body = Commit { view: view(0), sequence: sequence(1), digest: batch.digest(), replica: NodeId(1) };
    let commit = cluster.cast.signer(1).sign(body);
    cluster.inject(1, 4, Message::PrePrepare { pre_prepare: lie, batch });
    cluster.inject(1, 4, Message::Commit(commit));
    cluster.block(1, 4);
    cluster.settle();
    assert_eq!(
        (cluster.applied(3), cluster.applied(4)),
        (1, 0),
        "two votes, and a liar's for something else"
    );
    // Nobody asks for anything more, no request is waited for, and nobody else hears of the proof.
    cluster.lose_kind("Evidence");
    cluster.lose_kind("ViewChange");
    cluster.wait_until("the same everywhere", |cluster| cluster.applied(4) == 1);
    cluster.assert_equal(&["a"]);
    assert_eq!([2, 3].map(|id| cluster.view(id)), [0, 0], "no view change was needed");
}

#[test]
fn batches_of_later_views_take_no_room_and_are_fetched_when_the_view_begins() {
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "a");
    let batch = Batch(vec![request.clone()]);
    let early = cluster.cast.pre_prepare(view(1), sequence(1), batch.digest());
    let proposal = Message::PrePrepare { pre_prepare: early, batch: batch.clone() };
    cluster.inject(2, 3, proposal);
    cluster.inject(2, 3, Message::Batch { sequence: sequence(1), batch });
    assert_eq!(cluster.replica(3).slots[&sequence(1)].batches_kept(), 0);
    cluster.crash(1);
    cluster.send_to_all(&request);
    cluster.wait_executed(&["a"]);
}
