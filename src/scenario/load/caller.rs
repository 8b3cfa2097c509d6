//! One client whose calls are written down.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use super::{Address, Journal};
use crate::check::{self, Call};
use crate::client::{Client, Consistency, Error, Options};
use crate::cluster::Door;
use crate::kv::{
    DeleteRangeRequest, DeleteRangeResponse, Op, PutRequest, PutResponse, RangeRequest, RangeResponse,
    Response, TxnRequest, TxnResponse,
};

/// Long enough that a call outlives a fault and the election after it: few outcomes stay unknown.
const PATIENT: Options =
    Options { timeout: Duration::from_secs(20), attempt_timeout: Duration::from_millis(500), sessions: true };
/// A client of one node has nobody else to ask, and is not to wait for a dead one.
const BRIEF: Options = Options {
    timeout: Duration::from_millis(500),
    attempt_timeout: Duration::from_millis(500),
    sessions: false,
};

/// How a caller asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Until it is answered, for a long time.
    Patient,
    /// Once, and for so long.
    For(Duration),
}

/// A client that makes one call at a time and writes each down.
#[derive(Clone, Debug)]
pub struct Caller {
    id: u64,
    /// Whom it asks, if only one node.
    node: Option<u64>,
    client: Client,
    journal: Arc<Journal>,
}

impl Caller {
    /// A client of the cluster, as the protocol's own clients are.
    pub async fn of_all(id: u64, door: &Door, journal: &Arc<Journal>) -> Result<Self, Error> {
        let client = door.connect(PATIENT).await?;
        Ok(Self { id, node: None, client, journal: Arc::clone(journal) })
    }

    /// A client of one node.
    pub async fn of_one(id: u64, node: &Address, journal: &Arc<Journal>) -> Result<Self, Error> {
        Self::of_one_in(id, node, journal, Manner::For(BRIEF.timeout)).await
    }

    /// A client of one node that asks in its own manner.
    pub async fn of_one_in(
        id: u64,
        node: &Address,
        journal: &Arc<Journal>,
        manner: Manner,
    ) -> Result<Self, Error> {
        let options = match manner {
            Manner::Patient => PATIENT,
            Manner::For(timeout) => Options { timeout, ..BRIEF },
        };
        let client = Client::connect(&[&node.address], options).await?;
        Ok(Self { id, node: Some(node.id), client, journal: Arc::clone(journal) })
    }

    /// A client of a gateway, patient as one of the cluster. There is nobody else to ask, and the gateway asks again by
    /// itself.
    pub async fn of_gateway(id: u64, address: &str, journal: &Arc<Journal>) -> Result<Self, Error> {
        let options = Options { attempt_timeout: PATIENT.timeout, ..PATIENT };
        let client = Client::connect(&[address], options).await?;
        Ok(Self { id, node: None, client, journal: Arc::clone(journal) })
    }

    /// Its number in the history.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What all clients share.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// Reads a key or a range.
    pub async fn get(&self, range: RangeRequest, consistency: Consistency) -> Result<RangeResponse, Error> {
        let recorded = match consistency {
            Consistency::Linearizable => check::Consistency::Linearizable,
            Consistency::Serializable => check::Consistency::Serializable,
        };
        let asked = self.client.get(range.clone(), consistency);
        self.call(Op::Range(range), recorded, asked, Response::Range).await
    }

    /// Writes a key.
    pub async fn put(&self, put: PutRequest) -> Result<PutResponse, Error> {
        let asked = self.client.put(put.clone());
        self.call(Op::Put(put), check::Consistency::Linearizable, asked, Response::Put).await
    }

    /// Deletes a key or a range.
    pub async fn delete(&self, delete: DeleteRangeRequest) -> Result<DeleteRangeResponse, Error> {
        let asked = self.client.delete(delete.clone());
        let linearizable = check::Consistency::Linearizable;
        self.call(Op::DeleteRange(delete), linearizable, asked, Response::DeleteRange).await
    }

    /// Carries out a transaction.
    pub async fn txn(&self, txn: TxnRequest) -> Result<TxnResponse, Error> {
        let asked = self.client.txn(txn.clone());
        self.call(Op::Txn(txn), check::Consistency::Linearizable, asked, Response::Txn).await
    }

    async fn call<T: Clone>(
        &self,
        op: Op,
        consistency: check::Consistency,
        asked: impl Future<Output = Result<T, Error>>,
        recorded: impl FnOnce(T) -> Response,
    ) -> Result<T, Error> {
        // The session and its numbers are the client's own business: to the history all its attempts are one call.
        let call = Call { client: self.id, session: None, op, consistency };
        let mut answer = None;
        let asked = async {
            let response = asked.await?;
            answer = Some(response.clone());
            Ok(recorded(response))
        };
        self.journal.call(call, self.node, asked).await?;
        answer.ok_or_else(|| Error::Unknown { message: "the answer was lost in this process".to_owned() })
    }
}
