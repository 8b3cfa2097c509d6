//! Whose request is next: clients take turns.
//!
//! Fair queueing by start times (Goyal, Vin and Cheng, SIGCOMM'96): each request gets a number when it arrives, which is
//! where its client's last request ended on a line of bytes, or where the line has been served to if the client had
//! nothing there. The smallest number is next. So of two clients that always ask for something each gets half of the
//! bytes, and one that asks for little finds its place at the front, however much the others have waiting.

use std::collections::BTreeMap;

use crate::consensus::NodeId;

/// A request's place in the line: where it starts, and, among equals, which one came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Turn {
    start: u64,
    number: u64,
}

/// Gives out turns.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Up to where the line was served.
    served: u64,
    /// Where the last request of each client ends. Clients have keys, so there are few.
    ends: BTreeMap<NodeId, u64>,
    numbers: u64,
}

impl Turns {
    /// The turn of a request that has just arrived.
    pub(super) fn next(&mut self, client: NodeId, bytes: usize) -> Turn {
        self.numbers += 1;
        let end = self.ends.entry(client).or_default();
        let start = self.served.max(*end);
        *end = start + bytes as u64;
        Turn { start, number: self.numbers }
    }

    /// A request was taken.
    pub(super) fn reached(&mut self, turn: Turn) {
        self.served = self.served.max(turn.start);
    }
}
