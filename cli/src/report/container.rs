//! Where the evidence is in a file: a page, a PDF, or the document itself.

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Html,
    Pdf,
    Json,
}

/// The evidence in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Contained<'a> {
    pub(crate) form: Form,
    /// How it is laid out: none for the document itself.
    pub(crate) layout: Option<u32>,
    pub(crate) evidence: &'a [u8],
}

pub(super) const HTML_CLOSE: &str = "</script>\n";
const HTML_OPEN: (&str, &str) =
    ("<script type=\"application/json\" id=\"kya-drill-report\" data-layout=\"", "\">\n");
/// Stands in the attached file's description, before the number of the layout.
pub(super) const PDF_LAYOUT: &str = "kya drill report, layout ";
/// The line with it, and one of the attached file's stream. No text that is drawn has a line
/// break in it.
const PDF_DESCRIPTION: &str = "\n  /Desc (kya drill report, layout ";
const PDF_STREAM: &str = "\n  /Type /EmbeddedFile\n";

/// What stands before the evidence in a page.
pub(super) fn html_open(layout: u32) -> String {
    let (before, after) = HTML_OPEN;
    format!("{before}{layout}{after}")
}

/// What a file is by its first bytes, if it may be a report.
pub(crate) fn form(first: &[u8]) -> Option<Form> {
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first).trim_ascii_start();
    let object = || first.strip_prefix(b"{").map(<[u8]>::trim_ascii_start);
    if first.starts_with(b"%PDF-") {
        Some(Form::Pdf)
    } else if first.starts_with(b"<") {
        Some(Form::Html)
    } else if object().is_some_and(|it| it.starts_with(b"\"kya_drill_report\"")) {
        Some(Form::Json)
    } else {
        None
    }
}

/// Finds the evidence. That the rest of the file is what it should be is another question.
pub(crate) fn find(file: &[u8], form: Form) -> Option<Contained<'_>> {
    let (layout, evidence) = match form {
        Form::Json => (None, file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file)),
        Form::Html => {
            let rest = after(file, HTML_OPEN.0)?;
            let (layout, rest) = split(rest, HTML_OPEN.1)?;
            // No `<` is in the evidence.
            let (evidence, _) = split(rest, HTML_CLOSE.trim_end())?;
            (Some(number(layout)?), evidence)
        }
        Form::Pdf => {
            let (layout, _) = split(after(file, PDF_DESCRIPTION)?, ")")?;
            let rest = after(file, PDF_STREAM)?;
            let (length, _) = split(after(rest, "/Size ")?, "\n")?;
            let length = usize::try_from(number(length)?).ok()?;
            (Some(number(layout)?), after(rest, "stream\n")?.get(..length)?)
        }
    };
    Some(Contained { form, layout, evidence })
}

fn number(digits: &[u8]) -> Option<u32> {
    std::str::from_utf8(digits).ok()?.trim().parse().ok()
}

fn after<'a>(bytes: &'a [u8], what: &str) -> Option<&'a [u8]> {
    split(bytes, what).map(|(_, after)| after)
}

fn split<'a>(bytes: &'a [u8], what: &str) -> Option<(&'a [u8], &'a [u8])> {
    let at = bytes.windows(what.len()).position(|it| it == what.as_bytes())?;
    Some((bytes.get(..at)?, bytes.get(at + what.len()..)?))
}
