//! [`AnyNode`]: a client that believes whichever node answers it, over etcd's API.

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
use super::store::{Consistency, Options};
use crate::consensus::NodeId;
use crate::kv::{
    Command, CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, KvError, Op,
    OpenSessionResponse, PutRequest, PutResponse, RangeRequest, RangeResponse, Reply, Response, SessionTag,
    TxnRequest, TxnResponse,
};
use crate::wire::pb::etcdserverpb::{self as pb, kv_client::KvClient, maintenance_client::MaintenanceClient};
use crate::wire::pb::session::{OpenRequest, session_service_client::SessionServiceClient};
use crate::wire::set_session;

/// The largest answer that is taken: a range of a whole store can be large, but not without bound.
const MAX_ANSWER_BYTES: usize = 256 << 20;

/// How long is looked for the leader. It is a matter of speed alone, so it must not take long.
const LEADER_SEARCH: Duration = Duration::from_millis(300);

/// The way to nodes of which each can serve everything.
#[derive(Debug)]
pub(super) struct AnyNode {
    nodes: Nodes,
    options: Options,
    session: Mutex<Option<Session>>,
}

impl AnyNode {
    /// The way to the nodes at these addresses (`host:port`). Nothing is sent yet.
    ///
    /// # Errors
    /// For an address that makes no sense, or for none at all.
    pub(super) fn new<S: AsRef<str>>(endpoints: &[S], options: Options) -> Result<Self, Error> {
        let endpoints =
            endpoints.iter().map(|address| Endpoint::new(address.as_ref())).collect::<Result<Vec<_>, _>>()?;
        if endpoints.is_empty() {
            return Err(Error::Unreachable { message: "no endpoint was given".to_owned() });
        }
        Ok(Self { nodes: Nodes::new(endpoints), options, session: Mutex::new(None) })
    }

    /// Asks all nodes at once which of them leads, for a short time: any node serves, so that nothing is lost when it
    /// is over.
    pub(super) async fn look_for_leader(&self) {
        if self.nodes.endpoints().len() > 1 {
            let _ = timeout(LEADER_SEARCH, self.find_leader()).await;
        }
    }

    /// Has a command carried out, and answers what the store says, which may be no. One that brings a session keeps it.
    pub(super) async fn execute(&self, command: Command) -> Result<Reply, Error> {
        let Command { session: tag, op } = command;
        let answer = match op {
            Op::Range(range) => self.get(range, Consistency::Linearizable).await.map(Response::Range),
            Op::Put(put) => self.put(put, tag).await.map(Response::Put),
            Op::DeleteRange(delete) => self.delete(delete, tag).await.map(Response::DeleteRange),
            Op::Txn(txn) => self.txn(txn, tag).await.map(Response::Txn),
            Op::Compact(compaction) => self.compact(compaction, tag).await.map(Response::Compact),
            Op::OpenSession => self.open_session(self.limits()).await.map(|session| {
                // Nodes do not say as of which revision, and nobody asks.
                Response::OpenSession(OpenSessionResponse { revision: 0, session })
            }),
        };
        match answer {
            Ok(response) => Ok(Ok(response)),
            Err(Error::Refused { message, endpoint }) => match KvError::from_text(&message) {
                Some(error) => Ok(Err(error)),
                None => Err(Error::Refused { message, endpoint }),
            },
            Err(error) => Err(error),
        }
    }

    /// Reads a key or a range of keys.
    pub(super) async fn get(
        &self,
        range: RangeRequest,
        consistency: Consistency,
    ) -> Result<RangeResponse, Error> {
        let serializable = consistency == Consistency::Serializable;
        let request = pb::RangeRequest { serializable, ..range.into() };
        let send = |channel| {
            let request = request.clone();
            async move { kv(channel).range(request).await }
        };
        self.nodes.call(Repeat::Always, self.limits(), send).await.map(Into::into)
    }

    /// Writes one key.
    pub(super) async fn put(&self, put: PutRequest, tag: Option<SessionTag>) -> Result<PutResponse, Error> {
        let request = pb::PutRequest::from(put);
        self.write(tag, request, |mut kv, request| async move { kv.put(request).await }).await.map(Into::into)
    }

    /// Deletes a key or a range of keys.
    pub(super) async fn delete(
        &self,
        delete: DeleteRangeRequest,
        tag: Option<SessionTag>,
    ) -> Result<DeleteRangeResponse, Error> {
        let request = pb::DeleteRangeRequest::from(delete);
        self.write(tag, request, |mut kv, request| async move { kv.delete_range(request).await })
            .await
            .map(Into::into)
    }

    /// Compares, then does one of two lists of operations as one.
    pub(super) async fn txn(&self, txn: TxnRequest, tag: Option<SessionTag>) -> Result<TxnResponse, Error> {
        let read_only = txn.is_read_only();
        let request = pb::TxnRequest::from(txn);
        let answer = if read_only {
            let send = |channel| {
                let request = request.clone();
                async move { kv(channel).txn(request).await }
            };
            self.nodes.call(Repeat::Always, self.limits(), send).await?
        } else {
            self.write(tag, request, |mut kv, request| async move { kv.txn(request).await }).await?
        };
        // The transaction was executed; an answer that cannot be read leaves open what it did.
        TxnResponse::try_from(answer).map_err(|error| Error::Unknown { message: error.to_string() })
    }

    /// Forgets what was superseded before a revision.
    pub(super) async fn compact(
        &self,
        compaction: CompactionRequest,
        tag: Option<SessionTag>,
    ) -> Result<CompactionResponse, Error> {
        let request = pb::CompactionRequest::from(compaction);
        self.write(tag, request, |mut kv, request| async move { kv.compact(request).await })
            .await
            .map(Into::into)
    }

    #[cfg(test)]
    pub(super) fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    fn limits(&self) -> Limits {
        let Options { timeout, attempt_timeout, .. } = self.options;
        Limits { deadline: Instant::now() + timeout.min(LIMIT), attempt: attempt_timeout.min(LIMIT) }
    }

    /// Carries out a write: as a session's command that is repeated until it is answered, or without a session. Whoever
    /// brings a `tag` has a session already.
    async fn write<R, T, F>(
        &self,
        tag: Option<SessionTag>,
        request: R,
        send: impl Fn(KvClient<Channel>, Request<R>) -> F,
    ) -> Result<T, Error>
    where
        R: Clone,
        F: Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    {
        let limits = self.limits();
        let tagged = |tag, channel| {
            let mut request = Request::new(request.clone());
            set_session(request.metadata_mut(), tag);
            send(kv(channel), request)
        };
        if let Some(tag) = tag {
            return self.nodes.call(Repeat::Always, limits, |channel| tagged(tag, channel)).await;
        }
        if !self.options.sessions {
            let send = |channel| send(kv(channel), Request::new(request.clone()));
            return self.nodes.call(Repeat::UnlessExecuted, limits, send).await;
        }
        loop {
            let session = self.session(limits).await?;
            let ticket = ticket(&session, limits).await?;
            match self.nodes.call(Repeat::Always, limits, |channel| tagged(ticket.tag(), channel)).await {
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
        let mut slot = timeout_at(limits.deadline, self.session.lock()).await.map_err(|_| no_session())?;
        if let Some(session) = &*slot {
            return Ok(session.clone());
        }
        let opened = match self.open_session(limits).await {
            // The write itself was not sent yet, so nothing about it is unclear.
            Err(Error::Unknown { message }) => {
                return Err(Error::Unreachable { message: format!("while opening a session: {message}") });
            }
            opened => opened?,
        };
        Ok(slot.insert(Session::new(opened)).clone())
    }

    async fn open_session(&self, limits: Limits) -> Result<u64, Error> {
        let open = |channel| async move { SessionServiceClient::new(channel).open(OpenRequest {}).await };
        self.nodes.call(Repeat::Always, limits, open).await.map(|opened| opened.session)
    }

    async fn forget(&self, expired: &Session) {
        let mut slot = self.session.lock().await;
        if slot.as_ref().is_some_and(|session| session.id() == expired.id()) {
            *slot = None;
        }
    }

    /// Asks all nodes at once who they are and who leads, until one says that it does.
    async fn find_leader(&self) {
        let mut asked = JoinSet::new();
        for (index, endpoint) in self.nodes.endpoints().iter().enumerate() {
            let mut client = MaintenanceClient::new(endpoint.channel());
            asked.spawn(async move { (index, client.status(pb::StatusRequest {}).await) });
        }
        let mut answered = None;
        while let Some(next) = asked.join_next().await {
            let Ok((index, Ok(status))) = next else { continue };
            let status = status.into_inner();
            let id = status.header.map_or(0, |header| header.member_id);
            self.nodes.learn(index, NodeId(id));
            if id == status.leader {
                return self.nodes.prefer(index);
            }
            if answered.is_none() {
                answered = Some(index);
                self.nodes.prefer(index);
            }
        }
    }
}

fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES)
}

async fn ticket(session: &Session, limits: Limits) -> Result<Ticket, Error> {
    timeout_at(limits.deadline, session.ticket()).await.map_err(|_| Error::Refused {
        message: "too many requests of this client wait for an answer already".to_owned(),
        endpoint: "client".to_owned(),
    })
}

fn no_session() -> Error {
    Error::Unreachable { message: "no session could be opened in time".to_owned() }
}
