//! Signatures that were found to be true: a NEW-VIEW shows again most of what a replica has seen one by one.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// Names of signatures in one generation; two are kept. A NEW-VIEW of seven replicas with the default window shows
/// 6,500 at most; the rest is for requests, which come from the client, from each relaying backup and in a batch.
const GENERATION: usize = 32_768;

/// A set of SHA-256 names that forgets the oldest: at most twice [`GENERATION`]. What was used in this generation or
/// the one before is in it. Only truths are remembered, so no lie can be; an attacker who fills it with truths of his
/// own makes others check again, no more.
#[derive(Clone, Debug, Default)]
pub(super) struct Verified(Arc<Mutex<Generations>>);

#[derive(Debug, Default)]
struct Generations {
    young: BTreeSet<[u8; 32]>,
    old: BTreeSet<[u8; 32]>,
}

impl Verified {
    /// Whether a signature of this name was found to be true, and not long ago.
    pub(super) fn contains(&self, name: &[u8; 32]) -> bool {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if names.young.contains(name) {
            return true;
        }
        let known = names.old.contains(name);
        if known {
            names.insert(*name);
        }
        known
    }

    /// Remembers that the signature of this name is true, which is also what it returns.
    pub(super) fn insert(&self, name: [u8; 32]) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
        true
    }
}

impl Generations {
    fn insert(&mut self, name: [u8; 32]) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(number: u64) -> [u8; 32] {
        let mut name = [0; 32];
        name[..8].copy_from_slice(&number.to_le_bytes());
        name
    }

    #[test]
    fn what_is_used_stays_and_what_is_not_is_forgotten() {
        let verified = Verified::default();
        verified.insert(name(0));
        verified.insert(name(1));
        for number in 2..3 * GENERATION as u64 {
            verified.insert(name(number));
            assert!(verified.contains(&name(0)), "used all the time");
        }
        assert!(!verified.contains(&name(1)), "not used since two generations");
        let names = verified.0.lock().unwrap();
        assert!(names.young.len() + names.old.len() <= 2 * GENERATION);
    }
}
