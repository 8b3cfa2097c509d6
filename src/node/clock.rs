//! The only place where the real clocks are read.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::consensus::{Time, WallTime};

/// A node's monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose origin is now.
    #[expect(clippy::disallowed_methods, reason = "the node's clock is read here and nowhere else")]
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// The time since the origin.
    pub fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    /// The instant of a time of this clock, for timers.
    pub fn instant(&self, time: Time) -> Instant {
        self.origin + time.since_origin()
    }

    /// How long `work` took, and what it returned.
    pub fn time<T>(&self, work: impl FnOnce() -> T) -> (Duration, T) {
        let start = self.now();
        let result = work();
        (self.now().since(start), result)
    }
}

/// The wall clock, for people.
#[expect(clippy::disallowed_methods, reason = "the wall clock is read here and nowhere else")]
pub fn wall_time() -> WallTime {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    WallTime(since_epoch.as_millis() as u64)
}
