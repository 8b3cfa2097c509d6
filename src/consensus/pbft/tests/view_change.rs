//! From one view to the next (OSDI'99 §4.4, TOCS §4.5).

use super::cluster::{Cluster, sequence, view};
use crate::consensus::pbft::slot::Slot;
use crate::consensus::pbft::{Batch, Message, Record, Stable};

#[test]
fn a_silent_primary_is_replaced_and_the_request_executed() {
    for size in 4..=7 {
        let mut cluster = Cluster::new(size);
        cluster.crash(1);
        let request = cluster.sign(1, "a");
        cluster.send_to_all(&request);
        cluster.wait_executed(&["a"]);
        assert!((2..=size).all(|id| cluster.view(id) == 1), "one view change is enough");
        cluster.restart(1);
        cluster.wait_executed(&["a"]);
        cluster.wait_until("the old primary follows", |cluster| cluster.view(1) == 1 && cluster.is_active(1));
    }
}

#[test]
fn two_silent_primaries_in_a_row_are_replaced() {
    let mut cluster = Cluster::new(7);
    cluster.crash(1);
    cluster.crash(2);
    let request = cluster.sign(1, "a");
    cluster.send_to_all(&request);
    cluster.wait_executed(&["a"]);
    assert_eq!(cluster.view(3), 2);
}

#[test]
fn what_committed_at_one_replica_alone_survives_its_primary() {
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "a");
    cluster.send(1, &request);
    cluster.deliver_kinds(&["PrePrepare", "Prepare"]);
    // COMMITs reach replica 2 alone, which executes; then the primary and replica 2 are gone.
    while cluster.deliver_if(|envelope| envelope.to == 2) {}
    cluster.network.clear();
    assert_eq!((cluster.applied(2), cluster.applied(3)), (1, 0));
    cluster.isolate(2);
    let other = cluster.sign(2, "b");
    (3..=4).for_each(|id| cluster.send(id, &other));
    cluster.isolate(1);
    cluster.advance(3000);
    assert!((3..=4).all(|id| cluster.applied(id) == 0), "two of four are no quorum");
    cluster.heal();
    cluster.isolate(1);
    cluster.send_to_all(&other);
    cluster
        .wait_until("both, in their order", |cluster| (2..=4).all(|id| cluster.executed(id) == ["a", "b"]));
    let batch = Batch(vec![request]).digest();
    let again = cluster.durable_records(3).any(|record| {
        matches!(record, Record::PrePrepare { pre_prepare, .. }
            if pre_prepare.body.view > view(0) && (pre_prepare.body.sequence, pre_prepare.body.digest) == (sequence(1), batch))
    });
    assert!(again, "the new view proposed it again where it was");
}

/// Slot 2 prepares at all, slot 1 at nobody, and the primary is gone: the next view has a null request at 1.
pub(super) fn with_a_gap() -> Cluster {
    let mut cluster = Cluster::new(4);
    let (a, b) = (cluster.sign(1, "a"), cluster.sign(2, "b"));
    cluster.send(1, &a);
    cluster.network.clear();
    cluster.send(1, &b);
    cluster.deliver_kinds(&["PrePrepare", "Prepare"]);
    cluster.isolate(1);
    cluster.send_to_all(&b);
    cluster.wait_until("the second", |cluster| (2..=4).all(|id| cluster.executed(id) == ["b"]));
    assert!((2..=4).all(|id| cluster.applied(id) >= 2), "the gap was filled with nothing");
    cluster
}

#[test]
fn a_gap_is_filled_with_a_null_request() {
    let mut cluster = with_a_gap();
    cluster.heal();
    let a = cluster.sign(1, "a");
    cluster.send_to_all(&a);
    cluster.wait_executed(&["b", "a"]);
}

#[test]
fn f_plus_one_replicas_take_the_others_along_to_the_smallest_of_their_views() {
    let mut cluster = Cluster::new(4);
    for (replica, to) in [(3, 5), (4, 7)] {
        assert!((1..=2).all(|id| cluster.view(id) == 0), "one alone moves nobody");
        let said = cluster.cast.view_change(replica, view(to), Stable::default(), Vec::new());
        for id in 1..=2 {
            cluster.inject(replica, id, Message::ViewChange(said.clone()));
        }
    }
    assert!((1..=2).all(|id| cluster.view(id) == 5 && !cluster.is_active(id)));
}

#[test]
fn replicas_that_wait_for_different_views_find_each_other() {
    let mut cluster = Cluster::new(4);
    cluster.crash(1);
    let request = cluster.sign(1, "a");
    // Replica 2 misses the first view change, replica 3 is two views ahead by the time that they hear each other.
    cluster.send_to_all(&request);
    cluster.isolate(3);
    cluster.advance(3000);
    cluster.heal();
    cluster.isolate(2);
    cluster.advance(3000);
    cluster.heal();
    cluster.send_to_all(&request);
    cluster.wait_executed(&["a"]);
}

#[test]
fn a_view_change_that_is_replayed_moves_nobody_back() {
    let mut cluster = Cluster::new(4);
    cluster.crash(1);
    let request = cluster.sign(1, "a");
    cluster.send_to_all(&request);
    let mut old = Vec::new();
    cluster.wait_until("view 1", |cluster| (2..=4).all(|id| cluster.is_active(id) && cluster.view(id) == 1));
    for replica in 2..=4 {
        let of = |record: &Record| match record {
            Record::ViewChange(said) => Some(Message::ViewChange(said.clone())),
            Record::NewView(said) => Some(Message::NewView(said.clone())),
            _ => None,
        };
        old.extend(cluster.durable_records(replica).filter_map(of).map(|message| (replica, message)));
    }
    assert!(old.len() >= 6);
    cluster.crash(2);
    cluster.restart(1);
    let request = cluster.sign(2, "b");
    cluster.send_to_all(&request);
    cluster.wait_until("a later view", |cluster| cluster.view(3) >= 2 && cluster.is_active(3));
    let (seen, executed) = (cluster.view(3), cluster.executed(3));
    for (replica, message) in old.clone().into_iter().chain(old) {
        cluster.inject(replica, 3, message);
    }
    assert_eq!((cluster.view(3), cluster.is_active(3)), (seen, true));
    cluster.settle();
    assert!(cluster.executed(3).starts_with(&executed));
}

#[test]
fn a_new_view_that_leaves_out_what_prepared_is_refused() {
    let mut cluster = Cluster::new(4);
    let digest = crate::consensus::Digest([7; 32]);
    let at_one = cluster.cast.prepared(view(0), sequence(1), digest);
    let changes = [2, 3, 4].map(|id| {
        let certificates = if id == 3 { vec![at_one.clone()] } else { Vec::new() };
        cluster.cast.view_change(id, view(1), Stable::default(), certificates)
    });
    let right = cluster.cast.new_view(view(1), changes.to_vec());
    assert_eq!(cluster.refusal(3, 2, Message::NewView(right.clone())), None);
    let null = Batch::default().digest();
    for wrong in [vec![], vec![cluster.cast.pre_prepare(view(1), sequence(1), null)]] {
        let mut body = right.body.clone();
        body.pre_prepares = wrong;
        let signed = cluster.cast.signer(2).sign(body);
        cluster.inject(2, 3, Message::NewView(signed));
        assert_eq!(cluster.view(3), 0);
        let held = cluster.status(3).convicted;
        assert!(held[0].newest.contains("O does not follow"), "{held:?}");
    }
}

#[test]
fn a_primary_whose_window_moved_first_causes_no_view_change() {
    let mut cluster = Cluster::new(4);
    // Replica 4 hears no CHECKPOINT for a while, so its window stays behind the primary's.
    cluster.hold("Checkpoint");
    for counter in 1..=4 {
        cluster.put(counter, "x");
    }
    cluster.deliver_held_but(4);
    for counter in 5..=12 {
        cluster.put(counter, "x");
        cluster.deliver_held_but(4);
    }
    assert_eq!((cluster.detail(1, "low_water_mark"), cluster.detail(4, "low_water_mark")), (12, 0));
    assert_eq!(cluster.applied(4), 8, "9 and more are above its window");
    cluster.stop_holding();
    cluster.wait_executed(&["x"; 12]);
    assert!((1..=4).all(|id| cluster.view(id) == 0 && cluster.is_active(id)));
}

#[test]
fn a_new_view_that_was_lost_is_sent_again() {
    let mut cluster = Cluster::new(4);
    cluster.crash(1);
    let request = cluster.sign(1, "a");
    cluster.send_to_all(&request);
    cluster.wait_until("the NEW-VIEW", |cluster| cluster.is_active(2) && cluster.view(2) == 1);
    cluster.isolate(4);
    cluster.restart(4);
    cluster.wait_until("execution by a quorum that lacks one", |cluster| cluster.view(3) == 1);
    cluster.heal();
    cluster
        .wait_until("replica 4 learns of the view", |cluster| cluster.view(4) == 1 && cluster.is_active(4));
    cluster.wait_executed(&["a"]);
}

#[test]
fn a_network_that_loses_every_view_change_for_a_while_does_no_lasting_harm() {
    let mut cluster = Cluster::new(4);
    cluster.crash(1);
    let request = cluster.sign(1, "a");
    cluster.send_to_all(&request);
    cluster.lose_kind("ViewChange");
    cluster.lose_kind("NewView");
    cluster.advance(10_000);
    cluster.heal();
    cluster.wait_executed(&["a"]);
}

#[test]
fn timers_double_while_nothing_is_executed_and_start_again_when_something_is() {
    let mut cluster = Cluster::new(4);
    let request = cluster.sign(1, "a");
    cluster.lose_kind("NewView");
    cluster.crash(1);
    cluster.send_to_all(&request);
    cluster.advance(15_000);
    let high = cluster.view(2);
    assert!((2..=5).contains(&high), "views 1, 2, 3 and 4 take 1, 2, 4 and 8 seconds: {high}");
    cluster.heal();
    cluster.wait_executed(&["a"]);
    // The next silent primary is replaced as quickly as the first one.
    cluster.restart(1);
    cluster.wait_executed(&["a"]);
    let primary = cluster.status(2).leader.expect("a primary");
    let before = cluster.now;
    cluster.crash(primary);
    let request = cluster.sign(2, "b");
    cluster.send_to_all(&request);
    cluster.wait_executed(&["a", "b"]);
    assert!(cluster.now.since(before).as_millis() < 3000, "{:?}", cluster.now.since(before));
}

#[test]
fn a_replica_that_left_its_view_alone_executes_what_the_others_do() {
    let mut cluster = Cluster::new(4);
    // Two liars take replica 4 along; the others go on.
    let request = cluster.sign(1, "a");
    let said = cluster.cast.view_change(3, view(1), Stable::default(), Vec::new());
    let also = cluster.cast.view_change(2, view(1), Stable::default(), Vec::new());
    cluster.inject(3, 4, Message::ViewChange(said));
    cluster.inject(2, 4, Message::ViewChange(also));
    assert!(!cluster.is_active(4));
    cluster.network.clear();
    cluster.send(1, &request);
    cluster.wait_executed(&["a"]);
    assert!(!cluster.is_active(4) || cluster.view(4) > 0, "it does not go back");
}

#[test]
fn a_replica_that_was_stopped_does_not_blame_the_primary_for_it() {
    let mut cluster = Cluster::new(4);
    cluster.isolate(4);
    let request = cluster.sign(1, "a");
    cluster.send(4, &request);
    (1..=3).for_each(|id| cluster.send(id, &request));
    cluster.settle();
    cluster.pause(20_000);
    cluster.heal();
    cluster.wait_executed(&["a"]);
    cluster.advance(2000);
    assert!((1..=4).all(|id| cluster.view(id) == 0 && cluster.is_active(id)), "nobody left the view");
}

#[test]
fn a_replica_that_was_cut_off_does_not_blame_the_primary_for_it() {
    let mut cluster = Cluster::new(4);
    cluster.isolate(4);
    let request = cluster.sign(1, "a");
    cluster.send_to_all(&request);
    cluster.advance(20_000);
    cluster.heal();
    cluster.wait_executed(&["a"]);
    cluster.advance(2000);
    assert!((1..=4).all(|id| cluster.view(id) == 0 && cluster.is_active(id)), "nobody left the view");
}

#[test]
fn a_batch_that_comes_back_from_an_earlier_view_is_still_known() {
    // Replicas 2 and 3 backed a batch in view 0 that prepared at the liar 4 alone; view 1 proposed nothing; view 2 has the
    // liar's certificate, and the liar gives its batch to nobody.
    let mut cluster = Cluster::new(4);
    cluster.crash(4);
    cluster.crash(1);
    let request = cluster.sign(1, "a");
    let batch = Batch(vec![request]);
    let digest = batch.digest();
    let pre_prepare = cluster.cast.pre_prepare(view(0), sequence(1), digest);
    for to in [2, 3] {
        cluster.inject(1, to, Message::PrePrepare { pre_prepare, batch: batch.clone() });
    }
    cluster.network.clear();
    // View 1 has a null request at 1, because of a certificate at 2 that it takes from view 0.
    let null = Batch::default().digest();
    let at_two = cluster.cast.prepared(view(0), sequence(2), null);
    let changes = [1, 2, 3].map(|id| {
        let certificates = if id == 1 { vec![at_two.clone()] } else { Vec::new() };
        cluster.cast.view_change(id, view(1), Stable::default(), certificates)
    });
    let first = cluster.cast.new_view(view(1), changes.to_vec());
    assert_eq!(first.body.pre_prepares[0].body.digest, null);
    cluster.inject(2, 3, Message::NewView(first));
    cluster.network.clear();
    // View 5, of the same primary, has it back.
    let at_one = cluster.cast.prepared(view(0), sequence(1), digest);
    let changes = [1, 2, 4].map(|id| {
        let certificates = if id == 4 { vec![at_one.clone()] } else { Vec::new() };
        cluster.cast.view_change(id, view(5), Stable::default(), certificates)
    });
    let second = cluster.cast.new_view(view(5), changes.to_vec());
    assert_eq!(second.body.pre_prepares[0].body.digest, digest);
    cluster.inject(2, 3, Message::NewView(second));
    let voted = cluster.network.iter().any(|envelope| {
        matches!(&envelope.message, Message::Prepare(said) if said.body.view == view(5) && said.body.digest == digest)
    });
    assert!(voted, "replica 3 has the batch from view 0");
}

#[test]
fn a_liar_cannot_fill_memory_with_proposals_of_views_to_come() {
    let mut cluster = Cluster::new(4);
    for counter in 1..200 {
        let request = cluster.sign(counter, "junk");
        let batch = Batch(vec![request]);
        let pre_prepare = cluster.cast.pre_prepare(view(2), sequence(1), batch.digest());
        cluster.inject(3, 2, Message::PrePrepare { pre_prepare, batch });
    }
    let kept: usize = cluster.replica(2).slots.values().map(Slot::batches_kept).sum();
    assert!(kept <= 2, "{kept} are kept");
}
