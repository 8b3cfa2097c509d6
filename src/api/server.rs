//! A port: a node's, which serves everybody, or a gateway's, which serves clients.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::{Code, Status};

use super::connection::Connection;
use super::control::Control;
use super::executor::Executor;
use super::gateway::{Gateway, GatewayConfig};
use super::health::Checkup;
use super::kv::{KvService, MAX_MESSAGE_BYTES};
use super::maintenance::Information;
use super::seats::{Seat, Seats};
use super::session::Sessions;
use crate::node::Node;
use crate::wire::pb::control::control_service_server::ControlServiceServer;
use crate::wire::pb::etcdserverpb::{
    cluster_server::ClusterServer, kv_server::KvServer, maintenance_server::MaintenanceServer,
};
use crate::wire::pb::session::session_service_server::SessionServiceServer;

/// How long calls in progress may take to end once the node is to stop. Peers' streams never end by themselves, so
/// that this is how long an orderly stop takes while a peer is there.
const GRACE: Duration = Duration::from_millis(250);

/// How many calls one connection may have in progress: clients put all their writers on one. HTTP/2's usual hundred or
/// two would queue them at the client, out of the reach of batches.
const MAX_CALLS: u32 = 16_384;

/// How much may be under way to this node on one stream and on one connection before the sender waits: a batch of
/// entries or a piece of a snapshot should not need a round trip for every 64 KiB, HTTP/2's default.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;

/// After how long without a sign of life a client is asked for one, so that those that vanished do not add up.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How many accepted connections may wait to be served.
const ACCEPTED: usize = 64;

/// How long to wait after the system refused a connection, as when no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How often the log is told of that.
const ACCEPT_COMPLAINT: Duration = Duration::from_secs(10);

/// Why a node's port is served no longer.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve: {0}")]
pub struct ServeError(#[from] tonic::transport::Error);

/// Serves peers, clients and control on one port until `shutdown`; then calls in progress have a moment to end. When
/// the future is dropped instead, all connections break at once. It does not borrow the node, which may be stopped or
/// killed meanwhile.
pub fn serve<F>(
    node: &Node,
    listener: TcpListener,
    shutdown: F,
) -> impl Future<Output = Result<(), ServeError>> + use<F>
where
    F: Future<Output = ()>,
{
    let handle = node.handle();
    let executor = Executor::Node(handle.clone());
    let routes = with_clients(node.peer_routes(), &executor)
        .add_service(ControlServiceServer::new(Control::new(handle)));
    serve_routes(routes, executor, listener, shutdown, GRACE)
}

/// Serves clients of a gateway until `shutdown`; then calls in progress may end, for as long as any call may take.
pub async fn serve_gateway(
    config: GatewayConfig,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> Result<(), ServeError> {
    let executor = Executor::Gateway(Gateway::new(config));
    let routes = with_clients(Routes::default(), &executor);
    serve_routes(routes, executor, listener, shutdown, grace).await
}

/// Adds the services for clients.
fn with_clients(routes: Routes, executor: &Executor) -> Routes {
    let kv = KvServer::new(KvService::new(executor.clone())).max_decoding_message_size(MAX_MESSAGE_BYTES);
    routes
        .add_service(kv)
        .add_service(SessionServiceServer::new(Sessions::new(executor.clone())))
        .add_service(MaintenanceServer::new(Information::new(executor.clone())))
        .add_service(ClusterServer::new(Information::new(executor.clone())))
        .add_service(Checkup::new(executor.clone()).service())
}

async fn serve_routes(
    routes: Routes,
    executor: Executor,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    grace: Duration,
) -> Result<(), ServeError> {
    let all = Checkup::new(executor).with_http(routes.into_axum_router());
    let routes = Routes::from(all.fallback(not_served).layer(from_fn(in_our_words)));
    // Dropped at the end of this function, or with its future: that cuts all connections.
    let (switch, cut) = watch::channel(false);
    let (accepted, connections) = mpsc::channel(ACCEPTED);
    let (stop, stopped) = watch::channel(false);
    let incoming = ReceiverStream::new(connections)
        .map(move |(stream, seat)| Ok::<_, Infallible>(Connection::new(stream, seat, cut.clone())));
    let served = builder().add_routes(routes).serve_with_incoming_shutdown(incoming, turned(stopped));
    let accepting = async move {
        tokio::select! {
            () = shutdown => {}
            () = accept(listener, accepted) => {}
        }
        let _ = stop.send(true);
        tokio::time::sleep(grace).await;
    };
    let end = tokio::select! {
        end = served => end,
        () = accepting => Ok(()),
    };
    drop(switch);
    Ok(end?)
}

fn builder() -> Server {
    Server::builder()
        // For `/health` and `/version`.
        .accept_http1(true)
        .max_concurrent_streams(MAX_CALLS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_keepalive_interval(Some(KEEPALIVE))
}

/// Answers calls of services that are not there, in words: tonic's own answer has none.
async fn not_served(request: Request) -> axum::response::Response {
    let content = request.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if !content.starts_with(b"application/grpc") {
        let words = "this port serves etcd's API over gRPC, and /health and /version over HTTP\n";
        return (StatusCode::NOT_FOUND, words).into_response();
    }
    unimplemented(request.uri())
}

/// Puts into etcd's words what the library answers by itself: a method that a service lacks, of which it says nothing, and a
/// message that is too large, for which it has another code.
async fn in_our_words(request: Request, next: Next) -> axum::response::Response {
    let uri = request.uri().clone();
    let response = next.run(request).await;
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    match status.code() {
        Code::Unimplemented if status.message().is_empty() => unimplemented(&uri),
        Code::OutOfRange => match too_large(status.message()) {
            Some(status) => status.into_http(),
            None => response,
        },
        _ => response,
    }
}

/// What etcd says of a message above its limit; `None` if this is not what the library says of one.
fn too_large(message: &str) -> Option<Status> {
    let lengths = message.strip_prefix("Error, decoded message length too large: found ")?;
    let (found, limit) = lengths.strip_suffix(" bytes")?.split_once(" bytes, the limit is: ")?;
    Some(Status::resource_exhausted(format!("grpc: received message larger than max ({found} vs. {limit})")))
}

fn unimplemented(uri: &Uri) -> axum::response::Response {
    Status::unimplemented(format!(
        "{} is not served: of etcd's API there are KV, Maintenance (Status, Alarm) and Cluster (MemberList)",
        uri.path()
    ))
    .into_http()
}

async fn turned(mut switch: watch::Receiver<bool>) {
    let _ = switch.wait_for(|on| *on).await;
}

/// Accepts connections until nobody takes them any more.
async fn accept(listener: TcpListener, accepted: mpsc::Sender<(TcpStream, Seat)>) {
    let (seats, mut told) = (Seats::of_this_process(), None);
    loop {
        match listener.accept().await.and_then(|(stream, _)| prepare(stream)) {
            Ok(stream) => {
                let seat = seats.take().await;
                if accepted.send((stream, seat)).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                if told.is_none_or(|told: Instant| told.elapsed() >= ACCEPT_COMPLAINT) {
                    tracing::warn!(%error, "cannot accept connections");
                    told = Some(Instant::now());
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Answers are small and wanted at once: they must not wait to be sent together with the next.
fn prepare(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}
