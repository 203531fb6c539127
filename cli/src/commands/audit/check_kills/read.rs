//! The two readings of a trail.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use kya_core::audit::export::{Line, MAX_LINE_BYTES};
use kya_core::audit::verify::{Options, Report, Series, Verifier};
use kya_core::audit::{Filter, Timestamp, VerifierKey};

use super::super::draft::{Lines, Spool};
use super::super::keys::options;
use super::super::progress::Progress;
use super::super::verdict::{self, Trust};
use super::{Collected, Found, LISTED, Passed};
use crate::args::{Global, Proving};
use crate::client::Client;
use crate::error::Error;
use crate::output::Output;

/// A trail that was read once, and verified.
pub(super) struct Trail {
    collected: Collected,
    /// What is read again.
    parts: Vec<Lines>,
    reports: Vec<Report>,
    trust: Trust,
}

/// That of the server, which is kept for the second reading while it is read first.
pub(super) async fn server(
    proving: &Proving,
    global: &Global,
    since: Option<Timestamp>,
    output: &mut Output<'_>,
) -> Result<Trail, Error> {
    let client = Client::new(global)?;
    let (options, trust) = options(proving, &client).await?;
    let mut verifier = Verifier::new(options);
    let (mut collected, mut spool) = (Collected::of(since), Spool::new()?);
    let mut progress = Progress::new(output);
    let mut stream = client.export(&Filter::default(), "jsonl", &[]).await?;
    while let Some(line) = stream.line().await? {
        verifier.write(line.as_bytes());
        verifier.write(b"\n");
        collected.line(line.as_bytes());
        spool.line(line)?;
        progress.step(output);
    }
    progress.done(output);
    let report = verifier.finish();
    if !verdict::is_good(&report) {
        return Err(verdict::refused("kills were not looked at", &report, trust));
    }
    if let Some(hides) = verdict::hides(&report, trust) {
        return Err(hides);
    }
    Ok(Trail { collected, parts: vec![spool.again()?], reports: vec![report], trust })
}

/// Exports, in the order in which they were written.
pub(super) fn files(
    files: &[impl AsRef<Path>],
    proving: &Proving,
    since: Option<Timestamp>,
    output: &mut Output<'_>,
) -> Result<Trail, Error> {
    let mut opened = Vec::new();
    for path in files {
        opened.push((path.as_ref(), open(path.as_ref())?));
    }
    let (keys, trust) = match &proving.pinned.key {
        Some(key) => (vec![key.clone()], Trust::Pinned),
        None => (named(&mut opened)?, Trust::File),
    };
    let mut series =
        Series::new(Options { keys, earlier: proving.checkpoints.clone(), ..Options::default() });
    let mut progress = Progress::new(output);
    let mut trail =
        Trail { collected: Collected::of(since), parts: Vec::new(), reports: Vec::new(), trust };
    let count = opened.len();
    for (n, (path, mut file)) in opened.into_iter().enumerate() {
        let wrong = |error| unreadable(path, &error);
        let mut verified = series.file(n + 1 == count);
        let mut lines = Lines::of(file.try_clone().map_err(wrong)?);
        while let Some(line) = lines.next().map_err(wrong)? {
            verified.write(line);
            trail.collected.line(line);
            progress.step(output);
        }
        let report = verified.finish();
        if !verdict::is_good(&report) {
            progress.done(output);
            let what = format!("{}: kills were not looked at", path.display());
            return Err(verdict::refused(&what, &report, trust));
        }
        file.rewind().map_err(wrong)?;
        trail.parts.push(Lines::of(file));
        trail.reports.push(report);
    }
    progress.done(output);
    Ok(trail)
}

/// A file that can be read twice: standard input is kept in one.
fn open(path: &Path) -> Result<File, Error> {
    let opened = if path.as_os_str() == "-" {
        tempfile::tempfile().and_then(|mut file| {
            io::copy(&mut io::stdin().lock(), &mut file)?;
            file.rewind()?;
            Ok(file)
        })
    } else {
        File::open(path).and_then(|file| match file.metadata()?.is_dir() {
            true => Err(io::ErrorKind::IsADirectory.into()),
            false => Ok(file),
        })
    };
    opened.map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::Usage(format!("{}: cannot be read as an export in jsonl: {error}", path.display()))
}

/// The keys that the first file names in its last line.
fn named(files: &mut [(&Path, File)]) -> Result<Vec<VerifierKey>, Error> {
    let Some((path, file)) = files.first_mut() else { return Ok(Vec::new()) };
    last_line(file).map_err(|error| unreadable(path, &error)).map(|line| match std::str::from_utf8(
        &line,
    )
    .map(Line::parse)
    {
        Ok(Ok(Line::Sealed(sealed))) => sealed.keys.unwrap_or_default(),
        _ => Vec::new(),
    })
}

fn last_line(file: &mut File) -> io::Result<Vec<u8>> {
    let most = MAX_LINE_BYTES as u64 + 2;
    let length = file.seek(SeekFrom::End(0))?;
    file.seek(SeekFrom::Start(length.saturating_sub(most)))?;
    let mut end = Vec::new();
    file.take(most).read_to_end(&mut end)?;
    file.rewind()?;
    let end = end.trim_ascii_end();
    let start = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    Ok(end.get(start..).unwrap_or_default().to_vec())
}

impl Trail {
    /// Reads it again, for what was allowed past a kill.
    pub(super) fn judge(self, bound: Option<u64>) -> Result<Found, Error> {
        let Self { mut collected, parts, reports, trust } = self;
        collected.close();
        let (mut violations, mut in_all) = (Vec::new(), 0);
        // Without a kill there is nothing to get past.
        let parts = if collected.kills.is_empty() { Vec::new() } else { parts };
        for mut lines in parts {
            while let Some(line) = lines.next()? {
                let Some((found, record)) = collected.judged(line, bound) else { continue };
                for violation in found {
                    in_all += 1;
                    if violations.len() < LISTED {
                        violations.push(Passed { violation, record: record.clone() });
                    }
                }
            }
        }
        let not_known = collected.kills.not_known();
        let shown = reports.last().map(|it| verdict::lines(it, trust)).unwrap_or_default();
        Ok(Found {
            verification: reports.iter().map(|it| verdict::document(it, trust)).collect(),
            not_known,
            kills: collected.listed,
            decisions: collected.decisions,
            allowed: collected.allowed,
            bound_us: bound,
            violations,
            violations_in_all: in_all,
            hidden: reports.iter().map(|it| it.hidden).max().unwrap_or_default(),
            unread: collected.unread,
            verified: shown,
        })
    }
}
