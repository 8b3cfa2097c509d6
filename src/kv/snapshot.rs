//! [`Frozen`]: a state cut into pieces, and what a piece looks like.
//!
//! The state consists of *sections*: the requests of each origin, sessions by 64 ids, and every bucket of keys that is not
//! empty. Piece 0 is the manifest, which lists the digest of each section and from which the state digest follows. The
//! other pieces hold the sections, in order. None is much larger than [`PIECE_BYTES`], whatever the state: a section that
//! is larger is told in parts, each of which names the digests of those that follow from it (see
//! [`layout`](super::layout)). So every piece can be checked when it comes, from whatever source, given those before it.
//!
//! ```text
//! piece 0    u32 format | u64 applied | i64 revision | i64 compacted | u64 sessions opened | u64 session uses
//!            | sections of requests: list of (u32 number, digest) | sections of sessions: list of (u64 number, digest)
//!            | buckets: list of (u32 number, digest)
//! piece n    u32 number of nodes | (u8 kind | content) for each
//!
//! kind 0     an origin, whole or with the digest of each of its lives
//!      1     the next life of that origin
//!      2     a section of sessions
//!      3     a block of a bucket: digest of the blocks before | list of histories
//!      4     the same, told by parts: digest of the blocks before | list of chains
//!      5     the oldest versions of a key of such a block: key | list of versions
//!      6     later versions of one: chain of the versions before | list of versions
//! ```

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::{BufMut, Bytes, BytesMut};

use super::codec::{i64, invalid};
use super::hash::EMPTY;
use super::layout::Layout;
use super::store::{Store, Summary};
use super::tree::{BUCKETS, digest_from_buckets};
use crate::consensus::{Decode, DecodeError, Digest, Encode, Index, Reader};

/// The version of the pieces' format.
const FORMAT: u32 = 3;

/// About how large a piece is made: large enough that few round trips move a store, small enough for a message.
pub const PIECE_BYTES: usize = 1024 * 1024;

/// No piece is larger: a single version, a life's replies or a section of sessions may have more than [`PIECE_BYTES`], but
/// the limits of requests and replies keep them below this.
pub const MAX_PIECE_BYTES: usize = 2 * 1024 * 1024;

/// A state that does not change any more.
#[derive(Debug)]
pub struct Frozen {
    store: Store,
    digest: Digest,
    piece_bytes: usize,
    /// What each piece behind the manifest holds; found out when first asked for, off the path of the writes.
    layout: OnceLock<Layout>,
}

impl Frozen {
    /// Holds a store whose digests are up to date.
    pub(super) fn new(store: Store, digest: Digest, piece_bytes: usize) -> Self {
        Self { store, digest, piece_bytes, layout: OnceLock::new() }
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
        match (number as usize).checked_sub(1) {
            None => Some(self.manifest().to_bytes()),
            Some(number) => self.layout().encode(&self.store, number),
        }
    }

    fn manifest(&self) -> Manifest {
        let digest = |number: u32| (number, *self.store.mvcc.tree.bucket(number as usize).digest());
        Manifest {
            summary: self.store.clone().summary(),
            buckets: (0..BUCKETS as u32).map(digest).filter(|(_, digest)| *digest != EMPTY).collect(),
        }
    }

    fn layout(&self) -> &Layout {
        self.layout.get_or_init(|| Layout::of(&self.store, self.piece_bytes))
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
            buf.put_u64_le(*number);
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
            sessions: numbered(reader, |reader| Ok((reader.u64()?, Digest::decode(reader)?)))?,
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
