//! What can go wrong on disk. Each message says what, where, and what to do.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;

use crate::consensus::{Index, Lsn, Shortage};
use crate::text::shell_path;

/// Why something on disk could not be done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WalError {
    /// An operation failed. Nothing that was promised depends on it.
    #[error("cannot {action} {path}: {why}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What there was too little of, if that was the reason.
        shortage: Option<Shortage>,
        /// The system's words.
        why: String,
    },
    /// A write or sync of the live log failed. Final: every later call gives this error again.
    #[error(
        "the log failed for good: cannot {action} {path}: {why}; what was written since the last sync may be \
         lost, and the node must stop (check the disk, then start the node again)"
    )]
    Final {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The system's words.
        why: String,
    },
    /// There is no room for the batch. It was not written; try again when a preparation has succeeded.
    #[error("the disk is full: the log has {room} bytes of room left and needs {needed}; free some space")]
    Full {
        /// Bytes that the batch takes.
        needed: u64,
        /// Bytes that are left for it.
        room: u64,
    },
    /// The next segment is being prepared and is needed now. Nothing was written: wait for the preparation, hand it to
    /// [`super::Wal::prepared`], and write again from [`super::Wal::next_lsn`] on.
    #[error("the next segment of the log is still being prepared")]
    Unprepared,
    /// A record exceeds what a segment can hold. Nothing was written.
    #[error("record {lsn} has {bytes} bytes, more than the {limit} that a segment of the log can hold")]
    RecordTooLarge {
        /// Which record.
        lsn: Lsn,
        /// Its length.
        bytes: u64,
        /// The longest that fits.
        limit: u64,
    },
    /// The log is damaged where it was durable.
    #[error(
        "the log is damaged: {file} at offset {offset}, batch {batch}: {why}. This is not a torn write, and acknowledged \
         records may be lost, so the node does not start; nothing was changed. Look at it with `consensusctl wal \
         inspect {}`",
        shell_path(dir)
    )]
    Rot {
        /// The data directory's log.
        dir: PathBuf,
        /// The damaged file.
        file: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// The first batch that cannot be read.
        batch: u64,
        /// How it is known.
        why: String,
    },
    /// The log of an initialised data directory has no segments.
    #[error(
        "{dir} holds no segment of the log, though the data directory was in use; restore it, or join the cluster anew"
    )]
    LogMissing {
        /// The log's directory.
        dir: PathBuf,
    },
    /// A file belongs to another cluster, node or protocol.
    #[error("{path} belongs to {what} {found}, not {expected}; point the node to its own data directory")]
    OtherOwner {
        /// The file.
        path: PathBuf,
        /// In what it differs: cluster, node or protocol.
        what: &'static str,
        /// Whose it is.
        found: String,
        /// Who opened it.
        expected: String,
    },
    /// A file was written by a newer version of the program.
    #[error("{path} has format {found}, and this program knows none above {known}; use a newer consensusctl")]
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that is known here.
        known: u32,
    },
    /// A file was written by an older version of the program.
    #[error(
        "{path} has format {found} of an older consensusctl, and this program reads format {known} only; start with an \
         empty data directory (`cluster up --fresh`), or use the older program"
    )]
    OlderFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The one that is read here.
        known: u32,
    },
    /// Another node has the data directory open.
    #[error("{dir} is in use by a running node; stop it first, or choose another data directory")]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// The data directory of a node that ran before is missing or empty.
    #[error(
        "{dir} holds no data. A node that has been in the cluster before would have forgotten its promises: restore the \
         directory, or start the whole cluster clean with `cluster up --fresh`. For a first start there is `node --create`"
    )]
    Missing {
        /// The data directory.
        dir: PathBuf,
    },
    /// The directory holds something else.
    #[error(
        "{dir} is no data directory: it holds {entry}, and no node's identity; choose an empty or new directory"
    )]
    NotADataDirectory {
        /// The directory.
        dir: PathBuf,
        /// What does not belong there.
        entry: String,
    },
    /// What is to be removed is a link.
    #[error(
        "{path} is a symbolic link, which is not followed to remove anything: remove what it leads to, then the link"
    )]
    Link {
        /// The link.
        path: PathBuf,
    },
    /// A file other than the log is damaged.
    #[error(
        "{path} is damaged: {why}; nothing was changed. Check the directory with `consensusctl wal verify`, then restore \
             the file, or join the cluster anew"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A snapshot is older than the one that is there.
    #[error("a snapshot of index {index} is older than the one of index {newest} that is on disk")]
    StaleSnapshot {
        /// The snapshot that was refused.
        index: Index,
        /// The one that is there.
        newest: Index,
    },
    /// A piece of a snapshot came out of order, or there is no such piece.
    #[error("piece {number} of the snapshot of index {index} is not {expected}")]
    WrongPiece {
        /// Of which snapshot.
        index: Index,
        /// The piece.
        number: u32,
        /// What it should be, in words.
        expected: String,
    },
}

impl WalError {
    /// What there was too little of, if that is the reason: it can be tried again when there is more.
    pub fn shortage(&self) -> Option<Shortage> {
        match self {
            Self::Full { .. } => Some(Shortage::Disk),
            Self::Io { shortage, .. } => *shortage,
            _ => None,
        }
    }

    /// The same failure as one that is final.
    pub(super) fn into_final(self) -> Self {
        match self {
            Self::Io { action, path, why, .. } => Self::Final { action, path, why },
            other => other,
        }
    }
}

/// Turns the system's error into one that says what was tried on what.
pub(super) fn cannot(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> WalError {
    let path = path.to_owned();
    move |error| WalError::Io { action, path, shortage: shortage_of(&error), why: error.to_string() }
}

fn shortage_of(error: &io::Error) -> Option<Shortage> {
    use io::ErrorKind::{FileTooLarge, OutOfMemory, QuotaExceeded, StorageFull};
    match (error.kind(), error.raw_os_error().map(Errno::from_raw)) {
        // `FileTooLarge` is what a limit of the process says (`ulimit -f`).
        (StorageFull | QuotaExceeded | FileTooLarge, _) => Some(Shortage::Disk),
        (_, Some(Errno::EMFILE | Errno::ENFILE)) => Some(Shortage::Descriptors),
        (OutOfMemory, _) => Some(Shortage::Memory),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_come_back_is_told_from_a_disk_that_fails() {
        let shortage = |errno: Errno| cannot("create", Path::new("x"))(errno.into()).shortage();
        assert_eq!([Errno::EMFILE, Errno::ENFILE].map(shortage), [Some(Shortage::Descriptors); 2]);
        assert_eq!([Errno::ENOSPC, Errno::EDQUOT, Errno::EFBIG].map(shortage), [Some(Shortage::Disk); 3]);
        assert_eq!(shortage(Errno::ENOMEM), Some(Shortage::Memory));
        assert_eq!([Errno::EIO, Errno::EROFS, Errno::EACCES].map(shortage), [None; 3]);
    }
}
