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
struct Life {
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
            digests.insert(number, self.origins[&id].digest(id));
        }
        digests
    }

    /// Encodes one origin, which a snapshot moves as a whole.
    pub(super) fn encode_section(&self, number: u32, buf: &mut BytesMut) {
        let (id, origin) = self.origins.iter().nth(number as usize).expect("the layout names origins");
        id.encode(buf);
        origin.encode(buf);
    }

    /// Takes one origin of a snapshot, and answers its digest as it would be in [`Self::section_digests`].
    pub(super) fn decode_section(reader: &mut Reader) -> Result<(Self, Digest), DecodeError> {
        let (id, mut origin) = (NodeId::decode(reader)?, Origin::decode(reader)?);
        origin.rehash();
        let digest = origin.digest(id);
        Ok((Self { origins: OrdMap::unit(id, origin) }, digest))
    }

    /// Adds an origin whose digest was found to be right.
    pub(super) fn restore_section(&mut self, section: Self) {
        self.origins.extend(section.origins);
    }

    /// About how many bytes each origin takes in a snapshot.
    pub(super) fn weights(&self) -> BTreeMap<u32, usize> {
        (0..).zip(self.origins.values().map(Origin::weight)).collect()
    }
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
                life.digest = Some(Hasher::new(Domain::Life).bytes(&life.to_bytes()).finish());
            }
        }
    }

    fn digest(&self, id: NodeId) -> Digest {
        let hasher = Hasher::new(Domain::Origin)
            .u64(id.0)
            .u64(self.dropped.is_some().into())
            .u64(self.dropped.unwrap_or_default())
            .u64(self.uses);
        let lives = self.lives.iter().map(|(incarnation, life)| (incarnation, life.digest.as_ref()));
        lives
            .fold(hasher, |hasher, (incarnation, digest)| {
                hasher.u64(*incarnation).digest(digest.expect("stale digests were computed before"))
            })
            .finish()
    }

    fn weight(&self) -> usize {
        32 + self.lives.values().map(|life| 24 + life.replies.weight()).sum::<usize>()
    }
}

impl Encode for Origin {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u8(self.dropped.is_some().into());
        if let Some(dropped) = self.dropped {
            buf.put_u64_le(dropped);
        }
        buf.put_u64_le(self.uses);
        buf.put_u32_le(self.lives.len() as u32);
        for (incarnation, life) in &self.lives {
            buf.put_u64_le(*incarnation);
            life.encode(buf);
        }
    }
}

impl Decode for Origin {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let dropped = if reader.bool()? { Some(reader.u64()?) } else { None };
        let (uses, count) = (reader.u64()?, reader.u32()?);
        let mut lives: OrdMap<u64, Life> = OrdMap::new();
        for _ in 0..count {
            let incarnation = reader.u64()?;
            ascending("a life", incarnation, lives.get_max().map(|(last, _)| *last))?;
            lives.insert(incarnation, Life::decode(reader)?);
        }
        Ok(Self { dropped, uses, lives })
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
