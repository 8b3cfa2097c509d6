//! What a server must not forget: its term and vote, and its log.

use bytes::{BufMut, BytesMut};

use super::message::{Term, proposal_size};
use crate::consensus::codec::put_bytes;
use crate::consensus::{
    Decode, DecodeError, Encode, Epoch, Index, NodeId, Proposal, Reader, RequestId, WallTime,
};

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its position.
    pub index: Index,
    /// The term in which a leader made it.
    pub term: Term,
    /// What it holds.
    pub payload: Payload,
}

/// What an entry holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: the first entry of a leader's term, by which earlier terms' entries are committed (Diss. §6.4).
    Noop,
    /// A client's command.
    Command(Proposal),
}

impl Entry {
    /// About how many bytes the entry takes, in memory, on disk or on the network.
    pub fn size(&self) -> usize {
        const FIXED_BYTES: usize = 24;
        FIXED_BYTES + self.proposal().map_or(0, proposal_size)
    }

    /// The command, if it holds one.
    pub fn proposal(&self) -> Option<&Proposal> {
        match &self.payload {
            Payload::Noop => None,
            Payload::Command(proposal) => Some(proposal),
        }
    }

    /// The name of its command.
    pub fn id(&self) -> Option<RequestId> {
        self.proposal().map(|proposal| proposal.id)
    }
}

/// What is written to the log on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The current term and the vote in it: one record, because a crash between two would let a server vote twice.
    HardState {
        /// The current term.
        term: Term,
        /// Who got this server's vote in it.
        voted_for: Option<NodeId>,
    },
    /// An entry. All entries at its index and above that were written before are void.
    Entry(Entry),
    /// All entries that were written before are void, and the log goes on after this position, up to which the
    /// snapshot holds everything.
    Reset {
        /// The snapshot's index.
        index: Index,
        /// Its term.
        term: Term,
    },
}

const NOOP: u8 = 0;
const COMMAND: u8 = 1;

impl Encode for Entry {
    fn encode(&self, buf: &mut BytesMut) {
        self.index.encode(buf);
        self.term.encode(buf);
        match &self.payload {
            Payload::Noop => buf.put_u8(NOOP),
            Payload::Command(proposal) => {
                buf.put_u8(COMMAND);
                proposal.id.encode(buf);
                proposal.time.encode(buf);
                put_bytes(buf, &proposal.command);
            }
        }
    }
}

impl Decode for Entry {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        let index = Index::decode(reader)?;
        let term = Epoch::decode(reader)?;
        let payload = match reader.u8()? {
            NOOP => Payload::Noop,
            COMMAND => Payload::Command(Proposal {
                id: RequestId::decode(reader)?,
                time: WallTime::decode(reader)?,
                command: reader.bytes()?,
            }),
            other => return Err(DecodeError::Invalid { what: "an entry's payload", value: other.into() }),
        };
        Ok(Self { index, term, payload })
    }
}

const HARD_STATE: u8 = 1;
const ENTRY: u8 = 2;
const RESET: u8 = 3;

impl Encode for Record {
    fn encode(&self, buf: &mut BytesMut) {
        match self {
            Self::HardState { term, voted_for } => {
                buf.put_u8(HARD_STATE);
                term.encode(buf);
                buf.put_u8(voted_for.is_some().into());
                if let Some(node) = voted_for {
                    node.encode(buf);
                }
            }
            Self::Entry(entry) => {
                buf.put_u8(ENTRY);
                entry.encode(buf);
            }
            Self::Reset { index, term } => {
                buf.put_u8(RESET);
                index.encode(buf);
                term.encode(buf);
            }
        }
    }
}

impl Decode for Record {
    fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
        match reader.u8()? {
            HARD_STATE => {
                let term = Epoch::decode(reader)?;
                let voted_for = if reader.bool()? { Some(NodeId::decode(reader)?) } else { None };
                Ok(Self::HardState { term, voted_for })
            }
            ENTRY => Entry::decode(reader).map(Self::Entry),
            RESET => Ok(Self::Reset { index: Index::decode(reader)?, term: Epoch::decode(reader)? }),
            other => Err(DecodeError::Invalid { what: "a Raft record's tag", value: other.into() }),
        }
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
