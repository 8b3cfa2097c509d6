//! PBFT in the simulator: its settings, its words, and its invariants over all honest replicas.
//!
//! The watch follows the records that honest replicas write and sync, the messages that leave them and the slots that
//! they execute. It reckons thresholds by itself and asks a replica for nothing but its view: so a quorum is judged by
//! what the disks of those who voted hold, not by what somebody counted. Of liars it knows the names and nothing else.
//!
//! | invariant | promise | where |
//! |---|---|---|
//! | `agreement` | no two honest replicas commit different batches at a sequence number | `execution` |
//! | `validity` | nothing is executed that no client sent | `execution` |
//! | `at-most-once` | a request is executed once: it is answered alike each time, everywhere | `execution` |
//! | `one-certificate` | no two prepared certificates for one view and sequence number with different digests | `certificates` |
//! | `quorums-are-real` | prepared and committed rest on enough different replicas, and the honest ones among them have what they said on disk | `certificates` |
//! | `committed-survives` | what prepared at a quorum is told in every VIEW-CHANGE and kept by every NEW-VIEW | `certificates` |
//! | `newest-prepared-kept` | of certificates for one sequence number, a NEW-VIEW keeps that of the highest view | `certificates` |
//! | `wrong-state-unused` | who knows that its state is not that of a stable checkpoint executes nothing on it | `promises` |
//! | `stable-is-backed` | a stable checkpoint rests on a quorum, and the honest ones among it did say so | `certificates` |
//! | `promises-kept` | nothing that leaves contradicts what left before, also after a restart, and the disk backs it | `promises` |
//! | `no-honest-accused` | nobody holds evidence against an honest replica, also not against one whose memory was struck | `accusations` |
//! | `contradictions-convict` | who hears two votes of one replica contradict each other holds evidence against it from then on, also after a restart | `accusations` |
//! | `queues-bounded` | no replica keeps more requests than may wait, in all or of one client | `defences` |
//! | `slow-primaries-left` | nobody stays with a primary that it knows to be slower than it has to be | `defences` |
//! | `requests-time-out` | who can judge leaves a primary that leaves out one request for as long as the timer, whatever else is executed meanwhile | `defences` |
//! | `views-monotonic` | views never go back, also after a restart | `promises` |
//!
//! With more liars than f only agreement, validity and what clients see are looked at: the rest rests on the fault model.

mod accusations;
mod certificates;
mod defences;
mod execution;
mod promises;
mod watch;
mod words;

pub use watch::PbftWatch;

use super::Pbft;
use super::adversary::TOLERATED;
use super::message::Message;
use super::options::Options;
use super::record::Record;
use super::sizes::largest_record;
use crate::sim::{Dice, Simulated};

impl Simulated for Pbft {
    type Watch = PbftWatch;

    // Small ones more often: what a slot costs grows with the square of their number.
    const SIZES: &'static [usize] =
        &[4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 6, 6, 7, 7, 7, 7, 8, 9, 10, 11, 12, 13];

    const LIES: &'static [&'static str] = TOLERATED;

    // A NEW-VIEW of seven replicas with full windows takes 80 KiB, one of ten 160 KiB, and one of thirteen 270 KiB.
    fn segments_kib(nodes: usize) -> &'static [u64] {
        match nodes {
            0..8 => &[96, 128, 256],
            8..11 => &[192, 256],
            _ => &[320, 512],
        }
    }

    // A checkpoint comes with every few slots here, and each is work for the archive.
    const SLOW_PIECE_US: u64 = 20_000;

    fn tolerates(nodes: usize) -> usize {
        (nodes - 1) / 3
    }

    fn small_options(dice: &mut Dice) -> Options {
        const KIB: usize = 1024;
        let checkpoint_interval = *dice.pick(&[2, 4, 8]);
        let window = checkpoint_interval * dice.between(2, 3);
        Options {
            checkpoint_interval,
            window,
            max_batch_requests: *dice.pick(&[1, 4, 64]),
            max_batch_bytes: *dice.pick(&[KIB, 8 * KIB]),
            max_in_flight: *dice.pick(&[1, 2, 8]).min(&window),
            max_request_bytes: 4 * KIB,
            max_pending_requests: *dice.pick(&[16, 1000]),
            max_pending_bytes: 64 * KIB,
            max_client_requests: *dice.pick(&[4, 100]),
            snapshot_bytes: *dice.pick(&[2, 8, 32, 128]) * KIB,
            // Well within the time in which all clients have to be served: two honest replicas whose patience differs
            // by more than that, a crashed primary and a liar are no fault, only slow.
            max_timer_ms: 5_000,
            max_undurable_bytes: 32 * KIB,
            ..Options::default()
        }
    }

    /// The limit, a record that passes it, and what is small or waits for what is durable: certificates, evidence.
    fn most_undurable(options: &Options, nodes: usize) -> Option<usize> {
        const SMALL_BYTES: usize = 1024;
        let small = SMALL_BYTES * (options.window as usize + nodes);
        Some(options.max_undurable_bytes + 2 * largest_record(options, nodes) + small)
    }

    fn describe(message: &Message) -> String {
        words::message(message)
    }

    fn describe_record(record: &Record) -> String {
        words::record(record)
    }

    fn leads(&self) -> bool {
        self.is_primary()
    }
}
