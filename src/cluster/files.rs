//! Files of a supervisor: for this user alone, and replaced durably.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::{Error, Result};
use crate::wal::{RealDisk, WalError, replace_file};

/// Durably replaces a small file: a reader, also after a crash of the machine, finds the old content or the new one.
pub(super) fn replace(path: &Path, text: &str) -> Result<()> {
    Ok(replace_file(&RealDisk, path, text.as_bytes())?)
}

/// Removes a file, if there is one.
pub(super) fn remove_if_there(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::at("cannot remove", path, &error))
        }
        _ => Ok(()),
    }
}

/// Opens a log to write at its end.
pub fn open_log(path: &Path) -> Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map_err(|error| Error::at("cannot open", path, &error))
}

/// Makes a directory and those above it, readable by its owner alone.
pub(super) fn create_private(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::at("cannot make", path, &error))
}

/// A directory of this user alone, whose path is short: `/tmp` and not `$TMPDIR`, which may be long and differ from shell
/// to shell.
pub(super) fn runtime_dir() -> Result<PathBuf> {
    let path = PathBuf::from(format!("/tmp/consensusctl-{}", nix::unistd::getuid()));
    make_ours(&path)?;
    Ok(path)
}

/// Makes a directory where others may write, too, and makes sure that it is ours: what is there under its name could be
/// another user's, or a link to what they want written.
fn make_ours(path: &Path) -> Result<()> {
    let cannot = |error: &io::Error| Error::io(format!("cannot use {}", path.display()), error);
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(&error)),
    }
    let meta = fs::symlink_metadata(path).map_err(|error| cannot(&error))?;
    let ours = meta.is_dir() && meta.uid() == nix::unistd::getuid().as_raw();
    if !ours || meta.permissions().mode() & 0o022 != 0 {
        return Err(Error::failed(format!(
            "cannot use {}: it is not a directory to which only this user can write",
            path.display()
        ))
        .hint(format!("look at it with `ls -ld {}`, then remove it", path.display())));
    }
    Ok(())
}

impl From<WalError> for Error {
    fn from(error: WalError) -> Self {
        Self::failed(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_is_replaced_is_private_and_leaves_nothing_beside_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("served");
        replace(&path, "old").unwrap();
        replace(&path, "new").unwrap();
        assert_eq!((fs::read_to_string(&path).unwrap().as_str(), mode(&path)), ("new", 0o600));
        assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_where_the_new_content_is_written_is_not_followed() {
        let temp = tempfile::tempdir().unwrap();
        let (path, victim) = (temp.path().join("served"), temp.path().join("victim"));
        fs::write(&victim, "precious").unwrap();
        symlink(&victim, temp.path().join("served.tmp")).unwrap();
        assert!(replace(&path, "new").is_err());
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
    }

    #[test]
    fn a_directory_that_is_a_link_or_open_to_others_is_not_ours() {
        let temp = tempfile::tempdir().unwrap();
        let (ours, link, open) =
            (temp.path().join("ours"), temp.path().join("link"), temp.path().join("open"));
        make_ours(&ours).unwrap();
        make_ours(&ours).unwrap();
        assert_eq!(mode(&ours), 0o700);
        symlink(&ours, &link).unwrap();
        fs::create_dir(&open).unwrap();
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
        for path in [link, open] {
            let error = make_ours(&path).unwrap_err();
            let path = path.display();
            assert_eq!(
                error.message,
                format!("cannot use {path}: it is not a directory to which only this user can write")
            );
        }
    }
}
