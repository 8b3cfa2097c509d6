//! The encoding of replies: kept for sessions, digested, and compared between replicas.

use bytes::{BufMut, BytesMut};

use super::codec::{MAX_TXN_DEPTH, i64, invalid, put_tagged, tagged};
use super::error::KvError;
use super::response::{
    CompactionResponse, DeleteRangeResponse, KeyValue, OpenSessionResponse, PutResponse, RangeResponse,
    Reply, Response, TxnOpResponse, TxnResponse,
};
use crate::consensus::{Decode, DecodeError, Encode, Reader, put_bytes, put_list};

tagged!(KvError, "an error",
    0 => EmptyKey, 1 => KeyNotFound, 2 => ValueProvided, 3 => TooManyOps, 4 => DuplicateKey, 5 => Compacted,
    6 => FutureRevision, 7 => Malformed, 8 => SessionExpired, 9 => SessionReplyLost, 10 => SessionSequenceTooOld,
    11 => ResultTooLarge);

impl Encode for Reply {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Ok(Response::Range(range)) => put_tagged(buf, 0, range),
            Ok(Response::Put(put)) => put_tagged(buf, 1, put),
            Ok(Response::DeleteRange(delete)) => put_tagged(buf, 2, delete),
            Ok(Response::Txn(txn)) => put_tagged(buf, 3, txn),
            Ok(Response::Compact(compaction)) => {
                buf.put_u8(4);
                buf.put_i64_le(compaction.revision);
            }
            Ok(Response::OpenSession(opened)) => {
                buf.put_u8(5);
                buf.put_i64_le(opened.revision);
                buf.put_u64_le(opened.session);
            }
            Err(error) => put_tagged(buf, 255, error),
        }
    }
}

impl Decode for Reply {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Ok(match reader.u8()? {
            0 => Response::Range(RangeResponse::decode(reader)?),
            1 => Response::Put(PutResponse::decode(reader)?),
            2 => Response::DeleteRange(DeleteRangeResponse::decode(reader)?),
            3 => Response::Txn(txn(reader, MAX_TXN_DEPTH)?),
            4 => Response::Compact(CompactionResponse { revision: i64(reader)? }),
            5 => {
                Response::OpenSession(OpenSessionResponse { revision: i64(reader)?, session: reader.u64()? })
            }
            255 => return KvError::decode(reader).map(Err),
            other => return Err(invalid("a reply", other)),
        }))
    }
}

impl Encode for KeyValue {
    fn encode(&self, buf: &mut BytesMut) {
        put_bytes(buf, &self.key);
        buf.put_i64_le(self.create_revision);
        buf.put_i64_le(self.mod_revision);
        buf.put_i64_le(self.version);
        put_bytes(buf, &self.value);
    }
}

impl Decode for KeyValue {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self {
            key: reader.bytes()?,
            create_revision: i64(reader)?,
            mod_revision: i64(reader)?,
            version: i64(reader)?,
            value: reader.bytes()?,
        })
    }
}

impl Encode for RangeResponse {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_i64_le(self.revision);
        put_list(buf, &self.kvs);
        buf.put_u8(self.more.into());
        buf.put_i64_le(self.count);
    }
}

impl Decode for RangeResponse {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { revision: i64(reader)?, kvs: reader.list()?, more: reader.bool()?, count: i64(reader)? })
    }
}

impl Encode for PutResponse {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_i64_le(self.revision);
        match &self.prev_kv {
            None => buf.put_u8(0),
            Some(kv) => put_tagged(buf, 1, kv),
        }
    }
}

impl Decode for PutResponse {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let revision = i64(reader)?;
        let prev_kv = if reader.bool()? { Some(KeyValue::decode(reader)?) } else { None };
        Ok(Self { revision, prev_kv })
    }
}

impl Encode for DeleteRangeResponse {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_i64_le(self.revision);
        buf.put_i64_le(self.deleted);
        put_list(buf, &self.prev_kvs);
    }
}

impl Decode for DeleteRangeResponse {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self { revision: i64(reader)?, deleted: i64(reader)?, prev_kvs: reader.list()? })
    }
}

impl Encode for TxnResponse {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_i64_le(self.revision);
        buf.put_u8(self.succeeded.into());
        put_list(buf, &self.responses);
    }
}

impl Encode for TxnOpResponse {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::Range(range) => put_tagged(buf, 0, range),
            Self::Put(put) => put_tagged(buf, 1, put),
            Self::DeleteRange(delete) => put_tagged(buf, 2, delete),
            Self::Txn(txn) => put_tagged(buf, 3, txn),
        }
    }
}

/// Decodes the answer to a transaction that may nest `depth` levels, its own included.
fn txn(reader: &mut Reader, depth: usize) -> Result<TxnResponse, DecodeError> {
    if depth == 0 {
        return Err(DecodeError::Invalid { what: "the depth of a reply", value: MAX_TXN_DEPTH as u64 + 1 });
    }
    let (revision, succeeded, count) = (i64(reader)?, reader.bool()?, reader.u32()?);
    let responses = (0..count).map(|_| txn_op(reader, depth)).collect::<Result<_, _>>()?;
    Ok(TxnResponse { revision, succeeded, responses })
}

fn txn_op(reader: &mut Reader, depth: usize) -> Result<TxnOpResponse, DecodeError> {
    match reader.u8()? {
        0 => RangeResponse::decode(reader).map(TxnOpResponse::Range),
        1 => PutResponse::decode(reader).map(TxnOpResponse::Put),
        2 => DeleteRangeResponse::decode(reader).map(TxnOpResponse::DeleteRange),
        3 => txn(reader, depth - 1).map(TxnOpResponse::Txn),
        other => Err(invalid("an answer within a transaction", other)),
    }
}
