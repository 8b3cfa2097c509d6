//! [`Restore`]: a store from the pieces of a snapshot.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::requests::{Requests, Retention};
use super::session::Sessions;
use super::snapshot::{Manifest, Section};
use super::store::Store;
use super::tree::Bucket;
use crate::consensus::{Decode, DecodeError, Digest, Index, Reader};

/// Builds a store from the pieces of a snapshot, which may come from anywhere: each is checked by itself against the
/// digest that the caller trusts, before it has any effect. The manifest (piece 0) comes first, the others in any
/// order. Each brings something that was missing: else true pieces, over and over, would be no end.
#[derive(Debug)]
pub struct Restore {
    index: Index,
    digest: Digest,
    store: Store,
    /// The sections that are still to come; `None` before the manifest.
    missing: Option<BTreeMap<Section, Digest>>,
    /// The sections that are there.
    present: BTreeMap<Section, Digest>,
}

/// Why a piece, or all of them, are not the snapshot that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// Another piece came before the manifest.
    #[error("piece {piece} came before the manifest (piece 0)")]
    NoManifest {
        /// The piece.
        piece: u32,
    },
    /// The manifest describes another state.
    #[error("the manifest is that of state {found} at index {at}, not of {expected} at index {wanted}")]
    WrongManifest {
        /// The digest that follows from the manifest.
        found: Digest,
        /// Its index.
        at: Index,
        /// The digest of the snapshot.
        expected: Digest,
        /// The index of the snapshot.
        wanted: Index,
    },
    /// A piece is not in the format of one.
    #[error("piece {piece} of the snapshot cannot be decoded: {error}")]
    Malformed {
        /// The piece.
        piece: u32,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A piece does not match the manifest.
    #[error("piece {piece} of the snapshot does not match the manifest")]
    WrongPiece {
        /// The piece.
        piece: u32,
    },
    /// Everything in a piece has come before.
    #[error("piece {piece} of the snapshot holds nothing that was missing")]
    NothingNew {
        /// The piece.
        piece: u32,
    },
    /// Pieces are missing.
    #[error("the snapshot is not complete: {sections} of its sections are missing")]
    Incomplete {
        /// How many sections have not come.
        sections: usize,
    },
}

/// A section that was decoded and whose digest is right.
enum Content {
    Requests(Requests),
    Sessions(super::session::Section),
    Bucket(usize, Bucket),
}

impl Restore {
    /// Starts to restore the state of `index` with the given digest, of a store that keeps so much of requests.
    pub fn new(retention: Retention, index: Index, digest: Digest) -> Self {
        Self { index, digest, store: Store::keeping(retention), missing: None, present: BTreeMap::new() }
    }

    /// Takes a piece. After an error nothing has changed, and the piece may be fetched from elsewhere.
    pub fn add(&mut self, number: u32, piece: Bytes) -> Result<(), RestoreError> {
        if number == 0 {
            return self.add_manifest(piece);
        }
        let Some(missing) = &self.missing else { return Err(RestoreError::NoManifest { piece: number }) };
        let sections = decode_piece(self.store.requests.retention(), piece)
            .map_err(|error| RestoreError::Malformed { piece: number, error })?;
        for (section, digest, _) in &sections {
            if missing.get(section).or_else(|| self.present.get(section)) != Some(digest) {
                return Err(RestoreError::WrongPiece { piece: number });
            }
        }
        if !sections.iter().any(|(section, ..)| missing.contains_key(section)) {
            return Err(RestoreError::NothingNew { piece: number });
        }
        for (section, digest, content) in sections {
            let first = self.missing.as_mut().is_some_and(|missing| missing.remove(&section).is_some());
            if first {
                self.present.insert(section, digest);
                self.install(content);
            }
        }
        Ok(())
    }

    fn add_manifest(&mut self, piece: Bytes) -> Result<(), RestoreError> {
        let manifest =
            Manifest::from_bytes(piece).map_err(|error| RestoreError::Malformed { piece: 0, error })?;
        let (found, at) = (manifest.digest(), manifest.summary.applied);
        if found != self.digest || at != self.index {
            let (expected, wanted) = (self.digest, self.index);
            return Err(RestoreError::WrongManifest { found, at, expected, wanted });
        }
        if self.missing.is_some() {
            return Ok(());
        }
        self.store.applied = manifest.summary.applied;
        self.store.mvcc.revision = manifest.summary.revision;
        self.store.mvcc.compacted = manifest.summary.compacted;
        self.store.sessions.opened = manifest.summary.sessions_opened;
        self.store.sessions.uses = manifest.summary.session_uses;
        self.missing = Some(manifest.sections());
        Ok(())
    }

    fn install(&mut self, content: Content) {
        match content {
            Content::Requests(section) => self.store.requests.restore_section(section),
            Content::Sessions(section) => self.store.sessions.restore_section(section),
            Content::Bucket(number, bucket) => self.store.mvcc.tree.set_bucket(number, bucket),
        }
    }

    /// The store, once all pieces are there.
    pub fn finish(mut self) -> Result<Store, RestoreError> {
        let missing = self.missing.ok_or(RestoreError::NoManifest { piece: 1 })?;
        if !missing.is_empty() {
            return Err(RestoreError::Incomplete { sections: missing.len() });
        }
        self.store.mvcc.index_restored_tree();
        let digest = self.store.digest();
        assert_eq!(digest, self.digest, "invariant 6: sections that match their manifest make up its state");
        Ok(self.store)
    }
}

/// Decodes a piece and computes the digest of each of its sections.
fn decode_piece(retention: Retention, piece: Bytes) -> Result<Vec<(Section, Digest, Content)>, DecodeError> {
    let mut reader = Reader::new(piece);
    let count = reader.u32()?;
    let sections =
        (0..count).map(|_| decode_section(retention, &mut reader)).collect::<Result<Vec<_>, _>>()?;
    if sections.is_empty() {
        return Err(DecodeError::Invalid { what: "the number of sections in a piece", value: 0 });
    }
    reader.finish()?;
    Ok(sections)
}

fn decode_section(
    retention: Retention,
    reader: &mut Reader,
) -> Result<(Section, Digest, Content), DecodeError> {
    let section = Section::decode(reader)?;
    let (digest, content) = match section {
        Section::Requests(_) => {
            let (requests, digest) = Requests::decode_section(retention, reader)?;
            (digest, Content::Requests(requests))
        }
        Section::Sessions(_) => {
            let (sessions, digest) = Sessions::decode_section(reader)?;
            (digest, Content::Sessions(sessions))
        }
        Section::Bucket(number) => {
            let bucket = Bucket::from_histories(reader.list()?);
            (*bucket.digest(), Content::Bucket(number as usize, bucket))
        }
    };
    Ok((section, digest, content))
}
