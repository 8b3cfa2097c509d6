//! A simulated node: the engine's stages on a disk that can fail, and a clock of its own.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;

use super::event::What;
use super::simulated::Simulated;
use crate::consensus::{Index, Lsn, NodeId, Pressure, ReadId, Time};
use crate::engine::{Archive, Effects, Executed, Executor, ExecutorWork, Logger, Sequencer, Ticket};
use crate::kv::Op;
use crate::wal::{DataDir, FaultyDisk, Prepared};

/// A node's clock: its own rate, and jumps forward.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// When it was set last, in microseconds of the run, and what it showed then.
    set_at: u64,
    showed: u64,
    /// How fast it runs, in thousandths of the run's time.
    rate: u64,
}

impl Clock {
    pub(super) fn new(showed: u64) -> Self {
        Self { set_at: 0, showed, rate: 1000 }
    }

    fn micros(&self, now: u64) -> u64 {
        self.showed + (now - self.set_at) * self.rate / 1000
    }

    /// What the clock shows.
    pub(super) fn at(&self, now: u64) -> Time {
        Time::from_origin(Duration::from_micros(self.micros(now)))
    }

    /// When the clock will show `time`; later than `now` in any case.
    pub(super) fn when(&self, now: u64, time: Time) -> u64 {
        let wanted = time.since_origin().as_nanos().div_ceil(1000) as u64;
        let ahead = wanted.saturating_sub(self.micros(now));
        now + (ahead * 1000).div_ceil(self.rate).max(1)
    }

    /// From now on it runs at `rate` thousandths, `jump` microseconds ahead.
    pub(super) fn set(&mut self, now: u64, rate: u64, jump: u64) {
        *self = Self { set_at: now, showed: self.micros(now) + jump, rate };
    }

    /// How fast it runs, in thousandths.
    pub(super) fn rate(&self) -> u64 {
        self.rate
    }
}

/// What a client asks of a node.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    /// To execute an encoded command.
    Command(Bytes),
    /// To read what was acknowledged.
    Linearizable(Op),
    /// To read what the node has.
    Serializable(Op),
}

/// Whose request it is: the client, and its how-manieth attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) client: usize,
    pub(super) attempt: u64,
}

/// Where a node stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It runs, or will when its restart is due.
    Serves,
    /// Its disk was damaged and it said so: gone for good.
    Damaged,
    /// Kept down to the end of the run.
    Retired,
}

/// Whether a node's state was damaged in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrongState {
    /// Never.
    Sound,
    /// The digest of its next checkpoint will be wrong.
    Due,
    /// One was: it counts as faulty to the end of the run.
    Struck,
}

/// A crash that is to come.
#[derive(Clone, Debug)]
pub(super) struct Doom {
    /// After so many more effects.
    pub(super) effects: u64,
    /// What happens then.
    pub(super) blow: Blow,
}

/// What a crash does to what was not synced, and how long the node stays away.
#[derive(Clone, Debug)]
pub(super) struct Blow {
    /// `None`: only the process dies, and the system keeps what was written.
    pub(super) disk: Option<crate::wal::Crash>,
    pub(super) away: u64,
    pub(super) why: &'static str,
}

/// A node of the simulated cluster.
#[expect(clippy::struct_excessive_bools, reason = "each says something else of the node, and all combine")]
pub(super) struct Node<P: Simulated> {
    pub(super) id: NodeId,
    pub(super) name: String,
    /// It was told to lie: no promise binds it.
    pub(super) lies: bool,
    pub(super) disk: FaultyDisk,
    pub(super) clock: Clock,
    /// How often it has crashed: what belongs to an earlier life reaches no later one.
    pub(super) life: u32,
    pub(super) replica: Option<Box<Replica<P>>>,
    pub(super) standing: Standing,
    /// Whether it holds data, so that an empty directory is not to be made again.
    pub(super) initialised: bool,
    /// Bytes of its disk are to be damaged before it starts again; which ones is drawn from this.
    pub(super) rot: Option<u64>,
    /// Bytes were damaged since the last start.
    pub(super) rotten: bool,
    /// A digest of its state is wrong.
    pub(super) wrong_state: WrongState,
    /// The disk is full.
    pub(super) full: bool,
    /// By how many faults it is paused.
    pub(super) paused: u32,
    /// What happened to it while it was paused.
    pub(super) stash: Vec<What<P>>,
    pub(super) doom: Option<Doom>,
    /// The disk is about to fail, and what that does.
    pub(super) armed: Option<Blow>,
    /// What a sync takes longer than usual, in microseconds.
    pub(super) slow_sync: u64,
    /// By how many faults its syncs stall.
    pub(super) stalled: u32,
    /// The highest record number that was durable in any life.
    pub(super) highest_lsn: Lsn,
}

impl<P: Simulated> Node<P> {
    pub(super) fn new(id: NodeId, shows: u64, lies: bool) -> Self {
        Self {
            id,
            name: format!("n{id}"),
            lies,
            disk: FaultyDisk::new(),
            clock: Clock::new(shows),
            life: 0,
            replica: None,
            standing: Standing::Serves,
            initialised: false,
            rot: None,
            rotten: false,
            wrong_state: WrongState::Sound,
            full: false,
            paused: 0,
            stash: Vec::new(),
            doom: None,
            armed: None,
            slow_sync: 0,
            stalled: 0,
            highest_lsn: Lsn::ZERO,
        }
    }

    /// A second replica with the id and key of another one, on a disk of its own: the two know nothing of each other, and
    /// together they lie.
    pub(super) fn twin(id: NodeId, shows: u64) -> Self {
        Self { name: format!("n{id}'"), ..Self::new(id, shows, true) }
    }

    /// Whether it counts among those that the protocol tolerates, for as long as the run lasts.
    pub(super) fn is_faulty(&self) -> bool {
        self.lies || self.is_lost() || self.wrong_state != WrongState::Sound
    }

    /// Whether it is gone for good, or will find so when it starts.
    pub(super) fn is_lost(&self) -> bool {
        self.standing != Standing::Serves || self.rot.is_some()
    }

    /// Whether it is up, and has been since that life began.
    pub(super) fn runs(&self, life: u32) -> bool {
        self.life == life && self.replica.is_some()
    }
}

/// The stages of a node that runs, and what its threads keep.
#[expect(clippy::struct_excessive_bools, reason = "what each thread is doing; they change independently")]
pub(super) struct Replica<P: Simulated> {
    pub(super) sequencer: Sequencer<P>,
    pub(super) logger: Logger,
    pub(super) executor: Executor,
    pub(super) archive: Archive,
    pub(super) checker: P::Checker,
    /// Held for its lock.
    pub(super) _data_dir: DataDir,
    pub(super) incarnation: u64,
    pub(super) effects: Effects<P>,
    pub(super) done: Executed,

    pub(super) last_lsn: Lsn,
    /// The records that it wrote and that are not durable yet, as far as its log thread has told, and their bytes.
    pub(super) undurable: VecDeque<(Lsn, usize)>,
    pub(super) undurable_bytes: usize,
    /// For when this life's timer is set.
    pub(super) timer_at: Option<u64>,
    /// When the last report to the core that took a moment arrives.
    pub(super) reports_at: u64,
    /// Requests that wait for the core to wake up.
    pub(super) requests: Vec<(Caller, Ask)>,
    pub(super) waking: bool,
    pub(super) waiting: BTreeMap<Ticket, Caller>,
    pub(super) commands: u64,
    pub(super) reads: u64,
    /// What was committed anywhere when each read that waits for its point was asked for.
    pub(super) asked_at: BTreeMap<ReadId, Index>,

    /// The log thread is busy: a write is due or a sync is under way.
    pub(super) logging: bool,
    pub(super) prepared: Option<Prepared>,
    pub(super) room: Pressure,
    /// A batch is written and not synced.
    pub(super) syncing: bool,
    /// A sync has waited for a stalled disk.
    pub(super) sync_waits: bool,
    pub(super) work: VecDeque<ExecutorWork>,
    pub(super) executing: bool,
    pub(super) archiving: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_keeps_its_rate_and_never_goes_back() {
        let mut clock = Clock::new(100);
        assert_eq!(clock.at(50), Time::from_origin(Duration::from_micros(150)));
        clock.set(50, 2000, 1000);
        assert_eq!(clock.at(50), Time::from_origin(Duration::from_micros(1150)));
        assert_eq!(clock.at(60), Time::from_origin(Duration::from_micros(1170)));
        assert_eq!(clock.when(60, Time::from_origin(Duration::from_micros(1270))), 110);
        assert_eq!(
            clock.when(60, Time::ZERO),
            61,
            "what is due comes at once, but not within the same instant"
        );
    }
}
