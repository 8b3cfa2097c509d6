//! Sessions: which commands of a client were executed, and what they answered.

use std::collections::BTreeMap;

use bytes::{BufMut, BytesMut};
use imbl::OrdMap;

use super::error::KvError;
use super::hash::{Domain, Hasher};
use super::replies::{Known, Replies, Room};
use super::request::SessionTag;
use super::response::Reply;
use crate::consensus::{Decode, DecodeError, Digest, Encode, Reader};

/// How many sessions are kept. With one more, the one whose last use lies furthest back in the log expires.
pub const MAX_SESSIONS: usize = 10_000;

/// How far behind a session's newest executed sequence number another may still come and be executed or answered
/// again: bounds what a client may have in flight.
pub const SESSION_WINDOW: u64 = 256;

/// How many bytes of encoded replies a session keeps; the oldest go first. Enough for a window of plain writes, and
/// small enough for all sessions together: 160 MB at the very worst.
pub const SESSION_REPLY_BYTES: usize = 16 * 1024;

/// What a session keeps.
const ROOM: Room = Room { numbers: SESSION_WINDOW, each: SESSION_REPLY_BYTES, all: SESSION_REPLY_BYTES };

/// How many sessions, by their ids, share a section: a snapshot moves those together.
const SECTION: u64 = 64;

/// All sessions.
#[derive(Clone, Debug, Default)]
pub(super) struct Sessions {
    /// How many were ever opened: the id of the newest.
    pub(super) opened: u64,
    /// How many uses there were of any: the time by which sessions expire.
    pub(super) uses: u64,
    table: OrdMap<u64, Session>,
    /// The session of each last use, oldest first.
    by_use: OrdMap<u64, u64>,
}

/// One session.
#[derive(Clone, Debug)]
struct Session {
    last_use: u64,
    replies: Replies,
    /// `None` while it is to be computed anew.
    digest: Option<Digest>,
}

/// What to do with a command of a session.
pub(super) enum Admission {
    /// Execute it, then [`Sessions::executed`].
    Execute,
    /// It was executed before: answer this again.
    Again(Reply),
}

impl Sessions {
    /// Opens a session and answers its id.
    pub(super) fn open(&mut self) -> u64 {
        self.opened += 1;
        self.uses += 1;
        let session = Session { last_use: self.uses, replies: Replies::default(), digest: None };
        self.table.insert(self.opened, session);
        self.by_use.insert(self.uses, self.opened);
        if self.table.len() > MAX_SESSIONS
            && let Some((last_use, id)) = self.by_use.get_min().copied()
        {
            self.by_use.remove(&last_use);
            self.table.remove(&id);
        }
        self.opened
    }

    /// Decides about a command, which counts as a use of its session in any case.
    pub(super) fn admit(&mut self, tag: SessionTag) -> Result<Admission, KvError> {
        let session = self.table.get_mut(&tag.session).ok_or(KvError::SessionExpired)?;
        self.uses += 1;
        self.by_use.remove(&session.last_use);
        self.by_use.insert(self.uses, tag.session);
        session.last_use = self.uses;
        session.digest = None;
        session.admit(tag.sequence)
    }

    /// Keeps the reply of a command that was executed.
    pub(super) fn executed(&mut self, tag: SessionTag, reply: &Reply) {
        if let Some(session) = self.table.get_mut(&tag.session) {
            session.replies.executed(tag.sequence, reply.to_bytes(), ROOM);
        }
    }

    /// The digests of the sections that hold something, by their numbers.
    pub(super) fn section_digests(&mut self) -> BTreeMap<u64, Digest> {
        let stale: Vec<u64> =
            self.table.iter().filter(|(_, session)| session.digest.is_none()).map(|(id, _)| *id).collect();
        for id in stale {
            if let Some(session) = self.table.get_mut(&id) {
                session.digest = Some(session.compute_digest(id));
            }
        }
        let mut sections: BTreeMap<u64, Hasher> = BTreeMap::new();
        for (id, session) in &self.table {
            let number = id / SECTION;
            let hasher = sections.remove(&number).unwrap_or_else(|| Hasher::new(Domain::SessionSection));
            let digest = session.digest.as_ref().expect("stale digests were computed above");
            sections.insert(number, hasher.digest(digest));
        }
        sections.into_iter().map(|(number, hasher)| (number, hasher.finish())).collect()
    }

    /// Encodes one section, which a snapshot moves as a whole.
    pub(super) fn encode_section(&self, number: u64, buf: &mut BytesMut) {
        let first = number * SECTION;
        let sessions = || self.table.range(first..=first + (SECTION - 1));
        buf.put_u32_le(sessions().count() as u32);
        for (id, session) in sessions() {
            buf.put_u64_le(*id);
            session.encode(buf);
        }
    }

    /// Takes one section of a snapshot, and answers its digest as it would be in [`Self::section_digests`].
    pub(super) fn decode_section(reader: &mut Reader) -> Result<(Section, Digest), DecodeError> {
        let (mut sessions, mut hasher) = (Vec::new(), Hasher::new(Domain::SessionSection));
        for _ in 0..reader.u32()? {
            let id = reader.u64()?;
            let mut session = Session::decode(reader)?;
            let digest = session.compute_digest(id);
            session.digest = Some(digest);
            hasher = hasher.digest(&digest);
            sessions.push((id, session));
        }
        Ok((Section(sessions), hasher.finish()))
    }

    /// Adds a section whose digest was found to be right.
    pub(super) fn restore_section(&mut self, section: Section) {
        for (id, session) in section.0 {
            self.by_use.insert(session.last_use, id);
            self.table.insert(id, session);
        }
    }

    /// About how many bytes each section takes in a snapshot.
    pub(super) fn weights(&self) -> BTreeMap<u64, usize> {
        let mut weights = BTreeMap::new();
        for (id, session) in &self.table {
            *weights.entry(id / SECTION).or_default() += 32 + session.replies.weight();
        }
        weights
    }
}

/// The sessions of one section of a snapshot.
pub(super) struct Section(Vec<(u64, Session)>);

/// The digest over all sections.
pub(super) fn digest_from_sections(sections: &BTreeMap<u64, Digest>) -> Digest {
    let hasher = Hasher::new(Domain::Sessions);
    sections.iter().fold(hasher, |hasher, (number, digest)| hasher.u64(*number).digest(digest)).finish()
}

impl Session {
    fn admit(&self, sequence: u64) -> Result<Admission, KvError> {
        match self.replies.find(sequence, ROOM) {
            Known::Reply(reply) => {
                let reply = Reply::from_bytes(reply).expect("a kept reply was encoded by this store");
                Ok(Admission::Again(reply))
            }
            Known::Lost => Err(KvError::SessionReplyLost),
            Known::TooOld => Err(KvError::SessionSequenceTooOld),
            // Sequence numbers start at 1.
            Known::New if sequence == 0 => Err(KvError::SessionSequenceTooOld),
            Known::New => Ok(Admission::Execute),
        }
    }

    fn compute_digest(&self, id: u64) -> Digest {
        Hasher::new(Domain::Session).u64(id).bytes(&self.to_bytes()).finish()
    }
}

impl Encode for Session {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u64_le(self.last_use);
        self.replies.encode(buf);
    }
}

impl Decode for Session {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { last_use: reader.u64()?, replies: Replies::decode(reader)?, digest: None })
    }
}
