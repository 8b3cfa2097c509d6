//! Text for a screen: lines made of spans, each with a tone.
//!
//! Everything that depends on how much room there is (columns, wrapping, cutting) counts letters, so colour is added
//! last, when a page is printed. What is not a letter was written out when the span was made: no span moves the cursor.

use super::cell_visible;

/// How a span looks where colours may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As all text.
    Plain,
    /// All is well.
    Good,
    /// Not as it should be, but known and reversible.
    Odd,
    /// Broken.
    Bad,
    /// Less important than the rest.
    Faint,
}

impl Tone {
    const fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Odd => Some("33"),
            Self::Bad => Some("1;31"),
            Self::Faint => Some("2"),
        }
    }
}

/// Text of one tone, without line breaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    text: String,
    tone: Tone,
}

impl Span {
    /// Text of this tone.
    pub fn new(text: &str, tone: Tone) -> Self {
        Self { text: cell_visible(text).into_owned(), tone }
    }

    /// Text without a tone.
    pub fn plain(text: &str) -> Self {
        Self::new(text, Tone::Plain)
    }

    /// How many columns it takes.
    pub fn width(&self) -> usize {
        self.text.chars().count()
    }
}

/// A line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(Vec<Span>);

impl From<Span> for Line {
    fn from(span: Span) -> Self {
        Self(vec![span])
    }
}

impl Line {
    fn cut(mut self, columns: usize) -> Self {
        let mut left = columns;
        for span in &mut self.0 {
            let width = span.width();
            if width > left {
                span.text = span.text.chars().take(left).collect();
            }
            left = left.saturating_sub(width);
        }
        self
    }

    fn paint(&self, colour: bool) -> String {
        let mut painted = String::new();
        for span in self.0.iter().filter(|span| !span.text.is_empty()) {
            match span.tone.code().filter(|_| colour) {
                Some(code) => painted.extend(["\x1b[", code, "m", &span.text, "\x1b[0m"]),
                None => painted.push_str(&span.text),
            }
        }
        painted
    }
}

/// Lines.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page(Vec<Line>);

impl Page {
    /// Adds a line.
    pub fn line(&mut self, line: impl Into<Line>) {
        self.0.push(line.into());
    }

    /// Adds all lines of another page.
    pub fn append(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Adds an empty line.
    pub fn gap(&mut self) {
        self.0.push(Line::default());
    }

    /// Adds text, broken between words where a line would be longer than `columns`; later lines are indented.
    pub fn wrapped(&mut self, text: &str, tone: Tone, columns: Option<usize>) {
        let mut line = String::new();
        for word in text.split(' ') {
            let full =
                columns.is_some_and(|columns| line.chars().count() + 1 + word.chars().count() > columns);
            if full && !line.trim().is_empty() {
                self.line(Span::new(&line, tone));
                line = format!("  {word}");
            } else {
                line.push_str(if line.is_empty() { "" } else { " " });
                line.push_str(word);
            }
        }
        self.line(Span::new(&line, tone));
    }

    /// Adds a table: a header and rows, each column as wide as its widest cell, two blanks between columns.
    pub fn table(&mut self, header: &[&str], rows: Vec<Vec<Span>>) {
        let header = header.iter().map(|title| Span::plain(&title.to_uppercase())).collect();
        let rows: Vec<Vec<Span>> = std::iter::once(header).chain(rows).collect();
        let width = |column: usize| rows.iter().filter_map(|row| Some(row.get(column)?.width())).max();
        let widths: Vec<usize> = (0..rows[0].len()).map(|column| width(column).unwrap_or(0)).collect();
        for row in &rows {
            // Nothing but blanks would follow the last cell that has something.
            let shown = row.iter().rposition(|cell| cell.width() > 0).map_or(0, |last| last + 1);
            let mut line = Vec::new();
            for (cell, width) in row[..shown].iter().zip(&widths) {
                let blanks = width + 2 - cell.width();
                line.extend([cell.clone(), Span { text: " ".repeat(blanks), tone: Tone::Plain }]);
            }
            line.pop();
            self.0.push(Line(line));
        }
    }

    /// What of it fits a screen: whatever is cut off is cut off visibly.
    #[must_use]
    pub fn cut(mut self, columns: usize, rows: usize) -> Self {
        if self.0.len() > rows {
            let hidden = self.0.len() - rows.saturating_sub(1);
            self.0.truncate(rows.saturating_sub(1));
            self.line(Span::new(&format!("… {hidden} more lines"), Tone::Faint));
        }
        Self(self.0.into_iter().map(|line| line.cut(columns)).collect())
    }

    /// Its text, in colour or not.
    pub fn paint(&self, colour: bool) -> String {
        self.0.iter().map(|line| line.paint(colour)).collect::<Vec<_>>().join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_have_no_frames_and_no_trailing_blanks() {
        let row = |cells: [&str; 3]| cells.map(Span::plain).to_vec();
        let mut page = Page::default();
        page.table(
            &["id", "address", "why"],
            vec![row(["1", "127.0.0.1:5001", ""]), row(["10", "-", "lost"])],
        );
        assert_eq!(page.paint(true), "ID  ADDRESS         WHY\n1   127.0.0.1:5001\n10  -               lost");
    }

    #[test]
    fn colour_takes_no_room_and_is_left_out_on_request() {
        let mut page = Page::default();
        page.table(&["a", "b"], vec![vec![Span::new("good", Tone::Good), Span::new("x", Tone::Bad)]]);
        assert_eq!(page.paint(true), "A     B\n\x1b[32mgood\x1b[0m  \x1b[1;31mx\x1b[0m");
        assert_eq!(page.paint(false), "A     B\ngood  x");
        assert_eq!(page.cut(3, 2).paint(true), "A  \n\x1b[32mgoo\x1b[0m");
    }

    #[test]
    fn what_does_not_fit_the_screen_is_cut_off_and_said_to_be() {
        let mut page = Page::default();
        for text in ["one", "two", "three", "four"] {
            page.line(Span::plain(text));
        }
        assert_eq!(page.clone().cut(80, 4), page);
        assert_eq!(page.cut(8, 3).paint(false), "one\ntwo\n… 2 more");
    }

    #[test]
    fn text_is_broken_between_words() {
        let mut page = Page::default();
        page.wrapped("one two three verylongword", Tone::Plain, Some(9));
        page.wrapped("one two three", Tone::Plain, None);
        assert_eq!(page.paint(false), "one two\n  three\n  verylongword\none two three");
    }

    #[test]
    fn no_span_moves_the_cursor() {
        assert_eq!(Line::from(Span::plain("a\x1b[2J\nb")).paint(false), "a\\u{1b}[2J\\nb");
    }
}
