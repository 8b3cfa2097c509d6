//! The exit codes, which scripts rely on.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// What was asked for is done.
    Done = 0,
    /// It failed or was refused; nothing is unclear about it.
    Failed = 1,
    /// The command line or a file that it names makes no sense.
    Usage = 2,
    /// A verdict was reached, and it is that a promise was broken.
    Violated = 3,
    /// Whether it was done, or whether a promise was broken, is not known.
    Unknown = 4,
    /// The cluster, or its supervisor, could not be reached.
    Unreachable = 5,
    /// A part of what was asked for is done: the cluster serves, without nodes that could not be started.
    Partial = 6,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
