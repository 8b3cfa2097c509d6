//! `consensusctl sim`: runs of the simulator.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{CliError, CliResult, Exit, Output};
use crate::consensus::{NodeId, Scheme};
use crate::registry;
use crate::sim::{
    Cast, Failure, FaultMix, Outcome, Report, RunOptions, Shrunk, Stats, Sweep, TraceLine, Tracing,
    parse_liar,
};
use crate::text::counted;

/// Run simulated clusters on faults drawn from seeds, and check that they kept their promises.
///
/// Each seed is one run: a cluster in one thread under a virtual clock, with crashes between any two effects, torn and
/// lost writes, failing disks, partitions, bad clocks. First faults, with all invariants checked at every step; then
/// calm, in which every client must be served; then all replicas must be equal, and the clients' history must be
/// linearizable. A failure is shrunk to the faults that it takes, and printed with the command that repeats it.
///
/// Exit codes: 0 all passed, 2 usage, 3 a promise was broken, 4 no verdict on some history.
///
/// Examples:
///
///   consensusctl sim --seeds 1000
///   consensusctl sim --seed 42 --trace
///   consensusctl sim --seed 42 --trace --trace-nodes 1,3 --trace-kinds send,receive,fault
///   consensusctl sim --faults=crashes,partitions --nodes 3
///   consensusctl sim --faults=-rot,loss=20
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct SimArgs {
    /// Which protocol.
    #[arg(long, default_value = registry::default_protocol().name)]
    pub protocol: String,
    /// How many seeds to run.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// Run this seed alone; with `--seeds`, the first of them.
    #[arg(long)]
    pub seed: Option<u64>,
    /// How many nodes a cluster has [default: 5 for raft; 4 to 13 for pbft, drawn from the seed].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=15))]
    pub nodes: Option<u8>,
    /// Which nodes lie, and how: `ID=BEHAVIOUR`, once for each, `ID=twin` for a node that runs twice with one key; `none` for
    /// an honest cluster [default: as many as are tolerated at most, drawn from the seed]. More than the protocol tolerates may well break its promises: all seeds are run then, and those
    /// that did are counted.
    #[arg(long, value_name = "ID=BEHAVIOUR", value_parser = parse_liars)]
    pub malicious: Vec<Liar>,
    /// How messages are signed, where the protocol signs them: `tag` is a cheap keyed hash, `ed25519` the real thing.
    #[arg(long, value_name = "SCHEME", default_value = "tag", value_parser = parse_scheme)]
    pub signatures: Scheme,
    /// How many clients.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    pub clients: u8,
    /// About how many operations all clients begin in a simulated second.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub rate: u64,
    /// Which faults: `all`, `none`, groups (links, partitions, crashes, nodes, disks) and names, with `=WEIGHT`, or
    /// left out with a minus; see docs/simulator.md.
    #[arg(long, value_name = "LIST", default_value = "all", value_parser = FaultMix::parse, allow_hyphen_values = true)]
    pub faults: FaultMix,
    /// How long clients work in each run, in simulated time.
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub time: Duration,
    /// How many threads [default: one for each core].
    #[arg(long)]
    pub jobs: Option<usize>,
    /// Tell everything that happens in the run of `--seed`; with `--output json`, one object a line.
    #[arg(long, requires = "seed")]
    pub trace: bool,
    /// Of the trace, only what happens at these nodes, by id.
    #[arg(long, value_name = "IDS", requires = "trace", value_delimiter = ',')]
    pub trace_nodes: Vec<u64>,
    /// Of the trace, only these kinds: send, receive, request, timer, protocol, disk, store, snapshot, life, fault, client,
    /// or kinds of messages, such as `AppendEntries`.
    #[arg(long, value_name = "KINDS", requires = "trace", value_delimiter = ',')]
    pub trace_kinds: Vec<String>,
    /// Of the run of `--seed`, only these faults, by number, or `none`: as a failure's report names them.
    #[arg(long, value_name = "NUMBERS", requires = "seed")]
    pub keep: Option<Keep>,
    /// Write the clients' history of the run of `--seed` to this file, for `consensusctl check`.
    #[arg(long, value_name = "FILE", requires = "seed")]
    pub history: Option<PathBuf>,
}

/// Which faults of a run are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep(Vec<usize>);

impl FromStr for Keep {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(Vec::new()));
        }
        let number = |part: &str| part.trim().parse().map_err(|_| format!("`{part}` is no number"));
        text.split(',').map(number).collect::<Result<_, _>>().map(Self)
    }
}

/// A node and its behaviour, or nobody.
type Liar = Option<(NodeId, String)>;

fn parse_liars(text: &str) -> Result<Liar, String> {
    if text == "none" { Ok(None) } else { parse_liar(text).map(Some) }
}

fn parse_scheme(text: &str) -> Result<Scheme, String> {
    match text {
        "tag" => Ok(Scheme::Tag),
        "ed25519" => Ok(Scheme::Ed25519),
        _ => Err("one of tag, ed25519".to_owned()),
    }
}

/// What is printed with `--output json`.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    protocol: &'a str,
    first_seed: u64,
    runs: u64,
    simulated_hours: f64,
    real_seconds: f64,
    factor: f64,
    jobs: usize,
    stats: &'a Stats,
    /// How many runs broke which promise. More than one run only where more nodes lie than the protocol tolerates.
    violations: &'a BTreeMap<&'static str, u64>,
    unknown: &'a [(u64, String)],
    failure: Option<FailureReport>,
}

/// A failure in the summary.
#[derive(Debug, Serialize)]
struct FailureReport {
    seed: u64,
    /// Who took part, and who of them lied.
    cast: String,
    outside_the_fault_model: bool,
    /// Of the sources that this binary was built from, if they were a checkout.
    commit: &'static str,
    invariant: &'static str,
    detail: String,
    at_us: u64,
    replay: String,
    faults_before: usize,
    faults: Vec<String>,
    trace: Vec<String>,
}

/// Runs what was asked for and prints what came of it.
#[expect(clippy::disallowed_methods, reason = "how long it took is told, and decides nothing")]
pub(super) fn run(args: &SimArgs, out: &mut Output) -> CliResult {
    let entry = registry::find(&args.protocol).ok_or_else(|| {
        let names: Vec<_> = registry::PROTOCOLS.iter().map(|entry| entry.name).collect();
        CliError::usage(format!("there is no protocol `{}`", args.protocol))
            .hint(format!("one of {}", names.join(", ")))
    })?;
    let options = options(args);
    let liars = options.malicious.as_deref().unwrap_or_default();
    (entry.simulation.check_liars)(liars, options.nodes)
        .map_err(|why| CliError::usage(format!("--malicious: {why}")))?;
    if args.trace || args.history.is_some() {
        return run_one(args, &options, entry, out);
    }
    let jobs = args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let seeds = if args.seed.is_some() && args.seeds == 100 { 1 } else { args.seeds };
    let sweep = Sweep { options, seeds, jobs };
    let progress = out.progress(seeds, "simulating");
    let begun = Instant::now();
    let outcome = (entry.simulation.sweep)(&sweep, &|_| progress.inc(1));
    let took = begun.elapsed().as_secs_f64();
    progress.finish_and_clear();

    let shrunk = outcome.failure.as_ref().map(|failing| {
        out.note(&format!("seed {} fails: looking for the faults that it takes", failing.seed));
        (entry.simulation.shrink)(&RunOptions { seed: failing.seed, ..sweep.options.clone() }, failing)
    });
    let failure = shrunk.as_ref().map(|shrunk| report_failure(entry.name, shrunk));
    let simulated = outcome.stats.simulated_us as f64 / 1e6;
    let summary = Summary {
        protocol: entry.name,
        first_seed: sweep.options.seed,
        runs: outcome.runs,
        simulated_hours: simulated / 3600.0,
        real_seconds: took,
        factor: simulated / took.max(1e-9),
        jobs: jobs.min(seeds as usize),
        stats: &outcome.stats,
        violations: &outcome.violations,
        unknown: &outcome.unknown,
        failure,
    };
    print(out, &summary)?;
    match summary.failure {
        Some(failure) => Err(CliError::new(
            Exit::Violated,
            broken(&failure, &outcome),
        )
        .hint(failure.replay)),
        None => match outcome.unknown.first() {
            Some((seed, why)) => Err(CliError::unknown(format!(
                "no verdict on {} of {}, the first of seed {seed}: {why}",
                outcome.unknown.len(),
                counted(outcome.runs, "history", "histories")
            ))
            .hint(format!(
                "search longer: consensusctl sim --seed {seed} --history FILE; consensusctl check --time 10m FILE"
            ))),
            None => Ok(()),
        },
    }
}

/// What was broken, and whether it might be.
fn broken(failure: &FailureReport, outcome: &Outcome) -> String {
    if !failure.outside_the_fault_model {
        return format!("seed {} broke a promise: {}", failure.seed, failure.invariant);
    }
    let counts: Vec<_> =
        outcome.violations.iter().map(|(invariant, count)| format!("{invariant} by {count}")).collect();
    let counts = counts.join(", ");
    format!(
        "{} violated, as it may be outside the fault model: of {}, {counts}",
        failure.invariant,
        counted(outcome.runs, "seed", "seeds")
    )
}

fn options(args: &SimArgs) -> RunOptions {
    RunOptions {
        seed: args.seed.unwrap_or(1),
        nodes: args.nodes.map(usize::from),
        malicious: (!args.malicious.is_empty()).then(|| args.malicious.iter().flatten().cloned().collect()),
        signatures: args.signatures,
        clients: args.clients.into(),
        rate: args.rate,
        time_us: args.time.as_micros() as u64,
        faults: args.faults.clone(),
        keep: args.keep.clone().map(|keep| keep.0),
        tracing: if args.trace { Tracing::All } else { Tracing::Off },
    }
}

/// Runs one seed, and tells it or keeps its history.
fn run_one(args: &SimArgs, options: &RunOptions, entry: &registry::Entry, out: &mut Output) -> CliResult {
    let report = (entry.simulation.run)(options);
    for line in report.trace.iter().filter(|line| is_wanted(args, line)) {
        if out.is_json() { out.object(line)? } else { out.line(&line.to_string())? }
    }
    if let Some(path) = &args.history {
        let write =
            || -> std::io::Result<()> { report.history.write(BufWriter::new(File::create(path)?)).map(drop) };
        write().map_err(|error| CliError::failed(format!("{}: {error}", path.display())))?;
    }
    if out.is_json() {
        out.object(&Ending::of(&report))?;
    }
    out.note(&format!("{}; digest {:016x}", report.cast, report.digest));
    if report.failure.is_none() && report.unknown.is_none() {
        out.note("no violation");
    }
    match (&report.failure, &report.unknown) {
        (Some(failure), _) => Err(CliError::new(Exit::Violated, told(failure, &report.cast))),
        (None, Some(why)) => Err(CliError::unknown(why.clone())),
        (None, None) => Ok(()),
    }
}

/// Whether a line of the trace is asked for.
fn is_wanted(args: &SimArgs, line: &TraceLine) -> bool {
    let node = args.trace_nodes.is_empty() || line.node.is_some_and(|node| args.trace_nodes.contains(&node));
    let named = |kind: &String| {
        line.kind.name().eq_ignore_ascii_case(kind)
            || line.message.is_some_and(|message| message.eq_ignore_ascii_case(kind))
    };
    node && (args.trace_kinds.is_empty() || args.trace_kinds.iter().any(named))
}

/// The last line of a run's JSON.
#[derive(Debug, Serialize)]
struct Ending<'a> {
    cast: String,
    digest: String,
    /// The promise that was broken, if one was.
    violation: Option<Broken<'a>>,
    /// Why there is no verdict on the history, if there is none.
    unknown: Option<&'a str>,
}

#[derive(Debug, Serialize)]
struct Broken<'a> {
    invariant: &'static str,
    detail: &'a str,
    at_us: u64,
}

impl<'a> Ending<'a> {
    fn of(report: &'a Report) -> Self {
        let broken = |failure: &'a Failure| Broken {
            invariant: failure.invariant,
            detail: &failure.detail,
            at_us: failure.at,
        };
        Self {
            cast: report.cast.to_string(),
            digest: format!("{:016x}", report.digest),
            violation: report.failure.as_ref().map(broken),
            unknown: report.unknown.as_deref(),
        }
    }
}

fn told(failure: &Failure, cast: &Cast) -> String {
    let outside =
        if cast.outside_the_fault_model { " violated, as it may be outside the fault model" } else { "" };
    format!("at {:.6} s: {}{outside}: {}", failure.at as f64 / 1e6, failure.invariant, failure.detail)
}

fn report_failure(protocol: &str, shrunk: &Shrunk) -> FailureReport {
    let Report { seed, cast, schedule, trace, failure, .. } = &shrunk.report;
    let failure = failure.clone().unwrap_or_else(|| Failure {
        invariant: "not-repeatable",
        detail: "the run did not fail again: that is a bug of the simulator".to_owned(),
        at: 0,
    });
    FailureReport {
        seed: *seed,
        cast: cast.to_string(),
        outside_the_fault_model: cast.outside_the_fault_model,
        commit: option_env!("CONSENSUSCTL_COMMIT").unwrap_or("unknown"),
        invariant: failure.invariant,
        detail: failure.detail,
        at_us: failure.at,
        replay: shrunk.options.command(protocol),
        faults_before: shrunk.faults_before,
        faults: schedule.iter().map(ToString::to_string).collect(),
        trace: trace.iter().map(ToString::to_string).collect(),
    }
}

fn print(out: &mut Output, summary: &Summary<'_>) -> CliResult {
    if out.is_json() {
        return out.document(summary);
    }
    if let Some(failure) = &summary.failure {
        out.line(&format!(
            "the last steps of seed {} ({}), with {} of its {}:",
            failure.seed,
            failure.cast,
            failure.faults.len(),
            counted(failure.faults_before as u64, "fault", "faults")
        ))?;
        for line in &failure.trace {
            out.line(line)?;
        }
        out.line("\nthe faults that it takes:")?;
        for fault in &failure.faults {
            out.line(&format!("  {fault}"))?;
        }
        out.line(&format!(
            "\nat {:.6} s: {}: {}",
            failure.at_us as f64 / 1e6,
            failure.invariant,
            failure.detail
        ))?;
        out.line(&format!("\nat commit {}; repeat it with:\n  {}\n", failure.commit, failure.replay))?;
    }
    let stats = summary.stats;
    let mut rows = vec![
        vec!["runs".to_owned(), summary.runs.to_string()],
        vec!["simulated hours".to_owned(), format!("{:.2}", summary.simulated_hours)],
    ];
    let counts = [
        ("elections", stats.elections),
        ("crashes", stats.crashes),
        ("  between two effects", stats.crashes_between_effects),
        ("restarts", stats.restarts),
        ("torn writes", stats.torn_writes),
        ("lost writes", stats.lost_writes),
        ("damaged disks detected", stats.rot_detected),
        ("messages", stats.messages),
        ("  lost", stats.messages_lost),
        ("  duplicated", stats.messages_duplicated),
        ("  delayed", stats.messages_delayed),
        ("  reordered", stats.messages_reordered),
        ("  lies refused", stats.lies_refused),
        ("snapshots", stats.snapshots),
        ("  installed", stats.installs),
        ("client operations", stats.operations),
        ("  answered", stats.answered),
        ("  refused", stats.refused),
        ("  unknown", stats.unknown),
        ("  retries", stats.retries),
        ("digests compared", stats.digests_compared),
    ];
    rows.extend(counts.map(|(what, count)| vec![what.to_owned(), count.to_string()]));
    rows.extend(
        summary
            .violations
            .iter()
            .map(|(name, count)| vec![format!("violations of {name}"), count.to_string()]),
    );
    rows.push(vec!["faults injected".to_owned(), stats.injected.values().sum::<u64>().to_string()]);
    rows.extend(stats.injected.iter().map(|(fault, count)| vec![format!("  {fault}"), count.to_string()]));
    out.table(&["what", "count"], rows)?;
    out.line(&format!(
        "\n{} in {:.1} s on {}: {:.0} times real time",
        counted(summary.runs, "run", "runs"),
        summary.real_seconds,
        counted(summary.jobs as u64, "thread", "threads"),
        summary.factor
    ))
}
