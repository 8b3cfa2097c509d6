//! Slow, stalled and full disks.

use super::cluster::Cluster;
use crate::consensus::{Input, NodeId, Pressure, RejectReason, Role, Shortage};

#[test]
fn a_leader_whose_disk_stalls_hands_over() {
    let mut cluster = Cluster::led(3);
    cluster.node_mut(1).disk_on = false;
    cluster.propose(1, "a");
    cluster.advance(1_000);
    assert_ne!(cluster.role(1), Role::Leader);
    let leader = (2..=3).find(|id| cluster.role(*id) == Role::Leader).expect("another leads");
    assert_eq!(cluster.commands(leader), ["a"]);
    assert!(cluster.node(1).status().why.iter().any(|why| why.contains("disk has not answered")));
    // It stays out of office while its disk does not answer, and follows when it does.
    cluster.advance(5_000);
    assert_eq!(cluster.role(leader), Role::Leader);
    cluster.node_mut(1).disk_on = true;
    cluster.sync(1);
    cluster.advance(200);
    assert_eq!(cluster.commands(1), ["a"]);
}

#[test]
fn a_leader_whose_disk_stalls_while_nobody_writes_hands_over() {
    let mut cluster = Cluster::led(3);
    cluster.advance(5_000);
    assert_eq!(
        (cluster.role(1), cluster.records(1).len()),
        (Role::Leader, 2),
        "asking the disk writes nothing"
    );
    cluster.node_mut(1).disk_on = false;
    cluster.advance(3_000);
    assert_ne!(cluster.role(1), Role::Leader);
    assert!((2..=3).any(|id| cluster.role(id) == Role::Leader), "another leads");
    assert!(cluster.node(1).status().why.iter().any(|why| why.contains("disk has not answered")));
    cluster.node_mut(1).disk_on = true;
    cluster.sync(1);
    cluster.advance(200);
    assert!(cluster.node(1).status().why.is_empty(), "{:?}", cluster.node(1).status().why);
}

#[test]
fn what_waits_for_a_stalled_disk_is_bounded() {
    // Through many terms: leaders come and go, while the followers' disk says nothing.
    let mut cluster = Cluster::led_with(3, |options| {
        options.max_append_bytes = 1_000;
        options.max_inflight_bytes = 4_000;
    });
    cluster.node_mut(3).disk_on = false;
    let mut leader = 1;
    for _ in 0..6 {
        for _ in 0..100 {
            cluster.propose(leader, "x");
            cluster.settle();
        }
        cluster.advance(2_000);
        cluster.handle(leader, Input::TransferLeadership(Some(NodeId(3 - leader))));
        cluster.settle();
        leader = 3 - leader;
        assert_eq!(cluster.role(leader), Role::Leader);
        let (bytes, messages) = cluster.node(3).waiting();
        assert!(bytes <= 8_000 && messages <= 200, "{bytes} bytes of records and {messages} messages wait");
    }
    assert_eq!(cluster.commands(leader).len(), 600);
    cluster.node_mut(3).disk_on = true;
    cluster.sync(3);
    cluster.advance(2_000);
    assert_eq!(cluster.commands(3).len(), 600);
}

#[test]
fn a_server_whose_disk_has_stalled_does_not_campaign() {
    let mut cluster = Cluster::led(3);
    cluster.node_mut(2).disk_on = false;
    cluster.propose(1, "a");
    cluster.settle();
    cluster.crash(1);
    cluster.crash(3);
    cluster.advance(5_000);
    assert_eq!((cluster.role(2), cluster.raft(2).term().0), (Role::Follower, 1));
    // Nor when there is someone who would vote for it.
    cluster.restart(3);
    cluster.advance(5_000);
    assert_eq!(cluster.role(2), Role::Follower);
}

#[test]
fn a_follower_with_a_full_disk_votes_and_takes_entries_when_there_is_room() {
    let mut cluster = Cluster::led(3);
    cluster.storage(3, Pressure::Full(Shortage::Disk));
    cluster.journal.clear();
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.advance(1_000);
    assert_eq!((cluster.commands(1).len(), cluster.raft(3).last_index().0), (2, 1));
    let refusals = cluster.journal.matches("AppendEntriesResponse Full").count();
    assert!((10..=25).contains(&refusals), "one a heartbeat: {refusals}");
    let status = cluster.node(1).status();
    assert_eq!(status.peers[1].state, "disk full");
    let why = status.peers[1].why.as_deref();
    assert_eq!(why, Some("takes no entries: its disk is full"), "{status:?}");

    cluster.isolate(1);
    cluster.advance(700);
    cluster.elect(2);
    cluster.storage(3, Pressure::Ok);
    cluster.advance(200);
    assert_eq!(cluster.commands(3), ["a", "b"]);
}

#[test]
fn a_leader_with_a_full_disk_hands_over_and_refuses_until_then() {
    let mut cluster = Cluster::led(3);
    cluster.storage(1, Pressure::Full(Shortage::Disk));
    cluster.propose(1, "a");
    assert_eq!(cluster.node(1).rejected.len(), 1);
    cluster.settle();
    assert_ne!(cluster.role(1), Role::Leader);
}

#[test]
fn a_leader_refuses_when_its_log_has_no_room_in_memory() {
    let mut cluster = Cluster::led_with(1, |options| options.max_log_bytes = 200);
    for _ in 0..5 {
        cluster.propose(1, "x");
    }
    assert!(!cluster.node(1).rejected.is_empty());
    assert!(cluster.commands(1).len() >= 2);
}

#[test]
fn status_names_what_is_wrong() {
    let mut cluster = Cluster::led(3);
    cluster.isolate(3);
    cluster.advance(700);
    let status = cluster.node(1).status();
    assert!(status.why.is_empty(), "what a follower lacks is told of the follower: {status:?}");
    let why = status.peers[1].why.clone().unwrap_or_default();
    assert!(why.starts_with("has not answered the leader for 0."), "{why:?}");
    cluster.isolate(1);
    cluster.advance(400);
    let why = cluster.node(1).status().why;
    assert_eq!(why[0], "no quorum: 1 of 3 reachable", "{why:?}");
    cluster.advance(2_000);
    let why = cluster.node(1).status().why;
    assert!(why[0].starts_with("no leader known for ") && why[1] == "no quorum: 1 of 3 reachable", "{why:?}");
}

#[test]
fn where_all_disks_are_full_one_leads_and_what_is_there_can_be_read() {
    let mut cluster = Cluster::led(3);
    cluster.propose(1, "a");
    cluster.settle();
    (1..=3).for_each(|id| cluster.storage(id, Pressure::Full(Shortage::Disk)));
    cluster.advance(3_000);
    let leaders: Vec<u64> = (1..=3).filter(|id| cluster.role(*id) == Role::Leader).collect();
    assert_eq!(leaders.len(), 1);
    assert!(cluster.raft(leaders[0]).term().0 <= 3, "leadership is not passed round");
    cluster.read(leaders[0], 1);
    cluster.advance(100);
    assert_eq!(cluster.node(leaders[0]).reads.len(), 1);
    assert!(cluster.node(leaders[0]).reads[0].1.is_ok());
    cluster.propose(leaders[0], "b");
    assert_eq!(cluster.node(leaders[0]).rejected[0].1.reason, RejectReason::StorageFull);
    (1..=3).for_each(|id| cluster.storage(id, Pressure::Ok));
    cluster.propose(leaders[0], "c");
    cluster.advance(1_000);
    (1..=3).for_each(|id| assert_eq!(cluster.commands(id), ["a", "c"]));
}

#[test]
fn a_server_that_can_say_nothing_keeps_nothing_to_say() {
    let mut cluster = Cluster::led(3);
    // Its disk stalls with the record of a new term on it: every message waits for that.
    cluster.node_mut(3).disk_on = false;
    cluster.handle(1, Input::TransferLeadership(Some(NodeId(2))));
    cluster.advance(1_000);
    assert_eq!(cluster.node(3).status().leader, Some(2));
    for number in 0..100 {
        cluster.propose(3, "a");
        cluster.read(3, number);
    }
    cluster.advance(2_000);
    let held = cluster.node(3).held_kinds();
    assert!(!held.iter().any(|kind| matches!(*kind, "Forward" | "ReadIndex")), "{held:?}");
    cluster.node_mut(3).disk_on = true;
    cluster.sync(3);
    cluster.advance(2_000);
    assert_eq!(cluster.commands(2).len(), 100);
    assert_eq!(cluster.node(3).reads.len(), 100);
}

#[test]
fn a_follower_whose_disk_was_full_while_the_log_was_compacted_gets_the_snapshot() {
    let mut cluster = Cluster::led_with(3, |options| {
        options.snapshot_log_bytes = 300;
        options.keep_log_bytes = 0;
    });
    cluster.storage(3, Pressure::Full(Shortage::Disk));
    for _ in 0..20 {
        cluster.propose(1, "a");
        cluster.settle();
    }
    cluster.advance(500);
    cluster.finish_checkpoint(1);
    cluster.storage(3, Pressure::Ok);
    cluster.advance(2_000);
    assert_eq!(cluster.commit(3), cluster.commit(1));
}
