//! Reading: whether a text is canonical JSON, in one pass that keeps nothing.

use std::cmp::Ordering;

use thiserror::Error;

use super::{number, write};
use crate::audit::Timestamp;

/// Deepest nesting of objects and lists.
const MAX_DEPTH: u32 = 32;

/// What a canonical text says of itself, as far as whoever checks a trail needs it.
/// Borrowed from the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outline<'a> {
    /// Its place in the trail.
    pub seq: u64,
    /// What happened, by its name; names that are not known yet are read, too.
    pub kind: &'a str,
    /// When it was appended.
    pub recorded: Timestamp,
}

/// Why a text is not a canonical record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum NotCanonical {
    /// Not JSON, or JSON in another spelling.
    #[error("not canonical JSON (RFC 8785) at byte {0}")]
    At(usize),
    /// Canonical, but no record.
    #[error("no record: a JSON object with `seq`, `type`, `time` and `recorded`")]
    NoRecord,
}

pub(super) fn read(text: &str) -> Result<Outline<'_>, NotCanonical> {
    let mut reader = Reader { bytes: text.as_bytes(), at: 0 };
    let mut found = Found::default();
    let read = match reader.peek() {
        Some(b'{') => reader.object(1, Some(&mut found)),
        _ => reader.value(1),
    };
    if read.is_none() || reader.at != text.len() {
        return Err(NotCanonical::At(reader.at));
    }
    found.outline().ok_or(NotCanonical::NoRecord)
}

/// Values of members of the outermost object.
#[derive(Default)]
struct Found<'a> {
    seq: Option<&'a str>,
    kind: Option<&'a str>,
    time: Option<&'a str>,
    recorded: Option<&'a str>,
}

impl<'a> Found<'a> {
    fn note(&mut self, name: &[u8], value: Option<&'a str>) {
        match name {
            b"\"seq\"" => self.seq = value,
            b"\"type\"" => self.kind = value,
            b"\"time\"" => self.time = value,
            b"\"recorded\"" => self.recorded = value,
            _ => {}
        }
    }

    fn outline(self) -> Option<Outline<'a>> {
        let text = |it: Option<&'a str>| it?.strip_prefix('"')?.strip_suffix('"');
        text(self.time)?.parse::<Timestamp>().ok()?;
        let kind = text(self.kind)?;
        if kind.is_empty() || !kind.bytes().all(|it| it.is_ascii_lowercase() || it == b'_') {
            return None;
        }
        let seq: u64 = self.seq?.parse().ok()?;
        let recorded = text(self.recorded)?.parse().ok()?;
        (1..=number::MAX_EXACT).contains(&seq).then_some(Outline { seq, kind, recorded })
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// `None` where the text is not canonical; `at` is then where.
impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn step(&mut self) {
        self.at = self.at.saturating_add(1);
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.peek() == Some(byte)).then(|| self.step())
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        let rest = self.bytes.get(self.at..)?;
        rest.starts_with(word).then(|| self.at = self.at.saturating_add(word.len()))
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        match self.peek()? {
            b'{' => self.object(depth, None),
            b'[' => self.list(depth),
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u32, mut found: Option<&mut Found<'a>>) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        let mut before: (&[u8], bool) = (&[], true);
        loop {
            let start = self.at;
            self.string()?;
            let name = self.bytes.get(start..self.at)?;
            let named = (name, write::plain(name));
            if !before.0.is_empty() && write::by_name(before, named) != Ordering::Less {
                self.at = start;
                return None;
            }
            before = named;
            self.take(b':')?;
            let start = self.at;
            self.value(depth.saturating_add(1))?;
            if let Some(found) = found.as_deref_mut() {
                let value = self.bytes.get(start..self.at)?;
                found.note(name, std::str::from_utf8(value).ok());
            }
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    fn list(&mut self, depth: u32) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.take(b'[')?;
        if self.take(b']').is_some() {
            return Some(());
        }
        loop {
            self.value(depth.saturating_add(1))?;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        self.take(b'"')?;
        loop {
            let rest = self.bytes.get(self.at..)?;
            let special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
            self.at = self.at.saturating_add(rest.iter().position(special)?);
            match self.peek()? {
                b'"' => {
                    self.step();
                    return Some(());
                }
                b'\\' => {
                    self.step();
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    /// Only what must be escaped is, and in one way.
    fn escape(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't' => {
                self.step();
                Some(())
            }
            b'u' => {
                self.word(b"u00")?;
                let &[high, low] = self.bytes.get(self.at..)?.first_chunk()?;
                let short = matches!((high, low), (b'0', b'8' | b'9' | b'a' | b'c' | b'd'));
                let known = matches!((high, low), (b'0' | b'1', b'0'..=b'9' | b'a'..=b'f'));
                if short || !known {
                    return None;
                }
                self.step();
                self.step();
                Some(())
            }
            _ => None,
        }
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        while let Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e') = self.peek() {
            self.step();
        }
        let text = std::str::from_utf8(self.bytes.get(start..self.at)?).ok()?;
        if number::is_canonical(text) {
            return Some(());
        }
        self.at = start;
        None
    }
}
