//! `wal inspect`, `verify`, `clean`.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::node::default_data_dir;
use super::{CliError, CliResult, Context, Output};
use crate::cluster::Lock;
use crate::config::ClusterConfig;
use crate::consensus::Lsn;
use crate::registry;
use crate::text::{counted, shell_path};
use crate::wal::{
    BatchState, Entry, Holdings, Inspection, RealDisk, Report, clean, holdings, in_use, inspect, verify,
};

/// Subcommands of `wal`.
#[derive(Debug, Subcommand)]
pub enum WalCommand {
    /// Shows segments and batches, and with --records what is in them
    #[command(after_help = "\
Examples:
  consensusctl wal inspect                      all nodes of the cluster
  consensusctl wal inspect --records --from 100 /path/to/node-3")]
    Inspect(InspectArgs),
    /// Checks everything; exit code 1 if anything is damaged
    Verify(DirArgs),
    /// Removes the data of a cluster that does not run
    #[command(after_help = "\
Examples:
  consensusctl wal clean --dry-run              what would be removed
  consensusctl wal clean --cluster old")]
    Clean(CleanArgs),
}

/// Data directories.
#[derive(Debug, Args)]
pub struct DirArgs {
    /// Data directories of nodes [default: those of the chosen cluster]
    #[arg(value_name = "DIR")]
    dirs: Vec<PathBuf>,
    /// Those of this configuration's nodes that are on this machine, where `node` puts them
    #[arg(long, value_name = "FILE", conflicts_with = "dirs")]
    config: Option<PathBuf>,
}

/// Arguments of `wal inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    #[command(flatten)]
    dirs: DirArgs,
    /// Show the records, too. They hold what clients have written
    #[arg(long)]
    records: bool,
    /// Pass over batches that end before this record
    #[arg(long, value_name = "LSN", default_value_t = 0)]
    from: u64,
}

/// Arguments of `wal clean`.
#[derive(Debug, Args)]
pub struct CleanArgs {
    #[command(flatten)]
    dirs: DirArgs,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(context: &mut Context<'_>, command: WalCommand) -> CliResult {
    match command {
        WalCommand::Inspect(args) => inspect_all(context, &args),
        WalCommand::Verify(args) => verify_all(context, &args),
        WalCommand::Clean(args) => clean_all(context, &args),
    }
}

/// The directories that were named, or those of the chosen cluster.
fn directories(context: &Context<'_>, args: &DirArgs) -> CliResult<Vec<PathBuf>> {
    if !args.dirs.is_empty() {
        if let Some(missing) = args.dirs.iter().find(|dir| !dir.is_dir()) {
            return Err(CliError::usage(format!("{} is not a directory", missing.display())));
        }
        return Ok(args.dirs.clone());
    }
    if let Some(file) = &args.config {
        return of_config(context, file);
    }
    let dir = context.dir()?;
    let mut nodes: Vec<(u64, PathBuf)> = std::fs::read_dir(dir.path())
        .map_err(|error| CliError::failed(format!("cannot list {}: {error}", dir.path().display())))?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let id = entry.file_name().to_str()?.strip_prefix("node-")?.parse().ok()?;
            entry.path().is_dir().then(|| (id, entry.path()))
        })
        .collect();
    nodes.sort();
    Ok(nodes.into_iter().map(|(_, path)| path).collect())
}

fn of_config(context: &Context<'_>, file: &Path) -> CliResult<Vec<PathBuf>> {
    let config = ClusterConfig::load(file)?;
    let all = config.members.iter().map(|member| default_data_dir(context, &config, member.id));
    let all: Vec<PathBuf> = all.collect::<CliResult<_>>()?;
    let here: Vec<PathBuf> = all.iter().filter(|dir| dir.is_dir()).cloned().collect();
    if here.is_empty() {
        let looked: Vec<String> = all.iter().map(|dir| dir.display().to_string()).collect();
        return Err(CliError::failed(format!("no node of {} has its data on this machine", config.name))
            .hint(format!("looked for {}; name other directories without --config", looked.join(", "))));
    }
    Ok(here)
}

/// An entry with the directory it is of: what `inspect` streams as JSON.
#[derive(Serialize)]
struct Located<'a> {
    dir: &'a Path,
    #[serde(flatten)]
    entry: &'a Entry,
}

fn inspect_all(context: &mut Context<'_>, args: &InspectArgs) -> CliResult {
    for dir in directories(context, &args.dirs)? {
        let identity = holdings(&RealDisk, &dir).ok().and_then(|holdings| holdings.identity);
        let protocol = identity.and_then(|identity| registry::find(&identity.protocol));
        let render = |bytes: &[u8]| match protocol {
            Some(protocol) => (protocol.render_record)(bytes),
            None => format!("{} of an unknown protocol", of_bytes(bytes.len() as u64)),
        };
        if !context.out.is_json() {
            context.out.line(&dir.display().to_string())?;
        }
        let mut inspection = Inspection { from: Lsn(args.from), render: None };
        if args.records {
            inspection.render = Some(&render);
        }
        let mut shown = Ok(());
        let mut show = |entry: Entry| {
            if shown.is_ok() {
                shown = show_entry(context.out, &dir, &entry);
            }
        };
        inspect(&RealDisk, &dir, &inspection, &mut show)?;
        shown?;
    }
    Ok(())
}

fn show_entry(out: &mut Output, dir: &Path, entry: &Entry) -> CliResult {
    if out.is_json() {
        return out.object(&Located { dir, entry });
    }
    out.line(&match entry {
        Entry::Segment(segment) => {
            let recycled = if segment.recycled { ", recycled" } else { "" };
            let problem = segment.problem.as_ref().map_or_else(String::new, |problem| format!(": {problem}"));
            format!(
                "  segment {} ({} of {} used, {}{recycled}){problem}",
                segment.id,
                segment.used,
                of_bytes(segment.bytes),
                counted(segment.batches, "batch", "batches")
            )
        }
        Entry::Batch(batch) => {
            let state = match batch.state {
                BatchState::Ok => "ok",
                BatchState::Torn => "torn",
                BatchState::Rot => "DAMAGED",
            };
            let number = batch.batch.map_or("?".to_owned(), |number| number.to_string());
            let first = batch.first_lsn.map_or("?".to_owned(), |lsn| lsn.to_string());
            format!(
                "    batch {number} at {}: {}, {} from {first}, {state}",
                batch.offset,
                of_bytes(batch.bytes),
                counted(batch.records.into(), "record", "records")
            )
        }
        Entry::Record(record) => {
            format!("      {} ({}) {}", record.lsn, of_bytes(record.bytes), record.text)
        }
    })
}

fn of_bytes(count: u64) -> String {
    counted(count, "byte", "bytes")
}

fn verify_all(context: &mut Context<'_>, args: &DirArgs) -> CliResult {
    let mut reports = Vec::new();
    for dir in directories(context, args)? {
        reports.push(verify(&RealDisk, &dir)?);
    }
    if context.out.is_json() {
        context.out.document(&reports)?;
    } else {
        reports.iter().try_for_each(|report| context.out.line(&describe(report)))?;
    }
    let damaged = reports.iter().filter(|report| !report.problems.is_empty());
    let (quoted, damaged): (Vec<String>, Vec<String>) =
        damaged.map(|report| (shell_path(&report.dir), report.dir.display().to_string())).unzip();
    if damaged.is_empty() {
        return Ok(());
    }
    Err(CliError::failed(format!("damaged: {}", damaged.join(", ")))
        .hint(format!("look at it with: consensusctl wal inspect {}", quoted.join(" "))))
}

fn describe(report: &Report) -> String {
    let sound = if report.problems.is_empty() { "sound" } else { "DAMAGED" };
    let torn =
        if report.torn.is_some() { ", a torn write at the end (cut off when it is opened)" } else { "" };
    let mut text = format!(
        "{}: {sound}: {} in {} and {}, {}{torn}",
        report.dir.display(),
        counted(report.records, "record", "records"),
        counted(report.batches, "batch", "batches"),
        counted(report.segments, "segment", "segments"),
        counted(report.snapshots.len() as u64, "snapshot", "snapshots")
    );
    for problem in &report.problems {
        text.push_str("\n  ");
        text.push_str(problem);
    }
    text
}

fn clean_all(context: &mut Context<'_>, args: &CleanArgs) -> CliResult {
    let dirs = directories(context, &args.dirs)?;
    let cluster =
        if args.dirs.dirs.is_empty() && args.dirs.config.is_none() { Some(context.dir()?) } else { None };
    if let Some(cluster) = &cluster
        && Lock::holder(&cluster.lock())?.is_some()
    {
        return Err(CliError::failed(format!("the cluster {} runs", cluster.name()))
            .hint(format!("take it down first: {}", cluster.command("cluster down"))));
    }
    // All are looked at before the first is touched.
    let mut held = Vec::new();
    for dir in &dirs {
        if in_use(&RealDisk, dir)? {
            return Err(CliError::failed(format!("{} is in use by a running node", dir.display()))
                .hint("stop the node first; nothing was removed"));
        }
        held.push(holdings(&RealDisk, dir)?);
    }
    if !args.dry_run {
        for dir in &dirs {
            clean(&RealDisk, dir)?;
        }
        if let Some(cluster) = &cluster {
            // Its nodes start from nothing, which is no loss any more but what was asked for.
            let _ = std::fs::remove_file(cluster.served());
        }
    }
    show_cleaned(context.out, &held, args.dry_run)
}

fn show_cleaned(out: &mut Output, held: &[Holdings], dry_run: bool) -> CliResult {
    if out.is_json() {
        return out.document(&serde_json::json!({"dry_run": dry_run, "removed": held}));
    }
    let verb = if dry_run { "would remove" } else { "removed" };
    for holdings in held {
        let files = counted(holdings.files.len() as u64, "file", "files");
        out.line(&format!("{verb} {}: {files}, {}", holdings.dir.display(), of_bytes(holdings.bytes)))?;
    }
    if held.is_empty() {
        out.note("there is no data");
    }
    Ok(())
}
