//! The small words of the contract: one newtype for each counter, so that no two can be mixed up.

use std::fmt;
use std::time::Duration;

macro_rules! counter {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
        pub struct $name(pub u64);

        impl $name {
            /// The counter's start.
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
    };
}

counter! {
    /// A member of the cluster. Ids start at 1.
    NodeId
}
counter! {
    /// A position in the order that the cluster agrees on. Zero is before the first.
    Index
}
counter! {
    /// How often leadership was contested: Raft's term, PBFT's view.
    Epoch
}
counter! {
    /// Log sequence number: the number of a record in this node's own log on disk. Zero is before the first.
    Lsn
}
counter! {
    /// Names one attempt of a linearizable read at one node. Never used twice in one life of a node.
    ReadId
}

/// Time on one node's monotonic clock, since an origin of its own. It never goes backward; times of two nodes do not
/// compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Time(Duration);

impl Time {
    /// The clock's origin.
    pub const ZERO: Self = Self(Duration::ZERO);

    /// The time `since_origin` after the origin.
    pub const fn from_origin(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// How long after the origin this is.
    pub const fn since_origin(self) -> Duration {
        self.0
    }

    /// How long after `earlier` this is; zero if it is not after it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

impl std::ops::Add<Duration> for Time {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(duration))
    }
}

/// Milliseconds since the Unix epoch by the clock of whoever proposed an entry. Part of the replicated state, shown to
/// people, never used to decide anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct WallTime(pub u64);

/// SHA-256 of something that replicas compare.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The first eight hexadecimal digits, for tables and traces.
    pub fn short(&self) -> String {
        self.to_string()[..8].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

/// Names one proposal for ever: who proposed it, in which life, and the how-manieth of that life. A proposal that is
/// forwarded or resent keeps its id, and the store executes an id once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct RequestId {
    /// The node (or, where clients sign their requests, the client) that proposed it.
    pub origin: NodeId,
    /// Which life of the origin: grows with every start.
    pub incarnation: u64,
    /// Grows by one with every proposal of that life.
    pub counter: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.origin, self.incarnation, self.counter)
    }
}
