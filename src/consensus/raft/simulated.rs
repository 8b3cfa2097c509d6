//! Raft in the simulator: its settings, its words, and its invariants (§5, Figure 3) over all nodes.
//!
//! The watch keeps for each node what its disk must hold (`durable`) and what was given to it so far (`written`), from
//! the records alone and without asking the replica. So a promise is judged by what is on disk, not by what the
//! replica believes.

mod disk;
mod invariants;
mod watch;
mod words;

use invariants::RaftWatch;

use super::message::Message;
use super::options::Options;
use super::record::Record;
use super::server::Raft;
use crate::consensus::Role;
use crate::sim::{Dice, Simulated};

impl Simulated for Raft {
    type Watch = RaftWatch;

    const SIZES: &'static [usize] = &[5];

    fn segments_kib(_nodes: usize) -> &'static [u64] {
        &[4, 8, 16, 24, 64, 128]
    }

    fn tolerates(nodes: usize) -> usize {
        (nodes - 1) / 2
    }

    fn small_options(dice: &mut Dice) -> Options {
        const KIB: usize = 1024;
        let snapshot_log_bytes = *dice.pick(&[2, 8, 32, 128]) * KIB;
        let keep_log_bytes = *dice.pick(&[0, 1, 4, 16]) * KIB;
        Options {
            max_append_entries: *dice.pick(&[1, 4, 64]),
            max_append_bytes: *dice.pick(&[KIB, 8 * KIB]),
            max_inflight_messages: *dice.pick(&[1, 4, 64]),
            max_inflight_bytes: *dice.pick(&[2 * KIB, 64 * KIB]),
            max_request_bytes: 4 * KIB,
            max_pending_requests: *dice.pick(&[4, 1000]),
            max_pending_bytes: 64 * KIB,
            snapshot_log_bytes,
            keep_log_bytes,
            max_log_bytes: 2 * (snapshot_log_bytes + keep_log_bytes) + 64 * KIB,
            max_inflight_pieces: *dice.pick(&[1, 2, 4]),
            ..Options::default()
        }
    }

    fn describe(message: &Message) -> String {
        words::message(message)
    }

    fn describe_record(record: &Record) -> String {
        words::record(record)
    }

    fn leads(&self) -> bool {
        self.role() == Role::Leader
    }
}
