use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::consensus::pbft::message::{Sequence, Signed, State, View};
use crate::consensus::pbft::samples::message;
use crate::consensus::pbft::testing::Cast;
use crate::consensus::{Digest, Encode};

fn any_lane() -> impl Strategy<Value = Lane> {
    let number = 0..Pbft::LANES.len();
    prop_oneof![number.clone().prop_map(Lane::Request), number.prop_map(Lane::Response)]
}

fn encoded(message: Message) -> Bytes {
    let mut buf = BytesMut::new();
    Pbft::encode(message, &mut buf);
    buf.freeze()
}

proptest! {
    #[test]
    fn every_message_arrives_as_it_was_sent(message in message()) {
        let signed_bytes = message.to_bytes();
        let arrived = Pbft::decode(Pbft::lane(&message), encoded(message.clone()));
        prop_assert_eq!(&arrived, &Ok(message));
        prop_assert_eq!(arrived.unwrap().to_bytes(), signed_bytes);
    }

    #[test]
    fn arbitrary_bytes_on_any_lane_never_panic(lane in any_lane(), bytes in vec(any::<u8>(), 0..256)) {
        let _ = Pbft::decode(lane, Bytes::from(bytes));
    }

    #[test]
    fn a_damaged_message_never_panics(message in message(), at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let lane = Pbft::lane(&message);
        let mut bytes = encoded(message).to_vec();
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = to;
        }
        let _ = Pbft::decode(lane, Bytes::from(bytes));
    }
}

#[test]
fn signatures_hold_on_the_other_side() {
    let cast = Cast::new(4);
    let prepared = cast.prepared(View(0), Sequence(9), Digest([9; 32]));
    let stable = cast.stable(Sequence(8), Digest([8; 32]));
    let change = cast.view_change(1, View(1), stable, vec![prepared]);
    let bytes = encoded(Message::ViewChange(change.clone()));
    let Ok(Message::ViewChange(arrived)) = Pbft::decode(Lane::Request(VIEW_CHANGE), bytes) else {
        panic!("a VIEW-CHANGE stays one")
    };
    assert!(cast.verifier().verify(&arrived) && arrived.body.verify_proofs(&cast.verifier()));
    assert_eq!(arrived, change);
}

/// Nobody can call a client, so its replies leave on the stream that it opened.
#[test]
fn replies_leave_on_the_receivers_stream() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let seen = std::cell::RefCell::new(Vec::new());
    let notes = |message: Message| {
        use crate::consensus::Message as _;
        seen.borrow_mut().push((message.kind(), Pbft::lane(&message)));
        Ok(())
    };
    runner.run(&message(), notes).unwrap();
    let seen = seen.into_inner();
    for (kind, on) in [
        ("Reply", Lane::Response(REPLY)),
        ("Stable", Lane::Response(CHECKPOINT)),
        ("Batch", Lane::Response(FETCH_BATCH)),
        ("State", Lane::Response(FETCH_STATE)),
    ] {
        assert!(seen.iter().any(|(other, _)| *other == kind));
        assert!(seen.iter().all(|(other, lane)| *other != kind || *lane == on), "{kind}");
    }
    for (kind, lane) in seen {
        // A complaint about a reply has no lane of its own.
        let rpc = if kind == "Disputed" { "Reply" } else { kind };
        assert!(matches!(lane, Lane::Response(_)) || Pbft::LANES[lane.number()] == rpc, "{kind}");
    }
}

/// What a replica serves is the service of the proto file.
#[test]
fn the_lanes_are_the_rpcs_of_the_proto_file() {
    let proto = include_str!("../../../../protos/pbft.proto");
    let rpc = |line: &'static str| line.trim_start().strip_prefix("rpc ")?.split_once('(');
    let (rpcs, streams): (Vec<_>, Vec<_>) = proto.lines().filter_map(rpc).unzip();
    assert_eq!(rpcs, Pbft::LANES);
    assert!(
        streams.iter().all(|types| types.matches("stream ").count() == 2),
        "all stream in both directions"
    );
    assert_eq!(pb::pbft_service_server::SERVICE_NAME, Pbft::SERVICE);
}

fn refused(lane: Lane, message: &impl prost::Message) -> String {
    Pbft::decode(lane, Bytes::from(message.encode_to_vec())).unwrap_err().to_string()
}

#[test]
fn what_is_missing_or_of_another_size_is_named() {
    let nothing = pb::PrePrepareRequest::default();
    assert_eq!(refused(Lane::Request(PRE_PREPARE), &nothing), "field pre_prepare is missing");
    let no_proof = pb::SignedViewChange { view: 1, ..Default::default() };
    assert_eq!(refused(Lane::Request(VIEW_CHANGE), &no_proof), "field stable is missing");
    let short = pb::FetchBatchRequest { sequence: 1, digest: Bytes::from_static(b"x") };
    assert_eq!(refused(Lane::Request(FETCH_BATCH), &short), "field digest has not 32 bytes");
    let nothing = pb::ReplyRequest::default();
    assert_eq!(refused(Lane::Request(REPLY), &nothing), "field disputed is missing");
    let unsigned = pb::SignedRequest::default();
    assert_eq!(refused(Lane::Request(REQUEST), &unsigned), "field signature has not 64 bytes");
}

/// Decoding would make a hundred bytes of every two.
#[test]
fn what_would_take_far_more_memory_than_it_has_bytes_is_refused_before_it_is_decoded() {
    let nested = |field: u8, inside: &[u8]| {
        let header = [field << 3 | 2, inside.len() as u8];
        header.iter().chain(inside).copied().collect::<Vec<u8>>()
    };
    let empty = |field| nested(field, &[]);
    let no_signature = "field message holds something without a signature";
    let small = pb::SignedPrepare { view: 1, signature: Bytes::from(vec![1; 40]), ..Default::default() };
    let whole = pb::SignedPrepare { signature: Bytes::from(vec![1; 64]), ..Default::default() };
    let in_view_change = |inside: &[u8]| nested(3, inside);
    for (lane, bytes) in [
        (Lane::Request(VIEW_CHANGE), empty(3)),
        (
            Lane::Request(VIEW_CHANGE),
            in_view_change(&[nested(1, &whole.encode_to_vec()), nested(2, &[8, 1])].concat()),
        ),
        (Lane::Request(VIEW_CHANGE), nested(2, &nested(1, &small.encode_to_vec()))),
        (Lane::Request(NEW_VIEW), empty(2)),
        (Lane::Request(NEW_VIEW), empty(3)),
        (Lane::Request(PRE_PREPARE), empty(2)),
        (Lane::Response(CHECKPOINT), empty(1)),
        (Lane::Response(FETCH_BATCH), empty(2)),
    ] {
        assert_eq!(Pbft::decode(lane, Bytes::from(bytes)).unwrap_err().to_string(), no_signature, "{lane:?}");
    }
    for (lane, field) in [(Lane::Request(REQUEST), 4), (Lane::Response(REPLY), 4)] {
        let bytes = empty(field).repeat(super::super::options::MAX_BATCH_COMMANDS + 1);
        let error = Pbft::decode(lane, Bytes::from(bytes)).unwrap_err();
        assert_eq!(error.to_string(), "field message holds more than any batch");
    }
}

#[test]
fn a_lane_without_messages_in_a_direction_takes_none() {
    for lane in [Lane::Response(REQUEST), Lane::Response(COMMIT), Lane::Request(99)] {
        let error = Pbft::decode(lane, Bytes::new()).unwrap_err();
        assert_eq!(error.to_string(), "field rpc carries no messages in this direction");
    }
}

#[test]
fn payloads_are_not_copied() {
    let command = Bytes::from_static(b"a command that is long enough to be found");
    let mut request = Cast::new(4).request([1]);
    request.body.commands[0].1 = command.clone();
    let bytes = encoded(Message::Request(request));
    let Ok(Message::Request(Signed { body, .. })) = Pbft::decode(Lane::Request(REQUEST), bytes.clone())
    else {
        panic!("a request stays one")
    };
    assert_eq!(body.commands[0].1, command);
    assert!(bytes.as_ptr_range().contains(&body.commands[0].1.as_ptr()), "the command was copied");

    let state = State { sequence: Sequence(8), pieces: 1, number: 0, data: Some(command.clone()) };
    let bytes = encoded(Message::State(state));
    let Ok(Message::State(arrived)) = Pbft::decode(Lane::Response(FETCH_STATE), bytes.clone()) else {
        panic!("a piece stays one")
    };
    assert!(bytes.as_ptr_range().contains(&arrived.data.unwrap().as_ptr()), "the piece was copied");
}
