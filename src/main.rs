//! The `consensusctl` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    consensusctl::cli::main()
}
