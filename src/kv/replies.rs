//! [`Replies`]: which numbers of a counter were executed last, and what they answered.

use bytes::{BufMut, Bytes, BytesMut};
use imbl::OrdMap;

use super::codec::{ascending, own};
use crate::consensus::{Decode, DecodeError, Encode, Reader, put_bytes};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// So many numbers, the newest executed one included; what lies further back is not known any more.
    pub(super) numbers: u64,
    /// A reply with more bytes than this is remembered as given, without its bytes.
    pub(super) each: usize,
    /// All replies have no more bytes than this together: the oldest lose theirs first.
    pub(super) all: usize,
}

/// The executed numbers within the window with their encoded replies; `None` for a reply that is not kept.
#[derive(Clone, Debug, Default)]
pub(super) struct Replies {
    kept: OrdMap<u64, Option<Bytes>>,
    bytes: usize,
}

/// What is known of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It was not executed.
    New,
    /// It was, and answered this.
    Reply(Bytes),
    /// It was, and the answer is not kept.
    Lost,
    /// It lies behind the window.
    TooOld,
}

impl Replies {
    pub(super) fn find(&self, number: u64, room: Room) -> Known {
        match self.kept.get(&number) {
            Some(Some(reply)) => Known::Reply(reply.clone()),
            Some(None) => Known::Lost,
            None if self.is_behind(number, room) => Known::TooOld,
            None => Known::New,
        }
    }

    fn is_behind(&self, number: u64, room: Room) -> bool {
        let newest = self.kept.get_max().map_or(0, |(newest, _)| *newest);
        number.checked_add(room.numbers).is_some_and(|edge| edge <= newest)
    }

    /// Notes a number as executed, with its reply.
    pub(super) fn executed(&mut self, number: u64, reply: Bytes, room: Room) {
        let reply = Some(reply).filter(|reply| reply.len() <= room.each);
        self.bytes += reply.as_ref().map_or(0, Bytes::len);
        self.kept.insert(number, reply);
        while let Some((oldest, reply)) =
            self.kept.get_min().cloned().filter(|(oldest, _)| self.is_behind(*oldest, room))
        {
            self.bytes -= reply.map_or(0, |reply| reply.len());
            self.kept.remove(&oldest);
        }
        while self.bytes > room.all {
            self.forget_oldest_reply();
        }
    }

    fn forget_oldest_reply(&mut self) {
        let oldest = self.kept.iter().find(|(_, reply)| reply.is_some()).map(|(number, _)| *number);
        let oldest = oldest.expect("the bytes are the sum over the replies that are kept");
        let reply = self.kept.insert(oldest, None).flatten();
        self.bytes -= reply.map_or(0, |reply| reply.len());
    }

    /// About how many bytes this takes in a snapshot.
    pub(super) fn weight(&self) -> usize {
        self.bytes + 16 * self.kept.len()
    }
}

impl Encode for Replies {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u32_le(self.kept.len() as u32);
        for (number, reply) in &self.kept {
            buf.put_u64_le(*number);
            buf.put_u8(reply.is_some().into());
            if let Some(reply) = reply {
                put_bytes(buf, reply);
            }
        }
    }
}

impl Decode for Replies {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let mut replies = Self::default();
        for _ in 0..reader.u32()? {
            let number = reader.u64()?;
            ascending("a number", number, replies.kept.get_max().map(|(last, _)| *last))?;
            let reply = if reader.bool()? { Some(own(&reader.bytes()?)) } else { None };
            replies.bytes += reply.as_ref().map_or(0, Bytes::len);
            replies.kept.insert(number, reply);
        }
        Ok(replies)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is decoded must be what was hashed: an entry that the next one replaces would count and not be seen.
    #[test]
    fn numbers_ascend_or_nothing_is_decoded() {
        let encoded = |numbers: &[u64]| {
            let mut buf = BytesMut::new();
            buf.put_u32_le(numbers.len() as u32);
            for number in numbers {
                buf.put_u64_le(*number);
                buf.put_u8(1);
                put_bytes(&mut buf, b"reply");
            }
            buf.freeze()
        };
        assert_eq!(Replies::from_bytes(encoded(&[3, 5])).unwrap().bytes, 10);
        for wrong in [[5, 5], [5, 3]] {
            assert_eq!(
                Replies::from_bytes(encoded(&wrong)).unwrap_err(),
                DecodeError::Invalid { what: "a number", value: wrong[1] }
            );
        }
    }
}
