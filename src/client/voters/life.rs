//! Which life of a client this is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::consensus::WallTime;

/// So many low bits of a life's number name the process: as many as the largest process id takes.
const PROCESS_BITS: u32 = 22;

/// The number of a client's new life: the wall clock in nanoseconds, with the process id in place of the lowest bits,
/// which span four milliseconds.
///
/// Within a process it grows with every call. Two processes on one host that use one key never share a number, and two
/// on different hosts only if they begin within the same four milliseconds under the same process id. A clock that was
/// set back, or that is behind another host's, matters only to a client with more lives since than replicas remember:
/// they refuse it then until its clock has passed the highest life that they dropped, and execute nothing twice.
pub(super) fn new_life() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    let ticks = (since_epoch().as_nanos() as u64) >> PROCESS_BITS;
    let last = LAST
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(ticks.max(last + 1)))
        .unwrap_or_default();
    let process = u64::from(std::process::id()) & ((1 << PROCESS_BITS) - 1);
    (ticks.max(last + 1) << PROCESS_BITS) | process
}

/// The wall clock, for people who read the log.
pub(super) fn wall_time() -> WallTime {
    WallTime(since_epoch().as_millis() as u64)
}

#[expect(clippy::disallowed_methods, reason = "a client belongs to no node whose clock it could read")]
fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_lives_have_one_number_and_later_ones_have_larger_ones() {
        let lives: Vec<u64> = (0..100).map(|_| new_life()).collect();
        assert!(lives.is_sorted_by(|earlier, later| earlier < later), "{lives:?}");
    }

    #[test]
    fn a_life_names_its_process() {
        let process = u64::from(std::process::id()) & ((1 << PROCESS_BITS) - 1);
        assert_eq!(new_life() & ((1 << PROCESS_BITS) - 1), process);
    }
}
