//! [`LinkFaults`]: what a laboratory does to the links of one node.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use crate::consensus::NodeId;

/// Which way a message goes, as the node with the faults sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the peer.
    Out,
    /// From the peer.
    In,
}

/// A fault for the messages that it matches.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Of which peer; `None`: of all.
    pub peer: Option<NodeId>,
    /// Which way; `None`: both.
    pub direction: Option<Direction>,
    /// Of which kind, as [`crate::consensus::Message::kind`] names it; `None`: of all.
    pub kind: Option<String>,
    /// What happens to them.
    pub effect: Effect,
}

/// What happens to a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effect {
    /// It is lost, with this probability from 0 to 1.
    Drop(f64),
    /// It comes later, by `by` and up to `jitter` more. Messages of other kinds overtake it, and with jitter its own.
    Delay {
        /// At least this much.
        by: Duration,
        /// And up to this much more.
        jitter: Duration,
    },
    /// It comes twice, with this probability.
    Duplicate(f64),
    /// It is held back for `by`, with this probability, so that those behind it overtake it.
    Reorder {
        /// How likely.
        probability: f64,
        /// For how long.
        by: Duration,
    },
    /// No more than this many bytes a second pass, on each stream by itself.
    Throttle {
        /// The limit; zero is taken for one.
        bytes_per_second: u64,
    },
}

impl Rule {
    fn matches(&self, letter: Letter) -> bool {
        self.peer.is_none_or(|peer| peer == letter.peer)
            && self.direction.is_none_or(|direction| direction == letter.direction)
            && self.kind.as_ref().is_none_or(|kind| kind == letter.kind)
    }
}

/// The faults on one node's links. Cheap to clone: its clones are one set of faults. Every message is measured against
/// what is set when it leaves and again when it arrives, on connections that are there already.
#[derive(Clone, Debug)]
pub struct LinkFaults(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    seed: u64,
    /// Whether nothing is set: spares healthy links the lock.
    clear: AtomicBool,
    faults: RwLock<Faults>,
}

#[derive(Debug, Default)]
struct Faults {
    blocked: BTreeSet<NodeId>,
    rules: Vec<Rule>,
}

impl Faults {
    fn are_clear(&self) -> bool {
        self.blocked.is_empty() && self.rules.is_empty()
    }
}

impl Default for LinkFaults {
    fn default() -> Self {
        Self::new(0)
    }
}

impl LinkFaults {
    /// No faults yet. The seed feeds the dice of those to come.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Shared { seed, clear: AtomicBool::new(true), faults: RwLock::new(Faults::default()) }))
    }

    fn change(&self, change: impl FnOnce(&mut Faults)) {
        let mut faults = self.0.faults.write().expect("nothing panics while it holds the faults");
        change(&mut faults);
        self.0.clear.store(faults.are_clear(), Ordering::Release);
    }

    fn read<T>(&self, read: impl FnOnce(&Faults) -> T) -> T {
        read(&self.0.faults.read().expect("nothing panics while it holds the faults"))
    }

    /// Cuts the node off from these peers, in both directions. Replaces the partition that was there; none heals it.
    pub fn set_blocked(&self, peers: impl IntoIterator<Item = NodeId>) {
        let peers = peers.into_iter().collect();
        self.change(|faults| faults.blocked = peers);
    }

    /// The peers that the node is cut off from, in ascending order.
    pub fn blocked(&self) -> Vec<NodeId> {
        self.read(|faults| faults.blocked.iter().copied().collect())
    }

    /// Replaces the rules. All that match a message apply, in this order.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        self.change(|faults| faults.rules = rules);
    }

    /// The rules that are set.
    pub fn rules(&self) -> Vec<Rule> {
        self.read(|faults| faults.rules.clone())
    }

    pub(super) fn are_clear(&self) -> bool {
        self.0.clear.load(Ordering::Acquire)
    }

    pub(super) fn seed(&self) -> u64 {
        self.0.seed
    }

    pub(super) fn is_blocked(&self, peer: NodeId) -> bool {
        !self.are_clear() && self.read(|faults| faults.blocked.contains(&peer))
    }

    /// Decides what becomes of a message.
    pub(super) fn fate(&self, letter: Letter, now: Instant, dice: &mut Dice) -> Fate {
        self.read(|faults| {
            let mut fate = Fate { at: now, copies: 1 };
            if faults.blocked.contains(&letter.peer) {
                fate.copies = 0;
            }
            for rule in faults.rules.iter().filter(|rule| rule.matches(letter)) {
                fate.suffer(rule.effect, letter.size, dice);
            }
            fate
        })
    }
}

/// What a rule sees of a message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Letter {
    pub(super) peer: NodeId,
    pub(super) direction: Direction,
    pub(super) kind: &'static str,
    pub(super) size: usize,
}

/// The chance and the memory that the faults of one stream need.
#[derive(Debug)]
pub(super) struct Dice {
    pub(super) rng: ChaCha8Rng,
    /// When a throttled stream has room again.
    pub(super) free_at: Option<Instant>,
}

/// A longer delay is taken for this one: to lose messages there is [`Effect::Drop`], and clocks have an end.
const LONGEST_DELAY: Duration = Duration::from_hours(1);

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fate {
    /// When it goes on.
    pub(super) at: Instant,
    /// How often; never, if it is lost.
    pub(super) copies: u8,
}

impl Fate {
    fn suffer(&mut self, effect: Effect, size: usize, dice: &mut Dice) {
        match effect {
            Effect::Drop(probability) => {
                if dice.happens(probability) {
                    self.copies = 0;
                }
            }
            Effect::Delay { by, jitter } => {
                let jitter = jitter.min(LONGEST_DELAY).mul_f64(dice.rng.random::<f64>());
                self.at += by.min(LONGEST_DELAY) + jitter;
            }
            Effect::Duplicate(probability) => {
                if dice.happens(probability) {
                    self.copies = self.copies.saturating_mul(2);
                }
            }
            Effect::Reorder { probability, by } => {
                if dice.happens(probability) {
                    self.at += by.min(LONGEST_DELAY);
                }
            }
            Effect::Throttle { bytes_per_second } => {
                let takes = Duration::from_secs_f64(size as f64 / bytes_per_second.max(1) as f64);
                let free_at = dice.free_at.map_or(self.at, |free_at| free_at.max(self.at)) + takes;
                dice.free_at = Some(free_at);
                self.at = free_at;
            }
        }
    }
}

impl Dice {
    fn happens(&mut self, probability: f64) -> bool {
        self.rng.random::<f64>() < probability
    }
}
