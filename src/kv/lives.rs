//! [`Lives`]: which requests were executed, with what they answered, for every life of every origin.
//!
//! Where clients sign their requests, an origin is a key, and several processes may share one; each is a life of its
//! own, told apart by the incarnation. So all lives are kept that were heard of lately, and none ends because another
//! begins: two processes with one key do not hurt each other.

use std::collections::BTreeMap;

use bytes::{BufMut, Bytes, BytesMut};
use imbl::OrdMap;

use super::codec::ascending;
use super::hash::{Domain, Hasher};
use super::replies::{Known, Replies, Room};
use super::session::SESSION_REPLY_BYTES;
use crate::consensus::{Decode, DecodeError, Digest, Encode, NodeId, Reader, RequestId};

/// How far behind the newest executed counter of a life another may still come and be executed, or answered again:
/// bounds what a client may have in flight.
pub const REPLY_WINDOW: u64 = 1024;

/// How many lives of an origin are kept: more than processes share a key at a time. With one more, the one that had
/// nothing executed for longest goes.
pub const REPLY_LIVES: usize = 32;

/// How many bytes of encoded replies a life keeps; the oldest go first. Enough for a window of plain writes ten times
/// over. An origin can so occupy 32 MiB, and no more than its key's owner sees to; the number of origins is that of keys.
pub const LIFE_REPLY_BYTES: usize = 1024 * 1024;

/// What a life keeps.
const ROOM: Room = Room { numbers: REPLY_WINDOW, each: SESSION_REPLY_BYTES, all: LIFE_REPLY_BYTES };

/// The executed requests of every origin. Bounded by who has a key: a protocol lets nobody else's requests through.
#[derive(Clone, Debug, Default)]
pub(super) struct Lives {
    origins: OrdMap<NodeId, Origin>,
}

/// What one origin had executed.
#[derive(Clone, Debug, Default)]
struct Origin {
    /// The highest life that was dropped. Of a life at or below it that is not held nobody knows what it had executed.
    dropped: Option<u64>,
    /// How many executions there were: the time by which lives are dropped.
    uses: u64,
    lives: OrdMap<u64, Life>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Life {
    last_use: u64,
    replies: Replies,
    /// `None` while it is to be computed anew.
    digest: Option<Digest>,
}

impl Lives {
    pub(super) fn find(&self, id: RequestId) -> Known {
        self.origins.get(&id.origin).map_or(Known::New, |origin| origin.find(id.incarnation, id.counter))
    }

    /// Notes a request as executed, with its reply.
    pub(super) fn executed(&mut self, id: RequestId, reply: Bytes) {
        let origin = self.origins.entry(id.origin).or_default();
        origin.executed(id.incarnation, id.counter, reply);
    }

    /// The digest of each origin, by its position in the order of ids.
    pub(super) fn section_digests(&mut self) -> BTreeMap<u32, Digest> {
        let ids: Vec<_> = self.origins.keys().copied().collect();
        let mut digests = BTreeMap::new();
        for (number, id) in (0..).zip(ids) {
            if self.origins.get(&id).is_some_and(Origin::is_stale)
                && let Some(origin) = self.origins.get_mut(&id)
            {
                origin.rehash();
            }
            let origin = &self.origins[&id];
            digests.insert(number, digest(id, origin.dropped, origin.uses, origin.digests()));
        }
        digests
    }

    /// Encodes one origin for a snapshot, with the digests of its lives in their place.
    pub(super) fn encode_section(&self, number: u32, buf: &mut BytesMut) {
        let (id, origin) = self.at(number);
        buf.put_u64_le(id.0);
        buf.put_u8(origin.dropped.is_some().into());
        if let Some(dropped) = origin.dropped {
            buf.put_u64_le(dropped);
        }
        buf.put_u64_le(origin.uses);
        buf.put_u32_le(origin.lives.len() as u32);
        for (incarnation, digest) in origin.digests() {
            buf.put_u64_le(incarnation);
            digest.encode(buf);
        }
    }

    /// Encodes one life of an origin for a snapshot.
    pub(super) fn encode_life(&self, number: u32, incarnation: u64, buf: &mut BytesMut) {
        self.at(number).1.lives[&incarnation].encode(buf);
    }

    fn at(&self, number: u32) -> (&NodeId, &Origin) {
        self.origins.iter().nth(number as usize).expect("the layout names origins")
    }

    /// Adds an origin of a snapshot whose digest was found to be right, without its lives.
    pub(super) fn restore_origin(&mut self, header: &Header) {
        let Header { id, dropped, uses, .. } = *header;
        self.origins.insert(id, Origin { dropped, uses, lives: OrdMap::new() });
    }

    /// Adds a life of such an origin whose digest was found to be right.
    pub(super) fn restore_life(&mut self, id: NodeId, incarnation: u64, life: Life) {
        self.origins.entry(id).or_default().lives.insert(incarnation, life);
    }

    /// About how many bytes each origin takes in a snapshot, and each of its lives.
    pub(super) fn weights(&self) -> impl Iterator<Item = (usize, Vec<(u64, usize)>)> {
        self.origins.values().map(|origin| {
            let lives = origin.lives.iter().map(|(life, of)| (*life, 16 + of.replies.weight()));
            (32 + 40 * origin.lives.len(), lives.collect())
        })
    }
}

/// An origin as a snapshot has it, apart from its lives.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) id: NodeId,
    dropped: Option<u64>,
    uses: u64,
    /// The digest of each life.
    pub(super) lives: Vec<(u64, Digest)>,
}

impl Header {
    /// As it would be in [`Lives::section_digests`].
    pub(super) fn digest(&self) -> Digest {
        let lives = self.lives.iter().map(|(incarnation, digest)| (*incarnation, digest));
        digest(self.id, self.dropped, self.uses, lives)
    }
}

impl Decode for Header {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let id = NodeId::decode(reader)?;
        let dropped = if reader.bool()? { Some(reader.u64()?) } else { None };
        let (uses, count) = (reader.u64()?, reader.u32()?);
        let mut lives: Vec<(u64, Digest)> = Vec::new();
        for _ in 0..count {
            let incarnation = reader.u64()?;
            ascending("a life", incarnation, lives.last().map(|(last, _)| *last))?;
            lives.push((incarnation, Digest::decode(reader)?));
        }
        Ok(Self { id, dropped, uses, lives })
    }
}

/// The digest of an origin, from those of its lives.
fn digest<'a>(
    id: NodeId,
    dropped: Option<u64>,
    uses: u64,
    lives: impl Iterator<Item = (u64, &'a Digest)>,
) -> Digest {
    let hasher = Hasher::new(Domain::Origin)
        .u64(id.0)
        .u64(dropped.is_some().into())
        .u64(dropped.unwrap_or_default())
        .u64(uses);
    lives.fold(hasher, |hasher, (incarnation, digest)| hasher.u64(incarnation).digest(digest)).finish()
}

impl Origin {
    fn find(&self, incarnation: u64, counter: u64) -> Known {
        match self.lives.get(&incarnation) {
            Some(life) => life.replies.find(counter, ROOM),
            None if self.dropped.is_some_and(|dropped| incarnation <= dropped) => Known::TooOld,
            None => Known::New,
        }
    }

    fn executed(&mut self, incarnation: u64, counter: u64, reply: Bytes) {
        self.uses += 1;
        let life = self.lives.entry(incarnation).or_default();
        life.last_use = self.uses;
        life.digest = None;
        life.replies.executed(counter, reply, ROOM);
        if self.lives.len() > REPLY_LIVES {
            self.drop_a_life();
        }
    }

    fn drop_a_life(&mut self) {
        let oldest = self.lives.iter().min_by_key(|(_, life)| life.last_use).map(|(life, _)| *life);
        let oldest = oldest.expect("there is one too many");
        self.lives.remove(&oldest);
        self.dropped = self.dropped.max(Some(oldest));
    }

    fn is_stale(&self) -> bool {
        self.lives.values().any(|life| life.digest.is_none())
    }

    fn rehash(&mut self) {
        let stale: Vec<u64> =
            self.lives.iter().filter(|(_, life)| life.digest.is_none()).map(|(life, _)| *life).collect();
        for incarnation in stale {
            if let Some(life) = self.lives.get_mut(&incarnation) {
                life.digest = Some(life.compute_digest());
            }
        }
    }

    /// The digests of all lives.
    fn digests(&self) -> impl Iterator<Item = (u64, &Digest)> {
        self.lives.iter().map(|(incarnation, life)| {
            (*incarnation, life.digest.as_ref().expect("stale digests were computed before"))
        })
    }
}

impl Life {
    fn compute_digest(&self) -> Digest {
        Hasher::new(Domain::Life).bytes(&self.to_bytes()).finish()
    }

    /// Takes a life of a snapshot, and answers its digest.
    pub(super) fn decode_with_digest(reader: &mut Reader) -> Result<(Self, Digest), DecodeError> {
        let mut life = Self::decode(reader)?;
        let digest = life.compute_digest();
        life.digest = Some(digest);
        Ok((life, digest))
    }
}

impl Encode for Life {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u64_le(self.last_use);
        self.replies.encode(buf);
    }
}

impl Decode for Life {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { last_use: reader.u64()?, replies: Replies::decode(reader)?, digest: None })
    }
}
