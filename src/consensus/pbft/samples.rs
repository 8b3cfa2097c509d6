//! Messages of every kind with any content, for property tests.

use bytes::Bytes;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::consensus::{Digest, NodeId, Signature, WallTime};

pub(super) fn view() -> impl Strategy<Value = View> {
    any::<u64>().prop_map(View)
}

pub(super) fn sequence() -> impl Strategy<Value = Sequence> {
    any::<u64>().prop_map(Sequence)
}

fn node() -> impl Strategy<Value = NodeId> {
    any::<u64>().prop_map(NodeId)
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..24).prop_map(Bytes::from)
}

fn signed<T: std::fmt::Debug>(body: impl Strategy<Value = T>) -> impl Strategy<Value = Signed<T>> {
    (body, any::<[u8; 32]>(), any::<[u8; 32]>()).prop_map(|(body, first, second)| {
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&first);
        signature[32..].copy_from_slice(&second);
        Signed { body, signature: Signature(signature) }
    })
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    (node(), any::<u64>(), any::<u64>(), vec((any::<u64>(), bytes()), 0..4)).prop_map(
        |(client, incarnation, time, commands)| Request {
            client,
            incarnation,
            time: WallTime(time),
            commands,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    vec(signed(request()), 0..3).prop_map(Batch)
}

pub(super) fn pre_prepare() -> impl Strategy<Value = PrePrepare> {
    (view(), sequence(), digest(), node()).prop_map(|(view, sequence, digest, replica)| PrePrepare {
        view,
        sequence,
        digest,
        replica,
    })
}

fn prepare() -> impl Strategy<Value = Prepare> {
    pre_prepare().prop_map(|PrePrepare { view, sequence, digest, replica }| Prepare {
        view,
        sequence,
        digest,
        replica,
    })
}

fn commit() -> impl Strategy<Value = Commit> {
    pre_prepare().prop_map(|PrePrepare { view, sequence, digest, replica }| Commit {
        view,
        sequence,
        digest,
        replica,
    })
}

fn checkpoint() -> impl Strategy<Value = Checkpoint> {
    (sequence(), digest(), node()).prop_map(|(sequence, digest, replica)| Checkpoint {
        sequence,
        digest,
        replica,
    })
}

fn stable() -> impl Strategy<Value = Stable> {
    vec(signed(checkpoint()), 0..4).prop_map(|checkpoints| Stable { checkpoints })
}

fn prepared() -> impl Strategy<Value = Prepared> {
    (signed(pre_prepare()), vec(signed(prepare()), 0..3))
        .prop_map(|(pre_prepare, prepares)| Prepared { pre_prepare, prepares })
}

pub(super) fn view_change() -> impl Strategy<Value = ViewChange> {
    (view(), stable(), vec(prepared(), 0..3), node())
        .prop_map(|(view, stable, prepared, replica)| ViewChange { view, stable, prepared, replica })
}

fn new_view() -> impl Strategy<Value = NewView> {
    (view(), vec(signed(view_change()), 0..3), vec(signed(pre_prepare()), 0..3), node()).prop_map(
        |(view, view_changes, pre_prepares, replica)| NewView { view, view_changes, pre_prepares, replica },
    )
}

pub(super) fn reply() -> impl Strategy<Value = Reply> {
    (view(), node(), any::<u64>(), vec((any::<u64>(), option::of(bytes())), 0..4), node()).prop_map(
        |(view, client, incarnation, results, replica)| Reply { view, client, incarnation, results, replica },
    )
}

fn status() -> impl Strategy<Value = Status> {
    (view(), any::<bool>(), sequence(), sequence(), sequence(), node()).prop_map(
        |(view, active, stable, committed, fetching, replica)| Status {
            view,
            active,
            stable,
            committed,
            fetching,
            replica,
        },
    )
}

fn state() -> impl Strategy<Value = State> {
    (sequence(), any::<u32>(), any::<u32>(), option::of(bytes()))
        .prop_map(|(sequence, pieces, number, data)| State { sequence, pieces, number, data })
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        signed(pre_prepare()).prop_map(Said::PrePrepare),
        signed(prepare()).prop_map(Said::Prepare),
        signed(commit()).prop_map(Said::Commit),
        signed(checkpoint()).prop_map(Said::Checkpoint),
        signed(view_change()).prop_map(|signed| Said::ViewChange(Box::new(signed))),
        signed(new_view()).prop_map(|signed| Said::NewView(Box::new(signed))),
        prepared().prop_map(Said::Certificate),
    ]
}

fn evidence() -> impl Strategy<Value = Evidence> {
    (said(), option::of(said())).prop_map(|(one, other)| match other {
        Some(other) => Evidence::pair(one, other),
        None => Evidence::alone(one),
    })
}

/// Any message, whether it makes sense or not.
pub(super) fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        signed(request()).prop_map(Message::Request),
        (signed(pre_prepare()), batch())
            .prop_map(|(pre_prepare, batch)| Message::PrePrepare { pre_prepare, batch }),
        signed(prepare()).prop_map(Message::Prepare),
        signed(commit()).prop_map(Message::Commit),
        signed(reply()).prop_map(Message::Reply),
        signed(reply()).prop_map(Message::Disputed),
        signed(checkpoint()).prop_map(Message::Checkpoint),
        stable().prop_map(Message::Stable),
        signed(view_change()).prop_map(Message::ViewChange),
        signed(new_view()).prop_map(Message::NewView),
        signed(status()).prop_map(Message::Status),
        (sequence(), digest())
            .prop_map(|(sequence, digest)| Message::FetchBatch(FetchBatch { sequence, digest })),
        (sequence(), batch()).prop_map(|(sequence, batch)| Message::Batch { sequence, batch }),
        (sequence(), any::<u32>())
            .prop_map(|(sequence, number)| Message::FetchState(FetchState { sequence, number })),
        state().prop_map(Message::State),
        evidence().prop_map(Message::Evidence),
    ]
}
