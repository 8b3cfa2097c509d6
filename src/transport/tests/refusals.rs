//! Who and what is not let in.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_stream::StreamExt;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::transport::Endpoint;
use tonic::{Code, Request, Status, Streaming};

use super::rig::{CLIENT, Replica, Town, pair, until};
use crate::consensus::NodeId;
use crate::consensus::toy::{FORBIDDEN, Toy, ToyMessage};
use crate::transport::codec::LaneCodec;
use crate::transport::counters::Counters;
use crate::transport::identity::Identity;
use crate::transport::{Lane, Wire};

/// Opens a stream of the first lane to replica 1 of `town` with this metadata, and keeps it open.
async fn knock(town: &Town, metadata: &[(&'static str, &str)]) -> Result<Streaming<ToyMessage>, Status> {
    let introduce = |all: &mut MetadataMap| {
        for (key, value) in metadata {
            all.insert(*key, AsciiMetadataValue::try_from(*value).unwrap());
        }
    };
    knock_as(town, introduce).await
}

async fn knock_as(
    town: &Town,
    introduce: impl Fn(&mut MetadataMap),
) -> Result<Streaming<ToyMessage>, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{}", town.address(1))).unwrap();
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::iter([ToyMessage::ask(1)]).chain(tokio_stream::pending()));
    introduce(request.metadata_mut());
    let path = PathAndQuery::try_from(format!("/{}/Ask", Toy::SERVICE)).unwrap();
    let codec = LaneCodec::<Toy>::new(Lane::Response(0), Arc::new(Counters::default()));
    client.streaming(request, path, codec).await.map(tonic::Response::into_inner)
}

const GOOD: [(&str, &str); 6] = [
    ("cluster-id", "7"),
    ("node-id", "2"),
    ("peer-id", "1"),
    ("protocol", "toy"),
    ("instance", "5"),
    ("process-id", "6"),
];

#[tokio::test]
async fn callers_in_the_wrong_place_are_told_so() {
    let mut town = Town::new(2);
    let mut one = town.start(1).await;
    for (key, value, words) in [
        ("cluster-id", "8", "this replica is of cluster 0000000000000007, not of cluster 0000000000000008"),
        ("protocol", "raft", "this cluster runs toy, not raft"),
        ("node-id", "9", "9 is neither a peer of replica 1 nor a client with a key"),
        ("node-id", "1", "1 is neither a peer of replica 1 nor a client with a key"),
        ("peer-id", "2", "this is replica 1, not 2: compare the members' addresses"),
    ] {
        let metadata = GOOD.map(|(name, good)| (name, if name == key { value } else { good }));
        let status = knock(&town, &metadata).await.unwrap_err();
        assert_eq!((status.code(), status.message()), (Code::FailedPrecondition, words));
    }
    for (missing, _) in GOOD {
        let metadata: Vec<_> = GOOD.into_iter().filter(|(key, _)| *key != missing).collect();
        assert_eq!(knock(&town, &metadata).await.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(one.links.counters().refused, 11);
    assert_eq!(one.received(), None);
}

/// Its stream would take the place of the other's.
#[tokio::test]
async fn nobody_calls_in_the_name_of_another() {
    let mut town = Town::with_keys(3);
    let (mut one, mut two) = (town.start(1).await, town.start(2).await);
    until("connected", || [&one, &two].map(|it| it.links.connected().len()) == [1, 1]).await;
    let as_if = |name: u64, key: NodeId, callee: u64| {
        let keys = town.keys(key);
        let identity = Identity { cluster_id: 7, me: NodeId(name), protocol: "toy", instance: name, keys };
        let town = &town;
        async move {
            let introduce = |all: &mut MetadataMap| {
                identity.introduce(NodeId(callee), all);
                all.insert("peer-id", AsciiMetadataValue::from(1));
            };
            knock_as(town, introduce).await.map(drop).map_err(|status| status.message().to_owned())
        }
    };
    let refused = |name: u64| Err(format!("the stream is not signed with the key of {name}"));
    assert_eq!(knock(&town, &GOOD).await.unwrap_err().code(), Code::FailedPrecondition, "not signed at all");
    assert_eq!(as_if(2, NodeId(3), 1).await, refused(2));
    assert_eq!(as_if(2, CLIENT, 1).await, refused(2));
    assert_eq!(as_if(CLIENT.0, NodeId(3), 1).await, refused(CLIENT.0));
    assert_eq!(as_if(3, NodeId(3), 2).await, refused(3), "what it once showed another is of no use here");
    two.send(1, ToyMessage::ask(5));
    assert_eq!(one.receive().await, (2, ToyMessage::ask(5)), "the real one is connected still");
    assert_eq!(as_if(3, NodeId(3), 1).await, Ok(()));
    assert_eq!(two.received(), None);
}

#[tokio::test]
async fn a_newer_stream_of_a_peer_ends_the_older() {
    let mut town = Town::new(2);
    let mut one = town.start(1).await;
    let mut older = knock(&town, &GOOD).await.unwrap();
    assert_eq!(one.receive().await, (2, ToyMessage::ask(1)));
    let mut newer = knock(&town, &GOOD).await.unwrap();
    assert_eq!(one.receive().await, (2, ToyMessage::ask(1)));
    assert_eq!(older.message().await.unwrap_err().code(), Code::Aborted);
    one.send(2, ToyMessage::Answer { number: 1 });
    assert_eq!(newer.message().await.unwrap(), Some(ToyMessage::Answer { number: 1 }));
}

#[tokio::test]
async fn members_of_two_clusters_do_not_connect() {
    let mut town = Town::new(2);
    let (one, two) = (town.start_as(1, 7).await, town.start_as(2, 8).await);
    let refused = |replica: &Replica| replica.links.counters().refused;
    until("both refused the other", || refused(&one) > 0 && refused(&two) > 0).await;
    assert!(one.links.connected().is_empty() && two.links.connected().is_empty());
    // Each says it of both: what the other answered to its own calls, and whom it refuses itself.
    let address = town.address(2);
    let (ours, theirs) = ("0000000000000007", "0000000000000008");
    let expected = [
        format!(
            "node 2 at {address} refuses the link, saying: this replica is of cluster {theirs}, not of cluster {ours}"
        ),
        format!(
            "refuses a link from 127.0.0.1, which calls itself node 2: this replica is of cluster {ours}, not of \
             cluster {theirs}"
        ),
    ];
    until("it is said", || one.links.refusals() == expected).await;
    // Put right, it is not said any more.
    drop(two);
    let two = town.start_as(2, 7).await;
    one.connected_to(&[2]).await;
    two.connected_to(&[1]).await;
    until("it is not said any more", || one.links.refusals().is_empty()).await;
}

#[tokio::test]
async fn two_processes_that_run_as_one_member_are_noticed_by_their_peers() {
    let mut town = Town::new(2);
    let (one, two) = (town.start(1).await, town.start(2).await);
    one.connected_to(&[2]).await;
    assert!(one.links.doubles().is_empty());
    let double = town.start_elsewhere(2).await;
    until("it is said", || !one.links.doubles().is_empty()).await;
    let said = one.links.doubles();
    let pid = std::process::id();
    let expected = format!(
        "two processes run as node 2: pid {pid} on 127.0.0.1, and pid {pid} on 127.0.0.1: end the one that does not \
         belong"
    );
    assert_eq!(said, [expected]);
    assert!(two.links.doubles().is_empty(), "nobody else runs as node 1");
    drop(double);
    until("it is not said any more", || one.links.doubles().is_empty()).await;
}

#[tokio::test]
async fn a_message_that_the_check_refuses_is_skipped_and_counted() {
    let (one, mut two, _town) = pair().await;
    one.send(2, ToyMessage::ask(FORBIDDEN));
    one.send(2, ToyMessage::ask(1));
    assert_eq!(two.receive().await, (1, ToyMessage::ask(1)));
    assert_eq!(two.links.counters().refused, 1);
    assert_eq!(one.links.counters().connected, 1, "the stream went on");
}

/// Bytes that are no HTTP/2, and HTTP/2 that is no gRPC.
const GARBAGE: [&[u8]; 4] = [
    b"\x00\xff\xfe\x13\x37",
    b"GET / HTTP/1.1\r\nHost: here\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04\x01\x05\x00\x00\x00\x01\xde\xad",
];

#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    let (mut one, two, town) = pair().await;
    for garbage in GARBAGE {
        let mut socket = TcpStream::connect(town.address(1)).await.unwrap();
        socket.write_all(garbage).await.unwrap();
        socket.shutdown().await.unwrap();
        // Until the server hangs up.
        let _ = socket.read_to_end(&mut Vec::new()).await;
    }
    two.send(1, ToyMessage::ask(1));
    assert_eq!(one.receive().await, (2, ToyMessage::ask(1)));
    assert_eq!(two.links.counters().connected, 1);
}

/// Sends `Bytes` as they are, in gRPC's frame.
struct Raw;

impl tonic::codec::Codec for Raw {
    type Encode = Bytes;
    type Decode = ();
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl tonic::codec::Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buf: &mut tonic::codec::EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put(buf, item);
        Ok(())
    }
}

impl tonic::codec::Decoder for Raw {
    type Item = ();
    type Error = Status;

    fn decode(&mut self, _buf: &mut tonic::codec::DecodeBuf<'_>) -> Result<Option<()>, Status> {
        Ok(None)
    }
}

#[tokio::test]
async fn a_malformed_message_ends_its_stream_with_a_reason() {
    let mut town = Town::new(2);
    let mut one = town.start(1).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", town.address(1))).unwrap();
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::iter([Bytes::from_static(b"\xff\xff\xff")]));
    for (key, value) in GOOD {
        request.metadata_mut().insert(key, AsciiMetadataValue::try_from(value).unwrap());
    }
    let path = PathAndQuery::try_from(format!("/{}/Ask", Toy::SERVICE)).unwrap();
    let mut answers = client.streaming(request, path, Raw).await.unwrap().into_inner();
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("Ask: not a protobuf message of this RPC"), "{status}");
    assert_eq!(one.links.counters().refused, 1);
    assert_eq!(one.received(), None);
}

#[tokio::test]
async fn a_client_opens_no_lane_of_the_replicas() {
    let mut town = Town::new(2);
    let _one = town.start(1).await;
    let metadata = GOOD.map(|(name, good)| (name, if name == "node-id" { "1001" } else { good }));
    knock(&town, &metadata).await.unwrap();
    let endpoint = Endpoint::from_shared(format!("http://{}", town.address(1))).unwrap();
    let mut client = tonic::client::Grpc::new(endpoint.connect().await.unwrap());
    client.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::pending());
    for (key, value) in metadata {
        request.metadata_mut().insert(key, AsciiMetadataValue::try_from(value).unwrap());
    }
    let path = PathAndQuery::try_from(format!("/{}/Tell", Toy::SERVICE)).unwrap();
    let codec = LaneCodec::<Toy>::new(Lane::Response(1), Arc::new(Counters::default()));
    let status = client.streaming(request, path, codec).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::FailedPrecondition, "1001 is a client, and Tell is for replicas")
    );
}
