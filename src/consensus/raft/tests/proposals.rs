//! Clients' commands: forwarded, repeated, refused.

use super::cluster::{Cluster, Envelope};
use crate::consensus::raft::Body;
use crate::consensus::{Input, Pressure, RejectReason, Role};

fn rejections(cluster: &Cluster, id: u64) -> Vec<(RejectReason, bool)> {
    cluster.node(id).rejected.iter().map(|(_, r)| (r.reason, r.never_executed)).collect()
}

fn is_forward(envelope: &Envelope) -> bool {
    matches!(envelope.message.body, Body::Forward(_))
}

#[test]
fn a_follower_forwards_and_a_repeated_forward_is_taken_once() {
    let mut cluster = Cluster::led(3);
    cluster.propose(2, "a");
    let forward = cluster.sent(2, 1)[0].clone();
    cluster.settle();
    cluster.inject(2, 1, 1, forward.body);
    cluster.settle();
    assert_eq!(cluster.commands(1), ["a"]);
    cluster.advance(10_000);
    assert!(rejections(&cluster, 2).is_empty());
}

#[test]
fn a_lost_forward_is_sent_again() {
    let mut cluster = Cluster::led(3);
    cluster.propose(2, "a");
    cluster.network.clear();
    cluster.advance(1_100);
    assert!(cluster.commands(2).is_empty());
    cluster.advance(1_400);
    assert_eq!(cluster.commands(2), ["a"]);
}

#[test]
fn a_new_leader_gets_what_waits() {
    let mut cluster = Cluster::led(3);
    cluster.crash(1);
    cluster.propose(3, "a");
    cluster.settle();
    cluster.elect(2);
    cluster.settle();
    assert_eq!(cluster.commands(3), ["a"]);
}

#[test]
fn what_is_in_the_uncommitted_log_is_not_appended_again() {
    // Forwarded to 1, replicated to 2, which then leads: the origin forwards again, and 2 has it in its log.
    let mut cluster = Cluster::led(3);
    cluster.propose(3, "a");
    assert!(cluster.deliver_if(is_forward));
    assert!(cluster.deliver_if(|e| e.to == 2));
    cluster.crash(1);
    cluster.network.clear();
    cluster.elect(2);
    cluster.advance(100);
    assert_eq!(cluster.commands(2), ["a"]);
}

#[test]
fn without_a_leader_a_proposal_was_never_executed() {
    let mut cluster = Cluster::new(3);
    cluster.isolate(1);
    cluster.propose(1, "a");
    cluster.advance(5_001);
    assert_eq!(rejections(&cluster, 1), [(RejectReason::NoLeader, true)]);
}

#[test]
fn what_left_or_was_logged_has_an_unknown_outcome() {
    let mut cluster = Cluster::led(3);
    cluster.propose(2, "forwarded");
    cluster.network.clear();
    cluster.isolate(2);
    cluster.isolate(1);
    cluster.propose(1, "logged");
    cluster.advance(5_001);
    assert_eq!(rejections(&cluster, 2), [(RejectReason::TimedOut, false)]);
    assert_eq!(rejections(&cluster, 1), [(RejectReason::TimedOut, false)]);
}

#[test]
fn a_leaders_refusal_is_final_for_what_was_handed_to_it_alone() {
    let mut cluster = Cluster::led(3);
    cluster.storage(1, Pressure::Slow);
    cluster.propose(2, "a");
    cluster.settle();
    assert_eq!(rejections(&cluster, 2), [(RejectReason::StorageSlow, true)]);
    cluster.propose(1, "b");
    assert_eq!(rejections(&cluster, 1), [(RejectReason::StorageSlow, true)]);
    cluster.storage(1, Pressure::Ok);
    cluster.propose(2, "c");
    cluster.settle();
    assert_eq!(cluster.commands(2), ["c"]);
}

#[test]
fn a_refusal_of_what_was_handed_on_twice_proves_nothing() {
    let mut cluster = Cluster::led(3);
    cluster.propose(2, "a");
    let late = cluster.network.pop_front().expect("the forward");
    cluster.advance(1_100);
    cluster.storage(1, Pressure::Slow);
    cluster.advance(1_400);
    assert!(rejections(&cluster, 2).is_empty(), "{}", cluster.journal);
    // The first copy arrives after all. It is older than the second, and not taken.
    cluster.storage(1, Pressure::Ok);
    cluster.deliver(late);
    cluster.settle();
    assert!(cluster.commands(1).is_empty());
    cluster.advance(2_000);
    assert_eq!(cluster.commands(2), ["a"], "the third attempt");
}

#[test]
fn a_forward_of_an_earlier_term_is_not_taken() {
    let mut cluster = Cluster::led(3);
    cluster.propose(3, "a");
    let late = cluster.network.pop_front().expect("the forward");
    cluster.crash(3);
    cluster.isolate(1);
    cluster.advance(1_500);
    cluster.heal();
    cluster.elect(1);
    cluster.deliver(late);
    cluster.settle();
    assert!(cluster.commands(1).is_empty());
}

#[test]
fn limits_refuse_with_a_reason() {
    let mut cluster = Cluster::with_options(3, |options| {
        options.max_request_bytes = 4;
        options.max_pending_requests = 2;
    });
    cluster.propose(1, "12345");
    for command in ["a", "b", "c"] {
        cluster.propose(1, command);
    }
    let expected = [(RejectReason::TooLarge, true), (RejectReason::TooManyRequests, true)];
    assert_eq!(rejections(&cluster, 1), expected);
}

#[test]
fn a_batch_is_one_message_to_each_follower() {
    let mut cluster = Cluster::led(3);
    let batch = (0..100).map(|_| cluster.proposal(1, "x")).collect();
    cluster.handle(1, Input::Propose(batch));
    assert_eq!((cluster.sent(1, 2).len(), cluster.sent(1, 3).len()), (1, 1));
}

#[test]
fn a_deposed_leaders_own_proposals_reach_the_new_one() {
    let mut cluster = Cluster::led(3);
    cluster.isolate(1);
    cluster.propose(1, "a");
    cluster.advance(1_500);
    let leader = (2..=3).find(|id| cluster.role(*id) == Role::Leader).expect("a new leader");
    assert!(cluster.commands(leader).is_empty());
    cluster.heal();
    cluster.advance(500);
    assert_eq!(cluster.commands(leader), ["a"]);
    assert!(rejections(&cluster, 1).is_empty());
}
