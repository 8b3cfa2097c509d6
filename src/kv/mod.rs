//! The deterministic store above the protocols: MVCC, transactions, sessions, snapshots, digest.

mod codec;
mod error;
mod execute;
mod hash;
mod history;
mod interval;
mod mvcc;
mod reply_codec;
mod request;
mod requests;
mod response;
mod restore;
mod session;
mod snapshot;
mod store;
mod tree;
mod txn;
mod validate;

pub use codec::MAX_TXN_DEPTH;
pub use error::{ErrorClass, KvError};
pub use request::*;
pub use requests::REQUEST_WINDOW;
pub use response::*;
pub use restore::{Restore, RestoreError};
pub use session::{MAX_SESSIONS, SESSION_REPLY_BYTES, SESSION_WINDOW};
pub use snapshot::Frozen;
pub use store::Store;
pub use validate::{Limits, validate};

#[cfg(test)]
mod tests;
