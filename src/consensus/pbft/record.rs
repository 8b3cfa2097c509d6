//! What a replica must not forget: what it signed, and what it needs to stand by it.
//!
//! A statement is written before it leaves, so that after a crash the replica says the same again and nothing else. A
//! COMMIT needs no record of its own: it follows from the certificate, and signing is deterministic.

use bytes::{BufMut, BytesMut};

use super::evidence::Said;
use super::message::{
    Batch, Checkpoint, NewView, PrePrepare, Prepared, Sequence, Signed, Stable, ViewChange,
};
use super::sizes::{new_view_size, said_size, view_change_size};
use crate::consensus::{Decode, DecodeError, Digest, Encode, Reader};

/// What is written to the log on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A PRE-PREPARE was accepted in its view, or made: a backup's PREPARE follows from it. With its batch, unless an
    /// earlier record has that.
    PrePrepare {
        /// The statement.
        pre_prepare: Signed<PrePrepare>,
        /// The batch.
        batch: Option<Batch>,
    },
    /// A certificate: the replica's COMMIT follows from it.
    Prepared(Prepared),
    /// The slot is decided. With its batch, unless an earlier record has that.
    Committed {
        /// Which slot.
        sequence: Sequence,
        /// What is in it.
        digest: Digest,
        /// The batch.
        batch: Option<Batch>,
    },
    /// The replica's own CHECKPOINT.
    Checkpoint(Signed<Checkpoint>),
    /// A checkpoint is stable.
    Stable(Stable),
    /// The replica left its view for this one.
    ViewChange(Signed<ViewChange>),
    /// The replica entered this view.
    NewView(Signed<NewView>),
    /// A statement of a piece of evidence against another replica. A piece's records follow each other.
    Evidence {
        /// The statement.
        said: Said,
        /// The next record has another one of the same piece.
        more: bool,
    },
}

const PRE_PREPARE: u8 = 1;
const PREPARED: u8 = 2;
const COMMITTED: u8 = 3;
const CHECKPOINT: u8 = 4;
const STABLE: u8 = 5;
const VIEW_CHANGE: u8 = 6;
const NEW_VIEW: u8 = 7;
const EVIDENCE: u8 = 8;

impl Encode for Record {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::PrePrepare { pre_prepare, batch } => {
                buf.put_u8(PRE_PREPARE);
                pre_prepare.encode(buf);
                encode_batch(batch.as_ref(), buf);
            }
            Self::Prepared(prepared) => {
                buf.put_u8(PREPARED);
                prepared.encode(buf);
            }
            Self::Committed { sequence, digest, batch } => {
                buf.put_u8(COMMITTED);
                sequence.encode(buf);
                digest.encode(buf);
                encode_batch(batch.as_ref(), buf);
            }
            Self::Checkpoint(checkpoint) => {
                buf.put_u8(CHECKPOINT);
                checkpoint.encode(buf);
            }
            Self::Stable(stable) => {
                buf.put_u8(STABLE);
                stable.encode(buf);
            }
            Self::ViewChange(view_change) => {
                buf.put_u8(VIEW_CHANGE);
                view_change.encode(buf);
            }
            Self::NewView(new_view) => {
                buf.put_u8(NEW_VIEW);
                new_view.encode(buf);
            }
            Self::Evidence { said, more } => {
                buf.put_u8(EVIDENCE);
                said.encode(buf);
                buf.put_u8((*more).into());
            }
        }
    }
}

impl Decode for Record {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            PRE_PREPARE => {
                Self::PrePrepare { pre_prepare: Signed::decode(reader)?, batch: decode_batch(reader)? }
            }
            PREPARED => Self::Prepared(Prepared::decode(reader)?),
            COMMITTED => Self::Committed {
                sequence: Sequence::decode(reader)?,
                digest: Digest::decode(reader)?,
                batch: decode_batch(reader)?,
            },
            CHECKPOINT => Self::Checkpoint(Signed::decode(reader)?),
            STABLE => Self::Stable(Stable::decode(reader)?),
            VIEW_CHANGE => Self::ViewChange(Signed::decode(reader)?),
            NEW_VIEW => Self::NewView(Signed::decode(reader)?),
            EVIDENCE => Self::Evidence { said: Said::decode(reader)?, more: reader.bool()? },
            other => return Err(DecodeError::Invalid { what: "a record's kind", value: other.into() }),
        })
    }
}

fn encode_batch(batch: Option<&Batch>, buf: &mut BytesMut) {
    buf.put_u8(batch.is_some().into());
    if let Some(batch) = batch {
        batch.encode(buf);
    }
}

fn decode_batch(reader: &mut Reader) -> Result<Option<Batch>, DecodeError> {
    reader.bool()?.then(|| Batch::decode(reader)).transpose()
}

impl Record {
    /// The slot that it is about, if it is about one.
    pub fn slot(&self) -> Option<Sequence> {
        match self {
            Self::PrePrepare { pre_prepare, .. } => Some(pre_prepare.body.sequence),
            Self::Prepared(prepared) => Some(prepared.sequence()),
            Self::Committed { sequence, .. } => Some(*sequence),
            Self::Checkpoint(_)
            | Self::Stable(_)
            | Self::ViewChange(_)
            | Self::NewView(_)
            | Self::Evidence { .. } => None,
        }
    }

    /// About how many bytes it takes on disk.
    pub(super) fn size(&self) -> usize {
        const FIXED_BYTES: usize = 192;
        let batch = |batch: &Option<Batch>| batch.as_ref().map_or(0, Batch::size);
        FIXED_BYTES
            + match self {
                Self::PrePrepare { batch: content, .. } | Self::Committed { batch: content, .. } => {
                    batch(content)
                }
                Self::Prepared(prepared) => FIXED_BYTES * prepared.prepares.len(),
                Self::Stable(stable) => FIXED_BYTES * stable.checkpoints.len(),
                Self::Checkpoint(_) => 0,
                Self::ViewChange(view_change) => view_change_size(&view_change.body),
                Self::NewView(new_view) => new_view_size(&new_view.body),
                Self::Evidence { said, .. } => said_size(said),
            }
    }
}
