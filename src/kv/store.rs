//! [`Store`]: the state that the cluster replicates.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::error::KvError;
use super::execute;
use super::hash::{Domain, Hasher};
use super::mvcc::Mvcc;
use super::request::{Command, Op, RangeRequest, TxnRequest};
use super::requests::{Answered, Requests, Retention, digest_from_requests};
use super::response::{OpenSessionResponse, RangeResponse, Reply, Response};
use super::session::{Admission, Sessions, digest_from_sections};
use super::snapshot::{Frozen, PIECE_BYTES};
use super::txn;
use super::validate::check;
use crate::consensus::{Committed, Decode, Digest, Index, Proposal, Recall, RequestId};

/// The state that the cluster replicates; see [the module](super).
///
/// A clone shares everything with its original and costs some microseconds; after it, whichever of the two writes
/// copies the little that it touches.
#[derive(Clone, Debug)]
pub struct Store {
    pub(super) applied: Index,
    pub(super) mvcc: Mvcc,
    pub(super) sessions: Sessions,
    pub(super) requests: Requests,
}

impl Default for Store {
    fn default() -> Self {
        Self::new()
    }
}

impl Store {
    /// An empty store: nothing applied, at revision 1. It remembers the ids of requests and not their replies.
    pub fn new() -> Self {
        Self::keeping(Retention::default())
    }

    /// An empty store that remembers so much of requests.
    pub fn keeping(retention: Retention) -> Self {
        Self {
            applied: Index::ZERO,
            mvcc: Mvcc::new(),
            sessions: Sessions::default(),
            requests: Requests::new(retention),
        }
    }

    /// The last index that was executed.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The number of the last change.
    pub fn revision(&self) -> i64 {
        self.mvcc.revision
    }

    /// The oldest revision that can be read; -1 before the first compaction.
    pub fn compacted(&self) -> i64 {
        self.mvcc.compacted
    }

    /// Bytes of all keys and values, old revisions included: what the store takes, less its own bookkeeping.
    pub fn bytes(&self) -> u64 {
        self.mvcc.tree.bytes()
    }

    /// Executes the commands of one slot, in order, and says of each what came of it. A request id that was seen before
    /// is not executed again.
    ///
    /// Never fails: any bytes have a defined effect, the same on every replica.
    pub fn apply(&mut self, committed: &Committed) -> Vec<(RequestId, Answered)> {
        assert_eq!(
            committed.index,
            self.applied.next(),
            "invariant 1: slots are executed in order, each once"
        );
        self.applied = committed.index;
        let apply = |proposal: &Proposal| (proposal.id, self.apply_request(proposal));
        committed.proposals.iter().map(apply).collect()
    }

    fn apply_request(&mut self, proposal: &Proposal) -> Answered {
        if let Some(answered) = self.requests.answer(proposal.id) {
            return answered;
        }
        let reply = self.apply_command(&proposal.command);
        self.requests.executed(proposal.id, reply)
    }

    /// What is known of a request: whether it was executed, and what it answered if that is kept.
    pub fn recall(&self, id: RequestId) -> Recall {
        self.requests.recall(id)
    }

    fn apply_command(&mut self, command: &Bytes) -> Reply {
        let command = Command::from_bytes(command.clone()).map_err(|_| KvError::Malformed)?;
        let Some(tag) = command.session else { return self.execute(&command.op) };
        match self.sessions.admit(tag)? {
            Admission::Again(reply) => reply,
            Admission::Execute => {
                let reply = self.execute(&command.op);
                self.sessions.executed(tag, &reply);
                reply
            }
        }
    }

    /// Executes one operation outside the order: for models and tests. [`Self::applied`] does not move.
    pub fn execute(&mut self, op: &Op) -> Reply {
        check(op)?;
        // What is refused has changed nothing: what turns out to answer too much is taken back.
        let before = op.writes_and_may_answer_much().then(|| self.mvcc.clone());
        let response = self.carry_out(op)?;
        if response.fits() {
            return Ok(response);
        }
        if let Some(before) = before {
            self.mvcc = before;
        }
        Err(KvError::ResultTooLarge)
    }

    fn carry_out(&mut self, op: &Op) -> Reply {
        match op {
            Op::Range(request) => {
                execute::range(&self.mvcc, request, self.mvcc.revision).map(Response::Range)
            }
            Op::Put(request) => {
                let mut writer = self.mvcc.write();
                let response = execute::put(&mut writer, request)?;
                writer.finish();
                Ok(Response::Put(response))
            }
            Op::DeleteRange(request) => {
                let mut writer = self.mvcc.write();
                let response = execute::delete_range(&mut writer, request);
                writer.finish();
                Ok(Response::DeleteRange(response))
            }
            Op::Txn(request) => txn::txn(&mut self.mvcc, request),
            Op::Compact(request) => execute::compact(&mut self.mvcc, *request),
            Op::OpenSession => {
                let session = self.sessions.open();
                Ok(Response::OpenSession(OpenSessionResponse { revision: self.mvcc.revision, session }))
            }
        }
    }

    /// Reads from the state as it is.
    pub fn range(&self, request: &RangeRequest) -> Result<RangeResponse, KvError> {
        if request.key.is_empty() {
            return Err(KvError::EmptyKey);
        }
        let range = execute::range(&self.mvcc, request, self.mvcc.revision)?;
        if range.fits() { Ok(range) } else { Err(KvError::ResultTooLarge) }
    }

    /// Answers a transaction from the state as it is. One that would write is answered as if it had, and leaves no
    /// trace.
    pub fn peek(&self, request: &TxnRequest) -> Reply {
        self.clone().execute(&Op::Txn(request.clone()))
    }

    /// The digest of everything that is replicated: a Merkle tree of which only what changed since the last call is
    /// hashed again.
    pub fn digest(&mut self) -> Digest {
        let tree = self.mvcc.tree.rehash();
        self.summary().digest(&tree)
    }

    /// What the state digest covers besides the keys. Hashes what changed since it was last asked for.
    pub(super) fn summary(&mut self) -> Summary {
        Summary {
            applied: self.applied,
            revision: self.mvcc.revision,
            compacted: self.mvcc.compacted,
            sessions_opened: self.sessions.opened,
            session_uses: self.sessions.uses,
            requests: self.requests.section_digests(),
            sessions: self.sessions.section_digests(),
        }
    }

    /// The state as it is now, to be written to disk or sent while this store goes on. Costs a [digest](Self::digest)
    /// and a clone. It is cut into pieces of about [`PIECE_BYTES`].
    pub fn freeze(&mut self) -> Frozen {
        self.freeze_in(PIECE_BYTES)
    }

    /// As [`freeze`](Self::freeze), cut into pieces of about so many bytes: the same at all replicas.
    pub fn freeze_in(&mut self, piece_bytes: usize) -> Frozen {
        let digest = self.digest();
        Frozen::new(self.clone(), digest, piece_bytes)
    }
}

/// The part of the state that a snapshot's manifest holds, with the digests of what is too large for it, except for
/// those of the buckets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub(super) applied: Index,
    pub(super) revision: i64,
    pub(super) compacted: i64,
    pub(super) sessions_opened: u64,
    pub(super) session_uses: u64,
    pub(super) requests: BTreeMap<u32, Digest>,
    pub(super) sessions: BTreeMap<u64, Digest>,
}

impl Summary {
    /// The digest of the whole state, given the tree's.
    pub(super) fn digest(&self, tree: &Digest) -> Digest {
        Hasher::new(Domain::State)
            .u64(self.applied.0)
            .u64(self.revision as u64)
            .u64(self.compacted as u64)
            .u64(self.sessions_opened)
            .u64(self.session_uses)
            .digest(&digest_from_requests(&self.requests))
            .digest(&digest_from_sections(&self.sessions))
            .digest(tree)
            .finish()
    }
}
