//! Files that hold a private key.
//!
//! ```text
//! # consensusctl private key of node 1
//! # public key: 0f2e…
//! # Whoever reads this file can sign as its owner.
//! ed25519: 91b3…
//! ```
//!
//! Lines that begin with `#` are for people. The one other line names the scheme and the 32 secret bytes, in
//! hexadecimal. A file is made readable by its owner alone, and one that others may read is refused: what they may have
//! read signs for them, too.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::consensus::{Digest, Scheme, SecretKey, unhex};

/// What the line with the key begins with.
const SCHEME: &str = "ed25519:";
/// More than any key file has: what is longer is something else.
const MAX_BYTES: u64 = 4096;
/// The permission bits of everybody but the owner.
const OTHERS: u32 = 0o077;

/// What is wrong with a key file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key file {}: {why}", path.display())]
pub struct KeyFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub why: String,
    /// What to do about it, where that can be said.
    pub hint: Option<String>,
}

impl KeyFileError {
    fn new(path: &Path, why: impl Into<String>) -> Self {
        Self { path: path.to_owned(), why: why.into(), hint: None }
    }

    fn io(path: &Path, doing: &str, error: &io::Error) -> Self {
        Self::new(path, format!("{doing}: {error}"))
    }
}

/// Makes a private key and writes it to `path`, where nothing may be yet. `owner` is for people, as `node 1`.
pub fn create(path: &Path, owner: &str) -> Result<SecretKey, KeyFileError> {
    let key = SecretKey::from_seed(Scheme::Ed25519, rand::random());
    // 32 bytes in hexadecimal, which is how digests are written, too.
    let seed = Digest(key.seed());
    let text = format!(
        "# consensusctl private key of {owner}\n# public key: {}\n# Whoever reads this file can sign as its owner.\n\
         {SCHEME} {seed}\n",
        key.public()
    );
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        // Its name, too: a public key whose private one is lost names nobody.
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()
    })
    .map_err(|error| KeyFileError::io(path, "it cannot be written", &error))?;
    Ok(key)
}

/// Reads the private key that `path` holds.
pub fn read(path: &Path) -> Result<SecretKey, KeyFileError> {
    let unreadable = |error: io::Error| KeyFileError::io(path, "it cannot be read", &error);
    let file = File::open(path).map_err(unreadable)?;
    // Of the file that is open, not of whatever has its name by now.
    let mode = file.metadata().map_err(unreadable)?.mode();
    if mode & OTHERS != 0 {
        let error = KeyFileError::new(path, format!("others may read it (its mode is {:03o})", mode & 0o777));
        return Err(KeyFileError { hint: Some(format!("chmod 600 {}", path.display())), ..error });
    }
    let mut text = String::new();
    file.take(MAX_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    parse(&text).map_err(|why| KeyFileError::new(path, why))
}

fn parse(text: &str) -> Result<SecretKey, String> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Err(format!("it must have one line `{SCHEME} SEED`, besides those that begin with #"));
    };
    let seed = line.strip_prefix(SCHEME).ok_or_else(|| format!("its line does not begin with `{SCHEME}`"))?;
    let seed = unhex(seed.trim()).map_err(|error| error.to_string())?;
    Ok(SecretKey::from_seed(Scheme::Ed25519, seed))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_read_as_it_was_made_and_nobody_else_may_read_it() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("node-1.key");
        let made = create(&path, "node 1").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(read(&path).unwrap().seed(), made.seed());
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains("of node 1") && text.contains(&made.public().to_string()), "{text}");
        let again = create(&path, "node 1").unwrap_err();
        assert!(again.to_string().contains("exists"), "{again}");
        assert_eq!(read(&path).unwrap().seed(), made.seed(), "it was overwritten");
    }

    #[test]
    fn a_file_that_others_may_read_is_refused_with_the_way_out() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("node-1.key");
        create(&path, "node 1").unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = read(&path).unwrap_err();
            assert!(error.to_string().contains(&format!("its mode is {mode:o}")), "{error}");
            assert!(error.hint.unwrap().starts_with("chmod 600"));
        }
    }

    #[test]
    fn what_is_no_key_file_is_refused() {
        let seed = "5a".repeat(32);
        assert!(parse(&format!("# x\n\n  ed25519:   {seed}  \n")).is_ok());
        for (text, why) in [
            (String::new(), "one line"),
            (format!("ed25519: {seed}\ned25519: {seed}"), "one line"),
            (seed.clone(), "does not begin with `ed25519:`"),
            (format!("ed25519: {}", &seed[1..]), "64 hexadecimal digits"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }
}
