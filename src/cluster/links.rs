//! [`LinkFault`]: what is wrong with the links from some nodes to others, one way.
//!
//! The node that sends applies a fault to what it sends ([`LinkFaults`](crate::transport::LinkFaults)): so it works on
//! connections that are open, on one direction alone, and on single kinds of messages. A [`Partition`](super::Partition)
//! is a matter of its own, which both ends enforce.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::faults::list;
use super::{Error, Result};
use crate::consensus::NodeId;
use crate::registry::Entry;
use crate::transport::{Direction, Effect, Rule};

/// What is wrong with the links from some nodes to others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkFault {
    /// Who sends.
    pub from: BTreeSet<u64>,
    /// To whom. A node has no link to itself.
    pub to: BTreeSet<u64>,
    /// Which messages, by their names in the protocol; empty: all.
    pub kinds: BTreeSet<String>,
    /// What happens to them.
    pub effect: LinkEffect,
}

/// What happens to messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LinkEffect {
    /// So many of a thousand are lost.
    Lose(u16),
    /// They come later; those of one kind in their order only without jitter.
    Delay {
        /// By so many milliseconds,
        by_ms: u64,
        /// and up to so many more.
        jitter_ms: u64,
    },
    /// So many of a thousand come twice.
    Duplicate(u16),
    /// So many of a thousand are held back, so that those behind overtake them.
    Reorder {
        /// Of a thousand.
        per_mille: u16,
        /// For so many milliseconds.
        by_ms: u64,
    },
    /// So many bytes a second pass at most, on each stream by itself.
    Throttle(u64),
}

/// All of a thousand.
const ALL: u16 = 1000;

impl LinkEffect {
    /// Nothing passes.
    pub const CUT: Self = Self::Lose(ALL);
}

impl From<LinkEffect> for Effect {
    fn from(effect: LinkEffect) -> Self {
        let probability = |per_mille: u16| f64::from(per_mille) / f64::from(ALL);
        match effect {
            LinkEffect::Lose(per_mille) => Self::Drop(probability(per_mille)),
            LinkEffect::Delay { by_ms, jitter_ms } => {
                Self::Delay { by: Duration::from_millis(by_ms), jitter: Duration::from_millis(jitter_ms) }
            }
            LinkEffect::Duplicate(per_mille) => Self::Duplicate(probability(per_mille)),
            LinkEffect::Reorder { per_mille, by_ms } => {
                Self::Reorder { probability: probability(per_mille), by: Duration::from_millis(by_ms) }
            }
            LinkEffect::Throttle(bytes_per_second) => Self::Throttle { bytes_per_second },
        }
    }
}

impl LinkFault {
    /// Refuses a fault of links or messages that there are not.
    pub fn check(&self, entry: &Entry, members: &BTreeSet<u64>) -> Result<()> {
        if let Some(id) = self.from.union(&self.to).find(|id| !members.contains(id)) {
            return Err(Error::usage(format!("there is no node {id}"))
                .hint(format!("the nodes are {}", list(members))));
        }
        if !self.from.iter().any(|from| self.to.iter().any(|to| to != from)) {
            return Err(Error::usage("a node has no link to itself: name two nodes"));
        }
        match self.kinds.iter().find(|kind| !entry.message_kinds.contains(&kind.as_str())) {
            None => Ok(()),
            Some(kind) => Err(Error::usage(format!("{} has no message {kind}", entry.name))
                .hint(format!("its messages are {}", entry.message_kinds.join(", ")))),
        }
    }

    /// What it makes of the messages that node `id` sends.
    fn rules(&self, id: u64) -> impl Iterator<Item = Rule> {
        let peers = self.to.iter().filter(move |peer| self.from.contains(&id) && **peer != id);
        let kinds: Vec<Option<String>> =
            if self.kinds.is_empty() { vec![None] } else { self.kinds.iter().cloned().map(Some).collect() };
        peers.flat_map(move |peer| {
            kinds.clone().into_iter().map(move |kind| Rule {
                peer: Some(NodeId(*peer)),
                direction: Some(Direction::Out),
                kind,
                effect: self.effect.into(),
            })
        })
    }

    /// Whether this takes the other's place: the same sort of fault of the same messages on the same links.
    fn replaces(&self, other: &Self) -> bool {
        let sort = |fault: &Self| std::mem::discriminant(&fault.effect);
        (&self.from, &self.to, &self.kinds, sort(self)) == (&other.from, &other.to, &other.kinds, sort(other))
    }
}

/// What all of these make of the messages that node `id` sends.
pub(super) fn rules_of(faults: &[LinkFault], id: u64) -> Vec<Rule> {
    faults.iter().flat_map(|fault| fault.rules(id)).collect()
}

/// Adds a fault to others.
pub(super) fn add(faults: &mut Vec<LinkFault>, fault: LinkFault) {
    faults.retain(|other| !fault.replaces(other));
    faults.push(fault);
}

impl fmt::Display for LinkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "from {} to {}: ", list(&self.from), list(&self.to))?;
        if !self.kinds.is_empty() {
            let kinds: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
            write!(f, "{} ", kinds.join(", "))?;
        }
        write!(f, "{}", self.effect)
    }
}

impl fmt::Display for LinkEffect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |per_mille: u16| f64::from(per_mille) / 10.0;
        let time = |ms: u64| humantime::format_duration(Duration::from_millis(ms)).to_string();
        match *self {
            Self::CUT => f.write_str("cut"),
            Self::Lose(per_mille) => write!(f, "{}% lost", share(per_mille)),
            Self::Delay { by_ms, jitter_ms: 0 } => write!(f, "delayed by {}", time(by_ms)),
            Self::Delay { by_ms, jitter_ms } => {
                write!(f, "delayed by {} to {}", time(by_ms), time(by_ms.saturating_add(jitter_ms)))
            }
            Self::Duplicate(per_mille) => write!(f, "{}% duplicated", share(per_mille)),
            Self::Reorder { per_mille, by_ms } => {
                write!(f, "{}% held back for {}", share(per_mille), time(by_ms))
            }
            Self::Throttle(bytes) => write!(f, "at most {bytes} bytes a second"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::PROTOCOLS;

    fn fault(from: &[u64], to: &[u64], kinds: &[&str], effect: LinkEffect) -> LinkFault {
        let ids = |ids: &[u64]| ids.iter().copied().collect();
        let kinds = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        LinkFault { from: ids(from), to: ids(to), kinds, effect }
    }

    #[test]
    fn each_sender_gets_its_own_links_and_nobody_one_to_itself() {
        let faults = [
            fault(&[1, 2], &[1, 2, 3], &[], LinkEffect::CUT),
            fault(&[1], &[3], &["AppendEntries", "PreVote"], LinkEffect::Duplicate(500)),
        ];
        let rule = |peer, kind: Option<&str>, effect| Rule {
            peer: Some(NodeId(peer)),
            direction: Some(Direction::Out),
            kind: kind.map(str::to_owned),
            effect,
        };
        let twice = Effect::Duplicate(0.5);
        let expected = [
            rule(2, None, Effect::Drop(1.0)),
            rule(3, None, Effect::Drop(1.0)),
            rule(3, Some("AppendEntries"), twice),
            rule(3, Some("PreVote"), twice),
        ];
        assert_eq!(rules_of(&faults, 1), expected);
        assert_eq!(
            rules_of(&faults, 2),
            [rule(1, None, Effect::Drop(1.0)), rule(3, None, Effect::Drop(1.0))]
        );
        assert_eq!(rules_of(&faults, 3), []);
    }

    #[test]
    fn faults_add_up_and_the_same_sort_on_the_same_links_is_replaced() {
        let mut faults = Vec::new();
        add(&mut faults, fault(&[1], &[2], &[], LinkEffect::Lose(100)));
        add(&mut faults, fault(&[1], &[2], &[], LinkEffect::Duplicate(50)));
        add(&mut faults, fault(&[1], &[3], &[], LinkEffect::Lose(100)));
        add(&mut faults, fault(&[1], &[2], &[], LinkEffect::CUT));
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["from 1 to 2: 5% duplicated", "from 1 to 3: 10% lost", "from 1 to 2: cut"]);
    }

    #[test]
    fn links_and_messages_that_there_are_not_are_refused() {
        let members = BTreeSet::from([1, 2, 3]);
        for entry in PROTOCOLS {
            let kind = entry.message_kinds[0];
            let check = |from: &[u64], to: &[u64], kinds: &[&str]| {
                fault(from, to, kinds, LinkEffect::CUT).check(entry, &members).map_err(|error| error.message)
            };
            assert_eq!(check(&[1], &[1, 2], &[kind]), Ok(()));
            assert_eq!(check(&[1], &[4], &[]), Err("there is no node 4".to_owned()));
            assert_eq!(
                check(&[1], &[1], &[]),
                Err("a node has no link to itself: name two nodes".to_owned())
            );
            assert_eq!(check(&[1], &[2], &["Gossip"]), Err(format!("{} has no message Gossip", entry.name)));
        }
    }

    #[test]
    fn effects_are_told_in_words() {
        let shown = [
            (LinkEffect::Delay { by_ms: 50, jitter_ms: 0 }, "delayed by 50ms"),
            (LinkEffect::Delay { by_ms: 50, jitter_ms: 1950 }, "delayed by 50ms to 2s"),
            (LinkEffect::Reorder { per_mille: 125, by_ms: 20 }, "12.5% held back for 20ms"),
            (LinkEffect::Throttle(1024), "at most 1024 bytes a second"),
        ];
        for (effect, words) in shown {
            assert_eq!(effect.to_string(), words);
        }
        let json = serde_json::to_string(&fault(&[1], &[2], &["PreVote"], LinkEffect::CUT)).unwrap();
        assert_eq!(json, r#"{"from":[1],"to":[2],"kinds":["PreVote"],"effect":{"lose":1000}}"#);
    }
}
