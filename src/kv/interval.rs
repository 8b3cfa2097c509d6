//! The keys that a request names.

use std::ops::Bound;

/// The keys that `key` and `range_end` of a request name together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Interval<'a> {
    /// One key: the range end is empty.
    One(&'a [u8]),
    /// All keys from this one on: the range end is one zero byte.
    From(&'a [u8]),
    /// The keys from the first up to, without, the second; none if they are not in order.
    Between(&'a [u8], &'a [u8]),
}

impl<'a> Interval<'a> {
    pub(super) fn new(key: &'a [u8], range_end: &'a [u8]) -> Self {
        match range_end {
            [] => Self::One(key),
            [0] => Self::From(key),
            _ => Self::Between(key, range_end),
        }
    }

    pub(super) fn contains(&self, key: &[u8]) -> bool {
        match *self {
            Self::One(only) => key == only,
            Self::From(first) => key >= first,
            Self::Between(first, end) => key >= first && key < end,
        }
    }

    /// The interval's bounds in an ordered map; `None` if it is empty, since such bounds may not be asked for.
    pub(super) fn bounds(&self) -> Option<(Bound<&'a [u8]>, Bound<&'a [u8]>)> {
        match *self {
            Self::One(key) => Some((Bound::Included(key), Bound::Included(key))),
            Self::From(first) => Some((Bound::Included(first), Bound::Unbounded)),
            Self::Between(first, end) if first < end => Some((Bound::Included(first), Bound::Excluded(end))),
            Self::Between(..) => None,
        }
    }
}
