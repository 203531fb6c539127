//! A result that is given out when it is whole, and not before.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::path::{Path, PathBuf};

use kya_core::audit::export::MAX_LINE_BYTES;
use tempfile::NamedTempFile;

use crate::error::Error;
use crate::output::Output;

/// What is written, out of sight.
#[derive(Debug)]
pub(in crate::commands) struct Draft {
    file: BufWriter<NamedTempFile>,
    /// Where it is to be; standard output if nowhere.
    place: Option<PathBuf>,
}

impl Draft {
    /// A draft of this file, in its folder, or of what goes to standard output.
    pub(in crate::commands) fn new(place: Option<&Path>) -> Result<Self, Error> {
        let file = match place {
            None => NamedTempFile::new()?,
            Some(place) => beside(place).map_err(|error| {
                let place = place.display();
                Error::Usage(format!("--out {place}: nothing can be written there ({error})"))
            })?,
        };
        let place = place.map(Path::to_owned);
        Ok(Self { file: BufWriter::with_capacity(1 << 16, file), place })
    }

    pub(in crate::commands) fn write(&mut self, part: &[u8]) -> Result<(), Error> {
        Ok(self.file.write_all(part)?)
    }

    /// Gives it out.
    pub(in crate::commands) fn publish(self, output: &mut Output<'_>) -> Result<(), Error> {
        let mut file = self.file.into_inner().map_err(io::IntoInnerError::into_error)?;
        if let Some(place) = &self.place {
            // A name must not be there before what it names.
            file.as_file().sync_all()?;
            file.persist(place).map_err(|error| error.error)?;
            return Ok(());
        }
        file.rewind()?;
        let mut part = vec![0; 1 << 16];
        loop {
            let count = file.read(&mut part)?;
            if count == 0 || !output.foreign(part.get(..count).unwrap_or_default())? {
                return Ok(());
            }
        }
    }
}

fn beside(place: &Path) -> io::Result<NamedTempFile> {
    if place.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if place.file_name().is_none() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    match place.parent().filter(|it| !it.as_os_str().is_empty()) {
        Some(folder) => NamedTempFile::new_in(folder),
        None => NamedTempFile::new_in("."),
    }
}

/// What is read twice and came as a stream: kept in a file without a name.
#[derive(Debug)]
pub(in crate::commands) struct Spool(BufWriter<File>);

impl Spool {
    pub(in crate::commands) fn new() -> Result<Self, Error> {
        Ok(Self(BufWriter::with_capacity(1 << 16, tempfile::tempfile()?)))
    }

    /// Keeps a line.
    pub(in crate::commands) fn line(&mut self, line: &str) -> Result<(), Error> {
        self.0.write_all(line.as_bytes())?;
        Ok(self.0.write_all(b"\n")?)
    }

    /// All of it, from the beginning.
    pub(in crate::commands) fn again(self) -> Result<Lines, Error> {
        let mut file = self.0.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.rewind()?;
        Ok(Lines::of(file))
    }
}

/// The lines of a file, each of bounded length.
pub(in crate::commands) struct Lines {
    reader: Box<dyn BufRead>,
    line: Vec<u8>,
}

impl Lines {
    pub(in crate::commands) fn of(reader: impl Read + 'static) -> Self {
        Self { reader: Box::new(BufReader::with_capacity(1 << 16, reader)), line: Vec::new() }
    }

    /// The next line as it stands there, with its line break if it has one; `None` at the
    /// end. A line that is longer than any comes in pieces.
    pub(in crate::commands) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let most = MAX_LINE_BYTES as u64 + 2;
        self.line.clear();
        self.reader.by_ref().take(most).read_until(b'\n', &mut self.line)?;
        Ok(if self.line.is_empty() { None } else { Some(&self.line) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    fn draft(place: Option<&Path>) -> Draft {
        let mut draft = Draft::new(place).unwrap();
        draft.write(b"one\n").unwrap();
        draft.write(b"two\n").unwrap();
        draft
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("trail.jsonl");
        std::fs::write(&place, "older").unwrap();
        let names = || std::fs::read_dir(folder.path()).unwrap().count();
        drop(draft(Some(&place)));
        assert_eq!((std::fs::read_to_string(&place).unwrap().as_str(), names()), ("older", 1));
        let (mut out, mut err) = (Vec::new(), Vec::new());
        draft(Some(&place)).publish(&mut Output::new(Format::Table, &mut out, &mut err)).unwrap();
        assert_eq!(std::fs::read_to_string(&place).unwrap(), "one\ntwo\n");
        assert_eq!((names(), out.len()), (1, 0));
    }

    #[test]
    fn nothing_is_given_out_that_is_not_whole() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let output = &mut Output::new(Format::Table, &mut out, &mut err);
        drop(draft(None));
        draft(None).publish(output).unwrap();
        assert_eq!(out, b"one\ntwo\n");
    }

    #[test]
    fn a_place_where_nothing_can_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        for place in [folder.path(), Path::new("/nonexistent/kya"), Path::new("/"), Path::new("")] {
            let error = Draft::new(Some(place)).unwrap_err();
            assert_eq!(error.exit_code(), Error::USAGE);
            assert!(error.to_string().starts_with(&format!("--out {}:", place.display())));
        }
    }

    #[test]
    fn lines_are_read_as_they_were_kept() {
        let mut spool = Spool::new().unwrap();
        for line in ["one", "", "two"] {
            spool.line(line).unwrap();
        }
        let mut lines = spool.again().unwrap();
        for line in [Some(&b"one\n"[..]), Some(b"\n"), Some(b"two\n"), None, None] {
            assert_eq!(lines.next().unwrap(), line);
        }
        let mut lines = Lines::of(&b"\xff\r\nhalf"[..]);
        assert_eq!(lines.next().unwrap(), Some(&b"\xff\r\n"[..]));
        assert_eq!(lines.next().unwrap(), Some(&b"half"[..]));
        // A line that is too long is never held whole.
        let mut lines = Lines::of(io::repeat(b'a'));
        assert!(lines.next().unwrap().unwrap().len() < 1 << 20);
    }
}
