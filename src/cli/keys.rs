//! `keys generate`: key pairs for a cluster over several hosts.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::{CliError, CliResult, Context};
use crate::cluster::keys::{file_name, owner};
use crate::config::key_file::{self, KeyFileError};
use crate::config::{ClusterConfig, FIRST_CLIENT, MAX_NODES};
use crate::registry::PROTOCOLS;

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

/// A pair that was made, as JSON shows it.
#[derive(Debug, Serialize)]
struct Made {
    id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    public_key: String,
    key_file: PathBuf,
}

pub(super) fn run(context: &mut Context<'_>, command: &KeysCommand) -> CliResult {
    let KeysCommand::Generate(args) = command;
    let members = members(args)?;
    let clients: Vec<_> = (FIRST_CLIENT..FIRST_CLIENT + args.clients).map(|id| (id, None)).collect();
    let ids = members.iter().chain(&clients).map(|(id, _)| *id);
    // All are looked at before the first is written.
    for file in ids.map(|id| args.out.join(file_name(id))) {
        if file.exists() {
            return Err(CliError::failed(format!("{} is there already; nothing was made", file.display()))
                .hint("a key that is lost cannot be made again: choose another directory for --out"));
        }
    }
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&args.out);
    made.map_err(|error| CliError::failed(format!("cannot make {}: {error}", args.out.display())))?;
    let (members, clients) = (make(&args.out, members)?, make(&args.out, clients)?);
    if context.out.is_json() {
        return context.out.document(&serde_json::json!({"members": members, "clients": clients}));
    }
    let sections: Vec<String> = members
        .iter()
        .map(|made| section("member", made))
        .chain(clients.iter().map(|made| section("client", made)))
        .collect();
    context.out.line(&sections.join("\n\n"))?;
    let count = members.len() + clients.len();
    context.out.note(&format!(
        "wrote {count} private keys to {}: give each host that of its own node alone",
        args.out.display()
    ));
    Ok(())
}

/// Ids and addresses of the members that get keys.
fn members(args: &GenerateArgs) -> CliResult<Vec<(u64, Option<String>)>> {
    let signing = PROTOCOLS.iter().find(|entry| entry.signs);
    let Some(path) = &args.config else {
        let nodes = args.nodes.unwrap_or_default();
        if !(1..=MAX_NODES as u64).contains(&nodes) {
            return Err(CliError::usage(format!("a cluster has 1 to {MAX_NODES} nodes, not {nodes}")));
        }
        let port = signing.map_or(6001, |entry| entry.default_port);
        // Made up, and plainly so: where the hosts are is not known here.
        return Ok((1..=nodes).map(|id| (id, Some(format!("host-{id}:{port}")))).collect());
    };
    let config = ClusterConfig::load(path, None)?;
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
    Ok(config.members.into_iter().map(|member| (member.id, Some(member.address))).collect())
}

fn make(dir: &Path, owners: Vec<(u64, Option<String>)>) -> CliResult<Vec<Made>> {
    let make = |(id, address)| {
        let key_file = dir.join(file_name(id));
        let public_key = key_file::create(&key_file, &owner(id))?.public().to_string();
        Ok(Made { id, address, public_key, key_file })
    };
    owners.into_iter().map(make).collect()
}

/// A section of the configuration. A path is written as it was given: relative to where the configuration is, too, if
/// that is the current directory.
fn section(kind: &str, made: &Made) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let address =
        made.address.as_ref().map_or_else(String::new, |address| format!("address = {}\n", quoted(address)));
    format!(
        "[[{kind}]]\nid = {}\n{address}public_key = {}\nkey_file = {}",
        made.id,
        quoted(&made.public_key),
        quoted(&made.key_file.to_string_lossy())
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
        let members = vec![(1, Some("a:1".to_owned())), (2, Some("b:1".to_owned()))];
        let made = make(temp.path(), members).unwrap();
        let clients = make(temp.path(), vec![(FIRST_CLIENT, None)]).unwrap();
        let text = [section("member", &made[0]), section("member", &made[1]), section("client", &clients[0])];
        let config =
            ClusterConfig::parse(&text.join("\n"), Path::new("cluster.toml"), Some(lying())).unwrap();
        assert_eq!(config.members[1].address, "b:1");
        for member in &config.members {
            ring(&config, member.id, member.key_file.as_ref().unwrap()).unwrap();
        }
        ring(&config, FIRST_CLIENT, config.clients[0].key_file.as_ref().unwrap()).unwrap();
    }
}
