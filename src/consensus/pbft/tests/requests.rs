//! Requests of clients, honest and faulty (TOCS §4.2).

use bytes::Bytes;

use super::cluster::Cluster;
use crate::consensus::pbft::testing::CLIENT;
use crate::consensus::pbft::{Message, Reply, Request, View};
use crate::consensus::{NodeId, RequestId, WallTime};

#[test]
fn a_request_that_comes_again_is_answered_as_before_and_not_executed_again() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    cluster.put(2, "b");
    cluster.replies.clear();
    let first = cluster.sign(1, "a");
    cluster.send_to_all(&first);
    cluster.settle();
    assert_eq!(cluster.answered(1), 4, "every replica knows the answer");
    assert_eq!(cluster.applied(1), 2, "no slot was spent on it");
    cluster.assert_equal(&["a", "b"]);
}

#[test]
fn a_request_that_comes_again_after_a_view_change_is_not_executed_again() {
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "a");
    cluster.send_to_all(&request);
    cluster.deliver_kinds(&["PrePrepare", "Prepare"]);
    cluster.crash(1);
    cluster.send_to_all(&request);
    cluster.wait_until("its execution", |cluster| (2..=4).all(|id| cluster.executed(id).len() == 1));
    cluster.send_to_all(&request);
    cluster.advance(2000);
    cluster.assert_equal(&["a"]);
    assert_eq!(cluster.answered(1), 3);
}

#[test]
fn a_request_that_came_to_a_backup_reaches_the_primary() {
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "a");
    cluster.send(3, &request);
    cluster.settle();
    cluster.assert_equal(&["a"]);
}

#[test]
fn two_requests_under_one_id_harm_nobody() {
    let mut cluster = Cluster::new(4);
    let (one, other) = (cluster.sign(1, "a"), cluster.sign(1, "b"));
    // Each replica hears of one of them.
    for (to, request) in [(1, &one), (2, &other), (3, &one), (4, &other)] {
        cluster.send(to, request);
    }
    cluster.settle();
    cluster.advance(3000);
    assert!((1..=4).all(|id| cluster.executed(id).len() == 1), "one of them is executed");
    assert!((1..=4).all(|id| cluster.view(id) == 0), "and nobody waits for the other");
    assert!((1..=4).all(|id| cluster.detail(id, "waiting_requests") == 0));
}

#[test]
fn requests_that_share_some_of_their_ids_are_executed_as_far_as_they_are_new() {
    let mut cluster = Cluster::new(4);
    let request = |cluster: &Cluster, counters: &[u64], word: &str| {
        let command = |counter: &u64| (*counter, Bytes::from(format!("{word}{counter}")));
        let commands = counters.iter().map(command).collect();
        let body = Request { client: NodeId(CLIENT), incarnation: 1, time: WallTime(0), commands };
        cluster.cast.signer(CLIENT).sign(body)
    };
    let first = request(&cluster, &[1, 2], "a");
    let second = request(&cluster, &[2, 3, u64::MAX], "b");
    cluster.send_to_all(&first);
    cluster.send_to_all(&second);
    cluster.settle();
    cluster.advance(3000);
    let count = cluster.executed(1).len();
    assert_eq!(count, 4, "{:?}", cluster.executed(1));
    assert!((1..=4).all(|id| cluster.executed(id) == cluster.executed(1)));
    assert!((1..=4).all(|id| cluster.detail(id, "waiting_requests") == 0));
}

#[test]
fn a_client_that_floods_is_cut_off_and_others_are_not() {
    let mut cluster = Cluster::with_options(4, |options| options.max_client_requests = 3);
    cluster.isolate(1);
    for counter in 1..=20 {
        let request = cluster.sign(counter, "flood");
        cluster.send(1, &request);
    }
    assert!(cluster.node(1).traced("of this client"));
    let waiting = cluster.detail(1, "waiting_requests");
    assert!(waiting <= 3 + 4, "{waiting} wait, with those that are under way");
    cluster.heal();
    let request = cluster.propose(1, "other");
    cluster.settle();
    assert!(cluster.node(1).answers.iter().any(|(id, _)| *id == request));
}

#[test]
fn a_primary_that_ignores_one_client_is_replaced_although_others_are_served() {
    let mut cluster = Cluster::new(4);
    let censored = cluster.sign(1, "censored");
    let mut others = 0;
    for _ in 0..100 {
        // The client asks the backups; the primary acts as if it had not heard.
        (2..=4).for_each(|id| cluster.send(id, &censored));
        let is_it = |message: &Message| matches!(message, Message::Request(request) if *request == censored);
        cluster.lose(|envelope| envelope.to == 1 && is_it(&envelope.message));
        if cluster.view(2) == 0 {
            cluster.propose(2, "served");
            others += 1;
        }
        cluster.advance(50);
        if cluster.executed(2).contains(&"censored".to_owned()) {
            assert!(others > 5, "others were served all the while");
            assert!(cluster.view(2) > 0);
            return;
        }
    }
    panic!("the client is ignored for ever: {:?}", cluster.status(2));
}

#[test]
fn a_reply_that_its_client_disputes_is_compared_with_what_was_executed() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    let id = RequestId { origin: NodeId(CLIENT), incarnation: 1, counter: 1 };
    let right = Some(cluster.replies[&id][&3].clone());
    let mut dispute = |to, counter, result| {
        let (view, client, replica) = (View::ZERO, NodeId(CLIENT), NodeId(4));
        let body = Reply { view, client, incarnation: 1, results: vec![(counter, result)], replica };
        let reply = cluster.cast.signer(4).sign(body);
        cluster.inject(CLIENT, to, Message::Disputed(reply));
        cluster.settle();
        let named = cluster.status(to).suspicions;
        named.iter().map(|suspicion| (suspicion.id, suspicion.what)).collect::<Vec<_>>()
    };
    let lie = Some(Bytes::from_static(b"lie"));
    assert_eq!(dispute(2, 1, right), [], "what is right accuses nobody, whatever the client thinks");
    assert_eq!(dispute(2, 1, None), [], "nor what was forgotten");
    assert_eq!(dispute(2, 9, lie.clone()), [], "nor what is not executed here");
    assert_eq!(dispute(4, 1, lie.clone()), [], "nobody suspects itself");
    assert_eq!(dispute(2, 1, lie), [(4, "wrong replies")]);
}

#[test]
fn a_reply_names_the_last_installed_view() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    cluster.lose_kind("NewView");
    cluster.crash(1);
    let request = cluster.sign(2, "b");
    cluster.send_to_all(&request);
    cluster.wait_until("the view change", |cluster| !cluster.is_active(3));
    let again = cluster.sign(1, "a");
    let kept = cluster.reply_view(3, &again);
    assert_eq!(kept, Some(0), "replica 3 is in no other view yet");
}

/// Of four, one is silent and one ahead of the others: these must be able to leave a primary that keeps from them what they
/// lack, or nobody is ever served.
#[test]
fn a_replica_that_is_behind_judges_the_primary_all_the_same() {
    let mut cluster =
        Cluster::with_options(4, |options| (options.checkpoint_interval, options.window) = (64, 128));
    for kind in ["PrePrepare", "Prepare", "Commit"] {
        cluster.block_kind(kind, 4);
    }
    for counter in 1..=20 {
        let request = cluster.sign(counter, "word");
        cluster.send_to_all(&request);
        cluster.settle();
    }
    assert_eq!((cluster.applied(1), cluster.applied(4)), (20, 0));
    cluster.wait_until("replica 4 leaves the view", |cluster| !cluster.is_active(4));
}
