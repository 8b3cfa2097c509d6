//! `SessionService`.

use tonic::{Request, Response, Status};

use super::errors::{refused, unanswered};
use crate::kv::{self, Command, Op};
use crate::node::Handle;
use crate::wire::pb::session::{OpenRequest, OpenResponse, session_service_server::SessionService};

/// Opens sessions through one node.
#[derive(Clone)]
pub(super) struct Sessions {
    node: Handle,
}

impl Sessions {
    /// Serves for `node`.
    pub(super) fn new(node: Handle) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl SessionService for Sessions {
    async fn open(&self, _: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        let command = Command { session: None, op: Op::OpenSession };
        let answer = self.node.execute(&command).await.map_err(unanswered)?;
        match answer.reply.map_err(refused)? {
            kv::Response::OpenSession(opened) => Ok(Response::new(OpenResponse { session: opened.session })),
            other => unreachable!("the store answers the opening of a session with one, not {other:?}"),
        }
    }
}
