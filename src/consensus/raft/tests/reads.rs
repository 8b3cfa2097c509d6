//! ReadIndex: Diss. §6.4.

use super::cluster::Cluster;
use crate::consensus::raft::{AppendEntriesResponse, AppendOutcome, Attempt, Body, ReadIndexResponse, Rpc};
use crate::consensus::{Epoch, Index, ReadId, RejectReason, Role};

fn points(cluster: &Cluster, id: u64) -> Vec<(u64, u64)> {
    let point = |(read, result): &(ReadId, Result<Index, _>)| (read.0, result.as_ref().expect("a point").0);
    cluster.node(id).reads.iter().map(point).collect()
}

#[test]
fn any_server_gets_a_read_point_without_waiting_for_a_timer() {
    let mut cluster = Cluster::led(3);
    cluster.propose(1, "a");
    cluster.settle();
    let before = cluster.now;
    cluster.read(1, 1);
    cluster.read(2, 2);
    cluster.settle();
    assert_eq!((points(&cluster, 1), points(&cluster, 2)), (vec![(1, 2)], vec![(2, 2)]));
    assert_eq!(cluster.now, before);
}

#[test]
fn a_single_server_answers_at_once() {
    let mut cluster = Cluster::led(1);
    cluster.read(1, 1);
    assert_eq!(points(&cluster, 1), [(1, 1)]);
}

#[test]
fn reads_need_no_disk() {
    let mut cluster = Cluster::led(3);
    for id in 1..=3 {
        cluster.node_mut(id).disk_on = false;
    }
    cluster.propose(1, "a");
    cluster.read(2, 1);
    cluster.settle();
    assert_eq!(points(&cluster, 2), [(1, 1)]);
}

#[test]
fn no_read_point_before_the_terms_noop_is_committed() {
    // The new leader knows of index 1 as committed, while the old one has committed index 2.
    let mut cluster = Cluster::led(3);
    cluster.propose(1, "a");
    while cluster.commit(1) < 2 {
        cluster.deliver_if(|_| true);
    }
    cluster.network.clear();
    assert_eq!(cluster.commit(2), 1);
    cluster.crash(1);
    cluster.campaign(2);
    while cluster.role(2) != Role::Leader {
        cluster.deliver_if(|_| true);
    }
    cluster.read(2, 1);
    assert!(points(&cluster, 2).is_empty());
    cluster.settle();
    assert_eq!(points(&cluster, 2), [(1, 3)]);
}

#[test]
fn answers_to_an_earlier_round_confirm_nothing() {
    // A leader's round is under way when a read arrives; the answers to that round were sent before the read, possibly
    // before another leader committed something. The read takes the next round.
    let mut cluster = Cluster::led(3);
    cluster.read(1, 1);
    cluster.read(1, 2);
    assert_eq!(cluster.network.len(), 2, "one round for both followers");
    assert!(cluster.deliver_if(|e| e.to == 2));
    assert!(cluster.deliver_if(|e| e.to == 1));
    assert_eq!(points(&cluster, 1), [(1, 1)]);
    // A repeated answer to the first round.
    let old = AppendEntriesResponse { round: 1, outcome: AppendOutcome::Matched(Index(1)) };
    cluster.inject(3, 1, 1, Body::AppendEntriesResponse(old));
    assert_eq!(points(&cluster, 1).len(), 1);
    cluster.settle();
    assert_eq!(points(&cluster, 1).len(), 2);
}

#[test]
fn a_deposed_leader_answers_no_read() {
    let mut cluster = Cluster::led(3);
    cluster.isolate(1);
    cluster.read(1, 1);
    cluster.advance(4_000);
    assert!(points(&cluster, 1).is_empty());
    cluster.propose(2, "a");
    cluster.heal();
    cluster.advance(900);
    assert_eq!(points(&cluster, 1).len(), 1, "asked again, of the new leader");
    assert!(points(&cluster, 1)[0].1 >= 2);
}

#[test]
fn a_late_answer_to_another_attempt_finds_no_read() {
    let mut cluster = Cluster::led(3);
    cluster.read(2, 1);
    cluster.network.clear();
    for attempt in [Attempt { incarnation: 0, counter: 1 }, Attempt { incarnation: 1, counter: 2 }] {
        cluster.inject(1, 2, 1, Body::ReadIndexResponse(ReadIndexResponse { attempt, index: Index(0) }));
    }
    assert!(points(&cluster, 2).is_empty());
    cluster.advance(1_300);
    assert_eq!(points(&cluster, 2), [(1, 1)], "asked again");
}

#[test]
fn a_read_without_a_leader_is_rejected_in_time() {
    let mut cluster = Cluster::new(3);
    cluster.isolate(1);
    cluster.read(1, 7);
    cluster.advance(5_001);
    let (read, result) = &cluster.node(1).reads[0];
    let rejection = result.clone().expect_err("no leader");
    assert_eq!((read.0, rejection.reason, rejection.never_executed), (7, RejectReason::NoLeader, true));
    assert_eq!(cluster.node(1).reads.len(), 1);
}

#[test]
fn reads_that_wait_are_limited() {
    let mut cluster = Cluster::with_options(3, |options| options.max_pending_requests = 2);
    (0..3).for_each(|read| cluster.read(1, read));
    assert_eq!(cluster.node(1).reads.len(), 1);
    assert!(matches!(&cluster.node(1).reads[0].1, Err(r) if r.reason == RejectReason::TooManyRequests));
}

#[test]
fn a_late_answer_to_a_request_of_an_earlier_term_confirms_no_round() {
    // n1 leads term 1, and its round 4 to n3 is late.
    let mut cluster = Cluster::led(3);
    for read in 1..=3 {
        cluster.read(1, read);
        cluster.settle();
    }
    cluster.read(1, 4);
    let late = cluster.take(1, 3);
    cluster.settle();
    assert_eq!(points(&cluster, 1).len(), 4, "n2 confirms it");
    // It hears of nobody, loses office, and is elected again; then n3 answers the late request in term 2.
    while cluster.role(1) == Role::Leader {
        cluster.timeout(1);
        cluster.network.clear();
    }
    cluster.elect(1);
    assert_eq!(cluster.raft(3).term(), Epoch(2));
    cluster.deliver(late);
    let answer = cluster.take(3, 1);
    // Rounds 1 to 3 of term 2 are n2's; then n1 is cut off, and n2 commits without it.
    cluster.block(1, 3);
    for read in 5..=7 {
        cluster.read(1, read);
        cluster.settle();
    }
    assert_eq!(points(&cluster, 1).len(), 7);
    cluster.isolate(1);
    cluster.elect(2);
    cluster.propose(2, "new");
    cluster.settle();
    assert!(cluster.commit(2) > cluster.commit(1));
    // A read begins round 4; n3's answer to round 4 of term 1 arrives, and n2's to round 3 once more.
    cluster.read(1, 8);
    cluster.network.clear();
    cluster.heal();
    cluster.deliver(answer);
    let old = AppendEntriesResponse { round: 3, outcome: AppendOutcome::Matched(Index(1)) };
    cluster.inject(2, 1, 2, Body::AppendEntriesResponse(old));
    assert_eq!(points(&cluster, 1).len(), 7, "an old value would be read");
}

#[test]
fn a_late_answer_to_a_request_of_an_earlier_term_is_no_sign_of_a_quorum() {
    // Check-quorum (Diss. §6.2): who only says that an earlier term is over does not follow this leader.
    let mut cluster = Cluster::led(3);
    cluster.isolate(1);
    let mut answers = 0;
    while cluster.role(1) == Role::Leader {
        cluster.timeout(1);
        cluster.network.clear();
        cluster.heal();
        for rpc in [Rpc::AppendEntries, Rpc::InstallSnapshot, Rpc::RequestVote] {
            cluster.inject(3, 1, 1, Body::TermOver(rpc));
        }
        cluster.isolate(1);
        answers += 1;
        assert!(answers < 100, "it stays in office");
    }
}
