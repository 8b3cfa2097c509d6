//! STAND-IN for the node, replaced by the real one: a store behind a lock.

mod handle;
mod start;

pub use handle::*;
pub use start::*;
