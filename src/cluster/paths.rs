//! Where everything of a cluster lies.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::files::{create_private, runtime_dir};
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
        let path = match chosen {
            Some(path) => path,
            None => default_state_dir()?,
        };
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

    /// All clusters that have a directory here, by name. Those of other users are left out.
    pub fn clusters(&self) -> Result<Vec<ClusterDir>> {
        let dirs = self.directories()?.into_iter();
        Ok(dirs.filter(|dir| dir.config().exists() || dir.lock().exists()).collect())
    }

    /// What keeps this user from looking at a directory of a cluster here, if there is such a one.
    pub fn foreign(&self) -> Result<Option<Error>> {
        let denied = |dir: &ClusterDir| {
            let error = fs::metadata(dir.config()).err()?;
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            denied.then(|| Error::at("cannot look into", dir.path(), &error).out_of_reach())
        };
        Ok(self.directories()?.iter().find_map(denied))
    }

    /// All that can be directories of clusters, by name.
    fn directories(&self) -> Result<Vec<ClusterDir>> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(Error::at("cannot list", &self.0, &error).out_of_reach()),
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| config::is_valid_name(name))
            .collect();
        names.sort();
        Ok(names.into_iter().map(|name| ClusterDir { path: self.0.join(&name), name }).collect())
    }
}

fn default_state_dir() -> Result<PathBuf> {
    match (absolute("XDG_STATE_HOME"), absolute("HOME")) {
        (Ok(base), _) => Ok(base.join("consensusctl")),
        (_, Ok(home)) => Ok(home.join(".local/state/consensusctl")),
        (Err(state), Err(home)) => Err(Error::usage(format!("no state directory: {state}, and {home}"))
            .hint("name one with --state-dir DIR or CONSENSUSCTL_STATE_DIR")),
    }
}

/// The directory that an environment variable names, or what is wrong with it. The base directory specification wants
/// relative ones ignored.
fn absolute(variable: &str) -> std::result::Result<PathBuf, String> {
    match env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from) {
        None => Err(format!("${variable} is not set")),
        Some(path) if path.is_absolute() => Ok(path),
        Some(path) => Err(format!("${variable} is `{}`, not an absolute path", path.display())),
    }
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

    /// The directory of all clusters in which it lies.
    pub fn state_dir(&self) -> StateDir {
        StateDir(self.path.parent().unwrap_or(&self.path).to_owned())
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
        Ok(runtime_dir()?.join(format!("{:032x}.sock", u128::from_be_bytes(first))))
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
