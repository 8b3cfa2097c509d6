//! The deterministic store that the cluster replicates: keys with revisions, transactions, sessions, snapshots, and a
//! digest by which replicas compare what they hold.
//!
//! # The idea
//!
//! A [`Store`] is a value. [`Store::apply`] takes the slots that a protocol ordered and answers their commands; it
//! reads no clock, no disk and no randomness, so that equal slots make equal stores. It speaks etcd's language
//! (revisions, ranges, transactions, compaction, error texts), with types of its own that map to etcd's messages one
//! to one: [`Op`], [`Response`], [`KvError`].
//!
//! Everything large lies in persistent structures whose nodes are shared between clones. So a snapshot is a clone
//! ([`Store::freeze`]) that another thread writes out while this one goes on, and a model checker may keep thousands
//! of stores that differ little.
//!
//! ```text
//! state digest ─┬─ applied index, revision, compacted, counters of sessions
//!               ├─ requests: a section for each origin ── its ids, or its lives ── replies
//!               ├─ sections of 64 sessions ── session ── replies
//!               └─ root ── 64 groups ── 64 buckets each: hash chain over blocks of 64 histories
//!                                       └─ history of a key: hash chain over its versions
//! ```
//!
//! # Exactly once
//!
//! A command can reach the order twice in two ways, and each has its own guard:
//!
//! - **The same proposal twice**: a node forwarded it again because no answer came. It carries the same
//!   [`RequestId`](crate::consensus::RequestId). How much the store remembers of those is its [`Retention`]:
//!   - [`Retention::Ids`], where the node that was asked answers: for each origin which counters of its newest life were
//!     executed, within [`REQUEST_WINDOW`]. A second arrival has no answer (the first had it), and neither has what
//!     falls behind the window or comes from an older life: whether it was executed is not known any more, so it is
//!     not.
//!   - [`Retention::Replies`], where clients count equal answers: for each origin up to [`REPLY_LIVES`] lives, for each
//!     of them which of the last [`REPLY_WINDOW`] counters were executed and what they answered. A second arrival is
//!     answered as the first, byte for byte, also after a restart or a snapshot. Lives are processes that share a
//!     client's key, and none hurts another: with one life too many the one goes that was idle for longest, and from
//!     then on no life up to its number is let in anew, because nobody knows what it had executed.
//!     A reply above [`SESSION_REPLY_BYTES`], and the oldest beyond [`LIFE_REPLY_BYTES`] a life, are remembered as given
//!     without their bytes. That bounds an origin to 32 MiB of replies and a MiB of ids; there are as many origins as
//!     clients have keys, because a protocol lets no other's requests into the order.
//! - **A new proposal for the same command**: a client tried again, perhaps at another node. It carries the same
//!   [`SessionTag`]. For each session the store keeps, within [`SESSION_WINDOW`], which numbers were executed and what
//!   they answered; a retry hears the same answer.
//!
//! A session is opened by a command of its own, [`Op::OpenSession`], and its id is a number that is never given again.
//! Sessions that spring into being with their first command would save that command, but then a late retry of the
//! first command of an expired session looks exactly like a new one, and would be executed again. This way the store
//! tells by the id alone that a session is gone, and refuses ([`KvError::SessionExpired`]). Opening twice because of a
//! lost answer costs nothing but an unused session, the next to expire.
//!
//! Sessions expire in log order: with more than [`MAX_SESSIONS`], the one that was not used for longest. A reply that
//! is not kept (see [`SESSION_REPLY_BYTES`]) is replaced by [`KvError::SessionReplyLost`]: executed, but not told.
//!
//! # Invariants
//!
//! 1. Slots are executed in order, each once; [`Store::applied`] is the last.
//! 2. Any bytes have a defined effect: a command is executed or refused, never a panic, and what is refused changed
//!    no key and no revision.
//! 3. A revision names one state: all writes of one command share it, and what changes no key (reads, no-ops,
//!    sessions, duplicates, refusals, compactions) does not move it.
//! 4. A transaction that passed its checks cannot fail half-way: no put follows a delete of its key, so that what a
//!    put was found to keep is still there when it is its turn.
//! 5. Equal states have equal digests, whether reached by commands or from a snapshot, and whenever digests were
//!    asked for. Different states have different ones, even if someone chooses keys and values to that end: hashes
//!    are linked and listed, never summed.
//! 6. Parts that follow from a manifest, and a manifest that matches a state digest, make up the state of that digest.
//! 7. No piece of a snapshot is larger than [`MAX_PIECE_BYTES`], whatever the state, as long as no request is larger than
//!    its [limit](Limits).
//!
//! # Deviations from etcd
//!
//! - A put of a key that a delete *from a key on* (range end zero) of the same branch covers is a duplicate key, as
//!   with any other delete. etcd lets it pass, because it looks the key up in an interval that ends before it starts.
//! - Keys that compare equal in a sort stay in the order of keys, also in descending order; etcd leaves it open.
//! - Compaction is done when it is answered.
//! - A command whose result has more than [`MAX_RESULT_BYTES`] is refused, and changes nothing
//!   ([`KvError::ResultTooLarge`]); etcd has no such limit.
//!
//! # Left out
//!
//! - Leases: they would bring time into the state, which would then have to be proposed and agreed on.
//! - Watches: they need what is here (versions in order of revisions) and an index of recent changes.
//! - Counting without looking: a range visits every key in it for its count, whatever the limit, as in etcd; a million
//!   keys take about a second.
//! - Compaction in steps: it holds up other commands for a microsecond or so for every version that it forgets.
//! - Binding a session to who opened it: whoever knows or guesses an id can use up its numbers.

mod codec;
mod error;
mod execute;
mod hash;
mod history;
mod ids;
mod interval;
mod layout;
mod lives;
mod mvcc;
mod replies;
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
pub use ids::REQUEST_WINDOW;
pub use lives::{LIFE_REPLY_BYTES, REPLY_LIVES, REPLY_WINDOW};
pub use request::*;
pub use requests::{Answered, Retention};
pub use response::*;
pub use restore::{Restore, RestoreError};
pub use session::{MAX_SESSIONS, SESSION_REPLY_BYTES, SESSION_WINDOW};
pub use snapshot::{Frozen, MAX_PIECE_BYTES, PIECE_BYTES};
pub use store::Store;
pub use validate::{Limits, validate};

#[cfg(test)]
mod tests;
