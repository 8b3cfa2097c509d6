//! [`Reply`]: the way back to a caller, with the place that its request takes.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::handle::{Answer, NodeError};

/// Carries a caller's answer. It travels with the request, and with it the request's permit: a caller that gives up makes
/// no room for another request while its own is still under way.
#[derive(Debug)]
pub(super) struct Reply {
    channel: oneshot::Sender<Result<Answer, NodeError>>,
    _permit: OwnedSemaphorePermit,
}

/// Where the answer arrives.
pub(super) type Awaited = oneshot::Receiver<Result<Answer, NodeError>>;

impl Reply {
    /// One of the permits for a new request; none if as many requests as may be are under way.
    pub(super) fn admit(permits: &Arc<Semaphore>) -> Option<(Self, Awaited)> {
        let permit = permits.clone().try_acquire_owned().ok()?;
        let (channel, answer) = oneshot::channel();
        Some((Self { channel, _permit: permit }, answer))
    }

    /// Whether nobody waits any more: work that changes nothing, or was not begun, need not be done.
    pub(super) fn is_abandoned(&self) -> bool {
        self.channel.is_closed()
    }

    pub(super) fn send(self, answer: Result<Answer, NodeError>) {
        // The caller may have gone away.
        let _ = self.channel.send(answer);
    }

    /// Answers with what `work` comes to, which is not begun if nobody waits.
    pub(super) fn send_with(self, work: impl FnOnce() -> Answer) {
        if !self.is_abandoned() {
            self.send(Ok(work()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::KvError;

    fn answer() -> Answer {
        Answer { reply: Err(KvError::Malformed), epoch: 1 }
    }

    #[test]
    fn a_caller_that_gives_up_makes_no_room_until_its_work_is_done() {
        let permits = Arc::new(Semaphore::new(1));
        let (reply, caller) = Reply::admit(&permits).unwrap();
        drop(caller);
        assert!(reply.is_abandoned());
        assert!(Reply::admit(&permits).is_none(), "its work is under way");
        reply.send(Ok(answer()));
        assert!(Reply::admit(&permits).is_some());
    }

    #[test]
    fn work_that_nobody_waits_for_is_not_begun() {
        let permits = Arc::new(Semaphore::new(2));
        let (abandoned, caller) = Reply::admit(&permits).unwrap();
        drop(caller);
        abandoned.send_with(|| panic!("it was begun"));
        let (awaited, mut caller) = Reply::admit(&permits).unwrap();
        awaited.send_with(answer);
        assert_eq!(caller.try_recv().unwrap(), Ok(answer()));
        assert_eq!(permits.available_permits(), 2);
    }
}
