//! The canonical binary encoding that the disk and the network share.
//!
//! Integers are little-endian and of fixed width; a byte string is its length as `u32` and its bytes; an enum is a tag
//! byte and its fields. One value has one encoding, so that what is signed or hashed can be compared byte by byte.
//! Decoding borrows nothing and copies no payload: byte strings are slices of the input's own buffer.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::contract::SnapshotMeta;
use super::types::{Digest, Epoch, Index, Lsn, NodeId, RequestId, WallTime};
use crate::text::counted;

/// Writes a value in the canonical encoding.
pub trait Encode {
    /// Appends the value to `buf`.
    fn encode(&self, buf: &mut BytesMut);

    /// The value's encoding, in a buffer of its own.
    fn to_bytes(&self) -> Bytes {
        let mut buf = BytesMut::new();
        self.encode(&mut buf);
        buf.freeze()
    }
}

/// Reads a value in the canonical encoding.
pub trait Decode: Sized {
    /// Takes the value from the front of `reader`. Arbitrary bytes give an error, never a panic.
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError>;

    /// Reads a value that must fill `bytes` to the end.
    fn from_bytes(bytes: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let value = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }
}

/// Why bytes are not a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The value goes on after the end of the bytes.
    #[error("ends after {}, in the middle of a value", counted(*.0 as u64, "byte", "bytes"))]
    Truncated(usize),
    /// Bytes are left over behind the value.
    #[error("{} too many", counted(*.0 as u64, "byte", "bytes"))]
    Trailing(usize),
    /// A tag or a field has a value that does not exist.
    #[error("{what} cannot be {value}")]
    Invalid {
        /// The field.
        what: &'static str,
        /// What stood there.
        value: u64,
    },
}

/// Reads fields from the front of a buffer.
#[derive(Debug)]
pub struct Reader {
    rest: Bytes,
    total: usize,
}

impl Reader {
    /// Starts at the front of `bytes`.
    pub fn new(bytes: Bytes) -> Self {
        let total = bytes.len();
        Self { rest: bytes, total }
    }

    fn need(&self, count: usize) -> Result<(), DecodeError> {
        if self.rest.len() < count { Err(DecodeError::Truncated(self.total)) } else { Ok(()) }
    }

    /// How many bytes are left: an upper bound for how many items can follow, to check before reserving for them.
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Refuses bytes that are left over.
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DecodeError::Trailing(self.rest.len())) }
    }

    /// Takes one byte.
    pub fn u8(&mut self) -> Result<u8, DecodeError> {
        self.need(1)?;
        Ok(self.rest.get_u8())
    }

    /// Takes a `u32`.
    pub fn u32(&mut self) -> Result<u32, DecodeError> {
        self.need(4)?;
        Ok(self.rest.get_u32_le())
    }

    /// Takes a `u64`.
    pub fn u64(&mut self) -> Result<u64, DecodeError> {
        self.need(8)?;
        Ok(self.rest.get_u64_le())
    }

    /// Takes a byte that must be 0 or 1.
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(DecodeError::Invalid { what: "a flag", value: other.into() }),
        }
    }

    /// Takes a byte string, without copying it.
    pub fn bytes(&mut self) -> Result<Bytes, DecodeError> {
        let length = self.u32()? as usize;
        self.need(length)?;
        Ok(self.rest.split_to(length))
    }

    /// Takes `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        self.need(N)?;
        let mut bytes = [0; N];
        self.rest.copy_to_slice(&mut bytes);
        Ok(bytes)
    }

    /// Takes `count` items. The count is checked against what is left before anything is reserved for it.
    pub fn list<T: Decode>(&mut self) -> Result<Vec<T>, DecodeError> {
        let count = self.u32()? as usize;
        self.need(count)?;
        (0..count).map(|_| T::decode(self)).collect()
    }
}

/// Appends a byte string with its length.
pub(crate) fn put_bytes(buf: &mut BytesMut, bytes: &[u8]) {
    buf.put_u32_le(bytes.len() as u32);
    buf.put_slice(bytes);
}

/// Appends a list with its length.
pub(crate) fn put_list<T: Encode>(buf: &mut BytesMut, items: &[T]) {
    buf.put_u32_le(items.len() as u32);
    for item in items {
        item.encode(buf);
    }
}

macro_rules! counters_as_u64 {
    ($($name:ident),*) => {$(
        impl Encode for $name {
            fn encode(&self, buf: &mut BytesMut) {
                buf.put_u64_le(self.0);
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
                reader.u64().map(Self)
            }
        }
    )*};
}

counters_as_u64!(NodeId, Index, Epoch, Lsn, WallTime);

impl Encode for Digest {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_slice(&self.0);
    }
}

impl Decode for Digest {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.array().map(Self)
    }
}

impl Encode for RequestId {
    fn encode(&self, buf: &mut BytesMut) {
        self.origin.encode(buf);
        buf.put_u64_le(self.incarnation);
        buf.put_u64_le(self.counter);
    }
}

impl Decode for RequestId {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { origin: NodeId::decode(reader)?, incarnation: reader.u64()?, counter: reader.u64()? })
    }
}

impl Encode for SnapshotMeta {
    fn encode(&self, buf: &mut BytesMut) {
        self.index.encode(buf);
        self.epoch.encode(buf);
        put_list(buf, &self.members);
        self.digest.encode(buf);
        buf.put_u32_le(self.pieces);
    }
}

impl Decode for SnapshotMeta {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            index: Index::decode(reader)?,
            epoch: Epoch::decode(reader)?,
            members: reader.list()?,
            digest: Digest::decode(reader)?,
            pieces: reader.u32()?,
        })
    }
}
