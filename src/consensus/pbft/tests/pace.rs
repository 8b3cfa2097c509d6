//! Slow primaries, slow clusters, and what is suspected (Aardvark §4.3, Prime §V).

use super::cluster::{Cluster, Envelope, sequence, view};
use crate::consensus::pbft::{Commit, Message, Options, Status};
use crate::consensus::{NodeId, Signature};

/// A request that everybody knows of gets its slot `late` milliseconds later, and is agreed on `then` milliseconds after
/// that.
fn put_slowly(cluster: &mut Cluster, counter: u64, late: u64, then: u64) {
    let request = cluster.sign(counter, &format!("{counter}"));
    cluster.hold("PrePrepare");
    cluster.send_to_all(&request);
    cluster.advance(late);
    cluster.stop_holding_and_deliver();
    cluster.hold("Commit");
    cluster.advance(then);
    cluster.stop_holding_and_deliver();
    cluster.settle();
}

fn put_all_slowly(cluster: &mut Cluster, counters: std::ops::RangeInclusive<u64>, late: u64, then: u64) {
    counters.for_each(|counter| put_slowly(cluster, counter, late, then));
}

fn suspected(cluster: &Cluster, by: u64) -> Vec<(u64, &'static str)> {
    let suspicions = cluster.status(by).suspicions;
    suspicions.iter().map(|suspicion| (suspicion.id, suspicion.what)).collect()
}

#[test]
fn a_primary_just_below_the_request_timer_is_replaced() {
    let mut cluster = Cluster::new(4);
    put_all_slowly(&mut cluster, 1..=2, 400, 0);
    assert!((2..=4).all(|id| suspected(&cluster, id).is_empty()), "twice may be a pause");
    put_all_slowly(&mut cluster, 3..=7, 400, 0);
    assert!(
        (2..=4).all(|id| suspected(&cluster, id) == [(1, "slow")]),
        "it shows before it has consequences"
    );
    assert_eq!(cluster.view(2), 0, "a few slow slots are no reason");
    put_all_slowly(&mut cluster, 8..=9, 400, 0);
    assert!((1..=4).all(|id| cluster.view(id) == 1 && cluster.is_active(id)));
    assert!((2..=4).any(|id| cluster.node(id).traced("slower than what it is compared with")));
    assert!((2..=4).any(|id| suspected(&cluster, id).contains(&(1, "slow"))), "and it is named");
    cluster.advance(31_000);
    assert!((1..=4).all(|id| suspected(&cluster, id).is_empty()), "not for ever");
}

#[test]
fn a_primary_whose_requests_wait_less_than_the_floor_stays() {
    let mut cluster = Cluster::new(4);
    put_all_slowly(&mut cluster, 1..=24, 200, 0);
    assert!((1..=4).all(|id| cluster.view(id) == 0));
}

#[test]
fn a_primary_is_no_slower_than_the_agreement_of_all_on_a_slow_network() {
    let mut cluster = Cluster::new(4);
    put_all_slowly(&mut cluster, 1..=24, 300, 150);
    assert!((1..=4).all(|id| cluster.view(id) == 0));
}

#[test]
fn a_cluster_that_is_slow_for_no_visible_reason_settles_once_each_has_left_f_plus_1_primaries() {
    let mut cluster = Cluster::new(4);
    put_all_slowly(&mut cluster, 1..=60, 300, 0);
    assert!((1..=4).all(|id| cluster.view(id) == 3), "one more, as nobody judges itself");
    put_all_slowly(&mut cluster, 61..=120, 300, 0);
    assert!((1..=4).all(|id| cluster.view(id) == 3));
}

#[test]
fn two_slow_primaries_in_a_row_are_both_replaced_where_two_may_be_faulty() {
    let mut cluster = Cluster::new(7);
    put_all_slowly(&mut cluster, 1..=16, 400, 0);
    assert_eq!(cluster.view(4), 2);
    put_all_slowly(&mut cluster, 17..=40, 0, 0);
    assert!((1..=7).all(|id| cluster.view(id) == 2));
}

#[test]
fn who_does_not_ask_for_pace_leaves_nobody_for_it() {
    let patient = |options: &mut Options| options.slow_primary_ms = 0;
    let mut cluster = Cluster::with_options(4, patient);
    put_all_slowly(&mut cluster, 1..=20, 400, 0);
    assert!((1..=4).all(|id| cluster.view(id) == 0));
}

#[test]
fn who_is_silent_is_suspected_until_it_is_heard_again() {
    let mut cluster = Cluster::new(4);
    cluster.crash(3);
    cluster.advance(2000);
    assert_eq!(suspected(&cluster, 1), []);
    cluster.advance(1500);
    assert_eq!(suspected(&cluster, 1), [(3, "silent")]);
    assert_eq!(cluster.status(1).suspicions[0].why, "not heard of for 3 s");
    cluster.restart(3);
    cluster.advance(200);
    assert_eq!(suspected(&cluster, 1), []);
}

/// Node 3 was away while slots were decided. It is back, says something so many times, and then votes for them.
fn vote_late(words: u64) -> Vec<(u64, &'static str)> {
    let roomy = |options: &mut Options| (options.checkpoint_interval, options.window) = (64, 128);
    let mut cluster = Cluster::with_options(4, roomy);
    cluster.crash(3);
    (1..=12).for_each(|counter| cluster.put(counter, "a"));
    cluster.advance(1000);
    let word = cluster.sign(1, "a");
    for _ in 0..words {
        cluster.inject(3, 1, Message::Request(word.clone()));
        cluster.advance(200);
    }
    for number in 1..=12 {
        let digest = cluster.replica(1).slots[&sequence(number)].decided.expect("it is decided");
        let body = Commit { view: view(0), sequence: sequence(number), digest, replica: NodeId(3) };
        cluster.inject(3, 1, Message::Commit(cluster.cast.signer(3).sign(body)));
    }
    suspected(&cluster, 1)
}

#[test]
fn whose_votes_come_late_is_suspected_unless_it_was_away_and_catches_up() {
    assert_eq!(vote_late(1), []);
    assert_eq!(vote_late(20), [(3, "slow")]);
}

#[test]
fn a_primary_that_leaves_a_request_out_is_told_from_one_that_does_nothing() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    let censored = cluster.sign(2, "b");
    cluster.block_kind("Request", 1);
    (2..=4).for_each(|id| cluster.send(id, &censored));
    cluster.advance(10);
    cluster.unblock_kind("Request");
    cluster.put(3, "c");
    cluster.block_kind("Request", 1);
    cluster.advance(600);
    assert!((2..=4).any(|id| suspected(&cluster, id).contains(&(1, "censors"))));
    cluster.wait_executed(&["a", "c", "b"]);
}

#[test]
fn a_primary_that_is_heard_of_and_orders_nothing_leaves_out_and_one_that_is_gone_stalls() {
    for (gone, what) in [(false, "leaves out requests"), (true, "stalls")] {
        let mut cluster = Cluster::new(4);
        cluster.put(1, "a");
        let request = cluster.sign(2, "b");
        if gone {
            cluster.crash(1);
        }
        cluster.block_kind("Request", 1);
        (2..=4).for_each(|id| cluster.send(id, &request));
        cluster.advance(700);
        let named: Vec<_> = (2..=4).flat_map(|id| suspected(&cluster, id)).collect();
        assert!(named.contains(&(1, what)), "{named:?}");
        assert!(named.iter().all(|(id, _)| *id == 1), "{named:?}");
    }
}

#[test]
fn refused_messages_are_held_against_the_peer_that_sent_them() {
    let mut cluster = Cluster::new(4);
    let mut request = cluster.sign(1, "a");
    request.signature = Signature([9; 64]);
    assert!(cluster.refusal(1, 3, Message::Request(request)).is_some());
    cluster.refuse(1, 3, 5);
    assert_eq!(suspected(&cluster, 1), [(3, "invalid messages")]);
    assert_eq!(cluster.status(1).suspicions[0].times, 5);
    cluster.refuse(1, 1001, 5);
    assert_eq!(suspected(&cluster, 1).len(), 1, "clients are no replicas: {}", NodeId(1001));
}

/// A primary whose pool was full when its view began, or whom nobody told, hears of what waits in good time.
#[test]
fn what_waits_for_long_is_passed_on_again() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    let unheard = cluster.sign(2, "b");
    cluster.send(3, &unheard);
    cluster.lose(|envelope| envelope.to == 1 && matches!(envelope.message, Message::Request(_)));
    cluster.advance(400);
    cluster.wait_executed(&["a", "b"]);
    assert_eq!(cluster.status(3).epoch, 0, "no view change was needed");
}

/// A liar's STATUS must not have the others send for ever what it does not need.
#[test]
fn who_says_again_and_again_that_it_has_nothing_is_sent_ever_less() {
    let mut cluster = Cluster::with_options(4, |options| {
        (options.checkpoint_interval, options.window) = (128, 256);
    });
    (1..=40).for_each(|counter| cluster.put(counter, "a"));
    let (zero, replica) = (sequence(0), NodeId(4));
    let nothing =
        Status { view: view(0), active: true, stable: zero, committed: zero, fetching: zero, replica };
    let nothing = Message::Status(cluster.cast.signer(4).sign(nothing));
    let mut sent = || {
        cluster.lose(|_| true);
        cluster.tick(60);
        cluster.inject(4, 1, nothing.clone());
        let count = std::cell::Cell::new(0);
        let answers = |envelope: &Envelope| (envelope.from, envelope.to) == (1, 4);
        cluster.lose(|envelope| {
            count.set(count.get() + usize::from(answers(envelope)));
            true
        });
        count.get()
    };
    let first = sent();
    assert!(first > 40, "at first it is believed: {first}");
    let last = (0..10).map(|_| sent()).last().unwrap_or_default();
    assert!((1..20).contains(&last), "in the end it is sent what would let it get on: {last}");
}

#[test]
fn no_primary_is_left_for_what_stores_take_to_execute() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    cluster.stop_stores();
    for (counter, command) in [(2, "b"), (3, "c")] {
        let request = cluster.sign(counter, command);
        cluster.send_to_all(&request);
        cluster.advance(20_000);
        cluster.send_to_all(&request); // Clients ask again, and are told nothing.
        cluster.advance(20_000);
    }
    assert!((1..=4).all(|id| cluster.view(id) == 0 && suspected(&cluster, id).is_empty()));
    cluster.resume_stores();
    cluster.wait_executed(&["a", "b", "c"]);
    assert_eq!(cluster.answered(3), 4, "all say what came of it");
}

/// Stores make checkpoints: until they do, nobody can order anything.
#[test]
fn no_primary_is_left_for_a_window_that_waits_for_the_stores() {
    let mut cluster = Cluster::new(4);
    let commands = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];
    cluster.put(1, commands[0]);
    cluster.stop_stores();
    for (counter, command) in (2..).zip(&commands[1..]) {
        let request = cluster.sign(counter, command);
        cluster.send_to_all(&request);
        cluster.advance(50);
    }
    cluster.advance(20_000);
    assert!((1..=4).all(|id| cluster.view(id) == 0 && suspected(&cluster, id).is_empty()));
    cluster.resume_stores();
    cluster.wait_executed(&commands);
    assert!((1..=4).all(|id| cluster.view(id) == 0));
}

#[test]
fn a_primary_that_leaves_a_request_out_is_left_while_stores_are_busy() {
    let mut cluster = Cluster::new(4);
    cluster.put(1, "a");
    cluster.stop_stores();
    let ordered = cluster.sign(2, "b");
    cluster.send_to_all(&ordered);
    cluster.settle();
    let censored = cluster.sign(3, "c");
    cluster.block_kind("Request", 1);
    (2..=4).for_each(|id| cluster.send(id, &censored));
    cluster.advance(600);
    assert!((2..=4).all(|id| cluster.view(id) == 1));
    cluster.resume_stores();
    cluster.wait_executed(&["a", "b", "c"]);
}
