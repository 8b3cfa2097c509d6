//! §5.3, §5.4.2, Diss. §10.2.

use super::cluster::{Cluster, Envelope};
use crate::consensus::raft::{AppendEntries, AppendEntriesResponse, AppendOutcome, Body, Entry, Payload};
use crate::consensus::{Epoch, Index, Input, Role};

fn noop(index: u64, term: u64) -> Entry {
    Entry { index: Index(index), term: Epoch(term), payload: Payload::Noop }
}

fn append(prev: (u64, u64), commit: u64, entries: Vec<Entry>) -> Body {
    let (prev_index, prev_term) = (Index(prev.0), Epoch(prev.1));
    Body::AppendEntries(AppendEntries {
        prev_index,
        prev_term,
        commit: Index(commit),
        round: 0,
        reply: true,
        entries,
    })
}

fn outcome(cluster: &Cluster, from: u64, to: u64) -> AppendOutcome {
    match &cluster.sent(from, to).last().expect("an answer").body {
        Body::AppendEntriesResponse(response) => response.outcome,
        other => panic!("{other:?}"),
    }
}

#[test]
fn commands_are_executed_everywhere_in_one_order() {
    let mut cluster = Cluster::led(5);
    for command in ["a", "b", "c"] {
        cluster.propose(1, command);
    }
    cluster.settle();
    for id in 1..=5 {
        assert_eq!(cluster.commands(id), ["a", "b", "c"], "n{id}");
    }
}

#[test]
fn an_old_terms_entry_is_not_committed_by_counting() {
    // Figure 8: (a) 1 leads term 1 and replicates entry 2 to 2 only; (b) 5 leads term 2 with its own entry 2; (c) 1 leads
    // term 3 and brings entry 2 of term 1 to a quorum, but its no-op to nobody: nothing may be committed.
    let mut cluster = Cluster::led(5);
    for other in [3, 4, 5] {
        cluster.block(1, other);
    }
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.terms(2), [1, 1]);
    cluster.crash(1);
    cluster.crash(2);
    cluster.heal();
    cluster.campaign(5);
    while cluster.role(5) != Role::Leader {
        assert!(cluster.deliver_if(Envelope::message_is_vote));
    }
    cluster.network.clear();
    assert_eq!(cluster.terms(5), [1, 2]);
    cluster.crash(5);
    cluster.restart(1);
    cluster.restart(2);
    cluster.campaign(1);
    for _ in 0..100 {
        if cluster.role(1) != Role::Leader && !cluster.deliver_if(Envelope::message_is_vote) {
            cluster.campaign(1);
        }
    }
    assert_eq!(cluster.role(1), Role::Leader);
    assert!(cluster.raft(1).term() > Epoch(2));
    // The followers get entry 2, but not the no-op after it.
    cluster.network.clear();
    let term = cluster.raft(1).term().0;
    let old = cluster.raft(1).entry(Index(2)).expect("it is in the log").clone();
    cluster.inject(1, 3, term, append((1, 1), 1, vec![old]));
    assert_eq!(cluster.terms(3), [1, 1]);
    for follower in [2, 3] {
        let matched = AppendEntriesResponse { round: 0, outcome: AppendOutcome::Matched(Index(2)) };
        cluster.inject(follower, 1, term, Body::AppendEntriesResponse(matched));
    }
    assert!(cluster.commit(1) < 2, "an entry of term 1 is on three of five, and not committed");
    cluster.settle();
    cluster.advance(1_000);
    assert_eq!(cluster.commit(1), 3, "with the no-op it is");
}

#[test]
fn a_missing_base_is_found_by_one_exchange_for_each_term() {
    // Ten entries of a deposed leader conflict with the new one's; the hint skips them together.
    let mut cluster = Cluster::led(3);
    cluster.isolate(1);
    for _ in 0..10 {
        cluster.propose(1, "lost");
    }
    cluster.settle();
    cluster.elect(2);
    for _ in 0..10 {
        cluster.propose(2, "kept");
    }
    cluster.settle();
    cluster.heal();
    cluster.journal.clear();
    cluster.advance(200);
    assert_eq!(cluster.terms(1), cluster.terms(2));
    let conflicts = cluster.journal.matches("Conflict").count();
    assert!(conflicts <= 2, "{}", cluster.journal);
}

#[test]
fn a_hint_names_the_last_position_that_can_match() {
    let mut cluster = Cluster::new(2);
    let entries = [1, 1, 1, 2, 2, 4].into_iter().zip(1..).map(|(term, index)| noop(index, term)).collect();
    cluster.inject(1, 2, 4, append((0, 0), 0, entries));
    for (prev, hint) in [((9, 4), (6, 4)), ((6, 3), (5, 2)), ((5, 1), (3, 1)), ((4, 3), (4, 2))] {
        cluster.inject(1, 2, 4, append(prev, 0, Vec::new()));
        let expected =
            AppendOutcome::Conflict { prev_index: Index(prev.0), index: Index(hint.0), term: Epoch(hint.1) };
        assert_eq!(outcome(&cluster, 2, 1), expected);
    }
}

#[test]
fn a_delayed_append_does_not_undo_later_ones() {
    // §5.3: only a conflict truncates.
    let mut cluster = Cluster::new(2);
    cluster.inject(1, 2, 1, append((0, 0), 0, vec![noop(1, 1), noop(2, 1), noop(3, 1)]));
    cluster.inject(1, 2, 1, append((0, 0), 0, vec![noop(1, 1)]));
    assert_eq!(cluster.terms(2), [1, 1, 1]);
    assert_eq!(outcome(&cluster, 2, 1), AppendOutcome::Matched(Index(1)));
}

#[test]
fn a_commit_index_beyond_what_matches_commits_only_what_matches() {
    // The follower has an entry of another leader at 2; the heartbeat proves only index 1.
    let mut cluster = Cluster::new(2);
    cluster.inject(1, 2, 1, append((0, 0), 0, vec![noop(1, 1), noop(2, 1)]));
    cluster.inject(1, 2, 2, append((1, 1), 1, Vec::new()));
    assert_eq!(cluster.commit(2), 1);
    // And one that claims more does not pass the check.
    let setup_members_refuse = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        cluster.inject(1, 2, 2, append((1, 1), 2, Vec::new()));
    }));
    assert!(setup_members_refuse.is_err());
    assert_eq!(cluster.commit(2), 1);
}

#[test]
fn what_contradicts_a_committed_entry_is_ignored() {
    let mut cluster = Cluster::led(3);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.inject(3, 2, 7, append((1, 1), 1, vec![noop(2, 7)]));
    assert_eq!(cluster.terms(2), [1, 1]);
    assert!(cluster.sent(2, 3).is_empty());
}

#[test]
fn followers_hear_of_a_commit_at_once() {
    let mut cluster = Cluster::led(3);
    let before = cluster.now;
    cluster.propose(2, "a");
    cluster.settle();
    assert_eq!((cluster.now, cluster.commit(2)), (before, 2));
}

#[test]
fn one_commit_costs_few_messages() {
    let mut cluster = Cluster::led(3);
    cluster.journal.clear();
    cluster.propose(1, "a");
    cluster.settle();
    let messages = cluster.journal.lines().filter(|line| line.contains("->")).count();
    assert_eq!(messages, 6, "append, answer, and commit for each of two followers:\n{}", cluster.journal);
}

#[test]
fn what_is_in_flight_is_limited_and_goes_on_when_answered() {
    let mut cluster = Cluster::led_with(2, |options| {
        options.max_inflight_messages = 4;
        options.max_append_entries = 2;
    });
    for _ in 0..20 {
        let batch = (0..3).map(|_| cluster.proposal(1, "x")).collect();
        cluster.handle(1, Input::Propose(batch));
    }
    assert_eq!(cluster.sent(1, 2).len(), 4);
    cluster.settle();
    assert_eq!((cluster.commit(1), cluster.commit(2)), (61, 61));
}

#[test]
fn entries_in_a_message_are_limited_by_bytes_but_one_always_goes() {
    let mut cluster = Cluster::led_with(2, |options| options.max_append_bytes = 10);
    let batch = (0..3).map(|_| cluster.proposal(1, "larger than the limit of ten bytes")).collect();
    cluster.handle(1, Input::Propose(batch));
    assert_eq!(cluster.sent(1, 2).len(), 3);
    cluster.settle();
    assert_eq!(cluster.commands(2).len(), 3);
}

#[test]
fn lost_entries_are_sent_again_after_a_heartbeat() {
    let mut cluster = Cluster::led(3);
    cluster.propose(1, "a");
    cluster.propose(1, "b");
    cluster.network.clear();
    cluster.advance(60);
    assert_eq!(cluster.commands(3), ["a", "b"]);
}

#[test]
fn nothing_known_of_a_follower_outlives_the_term() {
    // A match index of an earlier term must not count: the follower may have lost those entries to another leader.
    let mut cluster = Cluster::led(3);
    cluster.propose(1, "a");
    cluster.settle();
    cluster.isolate(1);
    cluster.advance(1_500);
    cluster.heal();
    cluster.advance(100);
    let leader = (2..=3).find(|id| cluster.role(*id) == Role::Leader).expect("another leads");
    let other = 5 - leader;
    cluster.isolate(other);
    cluster.handle(leader, Input::TransferLeadership(Some(crate::consensus::NodeId(1))));
    cluster.settle();
    assert_eq!(cluster.role(1), Role::Leader);
    let status = cluster.node(1).status();
    let peer = status.peers.iter().find(|peer| peer.id == other).expect("a peer");
    assert_eq!(peer.matched, 0, "it has matched entries in term 1");
}

#[test]
fn strange_answers_do_no_harm() {
    let mut cluster = Cluster::led(3);
    let answer = |outcome| Body::AppendEntriesResponse(AppendEntriesResponse { round: 0, outcome });
    cluster.inject(2, 1, 1, answer(AppendOutcome::Matched(Index(u64::MAX))));
    assert_eq!(cluster.commit(1), 1);
    let late = AppendEntriesResponse { round: 99, outcome: AppendOutcome::Matched(Index(1)) };
    cluster.inject(2, 1, 1, Body::AppendEntriesResponse(late));
    for prev in [0, 1, 5, u64::MAX] {
        let conflict = AppendOutcome::Conflict { prev_index: Index(prev), index: Index(0), term: Epoch(0) };
        cluster.inject(2, 1, 1, answer(conflict));
    }
    cluster.propose(1, "a");
    cluster.settle();
    assert_eq!(cluster.commands(2), ["a"]);
}
