//! Damage to what was durable: told from a torn write, and never accepted.

use proptest::prelude::*;

use super::*;

/// A log of a few batches over three segments, of which the last has two.
fn log() -> Model {
    let mut model = Model::new();
    for bytes in [300, 500, 400, 700, 800, 100, 64, 32] {
        model.batch(&[bytes]).unwrap();
    }
    model
}

#[test]
fn a_flipped_bit_anywhere_is_found_or_cuts_the_last_batch_and_is_never_accepted() {
    let model = log();
    let ids = model.disk.list(Path::new(DIR)).unwrap().len() as u64;
    let last = model.written.len();
    let (mut found, mut cut, mut harmless) = (0, 0, 0);
    for id in 1..=ids {
        for offset in 0..2048 {
            let disk = model.disk.crash(&Crash::Lose);
            disk.rot(&segment(id), offset, 1 << (offset % 8));
            match open(&disk) {
                Err(WalError::Rot { .. } | WalError::Damaged { .. }) => found += 1,
                Err(error) => panic!("segment {id}, offset {offset}: {error}"),
                Ok((_, opened)) if opened.records == model.written => harmless += 1,
                Ok((_, opened)) => {
                    assert_eq!(opened.records, model.written[..last - 1], "segment {id}, offset {offset}");
                    assert!(opened.torn.is_some(), "what is cut is reported");
                    cut += 1;
                }
            }
        }
    }
    assert_eq!(cut, 80, "every byte of the last batch, and no other");
    assert!(found > 4000 && harmless > 500, "{found} found, {harmless} in bytes that nobody uses");
}

#[test]
fn the_error_names_file_offset_batch_and_command() {
    let model = log();
    model.disk.rot(&segment(1), 512 + 100, 0x10);
    let error = open(&model.disk).unwrap_err();
    let WalError::Rot { file, offset, batch, .. } = &error else { panic!("{error}") };
    assert_eq!((file, *offset, *batch), (&segment(1), 512, 1));
    let text = error.to_string();
    for part in ["/wal/0000000000000001.wal", "offset 512", "batch 1", "consensusctl wal inspect /wal"] {
        assert!(text.contains(part), "{part:?} is missing in: {text}");
    }
}

#[test]
fn damage_at_the_end_of_a_segment_is_proved_by_the_next_one() {
    let model = log();
    // Batch 2 is the last of segment 1.
    model.disk.rot(&segment(1), 512 + 344 + 50, 0x10);
    let error = open(&model.disk).unwrap_err();
    let WalError::Rot { file, offset, batch, .. } = &error else { panic!("{error}") };
    assert_eq!((file, *offset, *batch), (&segment(1), 512 + 344, 2));
}

#[test]
fn nothing_is_changed_when_the_log_is_refused() {
    let model = log();
    model.disk.rot(&segment(1), 600, 1);
    let before = model.disk.counters();
    open(&model.disk).unwrap_err();
    assert_eq!(model.disk.counters(), before);
}

#[test]
fn a_missing_segment_is_named() {
    let model = log();
    model.disk.remove(&segment(2)).unwrap();
    let error = open(&model.disk).unwrap_err();
    assert!(error.to_string().starts_with("/wal/0000000000000002.wal is damaged: it is missing"), "{error}");
}

#[test]
fn a_segment_that_was_cut_off_is_damaged_wherever_that_was() {
    let model = log();
    let last = model.disk.list(Path::new(DIR)).unwrap().len() as u64;
    for bytes in 0..2048 {
        let disk = model.disk.crash(&Crash::Lose);
        disk.open(&segment(last), OpenMode::Write).unwrap().set_len(bytes).unwrap();
        assert!(matches!(open(&disk), Err(WalError::Damaged { .. })), "cut to {bytes}");
    }
}

#[test]
fn a_log_without_segments_is_not_a_new_one() {
    let model = log();
    for name in model.disk.list(Path::new(DIR)).unwrap() {
        model.disk.remove(&Path::new(DIR).join(name)).unwrap();
    }
    assert_eq!(open(&model.disk).unwrap_err(), WalError::LogMissing { dir: DIR.into() });
}

#[test]
fn an_old_log_whose_only_batches_are_gone_is_not_an_empty_one() {
    let mut model = log();
    model.retain_from(model.durable);
    for _ in 0..4 {
        model.prepare().unwrap();
    }
    let first = model.disk.list(Path::new(DIR)).unwrap()[0].clone();
    assert_ne!(first, "0000000000000001.wal");
    // All the segments that have batches, but none of them readable.
    for name in model.disk.list(Path::new(DIR)).unwrap() {
        for offset in (512..2048).step_by(8) {
            model.disk.rot(&Path::new(DIR).join(&name), offset, 0xFF);
        }
    }
    let error = open(&model.disk).unwrap_err();
    assert!(error.to_string().contains("no batch can be read in the whole log"), "{error}");
}

#[test]
fn the_log_of_another_is_refused() {
    let model = log();
    let others = [
        ("cluster", Identity { cluster_id: 9, ..identity() }),
        ("node", Identity { node: NodeId(4), ..identity() }),
        ("protocol", Identity { protocol: "pbft".to_owned(), ..identity() }),
    ];
    for (differs, other) in others {
        let opened = Wal::open(as_disk(&model.disk), Path::new(DIR), other, options());
        let error = opened.map(drop).expect_err("it belongs to another");
        assert!(matches!(error, WalError::OtherOwner { what, .. } if what == differs), "{error}");
    }
}

proptest! {
    #[test]
    fn bytes_that_were_overwritten_anywhere_are_never_accepted(
        id in 1..4_u64,
        offset in 0..2000_u64,
        bytes in prop::collection::vec(any::<u8>(), 1..600),
    ) {
        let model = log();
        let file = model.disk.open(&segment(id), OpenMode::Write).unwrap();
        file.write_at(offset, &bytes[..bytes.len().min(2048 - offset as usize)]).unwrap();
        match open(&model.disk) {
            Ok((_, opened)) => prop_assert_eq!(&opened.records[..], &model.written[..opened.records.len()]),
            Err(WalError::Rot { .. } | WalError::Damaged { .. }) => {}
            Err(error) => prop_assert!(false, "{error}"),
        }
    }
}
