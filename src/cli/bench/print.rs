//! How measurements are printed.

use serde::Serialize;

use super::args::{Chosen, Where};
use crate::bench::{
    Api, Costs, Errors, Fault, Latency, Load, Measurement, Ratio, Spread, Summary, ratios, summarize,
};
use crate::cli::{CliError, CliResult, Output};
use crate::text::counted;

/// All that there is to tell.
#[derive(Debug, Serialize)]
pub(super) struct Results<'a> {
    load: &'a Load,
    concurrency: &'a [usize],
    rounds: u32,
    machine: Machine,
    /// Whether it ended before all was measured.
    interrupted: bool,
    measurements: &'a [Measurement],
    summary: Vec<Summary>,
    ratios: Vec<Ratio>,
    #[serde(skip)]
    planned: usize,
}

/// Where it was measured. What kind of disk there is cannot be known from here.
#[derive(Debug, Serialize)]
struct Machine {
    os: &'static str,
    arch: &'static str,
    cores: usize,
    build: &'static str,
}

impl Machine {
    fn this() -> Self {
        Self {
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            build: if cfg!(debug_assertions) { "debug" } else { "release" },
        }
    }
}

impl<'a> Results<'a> {
    pub(super) fn of(chosen: &'a Chosen, measurements: &'a [Measurement], interrupted: bool) -> Self {
        let each = match &chosen.site {
            Where::Own(own) => own.protocols.len() * own.faults.len(),
            Where::Endpoints(_) | Where::Running => 1,
        };
        Self {
            load: &chosen.load,
            concurrency: &chosen.concurrency,
            rounds: chosen.rounds,
            machine: Machine::this(),
            interrupted,
            measurements,
            summary: summarize(measurements),
            ratios: ratios(measurements),
            planned: each * chosen.measurements(),
        }
    }

    pub(super) fn summary(&self) -> &[Summary] {
        &self.summary
    }

    /// What was measured, in a line.
    pub(super) fn title(&self) -> String {
        let Load { operation, api, serializable, value_size, .. } = self.load;
        let kind = if *serializable { "serializable " } else { "" };
        let how = match api {
            Api::Etcd => "etcd API",
            Api::Client => "the protocol's client",
        };
        format!("{kind}{}, {value_size}-byte values, {how}", operation.name())
    }

    pub(super) fn print(&self, out: &mut Output) -> CliResult {
        if out.is_json() {
            return out.document(self);
        }
        let Load { connections, seconds, warm_up_seconds, keys, .. } = self.load;
        let Machine { os, arch, cores, build } = &self.machine;
        out.line(&format!(
            "{}; {}, {}, {} x {seconds} s after {warm_up_seconds} s; {build} build on {os}/{arch} with {}\n",
            self.title(),
            counted(*keys, "key", "keys"),
            counted(*connections as u64, "connection", "connections"),
            self.rounds,
            counted(*cores as u64, "core", "cores")
        ))?;
        if self.rounds > 1 {
            out.line("of all rounds the median (latencies in ms; of the longest the longest)")?;
        }
        out.table(SUMMARY, self.summary.iter().map(summary_row).collect())?;
        out.line("\nwhat a command costs all nodes together")?;
        out.table(COSTS, self.summary.iter().map(costs_row).collect())?;
        if !self.ratios.is_empty() {
            out.line("\nratios within each round: median (least to most)")?;
            out.table(RATIOS, self.ratios.iter().map(ratio_row).collect())?;
        }
        self.print_errors(out)
    }

    fn print_errors(&self, out: &mut Output) -> CliResult {
        for one in self.summary.iter().filter(|one| one.errors.total() > 0) {
            let Errors { refused, unknown, unreachable, first } = &one.errors;
            out.line(&format!(
                "\n{} with {}, fault {}: {refused} refused, {unknown} unknown, {unreachable} reached no node; \
                 the first: {}",
                one.protocol,
                counted(one.concurrency as u64, "caller", "callers"),
                one.fault,
                first.as_deref().unwrap_or_default()
            ))?;
        }
        Ok(())
    }

    /// What it comes to for whoever called: an error if it ended early, or if nobody was answered, or few were.
    pub(super) fn verdict(&self) -> CliResult {
        if let Some(idle) = self.measurements.iter().find(|one| one.figures.commands == 0)
            && !self.interrupted
        {
            let Errors { unreachable, first, .. } = &idle.figures.errors;
            let why =
                first.as_deref().unwrap_or("no call ended within the time; measure longer with --seconds");
            let message = format!("{}: no command was answered: {why}", idle.protocol);
            let all_unreached = *unreachable > 0 && *unreachable == idle.figures.errors.total();
            return Err(if all_unreached {
                CliError::unreachable(message)
            } else {
                CliError::failed(message)
            });
        }
        if self.interrupted {
            let (done, planned) = (self.measurements.len(), self.planned);
            return Err(CliError::failed(format!(
                "interrupted: {done} of {planned} measurements, the last one cut short; nothing is left running"
            )));
        }
        let failed = |one: &&Measurement| one.figures.errors.total() > one.figures.commands;
        if let Some(one) = self.measurements.iter().find(failed) {
            let (protocol, errors, answered) =
                (&one.protocol, one.figures.errors.total(), one.figures.commands);
            return Err(CliError::failed(format!(
                "{protocol}: more commands failed ({errors}) than were answered ({answered}): the figures say little"
            )));
        }
        Ok(())
    }
}

const SUMMARY: &[&str] = &[
    "protocol",
    "nodes",
    "down",
    "callers",
    "commands/s",
    "least",
    "most",
    "errors",
    "p50 ms",
    "p90",
    "p99",
    "p99.9",
    "max",
];
const COSTS: &[&str] = &[
    "protocol",
    "down",
    "callers",
    "messages",
    "message bytes",
    "signatures",
    "verifications",
    "fsyncs",
    "log bytes",
];
const RATIOS: &[&str] = &["protocols", "down", "callers", "commands/s", "p50", "p99"];

/// One measurement in a line, for whoever waits for the others.
pub(super) fn line(one: &Measurement) -> String {
    let Measurement { protocol, fault, concurrency, round, figures, .. } = one;
    let Latency { p50, p99, .. } = figures.latency_ms;
    format!(
        "round {round}: {protocol}, down: {fault}, callers: {concurrency}: {:.0} commands/s, p50 {p50:.2} ms, p99 \
         {p99:.2} ms, {}",
        figures.per_second,
        counted(figures.errors.total(), "error", "errors")
    )
}

fn latencies(latency: &Latency) -> Vec<String> {
    let Latency { p50, p90, p99, p99_9, max } = *latency;
    [p50, p90, p99, p99_9, max].map(|ms| format!("{ms:.2}")).to_vec()
}

fn summary_row(one: &Summary) -> Vec<String> {
    let Spread { min, median, max } = one.per_second;
    let mut row = vec![
        one.protocol.clone(),
        one.nodes.to_string(),
        one.fault.to_string(),
        one.concurrency.to_string(),
        format!("{median:.0}"),
        format!("{min:.0}"),
        format!("{max:.0}"),
        one.errors.total().to_string(),
    ];
    row.extend(latencies(&one.latency_ms));
    row
}

fn costs_row(one: &Summary) -> Vec<String> {
    let fault: Fault = one.fault;
    let mut row = vec![one.protocol.clone(), fault.to_string(), one.concurrency.to_string()];
    let Some(costs) = one.per_command else {
        row.extend(["-"; 6].map(str::to_owned));
        return row;
    };
    let Costs { messages, message_bytes, signatures, verifications, fsyncs, wal_bytes } = costs;
    row.extend([messages].map(small));
    row.push(format!("{message_bytes:.0}"));
    row.extend([signatures, verifications, fsyncs].map(small));
    row.push(format!("{wal_bytes:.0}"));
    row
}

/// Of what is often below one, three digits behind the point say enough.
fn small(figure: f64) -> String {
    format!("{figure:.3}")
}

fn ratio_row(one: &Ratio) -> Vec<String> {
    let spread = |spread: Spread| format!("{:.2} ({:.2} to {:.2})", spread.median, spread.min, spread.max);
    vec![
        format!("{} / {}", one.protocol, one.to),
        one.fault.to_string(),
        one.concurrency.to_string(),
        spread(one.per_second),
        spread(one.p50),
        spread(one.p99),
    ]
}
