//! The encoding of commands and replies: commands are logged and sent, replies are kept for sessions and compared.

use bytes::{BufMut, Bytes, BytesMut};

use super::request::{
    Command, CompactionRequest, Compare, CompareResult, CompareTarget, DeleteRangeRequest, Op, PutRequest,
    RangeRequest, SessionTag, SortOrder, SortTarget, TxnOp, TxnRequest,
};
use crate::consensus::{Decode, DecodeError, Encode, Reader, put_bytes, put_list};

/// How deep transactions may nest. A level takes two of the hundred that a decoder of protobuf messages lets nest, and
/// whoever passes a transaction on, as a gateway does, may wrap it: this is accepted by all of them or by none. It is
/// also shallow enough for the recursion over transactions to fit any stack. etcd lets them nest 128 deep.
pub const MAX_TXN_DEPTH: usize = 32;

pub(super) fn invalid(what: &'static str, value: impl Into<u64>) -> DecodeError {
    DecodeError::Invalid { what, value: value.into() }
}

pub(super) fn i64(reader: &mut Reader) -> Result<i64, DecodeError> {
    reader.u64().map(|value| value as i64)
}

/// Implements the codec of an enum without fields: its tags in the order of the list.
macro_rules! tagged {
    ($name:ident, $what:literal, $($tag:literal => $variant:ident),*) => {
        impl Encode for $name {
            fn encode(&self, buf: &mut BytesMut) {
                buf.put_u8(match self { $(Self::$variant => $tag),* });
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
                match reader.u8()? {
                    $($tag => Ok(Self::$variant),)*
                    other => Err(invalid($what, other)),
                }
            }
        }
    };
}
pub(super) use tagged;

tagged!(SortOrder, "a sort order", 0 => None, 1 => Ascend, 2 => Descend);
tagged!(SortTarget, "a sort target", 0 => Key, 1 => Version, 2 => Create, 3 => Mod, 4 => Value);
tagged!(CompareResult, "a comparison", 0 => Equal, 1 => Greater, 2 => Less, 3 => NotEqual);

impl Encode for Command {
    fn encode(&self, buf: &mut BytesMut) {
        match self.session {
            None => buf.put_u8(0),
            Some(tag) => {
                buf.put_u8(1);
                buf.put_u64_le(tag.session);
                buf.put_u64_le(tag.sequence);
            }
        }
        self.op.encode(buf);
    }
}

impl Decode for Command {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let session = if reader.bool()? {
            Some(SessionTag { session: reader.u64()?, sequence: reader.u64()? })
        } else {
            None
        };
        Ok(Self { session, op: Op::decode(reader)? })
    }
}

impl Encode for Op {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::Range(range) => put_tagged(buf, 0, range),
            Self::Put(put) => put_tagged(buf, 1, put),
            Self::DeleteRange(delete) => put_tagged(buf, 2, delete),
            Self::Txn(txn) => put_tagged(buf, 3, txn),
            Self::Compact(compaction) => {
                buf.put_u8(4);
                buf.put_i64_le(compaction.revision);
            }
            Self::OpenSession => buf.put_u8(5),
        }
    }
}

impl Decode for Op {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.u8()? {
            0 => RangeRequest::decode(reader).map(Self::Range),
            1 => PutRequest::decode(reader).map(Self::Put),
            2 => DeleteRangeRequest::decode(reader).map(Self::DeleteRange),
            3 => txn(reader, MAX_TXN_DEPTH).map(Self::Txn),
            4 => Ok(Self::Compact(CompactionRequest { revision: i64(reader)? })),
            5 => Ok(Self::OpenSession),
            other => Err(invalid("a command", other)),
        }
    }
}

pub(super) fn put_tagged(buf: &mut BytesMut, tag: u8, value: &impl Encode) {
    buf.put_u8(tag);
    value.encode(buf);
}

impl Encode for RangeRequest {
    fn encode(&self, buf: &mut BytesMut) {
        put_bytes(buf, &self.key);
        put_bytes(buf, &self.range_end);
        buf.put_i64_le(self.limit);
        buf.put_i64_le(self.revision);
        self.sort_order.encode(buf);
        self.sort_target.encode(buf);
        buf.put_u8(self.keys_only.into());
        buf.put_u8(self.count_only.into());
        buf.put_i64_le(self.min_mod_revision);
        buf.put_i64_le(self.max_mod_revision);
        buf.put_i64_le(self.min_create_revision);
        buf.put_i64_le(self.max_create_revision);
    }
}

impl Decode for RangeRequest {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            key: reader.bytes()?,
            range_end: reader.bytes()?,
            limit: i64(reader)?,
            revision: i64(reader)?,
            sort_order: SortOrder::decode(reader)?,
            sort_target: SortTarget::decode(reader)?,
            keys_only: reader.bool()?,
            count_only: reader.bool()?,
            min_mod_revision: i64(reader)?,
            max_mod_revision: i64(reader)?,
            min_create_revision: i64(reader)?,
            max_create_revision: i64(reader)?,
        })
    }
}

impl Encode for PutRequest {
    fn encode(&self, buf: &mut BytesMut) {
        put_bytes(buf, &self.key);
        put_bytes(buf, &self.value);
        buf.put_u8(self.prev_kv.into());
        buf.put_u8(self.ignore_value.into());
        buf.put_u8(self.ignore_lease.into());
    }
}

impl Decode for PutRequest {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            key: reader.bytes()?,
            value: reader.bytes()?,
            prev_kv: reader.bool()?,
            ignore_value: reader.bool()?,
            ignore_lease: reader.bool()?,
        })
    }
}

impl Encode for DeleteRangeRequest {
    fn encode(&self, buf: &mut BytesMut) {
        put_bytes(buf, &self.key);
        put_bytes(buf, &self.range_end);
        buf.put_u8(self.prev_kv.into());
    }
}

impl Decode for DeleteRangeRequest {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { key: reader.bytes()?, range_end: reader.bytes()?, prev_kv: reader.bool()? })
    }
}

impl Encode for TxnRequest {
    fn encode(&self, buf: &mut BytesMut) {
        put_list(buf, &self.compare);
        put_list(buf, &self.success);
        put_list(buf, &self.failure);
    }
}

/// Decodes a transaction that may nest `depth` levels, its own included.
fn txn(reader: &mut Reader, depth: usize) -> Result<TxnRequest, DecodeError> {
    if depth == 0 {
        return Err(invalid("the depth of a transaction", MAX_TXN_DEPTH as u64 + 1));
    }
    let compare = reader.list()?;
    Ok(TxnRequest { compare, success: txn_ops(reader, depth)?, failure: txn_ops(reader, depth)? })
}

fn txn_ops(reader: &mut Reader, depth: usize) -> Result<Vec<TxnOp>, DecodeError> {
    let count = reader.u32()?;
    // Nothing is reserved for the count: it is not to be believed before the items are there.
    (0..count).map(|_| txn_op(reader, depth)).collect()
}

fn txn_op(reader: &mut Reader, depth: usize) -> Result<TxnOp, DecodeError> {
    match reader.u8()? {
        0 => RangeRequest::decode(reader).map(TxnOp::Range),
        1 => PutRequest::decode(reader).map(TxnOp::Put),
        2 => DeleteRangeRequest::decode(reader).map(TxnOp::DeleteRange),
        3 => txn(reader, depth - 1).map(TxnOp::Txn),
        other => Err(invalid("an operation of a transaction", other)),
    }
}

impl Encode for TxnOp {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::Range(range) => put_tagged(buf, 0, range),
            Self::Put(put) => put_tagged(buf, 1, put),
            Self::DeleteRange(delete) => put_tagged(buf, 2, delete),
            Self::Txn(txn) => put_tagged(buf, 3, txn),
        }
    }
}

impl Encode for Compare {
    fn encode(&self, buf: &mut BytesMut) {
        self.result.encode(buf);
        let mut number = |tag, number| {
            buf.put_u8(tag);
            buf.put_i64_le(number);
        };
        match &self.target {
            CompareTarget::Version(version) => number(0, *version),
            CompareTarget::Create(revision) => number(1, *revision),
            CompareTarget::Mod(revision) => number(2, *revision),
            CompareTarget::Value(value) => {
                buf.put_u8(3);
                put_bytes(buf, value);
            }
            CompareTarget::Lease(lease) => number(4, *lease),
        }
        put_bytes(buf, &self.key);
        put_bytes(buf, &self.range_end);
    }
}

impl Decode for Compare {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let result = CompareResult::decode(reader)?;
        let target = match reader.u8()? {
            0 => CompareTarget::Version(i64(reader)?),
            1 => CompareTarget::Create(i64(reader)?),
            2 => CompareTarget::Mod(i64(reader)?),
            3 => CompareTarget::Value(reader.bytes()?),
            4 => CompareTarget::Lease(i64(reader)?),
            other => return Err(invalid("what is compared", other)),
        };
        Ok(Self { result, target, key: reader.bytes()?, range_end: reader.bytes()? })
    }
}

/// Refuses what does not follow in order: one value has one encoding, or a digest over what was decoded would not be one
/// over the bytes.
pub(super) fn ascending(what: &'static str, value: u64, last: Option<u64>) -> Result<(), DecodeError> {
    if last.is_some_and(|last| value <= last) { Err(invalid(what, value)) } else { Ok(()) }
}

/// A copy of `bytes` in an allocation of its own: a slice would keep the whole message that it came with in memory.
pub(super) fn own(bytes: &[u8]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}
