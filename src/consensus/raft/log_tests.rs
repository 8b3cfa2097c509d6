//! The log's own invariants, by their numbers.

use super::*;
use crate::consensus::Epoch;
use crate::consensus::raft::Payload;

fn entry(index: u64, term: u64) -> Entry {
    Entry { index: Index(index), term: Epoch(term), payload: Payload::Noop }
}

/// Entries of these terms after `base`, with record numbers from 10.
fn log(base: u64, terms: &[u64]) -> Log {
    let mut log = Log::new(Index(base), Epoch(u64::from(base > 0)), Lsn(0));
    for (offset, term) in (1..).zip(terms) {
        log.append(entry(base + offset, *term), Lsn(9 + offset));
    }
    log
}

#[test]
#[should_panic(expected = "log invariant 1")]
fn entries_are_consecutive() {
    log(0, &[1]).append(entry(3, 1), Lsn(20));
}

#[test]
#[should_panic(expected = "log invariant 2")]
fn terms_never_fall() {
    log(0, &[2]).append(entry(2, 1), Lsn(20));
}

#[test]
#[should_panic(expected = "log invariant 3")]
fn record_numbers_rise() {
    log(0, &[1]).append(entry(2, 1), Lsn(10));
}

#[test]
fn what_is_durable_is_a_prefix_and_a_replaced_entry_is_not_in_it() {
    let mut log = log(0, &[1, 1, 1]);
    log.on_durable(Lsn(11));
    assert_eq!(log.durable_index(), Index(2));
    log.truncate_from(Index(2));
    assert_eq!(log.durable_index(), Index(1));
    log.append(entry(2, 2), Lsn(13));
    log.on_durable(Lsn(12));
    assert_eq!(log.durable_index(), Index(1), "the write of the replaced entry 3");
    log.on_durable(Lsn(13));
    assert_eq!(log.durable_index(), Index(2));
}

#[test]
fn compaction_moves_the_base_and_keeps_what_was_asked() {
    let mut log = log(0, &[1, 1, 2, 2, 3]);
    let each = entry(1, 1).size();
    assert_eq!(log.bytes(), 5 * each);
    assert_eq!(log.compaction_point(Index(4), 2 * each), Index(2));
    assert_eq!(log.compaction_point(Index(4), 0), Index(4));
    assert_eq!(log.compaction_point(Index(4), 100 * each), Index(0));
    log.compact_to(Index(3));
    assert_eq!((log.base_index(), log.base_term(), log.first_lsn()), (Index(3), Epoch(2), Some(Lsn(13))));
    assert_eq!((log.bytes(), log.term_at(Index(2)), log.term_at(Index(3))), (2 * each, None, Some(Epoch(2))));
    log.compact_to(Index(1));
    assert_eq!(log.base_index(), Index(3));
}

#[test]
fn slices_keep_to_their_limits() {
    let log = log(2, &[1, 1, 1, 1]);
    let each = entry(1, 1).size();
    let indices = |from, count, bytes| -> Vec<u64> {
        log.slice(Index(from), count, bytes).iter().map(|entry| entry.index.0).collect()
    };
    assert_eq!(indices(3, 10, 10 * each), [3, 4, 5, 6]);
    assert_eq!(indices(4, 2, 10 * each), [4, 5]);
    assert_eq!(indices(4, 10, 2 * each), [4, 5]);
    assert_eq!(indices(4, 10, 0), [4], "one always goes");
    assert!(indices(7, 10, each).is_empty());
    assert_eq!(log.range(Index(3), Index(5)).count(), 2);
}

#[test]
fn the_last_position_that_can_match() {
    let log = log(2, &[1, 1, 3, 3]);
    let find = |index, term| log.last_not_above(Index(index), Epoch(term)).0.0;
    assert_eq!((find(6, 3), find(9, 9), find(6, 2), find(3, 1), find(1, 9), find(6, 0)), (6, 6, 4, 3, 2, 2));
}

#[test]
fn a_log_is_up_to_date_by_term_then_length() {
    let log = log(0, &[1, 2]);
    assert!(log.is_up_to_date(Index(2), Epoch(2)) && log.is_up_to_date(Index(1), Epoch(3)));
    assert!(!log.is_up_to_date(Index(1), Epoch(2)) && !log.is_up_to_date(Index(9), Epoch(1)));
}
