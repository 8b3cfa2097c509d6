//! [`Wire`]: what a protocol brings so that its messages travel.

use bytes::{Buf, BufMut};

use crate::consensus::{DecodeError, Protocol};

/// On which stream a message leaves. The number is a position in [`Wire::LANES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// On the stream of this RPC that the sender opened.
    Request(usize),
    /// On the stream of this RPC that the receiver opened.
    Response(usize),
}

impl Lane {
    /// The position in [`Wire::LANES`].
    pub const fn number(self) -> usize {
        match self {
            Self::Request(number) | Self::Response(number) => number,
        }
    }
}

/// A protocol whose messages can travel: one gRPC service whose RPCs all stream in both directions.
pub trait Wire: Protocol<Message: Sync> {
    /// The service's full name in its proto file, as `package.Service`.
    const SERVICE: &'static str;
    /// The names of its RPCs.
    const LANES: &'static [&'static str];
    /// Which of [`LANES`](Self::LANES) clients may open: none where clients do not take part in the protocol.
    const CLIENT_LANES: &'static [usize] = &[];

    /// Where a message leaves.
    fn lane(message: &Self::Message) -> Lane;

    /// Writes a message as the protobuf message of its lane.
    fn encode(message: Self::Message, buf: &mut impl BufMut);

    /// Reads a message that came on `lane`. Total: arbitrary bytes give an error, never a panic.
    fn decode(lane: Lane, buf: impl Buf) -> Result<Self::Message, Malformed>;
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Malformed {
    /// They are not the protobuf message of their lane.
    #[error("not a protobuf message of this RPC: {0}")]
    Protobuf(#[from] prost::DecodeError),
    /// A field in the canonical encoding is damaged.
    #[error("field {field}: {error}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        error: DecodeError,
    },
    /// A field that must be there is missing, or has a value that does not exist.
    #[error("field {field} {why}")]
    Value {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
}
