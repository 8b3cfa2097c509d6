//! §7, Diss. §5.

use super::cluster::{Cluster, Envelope, PIECES};
use crate::consensus::raft::{Body, InstallOutcome, InstallSnapshot, Options, Record};
use crate::consensus::{Digest, Epoch, Index, NodeId, Role, SnapshotMeta};

/// Snapshots after every few entries, and nothing kept below them.
fn eager(options: &mut Options) {
    options.snapshot_log_bytes = 300;
    options.keep_log_bytes = 0;
}

fn write(cluster: &mut Cluster, leader: u64, count: usize) {
    for _ in 0..count {
        cluster.propose(leader, "x");
        cluster.settle();
    }
}

/// Server 3 is away while 1 and 2 take a snapshot.
fn one_behind() -> Cluster {
    let mut cluster = Cluster::led_with(3, eager);
    cluster.isolate(3);
    write(&mut cluster, 1, 10);
    cluster.finish_checkpoint(1);
    cluster.finish_checkpoint(2);
    cluster
}

fn meta(index: u64, epoch: u64) -> SnapshotMeta {
    let members = (1..=3).map(NodeId).collect();
    SnapshotMeta {
        index: Index(index),
        epoch: Epoch(epoch),
        members,
        digest: Digest::default(),
        pieces: PIECES,
    }
}

fn piece(meta: &SnapshotMeta, number: u32) -> Body {
    Body::InstallSnapshot(InstallSnapshot {
        meta: meta.clone(),
        number,
        data: bytes::Bytes::from_static(b"p"),
    })
}

#[test]
fn a_durable_snapshot_bounds_the_log_in_memory_and_on_disk() {
    let mut cluster = Cluster::led_with(1, eager);
    write(&mut cluster, 1, 10);
    let wanted = cluster.node(1).checkpoint.expect("a checkpoint");
    write(&mut cluster, 1, 10);
    assert_eq!(cluster.node(1).checkpoint, Some(wanted), "one at a time");
    cluster.finish_checkpoint(1);
    assert_eq!(cluster.raft(1).first_index(), wanted.next());
    cluster.restart(1);
    assert_eq!((cluster.raft(1).last_index(), cluster.commit(1)), (Index(21), wanted.0));
    cluster.elect(1);
    assert_eq!(cluster.commit(1), 22);
}

#[test]
fn a_tail_is_kept_for_followers_that_are_a_little_behind() {
    let mut cluster = Cluster::led_with(3, |options| {
        eager(options);
        options.keep_log_bytes = 200;
    });
    write(&mut cluster, 1, 10);
    let index = cluster.finish_checkpoint(1);
    let first = cluster.raft(1).first_index();
    assert!(first <= index && first > Index(1), "{first} of {index}");
    assert!(cluster.records(1).len() > 2);
}

/// The leader compacted what it would have sent next while its window for the follower was full: heartbeats ask about
/// the base then, and the answer is not a late one.
#[test]
fn a_follower_behind_a_full_window_and_a_compacted_log_gets_the_snapshot() {
    let mut cluster = Cluster::led_with(3, |options| {
        eager(options);
        options.max_inflight_messages = 1;
    });
    cluster.isolate(3);
    write(&mut cluster, 1, 10);
    cluster.finish_checkpoint(1);
    cluster.heal();
    cluster.advance(1_000);
    assert_eq!(cluster.commit(3), cluster.commit(1));
}

#[test]
fn a_follower_far_behind_gets_the_snapshot_and_goes_on_with_entries() {
    let mut cluster = one_behind();
    cluster.heal();
    cluster.advance(1_000);
    assert_eq!(cluster.commit(3), cluster.commit(1));
    assert!(cluster.journal.contains("n3: installed a snapshot"));
    let reset = |record: &Record| matches!(record, Record::Reset { .. });
    assert!(cluster.records(3).iter().any(reset));
    cluster.restart(3);
    assert_eq!(cluster.raft(3).last_index(), cluster.raft(1).last_index());
}

#[test]
fn lost_pieces_are_sent_again() {
    let mut cluster = one_behind();
    cluster.heal();
    cluster.timeout(1);
    while !cluster.deliver_kind("InstallSnapshot") {
        assert!(cluster.deliver_if(|_| true));
    }
    cluster.network.clear();
    cluster.advance(2_000);
    assert_eq!(cluster.commit(3), cluster.commit(1));
}

#[test]
fn a_follower_that_receives_a_snapshot_still_votes() {
    let mut cluster = one_behind();
    cluster.node_mut(3).install_on = false;
    cluster.heal();
    cluster.advance(500);
    assert!(cluster.node(3).status().why[0].contains("3 of 3 pieces"), "{:?}", cluster.node(3).status());
    cluster.crash(1);
    cluster.elect(2);
    assert!(cluster.commit(3) < 5, "nothing reaches the store while it is replaced");
    cluster.finish_install(3);
    cluster.advance(200);
    assert_eq!(cluster.commit(3), cluster.commit(2));
}

#[test]
fn a_stale_snapshot_drops_nothing() {
    let mut cluster = Cluster::led(3);
    write(&mut cluster, 1, 5);
    cluster.inject(1, 2, 1, piece(&meta(3, 1), 0));
    assert_eq!(cluster.raft(2).last_index(), Index(6));
    assert!(matches!(
        &cluster.sent(2, 1)[0].body,
        Body::InstallSnapshotResponse(r) if r.outcome == InstallOutcome::Done
    ));
}

#[test]
fn a_snapshot_whose_entry_is_in_the_log_keeps_what_follows() {
    // Entries 2 to 4 are held but not known to be committed; the snapshot ends at 3.
    let mut cluster = Cluster::led(3);
    cluster.block(2, 1);
    cluster.block(3, 1);
    write(&mut cluster, 1, 3);
    assert_eq!((cluster.raft(2).last_index(), cluster.commit(2)), (Index(4), 1));
    cluster.inject(1, 2, 1, piece(&meta(3, 1), 0));
    assert_eq!((cluster.raft(2).last_index(), cluster.commit(2)), (Index(4), 3));
}

#[test]
fn a_snapshot_that_contradicts_the_log_replaces_it() {
    // 3 holds uncommitted entries of its own term, which the others have replaced and compacted.
    let mut cluster = Cluster::led_with(3, eager);
    cluster.elect(3);
    cluster.isolate(3);
    for _ in 0..20 {
        cluster.propose(3, "lost");
    }
    cluster.advance(1_500);
    let leader = (1..=2).find(|id| cluster.role(*id) == Role::Leader).expect("a leader");
    write(&mut cluster, leader, 12);
    cluster.finish_checkpoint(leader);
    cluster.heal();
    cluster.advance(2_000);
    assert_eq!(cluster.commit(3), cluster.commit(leader));
    assert_eq!(cluster.raft(3).last_index(), cluster.raft(leader).last_index());
    cluster.restart(3);
    assert_eq!(cluster.terms(3).last(), cluster.terms(leader).last());
}

#[test]
fn a_crash_between_snapshot_and_reset_leaves_a_server_that_starts() {
    let mut cluster = Cluster::led_with(3, eager);
    cluster.elect(3);
    cluster.isolate(3);
    for _ in 0..20 {
        cluster.propose(3, "lost");
    }
    cluster.advance(1_500);
    let leader = (1..=2).find(|id| cluster.role(*id) == Role::Leader).expect("a leader");
    write(&mut cluster, leader, 12);
    let index = cluster.finish_checkpoint(leader);
    cluster.node_mut(3).disk_on = false;
    cluster.heal();
    while cluster.node(3).snapshot.is_none() {
        cluster.advance(50);
        cluster.node_mut(3).disk_on =
            cluster.raft(3).last_index() > Index(20) && cluster.node(3).snapshot.is_none();
        cluster.sync_unless_installed(3);
        cluster.node_mut(3).disk_on = false;
    }
    cluster.restart(3);
    assert_eq!((cluster.raft(3).last_index(), cluster.commit(3)), (index, index.0));
    cluster.node_mut(3).disk_on = true;
    cluster.advance(3_000);
    assert_eq!(cluster.commit(3), cluster.commit(leader));
    // The entries after the snapshot follow the reset on disk.
    cluster.restart(3);
    assert_eq!(cluster.raft(3).last_index(), cluster.raft(leader).last_index());
}

#[test]
fn a_leader_change_starts_the_snapshot_again() {
    let mut cluster = one_behind();
    cluster.heal();
    cluster.timeout(1);
    while !cluster.deliver_kind("InstallSnapshot") {
        assert!(cluster.deliver_if(|_| true));
    }
    cluster.crash(1);
    cluster.network.clear();
    cluster.elect(2);
    cluster.advance(3_000);
    assert_eq!(cluster.commit(3), cluster.commit(2));
}

#[test]
fn a_newer_snapshot_replaces_the_one_that_is_gone() {
    let mut cluster = one_behind();
    cluster.heal();
    cluster.timeout(1);
    while !cluster.deliver_kind("InstallSnapshot") {
        assert!(cluster.deliver_if(|_| true));
    }
    cluster.isolate(3);
    write(&mut cluster, 1, 400);
    while cluster.node(1).checkpoint.is_none() {
        cluster.advance(700);
        write(&mut cluster, 1, 10);
    }
    cluster.finish_checkpoint(1);
    cluster.heal();
    cluster.advance(4_000);
    assert_eq!(cluster.commit(3), cluster.commit(1));
}

/// A leader that has sent the first piece of a snapshot, and has taken a newer one since.
fn sending_an_older_one(options: impl Fn(&mut Options)) -> Cluster {
    let mut cluster = Cluster::led_with(3, options);
    cluster.isolate(3);
    write(&mut cluster, 1, 10);
    cluster.finish_checkpoint(1);
    cluster.heal();
    cluster.timeout(1);
    while !cluster.deliver_kind("InstallSnapshotResponse") {
        assert!(cluster.deliver_if(|_| true));
    }
    cluster.block(1, 3);
    write(&mut cluster, 1, 12);
    let older = cluster.node(1).snapshot.clone();
    let index = cluster.finish_checkpoint(1);
    assert!(index > older.as_ref().unwrap().index, "a newer one is taken while an older one is sent");
    cluster.node_mut(1).older = older;
    cluster
}

fn snapshots_sent(cluster: &Cluster) -> usize {
    cluster.journal.matches("n1: sends a snapshot").count()
}

#[test]
fn a_snapshot_that_gets_on_is_sent_to_its_end_while_newer_ones_are_taken() {
    let mut cluster = sending_an_older_one(eager);
    cluster.heal();
    cluster.advance(2_000);
    assert_eq!(cluster.commit(3), cluster.commit(1));
    assert_eq!(snapshots_sent(&cluster), 1, "the log after it is still there");
}

#[test]
fn a_snapshot_that_does_not_get_on_gives_way_to_a_newer_one() {
    let mut cluster = sending_an_older_one(eager);
    cluster.advance(5_500);
    assert_eq!(snapshots_sent(&cluster), 2);
    cluster.heal();
    cluster.advance(4_000);
    assert_eq!(cluster.commit(3), cluster.commit(1));
}

#[test]
fn memory_that_runs_short_lets_the_log_after_an_older_snapshot_go() {
    let mut cluster = sending_an_older_one(|options| {
        eager(options);
        options.max_log_bytes = 600;
    });
    assert_eq!(
        Some(cluster.raft(1).first_index().prev()),
        cluster.node(1).snapshot.as_ref().map(|meta| meta.index)
    );
    cluster.heal();
    cluster.advance(4_000);
    assert_eq!(cluster.commit(3), cluster.commit(1));
    assert_eq!(snapshots_sent(&cluster), 2);
}

#[test]
fn an_election_that_a_snapshot_crosses_waits_for_the_term_that_it_wrote_anew() {
    let mut cluster = Cluster::led_with(3, |options| options.snapshot_log_bytes = 1);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.crash(1);
    cluster.campaign(2);
    while cluster.role(2) != Role::Candidate {
        assert!(cluster.deliver_if(Envelope::message_is_vote), "the pre-vote is won");
    }
    // Its own vote is durable and the other one is under way when the snapshot makes it write its term again.
    cluster.node_mut(2).disk_on = false;
    cluster.finish_checkpoint(2);
    cluster.settle();
    assert_eq!(cluster.role(2), Role::Candidate);
    cluster.sync(2);
    cluster.settle();
    assert_eq!(cluster.role(2), Role::Leader);
}
