//! The task that carries calls to the replicas, and answers back.

use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};

use super::desk::{Call, Desk, Verdict};
use crate::consensus::{NodeId, Protocol, Time, VotingClient};
use crate::transport::{Inbox, Received};

/// How many calls wait for an answer at once. As many more wait in the queue; beyond that, callers wait to get in.
pub(super) const MAX_CALLS: usize = 1024;

/// How many replies are taken in before what follows from them is done.
const MAX_REPLIES: usize = 256;

/// A call on its way to the driver.
pub(super) struct Order {
    /// An encoded command of the store.
    pub(super) command: Bytes,
    /// When it ends.
    pub(super) deadline: Instant,
    /// Who waits.
    pub(super) caller: oneshot::Sender<Verdict>,
}

/// A cluster's replicas, as a client reaches them. What they say comes through a channel.
pub(super) trait Replicas<P: Protocol>: Send + Sync + 'static {
    /// Sends a message, or drops it. Never waits.
    fn send(&self, to: NodeId, message: P::Message);

    /// How many replicas are connected.
    fn reached(&self) -> usize;

    /// Waits until other replicas are connected than when this was last waited for.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// Waits until what was sent is on its way to all that are connected.
    fn drained(&self) -> impl Future<Output = ()> + Send;
}

/// Where a driver's work comes from.
pub(super) struct Inboxes<M> {
    /// From callers.
    pub(super) orders: mpsc::Receiver<Order>,
    /// From replicas.
    pub(super) replies: Inbox<M>,
}

/// For so long a driver that ends waits until what it had to say of a liar has left.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Works until nobody can order any more.
pub(super) async fn drive<C, R>(
    mut desk: Desk<C>,
    replicas: R,
    mut inboxes: Inboxes<<C::Protocol as Protocol>::Message>,
) where
    C: VotingClient,
    R: Replicas<C::Protocol>,
{
    let origin = Instant::now();
    let time = |instant: Instant| Time::from_origin(instant.saturating_duration_since(origin));
    let (mut orders, mut replies) = (Vec::new(), Vec::new());
    loop {
        for (to, message) in desk.turn(time(Instant::now()), replicas.reached()) {
            replicas.send(to, message);
        }
        let room = MAX_CALLS.saturating_sub(desk.pending());
        let due = desk.deadline().map(|due| origin + due.since_origin());
        let left = tokio::select! {
            count = inboxes.replies.recv_many(&mut replies, MAX_REPLIES) => count > 0,
            count = inboxes.orders.recv_many(&mut orders, room), if room > 0 => count > 0,
            () = replicas.changed(), if desk.waits_for_replicas() => true,
            () = until(due) => true,
        };
        if !left {
            if desk.has_dissenters() {
                // A connection may be stuck; and nobody's answer hangs on it.
                let _ = timeout(LAST_WORDS, replicas.drained()).await;
            }
            return;
        }
        let now = time(Instant::now());
        for Received { from, message } in replies.drain(..) {
            desk.on_message(now, from, message);
        }
        for Order { command, deadline, caller } in orders.drain(..) {
            desk.on_call(Call { command, deadline: time(deadline), caller });
        }
    }
}

/// Sleeps until then; for ever if there is no such time.
async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => std::future::pending().await,
    }
}
