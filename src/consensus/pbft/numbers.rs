//! Views and sequence numbers: how they count, and what the shared code calls them.

use std::fmt;

use bytes::BytesMut;

use super::message::{Sequence, View};
use crate::consensus::{Decode, DecodeError, Encode, Epoch, Index, Reader};

/// No view or sequence number of a message reaches this, so that reckoning with them never overflows: a cluster that
/// orders a million batches a second gets there in 290,000 years.
pub(super) const NUMBERS_END: u64 = u64::MAX / 2;

macro_rules! number {
    ($name:ident, $shared:ident) => {
        impl $name {
            /// The first view, or the position before the first.
            pub const ZERO: Self = Self(0);

            /// The next one.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0 + 1)
            }

            /// The one before, or zero.
            #[must_use]
            pub const fn prev(self) -> Self {
                Self(self.0.saturating_sub(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl From<$name> for $shared {
            fn from(number: $name) -> Self {
                Self(number.0)
            }
        }

        impl From<$shared> for $name {
            fn from(number: $shared) -> Self {
                Self(number.0)
            }
        }

        impl Encode for $name {
            fn encode(&self, buf: &mut BytesMut) {
                $shared(self.0).encode(buf);
            }
        }

        impl Decode for $name {
            fn decode(reader: &mut Reader) -> Result<Self, DecodeError> {
                $shared::decode(reader).map(Self::from)
            }
        }
    };
}

number!(View, Epoch);
number!(Sequence, Index);
