//! Before anything starts: what to start, and what is left of before.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::faults::list;
use super::files::remove_if_there;
use super::{Attempt, ClusterDir, Error, Liars, Lock, Malicious, ProcessId, Result, keys};
use crate::config::{ClientConfig, ClusterConfig, ConfigError, Draft, FIRST_CLIENT, MAX_NODES};
use crate::registry::{self, Entry};
use crate::text::{counted, shell_path, shell_word};
use crate::wal::{RealDisk, WalError, clean, holdings, in_use};

/// How long a process may take to be gone after SIGKILL.
const REAP: Duration = Duration::from_secs(10);

/// What the user said about the cluster to be; what was not said comes from the data that is there, or from defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// The protocol.
    pub protocol: Option<String>,
    /// How many nodes.
    pub nodes: Option<usize>,
    /// The port of the first node.
    pub port: Option<u16>,
    /// A configuration file.
    pub config: Option<PathBuf>,
    /// Which nodes lie; empty if nothing was said.
    pub malicious: Vec<Malicious>,
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        let mut usage = Self::usage(error.to_string());
        usage.hint = error.hint;
        usage
    }
}

impl Wish {
    fn entry(&self) -> Result<Option<&'static Entry>> {
        self.protocol.as_deref().map(registry::named).transpose().map_err(Error::usage)
    }

    /// The name of the cluster where no other is chosen: the configuration's, which is the protocol's by default.
    pub fn default_name(&self) -> Result<String> {
        let entry = self.entry()?;
        Ok(match &self.config {
            Some(path) => Draft::load(path, entry)?.into_new().name,
            None => entry.unwrap_or_else(registry::default_protocol).name.to_owned(),
        })
    }

    /// The configuration to run in `dir`, given the one that its data has.
    pub fn plan(&self, dir: &ClusterDir, existing: Option<&ClusterConfig>) -> Result<ClusterConfig> {
        let entry = self.entry()?;
        let mut named_id = None;
        let mut config = match (&self.config, existing) {
            (Some(path), _) => {
                let draft = Draft::load(path, entry)?;
                named_id = draft.named_id();
                draft.into_new()
            }
            (None, Some(existing)) if entry.is_none_or(|entry| entry.name == existing.protocol) => {
                existing.clone()
            }
            (None, _) => ClusterConfig::defaults(entry.unwrap_or_else(registry::default_protocol)),
        };
        dir.name().clone_into(&mut config.name);
        if self.nodes.is_some() || self.port.is_some() {
            let nodes = self.nodes.unwrap_or(config.members.len());
            let first =
                config.members.first().and_then(|member| member.address.rsplit_once(':')?.1.parse().ok());
            let port = self.port.or(first).unwrap_or(config.entry().default_port);
            if !(1..=MAX_NODES).contains(&nodes) {
                return Err(Error::usage(format!("a cluster has 1 to {MAX_NODES} nodes, not {nodes}")));
            }
            if port == 0 || usize::from(port) + nodes - 1 > usize::from(u16::MAX) {
                return Err(Error::usage(format!(
                    "there is no room for {} from {port} on: ports are 1 to 65535",
                    counted(nodes as u64, "port", "ports")
                )));
            }
            config.set_local_members(port, nodes);
        }
        if let Some(existing) = existing {
            config.take_member_keys(&existing.members);
            take_local_client(&mut config, existing);
            config.cluster_id = named_id.unwrap_or(existing.cluster_id);
            self.check_same_cluster(dir, existing, &config)?;
        }
        Ok(config)
    }

    /// Refuses to make a cluster anew under the id that its old data has: nothing would tell the two apart.
    pub(super) fn check_fresh(&self, dir: &ClusterDir) -> Result<()> {
        let Some(file) = &self.config else { return Ok(()) };
        // Data that cannot be read for what it is goes without questions.
        let Ok(Some(old)) = existing(dir) else { return Ok(()) };
        if Draft::load(file, self.entry()?)?.named_id() != Some(old.cluster_id) {
            return Ok(());
        }
        let replace = format!("consensusctl cluster new --replace-id {}", shell_path(file));
        let (id, file) = (old.cluster_id, file.display());
        Err(Error::failed(format!("{file} names the id {id:016x}, which the data to be thrown away has"))
            .hint(format!("give the new cluster an id of its own first: {replace}")))
    }

    fn check_same_cluster(
        &self,
        dir: &ClusterDir,
        data: &ClusterConfig,
        wanted: &ClusterConfig,
    ) -> Result<()> {
        let hint = format!(
            "to keep the data, leave the option away or choose another --name; to lose it: {}",
            self.afresh(dir)
        );
        let refused = |what: String| {
            let place = dir.path().display();
            Err(Error::failed(format!("the cluster {} has data of {what} (in {place})", dir.name()))
                .hint(hint.clone()))
        };
        if data.protocol != wanted.protocol {
            return refused(format!("the protocol {}, not {}", data.protocol, wanted.protocol));
        }
        if data.cluster_id != wanted.cluster_id {
            return refused(format!(
                "the cluster_id {:#018x}, not {:#018x}",
                data.cluster_id, wanted.cluster_id
            ));
        }
        let ids =
            |config: &ClusterConfig| config.members.iter().map(|member| member.id).collect::<BTreeSet<_>>();
        let (has, wants) = (ids(data), ids(wanted));
        if has.len() != wants.len() {
            return refused(format!("{}, not {}", counted(has.len() as u64, "node", "nodes"), wants.len()));
        }
        if has != wants {
            return refused(format!("the nodes {}, not {}", list(&has), list(&wants)));
        }
        for (has, wants) in data.members.iter().zip(&wanted.members) {
            // What a node has signed is in the others' logs, where only its old key checks it.
            if let (Some(has_key), Some(key)) = (has.public_key, wants.public_key)
                && has_key != key
            {
                return refused(format!("the key {has_key} of node {}, not {key}", has.id));
            }
        }
        Ok(())
    }

    /// The command that brings up what is wanted in `dir` from nothing.
    pub(super) fn afresh(&self, dir: &ClusterDir) -> String {
        let words = self.args();
        let words = words.iter().map(|word| format!(" {}", shell_word(&word.to_string_lossy())));
        dir.command(format!("cluster up --fresh{}", words.collect::<String>()))
    }

    /// The options of the command line that say this.
    pub(super) fn args(&self) -> Vec<OsString> {
        let Self { protocol, nodes, port, config, malicious } = self;
        let options = [
            ("--protocol", protocol.as_ref().map(OsString::from)),
            ("--nodes", nodes.map(|nodes| nodes.to_string().into())),
            ("--port", port.map(|port| port.to_string().into())),
            ("--config", config.as_ref().map(|path| path.clone().into_os_string())),
        ];
        let said = options.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let liars = malicious.iter().map(|malicious| ("--malicious", malicious.to_string().into()));
        said.chain(liars).flat_map(|(name, value)| [name.into(), value]).collect()
    }

    /// Who lies in `dir`: as was said, and else as it was before.
    pub fn liars(&self, dir: &ClusterDir, config: &ClusterConfig, fresh: bool) -> Result<Liars> {
        if self.malicious.is_empty() {
            return if fresh { Ok(Liars::default()) } else { Liars::load(dir) };
        }
        Liars::choose(&self.malicious, config.entry(), config)
    }
}

/// Lets this machine's client keep its key when a file names others or none.
fn take_local_client(config: &mut ClusterConfig, existing: &ClusterConfig) {
    let local = |client: &&ClientConfig| client.id == FIRST_CLIENT;
    if config.clients.iter().any(|client| client.id == FIRST_CLIENT) {
        return;
    }
    if let Some(client) = existing.clients.iter().find(local) {
        config.clients.insert(0, client.clone());
    }
}

/// The configuration that the data in `dir` has, if it has any.
pub(super) fn existing(dir: &ClusterDir) -> Result<Option<ClusterConfig>> {
    let path = dir.config();
    if !path.exists() {
        return Ok(None);
    }
    Ok(Some(ClusterConfig::load(&path)?))
}

/// Ends the processes that a supervisor that was killed has left. The caller holds the cluster's lock, so they cannot
/// belong to a living one. Answers which they were.
pub async fn reap(dir: &ClusterDir) -> Result<Vec<ProcessId>> {
    let path = dir.children();
    let Some(text) = read_if_there(&path)? else { return Ok(Vec::new()) };
    // A file that cannot be read was never finished by its writer; nodes notice its death by themselves.
    let children: Vec<ProcessId> = serde_json::from_str(&text).unwrap_or_default();
    let mut reaped = Vec::new();
    for child in children.into_iter().filter(ProcessId::is_alive) {
        if !child.kill(REAP).await {
            return Err(Error::failed(format!(
                "the process {} of a supervisor that died does not end",
                child.pid
            ))
            .hint(format!(
                "it ignores SIGKILL; look at it with: ps -o pid,stat,wchan,args -p {}",
                child.pid
            )));
        }
        reaped.push(child);
    }
    remove_if_there(&path)?;
    Ok(reaped)
}

fn read_if_there(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::at("cannot read", path, &error)),
    }
}

/// Removes everything of a cluster but its lock, which the caller holds, and the socket and the log of the supervisor,
/// which may be the caller. Only what a supervisor puts there is touched: a directory with a node's name that holds anything else, or that
/// is a link, is refused before the first file is removed.
pub fn wipe(dir: &ClusterDir) -> Result<()> {
    let entries = match fs::read_dir(dir.path()) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::at("cannot list", dir.path(), &error)),
    };
    let mut names: Vec<String> =
        entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    // The configuration goes last: a directory whose wiping was interrupted is still known as a cluster's.
    names.sort_by_key(|name| name == "cluster.toml");
    let paths = names.iter().filter(|name| is_ours(name)).map(|name| dir.path().join(name));
    let (nodes, files): (Vec<_>, Vec<_>) = paths.partition(|path| path.is_dir());
    // All are looked at before the first is touched.
    for node in &nodes {
        holdings(&RealDisk, node)?;
        if in_use(&RealDisk, node)? {
            return Err(WalError::InUse { dir: node.clone() }.into());
        }
    }
    for node in &nodes {
        clean(&RealDisk, node)?;
    }
    for file in &files {
        fs::remove_file(file).map_err(|error| Error::at("cannot remove", file, &error))?;
    }
    keys::wipe(dir)
}

fn is_ours(name: &str) -> bool {
    let node = |name: &str| {
        name.strip_prefix("node-").is_some_and(|id| !id.is_empty() && id.chars().all(|c| c.is_ascii_digit()))
    };
    let stem = name.strip_suffix(".log").or_else(|| name.strip_suffix(".log.1"));
    let fixed = ["cluster.toml", "children.json", "malicious.json", "served"];
    fixed.contains(&name.strip_suffix(".tmp").unwrap_or(name)) || node(name) || stem.is_some_and(node)
}

/// Removes a cluster that does not run, with its directory. What a user has put there stays, and the directory with it.
pub async fn remove(dir: &ClusterDir) -> Result<()> {
    let lock = match Lock::try_take(&dir.lock())? {
        Attempt::Locked(lock) => lock,
        Attempt::Held(_) => {
            return Err(Error::failed(format!("the cluster {} runs", dir.name()))
                .hint(format!("take it down first: {}", dir.command("cluster down"))));
        }
    };
    reap(dir).await?;
    wipe(dir)?;
    remove_if_there(&dir.socket()?)?;
    remove_if_there(&dir.supervisor_log())?;
    drop(lock);
    match fs::remove_dir(dir.path()) {
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::at("cannot remove", dir.path(), &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
