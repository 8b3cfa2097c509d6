//! [`NodeClient`]: one node over etcd's API, asked once.

use std::time::Duration;

use super::Error;
use super::attempt::{Fate, fate_of};
use super::endpoint::{Endpoint, words_of};
use super::store::Consistency;
use crate::kv::{PutRequest, PutResponse, RangeRequest, RangeResponse};
use crate::wire::pb::etcdserverpb::{self as pb, kv_client::KvClient};

/// A client of one node that neither repeats anything nor asks anybody else, so that what a call costs and how it fails
/// is what the node did: for measurements. Clones share the connection, which comes about with the first call.
#[derive(Clone, Debug)]
pub struct NodeClient {
    endpoint: Endpoint,
    timeout: Duration,
}

impl NodeClient {
    /// A client of the node at `host:port`, each of whose calls may take so long. Nothing is sent yet; must be called
    /// within a runtime.
    ///
    /// # Errors
    /// For an address that makes no sense.
    pub fn new(address: &str, timeout: Duration) -> Result<Self, Error> {
        Ok(Self { endpoint: Endpoint::new(address)?, timeout })
    }

    /// Writes one key.
    pub async fn put(&self, put: PutRequest) -> Result<PutResponse, Error> {
        let mut kv = KvClient::new(self.endpoint.channel());
        self.once(kv.put(pb::PutRequest::from(put))).await.map(Into::into)
    }

    /// Reads a key or a range of keys.
    pub async fn get(&self, range: RangeRequest, consistency: Consistency) -> Result<RangeResponse, Error> {
        let serializable = consistency == Consistency::Serializable;
        let mut kv = KvClient::new(self.endpoint.channel());
        let request = pb::RangeRequest { serializable, ..range.into() };
        self.once(kv.range(request)).await.map(Into::into)
    }

    async fn once<T>(
        &self,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, Error> {
        let endpoint = self.endpoint.name();
        let Ok(answer) = tokio::time::timeout(self.timeout, call).await else {
            return Err(Error::Unknown { message: format!("{endpoint}: no answer in time") });
        };
        answer.map(tonic::Response::into_inner).map_err(|status| {
            let words = words_of(&status);
            match fate_of(&status) {
                Fate::Final | Fate::NoEffect => {
                    Error::Refused { message: words, endpoint: endpoint.to_owned() }
                }
                Fate::NotReached => Error::Unreachable { message: format!("{endpoint}: {words}") },
                Fate::Unclear => Error::Unknown { message: format!("{endpoint}: {words}") },
            }
        })
    }
}
