//! What a crash can leave behind, and what it cannot.

use std::time::Duration;

use super::*;
use crate::consensus::raft::{Options, Payload};
use crate::consensus::{Digest, Epoch, Input, Keys, Output, Protocol as _, Time};

fn entry(index: u64, term: u64) -> Record {
    Record::Entry(Entry { index: Index(index), term: Epoch(term), payload: Payload::Noop })
}

fn hard(term: u64, vote: u64) -> Record {
    Record::HardState { term: Epoch(term), voted_for: (vote > 0).then_some(NodeId(vote)) }
}

fn reset(index: u64, term: u64) -> Record {
    Record::Reset { index: Index(index), term: Epoch(term) }
}

fn run(snapshot: Option<(u64, u64)>, records: Vec<Record>) -> Result<Raft, RecoverError> {
    let members: Vec<NodeId> = (1..=3).map(NodeId).collect();
    let snapshot = snapshot.map(|(index, term)| SnapshotMeta {
        index: Index(index),
        epoch: Epoch(term),
        members: members.clone(),
        digest: Digest::default(),
        pieces: 1,
    });
    let records: Vec<_> = (5..).map(Lsn).zip(records).collect();
    let next_lsn = records.last().map_or(Lsn(1), |(lsn, _)| lsn.next());
    let setup = Setup {
        cluster_id: 1,
        keys: Keys::default(),
        id: NodeId(1),
        members,
        incarnation: 1,
        seed: 1,
        now: Time::ZERO,
        request_timeout: Duration::from_secs(5),
        options: Options::default(),
    };
    recover(setup, Recovered { snapshot, records, next_lsn })
}

fn last(raft: &Raft) -> (u64, u64) {
    (raft.last_index().0, raft.term_at(raft.last_index()).unwrap().0)
}

#[test]
fn a_fresh_server_starts_empty() {
    let raft = run(None, vec![]).unwrap();
    assert_eq!((last(&raft), raft.term(), raft.voted_for()), ((0, 0), Epoch(0), None));
}

#[test]
fn the_last_term_and_vote_and_the_last_entry_at_each_index_count() {
    let records =
        vec![hard(1, 2), entry(1, 1), entry(2, 1), entry(3, 1), hard(2, 0), entry(2, 2), hard(2, 3)];
    let raft = run(None, records).unwrap();
    assert_eq!((last(&raft), raft.term(), raft.voted_for()), ((2, 2), Epoch(2), Some(NodeId(3))));
}

#[test]
fn records_older_than_the_snapshot_are_of_no_use_and_no_harm() {
    let raft = run(Some((4, 1)), vec![entry(3, 1), entry(4, 1), entry(5, 1), hard(1, 1)]).unwrap();
    assert_eq!((last(&raft), raft.commit_index(), raft.first_index()), ((5, 1), Index(4), Index(5)));
}

#[test]
fn a_log_cut_inside_entries_that_were_replaced_starts_at_the_replacement() {
    let raft = run(Some((6, 1)), vec![entry(9, 1), entry(10, 1), hard(2, 1), entry(7, 2)]).unwrap();
    assert_eq!(last(&raft), (7, 2));
}

#[test]
fn a_snapshot_ahead_of_the_log_or_against_it_discards_it_and_writes_a_reset_first() {
    for records in [
        vec![hard(1, 1), entry(1, 1), entry(2, 1)],
        vec![hard(2, 1), entry(8, 1), entry(9, 1), entry(10, 1)],
        vec![hard(2, 1), reset(3, 1), entry(4, 1)],
    ] {
        let mut raft = run(Some((9, 2)), records).unwrap();
        assert_eq!(last(&raft), (9, 2));
        let mut out = Output::default();
        raft.handle(Time::ZERO, Input::Timeout, &mut out);
        assert_eq!(out.records.last().map(|(_, record)| record.clone()), Some(reset(9, 2)));
        assert_eq!(out.retain_from, out.records.first().map(|(lsn, _)| *lsn));
    }
}

#[test]
fn a_reset_and_what_follows_it_are_the_log() {
    let raft = run(Some((9, 2)), vec![entry(1, 1), hard(3, 1), reset(9, 2), entry(10, 3)]).unwrap();
    assert_eq!(last(&raft), (10, 3));
}

#[test]
fn a_snapshot_of_a_later_term_than_the_disk_tells_brings_its_term() {
    let raft = run(Some((9, 4)), vec![hard(2, 1)]).unwrap();
    assert_eq!((raft.term(), raft.voted_for()), (Epoch(4), None));
}

#[test]
fn contradictions_are_refused_and_named() {
    let cases = [
        (None, vec![hard(2, 1), hard(1, 1)], "the term goes back"),
        (None, vec![hard(2, 1), hard(2, 3)], "the vote in term 2 changes"),
        (None, vec![hard(2, 1), hard(2, 0)], "the vote in term 2 changes"),
        (None, vec![hard(1, 1), entry(1, 1), entry(3, 1)], "entry 3 follows entry 1"),
        (None, vec![hard(2, 1), entry(1, 2), entry(2, 1)], "entry 2 of term 1 follows"),
        (None, vec![hard(1, 1), entry(1, 2)], "no term record"),
        (None, vec![entry(1, 1)], "no term record"),
        (None, vec![hard(1, 1), entry(2, 1)], "begins after index 1"),
        (Some((3, 1)), vec![hard(1, 1), entry(5, 1)], "begins after index 4"),
        (Some((3, 1)), vec![hard(1, 1), reset(5, 1)], "begins after index 5"),
        (Some((3, 1)), vec![hard(1, 1), reset(3, 1), entry(6, 1)], "reset to 3"),
    ];
    for (snapshot, records, why) in cases {
        let error = run(snapshot, records).expect_err(why).to_string();
        assert!(error.contains(why), "{why}: {error}");
    }
}
