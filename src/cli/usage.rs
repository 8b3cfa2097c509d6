//! Command lines that make no sense, told in the form of all other errors.

use std::ffi::OsString;

use clap::error::ErrorKind;

use super::{CliError, Exit, Format, Output};

/// Says what is wrong with the command line `words`: as its parser does, or where JSON is wanted, as an object.
pub(super) fn refuse(error: &clap::Error, words: impl IntoIterator<Item = OsString>) -> Exit {
    if wants_json(words) {
        Output::new(Format::Json).error(&explain(error));
    } else {
        // Where standard error is gone there is nobody to tell.
        let _ = error.print();
    }
    Exit::Usage
}

/// Whether the facts are wanted as JSON, as far as that can be read from a command line that cannot be read.
fn wants_json(words: impl IntoIterator<Item = OsString>) -> bool {
    let words: Vec<OsString> = words.into_iter().take_while(|word| word != "--").collect();
    words.iter().any(|word| word == "--output=json")
        || words.windows(2).any(|pair| pair[0] == "--output" && pair[1] == "json")
}

/// The parser's message, and as a hint what it says besides.
fn explain(error: &clap::Error) -> CliError {
    let text = error.render().to_string();
    let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    let message = if is_help {
        "a subcommand or an argument is missing".to_owned()
    } else {
        parts.next().unwrap_or_default().trim_start_matches("error: ").to_owned()
    };
    let says = |part: &String| part.starts_with("Usage: ") || part.starts_with("tip: ");
    let hints: Vec<String> = parts.filter(says).collect();
    let error = CliError::usage(message);
    if hints.is_empty() { error } else { error.hint(hints.join("; ")) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::Cli;

    fn explained(line: &str) -> (String, Option<String>) {
        let error = explain(&Cli::try_parse_from(line.split(' ')).unwrap_err());
        assert_eq!(error.exit, Exit::Usage);
        (error.message, error.hint)
    }

    #[test]
    fn the_parsers_message_is_an_error_and_its_usage_a_hint() {
        let usage = Some("Usage: consensusctl kill <TARGET>...".to_owned());
        let missing = "the following required arguments were not provided: <TARGET>...".to_owned();
        assert_eq!(explained("consensusctl kill"), (missing, usage));
        let (message, hint) = explained("consensusctl statu");
        assert_eq!(message, "unrecognized subcommand 'statu'");
        assert!(hint.unwrap().starts_with("tip: a similar subcommand exists: 'status'; Usage: "));
        let (message, hint) = explained("consensusctl cluster");
        assert_eq!(message, "a subcommand or an argument is missing");
        assert!(hint.unwrap().starts_with("Usage: consensusctl cluster"));
    }

    #[test]
    fn json_is_wanted_wherever_it_is_said() {
        let wanted = |line: &str| wants_json(line.split(' ').map(OsString::from));
        assert!(wanted("kill --output json") && wanted("--output=json kill"));
        assert!(!wanted("kill --output table") && !wanted("kv put --output -- --output json"));
    }
}
