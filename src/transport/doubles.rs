//! [`Doubles`]: members as which two processes run at a time.
//!
//! A member is one process. Two of one id, as when a data directory was copied, or a node was moved and left running at
//! its old place, promise in one name what the other does not know of, and what they have promised is worth nothing.
//!
//! # How it is noticed
//!
//! Each process draws a number when its links start, its *instance*, and names it whenever it opens a stream. One that
//! starts anew takes the place of the old one, of which nothing is heard again. Two that run at a time take each other's
//! streams in turns, for ever: a newer stream ends the older, and who lost one opens it again. So an instance runs besides
//! another if it comes back several times when a while has passed since its place was first taken. Streams of a process
//! that is gone can arrive late, but they do not come again and again.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::consensus::NodeId;

use super::refusals::{Complaint, note};

/// How often an instance must come back to count as running, and how long after its place was first taken.
const RETURNS: u32 = 3;
const A_WHILE: Duration = Duration::from_secs(1);

/// Two processes take turns several times a second. Who has not come back for so long is gone.
const GONE: Duration = Duration::from_secs(5);

/// How many earlier instances of a member are remembered.
const EARLIER: usize = 4;

/// A process of a member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Instance {
    /// What it drew.
    pub(super) number: u64,
    /// Its pid.
    pub(super) process: u32,
    /// Where it calls from.
    pub(super) host: String,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "pid {} on {}", self.process, self.host)
    }
}

/// Which instances of the peers were heard of.
#[derive(Default)]
pub(super) struct Doubles {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    peers: BTreeMap<NodeId, Seen>,
    complaints: BTreeMap<NodeId, Complaint>,
}

/// The instances of one peer.
struct Seen {
    /// The one that opened the newest stream.
    current: Instance,
    /// Whose place was taken, the newest last.
    earlier: VecDeque<Earlier>,
}

struct Earlier {
    number: u64,
    /// When its place was first taken.
    since: Instant,
    /// How often it has come back when [`A_WHILE`] had passed since.
    returns: u32,
}

impl Doubles {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it holds what was heard of peers")
    }

    /// A process has opened a stream in a peer's name. Answers what the log should be told.
    pub(super) fn opened(&self, peer: NodeId, instance: Instance, now: Instant) -> Option<String> {
        let mut table = self.lock();
        let Table { peers, complaints } = &mut *table;
        let Some(seen) = peers.get_mut(&peer) else {
            peers.insert(peer, Seen { current: instance, earlier: VecDeque::new() });
            return None;
        };
        if seen.current.number == instance.number {
            return None;
        }
        let other = std::mem::replace(&mut seen.current, instance);
        if seen.earlier.iter().all(|earlier| earlier.number != other.number) {
            if seen.earlier.len() == EARLIER {
                seen.earlier.pop_front();
            }
            seen.earlier.push_back(Earlier { number: other.number, since: now, returns: 0 });
        }
        let back = seen.earlier.iter_mut().find(|earlier| earlier.number == seen.current.number)?;
        back.returns += u32::from(now - back.since >= A_WHILE);
        if back.returns < RETURNS {
            return None;
        }
        // Always in one order, whoever came last.
        let (first, second) = if seen.current.number < other.number {
            (&seen.current, &other)
        } else {
            (&other, &seen.current)
        };
        let text = format!(
            "two processes run as node {peer}: {first}, and {second}: end the one that does not belong"
        );
        note(complaints, peer, text.clone(), now).then_some(text)
    }

    /// As which peers two processes run now, in words.
    pub(super) fn in_words(&self, now: Instant) -> Vec<String> {
        let table = self.lock();
        let all = table.complaints.values();
        all.filter_map(|complaint| complaint.within(GONE, now)).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId(3);

    fn instance(number: u64) -> Instance {
        Instance { number, process: 100 + number as u32, host: "10.0.0.3".to_owned() }
    }

    /// What is said after instances opened streams, each so many milliseconds after the beginning.
    fn said(opened: &[(u64, u64)], at: u64) -> Vec<String> {
        let (doubles, begun) = (Doubles::default(), Instant::now());
        let time = |ms| begun + Duration::from_millis(ms);
        for (number, ms) in opened {
            doubles.opened(PEER, instance(*number), time(*ms));
        }
        doubles.in_words(time(at))
    }

    #[test]
    fn two_that_take_turns_are_told_until_one_is_gone() {
        let turns: Vec<(u64, u64)> = (0..12).map(|turn| (1 + turn % 2, turn * 200)).collect();
        let expected = "two processes run as node 3: pid 101 on 10.0.0.3, and pid 102 on 10.0.0.3: end the one that \
                        does not belong";
        assert_eq!(said(&turns, 2300), [expected]);
        assert!(said(&turns[..5], 900).is_empty(), "it may be that one is just starting");
        assert!(said(&turns, 2200 + GONE.as_millis() as u64).is_empty());
    }

    #[test]
    fn a_process_that_starts_anew_is_no_double_however_often_it_does() {
        let lives: Vec<(u64, u64)> = (0..40).map(|life| (life, life * 500)).collect();
        assert!(said(&lives, 20_000).is_empty());
    }

    #[test]
    fn late_streams_of_a_process_that_is_gone_make_no_double() {
        // All at once, when a pause ends, and once more from a packet that was sent again.
        assert!(
            said(&[(1, 0), (2, 5000), (1, 5001), (2, 5002), (1, 5003), (2, 5004), (1, 9000)], 9001)
                .is_empty()
        );
    }
}
