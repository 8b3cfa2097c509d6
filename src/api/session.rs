//! `SessionService`.

use tonic::{Request, Response, Status};

use super::executor::Executor;
use crate::kv::{self, Command, Op};
use crate::wire::pb::session::{OpenRequest, OpenResponse, session_service_server::SessionService};

/// Opens sessions.
#[derive(Clone)]
pub(super) struct Sessions {
    executor: Executor,
}

impl Sessions {
    /// Serves for `executor`.
    pub(super) fn new(executor: Executor) -> Self {
        Self { executor }
    }
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn open(&self, _: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        let command = Command { session: None, op: Op::OpenSession };
        match self.executor.execute(command, 0).await? {
            (kv::Response::OpenSession(opened), _) => {
                Ok(Response::new(OpenResponse { session: opened.session }))
            }
            (other, _) => unreachable!("the store answers the opening of a session with one, not {other:?}"),
        }
    }
}
