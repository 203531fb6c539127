//! The report of a drill: a page, a PDF, or the evidence alone. Each holds the evidence, and
//! what a page shows follows from it: it is checked by making the page once more.

mod chart;
mod container;
mod content;
mod html;
mod pdf;
mod scale;
mod words;

use std::io::{self, Read};

use kya_core::audit::verify::Options;
use kya_core::drill::evidence::{BadDocument, Checked, Document, Facts, MAX_BYTES, Problem, check};

pub(crate) use self::container::{Form, form};
use self::content::Content;

/// Which version the pages are laid out by. It is another one as soon as any byte of a page
/// is, for the same evidence.
pub(crate) const LAYOUT: u32 = 1;

/// Writes a report. `text` is that of the document.
pub(crate) fn write(document: &Document, facts: &Facts, text: &str, form: Form) -> Vec<u8> {
    let content = || Content::of(document, facts);
    match form {
        Form::Json => text.as_bytes().to_vec(),
        Form::Html => html::page(&content(), facts, text).into_bytes(),
        Form::Pdf => pdf::file(&content(), facts, text),
    }
}

/// Checks a report that somebody shows, by pinned keys.
///
/// # Errors
/// Why it is none.
pub(crate) fn verify(file: &[u8], form: Form, options: Options) -> Result<Checked, BadDocument> {
    let none = || BadDocument::Form("there is no evidence in this file".to_owned());
    let contained = container::find(file, form).ok_or_else(none)?;
    let document = Document::read(contained.evidence)?;
    let mut checked = check(&document, options);
    checked.problems.extend(other_text(&document, contained.evidence));
    let (Some(layout), Some(facts)) = (contained.layout, &checked.facts) else {
        return Ok(checked);
    };
    let problem = match std::str::from_utf8(contained.evidence) {
        _ if layout != LAYOUT => Some(Problem::new(
            "other_layout",
            "page",
            format!(
                "it is laid out by version {layout}, and this program knows {LAYOUT}: what it shows cannot be compared with the evidence in it. `kya drill report --from FILE` makes it anew"
            ),
        )),
        Err(_) => Some(Problem::new("page", "page", "the evidence in it is no text")),
        Ok(text) => other_page(&write(&document, facts, text, form), file, form),
    };
    checked.problems.extend(problem);
    Ok(checked)
}

/// What readers of JSON, or a browser, could take for something else than was checked: a
/// member that nobody looks at or that stands there twice, or a sign that ends the evidence.
fn other_text(document: &Document, shown: &[u8]) -> Option<Problem> {
    let same = document.text().is_ok_and(|text| text.as_bytes() == shown);
    let what = "it is not written as `kya drill report` writes it; `kya drill report --from FILE` writes what was checked, and nothing else";
    (!same).then(|| Problem::new("text", "evidence", what))
}

/// Where a page shows something else than its evidence says.
fn other_page(expected: &[u8], shown: &[u8], form: Form) -> Option<Problem> {
    if expected == shown {
        return None;
    }
    let mut lines = expected.split(|byte| *byte == b'\n').zip(shown.split(|byte| *byte == b'\n'));
    let differs = lines.position(|(expected, shown)| expected != shown);
    let (Some(n), Form::Html) = (differs, form) else {
        let what = "what it shows is not what the evidence in it says";
        return Some(Problem::new("page", "page", what));
    };
    let line = |of: &[u8]| {
        let line = of.split(|byte| *byte == b'\n').nth(n).unwrap_or_default();
        String::from_utf8_lossy(line).chars().take(200).collect::<String>()
    };
    let what = format!("it shows `{}`, and the evidence says `{}`", line(shown), line(expected));
    Some(Problem::new("page", &format!("line {}", n + 1), what))
}

/// All of a file that may be a report.
pub(crate) fn all(file: impl Read) -> io::Result<Vec<u8>> {
    let (mut shown, most) = (Vec::new(), MAX_BYTES as u64 * 2);
    file.take(most + 1).read_to_end(&mut shown)?;
    match shown.len() as u64 > most {
        true => Err(io::Error::other(format!("it has more than {most} bytes"))),
        false => Ok(shown),
    }
}

/// The evidence in a file of any form.
///
/// # Errors
/// Why there is none.
pub(crate) fn read(file: &[u8]) -> Result<Document, BadDocument> {
    let none = || BadDocument::Form("there is no evidence in this file".to_owned());
    let form = form(file).ok_or_else(none)?;
    Document::read(container::find(file, form).ok_or_else(none)?.evidence)
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
