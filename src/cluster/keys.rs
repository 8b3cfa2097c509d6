//! Who signs with what, in a cluster whose protocol signs.
//!
//! `up` makes what is missing: a key pair for each member, one for the [client](FIRST_CLIENT) as which the `kv` and `test`
//! commands of this machine speak, and one for each of the [gateways](GATEWAY_CLIENTS) that may run here at once. The
//! private ones lie in the cluster's directory, `keys/node-N.key` and
//! `keys/client-N.key`, and stay over `down` and `up`; the public ones stand in the effective configuration. A
//! configuration that names public keys itself must bring the private ones, by `key_file`.
//!
//! `up --fresh` makes new pairs, for a cluster with a new id: nothing that was ever signed before means anything to it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use super::{ClusterDir, Error, Result};
use crate::config::key_file::{self, KeyFileError};
use crate::config::{ClientConfig, ClusterConfig, FIRST_CLIENT, MAKE_KEYS};
use crate::consensus::{Keys, NodeId, PublicKey, SecretKey};

impl From<KeyFileError> for Error {
    fn from(error: KeyFileError) -> Self {
        let mut failed = Self::failed(error.to_string());
        failed.hint = error.hint;
        failed
    }
}

/// The clients as which gateways of this machine speak. A gateway needs a key of its own: replicas remember what they have
/// executed for the last few processes of a key, and every `kv` is one. Four are more than one machine's applications
/// need; each costs a replica no more than its place in the configuration until it is used.
pub const GATEWAY_CLIENTS: RangeInclusive<u64> = FIRST_CLIENT + 1..=FIRST_CLIENT + 4;

/// A member or client by its id, in words.
pub fn owner(id: u64) -> String {
    if id < FIRST_CLIENT { format!("node {id}") } else { format!("client {id}") }
}

/// The name of the file with a private key, in a directory of keys.
pub fn file_name(id: u64) -> String {
    format!("{}.key", owner(id).replace(' ', "-"))
}

/// Where the private key of a member or client is, given the directory of its cluster.
pub fn file_of(config: &ClusterConfig, dir: &ClusterDir, id: u64) -> PathBuf {
    let members = config.members.iter().map(|member| (member.id, &member.key_file));
    let clients = config.clients.iter().map(|client| (client.id, &client.key_file));
    let named = members.chain(clients).find_map(|(of, file)| file.clone().filter(|_| of == id));
    named.unwrap_or_else(|| dir.key(id))
}

/// The keys as which `id` signs: everybody's public one, and its own private one, which `file` holds.
pub fn ring(config: &ClusterConfig, id: u64, file: &Path) -> Result<Keys> {
    let secret = secret_of(config, id, file)?;
    let public = config.public_keys().into_iter().map(|(id, key)| (NodeId(id), key)).collect();
    Ok(Keys::new(secret, public))
}

/// The private key that `file` holds, which must be the one of `id`.
fn secret_of(config: &ClusterConfig, id: u64, file: &Path) -> Result<SecretKey> {
    let keys = config.public_keys();
    let public = keys.get(&id).ok_or_else(|| {
        Error::usage(format!("the configuration has no public_key of {}", owner(id))).hint(MAKE_KEYS)
    })?;
    let secret = key_file::read(file)?;
    if secret.public() == *public {
        return Ok(secret);
    }
    let whose = keys.iter().find(|(_, key)| **key == secret.public());
    let whose = whose.map_or("nobody in the configuration".to_owned(), |(id, _)| owner(*id));
    let file = file.display();
    Err(Error::failed(format!("{file} holds the private key of {whose}, not of {}", owner(id)))
        .hint(format!("its public_key in the configuration is {public}")))
}

/// A private key that one process of this machine has for itself, as long as it holds this.
#[derive(Debug)]
pub struct Claim {
    _file: File,
}

/// Takes the private key in `file` for this process alone; `None` if another one has it. It keeps nobody from signing who
/// does not ask.
pub fn claim(file: &Path) -> Result<Option<Claim>> {
    let unusable = |error: &io::Error| Error::io(format!("the key file {}", file.display()), error);
    let opened = File::open(file).map_err(|error| unusable(&error))?;
    match opened.try_lock() {
        Ok(()) => Ok(Some(Claim { _file: opened })),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(unusable(&error)),
    }
}

/// Refuses a configuration whose keys cannot be used, before anything is done or thrown away. `afresh` is the command
/// that throws the data away.
pub(super) fn check(config: &ClusterConfig, dir: &ClusterDir, fresh: bool, afresh: &str) -> Result<()> {
    for member in config.members.iter().filter(|member| member.public_key.is_some()) {
        let file = file_of(config, dir, member.id);
        let lost = if member.key_file.is_some() { false } else { fresh || !file.exists() };
        if lost {
            return Err(no_private_key(member.id, &file, fresh, afresh));
        }
        secret_of(config, member.id, &file)?;
    }
    for client in &config.clients {
        let file = file_of(config, dir, client.id);
        // A client's private key may be on another machine.
        if client.key_file.is_some() || (!fresh && file.exists()) {
            secret_of(config, client.id, &file)?;
        }
    }
    Ok(())
}

fn no_private_key(id: u64, file: &Path, fresh: bool, afresh: &str) -> Error {
    let owner = owner(id);
    let error = Error::failed(format!("the private key of {owner} is missing, and its public_key is set"));
    if fresh {
        return error.hint("name the file that holds it by `key_file`, or leave all public keys away");
    }
    error.hint(format!(
        "put it back to {}, or name its file by `key_file`; without it the data cannot be used, and this throws it \
         away: {afresh}",
        file.display()
    ))
}

/// Completes the keys of a cluster: makes those that are missing, and names the public ones in the configuration.
pub(super) fn complete(config: &mut ClusterConfig, dir: &ClusterDir) -> Result<()> {
    for member in config.members.iter_mut().filter(|member| member.public_key.is_none()) {
        member.public_key = Some(made(dir, member.id)?);
    }
    for id in FIRST_CLIENT..=*GATEWAY_CLIENTS.end() {
        if config.clients.iter().all(|client| client.id != id) {
            config.clients.push(ClientConfig { id, public_key: made(dir, id)?, key_file: None });
        }
    }
    config.clients.sort_by_key(|client| client.id);
    Ok(())
}

/// The public key of a pair whose private one lies in the cluster's directory. An `up` that was interrupted may have made
/// it before.
fn made(dir: &ClusterDir, id: u64) -> Result<PublicKey> {
    let file = dir.key(id);
    if file.exists() {
        return Ok(key_file::read(&file)?.public());
    }
    dir.create_keys()?;
    Ok(key_file::create(&file, &owner(id))?.public())
}

/// Removes the keys that [`complete`] made. What a user has put among them stays.
pub(super) fn wipe(dir: &ClusterDir) -> Result<()> {
    let path = dir.keys();
    let trouble = |error: io::Error| Error::io(format!("cannot remove {}", path.display()), &error);
    let entries = match fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(trouble(error)),
    };
    for entry in entries {
        let entry = entry.map_err(trouble)?;
        if entry.file_name().to_str().is_some_and(is_key) {
            fs::remove_file(entry.path()).map_err(trouble)?;
        }
    }
    match fs::remove_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::DirectoryNotEmpty => Err(trouble(error)),
        _ => Ok(()),
    }
}

/// Whether a file has the name of a key that is made here.
fn is_key(name: &str) -> bool {
    let id = name.strip_suffix(".key").and_then(|stem| stem.rsplit_once('-'));
    id.and_then(|(_, id)| id.parse().ok()).is_some_and(|id| file_name(id) == name)
}

#[cfg(test)]
mod tests;
