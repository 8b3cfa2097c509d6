//! The client against servers that misbehave by a script.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Code, Request, Response, Status};

use super::*;
use crate::consensus::NodeId;
use crate::kv::{KvError, PutRequest, SessionTag};
use crate::wire::pb::etcdserverpb::{
    self as pb, kv_server::Kv, kv_server::KvServer, maintenance_server::Maintenance,
    maintenance_server::MaintenanceServer,
};
use crate::wire::pb::session::{
    OpenRequest, OpenResponse, session_service_server::SessionService,
    session_service_server::SessionServiceServer,
};
use crate::wire::{Outcome, session_of, set_leader, set_outcome};

/// What a double does with the next put; without a script it answers.
enum Step {
    Fail(Status),
    Hang,
}

/// A node that answers by a script and remembers what it saw.
#[derive(Clone)]
struct Double {
    id: u64,
    leader: u64,
    script: Arc<Mutex<VecDeque<Step>>>,
    seen: Arc<Mutex<Vec<Option<SessionTag>>>>,
    opened: Arc<Mutex<u64>>,
}

impl Double {
    /// Starts one on a free port.
    async fn start(id: u64, leader: u64, script: impl IntoIterator<Item = Step>) -> (Self, String) {
        let double = Self {
            id,
            leader,
            script: Arc::new(Mutex::new(script.into_iter().collect())),
            seen: Arc::default(),
            opened: Arc::default(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = Server::builder()
            .add_service(KvServer::new(double.clone()))
            .add_service(MaintenanceServer::new(double.clone()))
            .add_service(SessionServiceServer::new(double.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(server);
        (double, address)
    }

    fn seen(&self) -> Vec<Option<SessionTag>> {
        self.seen.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl Kv for Double {
    async fn put(&self, request: Request<pb::PutRequest>) -> Result<Response<pb::PutResponse>, Status> {
        self.seen.lock().unwrap().push(session_of(request.metadata()).unwrap());
        let step = self.script.lock().unwrap().pop_front();
        match step {
            None => {
                let header = pb::ResponseHeader { revision: self.id as i64, ..Default::default() };
                Ok(Response::new(pb::PutResponse { header: Some(header), prev_kv: None }))
            }
            Some(Step::Fail(status)) => Err(status),
            Some(Step::Hang) => std::future::pending().await,
        }
    }

    async fn range(&self, _: Request<pb::RangeRequest>) -> Result<Response<pb::RangeResponse>, Status> {
        Err(Status::unimplemented("not in this double"))
    }

    async fn delete_range(
        &self,
        _: Request<pb::DeleteRangeRequest>,
    ) -> Result<Response<pb::DeleteRangeResponse>, Status> {
        Err(Status::unimplemented("not in this double"))
    }

    async fn txn(&self, _: Request<pb::TxnRequest>) -> Result<Response<pb::TxnResponse>, Status> {
        Err(Status::unimplemented("not in this double"))
    }

    async fn compact(
        &self,
        _: Request<pb::CompactionRequest>,
    ) -> Result<Response<pb::CompactionResponse>, Status> {
        Err(Status::unimplemented("not in this double"))
    }
}

#[tonic::async_trait]
impl Maintenance for Double {
    async fn alarm(&self, _: Request<pb::AlarmRequest>) -> Result<Response<pb::AlarmResponse>, Status> {
        Err(Status::unimplemented("not in this double"))
    }

    async fn status(&self, _: Request<pb::StatusRequest>) -> Result<Response<pb::StatusResponse>, Status> {
        let header = pb::ResponseHeader { member_id: self.id, ..Default::default() };
        let status = pb::StatusResponse { header: Some(header), leader: self.leader, ..Default::default() };
        Ok(Response::new(status))
    }
}

#[tonic::async_trait]
impl SessionService for Double {
    async fn open(&self, _: Request<OpenRequest>) -> Result<Response<OpenResponse>, Status> {
        let mut opened = self.opened.lock().unwrap();
        *opened += 1;
        Ok(Response::new(OpenResponse { session: self.id * 100 + *opened }))
    }
}

fn status(code: Code, text: &str, outcome: Outcome) -> Status {
    let mut status = Status::new(code, text);
    set_outcome(&mut status, outcome);
    status
}

fn no_leader() -> Step {
    Step::Fail(status(Code::Unavailable, "etcdserver: no leader", Outcome::NeverExecuted))
}

fn timed_out() -> Step {
    Step::Fail(status(Code::Unavailable, "etcdserver: request timed out", Outcome::Unknown))
}

/// An address where nobody listens: its port was free a moment ago.
async fn nobody() -> String {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string()
}

fn a_put() -> PutRequest {
    PutRequest { key: Bytes::from_static(b"k"), ..Default::default() }
}

fn without_sessions() -> Options {
    Options { sessions: false, ..Options::default() }
}

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn the_leader_is_asked_first() {
    let (follower, first) = Double::start(1, 2, []).await;
    let (leader, second) = Double::start(2, 2, []).await;
    let client = Client::connect(&[first, second], without_sessions()).await.unwrap();
    assert_eq!(client.put(a_put()).await.unwrap().revision, 2);
    assert_eq!((follower.seen().len(), leader.seen().len()), (0, 1));
}

#[tokio::test]
async fn a_node_that_is_not_there_or_has_no_leader_is_passed_over() {
    let (double, second) = Double::start(2, 0, [no_leader()]).await;
    let (_, third) = Double::start(3, 0, []).await;
    let client = Client::connect(&[nobody().await, second.clone(), third], without_sessions()).await.unwrap();
    client.put(a_put()).await.unwrap();
    // Alone, the same node is asked again: what had no effect may be repeated even without a session.
    double.script.lock().unwrap().push_back(no_leader());
    let client = Client::connect(&[second], without_sessions()).await.unwrap();
    assert_eq!(client.put(a_put()).await.unwrap().revision, 2);
}

#[tokio::test]
async fn a_hint_at_the_leader_is_followed() {
    let mut hint = status(Code::Unavailable, "etcdserver: request timed out", Outcome::NeverExecuted);
    set_leader(&mut hint, NodeId(3));
    let (_, first) = Double::start(1, 1, [Step::Fail(hint)]).await;
    let (second, second_address) = Double::start(2, 1, []).await;
    let (_, third) = Double::start(3, 1, []).await;
    let client = Client::connect(&[first, second_address, third], without_sessions()).await.unwrap();
    // Whether the search met node 3 before the leader answered is a matter of luck: let it answer now.
    client.any_node().nodes().learn(2, NodeId(3));
    assert_eq!(client.put(a_put()).await.unwrap().revision, 3);
    assert_eq!(second.seen().len(), 0);
}

/// Invariant 1, without a session.
#[tokio::test]
async fn a_write_that_may_have_been_executed_is_not_repeated_without_a_session() {
    let (first, first_address) = Double::start(1, 1, [timed_out()]).await;
    let (second, second_address) = Double::start(2, 1, []).await;
    let client = Client::connect(&[first_address, second_address], without_sessions()).await.unwrap();
    let error = client.put(a_put()).await.unwrap_err();
    assert!(matches!(&error, Error::Unknown { message } if message.contains("timed out")), "{error}");
    assert_eq!((first.seen().len(), second.seen().len()), (1, 0));
}

/// Invariants 1 and 2, with a session: after an error, and after silence.
#[tokio::test]
async fn a_write_of_a_session_is_repeated_under_the_same_number() {
    for step in [timed_out(), Step::Hang] {
        let (first, first_address) = Double::start(1, 1, [step]).await;
        let (second, second_address) = Double::start(2, 1, []).await;
        let options = Options { attempt_timeout: SHORT, ..Options::default() };
        let client = Client::connect(&[first_address, second_address], options).await.unwrap();
        assert_eq!(client.put(a_put()).await.unwrap().revision, 2);
        let tag = Some(SessionTag { session: 101, sequence: 1 });
        assert_eq!((first.seen(), second.seen()), (vec![tag], vec![tag]));
        client.put(a_put()).await.unwrap();
        assert_eq!(second.seen().last().unwrap().unwrap().sequence, 2, "a number is used once");
    }
}

#[tokio::test]
async fn an_expired_session_is_replaced() {
    let expired = status(Code::FailedPrecondition, &KvError::SessionExpired.to_string(), Outcome::Unknown);
    let (double, address) = Double::start(1, 1, [Step::Fail(expired)]).await;
    let client = Client::connect(&[address], Options::default()).await.unwrap();
    client.put(a_put()).await.unwrap();
    let sessions: Vec<u64> = double.seen().iter().map(|tag| tag.unwrap().session).collect();
    assert_eq!(sessions, [101, 102]);
}

/// The first attempt may have been executed before the session expired: a new session would execute it again.
#[tokio::test]
async fn an_expired_session_leaves_an_unclear_write_unclear() {
    let expired = status(Code::FailedPrecondition, &KvError::SessionExpired.to_string(), Outcome::Unknown);
    let (double, address) = Double::start(1, 1, [timed_out(), Step::Fail(expired)]).await;
    let client = Client::connect(&[address], Options::default()).await.unwrap();
    let error = client.put(a_put()).await.unwrap_err();
    assert!(matches!(error, Error::Unknown { .. }), "{error}");
    assert_eq!(double.seen().len(), 2);
}

#[tokio::test]
async fn a_wrong_request_is_refused_at_once() {
    let refusal = status(Code::InvalidArgument, "etcdserver: key is not provided", Outcome::NeverExecuted);
    let (double, address) = Double::start(1, 1, [Step::Fail(refusal)]).await;
    let client = Client::connect(std::slice::from_ref(&address), Options::default()).await.unwrap();
    let expected =
        Error::Refused { message: "etcdserver: key is not provided".to_owned(), endpoint: address };
    assert_eq!(client.put(a_put()).await.unwrap_err(), expected);
    assert_eq!(double.seen().len(), 1);
}

/// Invariants 3 and 4.
#[tokio::test]
async fn a_cluster_that_is_away_is_unreachable_within_the_deadline() {
    let addresses = [nobody().await, nobody().await];
    let options = Options { timeout: SHORT, ..Options::default() };
    let client = Client::connect(&addresses, options).await.unwrap();
    let ended = tokio::time::timeout(SHORT * 10, client.put(a_put())).await.expect("the deadline holds");
    let error = ended.unwrap_err();
    let Error::Unreachable { message } = &error else { panic!("{error}") };
    assert!(addresses.iter().all(|address| message.contains(address)), "{message}");
}

#[tokio::test]
async fn an_address_that_makes_no_sense_is_named() {
    for address in ["", "localhost", "https://localhost:1", "a b:1"] {
        let error = Client::connect(&[address], Options::default()).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { message, .. } if message.contains("host:port")), "{error}");
    }
    assert!(ControlClient::new("nowhere").is_err());
}
