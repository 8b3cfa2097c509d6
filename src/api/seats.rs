//! [`Seats`]: how many connections the ports of a process may have, and which one makes way for another.
//!
//! Each connection takes a file descriptor, of which a process has only so many, and a node needs some for its log and
//! its links: without one it cannot begin the next segment. So ports take connections only up to a share of what the
//! process may have. When all seats are taken, a new connection is still let in, and the one that has been silent for
//! longest is closed in its place: whoever opens connections and says nothing loses them, and peers, which talk all the
//! time, keep theirs. What is more, a connection that has not become HTTP/2 must say something every few seconds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit};
use tokio::sync::Notify;
use tokio::time::Instant;

/// How many descriptors stay free for logs, snapshots, links and all else, at least, where the process may have many.
const RESERVE: u64 = 256;

/// No process needs more.
const MOST: u64 = 65_536;

/// How often the log is told the same.
const REPEATED: Duration = Duration::from_secs(10);

/// The seats of a process's ports.
#[derive(Clone)]
pub(super) struct Seats(Arc<Shared>);

struct Shared {
    capacity: usize,
    /// Time is counted from here.
    start: Instant,
    taken: Mutex<Taken>,
    /// A seat has become free.
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: BTreeMap<u64, Arc<State>>,
    /// How many had to make way since the log was told, and when that was.
    evicted: u64,
    told: Option<Instant>,
}

struct State {
    /// When something was last heard, in milliseconds.
    heard: AtomicU64,
    evicted: Notify,
    is_evicted: AtomicBool,
}

/// A connection's seat, free again when this is dropped.
pub(super) struct Seat {
    number: u64,
    state: Arc<State>,
    seats: Seats,
}

impl Seats {
    /// As many as this process may have, less a reserve. All its ports share them, as they share the descriptors.
    pub(super) fn of_this_process() -> Self {
        static SEATS: LazyLock<Seats> = LazyLock::new(|| {
            // A system that does not say has its usual limit.
            let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
            Seats::new(capacity_of(limit))
        });
        SEATS.clone()
    }

    fn new(capacity: usize) -> Self {
        let taken = Mutex::default();
        Self(Arc::new(Shared { capacity, start: Instant::now(), taken, freed: Notify::new() }))
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().expect("nothing panics while it holds the seats")
    }

    fn now(&self) -> u64 {
        self.0.start.elapsed().as_millis() as u64
    }

    /// A seat for a connection that was accepted. If there is none, the connection that was silent for longest makes way.
    pub(super) async fn take(&self) -> Seat {
        loop {
            let freed = self.0.freed.notified();
            if let Some(seat) = self.try_take() {
                return seat;
            }
            freed.await;
        }
    }

    fn try_take(&self) -> Option<Seat> {
        let mut taken = self.taken();
        if taken.seats.len() >= self.0.capacity {
            taken.evict_the_most_silent(self.0.capacity);
            return None;
        }
        taken.next += 1;
        let number = taken.next;
        let state =
            State { heard: AtomicU64::new(self.now()), evicted: Notify::new(), is_evicted: false.into() };
        let state = Arc::new(state);
        taken.seats.insert(number, Arc::clone(&state));
        Some(Seat { number, state, seats: self.clone() })
    }
}

impl Taken {
    /// Makes one give way, unless one is about to.
    fn evict_the_most_silent(&mut self, capacity: usize) {
        if self.seats.values().any(|seat| seat.is_evicted.load(Ordering::Acquire)) {
            return;
        }
        let Some(seat) = self.seats.values().min_by_key(|seat| seat.heard.load(Ordering::Acquire)) else {
            return;
        };
        seat.is_evicted.store(true, Ordering::Release);
        seat.evicted.notify_one();
        self.evicted += 1;
        if self.told.is_none_or(|told| told.elapsed() >= REPEATED) {
            tracing::warn!(
                "all {capacity} connections that the limit of file descriptors allows are taken: closed {} that had been \
                 silent for longest (raise the limit with `ulimit -n`, or find out who opens so many)",
                self.evicted
            );
            (self.evicted, self.told) = (0, Some(Instant::now()));
        }
    }
}

impl Seat {
    /// Something was heard.
    pub(super) fn heard(&self) {
        self.state.heard.store(self.seats.now(), Ordering::Release);
    }

    /// Comes when the connection is to make way for another.
    pub(super) fn evicted(&self) -> impl Future<Output = ()> + Send + Sync + use<> {
        let state = Arc::clone(&self.state);
        async move { state.evicted.notified().await }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken().seats.remove(&self.number);
        self.seats.0.freed.notify_one();
    }
}

/// How many connections a process may serve that may have so many descriptors: half of few, most of many.
fn capacity_of(limit: u64) -> usize {
    limit.saturating_sub(RESERVE).max(limit / 2).clamp(1, MOST) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn something_is_left_for_logs_and_links() {
        assert_eq!([1, 128, 512, 1024].map(capacity_of), [1, 64, 256, 768]);
        assert_eq!(capacity_of(u64::MAX), 65_536);
    }

    #[tokio::test]
    async fn who_was_silent_for_longest_makes_way() {
        let seats = Seats::new(3);
        let mut held = Vec::new();
        // The second has been silent for longest.
        for heard in [7, 3, 5] {
            let seat = seats.take().await;
            seat.state.heard.store(heard, Ordering::Release);
            held.push(seat);
        }
        let waiting = tokio::spawn({
            let seats = seats.clone();
            async move { seats.take().await }
        });
        held[1].evicted().await;
        assert!(!waiting.is_finished(), "there is no seat before it has gone");
        held.remove(1);
        let _fourth = waiting.await.unwrap();
        assert_eq!(seats.taken().seats.len(), 3);
    }
}
