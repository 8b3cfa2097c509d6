//! [`Life`]: whether links may go on.

use std::sync::Arc;

use tokio::sync::watch;

use super::gate::Gate;

/// A node's gate, and whether its links still are. A node that is killed while it is paused must let go of its
/// connections, although its gate never opens again.
#[derive(Clone)]
pub(super) struct Life {
    gate: Gate,
    stopped: Arc<watch::Sender<bool>>,
}

impl Life {
    pub(super) fn new(gate: Gate) -> Self {
        Self { gate, stopped: Arc::new(watch::Sender::new(false)) }
    }

    /// Ends all that waits, and all that asks from now on.
    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.stopped.borrow()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.gate.is_paused()
    }

    /// Waits until the gate is open, and says whether the links still are.
    pub(super) async fn passed(&self) -> bool {
        let mut stopped = self.stopped.subscribe();
        tokio::select! {
            biased;
            _ = stopped.wait_for(|stopped| *stopped) => false,
            () = self.gate.passed() => true,
        }
    }
}
