//! Crashes of the log: at every byte of a batch, at every operation, with every subset of what was not synced.

use proptest::prelude::*;

use super::segment::{Salt, SegmentHeader, encode_batch, segment_id};
use super::*;

/// Crashes that lose all, nothing, and much in between.
fn crashes() -> impl Iterator<Item = Crash> {
    let subsets = (0..16).map(Crash::Subset);
    [Crash::Lose, Crash::Keep].into_iter().chain(subsets).chain((0..24).map(Crash::Random))
}

#[test]
fn a_crash_at_every_byte_of_a_batch_keeps_it_whole_or_not_at_all() {
    let bytes = 40 + 3 * 4 + 90 + 40 + 58;
    for cut in 0..=bytes {
        let mut model = Model::new();
        model.batch(&[30, 5]).unwrap();
        let from = model.wal.next_lsn().0;
        let torn = [record(from, 90, 0), record(from + 1, 40, 0), record(from + 2, 58, 0)];
        model.written.extend(torn.clone());
        model.wal.write(&torn).unwrap();
        let disk = model.disk.crash(&Crash::Cut(cut));
        let (_, opened) = open(&disk).unwrap();
        let (expected, cut_off) = if cut == bytes { (6, None) } else { (3, (cut > 0).then_some(2)) };
        assert_eq!(opened.next_lsn, Lsn(expected), "cut after {cut} bytes");
        assert_eq!(opened.torn.map(|torn| torn.batch), cut_off, "cut after {cut} bytes");
        // Then it goes on, with a shorter batch, of which the torn one must not become a part.
        model.reopen(disk).unwrap();
        model.batch(&[1]).unwrap();
        model.crash(&Crash::Lose);
        model.batch(&[70]).unwrap();
        model.crash(&Crash::Lose);
    }
}

/// Values that look like batches of the log: copied from it, and made with any number but not with its salt.
fn lookalike(model: &Model) -> Bytes {
    let mut copied = vec![0; 8 + 112];
    let file = model.disk.open(&segment(1), OpenMode::Read).unwrap();
    file.read_at(504, &mut copied).unwrap();
    let mut forged = Vec::new();
    let header = SegmentHeader { identity: identity(), id: 1, salt: 78, bytes: 2048, recycled: false };
    encode_batch(&mut forged, Salt::of(&header), 9, &[record(9, 60, 0)]);
    // The record stands 44 bytes behind its batch, and batches at multiples of eight.
    Bytes::from([&[0; 4], &copied[8..], &forged, &copied[8..], &forged, &forged].concat())
}

#[test]
fn every_mix_of_the_sectors_of_a_batch_is_a_torn_write_whatever_clients_put_in_it() {
    let mut torn = 0;
    for seed in 0..600 {
        let mut model = Model::new();
        model.batch(&[64]).unwrap();
        let value = (Lsn(2), lookalike(&model));
        assert!(value.1.len() > 512, "it is to span sectors");
        model.written.push(value.clone());
        model.wal.write(&[value]).unwrap();
        model.crash(&Crash::Random(seed));
        torn += u64::from(model.wal.next_lsn() == Lsn(2));
        model.batch(&[3]).unwrap();
        model.crash(&Crash::Random(seed));
    }
    assert!((100..550).contains(&torn), "{torn} of 600 were torn");
}

/// A history that fills segments, cuts and recycles them; stops at the first error.
fn history(model: &mut Model) -> Result<(), WalError> {
    for number in 0..24 {
        model.batch(&[400 + number * 10, 40])?;
        if number % 3 == 2 {
            model.retain_from(Lsn(model.durable.0.saturating_sub(4).max(1)));
        }
        model.prepare()?;
    }
    Ok(())
}

#[test]
fn a_crash_before_every_operation_loses_nothing_that_was_durable() {
    let operations = {
        let mut model = Model::new();
        let before = model.disk.counters().operations;
        history(&mut model).unwrap();
        model.disk.counters().operations - before
    };
    assert!(operations > 100, "the history is to be long enough to recycle segments: {operations}");
    for stop in 0..operations {
        let mut model = Model::new();
        model.disk.power_off_after(stop);
        history(&mut model).unwrap_err();
        for crash in crashes() {
            let left = model.disk.crash(&crash);
            let (_, opened) =
                open(&left).unwrap_or_else(|error| panic!("operation {stop}, {crash:?}: {error}"));
            model.check(&opened);
            assert!(left.list(Path::new(DIR)).unwrap().iter().all(|name| segment_id(name).is_some()));
        }
    }
}

#[test]
fn a_crash_while_a_crashed_log_is_opened_loses_nothing_either() {
    for seed in 0..6 {
        let mut model = Model::new();
        model.batch(&[500]).unwrap();
        let torn = [record(2, 900, 0)];
        model.written.extend(torn.clone());
        model.wal.write(&torn).unwrap();
        let crashed = model.disk.crash(&Crash::Random(seed));
        for stop in 0.. {
            let disk = crashed.crash(&Crash::Keep);
            disk.power_off_after(stop);
            let opened = open(&disk);
            for crash in crashes() {
                model.check(&open(&disk.crash(&crash)).unwrap().1);
            }
            if opened.is_ok() {
                break;
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Batch(Vec<usize>),
    Retain(u64),
    Prepare,
    Unsynced(usize, Crash),
    PowerOff(u64, Crash),
    Restart,
}

fn crash() -> impl Strategy<Value = Crash> {
    prop_oneof![
        Just(Crash::Lose),
        Just(Crash::Keep),
        (0..2000_u64).prop_map(Crash::Cut),
        any::<u64>().prop_map(Crash::Subset),
        any::<u64>().prop_map(Crash::Random),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(0..400_usize, 1..6).prop_map(Step::Batch),
        2 => (0..40_u64).prop_map(Step::Retain),
        3 => Just(Step::Prepare),
        2 => (0..1400_usize, crash()).prop_map(|(bytes, crash)| Step::Unsynced(bytes, crash)),
        2 => (0..12_u64, crash()).prop_map(|(after, crash)| Step::PowerOff(after, crash)),
        1 => Just(Step::Restart),
    ]
}

/// Does a step; whatever fails because the power is off is what a crash interrupts.
fn take(model: &mut Model, step: Step, crash_at: &mut Option<Crash>) -> Result<(), WalError> {
    match step {
        Step::Batch(lengths) => model.batch(&lengths),
        Step::Prepare => model.prepare(),
        Step::Retain(back) => {
            model.retain_from(Lsn(model.durable.0.saturating_sub(back).max(1)));
            Ok(())
        }
        Step::Unsynced(bytes, crash) => {
            let record = record(model.wal.next_lsn().0, bytes, model.life);
            model.written.push(record.clone());
            model.wal.write(&[record])?;
            model.crash(&crash);
            *crash_at = None;
            Ok(())
        }
        Step::PowerOff(after, crash) => {
            model.disk.power_off_after(after);
            *crash_at = Some(crash);
            Ok(())
        }
        Step::Restart if crash_at.is_none() => model.reopen(model.disk.clone()),
        Step::Restart => Ok(()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_history_with_any_crashes_keeps_what_was_durable(steps in prop::collection::vec(step(), 1..60)) {
        let mut model = Model::new();
        let mut crash_at = None;
        for step in steps {
            if take(&mut model, step, &mut crash_at).is_err() {
                let crash = crash_at.take().expect("nothing fails while the power is on");
                model.crash(&crash);
            }
        }
        model.crash(&Crash::Lose);
    }
}
