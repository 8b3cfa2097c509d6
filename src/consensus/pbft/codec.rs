//! The canonical encoding of what is said: what is signed and hashed, and what the log on disk holds.
//!
//! One value has one encoding, and every encoding is of one value: a message that was decoded and is encoded again has
//! the bytes that its signer signed.

use bytes::{BufMut, Bytes, BytesMut};

use super::evidence::Evidence;
use super::message::{
    Batch, Checkpoint, Commit, FetchBatch, FetchState, Message, NewView, PrePrepare, Prepare, Prepared,
    Reply, Request, Sequence, Signed, Stable, State, Status, View, ViewChange,
};
use crate::consensus::codec::{put_bytes, put_list};
use crate::consensus::{Decode, DecodeError, Digest, Encode, NodeId, Reader, Signature, WallTime};

/// A structure is its fields, one after the other.
macro_rules! fields {
    ($($name:ident { $($field:ident: $kind:ident),+ $(,)? })+) => {$(
        impl Encode for $name {
            fn encode(&self, buf: &mut BytesMut) {
                $(put!($kind, self.$field, buf);)+
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
                Ok(Self { $($field: take!($kind, reader)),+ })
            }
        }
    )+};
}

macro_rules! put {
    (u64, $value:expr, $buf:ident) => {
        $buf.put_u64_le($value)
    };
    (u32, $value:expr, $buf:ident) => {
        $buf.put_u32_le($value)
    };
    (bool, $value:expr, $buf:ident) => {
        $buf.put_u8($value.into())
    };
    (list, $value:expr, $buf:ident) => {
        put_list($buf, &$value)
    };
    (optional, $value:expr, $buf:ident) => {
        put_optional($buf, $value.as_ref())
    };
    ($kind:ident, $value:expr, $buf:ident) => {
        $value.encode($buf)
    };
}

macro_rules! take {
    (u64, $reader:ident) => {
        $reader.u64()?
    };
    (u32, $reader:ident) => {
        $reader.u32()?
    };
    (bool, $reader:ident) => {
        $reader.bool()?
    };
    (list, $reader:ident) => {
        $reader.list()?
    };
    (optional, $reader:ident) => {
        take_optional($reader)?
    };
    ($kind:ident, $reader:ident) => {
        $kind::decode($reader)?
    };
}

fields! {
    Request { client: NodeId, incarnation: u64, time: WallTime, commands: list }
    PrePrepare { view: View, sequence: Sequence, digest: Digest, replica: NodeId }
    Prepare { view: View, sequence: Sequence, digest: Digest, replica: NodeId }
    Commit { view: View, sequence: Sequence, digest: Digest, replica: NodeId }
    Checkpoint { sequence: Sequence, digest: Digest, replica: NodeId }
    Stable { checkpoints: list }
    ViewChange { view: View, stable: Stable, prepared: list, replica: NodeId }
    NewView { view: View, view_changes: list, pre_prepares: list, replica: NodeId }
    Reply { view: View, client: NodeId, incarnation: u64, results: list, replica: NodeId }
    Status {
        view: View, active: bool, stable: Sequence, committed: Sequence, fetching: Sequence, replica: NodeId
    }
    FetchBatch { sequence: Sequence, digest: Digest }
    FetchState { sequence: Sequence, number: u32 }
    State { sequence: Sequence, pieces: u32, number: u32, data: optional }
}

impl<T: Encode> Encode for Signed<T> {
    fn encode(&self, buf: &mut BytesMut) {
        self.body.encode(buf);
        self.signature.encode(buf);
    }
}

impl<T: Decode> Decode for Signed<T> {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { body: T::decode(reader)?, signature: Signature::decode(reader)? })
    }
}

impl Encode for Prepared {
    fn encode(&self, buf: &mut BytesMut) {
        self.pre_prepare.encode(buf);
        put_list(buf, &self.prepares);
    }
}

impl Decode for Prepared {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { pre_prepare: Signed::decode(reader)?, prepares: reader.list()? })
    }
}

impl Encode for Batch {
    fn encode(&self, buf: &mut BytesMut) {
        put_list(buf, &self.0);
    }
}

impl Decode for Batch {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        reader.list().map(Self)
    }
}

/// A command and its counter.
impl Encode for (u64, Bytes) {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u64_le(self.0);
        put_bytes(buf, &self.1);
    }
}

impl Decode for (u64, Bytes) {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok((reader.u64()?, reader.bytes()?))
    }
}

/// A result and its command's counter.
impl Encode for (u64, Option<Bytes>) {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u64_le(self.0);
        put_optional(buf, self.1.as_ref());
    }
}

impl Decode for (u64, Option<Bytes>) {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok((reader.u64()?, take_optional(reader)?))
    }
}

fn put_optional(buf: &mut BytesMut, bytes: Option<&Bytes>) {
    buf.put_u8(bytes.is_some().into());
    if let Some(bytes) = bytes {
        put_bytes(buf, bytes);
    }
}

fn take_optional(reader: &mut Reader) -> Result<Option<Bytes>, DecodeError> {
    if reader.bool()? { reader.bytes().map(Some) } else { Ok(None) }
}

const REQUEST: u8 = 1;
const PRE_PREPARE: u8 = 2;
const PREPARE: u8 = 3;
const COMMIT: u8 = 4;
const REPLY: u8 = 5;
const CHECKPOINT: u8 = 6;
const STABLE: u8 = 7;
const VIEW_CHANGE: u8 = 8;
const NEW_VIEW: u8 = 9;
const STATUS: u8 = 10;
const FETCH_BATCH: u8 = 11;
const BATCH: u8 = 12;
const FETCH_STATE: u8 = 13;
const STATE: u8 = 14;
const EVIDENCE: u8 = 15;
const DISPUTED: u8 = 16;

fn put_tagged(buf: &mut BytesMut, tag: u8, content: &impl Encode) {
    buf.put_u8(tag);
    content.encode(buf);
}

impl Encode for Message {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::Request(request) => put_tagged(buf, REQUEST, request),
            Self::PrePrepare { pre_prepare, batch } => {
                put_tagged(buf, PRE_PREPARE, pre_prepare);
                batch.encode(buf);
            }
            Self::Prepare(prepare) => put_tagged(buf, PREPARE, prepare),
            Self::Commit(commit) => put_tagged(buf, COMMIT, commit),
            Self::Reply(reply) => put_tagged(buf, REPLY, reply),
            Self::Disputed(reply) => put_tagged(buf, DISPUTED, reply),
            Self::Checkpoint(checkpoint) => put_tagged(buf, CHECKPOINT, checkpoint),
            Self::Stable(stable) => put_tagged(buf, STABLE, stable),
            Self::ViewChange(view_change) => put_tagged(buf, VIEW_CHANGE, view_change),
            Self::NewView(new_view) => put_tagged(buf, NEW_VIEW, new_view),
            Self::Status(status) => put_tagged(buf, STATUS, status),
            Self::FetchBatch(fetch) => put_tagged(buf, FETCH_BATCH, fetch),
            Self::Batch { sequence, batch } => {
                put_tagged(buf, BATCH, sequence);
                batch.encode(buf);
            }
            Self::FetchState(fetch) => put_tagged(buf, FETCH_STATE, fetch),
            Self::State(state) => put_tagged(buf, STATE, state),
            Self::Evidence(evidence) => put_tagged(buf, EVIDENCE, evidence),
        }
    }
}

impl Decode for Message {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            REQUEST => Self::Request(Signed::decode(reader)?),
            PRE_PREPARE => {
                Self::PrePrepare { pre_prepare: Signed::decode(reader)?, batch: Batch::decode(reader)? }
            }
            PREPARE => Self::Prepare(Signed::decode(reader)?),
            COMMIT => Self::Commit(Signed::decode(reader)?),
            REPLY => Self::Reply(Signed::decode(reader)?),
            DISPUTED => Self::Disputed(Signed::decode(reader)?),
            CHECKPOINT => Self::Checkpoint(Signed::decode(reader)?),
            STABLE => Self::Stable(Stable::decode(reader)?),
            VIEW_CHANGE => Self::ViewChange(Signed::decode(reader)?),
            NEW_VIEW => Self::NewView(Signed::decode(reader)?),
            STATUS => Self::Status(Signed::decode(reader)?),
            FETCH_BATCH => Self::FetchBatch(FetchBatch::decode(reader)?),
            BATCH => Self::Batch { sequence: Sequence::decode(reader)?, batch: Batch::decode(reader)? },
            FETCH_STATE => Self::FetchState(FetchState::decode(reader)?),
            STATE => Self::State(State::decode(reader)?),
            EVIDENCE => Self::Evidence(Evidence::decode(reader)?),
            other => return Err(DecodeError::Invalid { what: "a PBFT message's tag", value: other.into() }),
        })
    }
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
