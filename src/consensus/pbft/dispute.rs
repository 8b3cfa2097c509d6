//! Disputes: a client shows replicas a REPLY that f + 1 others contradict.
//!
//! Only the client sees what each replica answers it. So it passes on the answer that it did not believe, as it was
//! signed, and each replica compares it with what its own store remembers of that command. Nobody has to believe the
//! client: what it shows was signed by the replica that it complains of.
//!
//! It is suspicion and no evidence: a replica whose memory is faulty computes wrong results as honestly as it can.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use super::message::{Reply, Signed};
use super::replica::{Out, Replica};
use super::suspicion::Suspect;
use crate::consensus::{Digest, Event, NodeId, RequestId};

/// So many disputed results wait for the store's word at once; it gives it within a step or two.
const MAX_CLAIMS: usize = 1024;

/// What stands against the results that replicas gave.
#[derive(Debug, Default)]
pub(super) struct Disputes(Vec<Claim>);

/// A replica says that this was the result.
#[derive(Debug)]
struct Claim {
    replica: NodeId,
    id: RequestId,
    result: Digest,
}

impl Disputes {
    /// Takes a REPLY's results in, as far as there is room for them.
    fn insert(&mut self, reply: &Reply) -> Vec<RequestId> {
        let Reply { client: origin, incarnation, results, replica, .. } = reply;
        let room = MAX_CLAIMS - self.0.len();
        let claims = results.iter().filter_map(|(counter, result)| {
            let id = RequestId { origin: *origin, incarnation: *incarnation, counter: *counter };
            Some(Claim { replica: *replica, id, result: result_digest(result.as_ref()?) })
        });
        let before = self.0.len();
        self.0.extend(claims.take(room));
        self.0[before..].iter().map(|claim| claim.id).collect()
    }

    /// Who claims something else than the store answered. A store that remembers nothing of it contradicts nobody.
    fn settle(&mut self, id: RequestId, executed: Option<&Bytes>) -> Vec<NodeId> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let settled: Vec<Claim> = self.0.extract_if(.., |claim| claim.id == id).collect();
        let Some(right) = executed.map(result_digest) else { return Vec::new() };
        settled.iter().filter(|claim| claim.result != right).map(|claim| claim.replica).collect()
    }
}

/// What names a result.
pub(super) fn result_digest(result: &Bytes) -> Digest {
    Digest(Sha256::digest(result).into())
}

impl Replica {
    /// A client does not believe a REPLY of another replica: what does the store say?
    pub(super) fn on_disputed(&mut self, from: NodeId, reply: &Signed<Reply>, out: &mut Out) {
        let asked =
            if reply.body.replica == self.id { Vec::new() } else { self.disputes.insert(&reply.body) };
        if asked.is_empty() {
            let why = "it is this replica's own, or says nothing, or too much is disputed";
            out.trace.push(Event::Ignored { from, kind: "Disputed", why });
        }
        out.recall.extend(asked);
    }

    /// The store says what the result of a command was.
    pub(super) fn settle_disputes(&mut self, id: RequestId, executed: Option<&Bytes>) {
        for replica in self.disputes.settle(id, executed) {
            self.suspect(replica, Suspect::WrongReply);
        }
    }
}
