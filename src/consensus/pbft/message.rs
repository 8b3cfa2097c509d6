//! What replicas and clients send each other (TOCS §4; the public-key form of OSDI'99).
//!
//! Every message of a replica is signed over its whole canonical content (see [`Signed`]), so it convinces whoever holds
//! it, whoever passed it on. A message therefore names its signer itself, and the link over which it came says only whom
//! to answer.

use bytes::Bytes;

use super::evidence::Evidence;
use crate::consensus::{Digest, Encode, NodeId, RequestId, Signature, WallTime};

/// The view: which replica is the primary (TOCS §4.1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct View(pub u64);

/// A sequence number: a position in the order. Zero is before the first; it is the contract's index.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Sequence(pub u64);

/// A content and its signature, made by the replica or client that the content names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signed<T> {
    /// What is signed.
    pub body: T,
    /// Over the domain, the cluster's id, the kind of message and the body's canonical encoding.
    pub signature: Signature,
}

/// What can be signed: knows its kind and who must have signed it.
pub trait Statement: Encode {
    /// Tells kinds apart under one key: no signature of one kind is one of another.
    const KIND: u8;

    /// Who must have signed it.
    fn signer(&self) -> NodeId;
}

/// <REQUEST, o, t, c> of a client (TOCS §4.2). It carries one or more commands of the client, executed one after the
/// other; each has an id, and so a timestamp t, of its own, under which it is executed at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// c: the client.
    pub client: NodeId,
    /// Which life of the client.
    pub incarnation: u64,
    /// The client's wall clock, for people.
    pub time: WallTime,
    /// The operations, by counter in strictly ascending order; at least one.
    pub commands: Vec<(u64, Bytes)>,
}

impl Request {
    /// The ids of its commands.
    pub fn ids(&self) -> impl Iterator<Item = RequestId> + '_ {
        let (origin, incarnation) = (self.client, self.incarnation);
        self.commands.iter().map(move |(counter, _)| RequestId { origin, incarnation, counter: *counter })
    }
}

/// Requests that are ordered together under one sequence number. Named by the digest of the signed requests, in order.
/// Without requests it is the *null request* of a view change (TOCS §4.5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch(pub Vec<Signed<Request>>);

/// <PRE-PREPARE, v, n, d> of the primary (TOCS §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrePrepare {
    /// v.
    pub view: View,
    /// n.
    pub sequence: Sequence,
    /// d: the batch's.
    pub digest: Digest,
    /// The primary of v.
    pub replica: NodeId,
}

/// <PREPARE, v, n, d, i> of a backup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prepare {
    /// v.
    pub view: View,
    /// n.
    pub sequence: Sequence,
    /// d.
    pub digest: Digest,
    /// i.
    pub replica: NodeId,
}

/// <COMMIT, v, n, d, i>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// v.
    pub view: View,
    /// n.
    pub sequence: Sequence,
    /// d.
    pub digest: Digest,
    /// i.
    pub replica: NodeId,
}

/// <CHECKPOINT, n, d, i> (TOCS §4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// n: the last sequence number whose execution the state holds.
    pub sequence: Sequence,
    /// d: the digest of the state.
    pub digest: Digest,
    /// i.
    pub replica: NodeId,
}

/// A PRE-PREPARE and PREPAREs of Q - 1 different backups that match it: proof that nothing else can prepare in that view
/// under that number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    /// Without its batch.
    pub pre_prepare: Signed<PrePrepare>,
    /// In ascending order of replicas.
    pub prepares: Vec<Signed<Prepare>>,
}

/// CHECKPOINTs of Q different replicas with one sequence number and digest: that checkpoint is stable. Empty for the
/// state before the first request, which needs no proof.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stable {
    /// In ascending order of replicas.
    pub checkpoints: Vec<Signed<Checkpoint>>,
}

/// <VIEW-CHANGE, v, n, C, P, i> (OSDI'99 §4.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ViewChange {
    /// v: the view that the replica wants to enter.
    pub view: View,
    /// n and C: its last stable checkpoint, with the proof.
    pub stable: Stable,
    /// P: of each sequence number above n that prepared at the replica, the certificate of the highest view. In ascending
    /// order of sequence numbers.
    pub prepared: Vec<Prepared>,
    /// i.
    pub replica: NodeId,
}

/// <NEW-VIEW, v, V, O> of the primary of v.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewView {
    /// v.
    pub view: View,
    /// V: VIEW-CHANGEs for v of Q different replicas, in ascending order of replicas.
    pub view_changes: Vec<Signed<ViewChange>>,
    /// O: a PRE-PREPARE for each sequence number between V's latest stable checkpoint and its highest prepared one.
    pub pre_prepares: Vec<Signed<PrePrepare>>,
    /// The primary of v.
    pub replica: NodeId,
}

/// <REPLY, v, t, c, i, r> (TOCS §4.2): one for all commands of a client that a slot executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// v: tells the client who the primary is. Not compared.
    pub view: View,
    /// c.
    pub client: NodeId,
    /// Which life of the client.
    pub incarnation: u64,
    /// t and r: the counters and what the store answered, in ascending order. `None`: executed, but the answer is not
    /// kept any more.
    pub results: Vec<(u64, Option<Bytes>)>,
    /// i.
    pub replica: NodeId,
}

/// How far a replica has come, so that others can send again what it lacks (TOCS §5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The view that it is in, or wants to enter.
    pub view: View,
    /// Whether it is in that view; else it waits for the NEW-VIEW.
    pub active: bool,
    /// h: its last stable checkpoint.
    pub stable: Sequence,
    /// The last sequence number that it committed with all before it.
    pub committed: Sequence,
    /// The stable checkpoint whose state it is fetching, so that the others keep that; 0 for none.
    pub fetching: Sequence,
    /// i.
    pub replica: NodeId,
}

/// Asks for a batch by its digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchBatch {
    /// Where it is ordered.
    pub sequence: Sequence,
    /// Its digest.
    pub digest: Digest,
}

/// Asks for a piece of the state at a stable checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchState {
    /// Which checkpoint.
    pub sequence: Sequence,
    /// Which piece, from 0, the manifest.
    pub number: u32,
}

/// A piece of the state. Not signed: its digest proves it, and nothing else would.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// Of which checkpoint.
    pub sequence: Sequence,
    /// How many pieces the state has, as the sender cuts it.
    pub pieces: u32,
    /// Which one this is.
    pub number: u32,
    /// `None`: the sender does not keep that state any more.
    pub data: Option<Bytes>,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Of a client, or relayed by a replica.
    Request(Signed<Request>),
    /// With the batch that it orders, unless the receiver is known to have it.
    PrePrepare {
        /// The statement.
        pre_prepare: Signed<PrePrepare>,
        /// The batch.
        batch: Batch,
    },
    /// See [`Prepare`].
    Prepare(Signed<Prepare>),
    /// See [`Commit`].
    Commit(Signed<Commit>),
    /// To a client.
    Reply(Signed<Reply>),
    /// Of a client: another replica's REPLY to it, which f + 1 others contradict.
    Disputed(Signed<Reply>),
    /// See [`Checkpoint`].
    Checkpoint(Signed<Checkpoint>),
    /// A stable checkpoint's whole proof, for who missed it.
    Stable(Stable),
    /// See [`ViewChange`].
    ViewChange(Signed<ViewChange>),
    /// See [`NewView`].
    NewView(Signed<NewView>),
    /// See [`Status`].
    Status(Signed<Status>),
    /// See [`FetchBatch`].
    FetchBatch(FetchBatch),
    /// The answer to it: proved by its digest alone, which some certificate names.
    Batch {
        /// Where it is ordered.
        sequence: Sequence,
        /// The batch.
        batch: Batch,
    },
    /// See [`FetchState`].
    FetchState(FetchState),
    /// See [`State`].
    State(State),
    /// A proof that somebody lied, which proves itself.
    Evidence(Evidence),
}
