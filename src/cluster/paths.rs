//! Where everything of a cluster lies.

use std::env;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::{Error, Result};
use crate::config;

/// The longest path that every platform takes for a Unix socket (`sun_path` has 104 bytes on macOS, 108 on Linux).
const MAX_SOCKET_PATH: usize = 103;

/// The directory under which each cluster has one of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateDir(PathBuf);

impl StateDir {
    /// `chosen` if given, else `$XDG_STATE_HOME/consensusctl`, else `~/.local/state/consensusctl`: a place that does
    /// not depend on the current directory, so that a cluster is found from everywhere.
    pub fn new(chosen: Option<PathBuf>) -> Result<Self> {
        let path = chosen.or_else(default_state_dir).ok_or_else(|| {
            Error::usage("no state directory: neither $XDG_STATE_HOME nor $HOME is set")
                .hint("name one with --state-dir DIR or CONSENSUSCTL_STATE_DIR")
        })?;
        let path = std::path::absolute(&path)
            .map_err(|error| Error::io(format!("state directory {}", path.display()), &error))?;
        Ok(Self(path))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The directory of the cluster `name`, which need not exist.
    pub fn cluster(&self, name: &str) -> Result<ClusterDir> {
        if !config::is_valid_name(name) {
            return Err(Error::usage(format!("`{name}` cannot be the name of a cluster"))
                .hint("a name has 1 to 64 letters, digits, `-`, `_` or `.`, a letter or digit first"));
        }
        Ok(ClusterDir { path: self.0.join(name), name: name.to_owned() })
    }

    /// All clusters that have a directory here, by name.
    pub fn clusters(&self) -> Result<Vec<ClusterDir>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::io(format!("cannot list {}", self.0.display()), &error)),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| config::is_valid_name(name))
            .collect();
        names.sort();
        let dirs = names.into_iter().map(|name| ClusterDir { path: self.0.join(&name), name });
        Ok(dirs.filter(|dir| dir.config().exists() || dir.lock().exists()).collect())
    }
}

fn default_state_dir() -> Option<PathBuf> {
    let absolute = |value: std::ffi::OsString| Some(PathBuf::from(value)).filter(|path| path.is_absolute());
    let base = env::var_os("XDG_STATE_HOME")
        .and_then(absolute)
        .or_else(|| Some(env::var_os("HOME").and_then(absolute)?.join(".local/state")))?;
    Some(base.join("consensusctl"))
}

/// The directory of one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDir {
    path: PathBuf,
    name: String,
}

impl ClusterDir {
    /// The cluster's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The effective configuration.
    pub fn config(&self) -> PathBuf {
        self.path.join("cluster.toml")
    }

    /// Locked by the supervisor as long as it lives.
    pub fn lock(&self) -> PathBuf {
        self.path.join("supervisor.lock")
    }

    /// The supervisor's own log.
    pub fn supervisor_log(&self) -> PathBuf {
        self.path.join("supervisor.log")
    }

    /// The processes that the supervisor has started, for whoever must clean up after it.
    pub fn children(&self) -> PathBuf {
        self.path.join("children.json")
    }

    /// Exists once the cluster has served: from then on an empty node directory is a loss, not a start.
    pub fn served(&self) -> PathBuf {
        self.path.join("served")
    }

    /// The data of a node.
    pub fn node_dir(&self, id: u64) -> PathBuf {
        self.path.join(format!("node-{id}"))
    }

    /// The log of a node.
    pub fn node_log(&self, id: u64) -> PathBuf {
        self.path.join(format!("node-{id}.log"))
    }

    /// The private keys, where the protocol signs.
    pub fn keys(&self) -> PathBuf {
        self.path.join("keys")
    }

    /// The private key of a member or client.
    pub fn key(&self, id: u64) -> PathBuf {
        self.keys().join(super::keys::file_name(id))
    }

    /// Which nodes lie, if any do.
    pub fn malicious(&self) -> PathBuf {
        self.path.join("malicious.json")
    }

    /// Where the supervisor listens: in the directory, or if its path is too long for a socket, at a short place that
    /// is derived from it.
    pub fn socket(&self) -> Result<PathBuf> {
        let path = self.path.join("supervisor.sock");
        if path.as_os_str().len() <= MAX_SOCKET_PATH {
            return Ok(path);
        }
        let hash = Sha256::digest(self.path.as_os_str().as_encoded_bytes());
        // 128 bits are enough that two directories never share a name.
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        Ok(private_runtime_dir()?.join(format!("{:032x}.sock", u128::from_be_bytes(first))))
    }

    /// Makes the directory, readable by its owner alone: it holds what clients have stored.
    pub fn create(&self) -> Result<()> {
        create_private(&self.path)
    }

    /// Makes the directory of the private keys.
    pub(super) fn create_keys(&self) -> Result<()> {
        create_private(&self.keys())
    }
}

fn create_private(path: &Path) -> Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|error| Error::io(format!("cannot make {}", path.display()), &error))
}

/// A short directory of this user alone. `/tmp` and not `$TMPDIR`, which may be long and differ from shell to shell.
fn private_runtime_dir() -> Result<PathBuf> {
    let user = nix::unistd::getuid();
    let path = PathBuf::from(format!("/tmp/consensusctl-{user}"));
    let doing = || format!("cannot use {} for the supervisor's socket", path.display());
    match DirBuilder::new().mode(0o700).create(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(Error::io(doing(), &error)),
    }
    // Others may write to /tmp: what is there must be a directory of ours that nobody else can write to.
    let meta = fs::symlink_metadata(&path).map_err(|error| Error::io(doing(), &error))?;
    if !meta.is_dir() || meta.uid() != user.as_raw() || meta.permissions().mode() & 0o022 != 0 {
        return Err(Error::failed(format!("{}: it is not a private directory of this user", doing()))
            .hint("choose a shorter --state-dir, so that the socket fits into it"));
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(state: &Path) -> ClusterDir {
        StateDir::new(Some(state.to_owned())).unwrap().cluster("raft").unwrap()
    }

    #[test]
    fn a_socket_fits_however_long_the_directory_is() {
        let temp = tempfile::tempdir().unwrap();
        let short = dir(temp.path()).socket().unwrap();
        assert!(short.starts_with(temp.path()));

        let long = temp.path().join("d".repeat(120));
        let (one, other) = (dir(&long), dir(&long.join("x")));
        let path = one.socket().unwrap();
        assert!(path.as_os_str().len() <= MAX_SOCKET_PATH);
        assert_eq!(path, one.socket().unwrap(), "whoever looks for it finds the same place");
        assert_ne!(path, other.socket().unwrap(), "two clusters never share one");
        let _ = fs::remove_file(&path);
        std::os::unix::net::UnixListener::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn a_name_cannot_leave_the_state_directory() {
        let state = StateDir::new(Some("/tmp/x".into())).unwrap();
        for name in ["", "..", "a/b", ".hidden", "-x", "ä"] {
            assert!(state.cluster(name).is_err(), "{name:?}");
        }
    }

    #[test]
    fn only_directories_of_clusters_are_listed() {
        let temp = tempfile::tempdir().unwrap();
        let state = StateDir::new(Some(temp.path().to_owned())).unwrap();
        for name in ["b", "a", "other"] {
            state.cluster(name).unwrap().create().unwrap();
        }
        fs::write(state.cluster("a").unwrap().config(), "").unwrap();
        fs::write(state.cluster("b").unwrap().config(), "").unwrap();
        let names: Vec<String> = state.clusters().unwrap().iter().map(|dir| dir.name().to_owned()).collect();
        assert_eq!(names, ["a", "b"]);
    }
}
