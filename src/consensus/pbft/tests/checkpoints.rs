//! Checkpoints, the window, and wrong states (TOCS §4.4).

use super::cluster::{Cluster, sequence, view};
use crate::consensus::pbft::{Batch, Message};

fn fill(cluster: &mut Cluster, counters: std::ops::RangeInclusive<u64>) {
    for counter in counters {
        cluster.put(counter, "x");
    }
}

#[test]
fn a_stable_checkpoint_moves_the_window_and_frees_the_log() {
    let mut cluster = Cluster::new(4);
    let mut lengths = Vec::new();
    for round in 0..10 {
        fill(&mut cluster, 4 * round + 1..=4 * round + 4);
        assert!((1..=4).all(|id| cluster.detail(id, "low_water_mark") == 4 * round + 4));
        lengths.push(cluster.node(1).log_length());
    }
    assert_eq!(lengths[2], lengths[9], "the log on disk does not grow: {lengths:?}");
    assert!(cluster.replica(1).slots.len() <= 8);
    (1..=4).for_each(|id| cluster.restart(id));
    cluster.settle();
    assert!((1..=4).all(|id| cluster.applied(id) == 40));
}

#[test]
fn who_missed_the_checkpoints_gets_the_proof() {
    let mut cluster = Cluster::new(4);
    // Everything but CHECKPOINTs reaches replica 4.
    for counter in 1..=4 {
        let request = cluster.sign(counter, "x");
        cluster.send(1, &request);
        while cluster
            .deliver_if(|envelope| envelope.to != 4 || !matches!(envelope.message, Message::Checkpoint(_)))
        {
        }
    }
    cluster.lose(|envelope| matches!(envelope.message, Message::Checkpoint(_)));
    assert_eq!((cluster.detail(1, "low_water_mark"), cluster.detail(4, "low_water_mark")), (4, 0));
    cluster.advance(300);
    assert_eq!(cluster.detail(4, "low_water_mark"), 4);
    fill(&mut cluster, 5..=20);
    cluster.wait_executed(&["x"; 20]);
}

#[test]
fn a_primary_that_skips_ahead_does_not_exhaust_the_window() {
    let mut cluster = Cluster::new(4);
    cluster.crash(1);
    let request = cluster.sign(1, "a");
    let batch = Batch(vec![cluster.sign(2, "b")]);
    let propose = |cluster: &mut Cluster, number: u64| {
        let pre_prepare = cluster.cast.pre_prepare(view(0), sequence(number), batch.digest());
        for to in 2..=4 {
            cluster.inject(1, to, Message::PrePrepare { pre_prepare, batch: batch.clone() });
        }
        cluster.settle();
    };
    propose(&mut cluster, 9);
    assert!((2..=4).all(|id| cluster.status(id).last == 0), "9 is above h + L");
    propose(&mut cluster, 8);
    assert!((2..=4).all(|id| cluster.status(id).last == 8), "8 is in the window");
    cluster.send_to_all(&request);
    cluster.wait_until("the next view fills the gap and goes on", |cluster| {
        (2..=4).all(|id| cluster.executed(id) == ["b", "a"])
    });
    assert!((2..=4).all(|id| cluster.view(id) == 1));
}

#[test]
fn a_replica_whose_state_is_wrong_says_so_and_repairs_it() {
    let mut cluster = Cluster::new(4);
    fill(&mut cluster, 1..=6);
    cluster.node_mut(3).store.rot();
    cluster.lose_kind("FetchState");
    fill(&mut cluster, 7..=8);
    cluster.advance(200);
    let why = cluster.status(3).why.join("; ");
    assert!(why.contains("differs from the stable one"), "{why}");
    cluster.heal();
    cluster.wait_until("the repair", |cluster| cluster.status(3).why.is_empty());
    fill(&mut cluster, 9..=9);
    cluster.wait_executed(&["x"; 9]);
    assert_eq!(cluster.node(3).store.digest(), cluster.node(1).store.digest());
    fill(&mut cluster, 10..=13);
    assert_eq!(cluster.detail(3, "low_water_mark"), 12);
    assert_eq!(cluster.node(3).store.digest(), cluster.node(1).store.digest());
}

#[test]
fn a_wrong_state_that_is_found_late_is_repaired_and_what_followed_is_executed_again() {
    let mut cluster = Cluster::new(4);
    fill(&mut cluster, 1..=4);
    cluster.node_mut(2).store.rot();
    // The others' CHECKPOINTs come only after replica 2 has gone on.
    (5..=10).for_each(|counter| cluster.put_without_checkpoints_to(2, counter, "x"));
    assert_eq!(cluster.applied(2), 10);
    cluster.settle();
    cluster.wait_executed(&["x"; 10]);
    cluster.wait_until("health", |cluster| cluster.status(2).why.is_empty());
    assert_eq!(cluster.node(2).store.digest(), cluster.node(1).store.digest());
    fill(&mut cluster, 11..=20);
    cluster.wait_executed(&["x"; 20]);
    assert_eq!(cluster.node(2).store.digest(), cluster.node(1).store.digest());
}

#[test]
fn states_are_saved_by_bytes_and_not_at_every_checkpoint() {
    let mut cluster = Cluster::with_options(4, |options| options.snapshot_bytes = 1 << 20);
    fill(&mut cluster, 1..=12);
    assert_eq!(cluster.node(1).saved_index(), 0);
    let word: &'static str = Box::leak("y".repeat(400_000).into_boxed_str());
    (13..=16).for_each(|counter| cluster.put(counter, word));
    assert_eq!(cluster.node(1).saved_index(), 16);
}
