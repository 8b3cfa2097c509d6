//! What can go wrong with a cluster, in a form that also travels from the supervisor to its clients.

use serde::{Deserialize, Serialize};

/// What kind of trouble it is: what scripts distinguish by exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// It failed or was refused.
    Failed,
    /// A part of it was done, and stays done: some nodes could not be started.
    Partial,
    /// What was asked for makes no sense, as an unknown target.
    Usage,
    /// There is no supervisor, or no node, that could be asked.
    Unreachable,
}

/// What went wrong, where, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What kind of trouble it is.
    pub kind: ErrorKind,
    /// What went wrong, and where.
    pub message: String,
    /// What to do next, where that can be said.
    pub hint: Option<String>,
}

/// What operations on a cluster return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// It failed or was refused.
    pub fn failed(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Failed, message: message.into(), hint: None }
    }

    /// What was asked for makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Usage, message: message.into(), hint: None }
    }

    /// Nobody could be asked.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self { kind: ErrorKind::Unreachable, message: message.into(), hint: None }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// An I/O error with what was being done, as "cannot write /x/y".
    pub fn io(doing: impl std::fmt::Display, error: &std::io::Error) -> Self {
        Self::failed(format!("{doing}: {error}"))
    }
}
