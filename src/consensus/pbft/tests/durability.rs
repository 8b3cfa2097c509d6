//! What survives a crash, and what must not leave before it would. That nothing contradicts what was said in an earlier
//! life is checked at every message that leaves, here and everywhere.

use super::cluster::{Cluster, sequence, view};
use crate::consensus::pbft::{Batch, Message, Stable};

#[test]
fn no_word_leaves_and_none_counts_before_it_is_durable() {
    let mut cluster = Cluster::new(4);
    (1..=4).for_each(|id| cluster.node_mut(id).disk_on = false);
    let request = cluster.sign(1, "a");
    cluster.send(1, &request);
    assert!(cluster.node(1).held_kinds().contains("PrePrepare"));
    cluster.settle();
    assert_eq!(cluster.status(2).last, 0, "the PRE-PREPARE waits for the primary's disk");
    cluster.sync(1);
    cluster.settle();
    assert!(cluster.node(2).held_kinds().contains("Prepare"));
    cluster.sync(2);
    cluster.sync(3);
    cluster.settle();
    assert!(!cluster.node(4).held_kinds().contains("Commit"), "its own PRE-PREPARE is not durable");
    assert!(cluster.node(2).held_kinds().contains("Commit"), "its certificate is not");
    cluster.sync(2);
    cluster.sync(3);
    cluster.settle();
    assert_eq!(cluster.applied(1), 0, "two COMMITs, and its own does not count yet");
    cluster.sync(1);
    cluster.settle();
    assert_eq!(cluster.applied(1), 1);
}

#[test]
fn a_checkpoint_leaves_after_what_it_covers_is_durable() {
    let mut cluster = Cluster::new(4);
    (1..=3).for_each(|counter| cluster.put(counter, "x"));
    cluster.node_mut(4).disk_on = false;
    cluster.put(4, "x");
    assert_eq!(cluster.detail(1, "stable_checkpoint"), 4, "three replicas are enough");
    cluster.sync(4);
    cluster.settle();
    cluster.sync(4);
    cluster.settle();
    cluster.sync(4);
    cluster.settle();
    assert_eq!(cluster.detail(4, "stable_checkpoint"), 4);
}

#[test]
fn a_view_change_and_a_new_view_leave_after_they_are_durable() {
    let mut cluster = Cluster::new(4);
    cluster.crash(1);
    let request = cluster.sign(1, "a");
    cluster.send_to_all(&request);
    (2..=4).for_each(|id| cluster.node_mut(id).disk_on = false);
    cluster.wait_until("a view change", |cluster| {
        !cluster.is_active(2) && !cluster.is_active(3) && !cluster.is_active(4)
    });
    assert!((2..=4).all(|id| cluster.node(id).held_kinds().contains("ViewChange")));
    cluster.sync(3);
    cluster.sync(4);
    cluster.settle();
    assert!(!cluster.is_active(2), "its own VIEW-CHANGE is the third, and not durable");
    cluster.sync(2);
    cluster.settle();
    assert!(cluster.node(2).held_kinds().contains("NewView"));
    assert!(!cluster.is_active(3));
    (2..=4).for_each(|id| cluster.node_mut(id).disk_on = true);
    cluster.sync(2);
    cluster.wait_executed(&["a"]);
}

/// A run in which the request goes through all phases, a view change among them, with a crash of one replica after so many
/// messages.
fn crash_after(victim: u64, messages: usize, with_disk: bool) -> bool {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    cluster.block(1, 4);
    let request = cluster.sign(2, "b");
    cluster.send_to_all(&request);
    cluster.node_mut(victim).disk_on = with_disk;
    for _ in 0..messages {
        if !cluster.deliver_if(|_| true) {
            break;
        }
    }
    let done = cluster.network.is_empty();
    cluster.node_mut(victim).disk_on = true;
    cluster.restart(victim);
    cluster.heal();
    cluster.send_to_all(&request);
    cluster.wait_executed(&["a", "b"]);
    assert_eq!(cluster.answered(2), 4);
    done
}

#[test]
fn a_replica_that_crashes_at_any_point_comes_back_and_stands_by_its_word() {
    for victim in [1, 2, 4] {
        for with_disk in [true, false] {
            let done = (0..60).any(|messages| crash_after(victim, messages, with_disk));
            assert!(done, "the run is longer than what was tried");
        }
    }
}

#[test]
fn all_are_killed_in_the_middle_of_a_view_change() {
    for messages in 0..24 {
        let mut cluster = Cluster::new(4);
        (1..=5).for_each(|counter| cluster.put(counter, "x"));
        let request = cluster.sign(6, "last");
        cluster.send_to_all(&request);
        cluster.deliver_kinds(&["PrePrepare", "Prepare"]);
        cluster.lose_kind("Commit");
        cluster.isolate(1);
        cluster.wait_until("a view change", |cluster| (2..=4).any(|id| !cluster.is_active(id)));
        for _ in 0..messages {
            cluster.deliver_if(|_| true);
        }
        let views: Vec<u64> = (1..=4).map(|id| cluster.view(id)).collect();
        cluster.network.clear();
        (1..=4).for_each(|id| cluster.restart(id));
        assert!((1..=4).all(|id| cluster.view(id) >= views[id as usize - 1]), "views never go back");
        cluster.heal();
        cluster.send_to_all(&request);
        cluster.wait_executed(&["x", "x", "x", "x", "x", "last"]);
    }
}

#[test]
fn all_are_killed_right_after_a_stable_checkpoint() {
    for save in [1, usize::MAX] {
        let mut cluster = Cluster::with_options(4, |options| options.snapshot_bytes = save);
        (1..=4).for_each(|counter| cluster.put(counter, "x"));
        assert!((1..=4).all(|id| cluster.detail(id, "stable_checkpoint") == 4));
        assert_eq!(cluster.node(1).saved_index(), if save == 1 { 4 } else { 0 });
        cluster.network.clear();
        (1..=4).for_each(|id| cluster.restart(id));
        cluster.settle();
        cluster.assert_equal(&["x"; 4]);
        cluster.put(5, "y");
        cluster.wait_executed(&["x", "x", "x", "x", "y"]);
    }
}

#[test]
fn nothing_that_was_answered_is_lost_when_all_are_killed_again_and_again() {
    let mut cluster = Cluster::new(4);
    for round in 1..=12 {
        let request = cluster.sign(round, "x");
        cluster.send_to_all(&request);
        cluster.wait_until("an answer", |cluster| cluster.answered(round) >= 2);
        (1..=4).for_each(|id| cluster.restart(id));
        cluster.network.clear();
    }
    cluster.wait_executed(&["x"; 12]);
}

#[test]
fn null_requests_survive_a_restart() {
    let mut cluster = super::view_change::with_a_gap();
    (1..=4).for_each(|id| cluster.restart(id));
    cluster.settle();
    let applied: Vec<u64> = (2..=4).map(|id| cluster.applied(id)).collect();
    assert!(applied.iter().all(|applied| *applied >= 2), "{applied:?}");
    cluster.heal();
    let request = cluster.sign(9, "after");
    cluster.send_to_all(&request);
    cluster.wait_until("one more", |cluster| {
        (1..=4).all(|id| cluster.executed(id).contains(&"after".to_owned()))
    });
}

/// Replica 4 has its state at 4 on disk, and its log does not know yet that it is stable.
fn saved_before_the_log_knew() -> Cluster {
    let mut cluster = Cluster::new(4);
    (1..=3).for_each(|counter| cluster.put(counter, "x"));
    let request = cluster.sign(4, "x");
    cluster.send(1, &request);
    cluster.deliver_kinds(&["PrePrepare", "Prepare"]);
    cluster.node_mut(4).disk_on = false;
    cluster.settle();
    assert_eq!((cluster.node(4).saved_index(), cluster.detail(4, "low_water_mark")), (4, 4));
    cluster.node_mut(4).disk_on = true;
    cluster.restart(4);
    assert_eq!((cluster.applied(4), cluster.detail(4, "low_water_mark")), (4, 0));
    cluster
}

#[test]
fn a_saved_state_ahead_of_the_log_makes_nobody_forget_what_he_said() {
    let mut cluster = saved_before_the_log_knew();
    let batch = Batch(vec![cluster.sign(9, "another")]);
    let pre_prepare = cluster.cast.pre_prepare(view(0), sequence(4), batch.digest());
    cluster.inject(1, 4, Message::PrePrepare { pre_prepare, batch });
    assert!(cluster.node(4).traced("proposed something else"));
    cluster.put(5, "y");
    cluster.wait_executed(&["x", "x", "x", "x", "y"]);
}

#[test]
fn a_saved_state_ahead_of_the_log_keeps_the_certificates_for_a_view_change() {
    let mut cluster = saved_before_the_log_knew();
    for replica in [2, 3] {
        let said = cluster.cast.view_change(replica, view(1), Stable::default(), Vec::new());
        cluster.inject(replica, 4, Message::ViewChange(said));
    }
    let proved = |cluster: &Cluster| {
        cluster.network.iter().any(|envelope| {
            matches!(&envelope.message, Message::ViewChange(said)
                if said.body.replica.0 == 4 && said.body.prepared.len() == 4)
        })
    };
    assert!(proved(&cluster), "it tells what prepared above its low water mark");
}

#[test]
fn what_waits_for_a_stalled_disk_is_bounded() {
    const LIMIT: usize = 8_000;
    let mut cluster = Cluster::with_options(4, |options| options.max_undurable_bytes = LIMIT);
    cluster.node_mut(4).disk_on = false;
    for counter in 1..=100 {
        cluster.put(counter, "x");
        cluster.advance(50);
        let (bytes, messages) = cluster.node(4).waiting();
        assert!(bytes <= LIMIT + 2_000, "{bytes} bytes of records wait after {counter} requests");
        assert!(messages <= 100, "{messages} messages wait after {counter} requests");
    }
    assert_eq!(cluster.applied(1), 100, "three replicas are enough");
    assert!(cluster.applied(4) < 50, "{} slots are executed", cluster.applied(4));
    assert!(cluster.status(4).why.iter().any(|why| why.contains("disk does not keep up")));
    cluster.node_mut(4).disk_on = true;
    cluster.sync(4);
    cluster.wait_executed(&["x"; 100]);
}

#[test]
fn what_waits_for_a_stalled_disk_is_bounded_in_view_changes() {
    const LIMIT: usize = 8_000;
    let mut cluster = Cluster::with_options(4, |options| options.max_undurable_bytes = LIMIT);
    cluster.node_mut(4).disk_on = false;
    for counter in 1..=12 {
        // The primary does not hear of it, and is left.
        let request = cluster.sign(counter, "x");
        let primary = (cluster.view(2).max(cluster.view(3)) % 4) + 1;
        (1..=4).filter(|id| *id != primary).for_each(|id| cluster.send(id, &request));
        cluster.lose(|envelope| matches!(envelope.message, Message::Request(_)));
        cluster.advance(4_000);
        let (bytes, messages) = cluster.node(4).waiting();
        assert!(bytes <= 2 * LIMIT, "{bytes} bytes of records wait after {counter} requests");
        assert!(messages <= 100, "{messages} messages wait after {counter} requests");
    }
    cluster.node_mut(4).disk_on = true;
    cluster.sync(4);
    let request = cluster.sign(13, "last");
    cluster.send_to_all(&request);
    cluster.wait_until("the last request", |cluster| {
        (1..=4).all(|id| cluster.executed(id).contains(&"last".to_owned()))
    });
}

#[test]
fn a_primary_whose_disk_stalls_says_so_while_nobody_asks_for_anything() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    let stalls = |cluster: &Cluster, id| {
        cluster.status(id).why.iter().any(|why| why.contains("the disk has not answered for"))
    };
    cluster.advance(5_000);
    assert!(!stalls(&cluster, 1));
    let records = cluster.node(1).log_length();
    cluster.node_mut(1).disk_on = false;
    cluster.advance(3_000);
    assert!(stalls(&cluster, 1), "{:?}", cluster.status(1));
    cluster.node_mut(1).disk_on = true;
    cluster.sync(1);
    assert!(!stalls(&cluster, 1));
    assert_eq!(cluster.node(1).log_length(), records, "asking the disk writes nothing");
}
