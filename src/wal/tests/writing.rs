//! The log as it is written: batches, segments, retention, failures, a full disk.

use super::*;
use crate::consensus::{Pressure, Shortage};

#[test]
fn records_come_back_in_order_over_several_segments() {
    let mut model = Model::new();
    for number in 0..40 {
        model.batch(&[number * 5, 0, 100]).unwrap();
    }
    assert!(model.disk.list(Path::new(DIR)).unwrap().len() > 3, "the test is about several segments");
    let (wal, opened) = open(&model.disk).unwrap();
    assert_eq!(opened.records, model.written);
    assert_eq!((opened.next_lsn, opened.torn), (Lsn(121), None));
    assert_eq!(wal.durable(), Lsn(120));
}

#[test]
fn a_new_log_is_empty_and_has_one_segment() {
    let disk = disk_with_log();
    let (wal, opened) = open(&disk).unwrap();
    assert_eq!((opened.records.len(), opened.next_lsn, opened.torn), (0, Lsn(1), None));
    assert_eq!((wal.durable(), wal.pressure()), (Lsn::ZERO, Pressure::Ok));
    assert_eq!(disk.list(Path::new(DIR)).unwrap(), ["0000000000000001.wal"]);
}

#[test]
fn a_batch_costs_one_write_and_one_sync() {
    let (mut model, before) = {
        let model = Model::new();
        let before = model.disk.counters();
        (model, before)
    };
    model.batch(&[10; 20]).unwrap();
    let after = model.disk.counters();
    assert_eq!(after.operations - before.operations, 2);
    assert_eq!((after.writes - before.writes, after.syncs - before.syncs), (1, 1));
    let expected = Counters { batches: 1, records: 20, bytes: 320, syncs: 1, last_sync_bytes: 320 };
    assert_eq!(model.wal.counters(), expected);
    model.wal.sync().unwrap();
    assert_eq!(model.disk.counters(), after, "nothing to sync, nothing done");
}

#[test]
fn a_probe_waits_for_the_disk_and_leaves_nothing() {
    let mut model = Model::new();
    model.batch(&[10; 3]).unwrap();
    let (counters, before) = (model.wal.counters(), model.disk.counters());
    model.wal.probe().unwrap();
    assert_eq!(model.wal.sync().unwrap(), Lsn(3));
    let after = model.disk.counters();
    assert_eq!((after.writes - before.writes, after.syncs - before.syncs), (1, 1));
    assert_eq!(model.wal.counters(), counters, "it is no batch");
    model.wal.sync().unwrap();
    assert_eq!(model.disk.counters(), after);
    model.batch(&[10]).unwrap();
    let (_, opened) = open(&model.disk).unwrap();
    assert_eq!((opened.records.len(), opened.torn), (4, None));
    model.disk.fail_next_sync();
    model.wal.probe().unwrap();
    assert!(model.wal.sync().is_err(), "a failure is final, as of any sync");
    assert!(model.wal.failure().is_some());
}

#[test]
#[should_panic(expected = "invariant 1")]
fn a_second_batch_before_the_sync_of_the_first_is_a_bug_of_the_caller() {
    let (mut wal, _) = open(&disk_with_log()).unwrap();
    wal.write(&[record(1, 8, 0)]).unwrap();
    let _ = wal.write(&[record(2, 8, 0)]);
}

#[test]
#[should_panic(expected = "invariant 2")]
fn a_gap_in_the_numbers_is_a_bug_of_the_caller() {
    let (mut wal, _) = open(&disk_with_log()).unwrap();
    let _ = wal.write(&[record(2, 8, 0)]);
}

#[test]
fn what_exceeds_a_segment_is_split_at_records() {
    let mut model = Model::new();
    model.batch(&[700; 9]).unwrap();
    assert_eq!(model.wal.counters().batches, 5);
    assert_eq!(open(&model.disk).unwrap().1.records, model.written);
}

#[test]
fn a_record_that_no_segment_can_hold_is_refused_and_the_log_goes_on() {
    let (mut wal, _) = open(&disk_with_log()).unwrap();
    let limit = wal.max_record_bytes();
    let error = wal.write(&[record(1, limit as usize + 1, 0)]).unwrap_err();
    assert_eq!(error, WalError::RecordTooLarge { lsn: Lsn(1), bytes: limit + 1, limit });
    append(&mut wal, limit as usize);
    assert_eq!(wal.durable(), Lsn(1));
}

#[test]
fn after_a_failed_sync_every_call_gives_the_same_error() {
    let mut model = Model::new();
    model.batch(&[10]).unwrap();
    model.disk.fail_next_sync();
    let error = model.batch(&[10]).unwrap_err();
    assert!(matches!(error, WalError::Final { action: "sync", .. }), "{error}");
    let later = [record(3, 1, 0)];
    assert_eq!(model.wal.write(&later).unwrap_err(), error);
    assert_eq!(model.wal.sync().unwrap_err(), error);
    assert!(model.wal.preparation().is_none());
    assert_eq!(model.wal.durable(), Lsn(1));
    model.crash(&Crash::Lose);
    assert_eq!(model.wal.next_lsn(), Lsn(2), "the batch whose sync failed was never promised");
}

#[test]
fn after_a_failed_write_every_call_gives_the_same_error_and_its_half_is_cut() {
    let mut model = Model::new();
    model.batch(&[10]).unwrap();
    model.disk.fail_next_write();
    let error = model.batch(&[200]).unwrap_err();
    assert!(matches!(error, WalError::Final { action: "write", .. }), "{error}");
    assert_eq!(model.wal.sync().unwrap_err(), error);
    let (wal, opened) = open(&model.disk).unwrap();
    assert_eq!(wal.next_lsn(), Lsn(2));
    assert_eq!(opened.torn.map(|torn| (torn.batch, torn.offset)), Some((2, 512 + 56)));
}

/// After a failed sync the system may call pages clean that never reached the disk. A new life of the node reads them,
/// and would lose them later: so opening writes the last batch again.
#[test]
fn what_a_failed_sync_dropped_is_durable_once_the_log_was_opened_again() {
    let mut model = Model::new();
    model.batch(&[10]).unwrap();
    model.disk.fail_next_sync();
    model.batch(&[300]).unwrap_err();
    assert_eq!(model.disk.crash(&Crash::Keep).crash(&Crash::Lose).used(), model.disk.used());
    model.reopen(model.disk.clone()).unwrap();
    assert_eq!(model.wal.durable(), Lsn(2), "the batch can be read, so it counts");
    model.crash(&Crash::Lose);
    assert_eq!(model.wal.durable(), Lsn(2), "and so it must not vanish any more");
}

#[test]
fn what_is_no_longer_needed_is_recycled_so_that_the_log_does_not_grow() {
    let mut model = Model::new();
    let mut most = 0;
    for _ in 0..100 {
        model.batch(&[300, 300]).unwrap();
        model.retain_from(model.durable);
        model.prepare().unwrap();
        most = most.max(model.disk.used());
    }
    assert!(most <= 4 * 2048, "{most} bytes are more than four segments");
    model.crash(&Crash::Lose);
}

#[test]
fn the_last_durable_batch_is_kept_whatever_may_be_forgotten() {
    let mut model = Model::new();
    model.batch(&[1000]).unwrap();
    model.prepare().unwrap();
    let next = record(2, 1000, 0);
    model.wal.write(std::slice::from_ref(&next)).unwrap();
    model.wal.retain_from(Lsn(2));
    model.prepare().unwrap();
    model.written.push(next);
    model.crash(&Crash::Lose);
    assert_eq!(model.wal.next_lsn(), Lsn(2), "the log knows where it was, though segment 2 is empty");
}

#[test]
fn old_batches_in_a_recycled_segment_never_come_back() {
    let mut model = Model::new();
    // Records of one length make the batches of old and new segments lie at the same offsets.
    for _ in 0..60 {
        model.batch(&[200]).unwrap();
        model.retain_from(model.durable);
        model.prepare().unwrap();
        let (_, opened) = open(&model.disk.crash(&Crash::Lose)).unwrap();
        model.check(&opened);
        assert_eq!(opened.next_lsn, model.durable.next());
        assert_eq!(opened.torn, None, "old batches behind the end are no torn write");
    }
}

#[test]
fn on_a_full_disk_the_log_goes_on_with_what_it_has_and_comes_back() {
    let mut model = Model::new();
    model.disk.set_capacity(Some(2048));
    model.prepare().unwrap();
    assert_eq!(model.wal.pressure(), Pressure::Ok, "the first segment has room");
    while model.wal.pressure() == Pressure::Ok {
        model.batch(&[100]).unwrap();
    }
    let needed = 1000;
    let refused = model.wal.write(&[record(model.wal.next_lsn().0, needed, 0)]).unwrap_err();
    assert!(refused.shortage().is_some(), "{refused}");
    // The reserve is for small batches, as those with a term and a vote.
    for bytes in (90..200).rev() {
        while model.batch(&[bytes]).is_ok() {}
        model.written.pop();
    }
    model.batch(&[80]).unwrap();
    model.batch(&[80]).unwrap();
    assert!(model.wal.failure().is_none());
    model.disk.set_capacity(None);
    model.prepare().unwrap();
    assert_eq!(model.wal.pressure(), Pressure::Ok);
    model.batch(&[needed]).unwrap();
    model.crash(&Crash::Lose);
}

#[test]
fn a_full_disk_leaves_no_half_made_segment() {
    let mut model = Model::new();
    model.disk.set_capacity(Some(3000));
    let prepared = model.wal.preparation().unwrap().run();
    assert!(prepared.failure().is_some_and(|error| error.shortage().is_some()));
    assert_eq!(model.disk.used(), 2048);
}

#[test]
fn without_a_file_descriptor_the_log_waits_as_on_a_full_disk() {
    let mut model = Model::new();
    model.disk.refuse_opens(true);
    model.prepare().unwrap();
    while model.wal.pressure() == Pressure::Ok {
        model.batch(&[100]).unwrap();
    }
    assert_eq!(model.wal.pressure(), Pressure::Full(Shortage::Descriptors));
    assert!(model.wal.failure().is_none());
    model.disk.refuse_opens(false);
    model.prepare().unwrap();
    assert_eq!(model.wal.pressure(), Pressure::Ok);
    model.batch(&[600]).unwrap();
}

#[test]
fn on_a_full_disk_segments_are_still_recycled() {
    let mut model = Model::new();
    for _ in 0..8 {
        model.batch(&[600]).unwrap();
    }
    model.disk.set_capacity(Some(model.disk.used()));
    for _ in 0..20 {
        model.retain_from(model.durable);
        model.prepare().unwrap();
        model.batch(&[600]).unwrap();
        assert_eq!(model.wal.pressure(), Pressure::Ok);
    }
}

#[test]
fn a_segment_that_is_needed_while_it_is_prepared_is_waited_for() {
    let mut model = Model::new();
    let preparation = model.wal.preparation().unwrap();
    assert!(model.wal.preparation().is_none(), "one at a time");
    model.batch(&[1000]).unwrap();
    let next = record(2, 1000, 0);
    assert_eq!(model.wal.write(std::slice::from_ref(&next)).unwrap_err(), WalError::Unprepared);
    model.wal.prepared(preparation.run()).unwrap();
    model.wal.write(&[next]).unwrap();
    assert_eq!(model.wal.sync().unwrap(), Lsn(2));
}

#[test]
fn a_disk_that_fails_at_a_preparation_stops_the_log_there() {
    let mut model = Model::new();
    model.batch(&[10]).unwrap();
    let preparation = model.wal.preparation().unwrap();
    model.disk.fail_next_sync();
    let error = model.wal.prepared(preparation.run()).unwrap_err();
    assert!(matches!(error, WalError::Final { .. }), "{error}");
    model.crash(&Crash::Lose);
}

#[test]
fn segments_of_another_length_are_used_up_and_followed_by_new_ones() {
    let mut model = Model::new();
    model.batch(&[300]).unwrap();
    model.prepare().unwrap();
    let longer = WalOptions { salt: 5, ..WalOptions::with_segment_bytes(8192) };
    let (mut wal, _) = Wal::open(as_disk(&model.disk), Path::new(DIR), identity(), longer).unwrap();
    append(&mut wal, 7000);
    append(&mut wal, 10);
    drop(wal);
    let (mut wal, opened) = open(&model.disk).unwrap();
    assert_eq!(opened.records.iter().map(|(_, record)| record.len()).collect::<Vec<_>>(), [300, 7000, 10]);
    append(&mut wal, 500);
}

/// A process that is killed between a rename and the sync of the directory leaves a name that can be seen and is not
/// durable.
#[test]
fn a_segment_whose_name_was_not_durable_is_so_once_the_log_was_opened() {
    let mut model = Model::new();
    model.batch(&[10]).unwrap();
    let elsewhere = Path::new(DIR).join("elsewhere");
    model.disk.rename(&segment(1), &elsewhere).unwrap();
    model.disk.sync_dir(Path::new(DIR)).unwrap();
    model.disk.rename(&elsewhere, &segment(1)).unwrap();
    model.reopen(model.disk.clone()).unwrap();
    model.crash(&Crash::Lose);
}

#[test]
fn segments_are_as_long_as_the_longest_record_needs() {
    let options = WalOptions { salt: 3, ..WalOptions::with_segment_bytes(4096) };
    assert_eq!(options.holding(1000), options);
    let longer = options.holding(10_000);
    assert_eq!(longer.salt, 3);
    let (wal, _) = Wal::open(as_disk(&disk_with_log()), Path::new(DIR), identity(), longer).unwrap();
    assert!((10_000..10_008).contains(&wal.max_record_bytes()), "{}", wal.max_record_bytes());
}
