//! The service that peers call.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::task::AbortHandle;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Code, Request, Response, Status, Streaming};

use crate::consensus::NodeId;

use super::codec::LaneCodec;
use super::doubles;
use super::endpoint::MAX_MESSAGE_BYTES;
use super::identity::{self, claimed, refusal};
use super::links::Shared;
use super::peer::{Leaving, Peer};
use super::wire::{Lane, Wire};

/// The receiving end of a replica's links: takes the streams that peers open. Cheap to clone.
pub struct PeerServer<P: Wire> {
    shared: Arc<Shared<P>>,
    readers: Arc<Mutex<Readers>>,
}

/// The tasks that read the streams that peers have open, by peer and lane.
type Readers = BTreeMap<(NodeId, usize), AbortHandle>;

impl<P: Wire> Clone for PeerServer<P> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), readers: Arc::clone(&self.readers) }
    }
}

impl<P: Wire> PeerServer<P> {
    pub(super) fn new(shared: Arc<Shared<P>>) -> Self {
        Self { shared, readers: Arc::default() }
    }

    /// Takes a stream: a task reads what arrives, and what leaves is returned. A newer stream ends the older.
    async fn accept(
        self,
        lane: usize,
        request: Request<Streaming<P::Message>>,
    ) -> Result<Response<Leaving<P::Message>>, Status> {
        self.shared.life.passed().await;
        let peer = match self.caller(lane, &request)? {
            Caller::Peer(peer) => peer,
            Caller::Client(id) => return self.accept_client(id, lane, request),
        };
        let mut readers = self.readers.lock().expect("nothing panics while it holds the readers");
        if self.shared.life.is_stopped() {
            return Err(Status::unavailable("the replica has stopped"));
        }
        let (leaving, hold) = peer.open(Lane::Response(lane));
        let reader = Arc::clone(&peer);
        let task = tokio::spawn(async move {
            let why = reader.intake.take_in(request.into_inner(), Lane::Request(lane)).await;
            tracing::debug!(peer = %reader.passage().peer, rpc = P::LANES[lane], reason = why.message(), "stream ended");
            hold.end(why);
        });
        let older = readers.insert((peer.passage().peer, lane), task.abort_handle());
        if let Some(older) = older {
            older.abort();
        }
        peer.hint.notify_one();
        Ok(Response::new(leaving))
    }

    fn accept_client(
        &self,
        client: NodeId,
        lane: usize,
        request: Request<Streaming<P::Message>>,
    ) -> Result<Response<Leaving<P::Message>>, Status> {
        // Behind the lock that `close` takes: no stream is opened behind its back.
        let _readers = self.readers.lock().expect("nothing panics while it holds the readers");
        if self.shared.life.is_stopped() {
            return Err(Status::unavailable("the replica has stopped"));
        }
        Ok(Response::new(self.shared.clients.accept(client, lane, request.into_inner())))
    }

    /// Who opened a stream of a lane.
    fn caller(&self, lane: usize, request: &Request<Streaming<P::Message>>) -> Result<Caller<P>, Status> {
        let shared = &self.shared;
        let me = shared.identity.me;
        let identified = shared.identity.identify(request.metadata());
        if let Err(status) = &identified
            && status.code() == Code::FailedPrecondition
        {
            self.complain(request, status.message());
        }
        let caller = identified.and_then(|identity::Caller { id, instance, process }| {
            if let Some(peer) = shared.peers.get(&id) {
                let instance = doubles::Instance { number: instance, process, host: host_of(request) };
                if let Some(double) = shared.doubles.opened(id, instance, Instant::now()) {
                    tracing::warn!(peer = %id, "{double}");
                }
                return Ok(Caller::Peer(Arc::clone(peer)));
            }
            if !shared.clients.knows(id) {
                return Err(refusal(if shared.clients.is_empty() {
                    format!("replica {id} is not a peer of replica {me}")
                } else {
                    format!("{id} is neither a peer of replica {me} nor a client with a key")
                }));
            }
            if !P::CLIENT_LANES.contains(&lane) {
                return Err(refusal(format!("{id} is a client, and {} is for replicas", P::LANES[lane])));
            }
            Ok(Caller::Client(id))
        });
        caller.inspect_err(|status| {
            self.shared.counters.refused();
            tracing::debug!(from = ?request.remote_addr(), reason = status.message(), "refused a stream");
        })
    }

    /// Keeps in mind, and tells the log, that someone is refused who takes this for a replica of his own cluster.
    fn complain<T>(&self, request: &Request<T>, why: &str) {
        let host = host_of(request);
        let caller = match claimed(request.metadata()) {
            Some(id) => format!("{host}, which calls itself node {id}"),
            None => host,
        };
        if self.shared.refusals.refused(caller.clone(), why) {
            tracing::warn!(from = caller, reason = why, "refused a link");
        }
    }

    /// Ends all streams and takes no more.
    pub(super) fn close(&self) {
        let mut readers = self.readers.lock().expect("nothing panics while it holds the readers");
        self.shared.life.stop();
        self.shared.clients.close();
        for reader in std::mem::take(&mut *readers).into_values() {
            reader.abort();
        }
    }
}

/// Where a request came from.
fn host_of<T>(request: &Request<T>) -> String {
    request.remote_addr().map_or_else(|| "an unknown address".to_owned(), |it| it.ip().to_string())
}

/// Who opened a stream.
enum Caller<P: Wire> {
    Peer(Arc<Peer<P>>),
    Client(NodeId),
}

/// [`PeerServer`] as the gRPC service of its protocol.
pub(super) struct PeerService<P: Wire>(PeerServer<P>);

impl<P: Wire> PeerService<P> {
    pub(super) fn new(server: PeerServer<P>) -> Self {
        Self(server)
    }
}

impl<P: Wire> Clone for PeerService<P> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<P: Wire> NamedService for PeerService<P> {
    const NAME: &'static str = P::SERVICE;
}

impl<P: Wire> Service<http::Request<Body>> for PeerService<P> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let rpc = request.uri().path().rsplit('/').next().unwrap_or_default();
        let Some(number) = P::LANES.iter().position(|lane| *lane == rpc) else {
            let status = Status::unimplemented(format!("{} has no RPC {rpc:?}", P::SERVICE));
            return Box::pin(async move { Ok(status.into_http()) });
        };
        let server = self.0.clone();
        let codec = LaneCodec::<P>::new(Lane::Request(number), Arc::clone(&server.shared.counters));
        Box::pin(async move {
            let mut grpc = Grpc::new(codec).max_decoding_message_size(MAX_MESSAGE_BYTES);
            Ok(grpc.streaming(Rpc { server, number }, request).await)
        })
    }
}

/// One call of one RPC.
struct Rpc<P: Wire> {
    server: PeerServer<P>,
    number: usize,
}

impl<P: Wire> StreamingService<P::Message> for Rpc<P> {
    type Response = P::Message;
    type ResponseStream = Leaving<P::Message>;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<P::Message>>) -> Self::Future {
        Box::pin(self.server.clone().accept(self.number, request))
    }
}
