//! What a command tells its user when it cannot do what was asked.

use std::fmt;
use std::io;

use super::Exit;

/// What a command returns.
pub type CliResult<T = ()> = Result<T, CliError>;

/// An error for people: what went wrong and where, and where it helps what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CliError {
    /// What went wrong, and where. Printed behind `error: `.
    pub message: String,
    /// What to do next. Printed behind `hint: `.
    pub hint: Option<String>,
    /// The exit code of the command.
    pub exit: Exit,
}

impl CliError {
    /// An error with an exit code of its own.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, exit }
    }

    /// The command failed or was refused.
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// The command line makes no sense.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// Whether it was done is not known.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::new(Exit::Unknown, message)
    }

    /// The cluster cannot be reached.
    pub fn unreachable(message: impl Into<String>) -> Self {
        Self::new(Exit::Unreachable, message)
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Whoever read the output has seen enough (`consensusctl status | head -1`): end without a word.
    pub fn closed() -> Self {
        Self::new(Exit::Done, "")
    }

    /// Whether there is nothing to say.
    pub fn is_silent(&self) -> bool {
        self.message.is_empty()
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}

impl From<io::Error> for CliError {
    /// An error while writing to standard output; other I/O errors deserve words of their own.
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::closed();
        }
        Self::failed(format!("cannot write the output: {error}"))
    }
}
