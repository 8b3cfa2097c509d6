//! What is refused before a server looks at it.

use super::*;
use crate::consensus::raft::{Entry, InstallSnapshot, Payload, RequestVote};
use crate::consensus::{Digest, Epoch, SnapshotMeta};

fn verdict(from: u64, body: Body) -> Result<(), &'static str> {
    let checker = Checker { members: [1, 2, 3].map(NodeId).into(), max_entries: 2, max_proposals: 2 };
    checker.check(NodeId(from), &Message { term: Epoch(5), body }).map_err(|refused| refused.why)
}

fn append(entries: &[(u64, u64)], commit: u64) -> Body {
    let entry = |(index, term): &(u64, u64)| Entry {
        index: Index(*index),
        term: Epoch(*term),
        payload: Payload::Noop,
    };
    Body::AppendEntries(AppendEntries {
        prev_index: Index(3),
        prev_term: Epoch(2),
        commit: Index(commit),
        round: 0,
        reply: true,
        entries: entries.iter().map(entry).collect(),
    })
}

#[test]
fn appends() {
    assert_eq!(verdict(1, append(&[(4, 2), (5, 5)], 5)), Ok(()));
    assert_eq!(verdict(9, append(&[], 0)), Err("the sender is no member"));
    assert_eq!(verdict(1, append(&[(5, 2)], 0)), Err("its entries are not consecutive"));
    assert_eq!(verdict(1, append(&[(4, 1)], 0)), Err("its entries' terms fall"));
    assert_eq!(verdict(1, append(&[(4, 6)], 0)), Err("an entry is of a later term"));
    assert_eq!(verdict(1, append(&[(4, 2), (5, 2), (6, 2)], 0)), Err("too many entries"));
    assert_eq!(verdict(1, append(&[(4, 2)], 5)), Err("its commit index is beyond what it proves"));
}

#[test]
fn pieces_and_votes() {
    let members: Vec<NodeId> = [1, 2, 3].map(NodeId).into();
    let meta = |index, epoch, members: &[NodeId]| SnapshotMeta {
        index: Index(index),
        epoch: Epoch(epoch),
        members: members.to_vec(),
        digest: Digest::default(),
        pieces: 2,
    };
    let piece =
        |meta, number| Body::InstallSnapshot(InstallSnapshot { meta, number, data: bytes::Bytes::new() });
    assert_eq!(verdict(1, piece(meta(7, 5, &members), 1)), Ok(()));
    assert_eq!(verdict(1, piece(meta(7, 5, &members), 2)), Err("there is no such piece"));
    assert_eq!(verdict(1, piece(meta(7, 6, &members), 1)), Err("the snapshot is of a later term"));
    assert_eq!(verdict(1, piece(meta(0, 0, &members), 1)), Err("the snapshot is of nothing"));
    assert_eq!(verdict(1, piece(meta(7, 5, &members[..2]), 1)), Err("the snapshot is of another cluster"));
    let request = |last_term| RequestVote {
        pre_vote: true,
        transfer: false,
        last_index: Index(9),
        last_term: Epoch(last_term),
    };
    assert_eq!(verdict(1, Body::RequestVote(request(5))), Ok(()));
    assert_eq!(verdict(1, Body::RequestVote(request(6))), Err("its last entry is of a later term"));
}
