//! One replica alone on a disk that loses what was not synced: the stages are driven by hand, so that each test can
//! stop between any two effects.

mod votes;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::consensus::raft::{Options, Raft};
use crate::consensus::{
    Committed, Encode, Epoch, Index, Keys, Lsn, NodeId, Proposal, RequestId, Time, WallTime,
};
use crate::kv::{Command, Op, PIECE_BYTES, PutRequest, RangeRequest, Reply};
use crate::wal::{Crash, FaultyDisk, WalOptions};

struct Replica {
    stages: Opened<Raft>,
    effects: Effects<Raft>,
    answers: Vec<(Ticket, Reply)>,
    now: Time,
    counter: u64,
}

impl Replica {
    fn open(disk: &FaultyDisk) -> Result<Self, OpenError> {
        let options = Options { snapshot_log_bytes: 4096, keep_log_bytes: 1024, ..Options::default() };
        let stages = open::<Raft>(
            Arc::new(disk.clone()),
            EngineConfig {
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
                options,
                misbehaviour: None,
            },
        )?;
        Ok(Self { stages, effects: Effects::default(), answers: Vec::new(), now: Time::ZERO, counter: 0 })
    }

    /// A replica that leads, with everything durable and executed.
    fn leading(disk: &FaultyDisk) -> Self {
        let mut replica = Self::open(disk).unwrap();
        while replica.stages.sequencer.status().role != crate::consensus::Role::Leader {
            replica.now = replica.stages.sequencer.deadline().unwrap();
            replica.give(Event::Timeout);
            replica.settle();
        }
        replica
    }

    fn give(&mut self, event: Event<Raft>) {
        self.stages.sequencer.handle(self.now, event, &mut self.effects);
    }

    /// Proposes a put, without carrying anything out.
    fn propose(&mut self, key: &str, value: &str) -> RequestId {
        self.counter += 1;
        let id = RequestId {
            origin: NodeId(1),
            incarnation: self.stages.recovery.incarnation,
            counter: self.counter,
        };
        let put =
            PutRequest { key: key.to_owned().into(), value: value.to_owned().into(), ..Default::default() };
        let command = Command { session: None, op: Op::Put(put) }.to_bytes();
        self.give(Event::Propose(vec![Proposal { id, time: WallTime(0), command }]));
        id
    }

    /// Gives the log what waits for it, up to the sync.
    fn write(&mut self) -> bool {
        self.stages.logger.push(std::mem::take(&mut self.effects.log));
        while let Some(preparation) = self.stages.logger.preparation() {
            self.stages.logger.prepared(preparation.run()).unwrap();
        }
        self.stages.logger.write().unwrap()
    }

    fn sync(&mut self) {
        let logged = self.stages.logger.sync().unwrap();
        self.give(Event::Durable(logged.durable));
    }

    fn execute(&mut self) {
        let mut done = Executed::default();
        for work in std::mem::take(&mut self.effects.execute) {
            self.stages.executor.handle(work, &mut done);
        }
        self.answers.append(&mut done.answers);
        self.answers.extend(done.queries.drain(..).map(|query| (Ticket::Read(query.id), query.answer())));
        self.effects.archive.append(&mut done.archive);
        if let Some(index) = done.applied {
            self.give(Event::Applied { index, outcomes: done.outcomes });
        }
        if let Some((index, digest)) = done.checkpointed {
            self.give(Event::Checkpointed { index, digest });
        }
    }

    fn archive(&mut self) {
        for work in std::mem::take(&mut self.effects.archive) {
            self.stages.archive.push(work);
        }
        while !self.stages.archive.is_idle() {
            if let Some(Archived::Saved(meta)) = self.stages.archive.step().unwrap() {
                self.give(Event::Saved(meta));
            }
        }
    }

    /// Carries everything out until nothing is left to do.
    fn settle(&mut self) {
        loop {
            if self.write() {
                self.sync();
            } else if self.effects.execute.is_empty() && self.effects.archive.is_empty() {
                return;
            }
            self.execute();
            self.archive();
        }
    }

    /// Puts key after key, and names those that were answered; ends when the disk does.
    fn put_until_the_power_goes(&mut self, answered: &mut Vec<String>) -> Result<(), crate::wal::WalError> {
        for number in 0..60 {
            let key = format!("key-{number}");
            let id = self.propose(&key, &"v".repeat(100));
            self.stages.logger.push(std::mem::take(&mut self.effects.log));
            if let Some(preparation) = self.stages.logger.preparation() {
                self.stages.logger.prepared(preparation.run())?;
            }
            if self.stages.logger.write()? {
                let logged = self.stages.logger.sync()?;
                self.give(Event::Durable(logged.durable));
            }
            self.execute();
            if self.answered(id) {
                answered.push(key);
            }
        }
        Ok(())
    }

    fn answered(&self, id: RequestId) -> bool {
        self.answers.iter().any(|(ticket, reply)| *ticket == Ticket::Command(id) && reply.is_ok())
    }

    fn get(&self, key: &str) -> Option<Bytes> {
        let request = RangeRequest { key: key.to_owned().into(), ..Default::default() };
        let found = self.stages.executor.store().range(&request).unwrap();
        found.kvs.first().map(|kv| kv.value.clone())
    }
}

/// Bug 18: a leader alone must not count its own entry before it is durable.
#[test]
fn a_write_is_answered_only_after_its_sync() {
    let disk = FaultyDisk::new();
    let mut replica = Replica::leading(&disk);
    let id = replica.propose("a", "1");
    assert!(replica.write(), "the entry is written");
    replica.execute();
    assert!(!replica.answered(id), "answered before the sync");
    replica.sync();
    replica.execute();
    assert!(replica.answered(id), "not answered after the sync");
}

#[test]
fn what_was_answered_survives_a_crash_that_loses_everything_unsynced() {
    let disk = FaultyDisk::new();
    let mut replica = Replica::leading(&disk);
    for number in 0..20 {
        let id = replica.propose(&format!("key-{number}"), "value");
        replica.settle();
        assert!(replica.answered(id));
    }
    // One more that is written but not synced.
    let lost = replica.propose("lost", "value");
    replica.write();
    replica.execute();
    assert!(!replica.answered(lost));

    let replica = Replica::leading(&disk.crash(&Crash::Lose));
    for number in 0..20 {
        assert!(replica.get(&format!("key-{number}")).is_some(), "key-{number} is lost");
    }
    assert_eq!(replica.get("lost"), None);
}

#[test]
fn a_snapshot_and_the_log_behind_it_give_the_same_state() {
    let disk = FaultyDisk::new();
    let mut replica = Replica::leading(&disk);
    for number in 0..200 {
        replica.propose(&format!("key-{}", number % 17), &"v".repeat(number));
        replica.settle();
    }
    let before = replica.stages.executor.status(true);
    drop(replica);

    let mut replica = Replica::open(&disk.crash(&Crash::Lose)).unwrap();
    assert!(replica.stages.recovery.snapshot > Some(Index(1)), "no snapshot was taken");
    assert!(replica.stages.recovery.records < 200, "the log was never cut");
    assert_eq!(replica.stages.recovery.incarnation, 2);
    while replica.stages.executor.store().applied() < before.applied {
        replica.now = replica.stages.sequencer.deadline().unwrap();
        replica.give(Event::Timeout);
        // The no-op of the new term moves the state on; compare before it does.
        while replica.write() {
            replica.sync();
        }
        let slots: Vec<_> = std::mem::take(&mut replica.effects.execute);
        for work in slots {
            let ExecutorWork::Commit(slots) = work else { continue };
            let slots = slots.into_iter().filter(|slot| slot.index <= before.applied).collect();
            replica.stages.executor.handle(ExecutorWork::Commit(slots), &mut Executed::default());
        }
    }
    assert_eq!(replica.stages.executor.status(true), before);
}

#[test]
fn a_crash_at_any_operation_of_the_disk_loses_nothing_that_was_answered() {
    for operations in (0..400).step_by(7) {
        let disk = FaultyDisk::new();
        let mut replica = Replica::leading(&disk);
        disk.power_off_after(operations);
        let mut answered = Vec::new();
        let _ = replica.put_until_the_power_goes(&mut answered);
        let replica = Replica::leading(&disk.crash(&Crash::Random(operations)));
        for key in &answered {
            assert!(replica.get(key).is_some(), "{key} is lost: power off after {operations} operations");
        }
    }
}

/// Bug 25: an fsync that failed once must not be believed later.
#[test]
fn a_failed_sync_is_final() {
    let disk = FaultyDisk::new();
    let mut replica = Replica::leading(&disk);
    let id = replica.propose("a", "1");
    assert!(replica.write());
    disk.fail_next_sync();
    replica.stages.logger.sync().unwrap_err();
    replica.stages.logger.sync().unwrap_err();
    replica.execute();
    assert!(!replica.answered(id));
}

#[test]
fn the_protocol_hears_of_no_record_that_was_not_synced() {
    let disk = FaultyDisk::new();
    let mut replica = Replica::leading(&disk);
    let durable = replica.stages.sequencer.durable();
    replica.propose("a", "1");
    replica.write();
    assert_eq!(replica.stages.sequencer.durable(), durable);
    replica.sync();
    assert!(replica.stages.sequencer.durable() > durable);
    let beyond = Lsn(replica.stages.sequencer.durable().0 + 1);
    let lie = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| replica.give(Event::Durable(beyond))));
    assert!(lie.is_err(), "a record that was never written was called durable");
}

#[test]
fn a_command_that_comes_again_in_the_order_is_not_left_without_a_word() {
    let mut replica = Replica::leading(&FaultyDisk::default());
    let id = replica.propose("a", "1");
    replica.settle();
    assert!(replica.answers.iter().any(|(ticket, _)| *ticket == Ticket::Command(id)));
    // As after its first execution came with a snapshot: the client still waits when the retry is executed.
    let executor = &mut replica.stages.executor;
    let again = Proposal { id, time: WallTime(0), command: Bytes::new() };
    let index = executor.store().applied().next();
    let slot = Committed { index, epoch: Epoch(9), proposals: vec![again] };
    let mut done = Executed::default();
    executor.handle(ExecutorWork::Commit(vec![slot]), &mut done);
    assert_eq!((done.answers.len(), done.unanswered), (0, vec![Ticket::Command(id)]));
}

#[test]
fn a_full_disk_is_tried_again_when_it_is_time_and_not_before() {
    let disk = FaultyDisk::default();
    let mut replica = Replica::leading(&disk);
    disk.set_capacity(Some(disk.used()));
    let logger = &mut replica.stages.logger;
    // The one segment that was ready is used up by a large record; the next finds no room.
    let next = replica.stages.sequencer.durable().next();
    let large = |lsn: Lsn| LogWork {
        records: vec![(lsn, vec![0; 12 << 10].into())],
        retain_from: None,
        probe: false,
    };
    for lsn in [next, next.next()] {
        logger.push(large(lsn));
        if logger.write().unwrap() {
            logger.sync().unwrap();
        }
    }
    let preparation = logger.preparation().expect("a segment is wanted");
    logger.prepared(preparation.run()).unwrap();
    assert!(logger.preparation().is_none(), "it would fail again");
    logger.retry();
    disk.set_capacity(None);
    let preparation = logger.preparation().expect("it is time");
    logger.prepared(preparation.run()).unwrap();
    assert_eq!(logger.room(), crate::consensus::Pressure::Ok);
}
