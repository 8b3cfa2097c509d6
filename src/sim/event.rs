//! What is to happen in the simulated world, in the order of time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::node::{Ask, Caller};
use super::simulated::Simulated;
use crate::consensus::Rejection;
use crate::engine;
use crate::kv::Reply;
use crate::wal::{Preparation, Prepared};

/// Something that happens.
pub(super) enum What<P: Simulated> {
    /// To a node that must be in this life still.
    Node {
        node: usize,
        life: u32,
        step: Step<P>,
    },
    /// A message reaches a node, whatever its life.
    Deliver {
        from: usize,
        to: usize,
        message: P::Message,
    },
    /// A request reaches a node, whatever its life.
    Request {
        node: usize,
        caller: Caller,
        ask: Ask,
    },
    /// An answer reaches a client.
    Answer {
        caller: Caller,
        node: usize,
        answer: Answer,
    },
    /// A client has waited long enough for an attempt.
    GiveUp(Caller),
    /// A client begins its next operation, or its next attempt.
    Client(usize),
    /// A fault begins, or ends.
    Inject(usize),
    Heal(usize),
    /// A crashed node starts.
    Restart {
        node: usize,
        life: u32,
    },
    /// The run enters its next phase.
    Phase(Phase),
}

/// Something that one stage of a node does next.
pub(super) enum Step<P: Simulated> {
    /// The core takes one event.
    Core(engine::Event<P>),
    /// The core's timer rings that was set for this time.
    Timer(u64),
    /// The core takes the requests that wait.
    Wake,
    /// The log thread writes what waits.
    LogWrite,
    /// Its sync returns.
    LogSynced,
    /// The next segment is made ready.
    Prepare(Box<Preparation>),
    /// It is.
    Prepared(Box<Prepared>),
    /// What met a full disk is tried again.
    Retry,
    /// The store executes what waits.
    Execute,
    /// The archive does one piece of work.
    Archive,
}

/// What a client hears.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    /// The store's reply.
    Reply(Reply),
    /// No reply will come from the store by this attempt.
    Rejected(Rejection),
    /// Nobody listens there: the attempt never began.
    Unreachable,
    /// The connection broke: the attempt may have effect yet.
    Broken,
}

/// The phases of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Faults end for a quorum.
    Calm,
    /// Every client must have been served by now.
    Served,
    /// Clients begin nothing more.
    Quiet,
    /// Is everything equal everywhere?
    Converge,
}

/// Events in the order of their times, and for equal times in the order in which they were added.
pub(super) struct Queue<P: Simulated> {
    heap: BinaryHeap<Reverse<(u64, u64, usize)>>,
    /// What the heap's entries name: moving a number is cheaper than moving a message.
    slots: Vec<Option<What<P>>>,
    free: Vec<usize>,
    /// What happens at once.
    ready: VecDeque<What<P>>,
    added: u64,
}

impl<P: Simulated> Queue<P> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            ready: VecDeque::new(),
            added: 0,
        }
    }

    pub(super) fn at(&mut self, time: u64, what: What<P>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(what);
        self.heap.push(Reverse((time, self.added, slot)));
        self.added += 1;
    }

    /// Before anything else, and before time moves.
    pub(super) fn at_once(&mut self, what: What<P>) {
        self.ready.push_back(what);
    }

    /// The next event and its time, which is `now` for what happens at once.
    pub(super) fn pop(&mut self, now: u64) -> Option<(u64, What<P>)> {
        if let Some(what) = self.ready.pop_front() {
            return Some((now, what));
        }
        let Reverse((time, _, slot)) = self.heap.pop()?;
        self.free.push(slot);
        let what = self.slots[slot].take().expect("each entry of the heap has a slot of its own");
        Some((time, what))
    }
}
