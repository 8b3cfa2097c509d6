//! [`Temporary`]: a cluster of one's own, that touches nothing of the user's.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tokio::sync::watch;

use super::{
    Boot, Cluster, ClusterDir, Error, FreePorts, Lock, Result, StateDir, UpOutcome, Wish, free_ports, up,
};
use crate::config::ClusterConfig;

/// A place for a cluster: free ports and a temporary directory. Dropping it removes the directory.
#[derive(Debug)]
pub struct Temporary {
    temp: TempDir,
    dir: ClusterDir,
    config: PathBuf,
    _ports: FreePorts,
}

impl Temporary {
    /// A place for a cluster of so many nodes with this configuration, whose members get free ports of this machine.
    /// The directory's name begins with `prefix`.
    pub fn new(prefix: &str, mut config: ClusterConfig, nodes: u64) -> Result<Self> {
        let temp = tempfile::Builder::new().prefix(prefix).tempdir();
        let temp = temp.map_err(|error| Error::io("cannot make a temporary directory", &error))?;
        let ports = free_ports(nodes as u16)?;
        config.set_local_members(ports.first(), nodes as usize);
        let path = temp.path().join("cluster.toml");
        std::fs::write(&path, config.to_toml())
            .map_err(|error| Error::io(format!("cannot write {}", path.display()), &error))?;
        let dir = StateDir::new(Some(temp.path().to_owned()))?.cluster(&config.name)?;
        Ok(Self { temp, dir, config: path, _ports: ports })
    }

    /// What a supervisor is told there, if nothing more is wanted.
    pub fn boot(&self, program: &Path, in_process: bool) -> Boot {
        Boot {
            dir: self.dir.clone(),
            wish: Wish { config: Some(self.config.clone()), ..Wish::default() },
            in_process,
            fresh: false,
            program: program.to_owned(),
            log: None,
        }
    }

    /// Brings the cluster up. When `interrupted` turns true first, all that was begun is ended.
    pub async fn up(&self, boot: &Boot, mut interrupted: watch::Receiver<bool>) -> Result<Cluster> {
        let interrupted = async {
            // Nobody is left who could interrupt: as good as never.
            if interrupted.wait_for(|interrupted| *interrupted).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        match up(boot, interrupted, |_| {}).await? {
            UpOutcome::Started(cluster) | UpOutcome::AlreadyRunning(cluster) => Ok(cluster),
        }
    }

    /// Takes the cluster down, whatever is left of it.
    pub async fn down(&self) -> Result<()> {
        self.dir.down().await.map(drop)
    }

    /// The temporary directory.
    pub fn path(&self) -> &Path {
        self.temp.path()
    }

    /// The cluster's directory in it.
    pub fn dir(&self) -> &ClusterDir {
        &self.dir
    }

    /// Leaves the directory where it is.
    pub fn keep(mut self) -> PathBuf {
        self.temp.disable_cleanup(true);
        self.temp.path().to_owned()
    }
}

impl Drop for Temporary {
    /// Only for a panic: else the cluster is down already, and nobody holds its lock.
    fn drop(&mut self) {
        if let Ok(Some(supervisor)) = Lock::holder(&self.dir.lock()) {
            let _ = supervisor.signal(Signal::SIGTERM);
        }
    }
}
