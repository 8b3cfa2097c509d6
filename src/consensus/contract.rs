//! [`Protocol`], what goes into it and what comes out.

use std::fmt::Debug;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec::{Decode, Encode};
use super::evidence::{Court, Judgement};
use super::keys::Keys;
use super::message::{Checked, Message, Refused};
use super::misbehaviour::{Behaviour, Misbehaviour};
use super::status::{Event, Status};
use super::types::{Digest, Epoch, Index, Lsn, NodeId, ReadId, RequestId, Time, WallTime};

/// A consensus protocol: a deterministic state machine (see the [module](super) for the caller's duty).
pub trait Protocol: Sized + Send + 'static {
    /// What replicas send each other.
    type Message: Message;
    /// What must survive a crash.
    type Record: Encode + Decode + Clone + Debug + Send + 'static;
    /// The protocol's own settings: its section of `cluster.toml`.
    type Options: Clone + Debug + Default + Serialize + DeserializeOwned + Send + Sync + 'static;
    /// What it takes to check a message: the members, limits, public keys. Cheap to clone, for any thread.
    type Checker: Clone + Send + Sync + 'static;

    /// The protocol's name on the command line and in data directories.
    const NAME: &'static str;

    /// Who answers a client.
    const ANSWERS: Answers;

    /// What a replica can be told to do wrong. Empty where the protocol does not tolerate lies.
    const BEHAVIOURS: &'static [Behaviour] = &[];

    /// Rebuilds the replica from what its disk holds. Sends nothing before it returns.
    fn recover(setup: Setup<Self>, recovered: Recovered<Self::Record>) -> Result<Self, RecoverError>;

    /// Refuses settings that cannot work, and says which and why.
    fn check_options(options: &Self::Options) -> Result<(), String>;

    /// About how many bytes its largest record takes among so many members, if that is more than a command does: the log
    /// must be able to hold it, or the node would have to stop when it comes.
    fn largest_record(_options: &Self::Options, _members: usize) -> u64 {
        0
    }

    /// Makes what [`check`](Self::check) needs.
    fn checker(setup: &Setup<Self>) -> Self::Checker;

    /// Checks a message of `from`: a pure function, for any thread.
    fn check(
        checker: &Self::Checker,
        from: NodeId,
        message: Self::Message,
    ) -> Result<Checked<Self::Message>, Refused>;

    /// Takes one input and appends what follows from it to `out`.
    fn handle(&mut self, now: Time, input: Input<Self::Message>, out: &mut Output<Self>);

    /// When [`Input::Timeout`] is due if nothing else happens first; an early one does nothing.
    fn deadline(&self) -> Option<Time>;

    /// So many messages that came from a peer were refused by [`check`](Self::check): for protocols that keep account of
    /// that. Nothing follows from it.
    fn note_refused(&mut self, _now: Time, _from: NodeId, _count: u64) {}

    /// How the replica sees itself and the cluster, in neutral words.
    fn status(&self) -> Status;

    /// An event in the protocol's own words, for logs and traces.
    fn describe_event(event: &Event) -> String;

    /// The pieces of evidence that the replica holds against others, each as bytes that
    /// [`judge_evidence`](Self::judge_evidence) takes. Bounded, in the order of culprits.
    fn evidence(&self) -> Vec<Bytes> {
        Vec::new()
    }

    /// What a piece of evidence proves, or why it proves nothing. Depends on nothing but its arguments.
    fn judge_evidence(_court: &Court, _piece: &Bytes) -> Result<Judgement, String> {
        Err(format!("{} signs nothing, so nothing proves a lie there", Self::NAME))
    }

    /// Refuses what no replica can be told to do wrong, and says why: an unknown behaviour, or an aim that is none.
    fn check_misbehaviour(misbehaviour: &Misbehaviour) -> Result<(), String> {
        misbehaviour.check(Self::BEHAVIOURS)
    }

    /// Makes the replica lie from now on, or with `None` makes it honest again. Refuses what
    /// [`check_misbehaviour`](Self::check_misbehaviour) refuses. Only for laboratories: the caller sees to that.
    fn misbehave(&mut self, misbehaviour: Option<Misbehaviour>) -> Result<(), String> {
        match misbehaviour {
            None => Ok(()),
            Some(_) => {
                Err(format!("{} tolerates crashes only: none of its replicas can be made to lie", Self::NAME))
            }
        }
    }
}

/// Who answers a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The store of the node that the client asked: nodes crash, but do not lie. A linearizable read gets a read point
    /// ([`Input::Read`]) and is served from there.
    ByNode,
    /// Enough nodes with equal replies. The protocol hears what the store answered ([`Input::Applied`]), sends it to
    /// the client as a message of its own, and says when enough came together for a proposal of this node
    /// ([`Output::answers`]). Linearizable reads are ordered as commands, so [`Input::Read`] never comes; and the store
    /// remembers its answers, so that a request that comes again is answered as it was.
    ByVote,
}

/// Everything that a replica needs to know besides its disk.
#[derive(Debug)]
pub struct Setup<P: Protocol> {
    /// This replica.
    pub id: NodeId,
    /// Which cluster it belongs to: part of everything that is signed.
    pub cluster_id: u64,
    /// This replica's secret key and everybody's public one; of clients too, whose ids are above the members'. Empty
    /// where the protocol signs nothing.
    pub keys: Keys,
    /// The members that a fresh cluster starts with, in ascending order of ids.
    pub members: Vec<NodeId>,
    /// Which life of the node this is: larger than in every earlier one.
    pub incarnation: u64,
    /// Feeds the replica's own random stream, as for its election timeout.
    pub seed: u64,
    /// The node's clock at its start.
    pub now: Time,
    /// After how long a proposal or read that got nowhere is rejected.
    pub request_timeout: Duration,
    /// The protocol's own settings.
    pub options: P::Options,
}

impl<P: Protocol> Clone for Setup<P> {
    fn clone(&self) -> Self {
        Self {
            id: self.id,
            cluster_id: self.cluster_id,
            keys: self.keys.clone(),
            members: self.members.clone(),
            incarnation: self.incarnation,
            seed: self.seed,
            now: self.now,
            request_timeout: self.request_timeout,
            options: self.options.clone(),
        }
    }
}

/// What a replica's disk holds.
#[derive(Clone, Debug)]
pub struct Recovered<R> {
    /// The newest durable snapshot; the store has been loaded from it.
    pub snapshot: Option<SnapshotMeta>,
    /// All records that the log still has, in order. Some may be older than the snapshot: the log is cut coarsely.
    pub records: Vec<(Lsn, R)>,
    /// The number of the next record.
    pub next_lsn: Lsn,
}

/// Why a replica cannot be rebuilt: its log contradicts itself or its snapshot.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record {lsn} of the log: {why}")]
pub struct RecoverError {
    /// The record at which the contradiction shows.
    pub lsn: Lsn,
    /// What is wrong.
    pub why: String,
}

/// A command on its way to the store. The protocol does not look into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Its name for ever.
    pub id: RequestId,
    /// The proposer's wall clock, for people.
    pub time: WallTime,
    /// An encoded command of the store.
    pub command: Bytes,
}

/// What happens to a replica.
#[derive(Clone, Debug)]
pub enum Input<M> {
    /// A checked message arrived.
    Message {
        /// Who sent it.
        from: NodeId,
        /// The message.
        message: Checked<M>,
    },
    /// Clients of this node want these commands ordered, batched by whatever was waiting. Each is answered by its
    /// execution or by a rejection.
    Propose(Vec<Proposal>),
    /// Clients of this node ask for a linearizable read point: one for all of these ids. Only with
    /// [`Answers::ByNode`].
    Read(Vec<ReadId>),
    /// The deadline may have come.
    Timeout,
    /// All records up to here are on disk: again what it was before, if only [`Output::probe`] asked.
    Durable(Lsn),
    /// The store has executed.
    Applied {
        /// Up to here.
        index: Index,
        /// What it answered to each proposal since it last said so, in order; only with [`Answers::ByVote`].
        outcomes: Vec<(RequestId, Outcome)>,
    },
    /// What the store knows of requests that the protocol asked about ([`Output::recall`]).
    Recalled(Vec<(RequestId, Recall)>),
    /// A checkpoint that was asked for has its digest, and its state is kept in memory.
    Checkpointed {
        /// Of which index.
        index: Index,
        /// The digest of the state.
        digest: Digest,
    },
    /// A kept state that was to be saved is on disk as a snapshot.
    Saved(SnapshotMeta),
    /// A piece of a snapshot that the protocol asked to read.
    Piece(SnapshotPiece),
    /// How far a snapshot that is being received has come.
    Install(InstallProgress),
    /// How the disk is doing, when that changes.
    Storage(Pressure),
    /// The operator wants another leader; `None` leaves the choice to the protocol.
    TransferLeadership(Option<NodeId>),
}

/// How the disk is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Pressure {
    /// It keeps up.
    #[default]
    Ok,
    /// Too many bytes wait to become durable: propose no more.
    Slow,
    /// There can be no other segment for now: propose no more, keep what is there.
    Full(Shortage),
}

impl Pressure {
    /// Whether there can be no other segment for now.
    pub const fn is_full(self) -> bool {
        matches!(self, Self::Full(_))
    }
}

/// What there is too little of to make another file. It may come back, so that whoever needs one tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// Room on the disk, or in what a user or a process may have of it.
    Disk,
    /// File descriptors, of the process or of the machine.
    Descriptors,
    /// Memory of the kernel.
    Memory,
}

impl Shortage {
    /// What to say of it.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Disk => "the disk is full",
            Self::Descriptors => "no file descriptor is left",
            Self::Memory => "the system has no memory left",
        }
    }
}

/// What a replica wants done. Filled by [`Protocol::handle`], emptied by the engine.
#[derive(Debug)]
pub struct Output<P: Protocol> {
    /// To the log, in order. Numbered by the protocol, one number a record.
    pub records: Vec<(Lsn, P::Record)>,
    /// The log may forget what is below, once `records` are durable.
    pub retain_from: Option<Lsn>,
    /// Nothing was written for a while: the log is to show whether the disk still answers, by an [`Input::Durable`]. It
    /// takes no room.
    pub probe: bool,
    /// To other replicas.
    pub messages: Vec<Outgoing<P::Message>>,
    /// To the store, in order.
    pub committed: Vec<Committed>,
    /// Answers to [`Input::Read`]: serve each from the store once it has executed up to the index.
    pub reads: Vec<(ReadId, Result<Index, Rejection>)>,
    /// Proposals of this node that will not be answered by an execution.
    pub rejected: Vec<(RequestId, Rejection)>,
    /// Proposals of this node that enough nodes answered alike, with that answer. Only with [`Answers::ByVote`].
    pub answers: Vec<(RequestId, Bytes)>,
    /// Asks what the store knows of these requests. Only with [`Answers::ByVote`].
    pub recall: Vec<RequestId>,
    /// A digest is wanted of the state at this index, the last one in `committed` so far. The state is kept in memory,
    /// for pieces to be read from it and to be saved, until it is released. Keeping one costs what is written after it.
    pub checkpoint: Option<Index>,
    /// The kept state of this index is to be written to disk.
    pub save: Option<Index>,
    /// Kept states below this index may be forgotten.
    pub release: Option<Index>,
    /// Pieces of kept states or of the newest durable snapshot that are to be read.
    pub pieces: Vec<PieceRequest>,
    /// Pieces of a peer's snapshot, to be stored; after the last one the snapshot replaces the state.
    pub install: Vec<Install>,
    /// What happened, for traces. Only what is rare: changes of role, refusals.
    pub trace: Vec<Event>,
}

impl<P: Protocol> Default for Output<P> {
    fn default() -> Self {
        Self {
            records: Vec::new(),
            retain_from: None,
            probe: false,
            messages: Vec::new(),
            committed: Vec::new(),
            reads: Vec::new(),
            rejected: Vec::new(),
            answers: Vec::new(),
            recall: Vec::new(),
            checkpoint: None,
            save: None,
            release: None,
            pieces: Vec::new(),
            install: Vec::new(),
            trace: Vec::new(),
        }
    }
}

/// A message to another replica, or to a client where clients take part in the protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing<M> {
    /// To whom.
    pub to: NodeId,
    /// What.
    pub message: M,
    /// It leaves once the log is durable up to here; [`Lsn::ZERO`] for a message that promises nothing.
    pub after: Lsn,
}

/// One slot of the order that the cluster agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Its position.
    pub index: Index,
    /// The epoch in which it was first proposed.
    pub epoch: Epoch,
    /// What to execute; nothing for a no-op or a null request.
    pub proposals: Vec<Proposal>,
}

/// What the store answered to a proposal that it was handed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It answered this, now or when it executed the same request before: the same bytes on every honest replica.
    Answered(Bytes),
    /// It was executed before, and what it answered then is not kept any more; or it is so old that nobody knows.
    Forgotten,
}

/// What the store knows of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recall {
    /// It has not executed it so far.
    NotExecuted,
    /// It has.
    Executed(Outcome),
}

/// Why a proposal or read gets no answer from the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    /// Why.
    pub reason: RejectReason,
    /// `true`: it was not and will not be executed. `false`: it may be, now or later.
    pub never_executed: bool,
    /// Who leads, as far as this replica knows.
    pub leader: Option<NodeId>,
}

/// Why a proposal or read was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// There was no leader to take it, for the whole request time-out.
    #[error("no leader")]
    NoLeader,
    /// There is or was a leader, but no quorum confirmed it in time.
    #[error("timed out waiting for a quorum")]
    TimedOut,
    /// As many requests as this node keeps are waiting already.
    #[error("too many requests")]
    TooManyRequests,
    /// The command exceeds the limit for one.
    #[error("request is too large")]
    TooLarge,
    /// The disk does not keep up.
    #[error("the disk is too slow: too many writes wait for it")]
    StorageSlow,
    /// The disk is full.
    #[error("the disk is full")]
    StorageFull,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
}

impl RejectReason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::NoLeader,
        Self::TimedOut,
        Self::TooManyRequests,
        Self::TooLarge,
        Self::StorageSlow,
        Self::StorageFull,
        Self::Stopping,
    ];
}

/// Describes a snapshot without its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotMeta {
    /// The last index whose execution the snapshot holds.
    pub index: Index,
    /// That index's epoch.
    pub epoch: Epoch,
    /// The members of the cluster as of that index.
    pub members: Vec<NodeId>,
    /// The digest of the state.
    pub digest: Digest,
    /// How many pieces it has. Piece 0 is the manifest, against which all others are checked.
    pub pieces: u32,
}

/// A piece that a protocol wants to read, to send it to a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceRequest {
    /// For whom; comes back with the piece.
    pub to: NodeId,
    /// Of which state; one that is kept, or was reported as saved and not replaced since.
    pub index: Index,
    /// Which piece.
    pub number: u32,
}

/// A piece of a snapshot, on its way to or from a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotPiece {
    /// Whose it is: for whom it was read, or who sent it.
    pub peer: NodeId,
    /// Of which snapshot.
    pub meta: SnapshotMeta,
    /// Which piece.
    pub number: u32,
    /// Its content; `None` when it was asked for but the snapshot is gone: ask for a newer one.
    pub data: Option<Bytes>,
}

/// A piece of a peer's snapshot that is to be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Install {
    /// The piece.
    pub piece: SnapshotPiece,
    /// The snapshot replaces the state even if that has executed further: what it executed was wrong.
    pub repair: bool,
}

/// How far a snapshot that is being received has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InstallProgress {
    /// All pieces below `next` are stored.
    Stored {
        /// Of which snapshot.
        index: Index,
        /// The piece that is wanted next.
        next: u32,
    },
    /// The snapshot is complete, checked, durable, and is the store's state now.
    Done(SnapshotMeta),
    /// It could not be stored or does not match its digest; what was received is thrown away.
    Failed {
        /// Of which snapshot.
        index: Index,
        /// Why.
        why: String,
    },
}
