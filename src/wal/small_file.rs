//! Small files that are replaced in one step: lines of `key = value` with a checksum as the last.

use std::path::Path;

use super::disk::{Disk, OpenMode, read_all};
use super::error::{WalError, cannot};
use super::segment::{UNFINISHED, crc32c};

/// Durably replaces a file, so that a crash leaves the old or the new content: a temporary file, its sync, a rename, the
/// sync of the directory.
pub fn replace_file(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), WalError> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let unfinished = dir.join(format!("{name}{UNFINISHED}"));
    let file = disk.open(&unfinished, OpenMode::Create).map_err(cannot("create", &unfinished))?;
    file.write_at(0, content).map_err(cannot("write", &unfinished))?;
    file.sync_data().map_err(cannot("sync", &unfinished))?;
    disk.rename(&unfinished, path).map_err(cannot("rename", &unfinished))?;
    disk.sync_dir(dir).map_err(cannot("sync", dir))
}

/// Durably replaces a file of lines, and adds their checksum.
pub(super) fn replace_sealed(disk: &dyn Disk, path: &Path, lines: &[(&str, String)]) -> Result<(), WalError> {
    let body: String = lines.iter().map(|(key, value)| format!("{key} = {value}\n")).collect();
    let sealed = format!("{body}crc32c = {:08x}\n", crc32c(&[body.as_bytes()]));
    replace_file(disk, path, sealed.as_bytes())
}

/// The lines of a sealed file.
pub(super) struct Sealed<'a> {
    path: &'a Path,
    body: String,
}

impl<'a> Sealed<'a> {
    /// Reads a file and checks its checksum; `None` if there is no such file.
    pub(super) fn read(disk: &dyn Disk, path: &'a Path) -> Result<Option<Self>, WalError> {
        if !disk.exists(path).map_err(cannot("look for", path))? {
            return Ok(None);
        }
        let file = disk.open(path, OpenMode::Read).map_err(cannot("open", path))?;
        let content = read_all(&*file).map_err(cannot("read", path))?;
        let damaged = || WalError::Damaged {
            path: path.to_owned(),
            why: "its content does not match its checksum".to_owned(),
        };
        let mut body = String::from_utf8(content).map_err(|_| damaged())?;
        let seal = body.rfind("crc32c = ").ok_or_else(damaged)?;
        let expected = format!("crc32c = {:08x}\n", crc32c(&[&body.as_bytes()[..seal]]));
        if body[seal..] != expected {
            return Err(damaged());
        }
        body.truncate(seal);
        Ok(Some(Self { path, body }))
    }

    /// The value of `key`, parsed.
    pub(super) fn get<T: std::str::FromStr>(&self, key: &str) -> Result<T, WalError> {
        let mut pairs = self.body.lines().filter_map(|line| line.split_once(" = "));
        let value = pairs.find(|(name, _)| *name == key).and_then(|(_, value)| value.parse().ok());
        value.ok_or_else(|| WalError::Damaged {
            path: self.path.to_owned(),
            why: format!("it has no valid `{key}`"),
        })
    }
}
