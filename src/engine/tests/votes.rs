//! What the engine does for a protocol whose clients count votes: states that are kept, repairs, outcomes.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::consensus::toy::{Alone, NoOptions};
use crate::consensus::{
    Committed, Encode, Epoch, Index, Install, InstallProgress, Keys, NodeId, Outcome, PieceRequest, Proposal,
    ReadId, Recall, RequestId, SnapshotMeta, SnapshotPiece, Time, WallTime,
};
use crate::engine::*;
use crate::kv::{Command, Op, PIECE_BYTES, PutRequest, RangeRequest, Reply, Response};
use crate::wal::{FaultyDisk, WalOptions};

struct Replica {
    stages: Opened<Alone>,
    effects: Effects<Alone>,
}

impl Replica {
    fn open(disk: &FaultyDisk) -> Self {
        let config = EngineConfig {
            keys: Keys::default(),
            id: NodeId(1),
            cluster_id: 7,
            members: vec![NodeId(1)],
            data_dir: PathBuf::from("/node"),
            create: true,
            seed: 1,
            now: Time::ZERO,
            request_timeout: Duration::from_secs(5),
            wal: WalOptions::with_segment_bytes(16 << 10),
            piece_bytes: PIECE_BYTES,
            options: NoOptions::default(),
            misbehaviour: None,
        };
        let stages = open::<Alone>(Arc::new(disk.clone()), config).unwrap();
        Self { stages, effects: Effects::default() }
    }

    fn do_work(&mut self, work: ExecutorWork) -> Executed {
        let mut done = Executed::default();
        self.stages.executor.handle(work, &mut done);
        done
    }

    fn commit(&mut self, indices: std::ops::RangeInclusive<u64>, value: &str) -> Executed {
        self.do_work(ExecutorWork::Commit(indices.map(|index| slot(index, value)).collect()))
    }

    /// Takes a checkpoint and hands the state to the archive.
    fn keep(&mut self, index: u64) -> crate::consensus::Digest {
        let done = self.do_work(ExecutorWork::Checkpoint(Index(index)));
        done.archive.into_iter().for_each(|work| self.stages.archive.push(work));
        let (at, digest) = done.checkpointed.unwrap();
        assert_eq!(at, Index(index));
        digest
    }

    fn archive(&mut self, work: ArchiveWork) -> Vec<Archived> {
        self.stages.archive.push(work);
        self.settle()
    }

    fn settle(&mut self) -> Vec<Archived> {
        let mut archived = Vec::new();
        while !self.stages.archive.is_idle() {
            archived.extend(self.stages.archive.step().unwrap());
        }
        archived
    }

    fn read(&mut self, index: u64, number: u32) -> SnapshotPiece {
        let request = PieceRequest { to: NodeId(2), index: Index(index), number };
        match self.archive(ArchiveWork::Read(request)).pop() {
            Some(Archived::Piece(piece)) => piece,
            other => panic!("{other:?}"),
        }
    }

    /// All pieces of a state, as a peer would be sent them.
    fn pieces(&mut self, index: u64) -> Vec<SnapshotPiece> {
        let pieces = self.read(index, 0).meta.pieces;
        (0..pieces).map(|number| self.read(index, number)).collect()
    }

    /// Receives a peer's snapshot and lets it replace the store.
    fn install(&mut self, pieces: Vec<SnapshotPiece>, repair: bool) -> Executed {
        let receive = |piece| self.archive(ArchiveWork::Receive(Install { piece, repair })).pop();
        match pieces.into_iter().filter_map(receive).last() {
            Some(Archived::Received { meta, store, repair }) => {
                self.do_work(ExecutorWork::Replace { meta, store, repair })
            }
            other => panic!("{other:?}"),
        }
    }

    fn applied(&self) -> u64 {
        self.stages.executor.store().applied().0
    }

    fn give(&mut self, event: Event<Alone>) {
        self.stages.sequencer.handle(Time::ZERO, event, &mut self.effects);
    }
}

fn proposal(counter: u64, value: &str) -> Proposal {
    let put = PutRequest { key: "k".into(), value: value.to_owned().into(), ..Default::default() };
    let command = Command { session: None, op: Op::Put(put) }.to_bytes();
    let id = RequestId { origin: NodeId(1001), incarnation: 1, counter };
    Proposal { id, time: WallTime(0), command }
}

fn slot(index: u64, value: &str) -> Committed {
    Committed { index: Index(index), epoch: Epoch(1), proposals: vec![proposal(index, value)] }
}

fn saved(archived: &[Archived]) -> Vec<u64> {
    let index = |archived: &Archived| match archived {
        Archived::Saved(meta) => Some(meta.index.0),
        _ => None,
    };
    archived.iter().filter_map(index).collect()
}

#[test]
fn a_kept_state_is_read_and_saved_as_it_was_until_it_is_released() {
    let disk = FaultyDisk::new();
    let mut replica = Replica::open(&disk);
    replica.commit(1..=3, "a");
    let digest = replica.keep(3);
    replica.commit(4..=6, "b");
    replica.keep(6);
    let before = replica.pieces(3);
    assert_eq!((before[0].meta.digest, before[0].meta.epoch), (digest, Epoch(1)));
    assert_eq!(replica.stages.archive.newest(), None, "nothing is on disk");

    assert_eq!(saved(&replica.archive(ArchiveWork::Save(Index(3)))), [3]);
    replica.archive(ArchiveWork::Release(Index(6)));
    assert_eq!(replica.pieces(3), before, "from the disk now");
    assert_eq!(saved(&replica.archive(ArchiveWork::Save(Index(6)))), [6]);
    drop(replica);
    assert_eq!(Replica::open(&disk).applied(), 6);
}

#[test]
fn a_state_that_is_not_kept_is_not_saved() {
    let mut replica = Replica::open(&FaultyDisk::new());
    replica.commit(1..=3, "a");
    replica.keep(3);
    assert!(saved(&replica.archive(ArchiveWork::Save(Index(2)))).is_empty());
    replica.archive(ArchiveWork::Release(Index(4)));
    assert!(saved(&replica.archive(ArchiveWork::Save(Index(3)))).is_empty());
}

#[test]
fn a_snapshot_that_has_begun_is_finished_and_of_those_that_wait_the_newest_follows() {
    let mut replica = Replica::open(&FaultyDisk::new());
    for index in 1..=3 {
        replica.commit(index..=index, "a");
        replica.keep(index);
    }
    replica.settle();
    replica.stages.archive.push(ArchiveWork::Save(Index(1)));
    for _ in 0..2 {
        assert!(replica.stages.archive.step().unwrap().is_none(), "it has begun");
    }
    for index in [2, 3] {
        replica.stages.archive.push(ArchiveWork::Save(Index(index)));
    }
    replica.stages.archive.push(ArchiveWork::Release(Index(4)));
    assert_eq!(saved(&replica.settle()), [1, 3]);
}

#[test]
fn a_snapshot_that_met_a_full_disk_is_tried_again_though_its_state_was_released() {
    let disk = FaultyDisk::new();
    let mut replica = Replica::open(&disk);
    replica.commit(1..=3, "a");
    replica.keep(3);
    disk.set_capacity(Some(disk.used()));
    let archived = replica.archive(ArchiveWork::Save(Index(3)));
    assert!(matches!(archived[..], [Archived::Full]), "{archived:?}");
    replica.archive(ArchiveWork::Release(Index(4)));
    disk.set_capacity(None);
    assert!(replica.stages.archive.wants_retry());
    replica.stages.archive.retry();
    assert_eq!(saved(&replica.settle()), [3]);
}

/// Three slots as the others executed them.
fn right() -> Vec<SnapshotPiece> {
    let mut other = Replica::open(&FaultyDisk::new());
    other.commit(1..=3, "right");
    other.keep(3);
    other.pieces(3)
}

#[test]
fn a_repair_takes_the_store_back_and_slots_come_again_from_there() {
    let mut replica = Replica::open(&FaultyDisk::new());
    replica.commit(1..=5, "wrong");
    replica.keep(5);
    let done = replica.install(right(), true);
    assert_eq!(done.applied, Some(Index(3)));
    assert!(done.installed.is_some_and(|installed| installed.repair));
    done.archive.into_iter().for_each(|work| replica.stages.archive.push(work));
    assert_eq!(replica.read(5, 0).data, None, "the wrong state is not kept");

    // What was handed out before is passed over; the slots that are missing come first.
    assert_eq!(replica.commit(6..=7, "early").outcomes, []);
    let stale = replica.do_work(ExecutorWork::Checkpoint(Index(7)));
    assert_eq!(stale.checkpointed, None);
    assert_eq!(replica.applied(), 3);
    assert_eq!(replica.commit(4..=7, "right").outcomes.len(), 4);

    let mut other = Replica::open(&FaultyDisk::new());
    other.commit(1..=7, "right");
    assert_eq!(replica.stages.executor.status(true), other.stages.executor.status(true));
}

#[test]
fn without_a_repair_an_older_snapshot_leaves_the_store_alone() {
    let mut replica = Replica::open(&FaultyDisk::new());
    replica.commit(1..=5, "wrong");
    assert_eq!(replica.install(right(), false).applied, Some(Index(5)));
    replica.commit(6..=6, "wrong");
    assert_eq!(replica.applied(), 6);
}

#[test]
fn after_a_repair_the_protocol_may_hand_out_again_what_it_had() {
    let mut replica = Replica::open(&FaultyDisk::new());
    for counter in 1..=3 {
        replica.give(Event::Propose(vec![proposal(counter, "v")]));
    }
    let meta = SnapshotMeta {
        index: Index(1),
        epoch: Epoch(1),
        members: vec![NodeId(1)],
        digest: crate::consensus::Digest::default(),
        pieces: 1,
    };
    replica.give(Event::Installed(Installed { meta, repair: true }));
    replica.effects = Effects::default();
    replica.give(Event::Propose(vec![proposal(4, "v")]));
    assert!(matches!(&replica.effects.execute[0], ExecutorWork::Commit(slots) if slots[0].index == Index(2)));
    let progress = InstallProgress::Stored { index: Index(1), next: 1 };
    replica.give(Event::Install(progress));
}

#[test]
fn every_outcome_is_told_and_a_request_that_comes_again_has_the_same() {
    let mut replica = Replica::open(&FaultyDisk::new());
    let first = replica.commit(1..=1, "v");
    assert_eq!((first.answers.len(), first.unanswered.len()), (0, 0), "the protocol answers");
    let [(id, Outcome::Answered(bytes))] = &first.outcomes[..] else { panic!("{:?}", first.outcomes) };
    let again = Committed { index: Index(2), ..slot(1, "v") };
    assert_eq!(replica.do_work(ExecutorWork::Commit(vec![again])).outcomes, first.outcomes);
    assert_eq!(
        replica.commit(1..=1, "v").outcomes,
        first.outcomes,
        "a slot that a snapshot has brought already"
    );

    let unknown = proposal(9, "v").id;
    let recalled = replica.do_work(ExecutorWork::Recall(vec![*id, unknown])).recalled;
    let known = Recall::Executed(Outcome::Answered(bytes.clone()));
    assert_eq!(recalled, [(*id, known), (unknown, Recall::NotExecuted)]);
}

#[test]
fn the_protocols_answers_reach_those_who_wait_and_what_is_no_reply_leaves_the_outcome_open() {
    let mut replica = Replica::open(&FaultyDisk::new());
    let id = proposal(1, "v").id;
    replica.give(Event::Propose(vec![proposal(1, "v")]));
    assert!(matches!(&replica.effects.execute[1], ExecutorWork::Recall(ids) if *ids == [id]));
    let reply: Reply = Err(crate::kv::KvError::KeyNotFound);
    for bytes in [reply.to_bytes(), Bytes::from_static(&[0xff])] {
        let outcomes = vec![(id, Outcome::Answered(bytes))];
        replica.give(Event::Applied { index: Index(1), outcomes });
    }
    assert_eq!(replica.effects.answered, [(Ticket::Command(id), reply)]);
    let [(ticket, rejection)] = &replica.effects.rejected[..] else { panic!("not rejected") };
    assert_eq!((*ticket, rejection.never_executed), (Ticket::Command(id), false));
    replica.give(Event::Recalled(vec![(id, Recall::NotExecuted)]));
    assert_eq!(replica.stages.sequencer.protocol().recalled, [(id, Recall::NotExecuted)]);
}

/// What a read of several keys sees, and when it is there to be answered.
fn read(id: u64, at: u64, range_end: &'static str) -> ExecutorWork {
    let op = Op::Range(RangeRequest { key: "a".into(), range_end: range_end.into(), ..Default::default() });
    ExecutorWork::Read { id: ReadId(id), op, at: Index(at) }
}

#[test]
fn a_listing_sees_the_state_at_its_point_while_the_store_goes_on() {
    let mut replica = Replica::open(&FaultyDisk::new());
    assert!(replica.do_work(read(1, 2, "zz")).queries.is_empty(), "its point is not reached");
    assert!(replica.commit(1..=1, "first").queries.is_empty());
    let queries = replica.commit(2..=2, "second").queries;
    replica.commit(3..=3, "third");
    let [query] = &queries[..] else { panic!("{queries:?}") };
    let Ok(Response::Range(range)) = query.answer() else { panic!("no range") };
    let values: Vec<&[u8]> = range.kvs.iter().map(|kv| &kv.value[..]).collect();
    assert!(values.contains(&&b"second"[..]) && !values.contains(&&b"third"[..]), "{values:?}");
    let done = replica.do_work(read(2, 3, ""));
    assert_eq!((done.queries.len(), done.answers.len()), (0, 1), "one key is read at once");
}
