//! Joins a protocol's [`Wire`] to tonic's framing.

use std::marker::PhantomData;
use std::sync::Arc;

use tonic::Status;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::counters::Counters;
use super::wire::{Lane, Wire};

/// tonic gathers messages that are ready up to this many bytes before it hands them to HTTP/2: few large writes under
/// load, and no wait without it.
const GATHERED_BYTES: usize = 64 * 1024;

/// By how much a buffer grows.
const BUFFER_BYTES: usize = 16 * 1024;

/// The codec of one stream.
pub(super) struct LaneCodec<P> {
    incoming: Lane,
    counters: Arc<Counters>,
    protocol: PhantomData<fn() -> P>,
}

impl<P: Wire> LaneCodec<P> {
    /// For a stream that brings messages of `incoming`; `counters` learn of what is malformed.
    pub(super) fn new(incoming: Lane, counters: Arc<Counters>) -> Self {
        Self { incoming, counters, protocol: PhantomData }
    }
}

impl<P: Wire> Codec for LaneCodec<P> {
    type Encode = P::Message;
    type Decode = P::Message;
    type Encoder = LaneEncoder<P>;
    type Decoder = Self;

    fn encoder(&mut self) -> Self::Encoder {
        LaneEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        Self::new(self.incoming, Arc::clone(&self.counters))
    }
}

/// Writes messages to a stream.
pub(super) struct LaneEncoder<P>(PhantomData<fn() -> P>);

impl<P: Wire> Encoder for LaneEncoder<P> {
    type Item = P::Message;
    type Error = Status;

    fn encode(&mut self, message: P::Message, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
        P::encode(message, buf);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, GATHERED_BYTES)
    }
}

impl<P: Wire> Decoder for LaneCodec<P> {
    type Item = P::Message;
    type Error = Status;

    fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<P::Message>, Status> {
        P::decode(self.incoming, buf).map(Some).map_err(|malformed| {
            self.counters.refused();
            Status::invalid_argument(format!("{}: {malformed}", P::LANES[self.incoming.number()]))
        })
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(BUFFER_BYTES, GATHERED_BYTES)
    }
}
