//! The bytes of requests, made before they are needed.

use std::fs;

use anyhow::{Context as _, Result, ensure};

use super::{Shown, Slice};
use crate::bench::seed;

/// Requests that are made before a slice. More than that are the same ones again: a slice
/// of a second has fewer.
const READY: usize = 24_000;
/// A stride through the tokens that meets each before any comes again, for any number of
/// tokens that it does not divide: a prime.
const STRIDE: u64 = 7_368_787;

/// Requests of one kind.
#[derive(Debug)]
pub(super) struct Requests {
    before: String,
    shown: Source,
    ready: Vec<Vec<u8>>,
    /// How many of those that are ready were taken.
    taken: usize,
    /// How many credentials were shown in all.
    count: u64,
}

#[derive(Debug)]
enum Source {
    One(String),
    Numbers(u32),
    Lines(Vec<String>),
}

impl Requests {
    /// Those of a slice.
    pub(super) fn of(slice: &Slice) -> Result<Self> {
        let Slice { address, path, .. } = slice;
        let before = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer ");
        let shown = match &slice.shown {
            Shown::One(text) => Source::One(text.clone()),
            Shown::Numbers(count) => Source::Numbers(*count),
            Shown::Lines(file) => {
                let text = fs::read_to_string(file).with_context(|| file.clone())?;
                let lines: Vec<String> = text.lines().map(str::to_owned).collect();
                ensure!(!lines.is_empty(), "{file} is empty");
                Source::Lines(lines)
            }
        };
        Ok(Self { before, shown, ready: Vec::new(), taken: 0, count: 0 })
    }

    /// Makes those of the next slice: credentials that were not shown before come first.
    pub(super) fn make_ready(&mut self) {
        let count = match &self.shown {
            Source::One(_) => 1,
            Source::Numbers(count) => READY.min(*count as usize),
            Source::Lines(lines) => READY.min(lines.len()),
        };
        // Those that were not taken are shown in this slice.
        self.count += self.taken.min(self.ready.len()) as u64;
        self.taken = 0;
        self.ready = (self.count..).take(count).map(|index| self.request(index)).collect();
    }

    fn request(&self, index: u64) -> Vec<u8> {
        let before = &self.before;
        match &self.shown {
            Source::One(text) => format!("{before}{text}\r\n\r\n"),
            Source::Numbers(count) => {
                let number = index.wrapping_mul(STRIDE) % u64::from((*count).max(1));
                format!("{before}{}\r\n\r\n", seed::token(number as u32).reveal())
            }
            Source::Lines(lines) => {
                let line = &lines[(index % lines.len() as u64) as usize];
                format!("{before}{line}\r\n\r\n")
            }
        }
        .into_bytes()
    }

    /// The next one.
    pub(super) fn take(&mut self) -> &[u8] {
        let index = self.taken % self.ready.len().max(1);
        self.taken += 1;
        self.ready.get(index).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pace;
    use super::*;

    fn of(shown: Shown) -> Requests {
        let (address, path) = ("127.0.0.1:1".to_owned(), "/direct".to_owned());
        let pace = Pace::Closed { connections: 1 };
        Requests::of(&Slice { address, path, shown, status: 200, pace, millis: 1 }).unwrap()
    }

    fn taken(requests: &mut Requests, count: usize) -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (0..count).map(|_| text(requests.take())).collect()
    }

    #[test]
    fn no_token_is_shown_twice_before_each_was_shown_once() {
        let mut requests = of(Shown::Numbers(1000));
        let mut all = Vec::new();
        for _ in 0..4 {
            requests.make_ready();
            all.extend(taken(&mut requests, 250));
        }
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn lines_come_in_turn_and_go_on_where_the_last_slice_ended() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("tokens");
        fs::write(&file, "a\nb\nc\n").unwrap();
        let mut requests = of(Shown::Lines(file.display().to_string()));
        let mut shown = Vec::new();
        for _ in 0..2 {
            requests.make_ready();
            shown.extend(taken(&mut requests, 2));
        }
        let ends: Vec<_> =
            shown.iter().map(|request| request.trim_end().chars().last().unwrap()).collect();
        assert_eq!(ends, ['a', 'b', 'c', 'a']);
        assert!(shown[0].starts_with("GET /direct HTTP/1.1\r\nhost: 127.0.0.1:1\r\n"));
    }

    #[test]
    fn one_credential_is_shown_again_and_again() {
        let mut requests = of(Shown::One("x".into()));
        requests.make_ready();
        let both = taken(&mut requests, 2);
        assert_eq!(both[0], both[1]);
        assert!(both[0].ends_with("authorization: Bearer x\r\n\r\n"));
    }
}
