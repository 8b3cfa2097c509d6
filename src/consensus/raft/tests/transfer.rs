//! Leadership transfer: Diss. §3.10.

use super::cluster::Cluster;
use crate::consensus::raft::Body;
use crate::consensus::{Input, NodeId, Role};

fn transfer(cluster: &mut Cluster, from: u64, to: Option<u64>) {
    cluster.handle(from, Input::TransferLeadership(to.map(NodeId)));
}

#[test]
fn leadership_moves_at_once_although_the_followers_hear_a_leader() {
    let mut cluster = Cluster::led(3);
    let before = cluster.now;
    transfer(&mut cluster, 1, Some(3));
    cluster.settle();
    assert_eq!((cluster.role(3), cluster.now), (Role::Leader, before));
    assert_eq!(cluster.node(1).status().leader, Some(3));
}

#[test]
fn the_target_catches_up_first_and_proposals_wait() {
    let mut cluster = Cluster::led(3);
    cluster.block(1, 3);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.heal();
    transfer(&mut cluster, 1, Some(3));
    assert!(cluster.sent(1, 3).iter().all(|message| message.body != Body::TimeoutNow));
    cluster.propose(1, "b");
    cluster.advance(300);
    assert_eq!(cluster.role(3), Role::Leader);
    assert_eq!(cluster.commands(1), ["a", "b"]);
}

#[test]
fn a_transfer_that_fails_gives_the_leader_its_writes_back() {
    let mut cluster = Cluster::led(3);
    cluster.isolate(3);
    transfer(&mut cluster, 1, Some(3));
    cluster.propose(1, "a");
    cluster.propose(2, "b");
    cluster.advance(500);
    assert!(cluster.commands(1).is_empty());
    assert!(cluster.node(1).status().why.iter().any(|why| why.contains("handed over to 3")));
    cluster.advance(200);
    assert_eq!((cluster.role(1), cluster.commands(1)), (Role::Leader, vec!["a".to_owned()]));
    cluster.advance(2_500);
    assert_eq!(cluster.commands(2), ["a", "b"], "what was forwarded meanwhile comes again");
}

#[test]
fn without_a_target_the_best_follower_is_chosen() {
    let mut cluster = Cluster::led(3);
    cluster.isolate(2);
    cluster.propose(1, "a");
    cluster.settle();
    transfer(&mut cluster, 1, None);
    cluster.settle();
    assert_eq!(cluster.role(3), Role::Leader);
}

#[test]
fn a_lost_timeout_now_is_sent_again() {
    let mut cluster = Cluster::led(3);
    transfer(&mut cluster, 1, Some(2));
    cluster.network.clear();
    cluster.advance(120);
    assert_eq!(cluster.role(2), Role::Leader);
}

#[test]
fn nonsense_is_ignored() {
    let mut cluster = Cluster::led(3);
    transfer(&mut cluster, 1, Some(9));
    transfer(&mut cluster, 1, Some(1));
    transfer(&mut cluster, 2, Some(3));
    cluster.inject(3, 2, 1, Body::TimeoutNow);
    cluster.settle();
    assert_eq!(cluster.role(1), Role::Leader);
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.commands(2), ["a"]);
}
