//! Logs: `tracing` events as lines with a timestamp, on standard error or in a file.

use std::env;
use std::fmt::Display;
use std::fs::File;
use std::io;

use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::EnvFilter;

use super::{CliError, CliResult};

/// Refuses a filter that makes no sense, before anything is begun.
pub(super) fn check(filter: Option<&str>) -> CliResult {
    filter.map_or(Ok(()), |filter| parse(filter).map(drop))
}

fn parse(filter: &str) -> CliResult<EnvFilter> {
    EnvFilter::try_new(filter).map_err(|error| {
        CliError::usage(format!("`{filter}` is no log filter: {error}"))
            .hint("as in --log debug or --log info,consensusctl::wal=debug")
    })
}

/// Begins to log, to `file` or else to standard error: what `flag` says, else `RUST_LOG`, else `default`.
///
/// A thread of its own writes the lines, so that a disk that stalls under the log file does not stall the protocol. The
/// lines that are left are written when what is returned is dropped.
pub(super) fn start(flag: Option<&str>, default: &str, file: Option<File>) -> CliResult<WorkerGuard> {
    let filter = filter(flag, default)?;
    let (writer, guard) = match file {
        Some(file) => NonBlocking::new(file),
        None => NonBlocking::new(io::stderr()),
    };
    let builder = tracing_subscriber::fmt().compact().with_ansi(false).with_env_filter(filter);
    begun(builder.with_writer(writer).try_init(), guard)
}

/// Begins to log as [`start`] does, for somebody who reads it at once: lines on standard error, without time and place.
pub(super) fn start_plain(flag: Option<&str>, default: &str) -> CliResult<WorkerGuard> {
    let filter = filter(flag, default)?;
    let (writer, guard) = NonBlocking::new(io::stderr());
    let builder = tracing_subscriber::fmt().compact().with_ansi(false).with_env_filter(filter);
    begun(builder.without_time().with_target(false).with_writer(writer).try_init(), guard)
}

fn filter(flag: Option<&str>, default: &str) -> CliResult<EnvFilter> {
    let environment = env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    parse(flag.or(environment.as_deref()).unwrap_or(default))
}

fn begun<E: Display>(started: Result<(), E>, guard: WorkerGuard) -> CliResult<WorkerGuard> {
    started.map_err(|error| CliError::failed(format!("cannot log: {error}")))?;
    Ok(guard)
}
