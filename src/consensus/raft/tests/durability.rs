//! What is promised is durable first (contract invariant 1; Diss. §3.8, §10.2.1).

use super::cluster::Cluster;
use crate::consensus::raft::{Body, Record};
use crate::consensus::{Epoch, Index, NodeId, Role};

#[test]
fn a_vote_leaves_only_when_term_and_vote_are_on_disk() {
    let mut cluster = Cluster::new(3);
    cluster.node_mut(2).disk_on = false;
    cluster.campaign(1);
    assert!(cluster.deliver_if(|e| e.to == 2));
    assert_eq!(cluster.sent(2, 1).len(), 1, "a pre-vote in a term that is on disk promises nothing");
    cluster.settle();
    let votes = |cluster: &Cluster| cluster.raft(2).voted_for();
    assert_eq!(votes(&cluster), Some(NodeId(1)));
    assert!(cluster.journal.contains("n3 -> n1: T1 RequestVoteResponse granted"));
    assert!(!cluster.journal.contains("n2 -> n1: T1"), "{}", cluster.journal);
    // A crash now: the vote was never given.
    cluster.restart(2);
    assert_eq!((votes(&cluster), cluster.raft(2).term()), (None, Epoch(0)));
}

#[test]
fn term_and_vote_are_one_record_and_survive() {
    let mut cluster = Cluster::led(3);
    let hard_state = |record: &Record| matches!(record, Record::HardState { .. });
    assert_eq!(cluster.records(1).iter().filter(|record| hard_state(record)).count(), 1);
    // The follower learned the term with the request and voted at once: two records, each whole.
    assert!(cluster.records(2).contains(&Record::HardState { term: Epoch(1), voted_for: Some(NodeId(1)) }));
    cluster.restart(2);
    assert_eq!((cluster.raft(2).term(), cluster.raft(2).voted_for()), (Epoch(1), Some(NodeId(1))));
}

#[test]
fn a_candidate_counts_its_own_vote_once_it_is_durable() {
    let mut cluster = Cluster::new(2);
    cluster.campaign(1);
    cluster.node_mut(1).disk_on = false;
    cluster.settle();
    assert_eq!(cluster.role(1), Role::Candidate);
    assert!(cluster.sent(1, 2).is_empty(), "the request tells the term, which is not durable");
    cluster.sync(1);
    cluster.settle();
    assert_eq!(cluster.role(1), Role::Leader);
}

#[test]
fn a_single_server_commits_only_after_its_fsync() {
    let mut cluster = Cluster::led(1);
    cluster.node_mut(1).disk_on = false;
    cluster.propose(1, "a");
    assert_eq!(cluster.commit(1), 1);
    cluster.sync(1);
    assert_eq!(cluster.commit(1), 2);
}

#[test]
fn a_leader_sends_before_its_own_fsync_and_counts_itself_after_it() {
    let mut cluster = Cluster::led(3);
    cluster.node_mut(1).disk_on = false;
    cluster.crash(3);
    cluster.propose(1, "a");
    assert_eq!(cluster.sent(1, 2).len(), 1, "sent at once");
    cluster.settle();
    assert_eq!(cluster.commit(1), 1, "only the follower holds it durably");
    cluster.sync(1);
    assert_eq!(cluster.commit(1), 2);
}

#[test]
fn followers_may_commit_before_the_leaders_own_fsync() {
    let mut cluster = Cluster::led(3);
    cluster.node_mut(1).disk_on = false;
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.commit(1), 2, "two followers are a quorum");
}

#[test]
fn a_follower_acknowledges_entries_after_its_fsync_but_heartbeats_at_once() {
    let mut cluster = Cluster::led(3);
    cluster.node_mut(2).disk_on = false;
    cluster.crash(3);
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.commit(1), 1);
    cluster.timeout(1);
    cluster.settle();
    assert_eq!(cluster.commit(1), 1, "the heartbeat's answer claims what is durable only");
    assert!(cluster.journal.contains("AppendEntriesResponse Matched((1))"), "{}", cluster.journal);
    cluster.sync(2);
    cluster.settle();
    assert_eq!(cluster.commit(1), 2);
}

#[test]
fn a_late_write_of_a_replaced_entry_acknowledges_nothing() {
    // Index 2 is written in term 1, replaced in term 2, and only the first write ends: a resent entry of term 2 must not
    // be acknowledged by it.
    let mut cluster = Cluster::led(3);
    cluster.isolate(3);
    cluster.isolate(2);
    cluster.node_mut(2).disk_on = false;
    cluster.heal();
    cluster.block(1, 3);
    cluster.propose(1, "old");
    assert!(cluster.deliver_if(|e| e.to == 2));
    let written = cluster.node(2).status().last;
    assert_eq!(written, 2);
    cluster.network.clear();
    cluster.crash(1);
    cluster.node_mut(2).disk_on = true;
    cluster.sync(2);
    assert_eq!(cluster.raft(2).term_at(Index(2)), Some(Epoch(1)));
    cluster.network.clear();
    cluster.node_mut(2).disk_on = false;
    let noop = crate::consensus::raft::Entry {
        index: Index(2),
        term: Epoch(2),
        payload: crate::consensus::raft::Payload::Noop,
    };
    let append = crate::consensus::raft::AppendEntries {
        prev_index: Index(1),
        prev_term: Epoch(1),
        commit: Index(1),
        round: 0,
        reply: true,
        entries: vec![noop],
    };
    cluster.inject(3, 2, 2, Body::AppendEntries(append.clone()));
    cluster.inject(3, 2, 2, Body::AppendEntries(append));
    assert!(cluster.sent(2, 3).is_empty(), "neither the first nor the repeated request is answered");
    cluster.sync(2);
    assert_eq!(cluster.sent(2, 3).len(), 2);
}
