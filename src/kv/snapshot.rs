//! [`Frozen`]: a state cut into pieces, and what a piece looks like.
//!
//! The state consists of *sections*: the requests of each origin (or of all, where only their ids are kept), up to 64
//! sections of sessions, and every bucket of keys that is not empty. Piece 0 is the manifest, which lists the digest of each section and from which the state digest
//! follows. Every further piece holds some sections, so that it can be checked against the manifest by itself, in any
//! order and from any source.
//!
//! ```text
//! piece 0    u32 format | u64 applied | i64 revision | i64 compacted | u64 sessions opened | u64 session uses
//!            | sections of requests: list of (u32 number, digest) | sections of sessions: list of (u8 number, digest)
//!            | buckets: list of (u32 number, digest)
//! piece n    u32 number of sections | (section | content) for each
//! section    u8 kind (0 requests, 1 sessions, 2 bucket) | u32 number
//! ```

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{i64, invalid};
use super::hash::EMPTY;
use super::history::History;
use super::session;
use super::store::{Store, Summary};
use super::tree::{BUCKETS, digest_from_buckets};
use crate::consensus::{Decode, DecodeError, Digest, Encode, Index, Reader};

/// The version of the pieces' format.
const FORMAT: u32 = 2;

/// About how large a piece is made: large enough that few round trips move a store, small enough for a message. One
/// section is never split: a bucket with more than this makes a piece of its own.
const PIECE_BYTES: usize = 1024 * 1024;

/// A state that does not change any more.
#[derive(Debug)]
pub struct Frozen {
    store: Store,
    digest: Digest,
    /// The sections of each piece behind the manifest; found out when first asked for, off the path of the writes.
    layout: OnceLock<Vec<Vec<Section>>>,
}

impl Frozen {
    /// Holds a store whose digests are up to date.
    pub(super) fn new(store: Store, digest: Digest) -> Self {
        Self { store, digest, layout: OnceLock::new() }
    }

    /// The last index whose execution the state holds.
    pub fn index(&self) -> Index {
        self.store.applied
    }

    /// The state's digest.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many pieces there are. The same state has the same pieces on every replica.
    pub fn pieces(&self) -> u32 {
        self.layout().len() as u32 + 1
    }

    /// One piece; `None` if there is no such.
    pub fn piece(&self, number: u32) -> Option<Bytes> {
        let Some(number) = (number as usize).checked_sub(1) else {
            return Some(self.manifest().to_bytes());
        };
        let sections = self.layout().get(number)?;
        let mut buf = BytesMut::new();
        buf.put_u32_le(sections.len() as u32);
        for section in sections {
            section.encode(&mut buf);
            self.encode_section(*section, &mut buf);
        }
        Some(buf.freeze())
    }

    fn encode_section(&self, section: Section, buf: &mut BytesMut) {
        match section {
            Section::Requests(number) => self.store.requests.encode_section(number, buf),
            Section::Sessions(number) => self.store.sessions.encode_section(number, buf),
            Section::Bucket(number) => {
                let histories = self.store.mvcc.tree.bucket(number as usize).histories();
                buf.put_u32_le(histories.len() as u32);
                histories.for_each(|history| history.encode(buf));
            }
        }
    }

    fn manifest(&self) -> Manifest {
        let digest = |number: u32| (number, *self.store.mvcc.tree.bucket(number as usize).digest());
        Manifest {
            summary: self.store.clone().summary(),
            buckets: (0..BUCKETS as u32).map(digest).filter(|(_, digest)| *digest != EMPTY).collect(),
        }
    }

    fn layout(&self) -> &[Vec<Section>] {
        self.layout.get_or_init(|| {
            let (mut pieces, mut piece, mut bytes) = (Vec::new(), Vec::new(), 0);
            for (section, weight) in self.weights() {
                if bytes + weight > PIECE_BYTES && !piece.is_empty() {
                    pieces.push(std::mem::take(&mut piece));
                    bytes = 0;
                }
                piece.push(section);
                bytes += weight;
            }
            if !piece.is_empty() {
                pieces.push(piece);
            }
            pieces
        })
    }

    /// All sections in order, each with about how many bytes it takes.
    fn weights(&self) -> Vec<(Section, usize)> {
        let requests = self.store.requests.weights().into_iter();
        let requests = requests.map(|(number, weight)| (Section::Requests(number), weight));
        let sessions = self.store.sessions.weights().into_iter();
        let buckets = (0..BUCKETS as u32).filter_map(|number| {
            let histories = self.store.mvcc.tree.bucket(number as usize).histories();
            let weight = histories.map(History::weight).sum::<usize>();
            (weight > 0).then_some((Section::Bucket(number), weight))
        });
        let sessions = sessions.map(|(number, weight)| (Section::Sessions(number), weight));
        requests.chain(sessions).chain(buckets).collect()
    }
}

/// A part of the state that is checked as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Section {
    /// Requests that were executed: all, or those of one origin.
    Requests(u32),
    /// Some of the sessions.
    Sessions(u8),
    /// Some of the keys.
    Bucket(u32),
}

impl Encode for Section {
    fn encode(&self, buf: &mut BytesMut) {
        let (kind, number) = match *self {
            Self::Requests(number) => (0, number),
            Self::Sessions(number) => (1, u32::from(number)),
            Self::Bucket(number) => (2, number),
        };
        buf.put_u8(kind);
        buf.put_u32_le(number);
    }
}

impl Decode for Section {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match (reader.u8()?, reader.u32()?) {
            (0, number) => Ok(Self::Requests(number)),
            (1, number) if u64::from(number) < session::SECTIONS => Ok(Self::Sessions(number as u8)),
            (2, number) if (number as usize) < BUCKETS => Ok(Self::Bucket(number)),
            (1..=2, number) => Err(invalid("the number of a section", number)),
            (kind, _) => Err(invalid("the kind of a section", kind)),
        }
    }
}

/// What piece 0 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) summary: Summary,
    /// The digest of each bucket that is not empty.
    pub(super) buckets: BTreeMap<u32, Digest>,
}

impl Manifest {
    /// The digest of the state that this manifest describes.
    pub(super) fn digest(&self) -> Digest {
        let mut buckets = vec![EMPTY; BUCKETS];
        for (number, digest) in &self.buckets {
            buckets[*number as usize] = *digest;
        }
        self.summary.digest(&digest_from_buckets(&buckets))
    }

    /// The digest of every section.
    pub(super) fn sections(&self) -> BTreeMap<Section, Digest> {
        let sessions =
            self.summary.sessions.iter().map(|(number, digest)| (Section::Sessions(*number), *digest));
        let buckets = self.buckets.iter().map(|(number, digest)| (Section::Bucket(*number), *digest));
        let requests =
            self.summary.requests.iter().map(|(number, digest)| (Section::Requests(*number), *digest));
        requests.chain(sessions).chain(buckets).collect()
    }
}

impl Encode for Manifest {
    fn encode(&self, buf: &mut BytesMut) {
        let summary = &self.summary;
        buf.put_u32_le(FORMAT);
        summary.applied.encode(buf);
        buf.put_i64_le(summary.revision);
        buf.put_i64_le(summary.compacted);
        buf.put_u64_le(summary.sessions_opened);
        buf.put_u64_le(summary.session_uses);
        buf.put_u32_le(summary.requests.len() as u32);
        for (number, digest) in &summary.requests {
            buf.put_u32_le(*number);
            digest.encode(buf);
        }
        buf.put_u32_le(summary.sessions.len() as u32);
        for (number, digest) in &summary.sessions {
            buf.put_u8(*number);
            digest.encode(buf);
        }
        buf.put_u32_le(self.buckets.len() as u32);
        for (number, digest) in &self.buckets {
            buf.put_u32_le(*number);
            digest.encode(buf);
        }
    }
}

impl Decode for Manifest {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let format = reader.u32()?;
        if format != FORMAT {
            return Err(invalid("the format of a snapshot", format));
        }
        let summary = Summary {
            applied: Index::decode(reader)?,
            revision: i64(reader)?,
            compacted: i64(reader)?,
            sessions_opened: reader.u64()?,
            session_uses: reader.u64()?,
            requests: numbered(reader, |reader| Ok((reader.u32()?, Digest::decode(reader)?)))?,
            sessions: numbered(reader, |reader| Ok((reader.u8()?, Digest::decode(reader)?)))?,
        };
        let buckets: BTreeMap<u32, _> =
            numbered(reader, |reader| Ok((reader.u32()?, Digest::decode(reader)?)))?;
        match buckets.last_key_value() {
            Some((&number, _)) if number as usize >= BUCKETS => {
                Err(invalid("the number of a bucket", number))
            }
            _ => Ok(Self { summary, buckets }),
        }
    }
}

/// Decodes a list of numbered digests that must ascend, so that one manifest has one encoding.
fn numbered<N: Ord + Copy + Into<u64>>(
    reader: &mut Reader,
    item: impl Fn(&mut Reader) -> Result<(N, Digest), DecodeError>,
) -> Result<BTreeMap<N, Digest>, DecodeError> {
    let mut items = BTreeMap::new();
    for _ in 0..reader.u32()? {
        let (number, digest) = item(reader)?;
        if digest == EMPTY || items.last_key_value().is_some_and(|(last, _)| *last >= number) {
            return Err(invalid("a section of a manifest", number));
        }
        items.insert(number, digest);
    }
    Ok(items)
}
