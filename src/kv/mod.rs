//! The deterministic store above the protocols: MVCC, transactions, sessions, snapshots, digest.

mod codec;
mod error;
mod interval;
mod reply_codec;
mod request;
mod response;
mod validate;

pub use codec::MAX_TXN_DEPTH;
pub use error::{ErrorClass, KvError};
pub use request::*;
pub use response::*;
pub use validate::{Limits, validate};
