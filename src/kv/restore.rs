//! [`Restore`]: a store from the pieces of a snapshot.

use bytes::Bytes;

use super::codec::invalid;
use super::hash::EMPTY;
use super::history::{History, Key, Version};
use super::ids::Ids;
use super::layout::kind;
use super::lives::{Header, Life};
use super::requests::{Requests, Retention};
use super::session::{self, Sessions};
use super::snapshot::Manifest;
use super::store::Store;
use super::tree::{Name, Slot, block_digest};
use crate::consensus::{Decode, DecodeError, Digest, Index, NodeId, Reader};

/// Builds a store from the pieces of a snapshot, which may come from anywhere, in order: each is checked when it comes,
/// before it has any effect, against the digest that the caller trusts or one that follows from the pieces before. Each
/// brings something that was missing: else true pieces, over and over, would be no end.
#[derive(Debug)]
pub struct Restore {
    index: Index,
    digest: Digest,
    store: Store,
    /// What is still to come, the next last, with its digest; `None` before the manifest.
    wanted: Option<Vec<(Wanted, Digest)>>,
    /// The runs of a key's versions that are here while older ones are missing, the newest first.
    runs: Vec<Vec<Version>>,
}

/// What is to come. Its digest is known.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    Origin,
    Life {
        origin: NodeId,
        incarnation: u64,
    },
    Sessions,
    /// What a bucket holds in front of what is there.
    Bucket(u32),
    /// The versions of a key in front of those that are there, of a history whose chain is known.
    History {
        bucket: u32,
        chain: Digest,
    },
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
    /// A piece is not what follows from those before it.
    #[error("piece {piece} of the snapshot does not match the manifest and the pieces before it")]
    WrongPiece {
        /// The piece.
        piece: u32,
    },
    /// Everything has come before.
    #[error("piece {piece} of the snapshot comes when nothing is missing")]
    NothingNew {
        /// The piece.
        piece: u32,
    },
    /// Pieces are missing.
    #[error("the snapshot is not complete: {parts} of its parts are missing")]
    Incomplete {
        /// How many parts have not come, of those that are known.
        parts: usize,
    },
}

/// A part that was decoded.
enum Part {
    Ids(Ids),
    Origin(Header),
    Life(Life),
    Sessions(session::Section),
    Block { before: Digest, slots: Vec<Slot> },
    Outline { before: Digest, chains: Vec<Digest> },
    Run { key: Option<Key>, before: Digest, versions: Vec<Version> },
}

impl Restore {
    /// Starts to restore the state of `index` with the given digest, of a store that keeps so much of requests.
    pub fn new(retention: Retention, index: Index, digest: Digest) -> Self {
        Self { index, digest, store: Store::keeping(retention), wanted: None, runs: Vec::new() }
    }

    /// Takes the next piece. After an error nothing has changed, and the piece may be fetched from elsewhere.
    pub fn add(&mut self, number: u32, piece: Bytes) -> Result<(), RestoreError> {
        if number == 0 {
            return self.add_manifest(piece);
        }
        let Some(wanted) = &self.wanted else { return Err(RestoreError::NoManifest { piece: number }) };
        if wanted.is_empty() {
            return Err(RestoreError::NothingNew { piece: number });
        }
        let parts = decode_piece(self.store.requests.retention(), piece)
            .map_err(|error| RestoreError::Malformed { piece: number, error })?;
        let mut wanted = wanted.clone();
        let mut found = Vec::with_capacity(parts.len());
        for (part, digest) in parts {
            let expected = wanted.pop().filter(|(_, expected)| *expected == digest);
            let fits = expected.filter(|(wanted, _)| part.is(*wanted));
            let Some((place, _)) = fits else { return Err(RestoreError::WrongPiece { piece: number }) };
            part.add_wanted(place, &mut wanted);
            found.push((place, part));
        }
        self.wanted = Some(wanted);
        for (place, part) in found {
            self.install(place, part);
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
        if self.wanted.is_some() {
            return Ok(());
        }
        self.store.applied = manifest.summary.applied;
        self.store.mvcc.revision = manifest.summary.revision;
        self.store.mvcc.compacted = manifest.summary.compacted;
        self.store.sessions.opened = manifest.summary.sessions_opened;
        self.store.sessions.uses = manifest.summary.session_uses;
        let requests = manifest.summary.requests.values().map(|digest| (Wanted::Origin, *digest));
        let sessions = manifest.summary.sessions.values().map(|digest| (Wanted::Sessions, *digest));
        let buckets = manifest.buckets.iter().map(|(number, digest)| (Wanted::Bucket(*number), *digest));
        let mut wanted: Vec<_> = requests.chain(sessions).chain(buckets).collect();
        wanted.reverse();
        self.wanted = Some(wanted);
        Ok(())
    }

    /// Puts a part in its place, whose digest was found to be right.
    fn install(&mut self, place: Wanted, part: Part) {
        let Store { mvcc, sessions, requests, .. } = &mut self.store;
        match (part, place, requests) {
            (Part::Ids(of), _, Requests::Ids(ids)) => ids.restore_section(of),
            (Part::Origin(header), _, Requests::Replies(lives)) => lives.restore_origin(&header),
            (Part::Life(life), Wanted::Life { origin, incarnation }, Requests::Replies(lives)) => {
                lives.restore_life(origin, incarnation, life);
            }
            (Part::Sessions(section), ..) => sessions.restore_section(section),
            (Part::Block { slots, .. }, Wanted::Bucket(number), _) => {
                mvcc.tree.restore(number as usize, slots);
            }
            (Part::Run { key, versions, .. }, Wanted::History { bucket, chain }, _) => {
                self.runs.push(versions);
                let Some(key) = key else { return };
                let versions = self.runs.drain(..).rev().flatten();
                let history = History::of(key, versions).expect("no run is empty");
                mvcc.tree.restore(bucket as usize, vec![Slot::with_chain(history, chain)]);
            }
            _ => {} // An outline has nothing but digests.
        }
    }

    /// The store, once all pieces are there.
    pub fn finish(mut self) -> Result<Store, RestoreError> {
        let wanted = self.wanted.ok_or(RestoreError::NoManifest { piece: 1 })?;
        if !wanted.is_empty() {
            return Err(RestoreError::Incomplete { parts: wanted.len() });
        }
        self.store.mvcc.index_restored_tree();
        let digest = self.store.digest();
        assert_eq!(
            digest, self.digest,
            "invariant 6: parts that follow from their manifest make up its state"
        );
        Ok(self.store)
    }
}

impl Part {
    /// Whether a part is of the kind that is wanted.
    fn is(&self, wanted: Wanted) -> bool {
        matches!(
            (self, wanted),
            (Self::Ids(_) | Self::Origin(_), Wanted::Origin)
                | (Self::Life(_), Wanted::Life { .. })
                | (Self::Sessions(_), Wanted::Sessions)
                | (Self::Block { .. } | Self::Outline { .. }, Wanted::Bucket(_))
                | (Self::Run { .. }, Wanted::History { .. })
        )
    }

    /// Adds what follows from a part that has its place: the next last.
    fn add_wanted(&self, place: Wanted, wanted: &mut Vec<(Wanted, Digest)>) {
        let before = match self {
            Self::Block { before, .. } | Self::Outline { before, .. } => {
                Some(*before).filter(|before| *before != EMPTY)
            }
            Self::Run { key: None, before, .. } => Some(*before),
            _ => None,
        };
        wanted.extend(before.map(|before| (place, before)));
        match (self, place) {
            (Self::Origin(Header { id, lives, .. }), _) => {
                let life = |(incarnation, digest): &(u64, Digest)| {
                    (Wanted::Life { origin: *id, incarnation: *incarnation }, *digest)
                };
                wanted.extend(lives.iter().rev().map(life));
            }
            (Self::Outline { chains, .. }, Wanted::Bucket(bucket)) => {
                wanted.extend(chains.iter().map(|chain| (Wanted::History { bucket, chain: *chain }, *chain)));
            }
            _ => {}
        }
    }
}

/// Decodes a piece and computes the digest of each of its parts.
fn decode_piece(retention: Retention, piece: Bytes) -> Result<Vec<(Part, Digest)>, DecodeError> {
    let mut reader = Reader::new(piece);
    let count = reader.u32()?;
    let parts = (0..count).map(|_| decode_part(retention, &mut reader)).collect::<Result<Vec<_>, _>>()?;
    if parts.is_empty() {
        return Err(invalid("the number of parts in a piece", 0_u32));
    }
    reader.finish()?;
    Ok(parts)
}

fn decode_part(retention: Retention, reader: &mut Reader) -> Result<(Part, Digest), DecodeError> {
    match (reader.u8()?, retention) {
        (kind::ORIGIN, Retention::Ids) => {
            let (ids, digest) = Ids::decode_section(reader)?;
            Ok((Part::Ids(ids), digest))
        }
        (kind::ORIGIN, Retention::Replies) => {
            let header = Header::decode(reader)?;
            let digest = header.digest();
            Ok((Part::Origin(header), digest))
        }
        (kind::LIFE, _) => {
            let (life, digest) = Life::decode_with_digest(reader)?;
            Ok((Part::Life(life), digest))
        }
        (kind::SESSIONS, _) => {
            let (section, digest) = Sessions::decode_section(reader)?;
            Ok((Part::Sessions(section), digest))
        }
        (kind::BLOCK, _) => {
            let (before, histories) = (Digest::decode(reader)?, reader.list::<History>()?);
            let slots: Vec<_> = histories.into_iter().map(Slot::new).collect();
            let digest = block_digest(&before, slots.iter().map(|slot| &slot.chain));
            Ok((Part::Block { before, slots }, digest))
        }
        (kind::OUTLINE, _) => {
            let (before, chains) = (Digest::decode(reader)?, reader.list::<Digest>()?);
            let digest = block_digest(&before, chains.iter());
            Ok((Part::Outline { before, chains }, digest))
        }
        (kind::FIRST_RUN, _) => {
            let key = Key::from(&reader.bytes()?[..]);
            let start = Name::hash(&key);
            decode_run(Some(key), start, reader)
        }
        (kind::RUN, _) => {
            let before = Digest::decode(reader)?;
            decode_run(None, before, reader)
        }
        (other, _) => Err(invalid("the kind of a part", other)),
    }
}

fn decode_run(key: Option<Key>, before: Digest, reader: &mut Reader) -> Result<(Part, Digest), DecodeError> {
    let versions = reader.list::<Version>()?;
    if versions.is_empty() {
        return Err(invalid("the number of versions in a part", 0_u32));
    }
    let chain = versions.iter().fold(before, |chain, version| version.link(&chain));
    Ok((Part::Run { key, before, versions }, chain))
}
