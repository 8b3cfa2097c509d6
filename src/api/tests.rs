//! The services over a real port, on one node.

use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::{Code, Request, Status};

use super::*;
use crate::client::{Client, Consistency, ControlClient, Error, Options};
use crate::consensus::raft::Raft;
use crate::consensus::{Keys, Misbehaviour, NodeId, RejectReason, Rejection};
use crate::kv::{
    CompactionRequest, DeleteRangeRequest, KvError, MAX_TXN_DEPTH, PutRequest, RangeRequest, TxnOp,
    TxnOpResponse, TxnRequest,
};
use crate::node::{DEFAULT_REQUEST_TIMEOUT, Member, Node, NodeConfig, NodeError};
use crate::wal::{DiskFault, WalOptions};
use crate::wire::pb::control::control_service_client::ControlServiceClient;
use crate::wire::pb::control::{SetDiskFaultRequest, SetMisbehaviourRequest, SetPartitionRequest};
use crate::wire::pb::etcdserverpb::{
    self as pb, cluster_client::ClusterClient, kv_client::KvClient, maintenance_client::MaintenanceClient,
};
use crate::wire::pb::session::{OpenRequest, session_service_client::SessionServiceClient};
use crate::wire::{LEADER, OUTCOME, SESSION};

/// How long anything may take on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// The type of the first frame that answers a call with this `:authority`: HTTP/2 as clients in Go write it.
async fn answered_to(address: &str, authority: &[u8]) -> u8 {
    let path = b"/grpc.health.v1.Health/Check";
    let content = b"application/grpc";
    // POST, http, the path, the authority, and what is in the body.
    let block = [
        &[0x83, 0x86, 0x04, path.len() as u8][..],
        path,
        &[0x41, authority.len() as u8],
        authority,
        &[0x0f, 0x10, content.len() as u8],
        content,
    ]
    .concat();
    let call = [&[0, 0, block.len() as u8, 1, 4, 0, 0, 0, 1][..], &block].concat();
    let body = [0, 0, 5, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0];
    let mut stream = TcpStream::connect(address).await.unwrap();
    let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, 0, 4, 0, 0, 0, 0, 0][..]].concat();
    stream.write_all(&[&preface[..], &call, &body].concat()).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[5..] == [0, 0, 0, 1] && head[3] != 8 {
            return head[3];
        }
    }
}

#[tokio::test]
async fn a_client_may_call_the_port_whatever_it_likes() {
    let served = start(false).await;
    for authority in [
        "127.0.0.1:5001",
        "http://127.0.0.1:5001",
        "#initially=[http://127.0.0.1:5001;http://[::1]:5002]",
        "a b",
    ] {
        let answered =
            tokio::time::timeout(PATIENCE, answered_to(&served.address, authority.as_bytes())).await;
        // HEADERS, and not RST_STREAM.
        assert_eq!(answered, Ok(1), "{authority:?}");
    }
}

/// A node that serves.
pub(crate) struct Served {
    pub(crate) address: String,
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), ServeError>>,
    node: Node,
    _data: tempfile::TempDir,
}

/// Starts the only member of a cluster, and waits until it leads.
pub(crate) async fn start(laboratory: bool) -> Served {
    let served = start_among(&[], laboratory).await;
    let handle = served.node.handle();
    while handle.status(false).await.unwrap().status.committed == 0 {
        tokio::task::yield_now().await;
    }
    served
}

/// Starts member 1; the others are not there.
async fn start_among(others: &[(u64, &str)], laboratory: bool) -> Served {
    let data = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let members = std::iter::once((1, &*address)).chain(others.iter().copied());
    let config = NodeConfig {
        id: NodeId(1),
        cluster_name: "test".to_owned(),
        cluster_id: 7,
        members: members
            .map(|(id, address)| Member { id: NodeId(id), address: address.to_owned() })
            .collect(),
        keys: Keys::default(),
        data_dir: data.path().join("node"),
        create: true,
        laboratory,
        request_timeout: DEFAULT_REQUEST_TIMEOUT,
        wal: WalOptions::with_segment_bytes(64 << 10),
        options: toml::Table::new(),
        blocked: Vec::new(),
        link_rules: Vec::new(),
        disk_fault: DiskFault::Ok,
        misbehaviour: None,
    };
    let node = Node::start::<Raft>(config).unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(serve(&node, listener, async {
        let _ = stopped.await;
    }));
    Served { address, stop, server, node, _data: data }
}

async fn client(node: &Served) -> Client {
    Client::connect(&[&node.address], Options::default()).await.unwrap()
}

async fn kv(node: &Served) -> KvClient<tonic::transport::Channel> {
    KvClient::connect(format!("http://{}", node.address)).await.unwrap()
}

fn put(key: &'static str, value: &'static str) -> PutRequest {
    PutRequest { key: key.into(), value: value.into(), ..Default::default() }
}

fn range(key: &'static str) -> RangeRequest {
    RangeRequest { key: key.into(), ..Default::default() }
}

#[tokio::test]
async fn what_was_written_is_read_changed_and_deleted() {
    let node = start(true).await;
    let client = client(&node).await;
    assert_eq!(client.put(put("a", "1")).await.unwrap().revision, 2);
    for consistency in [Consistency::Linearizable, Consistency::Serializable] {
        let found = client.get(range("a"), consistency).await.unwrap();
        assert_eq!((found.revision, found.count, &found.kvs[0].value[..]), (2, 1, &b"1"[..]));
    }
    let txn = TxnRequest {
        success: vec![TxnOp::Put(put("b", "2")), TxnOp::Range(range("b"))],
        ..Default::default()
    };
    let done = client.txn(txn).await.unwrap();
    assert!(done.succeeded && done.revision == 3, "{done:?}");
    assert!(matches!(&done.responses[1], TxnOpResponse::Range(range) if range.count == 1));
    let read = TxnRequest { failure: vec![], success: vec![TxnOp::Range(range("b"))], ..Default::default() };
    assert_eq!(client.txn(read).await.unwrap().revision, 3, "a transaction that reads changes nothing");
    client.compact(CompactionRequest { revision: 3 }).await.unwrap();
    let delete = DeleteRangeRequest { key: "a".into(), range_end: "c".into(), prev_kv: true };
    let deleted = client.delete(delete).await.unwrap();
    assert_eq!((deleted.deleted, deleted.prev_kvs.len()), (2, 2));
}

/// Codes and texts as etcd 3.4.23 gave them for the same requests.
#[tokio::test]
async fn wrong_requests_are_refused_in_etcds_words() {
    let node = start(true).await;
    let mut kv = kv(&node).await;
    let message = |put: PutRequest| pb::PutRequest::from(put);
    let check = |status: Status, code, text: &str| {
        assert_eq!((status.code(), status.message()), (code, text));
        assert_eq!(status.metadata().get(OUTCOME).unwrap(), "never-executed", "{text}");
    };
    let status = kv.put(message(put("", "x"))).await.unwrap_err();
    check(status, Code::InvalidArgument, "etcdserver: key is not provided");
    let status = kv.put(pb::PutRequest { lease: 7, ..message(put("a", "x")) }).await.unwrap_err();
    check(status, Code::NotFound, "etcdserver: requested lease not found");
    let status = kv.put(pb::PutRequest { ignore_value: true, ..message(put("a", "")) }).await.unwrap_err();
    check(status, Code::InvalidArgument, "etcdserver: key not found");
    let large = PutRequest { value: Bytes::from(vec![0; 1_700_000]), ..put("a", "") };
    let status = kv.put(message(large)).await.unwrap_err();
    check(status, Code::InvalidArgument, "etcdserver: request is too large");
    let status = kv.compact(pb::CompactionRequest { revision: 9, physical: true }).await.unwrap_err();
    check(status, Code::OutOfRange, "etcdserver: mvcc: required revision is a future revision");
    let twice = vec![TxnOp::Put(put("a", "1")), TxnOp::Put(put("a", "2"))];
    let twice = TxnRequest { success: twice, ..Default::default() };
    let status = kv.txn(pb::TxnRequest::from(twice)).await.unwrap_err();
    check(status, Code::InvalidArgument, "etcdserver: duplicate key given in txn request");
    let many = TxnRequest { success: vec![TxnOp::Range(range("a")); 129], ..Default::default() };
    let status = kv.txn(pb::TxnRequest::from(many)).await.unwrap_err();
    check(status, Code::InvalidArgument, "etcdserver: too many operations in txn request");
    let nested = |depth: usize| {
        let innermost = TxnRequest { success: vec![TxnOp::Range(range("a"))], ..Default::default() };
        (1..depth)
            .fold(innermost, |inner, _| TxnRequest { success: vec![TxnOp::Txn(inner)], ..Default::default() })
    };
    kv.txn(pb::TxnRequest::from(nested(MAX_TXN_DEPTH))).await.unwrap();
    let status = kv.txn(pb::TxnRequest::from(nested(MAX_TXN_DEPTH + 1))).await.unwrap_err();
    check(status, Code::InvalidArgument, "etcdserver: too many operations in txn request");
    let mut request = Request::new(message(put("a", "x")));
    request.metadata_mut().insert(SESSION, "7".parse().unwrap());
    assert_eq!(kv.put(request).await.unwrap_err().code(), Code::InvalidArgument);
    let gigantic = PutRequest { value: Bytes::from(vec![0; 3_000_000]), ..put("a", "") };
    assert!(kv.put(message(gigantic)).await.is_err());
    assert_eq!(kv.range(pb::RangeRequest::from(range("a"))).await.unwrap().into_inner().count, 0);
}

#[tokio::test]
async fn a_command_of_a_session_is_executed_once() {
    let node = start(true).await;
    let mut sessions = SessionServiceClient::connect(format!("http://{}", node.address)).await.unwrap();
    let session = sessions.open(OpenRequest {}).await.unwrap().into_inner().session;
    let mut kv = kv(&node).await;
    let mut send = async |tag: String| {
        let mut request = Request::new(pb::PutRequest::from(put("a", "1")));
        request.metadata_mut().insert(SESSION, tag.parse().unwrap());
        kv.put(request).await
    };
    for _ in 0..2 {
        let header = send(format!("{session}-1")).await.unwrap().into_inner().header.unwrap();
        assert_eq!(header.revision, 2);
    }
    let header = send(format!("{session}-2")).await.unwrap().into_inner().header.unwrap();
    assert_eq!(header.revision, 3);
    let status = send(format!("{}-1", session + 1)).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, &*KvError::SessionExpired.to_string())
    );
    assert_eq!(status.metadata().get(OUTCOME).unwrap(), "unknown");
}

/// A number of a session that is used for a second, different command gets no answer that looks like its own.
#[tokio::test]
async fn a_number_used_for_two_commands_is_told() {
    let node = start(true).await;
    let mut sessions = SessionServiceClient::connect(format!("http://{}", node.address)).await.unwrap();
    let session = sessions.open(OpenRequest {}).await.unwrap().into_inner().session;
    let tag: tonic::metadata::MetadataValue<_> = format!("{session}-1").parse().unwrap();
    let mut kv = kv(&node).await;
    let mut first = Request::new(pb::PutRequest::from(put("a", "1")));
    first.metadata_mut().insert(SESSION, tag.clone());
    kv.put(first).await.unwrap();
    let mut second = Request::new(pb::DeleteRangeRequest { key: "a".into(), ..Default::default() });
    second.metadata_mut().insert(SESSION, tag);
    let status = kv.delete_range(second).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("used before, for a put"), "{}", status.message());
}

#[test]
fn rejections_say_what_became_of_the_command_and_who_leads() {
    for (reason, code, text) in [
        (RejectReason::NoLeader, Code::Unavailable, "etcdserver: no leader"),
        (RejectReason::TimedOut, Code::Unavailable, "etcdserver: request timed out"),
        (RejectReason::TooManyRequests, Code::ResourceExhausted, "etcdserver: too many requests"),
        (RejectReason::TooLarge, Code::InvalidArgument, "etcdserver: request is too large"),
        (RejectReason::StorageFull, Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"),
        (RejectReason::Stopping, Code::Unavailable, "etcdserver: server stopped"),
    ] {
        let rejection = Rejection { reason, never_executed: false, leader: Some(NodeId(2)) };
        let status = errors::unanswered(NodeError::Rejected(rejection));
        assert_eq!((status.code(), status.message()), (code, text));
        assert_eq!(status.metadata().get(OUTCOME).unwrap(), "unknown");
        assert_eq!(status.metadata().get(LEADER).unwrap(), "2");
    }
    let rejection = Rejection { reason: RejectReason::NoLeader, never_executed: true, leader: None };
    let status = errors::unanswered(NodeError::Rejected(rejection));
    assert_eq!(status.metadata().get(OUTCOME).unwrap(), "never-executed");
    assert!(status.metadata().get(LEADER).is_none());
}

#[tokio::test]
async fn the_status_and_the_members_are_told_as_etcd_tells_them() {
    let node = start(true).await;
    let url = format!("http://{}", node.address);
    let mut maintenance = MaintenanceClient::connect(url.clone()).await.unwrap();
    let status = maintenance.status(pb::StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.leader, status.raft_term), (1, 1));
    assert!(status.version.starts_with("3.4."), "{}", status.version);
    assert_eq!(status.header.unwrap().revision, 1, "an empty store");
    let alarms = maintenance.alarm(pb::AlarmRequest::default()).await.unwrap().into_inner().alarms;
    assert_eq!(alarms, []);
    let raise = pb::AlarmRequest { action: 1, ..Default::default() };
    assert_eq!(maintenance.alarm(raise).await.unwrap_err().code(), Code::Unimplemented);
    let disarm = pb::AlarmRequest { action: 2, ..Default::default() };
    assert_eq!(maintenance.alarm(disarm).await.unwrap().into_inner().alarms, []);
    let mut cluster = ClusterClient::connect(url.clone()).await.unwrap();
    let members = cluster.member_list(pb::MemberListRequest {}).await.unwrap().into_inner().members;
    assert_eq!(members.iter().map(|member| member.id).collect::<Vec<_>>(), [1]);
    assert_eq!(members[0].client_ur_ls, [url]);
}

#[tokio::test]
async fn a_service_that_is_not_served_is_refused_in_words() {
    let node = start(true).await;
    // Speaks for etcd's Lease, Watch and Auth: a service of which this node knows nothing.
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{}", node.address)).unwrap();
    let mut grpc = tonic::client::Grpc::new(channel.connect().await.unwrap());
    grpc.ready().await.unwrap();
    let codec = tonic_prost::ProstCodec::<pb::StatusRequest, pb::StatusResponse>::default();
    let path = tonic::codegen::http::uri::PathAndQuery::from_static("/etcdserverpb.Lease/LeaseGrant");
    let status = grpc.unary(Request::new(pb::StatusRequest {}), path, codec).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    assert!(status.message().contains("not served"), "{}", status.message());
}

#[tokio::test]
async fn a_node_tells_how_it_is() {
    let node = start(true).await;
    let control = ControlClient::new(&node.address).unwrap();
    let pong = control.ping().await.unwrap();
    assert_eq!((pong.node, &*pong.protocol), (NodeId(1), "raft"));
    client(&node).await.put(put("a", "1")).await.unwrap();
    let report = control.status(false).await.unwrap();
    assert_eq!((report.id, &*report.role, report.leader, report.revision), (1, "leader", Some(1), 2));
    assert_eq!(report.digest.unwrap().len(), 64);
    assert_eq!(control.status(true).await.unwrap().digest, None, "a brief report");
    let error = control.transfer_leadership(Some(NodeId(9))).await.unwrap_err();
    assert!(error.to_string().contains("node 9 is not a member"), "{error}");
    assert_eq!(control.transfer_leadership(Some(NodeId(1))).await.unwrap(), NodeId(1), "leads already");
}

#[tokio::test]
async fn a_partition_is_set_by_ids_and_addresses_and_all_or_nothing() {
    let node = start_among(&[(2, "127.0.0.1:2"), (3, "127.0.0.1:3")], true).await;
    let control = ControlClient::new(&node.address).unwrap();
    assert_eq!(control.set_partition(&[NodeId(2)]).await.unwrap(), [NodeId(2)]);
    for (wrong, words) in [(7, "node 7 is not a member"), (1, "cannot be cut off from itself")] {
        let error = control.set_partition(&[NodeId(3), NodeId(wrong)]).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { message, .. } if message.contains(words)), "{error}");
    }
    assert_eq!(control.status(true).await.unwrap().blocked, [2], "as before");
    let mut raw = ControlServiceClient::connect(format!("http://{}", node.address)).await.unwrap();
    let by_address = |address: &str| SetPartitionRequest {
        blocked_node_ids: vec![2],
        blocked_addresses: vec![address.to_owned()],
    };
    let blocked = raw.set_partition(by_address("127.0.0.1:3")).await.unwrap().into_inner().blocked_node_ids;
    assert_eq!(blocked, [2, 3]);
    let status = raw.set_partition(by_address("127.0.0.1:9")).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().contains("127.0.0.1:9"), "{}", status.message());
    assert_eq!(control.set_partition(&[]).await.unwrap(), []);
    for fault in
        [DiskFault::Slow(PATIENCE), DiskFault::Stall, DiskFault::Fail, DiskFault::Full, DiskFault::Ok]
    {
        control.set_disk_fault(fault).await.unwrap();
    }
}

#[tokio::test]
async fn a_node_outside_a_laboratory_takes_no_faults() {
    let node = start(false).await;
    let mut raw = ControlServiceClient::connect(format!("http://{}", node.address)).await.unwrap();
    let status = raw.set_partition(SetPartitionRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert!(status.message().contains("laboratory"), "{}", status.message());
    let status = raw.set_disk_fault(SetDiskFaultRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    let status = raw.set_misbehaviour(SetMisbehaviourRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
}

#[tokio::test]
async fn a_lie_that_the_protocol_does_not_know_is_refused_and_honesty_is_not() {
    let node = start(true).await;
    let client = ControlClient::new(&node.address).unwrap();
    let refused = client.set_misbehaviour(Some(&Misbehaviour::new("silent", 1))).await.unwrap_err();
    assert!(refused.to_string().contains("tolerates crashes only"), "{refused}");
    client.set_misbehaviour(None).await.unwrap();
    assert_eq!(client.status(true).await.unwrap().malicious, None);
}

#[tokio::test]
async fn garbage_on_the_port_harms_nothing() {
    let node = start(true).await;
    let client = client(&node).await;
    for garbage in [
        &b"\0"[..],
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        &[0xff; 4096],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff",
    ] {
        let mut stream = TcpStream::connect(&node.address).await.unwrap();
        // The server may hang up before all is written.
        let _ = stream.write_all(garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
        ended.expect("the server hangs up").ok();
    }
    client.put(put("a", "1")).await.unwrap();
}

#[tokio::test]
async fn an_idle_connection_breaks_when_the_server_stops_or_is_dropped() {
    for orderly in [true, false] {
        let node = start(true).await;
        let mut idle = TcpStream::connect(&node.address).await.unwrap();
        client(&node).await.put(put("a", "1")).await.unwrap();
        if orderly {
            node.stop.send(()).unwrap();
            tokio::time::timeout(PATIENCE, node.server).await.expect("stops").unwrap().unwrap();
        } else {
            node.server.abort();
        }
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(PATIENCE, idle.read_to_end(&mut answer)).await;
        ended.expect("the connection breaks").ok();
        assert!(TcpStream::connect(&node.address).await.is_err(), "nobody listens any more");
    }
}

#[tokio::test]
async fn without_a_quorum_the_caller_hears_why_before_it_gives_up() {
    let served = start_among(&[(2, "127.0.0.1:1"), (3, "127.0.0.1:1")], false).await;
    let mut kv = KvClient::connect(format!("http://{}", served.address)).await.unwrap();
    // The caller's own error would be `Cancelled` or `DeadlineExceeded`.
    let mut request = Request::new(pb::RangeRequest::from(range("a")));
    request.set_timeout(Duration::from_secs(2));
    let status = kv.range(request).await.unwrap_err();
    let outcome = |status: &Status| status.metadata().get(OUTCOME).unwrap().to_str().unwrap().to_owned();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: no leader"));
    assert_eq!(outcome(&status), "never-executed");
    let mut request = Request::new(pb::PutRequest::from(put("a", "1")));
    request.set_timeout(Duration::from_secs(2));
    let status = kv.put(request).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (Code::Unavailable, "etcdserver: no leader"));
    assert_eq!(outcome(&status), "unknown");
}

async fn channel(address: &str) -> tonic::transport::Channel {
    tonic::transport::Endpoint::new(format!("http://{address}")).unwrap().connect().await.unwrap()
}

/// What a port says to plain HTTP/1.1: its status and its body.
async fn http(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    let status = response.split(' ').nth(1).unwrap().parse().unwrap();
    (status, response.split_once("\r\n\r\n").unwrap().1.to_owned())
}

#[tokio::test]
async fn health_and_version_are_told_by_plain_http_and_by_grpc() {
    use tonic_health::pb::HealthCheckRequest;
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::health_client::HealthClient;

    let served = start(false).await;
    assert_eq!(http(&served.address, "/health").await, (200, "{\"health\":\"true\"}".to_owned()));
    let (status, version) = http(&served.address, "/version").await;
    let version: serde_json::Value = serde_json::from_str(&version).unwrap();
    assert_eq!((status, &version["etcdcluster"]), (200, &"3.4.0".into()));
    assert!(version["etcdserver"].as_str().unwrap().starts_with("3.4.0+consensusctl."), "{version}");
    let (status, words) = http(&served.address, "/v2/keys").await;
    assert_eq!(
        (status, &*words),
        (404, "this port serves etcd's API over gRPC, and /health and /version over HTTP\n")
    );

    let mut health = HealthClient::new(channel(&served.address).await);
    let of = |service: &str| HealthCheckRequest { service: service.to_owned() };
    for service in ["", "etcdserverpb.KV"] {
        let answer = health.check(of(service)).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
    assert_eq!(health.check(of("other")).await.unwrap_err().code(), Code::NotFound);
    let mut changes = health.watch(of("")).await.unwrap().into_inner();
    assert_eq!(changes.message().await.unwrap().unwrap().status(), ServingStatus::Serving);

    let alone = start_among(&[(2, "127.0.0.1:1"), (3, "127.0.0.1:1")], false).await;
    let (status, body) = http(&alone.address, "/health").await;
    assert_eq!((status, body.contains("\"health\":\"false\"")), (503, true), "{body}");
    let mut health = HealthClient::new(channel(&alone.address).await);
    let answer = health.check(of("")).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::NotServing);
}

#[tokio::test]
async fn what_is_not_served_is_refused_in_words_service_or_method() {
    let served = start(false).await;
    let mut grpc = tonic::client::Grpc::new(channel(&served.address).await);
    for path in ["/etcdserverpb.Watch/Watch", "/etcdserverpb.Maintenance/Defragment"] {
        grpc.ready().await.unwrap();
        let codec = tonic_prost::ProstCodec::<pb::AlarmRequest, pb::AlarmResponse>::default();
        let request = Request::new(pb::AlarmRequest::default());
        let status = grpc.unary(request, path.parse().unwrap(), codec).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented);
        let words =
            "is not served: of etcd's API there are KV, Maintenance (Status, Alarm) and Cluster (MemberList)";
        assert_eq!(status.message(), format!("{path} {words}"));
    }
}
