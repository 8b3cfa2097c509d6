//! [`Load`], and [`measure`], which puts it on a cluster.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::figures::Tally;
use super::{Caller, Figures, Meter, Site, meter};
use crate::client::{Consistency, Error};

/// How long a call may take; longer is an error.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// The most callers: half of the requests that a node admits at once, so that none is refused for that.
pub const MAX_CONCURRENCY: usize = 8192;
/// The largest value: a request may have 1.5 MiB, with its key and what its encoding adds.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// How long a caller rests whose call failed, so that refusals do not become a load of their own.
const REST: Duration = Duration::from_millis(10);
/// How many callers write the keys that are to be read: enough for long batches, few enough to overload nobody.
const FILLERS: usize = 64;
/// How often writing such a key is tried.
const FILL_ATTEMPTS: usize = 20;

/// What callers ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Operation {
    /// To write one key.
    Put,
    /// To read one key.
    Get,
}

impl Operation {
    /// As on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Put => "put",
            Self::Get => "get",
        }
    }
}

/// How callers ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Api {
    /// Each one node over etcd's API, which is believed.
    Etcd,
    /// As the protocol's own client does.
    Client,
}

/// A closed loop of calls.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Load {
    /// What callers ask for.
    pub operation: Operation,
    /// How.
    pub api: Api,
    /// Whether reads are content with what one node has.
    pub serializable: bool,
    /// How many callers there are, each with one call under way.
    pub concurrency: usize,
    /// How many connections they share; not more than there are callers.
    pub connections: usize,
    /// How long calls count, in seconds.
    pub seconds: f64,
    /// For how long before that they do not.
    pub warm_up_seconds: f64,
    /// How long values are, in bytes.
    pub value_size: usize,
    /// How many keys there are; callers take them in turn.
    pub keys: u64,
}

impl Load {
    pub(super) fn connections(&self) -> usize {
        self.connections.min(self.concurrency).max(1)
    }

    pub(super) fn consistency(&self) -> Consistency {
        if self.serializable { Consistency::Serializable } else { Consistency::Linearizable }
    }

    fn value(&self) -> Bytes {
        vec![b'v'; self.value_size].into()
    }
}

/// What all callers of a load share.
struct Work {
    load: Load,
    value: Bytes,
    /// Whose turn it is, of all keys.
    next: AtomicU64,
    counting: AtomicBool,
    /// One for all: a histogram for each of thousands of callers would take a gigabyte.
    tally: Mutex<Tally>,
}

impl Work {
    /// Counts a call, if calls count now.
    fn note(&self, took: Duration, answer: &Result<(), Error>) {
        if !self.counting.load(Relaxed) {
            return;
        }
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(()) => tally.done(took),
            Err(error) => tally.errors.note(error),
        }
    }

    fn key(&self) -> u64 {
        self.next.fetch_add(1, Relaxed) % self.load.keys
    }
}

/// Puts a load on a cluster. When `interrupted` turns true it ends early and tells what it has.
///
/// # Errors
/// If there is no way in, or if keys that are to be read cannot be written. That calls fail shows in the figures.
pub async fn measure(
    site: &Site,
    load: &Load,
    mut interrupted: watch::Receiver<bool>,
) -> Result<Figures, Error> {
    let callers = site.connect(load).await?;
    let meter = Meter::new(&site.endpoints)?;
    let work = Arc::new(Work {
        load: load.clone(),
        value: load.value(),
        next: AtomicU64::new(0),
        counting: AtomicBool::new(false),
        tally: Mutex::new(Tally::new()),
    });
    if load.operation == Operation::Get {
        fill(&callers, &work).await?;
    }
    let (over, is_over) = watch::channel(false);
    let mut calling = JoinSet::new();
    for caller in callers.iter().cycle().take(load.concurrency) {
        calling.spawn(keep_calling(caller.clone(), Arc::clone(&work), is_over.clone()));
    }
    drop(is_over);
    pass(load.warm_up_seconds, &mut interrupted).await;
    let before = meter.read().await;
    let begun = Instant::now();
    work.counting.store(true, Relaxed);
    pass(load.seconds, &mut interrupted).await;
    let after = meter.read().await;
    work.counting.store(false, Relaxed);
    let took = begun.elapsed();
    over.send_replace(true);
    calling.join_all().await;
    let tally = work.tally.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(tally.figures(took, meter::costs(&before, &after, tally.commands())))
}

/// Lets so many seconds pass, or fewer if someone wants an end.
async fn pass(seconds: f64, interrupted: &mut watch::Receiver<bool>) {
    let end = async {
        // Nobody is left who could want it: as good as never.
        if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = sleep(Duration::from_secs_f64(seconds)) => {}
        () = end => {}
    }
}

/// Calls until it is over. A call that is under way then is left alone.
async fn keep_calling(caller: Caller, work: Arc<Work>, mut is_over: watch::Receiver<bool>) {
    let calling = async {
        loop {
            let begun = Instant::now();
            let answer = caller.call(&work.load, work.key(), &work.value).await;
            work.note(begun.elapsed(), &answer);
            if answer.is_err() {
                sleep(REST).await;
            }
        }
    };
    tokio::select! {
        () = calling => {}
        _ = is_over.wait_for(|over| *over) => {}
    }
}

/// Writes all keys once, so that there is something to read.
async fn fill(callers: &[Caller], work: &Arc<Work>) -> Result<(), Error> {
    let mut filling = JoinSet::new();
    for caller in callers.iter().cycle().take(FILLERS.min(work.load.concurrency)) {
        let (caller, work) = (caller.clone(), Arc::clone(work));
        filling.spawn(async move {
            loop {
                let key = work.next.fetch_add(1, Relaxed);
                if key >= work.load.keys {
                    return Ok(());
                }
                fill_one(&caller, key, &work.value).await?;
            }
        });
    }
    filling.join_all().await.into_iter().collect()
}

/// Writes a key, several times if need be: writing the same twice does no harm.
async fn fill_one(caller: &Caller, key: u64, value: &Bytes) -> Result<(), Error> {
    for _ in 1..FILL_ATTEMPTS {
        if caller.put(key, value).await.is_ok() {
            return Ok(());
        }
        sleep(REST).await;
    }
    caller.put(key, value).await
}
