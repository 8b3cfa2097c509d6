//! Whether a port serves, for load balancers and whoever restarts what does not: `/health` and `/version` over plain HTTP, as
//! etcd answers them, and gRPC's standard health service.
//!
//! A node or gateway is healthy if a linearizable read succeeds through it: it is there, there is a leader, and a quorum
//! answers.

use std::pin::Pin;
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::executor::Executor;
use super::gateway::nothing;
use super::maintenance::{API_VERSION, VERSION};

/// How long a read may take before the port counts as not healthy: less than those who ask usually wait.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether the answer to a `Watch` has changed.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Says whether a port serves.
#[derive(Clone)]
pub(super) struct Checkup {
    executor: Executor,
}

impl Checkup {
    pub(super) fn new(executor: Executor) -> Self {
        Self { executor }
    }

    /// The standard service of gRPC.
    pub(super) fn service(self) -> HealthServer<Self> {
        HealthServer::new(self)
    }

    /// Adds what is asked by plain HTTP.
    pub(super) fn with_http(self, router: Router) -> Router {
        router
            .route("/health", get(async move || self.health().await))
            .route("/version", get(async || document(StatusCode::OK, &version())))
    }

    async fn health(&self) -> Response {
        match self.ask().await {
            Ok(()) => document(StatusCode::OK, &json!({"health": "true"})),
            Err(reason) => {
                document(StatusCode::SERVICE_UNAVAILABLE, &json!({"health": "false", "reason": reason}))
            }
        }
    }

    /// Why nothing can be read, if so.
    async fn ask(&self) -> Result<(), String> {
        match tokio::time::timeout(PATIENCE, self.executor.read(nothing(), 0)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(status)) => Err(status.message().to_owned()),
            Err(_) => Err(format!("no read succeeds within {PATIENCE:?}")),
        }
    }

    async fn serving(&self) -> ServingStatus {
        if self.ask().await.is_ok() { ServingStatus::Serving } else { ServingStatus::NotServing }
    }
}

fn version() -> serde_json::Value {
    json!({"etcdserver": VERSION, "etcdcluster": API_VERSION})
}

fn document(status: StatusCode, value: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], value.to_string()).into_response()
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

/// The port is healthy as a whole, or not: no other names are known than that of the whole and that of etcd's KV.
fn check_name(request: &HealthCheckRequest) -> Result<(), Status> {
    match request.service.as_str() {
        "" | "etcdserverpb.KV" => Ok(()),
        other => Err(Status::not_found(format!(
            "nothing is known of the health of `{other}`: ask for `` or `etcdserverpb.KV`"
        ))),
    }
}

#[tonic::async_trait]
impl Health for Checkup {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<HealthCheckResponse>, Status> {
        check_name(request.get_ref())?;
        Ok(tonic::Response::new(answer(self.serving().await)))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<tonic::Response<Self::WatchStream>, Status> {
        check_name(request.get_ref())?;
        let (changes, stream) = mpsc::channel(1);
        let checkup = self.clone();
        tokio::spawn(async move {
            let mut told = None;
            loop {
                let status = checkup.serving().await;
                if told != Some(status) && changes.send(Ok(answer(status))).await.is_err() {
                    return;
                }
                told = Some(status);
                tokio::select! {
                    () = tokio::time::sleep(LOOK_AGAIN) => {}
                    () = changes.closed() => return,
                }
            }
        });
        Ok(tonic::Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}
