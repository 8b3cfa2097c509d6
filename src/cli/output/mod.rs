//! The only place that prints: facts to standard output, talk to standard error.
//!
//! Facts are what a command was asked for. With `--output json` they are one JSON document, or one object a line where
//! a command streams; else tables and lines for people. Talk is progress, warnings and errors; it never mixes with
//! facts, so that `consensusctl … | jq` works while a person still sees what goes on.

mod page;

use std::borrow::Cow;
use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde::Serialize;

use super::{CliError, CliResult};

pub use page::{Page, Span, Tone};

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
    /// Whether facts go to a terminal.
    terminal: bool,
    /// Whether standard error is a terminal, so that progress may move and labels may have colour.
    live: bool,
    colour: bool,
    /// Whether the cursor of a terminal that shows facts can be moved, and whether they may have colour.
    shown: (bool, bool),
}

impl Output {
    /// Prints to the process's own streams.
    pub fn new(format: Format) -> Self {
        let (live, colour) = abilities(
            io::stderr().is_terminal(),
            env::var_os("TERM").as_deref(),
            env::var_os("NO_COLOR").as_deref(),
        );
        let shown = abilities(
            io::stdout().is_terminal(),
            env::var_os("TERM").as_deref(),
            env::var_os("NO_COLOR").as_deref(),
        );
        Self {
            format,
            facts: Box::new(io::stdout()),
            talk: Box::new(io::stderr()),
            terminal: io::stdout().is_terminal(),
            live,
            colour,
            shown,
        }
    }

    /// Prints to writers of the caller's choice, without colour or moving progress.
    pub fn to(format: Format, facts: Box<dyn Write + Send>, talk: Box<dyn Write + Send>) -> Self {
        let shown = (false, false);
        Self { format, facts, talk, terminal: false, live: false, colour: false, shown }
    }

    /// Whether facts are wanted as JSON.
    pub fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Prints a line of text, in either format: for commands whose JSON is handled elsewhere.
    pub fn line(&mut self, text: &str) -> CliResult {
        self.put(&format!("{}\n", visible(text)))
    }

    /// Prints bytes as they are, as for the value of a key; on a terminal without what would move its cursor, or worse.
    pub fn raw(&mut self, bytes: &[u8]) -> CliResult {
        if self.terminal {
            return self.put(&visible(&String::from_utf8_lossy(bytes)));
        }
        self.facts.write_all(bytes)?;
        Ok(self.facts.flush()?)
    }

    fn put(&mut self, text: &str) -> CliResult {
        self.facts.write_all(text.as_bytes())?;
        Ok(self.facts.flush()?)
    }

    /// Whether nobody reads the facts any more, as when `head` has seen enough.
    pub fn is_closed(&self) -> bool {
        let stdout = io::stdout();
        let mut polled = [PollFd::new(stdout.as_fd(), PollFlags::empty())];
        let gone = PollFlags::POLLERR | PollFlags::POLLHUP | PollFlags::POLLNVAL;
        poll(&mut polled, PollTimeout::ZERO).is_ok()
            && polled[0].revents().is_some_and(|found| found.intersects(gone))
    }

    /// Prints one JSON document, indented.
    pub fn document(&mut self, value: &impl Serialize) -> CliResult {
        let text = serde_json::to_string_pretty(value).map_err(not_json)?;
        self.put(&format!("{}\n", json_visible(&text)))
    }

    /// Prints one JSON object as a line of a stream.
    pub fn object(&mut self, value: &impl Serialize) -> CliResult {
        let text = serde_json::to_string(value).map_err(not_json)?;
        self.put(&format!("{}\n", json_visible(&text)))
    }

    /// Prints a table: a header line and rows, columns aligned by spaces so that `awk` and eyes both can read it.
    pub fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) -> CliResult {
        self.line(&render_table(header, rows))
    }

    /// Prints a page.
    pub fn page(&mut self, page: &Page) -> CliResult {
        self.put(&format!("{}\n", page.paint(self.shown.1)))
    }

    /// How many columns and rows the terminal has that shows the facts; `None` where there is none.
    pub fn screen(&self) -> Option<(usize, usize)> {
        let (rows, columns) = Term::stdout().size_checked().filter(|_| self.terminal)?;
        Some((columns.into(), rows.into()))
    }

    /// Replaces what the terminal shows by what fits of a page; without a terminal, prints the page after an empty line.
    pub fn refresh(&mut self, page: Page) -> CliResult {
        let Some((columns, rows)) = self.screen().filter(|_| self.shown.0) else {
            return self.put(&format!("\n{}\n", page.paint(false)));
        };
        // The last row stays free: a line break there would scroll the first one away.
        let text = page.cut(columns, rows.saturating_sub(1)).paint(self.shown.1);
        // Home, print, then clear what is left of an older, longer screen.
        self.put(&format!("\x1b[H\x1b[2J{text}\n"))
    }

    /// Says something that is not a fact: what is going on, what was done.
    pub fn note(&mut self, text: &str) {
        // Where standard error is gone there is nobody to tell.
        let _ = writeln!(self.talk, "{}", visible(text));
    }

    /// Warns.
    pub fn warn(&mut self, text: &str) {
        let label = self.label("warning", "33");
        let _ = writeln!(self.talk, "{label} {}", visible(text));
    }

    /// Prints an error and its hint; where JSON is wanted, as one object.
    pub fn error(&mut self, error: &CliError) {
        if error.is_silent() {
            return;
        }
        if self.is_json() {
            let object = serde_json::json!({
                "error": error.message, "hint": error.hint, "exit_code": error.exit as u8,
            });
            let _ = writeln!(self.talk, "{}", json_visible(&object.to_string()));
            return;
        }
        let label = self.label("error", "31");
        let _ = writeln!(self.talk, "{label} {}", visible(&error.message));
        if let Some(hint) = &error.hint {
            let label = self.label("hint", "36");
            let _ = writeln!(self.talk, "{label} {}", visible(hint));
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

/// Whether a terminal moves its cursor and whether it is to show colour, by the variables `TERM` and `NO_COLOR`.
fn abilities(terminal: bool, term: Option<&OsStr>, no_color: Option<&OsStr>) -> (bool, bool) {
    // One that can move no cursor shows no colour, either.
    let live = terminal && term.is_none_or(|term| term != "dumb");
    (live, live && no_color.is_none_or(OsStr::is_empty))
}

/// A text that only shows: what is no letter for eyes (controls, with which nodes and files could move the cursor, set the
/// title or answer for the user, and marks that turn the direction of writing) is written out. Lines and tabs stay.
fn visible(text: &str) -> Cow<'_, str> {
    escape(text, |c| !matches!(c, '\n' | '\t') && is_hidden(c), |c| c.escape_unicode().to_string())
}

/// The same of JSON, which knows no other escapes for them. The lower controls are escaped in it already.
fn json_visible(text: &str) -> Cow<'_, str> {
    escape(text, |c| c >= '\u{7f}' && is_hidden(c), |c| format!("\\u{:04x}", u32::from(c)))
}

/// The same of a cell of a table, which is one line.
fn cell_visible(text: &str) -> Cow<'_, str> {
    escape(text, is_hidden, |c| c.escape_default().to_string())
}

fn escape(text: &str, hidden: impl Fn(char) -> bool, written: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.chars().any(&hidden) {
        return Cow::Borrowed(text);
    }
    let write = |c| if hidden(c) { written(c) } else { String::from(c) };
    Cow::Owned(text.chars().map(write).collect())
}

fn is_hidden(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Draws a table without printing it.
pub fn render_table(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let mut page = Page::default();
    let spans = |row: Vec<String>| row.iter().map(|cell| Span::plain(cell)).collect();
    page.table(header, rows.into_iter().map(spans).collect());
    page.paint(false)
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
        assert!(talk.text().starts_with("starting\n{"), "{}", talk.text());
    }

    #[test]
    fn an_error_is_an_object_where_json_is_wanted() {
        let (mut output, facts, talk) = output(Format::Json);
        output.error(&CliError::usage("no such node").hint("they are 1, 2"));
        assert_eq!(facts.text(), "");
        let said: serde_json::Value = serde_json::from_str(&talk.text()).unwrap();
        let wanted = serde_json::json!({"error": "no such node", "hint": "they are 1, 2", "exit_code": 2});
        assert_eq!(said, wanted);
    }

    #[test]
    fn no_text_reaches_the_terminal_as_a_command_to_it() {
        let evil = "a\x1b[2J\u{9b}31m\x07\u{202e}b";
        let (mut output, facts, talk) = output(Format::Table);
        output.line(evil).unwrap();
        output.table(&["x"], vec![vec![format!("{evil}\nforged")]]).unwrap();
        output.note(evil);
        output.warn(evil);
        output.error(&CliError::failed(evil).hint(evil));
        output.terminal = true;
        output.raw(evil.as_bytes()).unwrap();
        for text in [facts.text(), talk.text()] {
            assert!(!text.chars().any(|c| c != '\n' && is_hidden(c)), "{text:?}");
            assert!(text.contains("a\\u{1b}[2J\\u{9b}31m\\u{7}\\u{202e}b"), "{text:?}");
        }
        assert!(facts.text().contains("\\nforged"), "{}", facts.text());
    }

    #[test]
    fn a_value_goes_to_a_pipe_as_it_is_and_json_stays_json() {
        let evil = "a\x1b[2J\u{9b}b";
        let (mut output, facts, _) = output(Format::Json);
        output.raw(evil.as_bytes()).unwrap();
        assert_eq!(facts.text(), evil);
        output.object(&serde_json::json!({"key": evil})).unwrap();
        let text = facts.text();
        let line = &text[evil.len()..];
        assert!(!line.trim_end().chars().any(is_hidden), "{line:?}");
        let read: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(read["key"], evil);
    }

    #[test]
    fn colour_and_movement_are_for_terminals_that_have_them_and_users_who_want_them() {
        let on = |terminal, term: &str, no_color: &str| {
            abilities(terminal, Some(OsStr::new(term)), Some(OsStr::new(no_color)))
        };
        assert_eq!(on(true, "xterm", ""), (true, true));
        assert_eq!(abilities(true, None, None), (true, true));
        assert_eq!(on(true, "xterm", "1"), (true, false));
        assert_eq!(on(true, "dumb", ""), (false, false));
        assert_eq!(on(false, "xterm", ""), (false, false));
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
