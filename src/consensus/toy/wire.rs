//! How the toy's messages travel: all in one protobuf message.

use bytes::{Buf, BufMut, Bytes};
use prost::Message as _;

use super::{Toy, ToyMessage};
use crate::transport::{Lane, Malformed, Wire};

const ASK: usize = 0;
const TELL: usize = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct Letter {
    #[prost(uint64, tag = "1")]
    number: u64,
    #[prost(bytes = "bytes", tag = "2")]
    payload: Bytes,
}

impl Wire for Toy {
    const SERVICE: &'static str = "consensusctl.toy.v1.ToyService";
    const LANES: &'static [&'static str] = &["Ask", "Tell"];
    const CLIENT_LANES: &'static [usize] = &[ASK];

    fn lane(message: &ToyMessage) -> Lane {
        match message {
            ToyMessage::Ask { .. } => Lane::Request(ASK),
            ToyMessage::Answer { .. } => Lane::Response(ASK),
            ToyMessage::Tell { .. } => Lane::Request(TELL),
        }
    }

    fn encode(message: ToyMessage, buf: &mut impl BufMut) {
        let number = message.number();
        let payload = if let ToyMessage::Ask { payload, .. } = message { payload } else { Bytes::new() };
        Letter { number, payload }.encode_raw(buf);
    }

    fn decode(lane: Lane, buf: impl Buf) -> Result<ToyMessage, Malformed> {
        let Letter { number, payload } = Letter::decode(buf)?;
        match lane {
            Lane::Request(ASK) => Ok(ToyMessage::Ask { number, payload }),
            Lane::Response(ASK) => Ok(ToyMessage::Answer { number }),
            Lane::Request(TELL) => Ok(ToyMessage::Tell { number }),
            _ => Err(Malformed::Value { field: "number", why: "came on a lane that carries nothing" }),
        }
    }
}
