//! `logs`: what nodes and the supervisor have logged.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;

use super::fault::targets;
use super::{CliError, CliResult, Context, interrupted};
use crate::cluster::{Cluster, Target};
use crate::config::ClusterConfig;

/// How often files are looked at for new lines.
const POLL: Duration = Duration::from_millis(100);
/// How much of a file's end is searched for its last lines.
const TAIL_BYTES: u64 = 4 << 20;

/// Arguments of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  consensusctl logs leader
  consensusctl logs 2,3 --lines 200
  consensusctl logs --follow
  consensusctl logs supervisor
  consensusctl logs --file node-1.log --file node-2.log

The lines of several logs are merged in order of time. With --follow, those that come later are merged as they are
read, ten times a second.")]
pub struct LogsArgs {
    /// Whose: ids, `leader` or `primary`, `follower` or `backup`, `all`, comma lists, or `supervisor` [default: all]
    #[arg(value_name = "TARGET")]
    target: Option<String>,
    /// Log files in place of a cluster's, as of nodes that were started with `node`; several times for several
    #[arg(long = "file", value_name = "FILE", conflicts_with = "target")]
    files: Vec<PathBuf>,
    /// Go on with what is logged, until Ctrl-C
    #[arg(long, short)]
    follow: bool,
    /// How many of the last lines of each
    #[arg(long, short = 'n', value_name = "N", default_value_t = 50)]
    lines: usize,
}

pub(super) async fn run(context: &mut Context<'_>, args: LogsArgs) -> CliResult {
    let mut logs = match args.files.as_slice() {
        [] => logs_of(context, args.target.as_deref().unwrap_or("all")).await?,
        files => files.iter().map(|file| of_file(file)).collect::<CliResult<_>>()?,
    };
    let several = logs.len() > 1;
    for (name, line) in by_time(&mut logs, |log| log.tail(args.lines))? {
        show(context, &name, &line, several)?;
    }
    if !args.follow {
        return Ok(());
    }
    let follow = async {
        loop {
            for (name, line) in by_time(&mut logs, Log::read_on)? {
                show(context, &name, &line, several)?;
            }
            // With nobody left to read, the next line may be far away.
            if context.out.is_closed() {
                return Err(CliError::closed());
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        ended = follow => ended,
        () = interrupted()? => Ok(()),
    }
}

/// The logs of a target. By id they can be read of a cluster that is down; by role only of one that runs.
async fn logs_of(context: &mut Context<'_>, target: &str) -> CliResult<Vec<Log>> {
    let dir = context.dir()?;
    if target == "supervisor" {
        return Ok(vec![Log::new("supervisor".to_owned(), dir.supervisor_log())]);
    }
    let wanted = targets(target).map_err(|why| CliError::usage(format!("{why}; or `supervisor`")))?;
    let config = ClusterConfig::load(&dir.config())?;
    let mut ids: Vec<u64> = config.members.iter().map(|member| member.id).collect();
    if wanted != [Target::All] {
        let all = ids.clone();
        ids = wanted
            .iter()
            .filter_map(|target| if let Target::Id(id) = target { Some(*id) } else { None })
            .collect();
        if let Some(id) = ids.iter().find(|id| !all.contains(id)) {
            let all: Vec<String> = all.iter().map(ToString::to_string).collect();
            return Err(CliError::usage(format!("there is no node {id}")).hint(format!(
                "the nodes are {}; also `leader`, `follower`, `all`, `supervisor`",
                all.join(", ")
            )));
        }
        if wanted.iter().any(|target| target.is_role()) {
            ids = Cluster::open(dir.clone()).await?.resolve(&wanted).await?.into_iter().collect();
        }
    }
    // Tasks share the supervisor's log.
    let logs: Vec<Log> = ids.iter().map(|id| Log::new(format!("node-{id}"), dir.node_log(*id))).collect();
    if logs.iter().any(|log| log.path.exists()) {
        return Ok(logs);
    }
    Ok(vec![Log::new("supervisor".to_owned(), dir.supervisor_log())])
}

/// A log that is named by its file, which must be there.
fn of_file(path: &Path) -> CliResult<Log> {
    if !path.is_file() {
        return Err(CliError::usage(format!("{} is no file", path.display()))
            .hint("nodes that were started with `node` log to standard error: send it into a file"));
    }
    let name = path.file_stem().unwrap_or(path.as_os_str());
    Ok(Log::new(name.to_string_lossy().into_owned(), path.to_owned()))
}

/// What is read from each log, in order of time, each line with its log's name. A line without a time belongs to the one
/// before it.
fn by_time(
    logs: &mut [Log],
    mut read: impl FnMut(&mut Log) -> CliResult<Vec<String>>,
) -> CliResult<Vec<(String, String)>> {
    let mut lines = Vec::new();
    for log in logs {
        let mut at = None;
        for line in read(log)? {
            at = time_of(&line).or(at);
            lines.push((at, (log.name.clone(), line)));
        }
    }
    // Stable: lines of one time, and of one log, stay in their order.
    lines.sort_by_key(|(at, _)| *at);
    Ok(lines.into_iter().map(|(_, line)| line).collect())
}

/// When a line was logged.
fn time_of(line: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(line.split_whitespace().next()?).ok()
}

fn show(context: &mut Context<'_>, name: &str, line: &str, several: bool) -> CliResult {
    if context.out.is_json() {
        return context.out.object(&serde_json::json!({"log": name, "line": line}));
    }
    if several { context.out.line(&format!("{name} | {line}")) } else { context.out.line(line) }
}

/// A log file, and how far it was read.
struct Log {
    name: String,
    path: PathBuf,
    at: u64,
}

impl Log {
    fn new(name: String, path: PathBuf) -> Self {
        Self { name, path, at: 0 }
    }

    /// The last `count` lines.
    fn tail(&mut self, count: usize) -> CliResult<Vec<String>> {
        let length = std::fs::metadata(&self.path).map_or(0, |meta| meta.len());
        self.at = length.saturating_sub(TAIL_BYTES);
        let mut lines = self.read_on()?;
        Ok(lines.split_off(lines.len().saturating_sub(count)))
    }

    /// The complete lines since the last look.
    fn read_on(&mut self) -> CliResult<Vec<String>> {
        let text = read_from(&self.path, &mut self.at);
        let text =
            text.map_err(|error| CliError::failed(format!("cannot read {}: {error}", self.path.display())))?;
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        self.at += end as u64;
        Ok(String::from_utf8_lossy(&text[..end]).lines().map(str::to_owned).collect())
    }
}

/// What a file has behind `at`; from its beginning if it was replaced by a shorter one. A file that is not there yet
/// has nothing.
fn read_from(path: &Path, at: &mut u64) -> io::Result<Vec<u8>> {
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        file => file?,
    };
    if file.metadata()?.len() < *at {
        *at = 0;
    }
    file.seek(SeekFrom::Start(*at))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_complete_lines_are_shown_and_each_once() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("log");
        let mut log = Log::new("node-1".to_owned(), path.clone());
        assert!(log.tail(10).unwrap().is_empty(), "a log that is not there yet has no lines");
        fs::write(&path, "one\ntwo\nthr").unwrap();
        assert_eq!(log.tail(1).unwrap(), ["two"]);
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        assert_eq!(log.read_on().unwrap(), ["three"]);
        fs::write(&path, "new\n").unwrap();
        assert_eq!(log.read_on().unwrap(), ["new"], "a file that was replaced is read from its beginning");
    }

    #[test]
    fn the_lines_of_several_logs_are_merged_in_order_of_time() {
        let temp = tempfile::tempdir().unwrap();
        let log = |name: &str, text: &str| {
            let path = temp.path().join(name);
            fs::write(&path, text).unwrap();
            Log::new(name.to_owned(), path)
        };
        let mut logs = [
            log("node-1", "2026-01-01T00:00:01.000001Z a\n  of a\n2026-01-01T00:00:03.000000Z c\n"),
            log("node-2", "2026-01-01T00:00:02.000000Z b\n2026-01-01T00:00:03.000000Z d\n"),
        ];
        let merged = by_time(&mut logs, |log| log.tail(10)).unwrap();
        let shown: Vec<(&str, &str)> =
            merged.iter().map(|(name, line)| (name.as_str(), line.rsplit('Z').next().unwrap())).collect();
        let expected =
            [("node-1", " a"), ("node-1", "  of a"), ("node-2", " b"), ("node-1", " c"), ("node-2", " d")];
        assert_eq!(shown, expected);
        assert!(by_time(&mut logs, Log::read_on).unwrap().is_empty(), "each line is shown once");
    }
}
