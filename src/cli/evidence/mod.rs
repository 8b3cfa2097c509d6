//! `evidence`: who is proved to lie, the proof itself, and its check by anybody.

mod file;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::{Args, Subcommand};
use serde::Serialize;

use super::elsewhere::not_by_name;
use super::{CliError, CliResult, Context, Exit, render_table};
use crate::client::{ControlClient, Error};
use crate::cluster::{NodeInfo, NodeState, Suspected, Watched};
use crate::config::ClusterConfig;
use crate::consensus::{Misbehaviour, Words};
use crate::text::counted;
use file::MAX_FILE_BYTES;

pub use file::Proved;

/// Subcommands of `evidence`.
#[derive(Debug, Subcommand)]
pub enum EvidenceCommand {
    /// Lists what the nodes of the cluster can prove, and apart from it what they suspect
    #[command(after_help = "\
Each piece is checked with the cluster's public keys before it is shown: no node's word is taken for it.

Examples:
  consensusctl evidence list
  consensusctl evidence list --save proofs      writes each piece into a file of its own
  consensusctl evidence list --config cluster.toml
  consensusctl evidence list --output json | jq '.convictions[].accused'")]
    List(ListArgs),
    /// Shows a piece, message by message
    #[command(after_help = "\
A file is checked first, as `verify` does, with the same exit codes.

Examples:
  consensusctl evidence show 1
  consensusctl evidence show 3f9a --out proof.json
  consensusctl evidence show proof.json --config cluster.toml")]
    Show(ShowArgs),
    /// Checks a file: needs the public keys, and no cluster
    #[command(after_help = "\
The configuration holds the ids and public keys of the members and the cluster's id; it and the file are all that it
takes, on any machine. That of a cluster of this machine is `NAME/cluster.toml` in the state directory; `cluster list`
says where that is.

Exit codes: 0 it proves what is printed, 3 it proves nothing.

Examples:
  consensusctl evidence verify proof.json
  consensusctl evidence verify proof.json --config cluster.toml")]
    Verify(VerifyArgs),
}

/// Arguments of `evidence list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Writes each piece into this directory, as `evidence-NODE-ID.json`
    #[arg(long, value_name = "DIR")]
    save: Option<PathBuf>,
    /// The configuration of a cluster whose nodes were started with `node`, on any host [default: a cluster of this
    /// machine]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Arguments of `evidence show`.
#[derive(Debug, Args)]
pub struct ShowArgs {
    /// Its number in the list, or its id, or how that begins; or a file
    #[arg(value_name = "N|ID|FILE")]
    which: String,
    /// Writes it into this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Who the members are, where they listen, and their public keys [default: those of the chosen cluster]
    #[arg(long, value_name = "FILE", visible_alias = "keys")]
    config: Option<PathBuf>,
}

/// Arguments of `evidence verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The file
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Who the members are, and their public keys [default: those of the chosen cluster]
    #[arg(long, value_name = "FILE", visible_alias = "keys")]
    config: Option<PathBuf>,
}

/// A piece that nodes hold.
struct Held {
    proved: Proved,
    nodes: Vec<u64>,
}

/// A line of the list.
#[derive(Serialize)]
struct Line<'a> {
    id: String,
    accused: u64,
    charge: &'a str,
    epoch: Option<u64>,
    index: Option<u64>,
    provided: Option<&'a str>,
    held_by: &'a [u64],
}

#[derive(Serialize)]
struct List<'a> {
    convictions: Vec<Line<'a>>,
    suspicions: &'a [Suspected],
    unseen: Vec<Unseen<'a>>,
}

/// A node that is told to lie, of which nothing was seen: perhaps it has had no occasion.
#[derive(Serialize)]
struct Unseen<'a> {
    id: u64,
    misbehaviour: &'a Misbehaviour,
}

pub(super) async fn run(context: &mut Context<'_>, command: EvidenceCommand) -> CliResult {
    match command {
        EvidenceCommand::List(args) => list(context, &args).await,
        EvidenceCommand::Show(args) => show(context, &args).await,
        EvidenceCommand::Verify(args) => {
            let (config, proved) = checked(context, &args.file, args.config.as_deref())?;
            print(context, &config, &proved)
        }
    }
}

/// The configuration of the chosen cluster, which need not run.
fn own_config(context: &Context<'_>) -> CliResult<ClusterConfig> {
    let dir = context.dir().map_err(|error| error.hint("name the configuration with --config FILE"))?;
    Ok(ClusterConfig::load(&dir.config())?)
}

/// The cluster that is asked, and who its members are.
async fn asked(context: &Context<'_>, config: Option<&Path>) -> CliResult<(ClusterConfig, Watched)> {
    if let Some(file) = config {
        not_by_name(context)?;
        let config = ClusterConfig::load(file)?;
        let watched = Watched::from(&config);
        return Ok((config, watched));
    }
    let cluster = context.cluster().await?;
    Ok((ClusterConfig::load(&cluster.dir().config())?, Watched::Supervised(cluster)))
}

/// Asks all nodes that may run. What one shows that proves nothing is told, and left out.
async fn collect(
    context: &mut Context<'_>,
    config: &ClusterConfig,
    cluster: &Watched,
) -> CliResult<Vec<Held>> {
    let mut all: BTreeMap<(u64, Bytes), Held> = BTreeMap::new();
    let roster = cluster.roster().await?;
    let may_run = |node: &&NodeInfo| matches!(node.state, NodeState::Running | NodeState::Unknown);
    for node in roster.nodes.iter().filter(may_run) {
        let pieces = match evidence_of(&node.address).await {
            Ok(pieces) => pieces,
            Err(error) => {
                context.out.warn(&format!("node {} is left out: {error}", node.id));
                continue;
            }
        };
        for piece in pieces {
            match Proved::judge(config, piece.clone()) {
                Ok(proved) => {
                    let key = (proved.judgement.accused.0, piece);
                    let held = all.entry(key).or_insert(Held { proved, nodes: Vec::new() });
                    held.nodes.push(node.id);
                }
                Err(why) => {
                    context.out.warn(&format!("node {} shows something that proves nothing: {why}", node.id));
                }
            }
        }
    }
    Ok(all.into_values().collect())
}

async fn evidence_of(address: &str) -> Result<Vec<Bytes>, Error> {
    ControlClient::new(address)?.evidence().await
}

async fn list(context: &mut Context<'_>, args: &ListArgs) -> CliResult {
    let (config, mut cluster) = asked(context, args.config.as_deref()).await?;
    let held = collect(context, &config, &cluster).await?;
    let status = cluster.status(false).await?;
    let suspicions = &status.suspicions;
    let seen = |id| {
        held.iter().any(|held| held.proved.judgement.accused.0 == id)
            || suspicions.iter().any(|one| one.id == id)
    };
    let unseen = status.nodes.iter().filter(|node| !seen(node.id)).filter_map(|node| {
        node.misbehaviour.as_ref().map(|misbehaviour| Unseen { id: node.id, misbehaviour })
    });
    let unseen: Vec<Unseen<'_>> = unseen.collect();
    if let Some(dir) = &args.save {
        save_all(context, dir, &config, &held)?;
    }
    if context.out.is_json() {
        let convictions = held.iter().map(line).collect();
        return context.out.document(&List { convictions, suspicions, unseen });
    }
    if held.is_empty() {
        context.out.line("nobody is convicted")?;
    } else {
        let row = |(number, held): (usize, &Held)| {
            let Line { id, accused, charge, held_by, .. } = line(held);
            vec![(number + 1).to_string(), id, accused.to_string(), charge.to_owned(), in_words(held_by)]
        };
        let rows = held.iter().enumerate().map(row).collect();
        context.out.line(&render_table(&["n", "id", "convicted", "of", "held by"], rows))?;
    }
    if !suspicions.is_empty() {
        let lines: Vec<String> = suspicions.iter().map(ToString::to_string).collect();
        context.out.line(&format!("\nWithout proof:\n{}", lines.join("\n")))?;
    }
    if !unseen.is_empty() {
        let lines = unseen.iter().map(|one| format!("node {}: {}", one.id, one.misbehaviour));
        let lines: Vec<String> = lines.collect();
        context.out.line(&format!("\nTold to lie, and not seen at it so far:\n{}", lines.join("\n")))?;
    }
    Ok(())
}

fn line(held: &Held) -> Line<'_> {
    let judgement = &held.proved.judgement;
    Line {
        id: held.proved.id(),
        accused: judgement.accused.0,
        charge: &judgement.charge,
        epoch: judgement.epoch,
        index: judgement.index,
        provided: judgement.provided,
        held_by: &held.nodes,
    }
}

fn in_words(ids: &[u64]) -> String {
    ids.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

fn save_all(context: &mut Context<'_>, dir: &Path, config: &ClusterConfig, held: &[Held]) -> CliResult {
    std::fs::create_dir_all(dir).map_err(|error| cannot("make the directory", dir, &error))?;
    for Held { proved, .. } in held {
        let name = format!("evidence-{}-{}.json", proved.judgement.accused, proved.id());
        save(context, &dir.join(name), config, proved)?;
    }
    Ok(())
}

fn save(context: &mut Context<'_>, path: &Path, config: &ClusterConfig, proved: &Proved) -> CliResult {
    std::fs::write(path, proved.to_file(config)).map_err(|error| cannot("write", path, &error))?;
    context.out.note(&format!("wrote {}", path.display()));
    Ok(())
}

fn cannot(what: &str, path: &Path, error: &std::io::Error) -> CliError {
    CliError::failed(format!("cannot {what} {}: {error}", path.display()))
}

async fn show(context: &mut Context<'_>, args: &ShowArgs) -> CliResult {
    let (config, proved) = if Path::new(&args.which).is_file() {
        checked(context, Path::new(&args.which), args.config.as_deref())?
    } else {
        held(context, args).await?
    };
    if let Some(path) = &args.out {
        save(context, path, &config, &proved)?;
    }
    print(context, &config, &proved)
}

/// The piece that nodes hold under this name.
async fn held(context: &mut Context<'_>, args: &ShowArgs) -> CliResult<(ClusterConfig, Proved)> {
    let (config, cluster) = asked(context, args.config.as_deref()).await?;
    let held = collect(context, &config, &cluster).await?;
    let numbered = args.which.parse::<usize>().ok().filter(|number| (1..=held.len()).contains(number));
    let found: Vec<&Held> = match numbered {
        Some(number) => held.get(number - 1).into_iter().collect(),
        None => held.iter().filter(|held| held.proved.id().starts_with(&args.which)).collect(),
    };
    let (which, all) = (&args.which, counted(held.len() as u64, "piece", "pieces"));
    let error = match found[..] {
        [Held { proved, .. }] => return Ok((config, proved.clone())),
        [] => CliError::failed(format!("there is no evidence {which:?} among {all}, and no such file")),
        _ => CliError::usage(format!("{} of {all} have an id that begins with {which:?}", found.len())),
    };
    let list = match &cluster {
        Watched::Supervised(cluster) => cluster.dir().command("evidence list"),
        Watched::Unwatched(_) => "`evidence list` and the same --config".to_owned(),
    };
    Err(error.hint(format!("see all with: {list}")))
}

/// Prints a piece: in JSON the file itself.
fn print(context: &mut Context<'_>, config: &ClusterConfig, proved: &Proved) -> CliResult {
    if context.out.is_json() {
        return context.out.raw(proved.to_file(config).as_bytes());
    }
    let judgement = &proved.judgement;
    context.out.line(&format!("node {} is convicted: {}", judgement.accused, judgement.charge))?;
    if let Some(provided) = judgement.provided {
        context.out.line(&format!("provided that {provided}"))?;
    }
    for statement in &judgement.statements {
        context.out.line(&format!("\n{}", statement.title))?;
        for (name, words) in &statement.fields {
            match words {
                Words::One(value) => context.out.line(&format!("  {name:<10} {value}"))?,
                Words::List(values) if values.is_empty() => {
                    context.out.line(&format!("  {name:<10} none"))?;
                }
                Words::List(values) => {
                    for value in values {
                        context.out.line(&format!("  {name:<10} {value}"))?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// A file, checked with the keys of a configuration, or of the chosen cluster's.
fn checked(context: &Context<'_>, file: &Path, config: Option<&Path>) -> CliResult<(ClusterConfig, Proved)> {
    let config = match config {
        Some(path) => ClusterConfig::load(path)?,
        None => own_config(context)?,
    };
    let text = read(file)?;
    match Proved::read(&config, &text) {
        Ok(proved) => Ok((config, proved)),
        Err(why) => {
            let message = format!("{} proves nothing: {why}", file.display());
            Err(CliError::new(Exit::Violated, message))
        }
    }
}

fn read(path: &Path) -> CliResult<Vec<u8>> {
    let open = std::fs::File::open(path).map_err(|error| cannot("read", path, &error))?;
    let mut text = Vec::new();
    let limited = open.take(MAX_FILE_BYTES + 1).read_to_end(&mut text);
    limited.map_err(|error| cannot("read", path, &error))?;
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(CliError::failed(format!("{} is too large for evidence", path.display())));
    }
    Ok(text)
}
