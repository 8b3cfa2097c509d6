//! `consensusctl test`: scenarios on real clusters.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::PathBuf;
use std::time::Instant;

use clap::Args;
use serde::Serialize;

use super::{CliError, CliResult, Context, Exit, Interrupt};
use crate::registry::{self, Entry, PROTOCOLS};
use crate::scenario::{self, Ended, Outcome, Report, SCENARIOS, Scenario, Setup, select, suites};
use crate::text::counted;

const EXAMPLES: &str = "\
Examples:
  consensusctl test all                          every scenario, with each protocol that it fits
  consensusctl test chaos                        one suite
  consensusctl test chaos/pause --keep           one scenario; its cluster's directory stays
  consensusctl test chaos --protocol pbft        one protocol
  consensusctl test all --in-process             nodes as tasks of one process
  consensusctl test list

Each scenario has a cluster of its own, on free ports, in a temporary directory. Clusters that run are not touched.

Exit codes: 0 all passed, 1 one failed, 2 usage, 3 a history is violated, 4 no verdict on a history.";

/// Arguments of `test`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct TestArgs {
    /// `all`, a suite, a scenario as SUITE/SCENARIO, or `list`
    #[arg(value_name = "WHAT")]
    what: String,
    /// Only with this protocol [default: with all]
    #[arg(long)]
    protocol: Option<String>,
    /// Run the nodes as tasks of a supervisor, not as processes
    #[arg(long)]
    in_process: bool,
    /// Keep the directory of every cluster, not only of those that failed
    #[arg(long)]
    keep: bool,
    /// Write the history of every scenario into this directory, not only of those that failed
    #[arg(long, value_name = "DIR")]
    history: Option<PathBuf>,
    /// Decides what clients ask (not when: that is up to the machine) [default: drawn]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
}

/// The last line with `--output json`.
#[derive(Debug, Default, Serialize)]
struct Sums {
    passed: usize,
    failed: usize,
    violated: usize,
    unknown: usize,
    seconds: f64,
}

/// A scenario with a protocol.
type Chosen = (&'static Scenario, &'static Entry);

/// Runs what was chosen, and fails with the worst that came of it.
pub(super) async fn run(context: &mut Context<'_>, args: TestArgs) -> CliResult {
    let protocols = protocols(args.protocol.as_deref())?;
    if args.what == "list" {
        return list(context, &protocols);
    }
    let meant = select(&args.what).ok_or_else(|| {
        CliError::usage(format!("`{}` is no suite and no scenario", args.what))
            .hint(format!("suites are {}; see all with: consensusctl test list", suites().join(", ")))
    })?;
    let chosen = pair(&meant, &protocols);
    if chosen.is_empty() {
        let names: Vec<&str> = protocols.iter().map(|protocol| protocol.name).collect();
        let message = format!("`{}` does not apply to the protocol {}", args.what, names.join(", "));
        return Err(CliError::usage(message).hint("see what does with: consensusctl test list"));
    }
    let setup = setup(context, args)?;
    run_all(context, &chosen, &setup).await
}

/// The protocol of this name, or all.
fn protocols(name: Option<&str>) -> CliResult<Vec<&'static Entry>> {
    let Some(name) = name else { return Ok(PROTOCOLS.iter().collect()) };
    registry::named(name).map(|entry| vec![entry]).map_err(CliError::usage)
}

/// Each protocol's scenarios, protocol by protocol.
fn pair(meant: &[&'static Scenario], protocols: &[&'static Entry]) -> Vec<Chosen> {
    let of = |protocol: &'static Entry| {
        let fit = meant.iter().filter(move |scenario| scenario.applies_to(protocol));
        fit.map(move |scenario| (*scenario, protocol)).collect::<Vec<_>>()
    };
    protocols.iter().flat_map(|protocol| of(protocol)).collect()
}

fn setup(context: &Context<'_>, args: TestArgs) -> CliResult<Setup> {
    let program = std::env::current_exe()
        .map_err(|error| CliError::failed(format!("cannot find this program's own file: {error}")))?;
    if let Some(dir) = &args.history {
        std::fs::create_dir_all(dir)
            .map_err(|error| CliError::failed(format!("cannot make {}: {error}", dir.display())))?;
    }
    // Any number will do; it is shown where it matters.
    let seed = args.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 32);
    Ok(Setup {
        in_process: args.in_process,
        program,
        keep: args.keep,
        histories: args.history,
        seed,
        log: context.log.clone(),
    })
}

/// A scenario, as `list` shows it.
#[derive(Debug, Serialize)]
struct Listed {
    scenario: String,
    protocol: &'static str,
    nodes: u64,
    shows: &'static str,
}

fn list(context: &mut Context<'_>, protocols: &[&'static Entry]) -> CliResult {
    let all: Vec<&Scenario> = SCENARIOS.iter().collect();
    let listed = pair(&all, protocols).into_iter().map(|(scenario, protocol)| Listed {
        scenario: scenario.path(),
        protocol: protocol.name,
        nodes: scenario.nodes(protocol),
        shows: scenario.shows,
    });
    let listed: Vec<Listed> = listed.collect();
    if context.out.is_json() {
        return context.out.document(&listed);
    }
    let row = |one: Listed| {
        vec![one.scenario, one.protocol.to_owned(), one.nodes.to_string(), one.shows.to_owned()]
    };
    context.out.table(&["scenario", "protocol", "nodes", "shows"], listed.into_iter().map(row).collect())
}

#[expect(clippy::disallowed_methods, reason = "how long it took is told to people and decides nothing")]
async fn run_all(context: &mut Context<'_>, chosen: &[Chosen], setup: &Setup) -> CliResult {
    let begun = Instant::now();
    let interrupt = Interrupt::listen()?;
    let bar = context.out.progress(chosen.len() as u64, "starting");
    let mut outcomes = Vec::new();
    for (scenario, protocol) in chosen {
        let (line, path) = (bar.clone(), format!("{} with {}", scenario.path(), protocol.name));
        let tell = move |what: &str| line.set_message(format!("{path}: {what}"));
        let ended = Box::pin(scenario::run(scenario, protocol, setup, interrupt.told(), tell)).await;
        let ended = match ended {
            Err(Ended::Interrupted) => Err(CliError::failed("interrupted; nothing is left running")),
            Err(Ended::Broken(error)) => Err(error.into()),
            Ok(report) => bar.suspend(|| show(context, &report)).map(|()| report.outcome()),
        };
        if ended.is_err() {
            bar.finish_and_clear();
        }
        outcomes.push(ended?);
        bar.inc(1);
    }
    bar.finish_and_clear();
    sum_up(context, &outcomes, begun.elapsed().as_secs_f64())
}

fn show(context: &mut Context<'_>, report: &Report) -> CliResult {
    if context.out.is_json() {
        return context.out.object(report);
    }
    context.out.line(&report.line())?;
    for line in report.trouble().lines() {
        context.out.line(format!("         {line}").trim_end())?;
    }
    Ok(())
}

/// The last line, and the exit code: of several troubles the worst.
fn sum_up(context: &mut Context<'_>, outcomes: &[Outcome], seconds: f64) -> CliResult {
    let count = |which: Outcome| outcomes.iter().filter(|outcome| **outcome == which).count();
    let sums = Sums {
        passed: count(Outcome::Passed),
        failed: count(Outcome::Failed),
        violated: count(Outcome::Violated),
        unknown: count(Outcome::Unknown),
        seconds,
    };
    let trouble = outcomes.len() - sums.passed;
    if context.out.is_json() {
        context.out.object(&sums)?;
    } else {
        context.out.line(&format!("{} passed, {trouble} failed", sums.passed))?;
    }
    let exit = match outcomes.iter().max() {
        None | Some(Outcome::Passed) => return Ok(()),
        Some(Outcome::Unknown) => Exit::Unknown,
        Some(Outcome::Failed) => Exit::Failed,
        Some(Outcome::Violated) => Exit::Violated,
    };
    Err(CliError::new(
        exit,
        format!("{trouble} of {} did not pass", counted(outcomes.len() as u64, "scenario", "scenarios")),
    ))
}
