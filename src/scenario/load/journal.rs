//! What the clients saw: the history for the checker, and a few sums that are checked without it.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::check::{Call, Header, History, Outcome, Recorder};
use crate::client::Error;
use crate::kv::Response;

/// Shared by all clients of a stage.
#[derive(Debug)]
pub struct Journal {
    recorder: Recorder,
    began: Instant,
    book: Mutex<Book>,
    acknowledged: watch::Sender<u64>,
}

/// What clients know to be true without a checker.
#[derive(Clone, Debug, Default)]
pub struct Book {
    /// Rows of the ledger whose writes were acknowledged.
    pub rows: BTreeMap<Bytes, Bytes>,
    /// Increments of the counter that were acknowledged.
    pub increments: i64,
    /// Increments of the counter whose outcome is unknown.
    pub doubtful_increments: i64,
    /// Why the last call that failed did.
    pub trouble: Option<String>,
}

impl Journal {
    /// Starts a history. Its time begins now.
    pub fn new(header: Header) -> Self {
        Self {
            recorder: Recorder::new(header),
            began: Instant::now(),
            book: Mutex::default(),
            acknowledged: watch::channel(0).0,
        }
    }

    fn now(&self) -> u64 {
        self.began.elapsed().as_micros() as u64
    }

    /// Makes a call and writes down how it went. `node` is who is asked, if only one is.
    pub async fn call(
        &self,
        call: Call,
        node: Option<u64>,
        asked: impl Future<Output = Result<Response, Error>>,
    ) -> Result<Response, Error> {
        let writes = !call.op.is_read_only();
        let ticket = self.recorder.invoke(self.now(), call);
        let answer = asked.await;
        let outcome = match &answer {
            Ok(response) => Outcome::Ok(response.clone()),
            Err(Error::Unknown { message }) => Outcome::Unknown(message.clone()),
            Err(error) => Outcome::Refused(error.to_string()),
        };
        self.recorder.complete(self.now(), ticket, node, outcome);
        match &answer {
            Ok(_) if writes => self.acknowledged.send_modify(|count| *count += 1),
            Ok(_) => {}
            Err(error) => self.book().trouble = Some(error.to_string()),
        }
        answer
    }

    /// Something happened to the cluster.
    pub fn fact(&self, what: &str) {
        self.recorder.fact(self.now(), what);
    }

    /// The sums, to be read or added to.
    pub fn book(&self) -> MutexGuard<'_, Book> {
        // A panic elsewhere leaves plain sums as good as they were.
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many writes were acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        *self.acknowledged.borrow()
    }

    /// Waits until so many writes were acknowledged in all.
    pub async fn until_acknowledged(&self, total: u64) {
        // The sender is ours, so that it cannot be gone.
        let _ = self.acknowledged.subscribe().wait_for(|count| *count >= total).await;
    }

    /// Ends the history.
    pub fn finish(self) -> History {
        self.recorder.finish()
    }
}
