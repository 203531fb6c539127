//! `kya audit verify`: exports, offline.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use kya_core::audit::verify::{Options, Report, Series};
use kya_core::drill::evidence::Checked;
use serde_json::json;

use super::verdict::{self, Trust};
use crate::args::AuditVerify;
use crate::error::Error;
use crate::output::{Output, printable};
use crate::report::{self, Form};

/// Bytes by which a report of a drill is told from an export.
const PEEKED: u64 = 512;
/// Bytes that are read at once.
const PIECE: usize = 256 * 1024;

/// Verifies the files in the order in which they were written. No server is asked, and no
/// setting read.
pub(super) fn run(asked: AuditVerify, output: &mut Output<'_>) -> Result<(), Error> {
    let AuditVerify { files, keys, checkpoints, whole_since } = asked;
    let options = Options { keys, earlier: checkpoints, whole_since };
    let mut series = Series::new(options.clone());
    let (mut reports, mut drills) = (Vec::new(), Vec::new());
    let mut opened = Vec::new();
    // Before anything is said: whether all of them are there.
    for path in &files {
        let (form, file) = peeked(open(path)?).map_err(|error| unreadable(path, &error))?;
        match form {
            None => opened.push((path.as_path(), file)),
            Some(form) => drills.push((path.as_path(), form, file)),
        }
    }
    let drills = drills.into_iter().map(|(path, form, file)| drill(path, form, file, &options));
    let drills = drills.collect::<Result<Vec<_>, _>>()?;
    let count = opened.len();
    for (n, (path, mut file)) in opened.into_iter().enumerate() {
        let mut verified = series.file(n + 1 == count);
        let mut piece = vec![0; PIECE];
        loop {
            match file.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => verified.write(piece.get(..read).unwrap_or_default()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(unreadable(path, &error)),
            }
        }
        let report = verified.finish();
        if !verdict::is_good(&report) {
            return Err(verdict::refused(&path.display().to_string(), &report, Trust::Pinned));
        }
        reports.push((path, report));
    }
    say(&reports, &drills, output)
}

/// The report of a drill: in bytes by which it may be one, and all of it again.
fn peeked(mut file: Box<dyn Read>) -> io::Result<(Option<Form>, Box<dyn Read>)> {
    let mut first = Vec::new();
    file.by_ref().take(PEEKED).read_to_end(&mut first)?;
    let form = report::form(&first);
    Ok((form, Box::new(io::Cursor::new(first).chain(file))))
}

fn drill<'a>(
    path: &'a Path,
    form: Form,
    file: Box<dyn Read>,
    options: &Options,
) -> Result<(&'a Path, Checked), Error> {
    let shown = report::all(file).map_err(|error| unreadable(path, &error))?;
    let what = path.display().to_string();
    match report::verify(&shown, form, options.clone()) {
        Ok(checked) if checked.problems.is_empty() => Ok((path, checked)),
        Ok(checked) => Err(verdict::refused_drill(&what, &checked)),
        Err(why) => Err(Error::NotVerified {
            what: format!("{what}: {why}"),
            problems: Vec::new(),
            report: json!({ "verified": false, "problem": why.to_string() }),
        }),
    }
}

fn say(
    reports: &[(&Path, Report)],
    drills: &[(&Path, Checked)],
    output: &mut Output<'_>,
) -> Result<(), Error> {
    if output.is_json() {
        let file = |(path, report): &(&Path, Report)| json!({ "file": path, "report": report });
        let mut files: Vec<_> = reports.iter().map(file).collect();
        files.extend(drills.iter().map(|(path, checked)| {
            json!({ "file": path, "report": checked.trail, "drill": checked.facts })
        }));
        let document = json!({
            "verified": true,
            "keys_from": Trust::Pinned.name(),
            "files": files,
        });
        return output.document(&document);
    }
    for (path, checked) in drills {
        output.lines(printable(&path.display().to_string()))?;
        for line in verdict::drill_lines(checked) {
            output.lines(format!("  {line}"))?;
        }
        for line in verdict::lines(&checked.trail, Trust::Pinned) {
            output.lines(format!("  {line}"))?;
        }
    }
    for (path, report) in reports {
        output.lines(printable(&path.display().to_string()))?;
        for line in verdict::lines(report, Trust::Pinned) {
            output.lines(format!("  {line}"))?;
        }
        for line in further(report) {
            output.lines(format!("  {line}"))?;
        }
    }
    Ok(())
}

/// What is good to know of one that verifies.
fn further(report: &Report) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(filter) = &report.filter {
        lines.push(printable(&format!("Its records were chosen by {filter}.")));
    }
    if report.hidden > 0 {
        let shown = report.hidden_runs.iter().take(10);
        let runs: Vec<_> = shown.map(|it| format!("{} to {}", it.first, it.last)).collect();
        let listed = u64::try_from(runs.len()).unwrap_or(u64::MAX);
        let all = u64::try_from(report.hidden_runs.len()).unwrap_or(u64::MAX);
        let more = (all - listed).saturating_add(report.more_hidden_runs);
        let more = if more > 0 { format!(" and {more} runs more") } else { String::new() };
        lines.push(format!("Partial. Not shown: {}{more}.", runs.join(", ")));
    }
    if let Some(last) = report.continues {
        lines.push(format!("It goes on from record {last}, where the file before ends."));
    }
    for it in &report.compared {
        lines.push(format!(
            "It begins with the {} records that were signed at {}.",
            it.size, it.time
        ));
    }
    lines
}

fn open(path: &Path) -> Result<Box<dyn Read>, Error> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path).and_then(|file| match file.metadata()?.is_dir() {
        true => Err(io::ErrorKind::IsADirectory.into()),
        false => Ok(file),
    });
    file.map(|it| Box::new(it) as Box<dyn Read>).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &io::Error) -> Error {
    Error::Usage(format!("{}: cannot be read: {error}", path.display()))
}
