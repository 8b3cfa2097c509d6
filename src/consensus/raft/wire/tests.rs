use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use tokio_stream::wrappers::TcpListenerStream;
use tonic::Request;

use super::*;
use crate::consensus::raft::message::{
    AppendEntries, AppendEntriesResponse, AppendOutcome, Attempt, Forward, ForwardRejected, InstallOutcome,
    InstallSnapshot, InstallSnapshotResponse, ReadIndexResponse, RequestVote, RequestVoteResponse, Rpc,
};
use crate::consensus::raft::{Entry, Payload};
use crate::consensus::{
    Digest, Encode, Epoch, Index, Keys, Message as _, NodeId, Proposal, Protocol, RejectReason, RequestId,
    Setup, SnapshotMeta, Time, WallTime,
};
use crate::transport::{Gate, LinkFaults, LinkSetup, Links, server};

fn index() -> impl Strategy<Value = Index> {
    any::<u64>().prop_map(Index)
}

fn epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..64).prop_map(Bytes::from)
}

fn request_id() -> impl Strategy<Value = RequestId> {
    any::<(u64, u64, u64)>().prop_map(|(origin, incarnation, counter)| RequestId {
        origin: NodeId(origin),
        incarnation,
        counter,
    })
}

fn proposal() -> impl Strategy<Value = Proposal> {
    (request_id(), any::<u64>(), bytes()).prop_map(|(id, time, command)| Proposal {
        id,
        time: WallTime(time),
        command,
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![Just(Payload::Noop), proposal().prop_map(Payload::Command)];
    (index(), epoch(), payload).prop_map(|(index, term, payload)| Entry { index, term, payload })
}

fn attempt() -> impl Strategy<Value = Attempt> {
    any::<(u64, u64)>().prop_map(|(incarnation, counter)| Attempt { incarnation, counter })
}

fn request_vote() -> impl Strategy<Value = Body> {
    (any::<bool>(), any::<bool>(), index(), epoch()).prop_map(
        |(pre_vote, transfer, last_index, last_term)| {
            Body::RequestVote(RequestVote { pre_vote, transfer, last_index, last_term })
        },
    )
}

fn append_entries() -> impl Strategy<Value = Body> {
    (index(), epoch(), index(), any::<u64>(), any::<bool>(), vec(entry(), 0..5)).prop_map(
        |(prev_index, prev_term, commit, round, reply, entries)| {
            Body::AppendEntries(AppendEntries { prev_index, prev_term, commit, round, reply, entries })
        },
    )
}

fn append_outcome() -> impl Strategy<Value = AppendOutcome> {
    prop_oneof![
        index().prop_map(AppendOutcome::Matched),
        (index(), index(), epoch()).prop_map(|(prev_index, index, term)| AppendOutcome::Conflict {
            prev_index,
            index,
            term,
        }),
        Just(AppendOutcome::Full),
    ]
}

fn meta() -> impl Strategy<Value = SnapshotMeta> {
    (index(), epoch(), vec(any::<u64>(), 0..6), any::<[u8; 32]>(), any::<u32>()).prop_map(
        |(index, epoch, members, digest, pieces)| SnapshotMeta {
            index,
            epoch,
            members: members.into_iter().map(NodeId).collect(),
            digest: Digest(digest),
            pieces,
        },
    )
}

fn install_outcome() -> impl Strategy<Value = InstallOutcome> {
    prop_oneof![
        any::<u32>().prop_map(InstallOutcome::Next),
        Just(InstallOutcome::Done),
        Just(InstallOutcome::Failed),
    ]
}

const REASONS: [RejectReason; 7] = [
    RejectReason::NoLeader,
    RejectReason::TimedOut,
    RejectReason::TooManyRequests,
    RejectReason::TooLarge,
    RejectReason::StorageSlow,
    RejectReason::StorageFull,
    RejectReason::Stopping,
];

fn body() -> impl Strategy<Value = Body> {
    prop_oneof![
        request_vote(),
        any::<(bool, bool)>().prop_map(|(pre_vote, granted)| Body::RequestVoteResponse(
            RequestVoteResponse { pre_vote, granted }
        )),
        append_entries(),
        (any::<u64>(), append_outcome()).prop_map(|(round, outcome)| Body::AppendEntriesResponse(
            AppendEntriesResponse { round, outcome }
        )),
        (meta(), any::<u32>(), bytes())
            .prop_map(|(meta, number, data)| Body::InstallSnapshot(InstallSnapshot { meta, number, data })),
        (index(), install_outcome()).prop_map(|(index, outcome)| Body::InstallSnapshotResponse(
            InstallSnapshotResponse { index, outcome }
        )),
        Just(Body::TimeoutNow),
        proptest::sample::select(&[Rpc::RequestVote, Rpc::AppendEntries, Rpc::InstallSnapshot][..])
            .prop_map(Body::TermOver),
        (attempt(), vec(proposal(), 0..5))
            .prop_map(|(attempt, proposals)| Body::Forward(Forward { attempt, proposals })),
        (vec(request_id(), 0..5), proptest::sample::select(&REASONS[..]))
            .prop_map(|(ids, reason)| Body::ForwardRejected(ForwardRejected { ids, reason })),
        attempt().prop_map(Body::ReadIndex),
        (attempt(), index())
            .prop_map(|(attempt, index)| Body::ReadIndexResponse(ReadIndexResponse { attempt, index })),
    ]
}

fn message() -> impl Strategy<Value = Message> {
    (epoch(), body()).prop_map(|(term, body)| Message { term, body })
}

fn lane() -> impl Strategy<Value = Lane> {
    let number = 0..Raft::LANES.len();
    prop_oneof![number.clone().prop_map(Lane::Request), number.prop_map(Lane::Response)]
}

fn encoded(message: Message) -> Bytes {
    let mut buf = BytesMut::new();
    Raft::encode(message, &mut buf);
    buf.freeze()
}

proptest! {
    #[test]
    fn every_message_arrives_as_it_was_sent(message in message()) {
        prop_assert!(Message::KINDS.contains(&message.kind()), "{} is not among the kinds", message.kind());
        let lane = Raft::lane(&message);
        let bytes = encoded(message.clone());
        prop_assert_eq!(Raft::decode(lane, bytes), Ok(message));
    }

    #[test]
    fn arbitrary_bytes_on_any_lane_never_panic(lane in lane(), bytes in vec(any::<u8>(), 0..256)) {
        let _ = Raft::decode(lane, Bytes::from(bytes));
    }

    #[test]
    fn a_damaged_message_never_panics(message in message(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let lane = Raft::lane(&message);
        let mut bytes = encoded(message).to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        let _ = Raft::decode(lane, Bytes::from(bytes));
    }
}

fn refused(lane: Lane, message: &impl prost::Message) -> String {
    Raft::decode(lane, Bytes::from(message.encode_to_vec())).unwrap_err().to_string()
}

#[test]
fn what_is_missing_or_unknown_is_named() {
    let no_outcome = pb::AppendEntriesResponse { term: 1, round: 1, outcome: None };
    assert_eq!(refused(Lane::Response(APPEND_ENTRIES), &no_outcome), "field outcome is missing");
    let no_attempt = pb::ReadIndexRequest { term: 1, attempt: None };
    assert_eq!(refused(Lane::Request(READ_INDEX), &no_attempt), "field attempt is missing");
    let no_reason = pb::ForwardResponse { term: 1, rejected: Vec::new(), reason: 99 };
    assert_eq!(refused(Lane::Response(FORWARD), &no_reason), "field reason has a value that does not exist");
    let short_digest = pb::InstallSnapshotRequest { digest: Bytes::from_static(b"x"), ..Default::default() };
    assert_eq!(refused(Lane::Request(INSTALL_SNAPSHOT), &short_digest), "field digest has not 32 bytes");
    let torn_entry =
        pb::AppendEntriesRequest { entries: vec![Bytes::from_static(b"torn")], ..Default::default() };
    assert_eq!(
        refused(Lane::Request(APPEND_ENTRIES), &torn_entry),
        "field entries: ends after 4 bytes, in the middle of a value"
    );
}

#[test]
fn a_lane_without_responses_takes_none() {
    let error = Raft::decode(Lane::Response(TIMEOUT_NOW), Bytes::new()).unwrap_err();
    assert_eq!(error.to_string(), "field rpc carries no messages in this direction");
}

/// One encoding shared by disk and network: the log's bytes stand in the message as they are, and are not copied again
/// when it is read.
#[test]
fn entries_travel_in_their_encoding_on_disk_and_are_not_copied() {
    let command = Bytes::from_static(b"a command that is long enough to be found");
    let id = RequestId { origin: NodeId(1), incarnation: 2, counter: 3 };
    let proposal = Proposal { id, time: WallTime(4), command: command.clone() };
    let entry = Entry { index: Index(1), term: Epoch(1), payload: Payload::Command(proposal) };
    let append = AppendEntries {
        prev_index: Index(0),
        prev_term: Epoch(0),
        commit: Index(0),
        round: 0,
        reply: true,
        entries: vec![entry.clone()],
    };
    let bytes = encoded(Message { term: Epoch(1), body: Body::AppendEntries(append) });
    assert!(bytes.windows(entry.to_bytes().len()).any(|window| window == &*entry.to_bytes()));

    let decoded = Raft::decode(Lane::Request(APPEND_ENTRIES), bytes.clone()).unwrap();
    let Body::AppendEntries(decoded) = decoded.body else { panic!("another message: {decoded:?}") };
    let arrived = &decoded.entries[0].proposal().unwrap().command;
    assert_eq!(arrived, &command);
    assert!(bytes.as_ptr_range().contains(&arrived.as_ptr()), "the command was copied");
}

/// What a replica serves is the service of the proto file: a client that was generated from it is understood.
#[tokio::test]
async fn the_generated_client_is_understood() {
    let members = vec![NodeId(1), NodeId(2)];
    let setup = Setup::<Raft> {
        cluster_id: 1,
        keys: Keys::default(),
        id: NodeId(1),
        members,
        incarnation: 1,
        seed: 1,
        now: Time::ZERO,
        request_timeout: std::time::Duration::from_secs(5),
        options: <Raft as Protocol>::Options::default(),
    };
    let (inbox, mut received) = crate::transport::inbox(1);
    let links = Links::<Raft>::start(LinkSetup {
        me: NodeId(1),
        cluster_id: 7,
        // Nobody listens there: only the stream that is opened from outside matters here.
        peers: vec![(NodeId(2), "127.0.0.1:1".to_owned())],
        keys: crate::consensus::Keys::default(),
        clients: std::collections::BTreeSet::new(),
        checker: Raft::checker(&setup),
        faults: LinkFaults::default(),
        gate: Gate::new(),
        inbox,
    })
    .unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let router = server().add_routes(links.routes());
    tokio::spawn(router.serve_with_incoming(TcpListenerStream::new(listener)));

    let mut client = pb::raft_service_client::RaftServiceClient::connect(address).await.unwrap();
    let asked = pb::RequestVoteRequest { term: 3, last_log_index: 2, last_log_term: 1, ..Default::default() };
    let forever = tokio_stream::StreamExt::chain(tokio_stream::once(asked), tokio_stream::pending());
    let mut request = Request::new(forever);
    let caller = [("cluster-id", "7"), ("node-id", "2"), ("instance", "5"), ("process-id", "6")];
    for (key, value) in caller.into_iter().chain([("peer-id", "1"), ("protocol", "raft")]) {
        request.metadata_mut().insert(key, value.parse().unwrap());
    }
    let mut answers = client.request_vote(request).await.unwrap().into_inner();

    let arrived = received.recv().await.unwrap();
    let wanted = RequestVote { pre_vote: false, transfer: false, last_index: Index(2), last_term: Epoch(1) };
    assert_eq!(arrived.from, NodeId(2));
    assert_eq!(arrived.message.into_inner(), Message { term: Epoch(3), body: Body::RequestVote(wanted) });

    let granted = RequestVoteResponse { pre_vote: false, granted: true };
    links.send(NodeId(2), Message { term: Epoch(3), body: Body::RequestVoteResponse(granted) });
    let answer = answers.message().await.unwrap().unwrap();
    assert_eq!(answer, pb::RequestVoteResponse { term: 3, vote_granted: true, ..Default::default() });
}
