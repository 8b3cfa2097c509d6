//! [`Gate`]: stops everything that a node in this process does, as SIGSTOP stops a process.

use std::sync::Arc;

use tokio::sync::watch;

/// Open or paused. Its clones are one gate: a node gives them to its links, its timers and its disk.
///
/// Whoever works behind the gate calls [`passed`](Self::passed) before each step. A step that has begun is finished.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// An open gate.
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }

    /// Stops what is behind the gate.
    pub fn pause(&self) {
        self.0.send_replace(true);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.0.send_replace(false);
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until it is open.
    pub async fn passed(&self) {
        if !self.is_paused() {
            return;
        }
        let opened = self.0.subscribe().wait_for(|paused| !paused).await.is_ok();
        assert!(opened, "the gate holds the sender that its receivers wait for");
    }
}
