//! etcd's `Maintenance` and `Cluster` services, as far as they make sense here.

use tonic::{Request, Response, Status};

use super::executor::Executor;
use crate::wire::pb::etcdserverpb::{self as pb, cluster_server::Cluster, maintenance_server::Maintenance};

/// The version of etcd whose API is served.
pub(super) const API_VERSION: &str = "3.4.0";

/// The API that is served, and by what: a version that etcd's tools can parse, with the build metadata of semantic
/// versions for the truth.
pub(super) const VERSION: &str = concat!("3.4.0+consensusctl.", env!("CARGO_PKG_VERSION"));

/// Says how whoever serves is and who belongs to its cluster.
#[derive(Clone)]
pub(super) struct Information {
    executor: Executor,
}

impl Information {
    /// Serves for `executor`.
    pub(super) fn new(executor: Executor) -> Self {
        Self { executor }
    }
}

#[tonic::async_trait]
impl Maintenance for Information {
    async fn alarm(&self, request: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        // There is never one to list or to disarm.
        if request.into_inner().action() == pb::alarm_request::AlarmAction::Activate {
            return Err(Status::unimplemented(
                "alarms cannot be raised: a full disk shows in the status, and ends by itself",
            ));
        }
        let header = self.executor.header().await?;
        Ok(Response::new(pb::AlarmResponse { header: Some(header), alarms: Vec::new() }))
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        self.executor.status().await.map(Response::new)
    }
}

#[tonic::async_trait]
impl Cluster for Information {
    async fn member_list(
        &self,
        request: Request<pb::MemberListRequest>,
    ) -> Result<Response<pb::MemberListResponse>, Status> {
        self.executor.members(request.local_addr()).await.map(Response::new)
    }
}
