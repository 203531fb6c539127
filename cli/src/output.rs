//! Where results and diagnostics go, and in which form.

use std::fmt::Display;
use std::io::{self, Write};

use clap::ValueEnum;
use comfy_table::{Table, presets};
use serde_json::Value;

use crate::error::Error;

/// Form of the results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Lines and tables for people.
    Table,
    /// One JSON document.
    Json,
}

/// The two streams of a command: results, and what is said about them.
pub(crate) struct Output<'a> {
    format: Format,
    out: &'a mut dyn Write,
    err: &'a mut dyn Write,
    /// Whether a terminal shows the results.
    terminal: bool,
}

impl<'a> Output<'a> {
    pub(crate) fn new(format: Format, out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { format, out, err, terminal: false }
    }

    /// The same, whose results a terminal shows.
    pub(crate) fn on_terminal(self, terminal: bool) -> Self {
        Self { terminal, ..self }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.format == Format::Json
    }

    /// Writes the one document of `-o json`.
    pub(crate) fn document(&mut self, document: &Value) -> Result<(), Error> {
        let text = json_printable(&format!("{document:#}"));
        done(writeln!(self.out, "{text}").and_then(|()| self.out.flush()))
    }

    /// Writes lines of result, at once: what comes next may take a while.
    pub(crate) fn lines(&mut self, lines: impl Display) -> Result<(), Error> {
        done(writeln!(self.out, "{lines}").and_then(|()| self.out.flush()))
    }

    /// Writes a part of the result as it is, and returns whether anybody still reads.
    pub(crate) fn part(&mut self, part: &[u8]) -> Result<bool, Error> {
        match self.out.write_all(part).and_then(|()| self.out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            written => written.map(|()| true).map_err(Error::from),
        }
    }

    /// The same for what others have written: as it is, unless a terminal shows it.
    pub(crate) fn foreign(&mut self, part: &[u8]) -> Result<bool, Error> {
        match self.terminal {
            true => self.part(json_printable(&String::from_utf8_lossy(part)).as_bytes()),
            false => self.part(part),
        }
    }

    /// Says how far something has got, in place of what was said before; nothing of it
    /// stays.
    pub(crate) fn progress(&mut self, what: impl Display) {
        let _ = write!(self.err, "\r\u{1b}[K{what}").and_then(|()| self.err.flush());
    }

    /// Says something about the result. A diagnostic that cannot be written
    /// is not worth failing for.
    pub(crate) fn note(&mut self, note: impl Display) {
        let _ = writeln!(self.err, "{note}");
    }

    /// Says something to people only: with `-o json`, stderr has nothing but one document.
    pub(crate) fn aside(&mut self, note: impl Display) {
        if !self.is_json() {
            self.note(note);
        }
    }

    /// Asks something; the answer comes on the same line.
    pub(crate) fn ask(&mut self, question: impl Display) {
        let _ = write!(self.err, "{question}").and_then(|()| self.err.flush());
    }

    /// Reports what went wrong.
    pub(crate) fn error(&mut self, error: &Error) {
        match self.format {
            Format::Json => self.note(json_printable(&format!("{:#}", error.to_json()))),
            Format::Table => {
                self.note(format_args!("kya: {}", printable(&error.to_string())));
                for line in error.details() {
                    self.note(format_args!("  {}", printable(line)));
                }
                if let Some(hint) = error.hint() {
                    self.note(format_args!("hint: {hint}"));
                }
            }
        }
    }
}

/// A reader that has seen enough (`kya agent list | head`) is no failure.
fn done(written: io::Result<()>) -> Result<(), Error> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A table with these columns. It has no lines, so that it can be cut and
/// searched, and is as wide as its content.
pub(crate) fn table<const N: usize>(columns: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut table = Table::new();
    table.set_header(columns);
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    without_lines(table)
}

/// Names and values, one pair a line.
pub(crate) fn record<const N: usize>(fields: [(&str, String); N]) -> String {
    let mut table = Table::new();
    for (name, value) in fields {
        table.add_row([name.to_owned(), printable(&value)]);
    }
    without_lines(table)
}

/// What is shown for a value that is not there.
pub(crate) fn or_dash(value: Option<impl Display>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Names come from whoever registered them: a control character could rewrite
/// the terminal that shows them, so it is shown as its escape.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() || is_invisible_mark(character) {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// JSON that a terminal may show: the same document, with such characters written as JSON
/// escapes them. Lines stay lines.
pub(crate) fn json_printable(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        let harmless = character == '\n' || character == '\t';
        if harmless || !(character.is_control() || is_invisible_mark(character)) {
            shown.push(character);
        } else {
            shown.push_str(&format!("\\u{:04x}", u32::from(character)));
        }
    }
    shown
}

/// Enough of a text to know it again.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 300;
    const SHOWN: usize = 60;
    match text.chars().count() {
        ..=MOST => text.to_owned(),
        count => {
            format!("{}… ({count} characters)", text.chars().take(SHOWN).collect::<String>())
        }
    }
}

/// Marks that reorder the text around them, or separate lines.
fn is_invisible_mark(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn without_lines(mut table: Table) -> String {
    table.load_style(presets::NOTHING);
    for column in table.column_iter_mut() {
        column.set_padding((0, 3));
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_its_columns_and_one_line_a_row() {
        let rows = vec![["a".to_owned(), "long".to_owned()], ["bcd".to_owned(), "-".to_owned()]];
        assert_eq!(table(["X", "Y"], rows), "X     Y\na     long\nbcd   -");
    }

    #[test]
    fn a_name_cannot_rewrite_the_terminal() {
        assert_eq!(printable("a\u{1b}[2Jb\r\nc"), "a\\u{1b}[2Jb\\r\\nc");
        assert_eq!(printable("\u{202e}evil"), "\\u{202e}evil");
        assert_eq!(printable("Zoë’s agent — 支払"), "Zoë’s agent — 支払");
    }

    #[test]
    fn what_others_have_written_cannot_rewrite_the_terminal() {
        let value = serde_json::json!({ "name": "a\u{9b}2Jb\u{202e}c\u{1b}]0;x\u{7}" });
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(Format::Json, &mut out, &mut err).on_terminal(true);
        output.document(&value).unwrap();
        output.foreign("\u{9b}2J\n\u{e9}".as_bytes()).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.ends_with("\\u009b2J\n\u{e9}"), "{text}");
        assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{1b}', '\u{7}']), "{text}");
        // It is the same document all the same.
        let document = text.rsplit_once("\n\\u009b").unwrap().0;
        assert_eq!(serde_json::from_str::<Value>(document).unwrap(), value);
        let mut raw = Vec::new();
        Output::new(Format::Json, &mut raw, &mut err).foreign(b"\xc2\x9b").unwrap();
        assert_eq!(raw, b"\xc2\x9b", "a file gets what is signed");
    }

    struct Full(io::ErrorKind);
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_failure_and_a_full_disk_is_one() {
        let mut out = Full(io::ErrorKind::BrokenPipe);
        assert!(Output::new(Format::Table, &mut out, &mut Vec::new()).lines("x").is_ok());
        let mut out = Full(io::ErrorKind::StorageFull);
        let error = Output::new(Format::Table, &mut out, &mut Vec::new()).lines("x").unwrap_err();
        assert_eq!(error.exit_code(), 1);
    }
}
