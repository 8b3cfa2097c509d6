//! §5.2, §5.4.1, Diss. §4.2.3, §6.2, §9.6.

use super::cluster::Cluster;
use crate::consensus::raft::{AppendEntries, Body, RequestVote, RequestVoteResponse};
use crate::consensus::{Epoch, Index, Message as _, Protocol as _, Role};

#[test]
fn a_quorum_elects_a_leader_and_its_noop_commits_everywhere() {
    let cluster = Cluster::led(5);
    for id in 1..=5 {
        assert_eq!((cluster.commit(id), cluster.raft(id).term()), (1, Epoch(1)), "n{id}");
        assert_eq!(cluster.node(id).status().leader, Some(1), "n{id}");
        assert!(cluster.node(id).status().why.is_empty(), "n{id}: {:?}", cluster.node(id).status().why);
    }
}

#[test]
fn clusters_of_every_size_elect_by_their_clocks_alone() {
    for size in 1..=7 {
        let mut cluster = Cluster::new(size);
        cluster.advance(10_000);
        let leaders = (1..=size).filter(|id| cluster.role(*id) == Role::Leader).count();
        assert_eq!(leaders, 1, "{size} nodes");
    }
}

#[test]
fn of_four_servers_two_are_no_quorum() {
    let mut cluster = Cluster::led(4);
    cluster.crash(2);
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.commit(1), 2, "three of four");
    cluster.crash(3);
    cluster.propose(1, "b");
    cluster.settle();
    assert_eq!(cluster.commit(1), 2, "two of four");
}

#[test]
fn split_votes_end() {
    // §5.2: both candidates vote for themselves; neither has a quorum of four until a timer runs out.
    let mut cluster = Cluster::new(4);
    for (a, b) in [(1, 2), (1, 4), (3, 2), (3, 4)] {
        cluster.block(a, b);
        cluster.block(b, a);
    }
    cluster.campaign(1);
    cluster.campaign(2);
    cluster.settle();
    assert!((1..=4).all(|id| cluster.role(id) != Role::Leader));
    cluster.heal();
    cluster.advance(5_000);
    assert_eq!((1..=4).filter(|id| cluster.role(*id) == Role::Leader).count(), 1);
}

#[test]
fn lost_vote_requests_are_sent_again_before_the_election_timer() {
    let mut cluster = Cluster::new(3);
    cluster.campaign(1);
    assert_eq!(cluster.network.len(), 2);
    cluster.network.clear();
    let before = cluster.now;
    cluster.timeout(1);
    assert_eq!(cluster.now.since(before).as_millis(), 100);
    cluster.settle();
    assert_eq!(cluster.role(1), Role::Leader);
}

#[test]
fn a_shorter_or_older_log_is_not_elected() {
    // §5.4.1
    let mut cluster = Cluster::led(3);
    cluster.isolate(3);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.heal();
    cluster.crash(1);
    cluster.campaign(3);
    cluster.settle();
    assert_ne!(cluster.role(3), Role::Leader);
    cluster.advance(5_000);
    assert_eq!(cluster.role(2), Role::Leader);
}

#[test]
fn a_server_that_returns_from_isolation_disturbs_nobody() {
    // Diss. §9.6: without pre-vote its term would have grown, and would depose the leader.
    let mut cluster = Cluster::led(3);
    cluster.isolate(3);
    cluster.advance(20_000);
    assert_eq!(cluster.role(3), Role::PreCandidate);
    assert_eq!(cluster.raft(3).term(), Epoch(1));
    assert!(
        cluster.node(3).status().why[0].contains("pre-vote got 1 of 2 needed"),
        "{:?}",
        cluster.node(3).status()
    );
    cluster.heal();
    cluster.advance(2_000);
    assert_eq!((cluster.role(1), cluster.raft(1).term()), (Role::Leader, Epoch(1)));
    assert_eq!(cluster.node(3).status().leader, Some(1));
}

#[test]
fn terms_spread_to_those_who_missed_them() {
    // A server isolated in an old term, and one with the new term but no leader: the refusal of a pre-vote carries the
    // term, so that they cannot ignore each other for ever.
    let mut cluster = Cluster::led(3);
    cluster.isolate(3);
    for _ in 0..3 {
        let next = if cluster.role(1) == Role::Leader { 2 } else { 1 };
        cluster.advance(400);
        cluster.crash(3 - next);
        cluster.restart(3 - next);
        cluster.elect(next);
    }
    let leader = if cluster.role(1) == Role::Leader { 1 } else { 2 };
    assert!(cluster.raft(leader).term() >= Epoch(4));
    cluster.crash(leader);
    cluster.heal();
    cluster.advance(5_000);
    assert_eq!(cluster.role(3 - leader), Role::Leader);
    assert_eq!(cluster.raft(3).term(), cluster.raft(3 - leader).term());
}

#[test]
fn whoever_hears_a_leader_refuses_votes_and_keeps_its_term() {
    // Diss. §4.2.3
    let mut cluster = Cluster::led(3);
    let request = RequestVote { pre_vote: false, transfer: false, last_index: Index(9), last_term: Epoch(9) };
    cluster.inject(3, 2, 9, Body::RequestVote(request.clone()));
    assert_eq!((cluster.raft(2).term(), cluster.raft(2).voted_for().map(|id| id.0)), (Epoch(1), Some(1)));
    cluster.inject(3, 2, 9, Body::RequestVote(RequestVote { transfer: true, ..request }));
    assert_eq!((cluster.raft(2).term(), cluster.raft(2).voted_for().map(|id| id.0)), (Epoch(9), Some(3)));
}

#[test]
fn a_leader_that_no_quorum_answers_steps_down() {
    // Diss. §6.2
    let mut cluster = Cluster::led(5);
    for other in [2, 3, 4] {
        cluster.block(other, 1);
    }
    cluster.advance(590);
    assert_eq!(cluster.role(1), Role::Leader);
    assert_eq!(cluster.node(1).status().why[0], "no quorum: 2 of 5 reachable");
    cluster.advance(100);
    assert_eq!(cluster.role(1), Role::Follower);
}

#[test]
fn a_bridge_does_not_keep_a_leader_in_office_that_cannot_commit() {
    // Links 1-3, 2-3, 4-3, 2-4: the old leader 1 reaches only the bridge 3, which hears it; {2, 3, 4} of five could go
    // on but for the bridge's standing by 1. Check-quorum ends that.
    let mut cluster = Cluster::led(5);
    cluster.isolate(5);
    for other in [2, 4] {
        cluster.block(1, other);
        cluster.block(other, 1);
    }
    cluster.advance(10_000);
    let leader =
        (2..=4).find(|id| cluster.role(*id) == Role::Leader).expect("a connected quorum has a leader");
    cluster.propose(leader, "a");
    cluster.settle();
    assert_eq!(cluster.commands(leader), ["a"]);
}

#[test]
fn votes_of_another_election_do_not_count() {
    let mut cluster = Cluster::new(3);
    cluster.campaign(1);
    let granted = |pre_vote| Body::RequestVoteResponse(RequestVoteResponse { pre_vote, granted: true });
    cluster.inject(2, 1, 0, granted(false));
    assert_eq!(cluster.role(1), Role::PreCandidate);
    cluster.inject(2, 1, 0, granted(true));
    assert_eq!((cluster.role(1), cluster.raft(1).term()), (Role::Candidate, Epoch(1)));
    cluster.inject(2, 1, 0, granted(false));
    cluster.inject(3, 1, 1, granted(true));
    assert_eq!(cluster.role(1), Role::Candidate, "a vote of an earlier term and a late pre-vote");
    cluster.inject(3, 1, 1, granted(false));
    assert_eq!(cluster.role(1), Role::Leader);
}

#[test]
fn a_second_leader_of_a_term_is_ignored() {
    let mut cluster = Cluster::led(3);
    let append = AppendEntries {
        prev_index: Index(0),
        prev_term: Epoch(0),
        commit: Index(0),
        round: 0,
        reply: true,
        entries: Vec::new(),
    };
    cluster.inject(2, 1, 1, Body::AppendEntries(append));
    assert_eq!(cluster.role(1), Role::Leader);
    assert!(cluster.network.is_empty());
}

#[test]
fn all_servers_restart_and_elect_again() {
    let mut cluster = Cluster::led(5);
    cluster.propose(1, "a");
    cluster.settle();
    (1..=5).for_each(|id| cluster.restart(id));
    cluster.network.clear();
    cluster.advance(5_000);
    let leader = (1..=5).find(|id| cluster.role(*id) == Role::Leader).expect("a leader");
    assert_eq!(cluster.commands(leader), ["a"]);
}

#[test]
fn an_early_timeout_does_nothing() {
    let mut cluster = Cluster::led(3);
    for id in 1..=3 {
        let before = cluster.raft(id).deadline();
        cluster.handle(id, crate::consensus::Input::Timeout);
        assert_eq!(cluster.raft(id).deadline(), before);
    }
    assert!(cluster.network.is_empty());
}

/// Lets n1 campaign with n2 as its only company, up to the vote requests of `term`.
fn campaign_with_n2(cluster: &mut Cluster, term: u64) {
    while cluster.raft(1).term() < Epoch(term) {
        cluster.timeout(1);
        while cluster.deliver_if(|e| e.message.kind().starts_with("PreVote") && e.from != 3 && e.to != 3) {}
    }
}

#[test]
fn a_late_refusal_of_an_earlier_term_is_none_in_this_campaign() {
    // n1 campaigns in terms 1 and 2. Its first request reaches n3 only after the second one, whose answer is lost.
    let mut cluster = Cluster::new(3);
    campaign_with_n2(&mut cluster, 1);
    cluster.network.retain(|e| e.to == 3 && e.message.kind() == "RequestVote");
    let late = cluster.take(1, 3);
    campaign_with_n2(&mut cluster, 2);
    assert!(cluster.deliver_if(|e| e.to == 3 && e.message.term == Epoch(2)));
    cluster.network.clear();
    cluster.deliver(late);
    let answer = cluster.take(3, 1);
    assert_eq!(answer.message.term, Epoch(2));
    cluster.deliver(answer);
    cluster.network.clear();
    cluster.timeout(1);
    assert_eq!(cluster.sent(1, 3).len(), 1, "n3 is asked again, and its vote is still to be had");
    cluster.deliver_if(|e| e.to == 3);
    cluster.settle();
    assert_eq!(cluster.role(1), Role::Leader);
}

#[test]
fn a_refused_pre_vote_is_asked_for_again() {
    // n2 refuses because it hears a leader, and hears none any more when it is asked again in the same campaign.
    let mut cluster = Cluster::led(3);
    cluster.crash(1);
    cluster.crash(3);
    cluster.campaign(2);
    assert_eq!(cluster.role(2), Role::PreCandidate);
    cluster.network.clear();
    let refusal = RequestVoteResponse { pre_vote: true, granted: false };
    cluster.inject(3, 2, 1, Body::RequestVoteResponse(refusal));
    cluster.timeout(2);
    assert_eq!(cluster.sent(2, 3).len(), 1);
}
