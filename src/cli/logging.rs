//! Logs: `tracing` events as lines with a timestamp, on standard error or in a file.

use std::env;
use std::fs::File;
use std::sync::Mutex;

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
pub(super) fn start(flag: Option<&str>, default: &str, file: Option<File>) -> CliResult {
    let environment = env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let filter = parse(flag.or(environment.as_deref()).unwrap_or(default))?;
    let builder = tracing_subscriber::fmt().compact().with_ansi(false).with_env_filter(filter);
    let started = match file {
        Some(file) => builder.with_writer(Mutex::new(file)).try_init(),
        None => builder.with_writer(std::io::stderr).try_init(),
    };
    started.map_err(|error| CliError::failed(format!("cannot log: {error}")))
}
