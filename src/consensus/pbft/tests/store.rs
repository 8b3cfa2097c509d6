//! A store for tests: it remembers what it executed, and answers with where.

use std::collections::BTreeMap;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

use crate::consensus::{Committed, Digest, Outcome, Recall, RequestId};

#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    pub(super) applied: u64,
    answers: BTreeMap<RequestId, Bytes>,
    /// The commands in the order in which they were executed.
    pub(super) executed: Vec<String>,
    chain: [u8; 32],
}

impl Store {
    pub(super) fn apply(&mut self, slot: &Committed) -> Vec<(RequestId, Outcome)> {
        assert_eq!(slot.index.0, self.applied + 1, "slots are executed in order");
        self.applied = slot.index.0;
        let mut outcomes = Vec::new();
        for proposal in &slot.proposals {
            let answer = self.answers.entry(proposal.id).or_insert_with(|| {
                let command = String::from_utf8_lossy(&proposal.command).into_owned();
                let answer = Bytes::from(format!("{command} at {}", slot.index));
                self.executed.push(command);
                self.chain = Sha256::new().chain_update(self.chain).chain_update(&answer).finalize().into();
                answer
            });
            outcomes.push((proposal.id, Outcome::Answered(answer.clone())));
        }
        outcomes
    }

    pub(super) fn recall(&self, id: RequestId) -> Recall {
        match self.answers.get(&id) {
            Some(answer) => Recall::Executed(Outcome::Answered(answer.clone())),
            None => Recall::NotExecuted,
        }
    }

    pub(super) fn digest(&self) -> Digest {
        let hash = Sha256::new().chain_update(self.chain).chain_update(self.applied.to_le_bytes());
        Digest(hash.finalize().into())
    }

    /// Something happens to the state that should not.
    pub(super) fn rot(&mut self) {
        self.chain[0] ^= 1;
    }
}

/// What a piece of a state holds here: enough to tell it from any other.
pub(super) fn piece_of(digest: &Digest, number: u32) -> Bytes {
    Bytes::from(format!("piece {number} of {digest}"))
}
