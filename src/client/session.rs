//! The client's side of a session: which sequence numbers are in use.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use crate::kv::{SESSION_WINDOW, SessionTag};

/// How far the newest sequence number may be ahead of the oldest that is still in use. Half the store's own
/// window, so that no retry ever falls out of it.
pub(super) const MAX_IN_USE: u64 = SESSION_WINDOW / 2;

/// A session and its sequence numbers. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Session {
    id: u64,
    numbers: Arc<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    used: Mutex<Used>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Used {
    last: u64,
    in_use: BTreeSet<u64>,
}

/// A sequence number in use; dropping it says that it will not be sent again.
#[derive(Debug)]
pub(super) struct Ticket {
    tag: SessionTag,
    numbers: Arc<Numbers>,
}

impl Session {
    /// The session that a node opened under this id.
    pub(super) fn new(id: u64) -> Self {
        Self { id, numbers: Arc::default() }
    }

    /// The session's id.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Takes the next sequence number, as soon as the oldest in use is not too far behind it.
    pub(super) async fn ticket(&self) -> Ticket {
        loop {
            let freed = self.numbers.freed.notified();
            if let Some(sequence) = self.numbers.next() {
                let tag = SessionTag { session: self.id, sequence };
                return Ticket { tag, numbers: Arc::clone(&self.numbers) };
            }
            freed.await;
        }
    }
}

impl Numbers {
    fn next(&self) -> Option<u64> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let next = used.last + 1;
        let oldest = used.in_use.first().copied().unwrap_or(next);
        if next - oldest >= MAX_IN_USE {
            return None;
        }
        used.last = next;
        used.in_use.insert(next);
        Some(next)
    }

    fn free(&self, sequence: u64) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.in_use.remove(&sequence);
        drop(used);
        // All look again: freeing the oldest number may make room for many.
        self.freed.notify_waiters();
    }
}

impl Ticket {
    /// The command's tag, the same for all its retries.
    pub(super) fn tag(&self) -> SessionTag {
        self.tag
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.numbers.free(self.tag.sequence);
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// A retry must stay inside the store's window, however many newer commands overtake it.
    #[tokio::test]
    async fn the_oldest_number_in_use_holds_up_newer_ones() {
        let session = Session::new(7);
        let oldest = session.ticket().await;
        for _ in 1..MAX_IN_USE {
            drop(session.ticket().await);
        }
        let mut next = Box::pin(session.ticket());
        let mut context = Context::from_waker(Waker::noop());
        assert!(next.as_mut().poll(&mut context).is_pending(), "{MAX_IN_USE} numbers behind");
        assert_eq!(oldest.tag(), SessionTag { session: 7, sequence: 1 });
        drop(oldest);
        let Poll::Ready(ticket) = next.as_mut().poll(&mut context) else {
            panic!("nothing is in use any more")
        };
        assert_eq!(ticket.tag().sequence, MAX_IN_USE + 1);
    }
}
