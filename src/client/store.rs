//! A client of the cluster's store.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout, timeout_at};
use tonic::Request;
use tonic::transport::Channel;

use super::Error;
use super::attempt::{LIMIT, Limits, Nodes, Repeat};
use super::endpoint::Endpoint;
use super::session::{Session, Ticket};
use crate::consensus::NodeId;
use crate::kv::{
    CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, KvError, PutRequest,
    PutResponse, RangeRequest, RangeResponse, TxnRequest, TxnResponse,
};
use crate::wire::pb::etcdserverpb::{self as pb, kv_client::KvClient, maintenance_client::MaintenanceClient};
use crate::wire::pb::session::{OpenRequest, session_service_client::SessionServiceClient};
use crate::wire::set_session;

/// The largest answer that is taken: a range of a whole store can be large, but not without bound.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// How long [`Client::connect`] looks for the leader. It is a matter of speed alone, so it must not take long.
const LEADER_SEARCH: Duration = Duration::from_millis(300);

/// How a client behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How long a call may take in all.
    pub timeout: Duration,
    /// How long the first attempt of a call that can be repeated may take before another node is asked; after
    /// silence the next one may take twice as long.
    pub attempt_timeout: Duration,
    /// Whether writes are part of a session, which makes them safe to repeat. The first write opens it.
    pub sessions: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(5), attempt_timeout: Duration::from_secs(1), sessions: true }
    }
}

/// How new what a read sees must be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Consistency {
    /// All that was acknowledged before the read began.
    #[default]
    Linearizable,
    /// Whatever the node has that is asked, possibly old.
    Serializable,
}

/// A client of a cluster's store. Clones share the connections and the session. See the [module](super).
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    nodes: Nodes,
    options: Options,
    session: Mutex<Option<Session>>,
}

impl Client {
    /// A client of the cluster whose nodes are at these addresses (`host:port`); some of them suffice. Asks which of
    /// them leads, for a short time; that none answers shows with the first call.
    ///
    /// # Errors
    /// Only for an address that makes no sense, or for none at all.
    pub async fn connect<S: AsRef<str>>(endpoints: &[S], options: Options) -> Result<Self, Error> {
        let endpoints =
            endpoints.iter().map(|address| Endpoint::new(address.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(Error::Unreachable { message: "no endpoint was given".to_owned() });
        }
        let nodes = Nodes::new(endpoints);
        let client = Self(Arc::new(Inner { nodes, options, session: Mutex::new(None) }));
        if client.0.nodes.endpoints().len() > 1 {
            // Nothing is lost if the time is over: any node serves.
            let _ = timeout(LEADER_SEARCH, client.find_leader()).await;
        }
        Ok(client)
    }

    /// Reads a key or a range of keys.
    pub async fn get(&self, range: RangeRequest, consistency: Consistency) -> Result<RangeResponse, Error> {
        let serializable = consistency == Consistency::Serializable;
        let request = pb::RangeRequest { serializable, ..range.into() };
        let send = |channel| {
            let request = request.clone();
            async move { kv(channel).range(request).await }
        };
        self.0.nodes.call(Repeat::Always, self.limits(), send).await.map(Into::into)
    }

    /// Writes one key.
    pub async fn put(&self, put: PutRequest) -> Result<PutResponse, Error> {
        let request = pb::PutRequest::from(put);
        self.write(request, |mut kv, request| async move { kv.put(request).await }).await.map(Into::into)
    }

    /// Deletes a key or a range of keys.
    pub async fn delete(&self, delete: DeleteRangeRequest) -> Result<DeleteRangeResponse, Error> {
        let request = pb::DeleteRangeRequest::from(delete);
        self.write(request, |mut kv, request| async move { kv.delete_range(request).await })
            .await
            .map(Into::into)
    }

    /// Compares, then does one of two lists of operations as one.
    pub async fn txn(&self, txn: TxnRequest) -> Result<TxnResponse, Error> {
        let read_only = txn.is_read_only();
        let request = pb::TxnRequest::from(txn);
        let answer = if read_only {
            let send = |channel| {
                let request = request.clone();
                async move { kv(channel).txn(request).await }
            };
            self.0.nodes.call(Repeat::Always, self.limits(), send).await?
        } else {
            self.write(request, |mut kv, request| async move { kv.txn(request).await }).await?
        };
        // The transaction was executed; an answer that cannot be read leaves open what it did.
        TxnResponse::try_from(answer).map_err(|error| Error::Unknown { message: error.to_string() })
    }

    /// Forgets what was superseded before a revision.
    pub async fn compact(&self, compaction: CompactionRequest) -> Result<CompactionResponse, Error> {
        let request = pb::CompactionRequest::from(compaction);
        self.write(request, |mut kv, request| async move { kv.compact(request).await }).await.map(Into::into)
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> &Nodes {
        &self.0.nodes
    }

    fn limits(&self) -> Limits {
        let Options { timeout, attempt_timeout, .. } = self.0.options;
        Limits { deadline: Instant::now() + timeout.min(LIMIT), attempt: attempt_timeout.min(LIMIT) }
    }

    /// Carries out a write: as a session's command that is repeated until it is answered, or without a session.
    async fn write<R, T, F>(
        &self,
        request: R,
        send: impl Fn(KvClient<Channel>, Request<R>) -> F,
    ) -> Result<T, Error>
    where
        R: Clone,
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let limits = self.limits();
        if !self.0.options.sessions {
            let send = |channel| send(kv(channel), Request::new(request.clone()));
            return self.0.nodes.call(Repeat::UnlessExecuted, limits, send).await;
        }
        loop {
            let session = self.session(limits).await?;
            let ticket = ticket(&session, limits).await?;
            let send = |channel| {
                let mut request = Request::new(request.clone());
                set_session(request.metadata_mut(), ticket.tag());
                send(kv(channel), request)
            };
            match self.0.nodes.call(Repeat::Always, limits, send).await {
                // Certain to have had no effect, since an unclear attempt before would have made it `Unknown`.
                Err(Error::Refused { message, .. }) if message == KvError::SessionExpired.to_string() => {
                    self.forget(&session).await;
                }
                answer => return answer,
            }
        }
    }

    /// The session, opened now if there is none. Opening is safe to repeat: a session too many expires by itself.
    async fn session(&self, limits: Limits) -> Result<Session, Error> {
        let mut slot = timeout_at(limits.deadline, self.0.session.lock()).await.map_err(|_| no_session())?;
        if let Some(session) = &*slot {
            return Ok(session.clone());
        }
        let open = |channel| async move { SessionServiceClient::new(channel).open(OpenRequest {}).await };
        let opened = match self.0.nodes.call(Repeat::Always, limits, open).await {
            // The write itself was not sent yet, so nothing about it is unclear.
            Err(Error::Unknown { message }) => {
                return Err(Error::Unreachable { message: format!("while opening a session: {message}") });
            }
            opened => opened?,
        };
        Ok(slot.insert(Session::new(opened.session)).clone())
    }

    async fn forget(&self, expired: &Session) {
        let mut slot = self.0.session.lock().await;
        if slot.as_ref().is_some_and(|session| session.id() == expired.id()) {
            *slot = None;
        }
    }

    /// Asks all nodes at once who they are and who leads, until one says that it does.
    async fn find_leader(&self) {
        let mut asked = JoinSet::new();
        for (index, endpoint) in self.0.nodes.endpoints().iter().enumerate() {
            let mut client = MaintenanceClient::new(endpoint.channel());
            asked.spawn(async move { (index, client.status(pb::StatusRequest {}).await) });
        }
        let mut answered = None;
        while let Some(next) = asked.join_next().await {
            let Ok((index, Ok(status))) = next else { continue };
            let status = status.into_inner();
            let id = status.header.map_or(0, |header| header.member_id);
            self.0.nodes.learn(index, NodeId(id));
            if id == status.leader {
                return self.0.nodes.prefer(index);
            }
            if answered.is_none() {
                answered = Some(index);
                self.0.nodes.prefer(index);
            }
        }
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES)
}

async fn ticket(session: &Session, limits: Limits) -> Result<Ticket, Error> {
    timeout_at(limits.deadline, session.ticket()).await.map_err(|_| Error::Refused {
        message: "too many writes of this client wait for an answer already".to_owned(),
        endpoint: "client".to_owned(),
    })
}

fn no_session() -> Error {
    Error::Unreachable { message: "no session could be opened in time".to_owned() }
}
