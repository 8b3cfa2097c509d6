//! The command line: one file a subcommand.
//!
//! Facts go to standard output and talk to standard error, through [`Output`] alone. A command returns a [`CliError`]
//! that says what went wrong, where, and what to do next, with the exit code that scripts rely on ([`Exit`]).

mod args;
mod bench;
mod byzantine;
mod check;
mod cluster;
mod context;
mod elsewhere;
mod error;
mod evidence;
mod exit;
mod fault;
mod gateway;
mod keys;
mod kv;
mod link;
mod logging;
mod logs;
mod new;
mod node;
mod output;
mod sim;
mod status;
mod supervisor;
mod test;
mod usage;
mod wal;

use std::env;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

pub use args::{Cli, Command};
pub use context::{Context, Interrupt, interrupted};
pub use error::{CliError, CliResult};
pub use evidence::Proved;
pub use exit::Exit;
pub use output::{Format, Output, Page, Span, Tone, render_table};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and usage errors; clap knows which stream they belong to.
        Err(error) => {
            if error.use_stderr() {
                return usage::refuse(&error, env::args_os()).into();
            }
            // Help that did not arrive is not done.
            return match error.print().and_then(|()| io::stdout().flush()) {
                Ok(()) => Exit::Done.into(),
                Err(error) => ended(Err(error.into()), &mut Output::new(Format::default())).into(),
            };
        }
    };
    let mut output = Output::new(cli.global.output);
    let result = run(cli, &mut output);
    ended(result, &mut output).into()
}

/// Says why a command failed, if it did, and how it ends.
fn ended(result: CliResult, output: &mut Output) -> Exit {
    match result {
        Ok(()) => Exit::Done,
        Err(error) => {
            output.error(&error);
            error.exit
        }
    }
}

fn run(cli: Cli, output: &mut Output) -> CliResult {
    let runtime = match cli.command {
        // What serves others uses all cores, and so does what asks as much as it can; what only asks does not.
        Command::Node(_)
        | Command::Gateway(_)
        | Command::Supervisor(_)
        | Command::Cluster(_)
        | Command::Bench(_) => tokio::runtime::Builder::new_multi_thread().enable_all().build(),
        _ => tokio::runtime::Builder::new_current_thread().enable_all().build(),
    };
    let runtime = runtime.map_err(|error| CliError::failed(format!("cannot start a runtime: {error}")))?;
    let ended = runtime.block_on(dispatch(cli, output));
    // Nothing that still runs (a look-up of a name, a read of standard input) is worth waiting for.
    runtime.shutdown_background();
    ended
}

/// Takes as many file descriptors as the process may have: each connection costs one, and the usual limit is that of programs
/// that have few. What this starts has as many.
fn raise_descriptor_limit() {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return };
    if soft < hard {
        // Where that is not allowed, there are fewer: see `api::server`.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}

async fn dispatch(cli: Cli, output: &mut Output) -> CliResult {
    // Who limits how large a file may become (`ulimit -f`) means a full disk and nobody's end: with the signal caught, the
    // write fails instead. It stays caught when this is dropped.
    let _ = signal(SignalKind::from_raw(Signal::SIGXFSZ as i32));
    raise_descriptor_limit();
    let mut context = Context::new(&cli.global, output)?;
    match cli.command {
        Command::Cluster(command) => cluster::run(&mut context, command).await,
        Command::Node(args) => node::run(&mut context, args).await,
        Command::Supervisor(args) => supervisor::run(&mut context, args).await,
        Command::Keys(command) => keys::run(&mut context, &command),
        Command::Kv(args) => {
            // Says it when a replica answers otherwise than is believed.
            let _log = logging::start_plain(context.log.as_deref(), "consensusctl=warn")?;
            let door = args.door(&mut context).await?;
            args.run(&door, context.out).await
        }
        Command::Gateway(args) => gateway::run(&mut context, args).await,
        Command::Status(args) => status::run(&mut context, args).await,
        Command::Evidence(command) => evidence::run(&mut context, command).await,
        Command::Wait(args) => status::wait(&mut context, args).await,
        Command::Logs(args) => logs::run(&mut context, args).await,
        Command::Kill(args) => fault::kill(&mut context, args).await,
        Command::Pause(args) => fault::pause(&mut context, args).await,
        Command::Resume(args) => fault::resume(&mut context, args).await,
        Command::Partition(args) => fault::partition(&mut context, args).await,
        Command::Link(command) => link::run(&mut context, command).await,
        Command::Disk(args) => fault::disk(&mut context, args).await,
        Command::Byzantine(command) => byzantine::run(&mut context, command).await,
        Command::Wal(command) => wal::run(&mut context, command),
        Command::Check(args) => check::run(&args, context.out),
        Command::Test(args) => test::run(&mut context, args).await,
        Command::Sim(args) => sim::run(&args, context.out),
        Command::Bench(args) => bench::run(&mut context, args).await,
    }
}
