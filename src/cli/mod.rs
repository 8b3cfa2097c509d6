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
mod error;
mod evidence;
mod exit;
mod fault;
mod gateway;
mod keys;
mod kv;
mod logging;
mod logs;
mod node;
mod output;
mod sim;
mod status;
mod supervisor;
mod test;
mod wal;

use std::process::ExitCode;

use clap::Parser;

pub use args::{Cli, Command};
pub use context::{Context, Interrupt, interrupted};
pub use error::{CliError, CliResult};
pub use evidence::Proved;
pub use exit::Exit;
pub use output::{Format, Output, render_table};

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and usage errors; clap knows which stream they belong to.
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            let _ = error.print();
            return exit.into();
        }
    };
    let mut output = Output::new(cli.global.output);
    match run(cli, &mut output) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            output.error(&error);
            error.exit.into()
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

async fn dispatch(cli: Cli, output: &mut Output) -> CliResult {
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
        Command::Disk(args) => fault::disk(&mut context, args).await,
        Command::Byzantine(command) => byzantine::run(&mut context, command).await,
        Command::Wal(command) => wal::run(&mut context, command),
        Command::Check(args) => check::run(&args, context.out),
        Command::Test(args) => test::run(&mut context, args).await,
        Command::Sim(args) => sim::run(&args, context.out),
        Command::Bench(args) => bench::run(&mut context, args).await,
    }
}
