//! `keys generate`: key pairs for a cluster over several hosts.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CliError, CliResult, Context};
use crate::cluster::keys::{file_name, owner};
use crate::config::key_file::{self, KeyFileError};
use crate::config::{Draft, FIRST_CLIENT, MAX_NODES, new_cluster_id};
use crate::registry::{Entry, PROTOCOLS};
use crate::text::counted;

/// More clients than anyone types sections for.
const MAX_CLIENTS: u64 = 1000;

/// Subcommands of `keys`.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Makes key pairs: writes the private ones, prints the sections of the configuration with the public ones
    #[command(after_help = "\
Examples:
  consensusctl keys generate --nodes 4 --out keys          then fill in the addresses
  consensusctl keys generate --config cluster.toml --out keys

`cluster new FILE --protocol pbft` makes a whole configuration, with keys.

Each host needs the configuration, the same everywhere, and the private key of its own node alone:
  consensusctl node --id 2 --config cluster.toml --key node-2.key --create

`cluster up` makes the keys of a cluster on one machine by itself.")]
    Generate(GenerateArgs),
}

/// Arguments of `keys generate`.
#[derive(Debug, Args)]
pub struct GenerateArgs {
    /// How many members, with ids from 1
    #[arg(long, value_name = "N", required_unless_present = "config", conflicts_with = "config")]
    nodes: Option<u64>,
    /// The configuration whose members get keys
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many clients, with ids from 1001
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=MAX_CLIENTS))]
    clients: u64,
    /// The directory for the private keys; it is made if need be, and nothing in it is overwritten
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Ids of members, and where they listen.
pub(super) type Addresses = Vec<(u64, String)>;

/// A pair that was made, as JSON shows it.
#[derive(Debug, Serialize)]
pub(super) struct Made {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    public_key: String,
    key_file: PathBuf,
}

/// The pairs of a cluster.
#[derive(Debug, Serialize)]
pub(super) struct Pairs {
    members: Vec<Made>,
    clients: Vec<Made>,
}

impl Pairs {
    /// Makes pairs for members and for so many clients, the private halves in `dir`. Overwrites nothing.
    pub(super) fn make(dir: &Path, members: Addresses, clients: u64) -> CliResult<Self> {
        let members: Vec<_> = members.into_iter().map(|(id, address)| (id, Some(address))).collect();
        let clients: Vec<_> = (FIRST_CLIENT..FIRST_CLIENT + clients).map(|id| (id, None)).collect();
        let ids = members.iter().chain(&clients).map(|(id, _)| *id);
        // All are looked at before the first is written.
        for file in ids.map(|id| dir.join(file_name(id))) {
            if file.exists() {
                return Err(CliError::failed(format!(
                    "{} is there already; nothing was made",
                    file.display()
                ))
                .hint("a key that is lost cannot be made again: choose another directory"));
            }
        }
        let made = DirBuilder::new().recursive(true).mode(0o700).create(dir);
        made.map_err(|error| CliError::failed(format!("cannot make {}: {error}", dir.display())))?;
        Ok(Self { members: make(dir, members)?, clients: make(dir, clients)? })
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.members.len() + self.clients.len()
    }

    /// The sections of the configuration that name the public halves. A private one is named by its path from `dir`, where
    /// the configuration is, if it lies there.
    pub(super) fn sections(&self, dir: &Path) -> String {
        let members = self.members.iter().map(|made| section("member", made, dir));
        let clients = self.clients.iter().map(|made| section("client", made, dir));
        members.chain(clients).collect::<Vec<_>>().join("\n\n")
    }
}

pub(super) fn run(context: &mut Context<'_>, command: &KeysCommand) -> CliResult {
    let KeysCommand::Generate(args) = command;
    let (members, named_id) = members(args)?;
    let pairs = Pairs::make(&args.out, members, args.clients)?;
    // A configuration that names no cluster yet is of one that is new.
    let id = named_id.unwrap_or_else(new_cluster_id);
    if context.out.is_json() {
        return context.out.document(&serde_json::json!({
            "cluster_id": format!("{id:016x}"), "members": pairs.members, "clients": pairs.clients,
        }));
    }
    if named_id.is_none() {
        context.out.line(&format!("cluster_id = {id:#018x}\n"))?;
    }
    context.out.line(&pairs.sections(Path::new("")))?;
    context.out.note(&format!(
        "wrote {} to {}: give each host only its own node's",
        counted(pairs.len() as u64, "private key", "private keys"),
        args.out.display()
    ));
    Ok(())
}

/// Addresses of so many nodes that are made up, and plainly so: where the hosts are is not known here.
pub(super) fn unknown_hosts(nodes: u64, entry: &Entry) -> CliResult<Addresses> {
    if !(1..=MAX_NODES as u64).contains(&nodes) {
        return Err(CliError::usage(format!("a cluster has 1 to {MAX_NODES} nodes, not {nodes}")));
    }
    Ok((1..=nodes).map(|id| (id, format!("host-{id}:{}", entry.default_port))).collect())
}

/// Ids and addresses of the members that get keys, and which cluster it is if that was said.
fn members(args: &GenerateArgs) -> CliResult<(Addresses, Option<u64>)> {
    let signing = PROTOCOLS.iter().find(|entry| entry.signs);
    let Some(path) = &args.config else {
        let entry = signing.ok_or_else(|| CliError::usage("no protocol of this program signs"))?;
        return Ok((unknown_hosts(args.nodes.unwrap_or_default(), entry)?, None));
    };
    let draft = Draft::load(path, None)?;
    let named_id = draft.named_id();
    let config = draft.into_new();
    if !config.entry().signs {
        return Err(CliError::usage(format!(
            "{} is a configuration of {}, which signs nothing",
            path.display(),
            config.protocol
        ))
        .hint(match signing {
            Some(entry) => format!("write `protocol = \"{}\"` into it", entry.name),
            None => "no protocol of this program signs".to_owned(),
        }));
    }
    if !config.public_keys().is_empty() {
        return Err(CliError::usage(format!("{} names public keys already", path.display()))
            .hint("remove them from it to have new ones made; nothing was made"));
    }
    Ok((config.members.into_iter().map(|member| (member.id, member.address)).collect(), named_id))
}

fn make(dir: &Path, owners: Vec<(u64, Option<String>)>) -> CliResult<Vec<Made>> {
    let make = |(id, address)| {
        let key_file = dir.join(file_name(id));
        let public_key = key_file::create(&key_file, &owner(id))?.public().to_string();
        Ok(Made { id, address, public_key, key_file })
    };
    owners.into_iter().map(make).collect()
}

fn section(kind: &str, made: &Made, dir: &Path) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let key_file = made.key_file.strip_prefix(dir).unwrap_or(&made.key_file);
    let address =
        made.address.as_ref().map_or_else(String::new, |address| format!("address = {}\n", quoted(address)));
    format!(
        "[[{kind}]]\nid = {}\n{address}public_key = {}\nkey_file = {}",
        made.id,
        quoted(&made.public_key),
        quoted(&key_file.to_string_lossy())
    )
}

impl From<KeyFileError> for CliError {
    fn from(error: KeyFileError) -> Self {
        crate::cluster::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::keys::ring;
    use crate::registry::tests::lying;

    #[test]
    fn the_sections_are_a_configuration_whose_keys_fit() {
        let temp = tempfile::tempdir().unwrap();
        let members = vec![(1, "a:1".to_owned()), (2, "b:1".to_owned())];
        let text = Pairs::make(temp.path(), members, 1).unwrap().sections(Path::new(""));
        let config = Draft::parse(&text, Path::new("cluster.toml"), Some(lying())).unwrap().into_new();
        assert_eq!(config.members[1].address, "b:1");
        for member in &config.members {
            ring(&config, member.id, member.key_file.as_ref().unwrap()).unwrap();
        }
        ring(&config, FIRST_CLIENT, config.clients[0].key_file.as_ref().unwrap()).unwrap();
    }
}
