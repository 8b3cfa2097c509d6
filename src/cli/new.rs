//! `cluster new`: the configuration of a cluster over several hosts, or a new identity for one.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::keys::{Addresses, Pairs, unknown_hosts};
use super::{CliError, CliResult, Context};
use crate::config::{Draft, check_address, is_valid_name, new_cluster_id, with_cluster_id};
use crate::registry;
use crate::text::{counted, shell_path};
use crate::wal::{RealDisk, replace_file};

/// Where the private keys are put, next to the configuration.
const KEYS: &str = "keys";

/// Arguments of `cluster new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consensusctl cluster new cluster.toml --member 10.0.0.1:5001,10.0.0.2:5001,10.0.0.3:5001
  consensusctl cluster new cluster.toml --protocol pbft --nodes 4     with keys; then fill in the addresses
  consensusctl cluster new cluster.toml                               gives the file an id, if it has none
  consensusctl cluster new cluster.toml --replace-id                  to start over with the same members

The id tells this cluster from every other one, also from one with the same members: nodes refuse data, links and signatures of
another id. Every host needs the same file. Clusters on one machine need no file: see `cluster up`.")]
pub struct NewArgs {
    /// The configuration to write, or to give an id
    file: PathBuf,
    /// The protocol: raft, which tolerates crashes, or pbft, which tolerates lies [default: raft]
    #[arg(long)]
    protocol: Option<String>,
    /// The members' addresses as host:port, separated by commas; ids count from 1
    #[arg(long, value_name = "ADDRESS", value_delimiter = ',', value_parser = address)]
    member: Vec<String>,
    /// How many members, whose addresses are to be filled in [default: 5 for raft, 4 for pbft]
    #[arg(long, value_name = "N", conflicts_with = "member")]
    nodes: Option<u64>,
    /// Give a cluster that has an id another one: nodes then refuse the data that they have
    #[arg(long, conflicts_with_all = ["protocol", "member", "nodes"])]
    replace_id: bool,
}

fn address(text: &str) -> Result<String, String> {
    check_address(text).map(|()| text.to_owned())
}

/// What was done to a file.
struct Done {
    id: u64,
    protocol: &'static str,
    members: usize,
    /// In words, with what is left to do.
    said: String,
}

pub(super) fn run(context: &mut Context<'_>, args: &NewArgs) -> CliResult {
    let there = fs::symlink_metadata(&args.file).is_ok();
    let done = if there { identify(context, args)? } else { create(context, args)? };
    if context.out.is_json() {
        let Done { id, protocol, members, .. } = done;
        return context.out.object(&json!({
            "file": args.file, "cluster_id": format!("{id:016x}"), "protocol": protocol, "members": members,
        }));
    }
    context.out.line(&done.said)
}

/// Gives a configuration that is there an id.
fn identify(context: &Context<'_>, args: &NewArgs) -> CliResult<Done> {
    let (path, shown) = (&args.file, args.file.display());
    let new = format!("consensusctl cluster new {}", shell_path(path));
    if args.protocol.is_some() || !args.member.is_empty() || args.nodes.is_some() || context.name.is_some() {
        return Err(CliError::usage(format!("{shown} is there already; nothing was changed"))
            .hint(format!("`{new}` alone gives it an id, if it has none")));
    }
    // A link stays one.
    let real = fs::canonicalize(path).map_err(|error| cannot("read", path, &error))?;
    let text = fs::read_to_string(&real).map_err(|error| cannot("read", path, &error))?;
    let draft = Draft::parse(&text, path, None)?;
    let before = draft.named_id();
    let replaced = match (before, args.replace_id) {
        (Some(id), false) => {
            return Err(CliError::failed(format!(
                "{shown} has the id {id:016x} already; nothing was changed"
            ))
            .hint(format!("to start over without the data of that cluster: {new} --replace-id")));
        }
        (Some(id), true) => Some(id),
        (None, false) => None,
        (None, true) => {
            return Err(CliError::usage(format!("{shown} has no id that could be replaced"))
                .hint(format!("`{new}` gives it one")));
        }
    };
    let id = new_cluster_id();
    let text = with_cluster_id(&text, path, id)?;
    let permissions = fs::metadata(&real).map_err(|error| cannot("read", path, &error))?.permissions();
    replace_file(&RealDisk, &real, text.as_bytes())?;
    fs::set_permissions(&real, permissions).map_err(|error| cannot("write", path, &error))?;
    let config = draft.into_new();
    let said = match replaced {
        None => {
            format!("{shown} has the id {id:016x} now: copy it to every host before the first node starts")
        }
        Some(before) => format!(
            "{shown} has the id {id:016x} in place of {before:016x}: copy it to every host, and remove the nodes' data \
             directories there; a node refuses data of another id"
        ),
    };
    Ok(Done { id, protocol: config.protocol, members: config.members.len(), said })
}

/// Writes a new configuration, and the keys that it needs.
fn create(context: &Context<'_>, args: &NewArgs) -> CliResult<Done> {
    let (path, shown) = (&args.file, args.file.display());
    if args.replace_id {
        return Err(CliError::usage(format!("there is no file {shown} whose id could be replaced")));
    }
    let entry = match &args.protocol {
        Some(name) => registry::named(name).map_err(CliError::usage)?,
        None => registry::default_protocol(),
    };
    let name = context.name.as_deref().unwrap_or(entry.name);
    if !is_valid_name(name) {
        return Err(CliError::usage(format!(
            "{name:?} is no name for a cluster: 1 to 64 letters, digits, `-`, `_` or `.`, a letter or digit first"
        )));
    }
    let known = !args.member.is_empty();
    let members: Addresses = if known {
        (1..).zip(args.member.iter().cloned()).collect()
    } else {
        unknown_hosts(args.nodes.unwrap_or(entry.default_nodes), entry)?
    };
    let (id, count) = (new_cluster_id(), members.len());
    let head = format!(
        "# The same on every host of the cluster.\nname = {}\ncluster_id = {id:#018x}\nprotocol = {}\n",
        toml::Value::String(name.to_owned()),
        toml::Value::String(entry.name.to_owned())
    );
    let unsigned = |members: &[(u64, String)]| -> String {
        let section = |(id, address): &(u64, String)| {
            format!("[[member]]\nid = {id}\naddress = {}", toml::Value::String(address.clone()))
        };
        members.iter().map(section).collect::<Vec<_>>().join("\n\n")
    };
    // What the file would say is checked before anything is made.
    Draft::parse(&format!("{head}\n{}", unsigned(&members)), path, Some(entry))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let (sections, keys) = if entry.signs {
        let pairs = Pairs::make(&dir.join(KEYS), members, 1)?;
        let keys = format!(
            "; give each host only its own node's private key, of the {} in {}",
            pairs.len(),
            dir.join(KEYS).display()
        );
        (pairs.sections(dir), keys)
    } else {
        (unsigned(&members), String::new())
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .open(path)
        .map_err(|error| cannot("write", path, &error))?;
    let written = file.write_all(format!("{head}\n{sections}\n").as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| cannot("write", path, &error))?;
    let next =
        if known { "copy it to every host" } else { "fill in the addresses, then copy it to every host" };
    let nodes = counted(count as u64, "node", "nodes");
    let said =
        format!("wrote {shown}, a {} cluster of {nodes} with the id {id:016x}: {next}{keys}", entry.name);
    Ok(Done { id, protocol: entry.name, members: count, said })
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::failed(format!("cannot {what} {}: {error}", path.display()))
}
