//! How those who were away catch up (TOCS §4.6, §5.2).

use super::cluster::{Cluster, PIECES};
use crate::consensus::pbft::Message;

fn fill(cluster: &mut Cluster, counters: std::ops::RangeInclusive<u64>) {
    for counter in counters {
        cluster.put(counter, "x");
    }
}

/// Replica 4 was away, and the others have forgotten what it lacks.
fn left_behind() -> Cluster {
    let mut cluster = Cluster::new(4);
    cluster.isolate(4);
    fill(&mut cluster, 1..=14);
    cluster.heal();
    cluster
}

#[test]
fn who_lags_a_little_catches_up_by_messages() {
    let mut cluster = Cluster::new(4);
    cluster.isolate(4);
    fill(&mut cluster, 1..=3);
    cluster.heal();
    cluster.wait_executed(&["x"; 3]);
    assert!(!cluster.node(4).traced("fetches a state"));
}

#[test]
fn who_is_one_message_behind_at_a_checkpoint_needs_no_state() {
    let mut cluster = Cluster::new(4);
    fill(&mut cluster, 1..=3);
    let request = cluster.sign(4, "x");
    cluster.send(1, &request);
    // The checkpoint becomes stable at replica 4 before the COMMITs come.
    while cluster.deliver_if(|envelope| envelope.to != 4 || !matches!(envelope.message, Message::Commit(_))) {
    }
    assert_eq!((cluster.detail(4, "low_water_mark"), cluster.applied(4)), (4, 3));
    cluster.settle();
    assert_eq!(cluster.applied(4), 4);
    assert!(!cluster.node(4).traced("fetches a state"));
}

#[test]
fn who_lost_the_last_votes_before_a_checkpoint_needs_no_state() {
    let mut cluster = Cluster::new(4);
    fill(&mut cluster, 1..=3);
    let request = cluster.sign(4, "x");
    cluster.send(1, &request);
    while cluster.deliver_if(|envelope| envelope.to != 4 || !matches!(envelope.message, Message::Commit(_))) {
    }
    cluster.lose(|envelope| envelope.to == 4);
    cluster.wait_executed(&["x"; 4]);
    assert!(!cluster.node(4).traced("fetches a state"), "the others still have them");
}

#[test]
fn who_was_left_behind_fetches_the_state() {
    let mut cluster = left_behind();
    cluster.wait_executed(&["x"; 14]);
    assert!(cluster.node(4).traced("took over a state"));
    fill(&mut cluster, 15..=16);
    cluster.wait_executed(&["x"; 16]);
    assert_eq!(cluster.detail(4, "low_water_mark"), 16);
    cluster.restart(4);
    cluster.wait_executed(&["x"; 16]);
}

#[test]
fn who_took_over_a_state_answers_as_the_others_do() {
    let mut cluster = left_behind();
    cluster.wait_executed(&["x"; 14]);
    cluster.replies.clear();
    for counter in 1..=14 {
        let request = cluster.sign(counter, "x");
        cluster.send_to_all(&request);
        cluster.settle();
        assert_eq!(cluster.answered(counter), 4, "the same from all");
    }
}

#[test]
fn a_flood_of_questions_costs_no_more_than_a_few_answers() {
    use crate::consensus::pbft::{Batch, FetchBatch};
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "x");
    let digest = Batch(vec![request.clone()]).digest();
    fill(&mut cluster, 1..=1);
    for _ in 0..1000 {
        let fetch = FetchBatch { sequence: super::cluster::sequence(1), digest };
        cluster.inject(2, 1, Message::FetchBatch(fetch));
    }
    let answers = cluster.network.iter().filter(|envelope| matches!(envelope.message, Message::Batch { .. }));
    assert_eq!(answers.count(), 128);
}

#[test]
fn a_source_that_lies_is_found_out() {
    for liar in 1..=3 {
        let mut cluster = left_behind();
        cluster.node_mut(liar).lies = true;
        cluster.wait_executed(&["x"; 14]);
    }
}

#[test]
fn a_source_that_falls_silent_is_left() {
    for silent in 1..=3 {
        let mut cluster = left_behind();
        cluster.wait_until("the first pieces", |cluster| cluster.node(4).traced("fetches a state"));
        cluster.block(silent, 4);
        cluster.wait_executed(&["x"; 14]);
    }
}

#[test]
fn pieces_that_come_out_of_order_are_taken() {
    let mut cluster = left_behind();
    cluster.hold("State");
    for _ in 0..500 {
        if cluster.applied(4) >= 14 {
            break;
        }
        cluster.advance(5);
        cluster.deliver_held();
    }
    cluster.wait_executed(&["x"; 14]);
    let fetched =
        cluster.node(4).trace.iter().filter(|event| format!("{event:?}").contains("fetches a state"));
    assert_eq!(fetched.count(), 1, "{PIECES} pieces from one source");
}

#[test]
fn a_state_that_was_forgotten_meanwhile_is_replaced_by_a_newer_one() {
    let mut cluster = left_behind();
    cluster.lose_kind("State");
    cluster.advance(500);
    fill(&mut cluster, 15..=40);
    cluster.heal();
    cluster.wait_executed(&["x"; 40]);
}

/// Under load many checkpoints are stable before a large state has arrived.
#[test]
fn a_state_that_takes_longer_than_an_interval_to_send_arrives_under_load() {
    let mut cluster = left_behind();
    cluster.hold("State");
    cluster.wait_until("the transfer", |cluster| cluster.node(4).traced("fetches a state"));
    for first in (15..=54).step_by(8) {
        fill(&mut cluster, first..=first + 7);
        cluster.advance(100);
        cluster.deliver_one_held();
        cluster.settle();
    }
    cluster.stop_holding();
    cluster.wait_executed(&["x"; 54]);
    let of = |event: &String| event.contains("fetches a state") || event.contains("took over a state");
    let told: Vec<_> = cluster.node(4).trace.iter().map(|event| format!("{event:?}")).filter(of).collect();
    assert_eq!(told.len(), 2, "one was fetched, and the rest came by messages: {told:?}");
}

/// Who says that it fetches a state, and never gets on, does not make the others keep everything.
#[test]
fn what_is_kept_for_a_replica_that_is_behind_is_bounded() {
    let mut cluster = left_behind();
    cluster.hold("State");
    cluster.wait_until("the transfer", |cluster| cluster.node(4).traced("fetches a state"));
    cluster.deliver_one_held(); // The others keep this state, and the replica keeps to it.
    let value = "x".repeat(3 << 19);
    let mut most = 0;
    for counter in 15..=90 {
        cluster.put(counter, &value);
        cluster.advance(20);
        most = most.max(cluster.slots(1));
    }
    assert!((40..60).contains(&most), "{most}: 64 MiB, and what is always kept");
}

#[test]
fn nobody_talks_without_end_about_a_state_that_all_have_forgotten() {
    let mut cluster = left_behind();
    cluster.lose_kind("State");
    cluster.wait_until("the transfer", |cluster| cluster.node(4).traced("fetches a state"));
    (1..=3).for_each(|id| cluster.node_mut(id).forgets = true);
    cluster.heal();
    let before = cluster.delivered;
    cluster.advance(1000);
    assert!(cluster.delivered - before < 2000, "{} messages in a second", cluster.delivered - before);
    (1..=3).for_each(|id| cluster.node_mut(id).forgets = false);
    fill(&mut cluster, 15..=24);
    cluster.wait_executed(&["x"; 24]);
}

#[test]
fn messages_that_come_while_a_state_is_fetched_make_it_needless() {
    let mut cluster = Cluster::new(4);
    fill(&mut cluster, 1..=3);
    let request = cluster.sign(4, "x");
    cluster.send(1, &request);
    cluster.block_kind("Commit", 4);
    cluster.hold("State");
    cluster.settle();
    cluster.wait_until("the transfer", |cluster| cluster.node(4).traced("fetches a state"));
    // The COMMITs come, and its own checkpoint is saved, before the first piece.
    cluster.unblock_kind("Commit");
    cluster.wait_until("execution", |cluster| cluster.applied(4) == 4);
    cluster.deliver_held();
    cluster.advance(500);
    cluster.wait_executed(&["x"; 4]);
    assert!(cluster.status(4).why.is_empty(), "{:?}", cluster.status(4).why);
}

#[test]
fn a_transfer_survives_a_crash_in_the_middle() {
    for millis in [0, 100, 250, 300, 400] {
        let mut cluster = left_behind();
        cluster.advance(millis);
        cluster.restart(4);
        cluster.wait_executed(&["x"; 14]);
    }
}

#[test]
fn one_that_returns_after_a_view_change_finds_the_view_and_the_state() {
    let mut cluster = Cluster::new(4);
    cluster.crash(4);
    fill(&mut cluster, 1..=9);
    cluster.isolate(1);
    let request = cluster.sign(10, "y");
    cluster.send_to_all(&request);
    cluster.advance(3000);
    cluster.restart(4);
    cluster.send_to_all(&request);
    cluster.wait_until("both that were away", |cluster| {
        (2..=4).all(|id| cluster.executed(id).len() == 10 && cluster.is_active(id))
    });
    cluster.heal();
    cluster.wait_until("the old primary", |cluster| cluster.executed(1).len() == 10 && cluster.is_active(1));
}

#[test]
fn who_knows_what_is_committed_but_lacks_a_batch_that_all_have_forgotten_takes_the_state() {
    let mut cluster = Cluster::new(4);
    // Replica 4 hears all votes, and never what they are about.
    for kind in ["PrePrepare", "Batch", "Stable", "Checkpoint"] {
        cluster.block_kind(kind, 4);
    }
    fill(&mut cluster, 1..=8);
    cluster.unblock_kind("Checkpoint");
    fill(&mut cluster, 9..=14);
    assert_eq!((cluster.applied(4), cluster.applied(1)), (0, 14));
    cluster.heal();
    cluster.wait_executed(&["x"; 14]);
}
