//! The smallest protocol, for tests of what is shared: it sends what it is told to and decides nothing.

mod alone;
mod wire;

pub(crate) use alone::{Alone, NoOptions};

use bytes::Bytes;

use super::{
    Answers, Checked, Decode, DecodeError, Encode, Event, Input, Message, NodeId, Output, Protocol, Reader,
    RecoverError, Recovered, Refused, Role, Setup, Status, Time,
};

/// A protocol without state.
#[derive(Debug)]
pub(crate) struct Toy;

/// What its replicas send each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ToyMessage {
    /// A request of the first lane.
    Ask { number: u64, payload: Bytes },
    /// Its response.
    Answer { number: u64 },
    /// A request of the second lane.
    Tell { number: u64 },
}

/// A number that [`Toy::check`] refuses.
pub(crate) const FORBIDDEN: u64 = u64::MAX;

impl ToyMessage {
    pub(crate) fn ask(number: u64) -> Self {
        Self::Ask { number, payload: Bytes::from_static(b"?") }
    }

    pub(crate) fn number(&self) -> u64 {
        match *self {
            Self::Ask { number, .. } | Self::Answer { number } | Self::Tell { number } => number,
        }
    }
}

impl Message for ToyMessage {
    const KINDS: &'static [&'static str] = &["Ask", "Answer", "Tell"];

    fn kind(&self) -> &'static str {
        match self {
            Self::Ask { .. } => "Ask",
            Self::Answer { .. } => "Answer",
            Self::Tell { .. } => "Tell",
        }
    }

    fn size(&self) -> usize {
        match self {
            Self::Ask { payload, .. } => payload.len() + 8,
            _ => 8,
        }
    }
}

/// It keeps no records.
#[derive(Clone, Debug)]
pub(crate) struct NoRecord;

impl Encode for NoRecord {
    fn encode(&self, _buf: &mut bytes::BytesMut) {}
}

impl Decode for NoRecord {
    fn decode(_reader: &mut Reader) -> Result<Self, DecodeError> {
        Ok(Self)
    }
}

impl Protocol for Toy {
    type Message = ToyMessage;
    type Record = NoRecord;
    type Options = ();
    type Checker = ();

    const NAME: &'static str = "toy";
    const ANSWERS: Answers = Answers::ByNode;

    fn recover(_setup: Setup<Self>, _recovered: Recovered<NoRecord>) -> Result<Self, RecoverError> {
        Ok(Self)
    }

    fn check_options((): &Self::Options) -> Result<(), String> {
        Ok(())
    }

    fn checker(_setup: &Setup<Self>) -> Self::Checker {}

    fn check((): &(), _from: NodeId, message: ToyMessage) -> Result<Checked<ToyMessage>, Refused> {
        if message.number() == FORBIDDEN {
            return Err(Refused { kind: message.kind(), why: "that number is forbidden" });
        }
        Ok(Checked::vouch(message))
    }

    fn handle(&mut self, _now: Time, _input: Input<ToyMessage>, _out: &mut Output<Self>) {}

    fn deadline(&self) -> Option<Time> {
        None
    }

    fn describe_event(event: &Event) -> String {
        event.describe("epoch", "index")
    }

    fn status(&self) -> Status {
        Status {
            role: Role::Follower,
            epoch: 0,
            leader: None,
            last: 0,
            committed: 0,
            applied: 0,
            snapshot: 0,
            details: Vec::new(),
            peers: Vec::new(),
            why: Vec::new(),
            convicted: Vec::new(),
            suspicions: Vec::new(),
        }
    }
}
