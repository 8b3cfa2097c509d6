//! The command line: one file a subcommand.
//!
//! Facts go to standard output and talk to standard error, through [`Output`] alone. A command returns a [`CliError`]
//! that says what went wrong, where, and what to do next, with the exit code that scripts rely on ([`Exit`]).

<<<<<<< HEAD
pub mod check;
mod error;
mod exit;
=======
mod error;
mod exit;
pub mod kv;
>>>>>>> api
mod output;

pub use error::{CliError, CliResult};
pub use exit::Exit;
pub use output::{Format, Output, render_table};
