//! How far a long reading has got, on a terminal.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use crate::output::Output;

/// How often it is said, and from when on.
const OFTEN: Duration = Duration::from_millis(250);

/// Counts records, and says how many now and then.
pub(super) struct Progress {
    /// Whether anybody sees it.
    seen: bool,
    said: Instant,
    written: bool,
    count: u64,
    /// How many there are in all, once that is known.
    of: Option<u64>,
}

impl Progress {
    pub(super) fn new(output: &Output<'_>) -> Self {
        let seen = !output.is_json() && io::stderr().is_terminal();
        Self { seen, said: Instant::now(), written: false, count: 0, of: None }
    }

    pub(super) fn expect(&mut self, of: u64) {
        self.of = Some(of);
    }

    /// One more.
    pub(super) fn step(&mut self, output: &mut Output<'_>) {
        self.count += 1;
        // The clock is not looked at for every record.
        if self.seen && self.count.is_multiple_of(256) && self.said.elapsed() >= OFTEN {
            self.said = Instant::now();
            self.written = true;
            match self.of {
                Some(of) => output.progress(format_args!("{} of {of} records", self.count)),
                None => output.progress(format_args!("{} records", self.count)),
            }
        }
    }

    /// Takes away what was said.
    pub(super) fn done(&mut self, output: &mut Output<'_>) {
        if std::mem::take(&mut self.written) {
            output.progress("");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn said(seen: bool, often: Duration) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let output = &mut Output::new(Format::Table, &mut out, &mut err);
        let said = Instant::now().checked_sub(often).unwrap();
        let mut progress = Progress { seen, said, ..Progress::new(output) };
        progress.expect(700);
        for _ in 0..700 {
            progress.step(output);
        }
        progress.done(output);
        progress.done(output);
        String::from_utf8(err).unwrap()
    }

    #[test]
    fn how_far_it_is_is_said_in_one_place_and_taken_away() {
        let shown = said(true, OFTEN);
        assert!(shown.starts_with("\r\u{1b}[K256 of 700 records"), "{shown:?}");
        assert!(shown.ends_with("records\r\u{1b}[K"), "{shown:?}");
        assert_eq!(said(false, OFTEN), "");
    }
}
