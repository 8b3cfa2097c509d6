//! A running node as its supervisor sees it, whether it is a child process or a task.
//!
//! Each member has a task of its own that alone may signal or reap it, so that nothing is ever signalled after it was
//! reaped. Orders go there through a channel; what became of them shows in a state that anyone can watch.

mod process;
mod task;

use tokio::sync::{mpsc, watch};

use super::{KillSignal, ProcessId};

pub(super) use process::last_error;
pub use process::spawn as spawn_process;
pub use task::spawn as spawn_task;

/// What is to become of a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// Stop in its tracks.
    Pause,
    /// Go on.
    Resume,
    /// End.
    End(KillSignal),
}

/// What a member is doing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemberState {
    /// It was started and does not serve yet.
    Starting,
    /// It serves.
    Running,
    /// It is paused.
    Paused,
    /// It is gone: why, in words.
    Ended(String),
}

/// A node that was started. Dropping it kills the node.
#[derive(Debug)]
pub struct Member {
    /// Its process: the child's, or the supervisor's own for a task.
    pub process: ProcessId,
    orders: mpsc::UnboundedSender<Order>,
    state: watch::Receiver<MemberState>,
}

impl Member {
    /// What it is doing now.
    pub fn state(&self) -> MemberState {
        self.state.borrow().clone()
    }

    /// To watch what it does without holding it.
    pub fn watch(&self) -> watch::Receiver<MemberState> {
        self.state.clone()
    }

    /// Gives an order; [`wait`] for its effect with a [`watch`](Self::watch). To one that is gone it means nothing.
    pub(super) fn order(&self, order: Order) {
        let _ = self.orders.send(order);
    }
}

/// Waits until a member is in a state that `wanted` accepts, or gone; answers which.
pub async fn wait(
    mut state: watch::Receiver<MemberState>,
    wanted: impl Fn(&MemberState) -> bool,
) -> MemberState {
    let reached = state.wait_for(|state| wanted(state) || matches!(state, MemberState::Ended(_))).await;
    reached.map_or_else(|_| MemberState::Ended("its watcher is gone".to_owned()), |state| state.clone())
}
