//! SHA-256 with a domain for each kind of node, so that no node can pass for one of another kind.

use sha2::{Digest as _, Sha256};

use crate::consensus::Digest;

/// The digest of what is empty.
pub(super) const EMPTY: Digest = Digest([0; 32]);

/// What a hash is taken of.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub(super) enum Domain {
    /// A key: where its chain of versions starts.
    Key = 1,
    /// A version, linked to those before it.
    Version,
    /// The histories of a bucket.
    Bucket,
    /// The buckets of a group.
    Group,
    /// The groups.
    Root,
    /// One session.
    Session,
    /// The sessions of a section.
    SessionSection,
    /// All sections of sessions.
    Sessions,
    /// The windows of request ids.
    Requests,
    /// The whole state.
    State,
    /// What one life of an origin had executed.
    Life,
    /// All lives of an origin.
    Origin,
    /// All sections of requests.
    RequestSections,
}

/// Takes a hash. Whoever feeds it sees to it that different content never gives the same bytes: fields of fixed width,
/// lengths before strings.
pub(super) struct Hasher(Sha256);

impl Hasher {
    pub(super) fn new(domain: Domain) -> Self {
        Self(Sha256::new_with_prefix([domain as u8]))
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.update(bytes);
        self
    }

    pub(super) fn u64(self, value: u64) -> Self {
        self.bytes(&value.to_le_bytes())
    }

    pub(super) fn digest(self, digest: &Digest) -> Self {
        self.bytes(&digest.0)
    }

    pub(super) fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}
