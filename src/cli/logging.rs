//! Logs: `tracing` events as lines with a timestamp, on standard error or in a file.
//!
//! A filter that asks for everything asks for what this program does, not for each frame that its HTTP library reads:
//! that is shown only to who names the library.

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

/// Libraries whose events tell of bytes and frames.
const LIBRARIES: [&str; 6] = ["h2", "hyper", "hyper_util", "tower", "tonic", "axum"];

/// A filter with the libraries held down that it does not name, where it asks for everything from a low level on.
fn held_down(filter: &str) -> String {
    let directives: Vec<&str> = filter.split(',').map(str::trim).collect();
    let low = |directive: &&str| matches!(&*directive.to_ascii_lowercase(), "debug" | "trace" | "4" | "5");
    let mut held = filter.to_owned();
    if directives.iter().any(low) {
        let named = |library: &str| directives.iter().any(|directive| target_of(directive) == library);
        for library in LIBRARIES.into_iter().filter(|library| !named(library)) {
            held.extend([",", library, "=info"]);
        }
    }
    held
}

/// The crate that a directive is about, as `h2` of `h2::codec=trace`.
fn target_of(directive: &str) -> &str {
    directive.split(['=', ':', '[']).next().unwrap_or_default()
}

fn parse(filter: &str) -> CliResult<EnvFilter> {
    EnvFilter::try_new(held_down(filter)).map_err(|error| {
        CliError::usage(format!("`{filter}` is no log filter: {error}"))
            .hint("as in --log debug or --log info,consensusctl::storage=debug")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_held_down_unless_they_are_named() {
        assert_eq!(held_down("info"), "info");
        assert_eq!(held_down("consensusctl::storage=trace"), "consensusctl::storage=trace");
        assert_eq!(
            held_down("debug"),
            "debug,h2=info,hyper=info,hyper_util=info,tower=info,tonic=info,axum=info"
        );
        let named = held_down("TRACE, h2::codec=trace");
        assert!(!named.contains("h2=info") && named.contains(",hyper=info"), "{named}");
        for filter in ["info", "debug", "trace,h2=trace"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
        assert!(parse("consensusctl=loud").unwrap_err().message.contains("no log filter"));
    }
}
