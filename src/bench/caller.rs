//! Who calls, and where.

use bytes::Bytes;

use super::{Api, CALL_TIMEOUT, Load, Operation};
use crate::client::{Client, Consistency, Error, NodeClient, Options};
use crate::cluster::Door;
use crate::kv::{PutRequest, RangeRequest};

/// How the library's client calls here: each call once more or less by itself is its own matter, and part of what is
/// measured. Where a node is believed it goes without a session, as etcd's clients do.
const OPTIONS: Options = Options { timeout: CALL_TIMEOUT, attempt_timeout: CALL_TIMEOUT, sessions: false };

/// A cluster as those see it who measure it.
#[derive(Clone, Debug)]
pub struct Site {
    /// The nodes that can be asked, as `host:port`.
    pub endpoints: Vec<String>,
    /// How the library's clients get in.
    pub door: Door,
}

/// One connection, or one client of the library. Clones share it.
#[derive(Clone, Debug)]
pub enum Caller {
    /// One node's etcd API.
    Node(NodeClient),
    /// The protocol's own client.
    Library(Client),
}

impl Site {
    /// So many connections as the load has, over all nodes in turn. Must be called within a tokio runtime.
    pub async fn connect(&self, load: &Load) -> Result<Vec<Caller>, Error> {
        let mut callers = Vec::new();
        for endpoint in self.endpoints.iter().cycle().take(load.connections()) {
            callers.push(match load.api {
                Api::Etcd => Caller::Node(NodeClient::new(endpoint, CALL_TIMEOUT)?),
                Api::Client => Caller::Library(self.door.connect(OPTIONS).await?),
            });
        }
        Ok(callers)
    }
}

impl Caller {
    /// Makes one call, on one of the load's keys.
    pub(super) async fn call(&self, load: &Load, key: u64, value: &Bytes) -> Result<(), Error> {
        match load.operation {
            Operation::Put => self.put(key, value).await,
            Operation::Get => self.get(key, load.consistency()).await,
        }
    }

    pub(super) async fn put(&self, key: u64, value: &Bytes) -> Result<(), Error> {
        let put = PutRequest { key: name(key), value: value.clone(), ..PutRequest::default() };
        match self {
            Self::Node(node) => node.put(put).await.map(drop),
            Self::Library(client) => client.put(put).await.map(drop),
        }
    }

    async fn get(&self, key: u64, consistency: Consistency) -> Result<(), Error> {
        let range = RangeRequest { key: name(key), ..RangeRequest::default() };
        match self {
            Self::Node(node) => node.get(range, consistency).await.map(drop),
            Self::Library(client) => client.get(range, consistency).await.map(drop),
        }
    }
}

/// Where a load keeps its keys: apart from whatever else a cluster holds.
fn name(key: u64) -> Bytes {
    format!("bench/{key:08}").into()
}
