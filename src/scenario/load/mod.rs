//! The load that runs while a story is told: several clients at once, each of its own kind.
//!
//! | client | what it does | what it would notice |
//! |---|---|---|
//! | writer (2) | puts, deletes, compare-and-swaps, reads, on few keys | lost, reordered, doubled writes |
//! | bookkeeper | adds a row to a ledger and touches a tally, as one transaction | a lost row, half a transaction |
//! | counter (2) | adds one to one counter by compare-and-swap, against each other | a write executed twice |
//! | reader | linearizable reads of all that the writers write | a stale read |
//! | onlooker | serializable reads from one node or another | a state that never was |
//!
//! All go through [`crate::client::Client`], as the protocol's own clients do: with sessions, or with requests that
//! replicas vote on. Either way a write is repeated until it is answered and still executed once. All that they ask and are told is in the history; the ledger and the counter are checked again at the
//! end without the checker's help ([`audit()`]), since that is easier to believe.

mod audit;
mod caller;
mod clients;
mod journal;

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;

use clients::{Bookkeeper, Counter, Onlooker, Reader, Writer, keep_asking};

pub use audit::audit;
pub use caller::{Caller, Manner};
pub use journal::Journal;

use crate::client::Error;
use crate::cluster::Door;

/// How many writers there are.
const WRITERS: u64 = 2;
/// How many clients count.
const COUNTERS: u64 = 2;
/// The first number of clients that are none of the load's.
pub const FIRST_OTHER: u64 = 100;

/// Where a node listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The node.
    pub id: u64,
    /// Its `host:port`.
    pub address: String,
}

/// The clients at work. Dropping it ends them at once, in the middle of what they do.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<()>,
    stop: watch::Sender<bool>,
}

impl Load {
    /// Sets all clients to work; those that believe one node alone ask only the `honest` ones. `seed` decides what they
    /// ask, not when.
    pub async fn start(
        journal: &Arc<Journal>,
        door: &Door,
        honest: &[Address],
        seed: u64,
    ) -> Result<Self, Error> {
        let (stop, stopped) = watch::channel(false);
        let mut clients = JoinSet::new();
        let mut next = 0;
        let mut caller = async || {
            next += 1;
            Caller::of_all(next, door, journal).await
        };
        for _ in 0..WRITERS {
            let caller = caller().await?;
            clients.spawn(keep_asking(Writer::new(caller, seed), stopped.clone(), seed));
        }
        for _ in 0..COUNTERS {
            clients.spawn(keep_asking(Counter::new(caller().await?), stopped.clone(), seed));
        }
        clients.spawn(keep_asking(Bookkeeper::new(caller().await?), stopped.clone(), seed));
        clients.spawn(keep_asking(Reader::new(caller().await?), stopped.clone(), seed));
        let number = next + 1;
        let mut each = Vec::new();
        for node in honest {
            each.push(Caller::of_one(number, node, journal).await?);
        }
        clients.spawn(keep_asking(Onlooker::new(each), stopped, seed));
        Ok(Self { clients, stop })
    }

    /// Lets all clients end what they are doing, and waits for them.
    pub async fn stop(&mut self) {
        self.stop.send_replace(true);
        while self.clients.join_next().await.is_some() {}
    }

    /// Ends all clients at once.
    pub async fn abort(&mut self) {
        self.clients.shutdown().await;
    }
}
