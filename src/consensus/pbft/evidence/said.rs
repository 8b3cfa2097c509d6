//! [`Evidence`]: the statements of a piece, and their canonical bytes.

use bytes::{BufMut, BytesMut};

use super::super::message::{
    Checkpoint, Commit, Message, NewView, PrePrepare, Prepare, Prepared, Sequence, Signed, View, ViewChange,
};
use super::super::signing::Verifier;
use crate::consensus::{Decode, DecodeError, Digest, Encode, NodeId, Reader};

/// Something signed that proves something, alone or with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// See [`PrePrepare`].
    PrePrepare(Signed<PrePrepare>),
    /// See [`Prepare`].
    Prepare(Signed<Prepare>),
    /// See [`Commit`].
    Commit(Signed<Commit>),
    /// See [`Checkpoint`].
    Checkpoint(Signed<Checkpoint>),
    /// See [`ViewChange`].
    ViewChange(Box<Signed<ViewChange>>),
    /// See [`NewView`].
    NewView(Box<Signed<NewView>>),
    /// What others said, which the accused contradicts.
    Certificate(Prepared),
}

/// One or two things that somebody signed and no honest replica signs: the module says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    said: Vec<Said>,
}

/// What PRE-PREPARE, PREPARE and COMMIT have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Vote {
    pub(super) view: View,
    pub(super) sequence: Sequence,
    pub(super) digest: Digest,
    pub(super) replica: NodeId,
}

impl Evidence {
    /// Of something that contradicts itself.
    pub fn alone(said: Said) -> Self {
        Self { said: vec![said] }
    }

    /// Of two things that contradict each other, in the order of their bytes: so that a pair is one piece, whichever came
    /// first.
    pub fn pair(one: Said, other: Said) -> Self {
        let mut said = vec![one, other];
        said.sort_by_cached_key(Encode::to_bytes);
        Self { said }
    }

    /// What was said: one thing, or two in order.
    pub fn said(&self) -> &[Said] {
        &self.said
    }

    /// What a message that is not believed shows against its signer, if that can be: the message itself.
    pub fn of_refused(message: &Message) -> Option<Self> {
        match message {
            Message::ViewChange(signed) => Some(Self::alone(Said::ViewChange(Box::new(signed.clone())))),
            Message::NewView(signed) => Some(Self::alone(Said::NewView(Box::new(signed.clone())))),
            _ => None,
        }
    }
}

impl Said {
    /// What it is called.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::PrePrepare(_) => "PRE-PREPARE",
            Self::Prepare(_) => "PREPARE",
            Self::Commit(_) => "COMMIT",
            Self::Checkpoint(_) => "CHECKPOINT",
            Self::ViewChange(_) => "VIEW-CHANGE",
            Self::NewView(_) => "NEW-VIEW",
            Self::Certificate(_) => "prepared certificate",
        }
    }

    /// Who signed it; nobody alone signed a certificate.
    pub fn signer(&self) -> Option<NodeId> {
        match self {
            Self::PrePrepare(signed) => Some(signed.body.replica),
            Self::Prepare(signed) => Some(signed.body.replica),
            Self::Commit(signed) => Some(signed.body.replica),
            Self::Checkpoint(signed) => Some(signed.body.replica),
            Self::ViewChange(signed) => Some(signed.body.replica),
            Self::NewView(signed) => Some(signed.body.replica),
            Self::Certificate(_) => None,
        }
    }

    /// Whether its signer signed it; what is inside a VIEW-CHANGE or NEW-VIEW is not looked at.
    pub(super) fn verify(&self, verifier: &Verifier) -> bool {
        match self {
            Self::PrePrepare(signed) => verifier.verify(signed),
            Self::Prepare(signed) => verifier.verify(signed),
            Self::Commit(signed) => verifier.verify(signed),
            Self::Checkpoint(signed) => verifier.verify(signed),
            Self::ViewChange(signed) => verifier.verify(signed.as_ref()),
            Self::NewView(signed) => verifier.verify(signed.as_ref()),
            Self::Certificate(prepared) => prepared.verify(verifier),
        }
    }

    /// The vote about a number that it is, if it is one.
    pub(super) fn vote(&self) -> Option<Vote> {
        let (view, sequence, digest, replica) = match self {
            Self::PrePrepare(Signed { body, .. }) => (body.view, body.sequence, body.digest, body.replica),
            Self::Prepare(Signed { body, .. }) => (body.view, body.sequence, body.digest, body.replica),
            Self::Commit(Signed { body, .. }) => (body.view, body.sequence, body.digest, body.replica),
            _ => return None,
        };
        Some(Vote { view, sequence, digest, replica })
    }
}

const PRE_PREPARE: u8 = 1;
const PREPARE: u8 = 2;
const COMMIT: u8 = 3;
const CHECKPOINT: u8 = 4;
const VIEW_CHANGE: u8 = 5;
const NEW_VIEW: u8 = 6;
const CERTIFICATE: u8 = 7;

fn put_tagged(buf: &mut BytesMut, tag: u8, content: &impl Encode) {
    buf.put_u8(tag);
    content.encode(buf);
}

impl Encode for Said {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::PrePrepare(signed) => put_tagged(buf, PRE_PREPARE, signed),
            Self::Prepare(signed) => put_tagged(buf, PREPARE, signed),
            Self::Commit(signed) => put_tagged(buf, COMMIT, signed),
            Self::Checkpoint(signed) => put_tagged(buf, CHECKPOINT, signed),
            Self::ViewChange(signed) => put_tagged(buf, VIEW_CHANGE, signed.as_ref()),
            Self::NewView(signed) => put_tagged(buf, NEW_VIEW, signed.as_ref()),
            Self::Certificate(prepared) => put_tagged(buf, CERTIFICATE, prepared),
        }
    }
}

impl Decode for Said {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(match reader.u8()? {
            PRE_PREPARE => Self::PrePrepare(Signed::decode(reader)?),
            PREPARE => Self::Prepare(Signed::decode(reader)?),
            COMMIT => Self::Commit(Signed::decode(reader)?),
            CHECKPOINT => Self::Checkpoint(Signed::decode(reader)?),
            VIEW_CHANGE => Self::ViewChange(Box::new(Signed::decode(reader)?)),
            NEW_VIEW => Self::NewView(Box::new(Signed::decode(reader)?)),
            CERTIFICATE => Self::Certificate(Prepared::decode(reader)?),
            other => return Err(DecodeError::Invalid { what: "a statement's tag", value: other.into() }),
        })
    }
}

impl Encode for Evidence {
    fn encode(&self, buf: &mut BytesMut) {
        buf.put_u8(self.said.len() as u8);
        self.said.iter().for_each(|said| said.encode(buf));
    }
}

impl Decode for Evidence {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let said = match reader.u8()? {
            1 => vec![Said::decode(reader)?],
            2 => vec![Said::decode(reader)?, Said::decode(reader)?],
            other => {
                return Err(DecodeError::Invalid { what: "the number of statements", value: other.into() });
            }
        };
        Ok(Self { said })
    }
}
