//! The keys in the text form: who has which, and that nobody shares one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::file::{Wrong, wrong};
use super::{ClientConfig, ClusterConfig, FIRST_CLIENT, MemberConfig};
use crate::consensus::PublicKey;
use crate::registry::Entry;

/// How keys are come by.
pub const MAKE_KEYS: &str = "make keys with: consensusctl keys generate --config FILE --out DIR";

/// A client as it stands in the file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileClient {
    id: Spanned<u64>,
    public_key: Spanned<String>,
    key_file: Option<Spanned<PathBuf>>,
}

/// Reads keys and remembers whose they are.
pub(super) struct KeyReader {
    entry: &'static Entry,
    owners: BTreeMap<String, String>,
}

impl KeyReader {
    pub(super) fn new(entry: &'static Entry) -> Self {
        Self { entry, owners: BTreeMap::new() }
    }

    /// The key of `owner`, if one is named.
    pub(super) fn key(
        &mut self,
        owner: &str,
        public_key: Option<&Spanned<String>>,
        key_file: Option<&Spanned<PathBuf>>,
    ) -> Result<(Option<PublicKey>, Option<PathBuf>), Wrong> {
        let Some(text) = public_key else {
            return match key_file {
                Some(file) => {
                    Err(wrong(file, "`key_file` without `public_key`: the others must know that one"))
                }
                None => Ok((None, None)),
            };
        };
        if !self.entry.signs {
            return Err(wrong(text, format!("{} signs nothing: leave the keys away", self.entry.name)));
        }
        let key = PublicKey::from_hex(text.get_ref())
            .map_err(|error| wrong(text, format!("public_key: {error}")))?;
        if let Some(other) = self.owners.insert(key.to_string(), owner.to_owned()) {
            return Err(wrong(text, format!("{owner} has the key of {other}: each needs one of its own")));
        }
        Ok((Some(key), key_file.map(|file| file.get_ref().clone())))
    }

    /// The clients, in ascending order of ids.
    pub(super) fn clients(&mut self, clients: &[FileClient]) -> Result<Vec<ClientConfig>, Wrong> {
        let (mut ids, mut all) = (BTreeSet::new(), Vec::new());
        for FileClient { id, public_key, key_file } in clients {
            let client = *id.get_ref();
            if client < FIRST_CLIENT {
                return Err(wrong(id, format!("ids of clients start at {FIRST_CLIENT}, above all members'")));
            }
            if !ids.insert(client) {
                return Err(wrong(id, format!("client {client} is there twice")));
            }
            let (key, key_file) =
                self.key(&format!("client {client}"), Some(public_key), key_file.as_ref())?;
            all.extend(key.map(|public_key| ClientConfig { id: client, public_key, key_file }));
        }
        all.sort_by_key(|client| client.id);
        Ok(all)
    }
}

/// Whether these members can sign together: all of them have a key, or none has and keys are yet to be made.
pub(super) fn check_members(entry: &Entry, members: &[MemberConfig]) -> Result<(), String> {
    if !entry.signs {
        return Ok(());
    }
    if let Some(member) = members.iter().find(|member| member.id >= FIRST_CLIENT) {
        return Err(format!(
            "member {} of a cluster that signs: ids from {FIRST_CLIENT} on are its clients'",
            member.id
        ));
    }
    let without = members.iter().find(|member| member.public_key.is_none());
    match without {
        Some(member) if members.iter().any(|member| member.public_key.is_some()) => {
            Err(format!("member {} has no public_key, and others have: name all or none", member.id))
        }
        _ => Ok(()),
    }
}

/// The lines of a section that name a key.
pub(super) fn lines(public_key: Option<&PublicKey>, key_file: Option<&Path>) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    if let Some(key) = public_key {
        let _ = writeln!(text, "public_key = \"{key}\"");
    }
    if let Some(file) = key_file {
        let _ = writeln!(text, "key_file = {}", toml::Value::String(file.to_string_lossy().into_owned()));
    }
    text
}

impl ClusterConfig {
    /// Finds key files from `dir`, as whoever wrote the file there meant them.
    pub(super) fn anchor_key_files(&mut self, dir: &Path) {
        let members = self.members.iter_mut().filter_map(|member| member.key_file.as_mut());
        let clients = self.clients.iter_mut().filter_map(|client| client.key_file.as_mut());
        members.chain(clients).for_each(|file| *file = dir.join(&*file));
    }

    /// Replaces the members by `count` ones on this machine, from `base_port` on. One whose id stays keeps its key.
    pub fn set_local_members(&mut self, base_port: u16, count: usize) {
        let host =
            self.members.first().map_or("127.0.0.1", |first| super::host_of(&first.address)).to_owned();
        let before = std::mem::replace(&mut self.members, super::local_members(&host, base_port, count));
        self.take_member_keys(&before);
    }

    /// Gives members that have no public key the one that the same member has in `others`.
    pub fn take_member_keys(&mut self, others: &[MemberConfig]) {
        for member in self.members.iter_mut().filter(|member| member.public_key.is_none()) {
            if let Some(other) = others.iter().find(|other| other.id == member.id) {
                member.public_key = other.public_key;
                member.key_file.clone_from(&other.key_file);
            }
        }
    }

    /// Everybody's public key, by id.
    pub fn public_keys(&self) -> BTreeMap<u64, PublicKey> {
        let members = self.members.iter().filter_map(|member| Some((member.id, member.public_key?)));
        members.chain(self.clients.iter().map(|client| (client.id, client.public_key))).collect()
    }
}
