//! The only place that prints: facts to standard output, talk to standard error.
//!
//! Facts are what a command was asked for. With `--output json` they are one JSON document, or one object a line where
//! a command streams; else tables and lines for people. Talk is progress, warnings and errors; it never mixes with
//! facts, so that `consensusctl … | jq` works while a person still sees what goes on.

use std::env;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{ContentArrangement, Table, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

use super::{CliError, CliResult};

/// How facts are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Tables and lines for people.
    #[default]
    Table,
    /// One JSON document, or one object a line for streams.
    Json,
}

/// Where a command's facts and talk go.
pub struct Output {
    format: Format,
    facts: Box<dyn Write + Send>,
    talk: Box<dyn Write + Send>,
    /// Whether standard error is a terminal, so that progress may move and labels may have colour.
    live: bool,
    colour: bool,
}

impl Output {
    /// Prints to the process's own streams.
    pub fn new(format: Format) -> Self {
        let live = io::stderr().is_terminal();
        let plain = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            format,
            facts: Box::new(io::stdout()),
            talk: Box::new(io::stderr()),
            live,
            colour: live && !plain,
        }
    }

    /// Prints to writers of the caller's choice, without colour or moving progress.
    pub fn to(format: Format, facts: Box<dyn Write + Send>, talk: Box<dyn Write + Send>) -> Self {
        Self { format, facts, talk, live: false, colour: false }
    }

    /// Whether facts are wanted as JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a line of text, in either format: for commands whose JSON is handled elsewhere.
    pub fn line(&mut self, text: &str) -> CliResult {
        writeln!(self.facts, "{text}")?;
        Ok(self.facts.flush()?)
    }

    /// Prints bytes as they are, as for the value of a key.
    pub fn raw(&mut self, bytes: &[u8]) -> CliResult {
        self.facts.write_all(bytes)?;
        Ok(self.facts.flush()?)
    }

    /// Prints one JSON document, indented.
    pub fn document(&mut self, value: &impl Serialize) -> CliResult {
        let text = serde_json::to_string_pretty(value).map_err(not_json)?;
        self.line(&text)
    }

    /// Prints one JSON object as a line of a stream.
    pub fn object(&mut self, value: &impl Serialize) -> CliResult {
        let text = serde_json::to_string(value).map_err(not_json)?;
        self.line(&text)
    }

    /// Prints a table: a header line and rows, columns aligned by spaces so that `awk` and eyes both can read it.
    pub fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) -> CliResult {
        self.line(&render_table(header, rows))
    }

    /// Replaces what the terminal shows by `text`; without a terminal, prints it after an empty line.
    pub fn refresh(&mut self, text: &str) -> CliResult {
        if io::stdout().is_terminal() {
            // Home, print, then clear what is left of an older, longer screen.
            write!(self.facts, "\x1b[H\x1b[2J")?;
        }
        self.line(text)
    }

    /// Says something that is not a fact: what is going on, what was done.
    pub fn note(&mut self, text: &str) {
        // Where standard error is gone there is nobody to tell.
        let _ = writeln!(self.talk, "{text}");
    }

    /// Warns.
    pub fn warn(&mut self, text: &str) {
        let label = self.label("warning", "33");
        let _ = writeln!(self.talk, "{label} {text}");
    }

    /// Prints an error and its hint.
    pub fn error(&mut self, error: &CliError) {
        if error.is_silent() {
            return;
        }
        let label = self.label("error", "31");
        let _ = writeln!(self.talk, "{label} {}", error.message);
        if let Some(hint) = &error.hint {
            let label = self.label("hint", "36");
            let _ = writeln!(self.talk, "{label} {hint}");
        }
    }

    fn label(&self, word: &str, colour: &str) -> String {
        if self.colour { format!("\x1b[1;{colour}m{word}:\x1b[0m") } else { format!("{word}:") }
    }

    /// A line that moves while something takes time. Shown only on a terminal, gone when dropped or finished.
    pub fn spinner(&self, text: &str) -> ProgressBar {
        let bar = ProgressBar::new_spinner().with_message(text.to_owned());
        bar.set_draw_target(self.progress_target());
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }

    /// A bar of `length` steps. Shown only on a terminal.
    pub fn progress(&self, length: u64, text: &str) -> ProgressBar {
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(length).with_message(text.to_owned()).with_style(style);
        bar.set_draw_target(self.progress_target());
        bar
    }

    fn progress_target(&self) -> ProgressDrawTarget {
        if self.live { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
    }
}

/// Draws a table without printing it.
pub fn render_table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|title| title.to_uppercase()));
    table.add_rows(rows);
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn not_json(error: serde_json::Error) -> CliError {
    CliError::failed(format!("cannot write the output as JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cli::Exit;

    /// A writer whose content the test can read afterwards.
    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Shared {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    fn output(format: Format) -> (Output, Shared, Shared) {
        let (facts, talk) = (Shared::default(), Shared::default());
        (Output::to(format, Box::new(facts.clone()), Box::new(talk.clone())), facts, talk)
    }

    #[test]
    fn facts_and_talk_do_not_mix() {
        let (mut output, facts, talk) = output(Format::Json);
        output.object(&serde_json::json!({"id": 1})).unwrap();
        output.note("starting");
        output.error(&CliError::failed("no leader").hint("wait"));
        assert_eq!(facts.text(), "{\"id\":1}\n");
        assert_eq!(talk.text(), "starting\nerror: no leader\nhint: wait\n");
    }

    #[test]
    fn tables_have_no_frames_and_no_trailing_blanks() {
        let text = render_table(&["id", "address"], vec![vec!["1".into(), "127.0.0.1:5001".into()]]);
        assert_eq!(text, "ID  ADDRESS\n1   127.0.0.1:5001");
    }

    #[test]
    fn a_closed_pipe_ends_the_command_silently() {
        let error = CliError::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(error.is_silent());
        assert_eq!(error.exit, Exit::Done);
        let (mut output, _, talk) = output(Format::Table);
        output.error(&error);
        assert_eq!(talk.text(), "");
    }
}
