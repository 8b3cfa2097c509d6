//! [`Refusals`]: which links are refused now, at either end, and what the log was told of it.
//!
//! A link that is refused is a mistake in a configuration: two clusters whose members have each other's addresses, members
//! that were swapped, a key that is another's. It does not go away by itself, and both ends know of it: the one that calls
//! is told, and the one that refuses says so itself, since the other may be one that nobody looks at.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::consensus::NodeId;

/// How often the log repeats a refusal.
const REPEATED: Duration = Duration::from_secs(10);

/// A caller that is refused calls again, several times a second. A refusal that was not repeated for so long is over: the
/// caller has given up, or does not reach the other any more.
const GIVEN_UP: Duration = Duration::from_secs(2);

/// How many callers are remembered. Whoever wants to fill this can; what is said of them is an example anyway.
const CALLERS: usize = 8;

/// What is refused on a replica's links.
#[derive(Default)]
pub(super) struct Refusals {
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    /// What peers said who refuse this replica.
    refused_by: BTreeMap<NodeId, Complaint>,
    /// Why callers are refused here, by where and who they say they are.
    refused: BTreeMap<String, Complaint>,
}

/// What is wrong with a link now.
pub(super) struct Complaint {
    /// In words.
    text: String,
    last: Instant,
    /// When the log was told.
    logged: Instant,
}

impl Complaint {
    /// Its text, if it was repeated within this time.
    pub(super) fn within(&self, time: Duration, now: Instant) -> Option<&str> {
        (now - self.last < time).then_some(&*self.text)
    }
}

impl Refusals {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().expect("nothing panics while it holds the refusals")
    }

    /// A peer has refused this replica. Whether the log should be told.
    pub(super) fn refused_by(&self, peer: NodeId, address: &str, why: &str) -> bool {
        let text = format!("node {peer} at {address} refuses the link, saying: {why}");
        note(&mut self.lock().refused_by, peer, text, Instant::now())
    }

    /// A peer has taken a stream of this replica.
    pub(super) fn taken_by(&self, peer: NodeId) {
        self.lock().refused_by.remove(&peer);
    }

    /// This replica has refused a caller. Whether the log should be told.
    pub(super) fn refused(&self, caller: String, why: &str) -> bool {
        let now = Instant::now();
        let mut table = self.lock();
        table.refused.retain(|_, complaint| now - complaint.last < GIVEN_UP);
        if table.refused.len() >= CALLERS && !table.refused.contains_key(&caller) {
            return false;
        }
        let text = format!("refuses a link from {caller}: {why}");
        note(&mut table.refused, caller, text, now)
    }

    /// What is refused now, in words.
    pub(super) fn in_words(&self) -> Vec<String> {
        let (table, now) = (self.lock(), Instant::now());
        let all = table.refused_by.values().chain(table.refused.values());
        all.filter_map(|complaint| complaint.within(GIVEN_UP, now)).map(str::to_owned).collect()
    }
}

/// Notes a complaint. Whether the log should be told: it is new, or was told long ago.
pub(super) fn note<K: Ord>(
    complaints: &mut BTreeMap<K, Complaint>,
    key: K,
    text: String,
    now: Instant,
) -> bool {
    let known = complaints.get_mut(&key).filter(|known| known.text == text);
    let Some(known) = known else {
        complaints.insert(key, Complaint { text, last: now, logged: now });
        return true;
    };
    known.last = now;
    let is_due = now - known.logged >= REPEATED;
    if is_due {
        known.logged = now;
    }
    is_due
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_told_what_is_new_and_the_same_again_only_after_a_while() {
        let (mut complaints, now) = (BTreeMap::new(), Instant::now());
        let mut told = |text: &str, at| note(&mut complaints, 1, text.to_owned(), at);
        assert!(told("another cluster", now));
        assert!(!told("another cluster", now + REPEATED / 2));
        assert!(told("another protocol", now + REPEATED / 2));
        assert!(!told("another protocol", now + REPEATED));
        assert!(told("another protocol", now + REPEATED * 2));
    }

    #[test]
    fn what_was_put_right_is_not_said_any_more_and_callers_are_bounded() {
        let refusals = Refusals::default();
        assert!(refusals.refused_by(NodeId(2), "b:1", "another cluster"));
        assert_eq!(refusals.in_words(), ["node 2 at b:1 refuses the link, saying: another cluster"]);
        refusals.taken_by(NodeId(2));
        assert!(refusals.in_words().is_empty());
        for number in 0..2 * CALLERS {
            refusals.refused(format!("host {number}"), "another cluster");
        }
        assert_eq!(refusals.in_words().len(), CALLERS);
        assert_eq!(refusals.in_words()[0], "refuses a link from host 0: another cluster");
    }
}
