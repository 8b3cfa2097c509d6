//! `consensusctl check`: the verdict on recorded histories.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::{CliError, CliResult, Exit, Output};
use crate::check::{Explanation, History, Limits, Summary, Verdict, check};
use crate::text::counted;

/// Judge histories of a store's clients: was every reply one that a correct store can have given?
///
/// A history is a file of JSON lines, as `test` and `sim` write them; `docs/history-format.md` describes it.
///
/// Exit codes: 0 all passed, 2 a file is not a history, 3 a promise was broken, 4 a verdict was not reached in time.
///
/// Examples:
///
///   consensusctl check history.jsonl
///   consensusctl check --time 5m --output json runs/*.jsonl
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct CheckArgs {
    /// The histories.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// For how long to search, for each history, before giving up with the verdict "unknown".
    #[arg(long, default_value = "60s", value_parser = humantime::parse_duration)]
    pub time: Duration,
}

/// What is printed for each file with `--output json`, one object a line.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: String,
    verdict: &'static str,
    facts: usize,
    summary: Option<&'a Summary>,
    explanation: Option<&'a Explanation>,
    reason: Option<&'a str>,
}

/// Judges each file and prints its verdict; fails with the worst of them.
pub(super) fn run(args: &CheckArgs, out: &mut Output) -> CliResult {
    let (mut violated, mut unknown) = (0, 0);
    for file in &args.files {
        let history = read(file)?;
        let verdict = judge(&history, args.time);
        match verdict {
            Verdict::Passed(_) => {}
            Verdict::Violated(_) => violated += 1,
            Verdict::Unknown(_) => unknown += 1,
        }
        print(out, file, &history, &verdict)?;
    }
    let all = counted(args.files.len() as u64, "history", "histories");
    if violated > 0 {
        return Err(CliError::new(Exit::Violated, format!("violated: {violated} of {all}")));
    }
    if unknown > 0 {
        let message = format!("no verdict on {unknown} of {all}");
        return Err(CliError::unknown(message).hint("give it longer with --time 10m"));
    }
    Ok(())
}

fn read(file: &Path) -> CliResult<History> {
    let open = File::open(file).map_err(|error| CliError::failed(format!("{}: {error}", file.display())))?;
    History::read(BufReader::new(open)).map_err(|error| {
        CliError::usage(format!("{}: {error}", file.display()))
            .hint("docs/history-format.md describes what a history looks like")
    })
}

#[expect(clippy::disallowed_methods, reason = "the budget is the user's time, and decides nothing else")]
fn judge(history: &History, time: Duration) -> Verdict {
    let begun = Instant::now();
    check(history, &Limits { steps: u64::MAX, expired: &|| begun.elapsed() > time })
}

fn print(out: &mut Output, file: &Path, history: &History, verdict: &Verdict) -> CliResult {
    let name = file.display().to_string();
    if out.is_json() {
        let report = Report {
            file: name,
            verdict: match verdict {
                Verdict::Passed(_) => "passed",
                Verdict::Violated(_) => "violated",
                Verdict::Unknown(_) => "unknown",
            },
            facts: history.facts.len(),
            summary: if let Verdict::Passed(summary) = verdict { Some(summary) } else { None },
            explanation: if let Verdict::Violated(explanation) = verdict { Some(explanation) } else { None },
            reason: if let Verdict::Unknown(reason) = verdict { Some(reason) } else { None },
        };
        return out.object(&report);
    }
    match verdict {
        Verdict::Passed(summary) => out.line(&format!(
            "{name}: passed: {} up to revision {}, {} of unknown outcome, {} of them executed",
            counted(summary.operations as u64, "operation", "operations"),
            summary.revision,
            summary.unknown,
            summary.unknown_executed
        )),
        Verdict::Violated(explanation) => out.line(format!("{name}: violated: {explanation}").trim_end()),
        Verdict::Unknown(reason) => out.line(&format!("{name}: unknown: {reason}")),
    }
}
