//! `kya audit archive`: the oldest part of the trail, sealed in a file and removed.

use std::fs::File;
use std::path::Path;

use kya_core::audit::export::Line;
use kya_core::audit::verify::{Options, Report, Verifier};
use kya_core::audit::{Archived, Entry, Filter, Record};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::draft::{Draft, Lines};
use super::keys;
use super::progress::Progress;
use super::show::signed;
use super::verdict::{self, Trust};
use crate::api::Segment;
use crate::args::Archive;
use crate::client::Client;
use crate::error::Error;
use crate::output::{Output, printable};

/// Archives that are listed by the server, the newest.
const LISTED: u16 = 1000;

/// A segment that was verified, in its file.
struct Sealed {
    first: u64,
    last: u64,
    sha256: String,
    report: Report,
}

pub(super) async fn run(
    asked: Archive,
    client: &Client,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let exists = asked.out.symlink_metadata().is_ok();
    // Before anything is asked: whether it can be written at all.
    let draft = if exists { None } else { Some(Draft::new(Some(&asked.out))?) };
    let before = archives(client).await?;
    let first = before.first().map_or(1, |(_, it)| it.last + 1);
    if exists && let Some((seq, it)) = archived(&asked.out, &before)? {
        return said(&asked, *seq, (it.first, it.last), &it.sha256, None, output);
    }
    let newest = client.audit_checkpoint().await?.value.note;
    let newest = signed(&newest, client)?.unverified().size;
    let last = asked.last.unwrap_or(newest);
    if last < first {
        return nothing(first, last, output);
    }
    if asked.dry_run {
        return dry_run(&asked, (first, last), exists, output);
    }
    let (options, trust) = keys::options(&asked.proving, client).await?;
    // Of what is removed nothing may be missing in the file.
    let options = Options { whole_since: Some(first), ..options };
    let sealed = match draft {
        // It was not archived yet when something went wrong.
        None => kept(&asked.out, options, trust)?,
        Some(draft) => exported(draft, (first, last), (options, trust), client, output).await?,
    };
    if sealed.first != first {
        let (out, found) = (asked.out.display(), sealed.first);
        return Err(Error::Usage(format!(
            "{out}: it begins at record {found}, and the next segment begins at {first}: name another file"
        )));
    }
    let segment = Segment { last: sealed.last, sha256: &sealed.sha256 };
    let seq = client.archive(&segment).await?.value.seq;
    let verified = verdict::document(&sealed.report, trust);
    said(&asked, seq, (first, sealed.last), &sealed.sha256, Some(verified), output)
}

/// What was archived, the newest first, with the records that say so.
async fn archives(client: &Client) -> Result<Vec<(u64, Archived)>, Error> {
    let filter = Filter { types: vec!["archived".to_owned()], ..Filter::default() };
    let mut from = None;
    loop {
        // A page may be empty though there are others.
        let page = client.newest_records(&filter, from, LISTED).await?.value;
        let found: Vec<_> = page
            .records
            .into_iter()
            .filter_map(|it| match serde_json::from_value(it.record) {
                Ok(Record { seq, entry: Entry::Archived(it), .. }) => Some((seq, it)),
                _ => None,
            })
            .collect();
        match page.next {
            Some(next) if found.is_empty() && from.is_none_or(|from| next < from) => {
                from = Some(next);
            }
            _ => return Ok(found),
        }
    }
}

/// Whether this file is a segment that was archived.
fn archived<'a>(
    out: &Path,
    before: &'a [(u64, Archived)],
) -> Result<Option<&'a (u64, Archived)>, Error> {
    let wrong = |error| Error::Usage(format!("{}: cannot be read: {error}", out.display()));
    let (mut lines, mut sha256) = (Lines::of(File::open(out).map_err(wrong)?), Sha256::new());
    while let Some(line) = lines.next().map_err(wrong)? {
        sha256.update(line);
    }
    let sha256 = hex(sha256);
    Ok(before.iter().find(|(_, it)| it.sha256 == sha256))
}

/// A segment that is in its file already.
fn kept(out: &Path, options: Options, trust: Trust) -> Result<Sealed, Error> {
    let wrong = |error| Error::Usage(format!("{}: cannot be read: {error}", out.display()));
    let mut lines = Lines::of(File::open(out).map_err(wrong)?);
    let (mut verifier, mut sha256) = (Verifier::new(options), Sha256::new());
    while let Some(line) = lines.next().map_err(wrong)? {
        verifier.write(line);
        sha256.update(line);
    }
    sealed(verifier.finish(), sha256, &format!("{} exists, and", out.display()), trust)
}

/// The segment as the server gives it, written when it is verified.
async fn exported(
    mut draft: Draft,
    (first, mut last): (u64, u64),
    (options, trust): (Options, Trust),
    client: &Client,
    output: &mut Output<'_>,
) -> Result<Sealed, Error> {
    let (mut verifier, mut sha256) = (Verifier::new(options), Sha256::new());
    let mut progress = Progress::new(output);
    let mut stream = client.segment(first, last).await?;
    let mut begun = false;
    while let Some(line) = stream.line().await? {
        // A segment ends with a checkpoint, and shows everything up to there.
        if !std::mem::replace(&mut begun, true)
            && let Ok(Line::Header(header)) = Line::parse(line)
            && header.last > last
        {
            last = header.last;
            stream = client.segment(first, last).await?;
            begun = false;
            continue;
        }
        for part in [line.as_bytes(), b"\n"] {
            verifier.write(part);
            sha256.update(part);
            draft.write(part)?;
        }
        progress.step(output);
    }
    progress.done(output);
    let sealed = sealed(verifier.finish(), sha256, "the export", trust)?;
    draft.publish(output)?;
    Ok(sealed)
}

fn sealed(report: Report, sha256: Sha256, what: &str, trust: Trust) -> Result<Sealed, Error> {
    if !verdict::is_good(&report) {
        let what = format!("{what} does not verify: nothing is archived");
        return Err(verdict::refused(&what, &report, trust));
    }
    let (first, last) = (report.first.unwrap_or_default(), report.last.unwrap_or_default());
    Ok(Sealed { first, last, sha256: hex(sha256), report })
}

fn hex(sha256: Sha256) -> String {
    sha256.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn nothing(first: u64, last: u64, output: &mut Output<'_>) -> Result<(), Error> {
    if output.is_json() {
        return output.document(&json!({ "archived": false, "first": first, "last": last }));
    }
    output.lines(format_args!(
        "Nothing to archive: everything before record {first} is archived, and record {last} is asked for."
    ))
}

fn dry_run(
    asked: &Archive,
    (first, last): (u64, u64),
    exists: bool,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let file = printable(&asked.out.display().to_string());
    if output.is_json() {
        return output.document(&json!({
            "archived": false, "dry_run": true, "first": first, "last": last, "file": file,
        }));
    }
    let written = match exists {
        true => format!("are to be in {file}, which exists and would be verified"),
        false => format!("would be written to {file} and verified"),
    };
    output.lines(format_args!(
        "Dry run: records {first} to {last}, or to the first checkpoint after that, {written}; then the server would remove them. Hashes, and the records that name keys and archives, stay."
    ))
}

fn said(
    asked: &Archive,
    seq: u64,
    (first, last): (u64, u64),
    sha256: &str,
    verification: Option<Value>,
    output: &mut Output<'_>,
) -> Result<(), Error> {
    let file = printable(&asked.out.display().to_string());
    let already = verification.is_none();
    if output.is_json() {
        return output.document(&json!({
            "archived": true, "already": already, "seq": seq, "first": first, "last": last,
            "sha256": sha256, "file": file, "verification": verification,
        }));
    }
    let was = if already { "Archived before" } else { "Archived" };
    output.lines(format_args!(
        "{was}: records {first} to {last} are in {file}, SHA-256 {sha256}; record {seq} says so."
    ))?;
    output.note(
        "The server removes them: the file is all that is left of them. Keep it in two places.",
    );
    Ok(())
}
