//! What each kind of client does, one step at a time.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::watch;

use super::Caller;
use crate::client::{Consistency, Error};
use crate::kv::{
    Compare, CompareResult, CompareTarget, DeleteRangeRequest, PutRequest, RangeRequest, TxnOp, TxnRequest,
};

/// The keys that writers fight over: few, so that they do.
const SHARED_KEYS: u32 = 8;
const SHARED_PREFIX: &str = "shared/";
/// Behind all keys with the prefix: `0` comes after `/`.
const SHARED_END: &str = "shared0";
/// The counter's key.
pub(super) const COUNTER: &str = "counter";
/// The key that is written with each row of the ledger.
pub(super) const TALLY: &str = "tally";
/// What the keys of the ledger's rows begin with.
pub(super) const LEDGER_PREFIX: &str = "ledger/";
/// How long values are at least: some hundred writes fill a log that is meant to be short.
const VALUE_BYTES: usize = 96;
/// A client waits up to this long before its next step: the machine is small, and belongs to the nodes first.
const PACE_US: u64 = 4_000;

/// A client that asks and asks.
pub(super) trait Asks: Send {
    /// Asks once. How it went stands in the journal; an error only ends the step.
    fn step(&mut self, dice: &mut ChaCha8Rng) -> impl Future<Output = Result<(), Error>> + Send;

    /// What tells its dice from those of others.
    fn number(&self) -> u64;
}

/// Steps until it is told to stop.
pub(super) async fn keep_asking(mut client: impl Asks, stopped: watch::Receiver<bool>, seed: u64) {
    let mut dice = ChaCha8Rng::seed_from_u64(seed);
    dice.set_stream(client.number());
    while !*stopped.borrow() {
        // Refusals belong to faults; the journal has them.
        let _ = client.step(&mut dice).await;
        tokio::time::sleep(Duration::from_micros(dice.random_range(0..PACE_US))).await;
    }
}

fn one(key: impl Into<Bytes>) -> RangeRequest {
    RangeRequest { key: key.into(), ..RangeRequest::default() }
}

fn put(key: Bytes, value: Bytes) -> PutRequest {
    PutRequest { key, value, ..PutRequest::default() }
}

fn unchanged(key: Bytes, revision: i64) -> Compare {
    Compare {
        result: CompareResult::Equal,
        target: CompareTarget::Mod(revision),
        key,
        range_end: Bytes::new(),
    }
}

fn all_shared() -> RangeRequest {
    RangeRequest { key: SHARED_PREFIX.into(), range_end: SHARED_END.into(), ..RangeRequest::default() }
}

/// Puts, deletes, compare-and-swaps and reads on keys that it shares with others.
pub(super) struct Writer {
    caller: Caller,
    written: u64,
    /// The run's name in values, so that no two runs write alike.
    run: u64,
}

impl Writer {
    pub(super) fn new(caller: Caller, run: u64) -> Self {
        Self { caller, written: 0, run }
    }

    /// A value that nobody else ever writes.
    fn value(&mut self) -> Bytes {
        self.written += 1;
        format!("{:.<VALUE_BYTES$}", format!("{}.{} of {}", self.caller.id(), self.written, self.run)).into()
    }

    async fn swap(&mut self, key: Bytes) -> Result<(), Error> {
        let found = self.caller.get(one(key.clone()), Consistency::Linearizable).await?;
        let revision = found.kvs.first().map_or(0, |kv| kv.mod_revision);
        let txn = TxnRequest {
            compare: vec![unchanged(key.clone(), revision)],
            success: vec![TxnOp::Put(put(key.clone(), self.value())), TxnOp::Range(one(key.clone()))],
            failure: vec![TxnOp::Range(one(key))],
        };
        self.caller.txn(txn).await.map(drop)
    }
}

impl Asks for Writer {
    async fn step(&mut self, dice: &mut ChaCha8Rng) -> Result<(), Error> {
        let key = Bytes::from(format!("{SHARED_PREFIX}{}", dice.random_range(0..SHARED_KEYS)));
        match dice.random_range(0..10) {
            0..5 => {
                let prev_kv = dice.random();
                let put = PutRequest { prev_kv, ..put(key, self.value()) };
                self.caller.put(put).await.map(drop)
            }
            5 => {
                let delete = DeleteRangeRequest { key, prev_kv: true, ..DeleteRangeRequest::default() };
                self.caller.delete(delete).await.map(drop)
            }
            6..9 => self.swap(key).await,
            _ => self.caller.get(one(key), Consistency::Linearizable).await.map(drop),
        }
    }

    fn number(&self) -> u64 {
        self.caller.id()
    }
}

/// Adds rows to the ledger. Each row is written with the tally, whose version thus counts them.
pub(super) struct Bookkeeper {
    caller: Caller,
    rows: u64,
}

impl Bookkeeper {
    pub(super) fn new(caller: Caller) -> Self {
        Self { caller, rows: 0 }
    }
}

impl Asks for Bookkeeper {
    async fn step(&mut self, dice: &mut ChaCha8Rng) -> Result<(), Error> {
        self.rows += 1;
        let key = Bytes::from(format!("{LEDGER_PREFIX}{:06}", self.rows));
        let value = Bytes::from(format!("{:.<VALUE_BYTES$}", dice.random::<u64>()));
        let success =
            vec![TxnOp::Put(put(key.clone(), value.clone())), TxnOp::Put(put(TALLY.into(), key.clone()))];
        self.caller.txn(TxnRequest { success, ..TxnRequest::default() }).await?;
        self.caller.journal().book().rows.insert(key, value);
        Ok(())
    }

    fn number(&self) -> u64 {
        self.caller.id()
    }
}

/// Adds one to the counter, unless another client was faster.
pub(super) struct Counter {
    caller: Caller,
}

impl Counter {
    pub(super) fn new(caller: Caller) -> Self {
        Self { caller }
    }
}

impl Asks for Counter {
    async fn step(&mut self, _: &mut ChaCha8Rng) -> Result<(), Error> {
        let key = Bytes::from(COUNTER);
        let found = self.caller.get(one(key.clone()), Consistency::Linearizable).await?;
        let found = found.kvs.first();
        let next = found.and_then(|kv| super::audit::number_in(&kv.value)).unwrap_or(0) + 1;
        let txn = TxnRequest {
            compare: vec![unchanged(key.clone(), found.map_or(0, |kv| kv.mod_revision))],
            success: vec![TxnOp::Put(put(key.clone(), next.to_string().into()))],
            failure: vec![TxnOp::Range(one(key))],
        };
        let answer = self.caller.txn(txn).await;
        let mut book = self.caller.journal().book();
        match answer {
            Ok(answer) if answer.succeeded => book.increments += 1,
            Err(Error::Unknown { .. }) => book.doubtful_increments += 1,
            _ => {}
        }
        Ok(())
    }

    fn number(&self) -> u64 {
        self.caller.id()
    }
}

/// Reads what the writers write, as new as it can be.
pub(super) struct Reader {
    caller: Caller,
}

impl Reader {
    pub(super) fn new(caller: Caller) -> Self {
        Self { caller }
    }
}

impl Asks for Reader {
    async fn step(&mut self, _: &mut ChaCha8Rng) -> Result<(), Error> {
        self.caller.get(all_shared(), Consistency::Linearizable).await.map(drop)
    }

    fn number(&self) -> u64 {
        self.caller.id()
    }
}

/// Reads what each node has, however old.
pub(super) struct Onlooker {
    /// One for each node, all with the same number: it asks one at a time.
    callers: Vec<Caller>,
}

impl Onlooker {
    pub(super) fn new(callers: Vec<Caller>) -> Self {
        Self { callers }
    }
}

impl Asks for Onlooker {
    async fn step(&mut self, dice: &mut ChaCha8Rng) -> Result<(), Error> {
        let caller = &self.callers[dice.random_range(0..self.callers.len())];
        caller.get(all_shared(), Consistency::Serializable).await.map(drop)
    }

    fn number(&self) -> u64 {
        self.callers.first().map_or(0, Caller::id)
    }
}
