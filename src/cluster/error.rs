//! What can go wrong with a cluster, in a form that also travels from the supervisor to its clients.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Uid, User};
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

    /// The same where it means that nobody can be asked.
    #[must_use]
    pub(super) fn out_of_reach(self) -> Self {
        Self { kind: ErrorKind::Unreachable, ..self }
    }

    /// An I/O error at a path with what was being done, as "cannot write". Says whose the path is, where that is why.
    pub fn at(doing: &str, path: &Path, error: &io::Error) -> Self {
        let failed = Self::io(format!("{doing} {}", path.display()), error);
        match foreign(path).filter(|_| error.kind() == io::ErrorKind::PermissionDenied) {
            None => failed,
            Some((place, user)) => {
                Self::failed(format!("{}: {} belongs to user {user}", failed.message, place.display()))
                    .hint(format!("run this as {user}, or choose another directory with --state-dir DIR"))
            }
        }
    }

    /// An I/O error with what was being done, as "cannot write /x/y".
    pub fn io(doing: impl std::fmt::Display, error: &io::Error) -> Self {
        Self::failed(format!("{doing}: {error}"))
    }
}

/// The part of a path that another user has, as far as it can be seen, and who that is.
fn foreign(path: &Path) -> Option<(&Path, String)> {
    let (place, meta) =
        path.ancestors().find_map(|place| Some((place, std::fs::symlink_metadata(place).ok()?)))?;
    let uid = Uid::from_raw(meta.uid());
    let name = || User::from_uid(uid).ok()?.map(|user| user.name);
    (uid != Uid::effective()).then(|| (place, name().unwrap_or_else(|| uid.to_string())))
}
