//! What bytes must look like before they are decoded: nothing takes far more memory than it has bytes.
//!
//! A repeated field may hold empty messages, of two bytes each, and decoding makes a hundred bytes of each before anybody
//! can look at it: of one message of the largest size, gigabytes. Whatever is signed has a signature, though; and there
//! are only so many commands and results.

use bytes::Buf;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use crate::consensus::pbft::options::MAX_BATCH_COMMANDS;
use crate::transport::Malformed;

/// Bytes of a signature: nothing that is signed has fewer.
const SIGNED_BYTES: u64 = 64;

/// The fields of a message that hold messages; others may hold what they like, and as many as fit.
#[derive(Debug)]
pub(super) struct Shape(&'static [(u32, Inner)]);

#[derive(Debug)]
enum Inner {
    /// Each has a signature, of its own or of somebody else.
    Signed(&'static Shape),
    /// One, however often it comes.
    Single(&'static Shape),
    /// Each may be as small as a message can be.
    Small,
}

use Inner::{Signed, Single, Small};

static STATEMENT: Shape = Shape(&[]);
pub(super) static REQUEST: Shape = Shape(&[(4, Small)]);
pub(super) static PRE_PREPARE: Shape = Shape(&[(1, Signed(&STATEMENT)), (2, Signed(&REQUEST))]);
pub(super) static REPLY: Shape = Shape(&[(4, Small)]);
pub(super) static DISPUTED: Shape = Shape(&[(1, Signed(&REPLY))]);
pub(super) static STABLE: Shape = Shape(&[(1, Signed(&STATEMENT))]);
static PREPARED: Shape = Shape(&[(1, Signed(&STATEMENT)), (2, Signed(&STATEMENT))]);
pub(super) static VIEW_CHANGE: Shape = Shape(&[(2, Single(&STABLE)), (3, Signed(&PREPARED))]);
pub(super) static NEW_VIEW: Shape = Shape(&[(2, Signed(&VIEW_CHANGE)), (3, Signed(&STATEMENT))]);
pub(super) static BATCH: Shape = Shape(&[(2, Signed(&REQUEST))]);

impl Shape {
    /// Whether `bytes` have it.
    pub(super) fn check(&self, mut bytes: &[u8]) -> Result<(), Malformed> {
        self.walk(&mut bytes, &mut { MAX_BATCH_COMMANDS })
    }

    /// `small`: how many more small ones there may be.
    fn walk(&self, bytes: &mut &[u8], small: &mut usize) -> Result<(), Malformed> {
        let wrong = |why| Malformed::Value { field: "message", why };
        while bytes.has_remaining() {
            let (tag, kind) = decode_key(bytes)?;
            let inner = self.0.iter().find(|(number, _)| *number == tag).map(|(_, inner)| inner);
            let Some(inner) = inner.filter(|_| kind == WireType::LengthDelimited) else {
                skip_field(kind, tag, bytes, DecodeContext::default())?;
                continue;
            };
            let length = decode_varint(bytes)?;
            let (mut inside, rest) = usize::try_from(length)
                .ok()
                .and_then(|length| bytes.split_at_checked(length))
                .ok_or_else(|| wrong("ends in the middle"))?;
            *bytes = rest;
            match inner {
                Signed(_) if length < SIGNED_BYTES => {
                    return Err(wrong("holds something without a signature"));
                }
                Signed(shape) | Single(shape) => shape.walk(&mut inside, small)?,
                Small => {
                    *small = small.checked_sub(1).ok_or_else(|| wrong("holds more than any batch"))?;
                }
            }
        }
        Ok(())
    }
}
