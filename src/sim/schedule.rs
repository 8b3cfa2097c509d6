//! The plan of a run's faults, drawn before it begins, so that a failing run can be repeated with fewer of them.

use std::fmt;

use super::dice::Dice;
use super::faults::Fault;

/// One fault at one time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Its place in the whole schedule: the name by which it is kept or left out.
    pub number: usize,
    /// When it begins, in microseconds of the run.
    pub at: u64,
    /// How long it lasts, in microseconds; for a crash, until the restart.
    pub lasts: u64,
    /// What goes wrong.
    pub fault: Fault,
    /// Where.
    pub target: Target,
    /// Feeds whatever else there is to choose, so that leaving out one injection changes no other.
    pub seed: u64,
}

/// Which node a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Whoever leads at that time; the first node if nobody does.
    Leader,
    /// The node at this position.
    Node(usize),
}

impl fmt::Display for Injection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, at, lasts, fault, target, .. } = self;
        let (at, lasts) = (*at as f64 / 1e6, *lasts as f64 / 1e6);
        write!(f, "#{number} at {at:.3} s: {} {target} for {lasts:.3} s", fault.name())
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leader => f.write_str("leader"),
            Self::Node(position) => write!(f, "n{}", position + 1),
        }
    }
}

/// Draws the faults of a run of so many nodes, for the time until `end` in microseconds. Some runs are calm and some
/// are wild: bugs hide in both.
pub(super) fn draw(dice: &mut Dice, faults: &[(Fault, u32)], nodes: usize, end: u64) -> Vec<Injection> {
    let gap_ms = *dice.pick(&[200, 500, 500, 1000, 1000, 2000]);
    // A run in which only some kinds of faults occur goes deeper into those.
    let narrow = dice.chance(400);
    let all: Vec<u32> = faults.iter().map(|(_, weight)| *weight).collect();
    let some: Vec<u32> =
        all.iter().map(|weight| if narrow && dice.chance(600) { 0 } else { *weight }).collect();
    let weights = if some.iter().all(|weight| *weight == 0) { all } else { some };
    let mut injections = Vec::new();
    let mut at = 500_000;
    while at < end {
        at += dice.between(1, 2 * gap_ms * 1000);
        let Some(drawn) = dice.weighted(&weights) else { break };
        let (fault, _) = faults[drawn];
        let target =
            if dice.chance(450) { Target::Leader } else { Target::Node(dice.below(nodes as u64) as usize) };
        let lasts = duration(dice, fault);
        injections.push(Injection { number: injections.len(), at, lasts, fault, target, seed: dice.any() });
    }
    injections.retain(|injection| injection.at < end);
    injections
}

/// Short and long ones of each: around an election timeout, and well beyond it.
fn duration(dice: &mut Dice, fault: Fault) -> u64 {
    let long = dice.chance(250);
    let (low, high) =
        match fault {
            Fault::Kill | Fault::PowerLoss | Fault::TornWrites | Fault::MidWrite | Fault::Blackout => {
                if long { (1000, 6000) } else { (10, 1000) }
            }
            Fault::Transfer
            | Fault::ClockJump
            | Fault::FailSync
            | Fault::FailWrite
            | Fault::Rot
            | Fault::WrongState => (100, 2000),
            _ if long => (1500, 6000),
            _ => (100, 1500),
        };
    dice.between(low * 1000, high * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::faults::FaultMix;

    #[test]
    fn a_seed_has_one_schedule_and_only_wanted_faults() {
        let mix = FaultMix::parse("crashes").unwrap();
        let draw = |seed| draw(&mut Dice::new(seed, 0), &mix.of_interest(false), 5, 30_000_000);
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
        assert!(draw(3).iter().all(|injection| mix.has(injection.fault) && injection.at < 30_000_000));
        assert!(!draw(3).is_empty());
    }
}
