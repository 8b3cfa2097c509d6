//! `SessionService`.

use tonic::{Request, Response, Status};

use super::deadline::Deadline;
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
    async fn open(&self, request: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        let command = Command { session: None, op: Op::OpenSession };
        let answer = self.executor.execute(command, 0);
        match Deadline::of(request.metadata()).keep(&self.executor, true, answer).await? {
            (kv::Response::OpenSession(opened), _) => {
                Ok(Response::new(OpenResponse { session: opened.session }))
            }
            (other, _) => unreachable!("the store answers the opening of a session with one, not {other:?}"),
        }
    }
}
