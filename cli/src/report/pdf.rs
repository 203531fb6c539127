//! A report as a PDF with the evidence attached. Nothing of it is compressed, so that the same
//! evidence gives the same bytes, and the attachment can be read with an editor.

mod fonts;
mod layout;

use kya_core::drill::evidence::Facts;
use pdf_writer::types::AssociationKind;
use pdf_writer::writers::FileSpec;
use pdf_writer::{Finish, Name, Pdf, Rect, Ref, Str, TextStr};

use self::fonts::Font;
use self::layout::{HEIGHT, Layout, WIDTH};
use super::LAYOUT;
use super::container::PDF_LAYOUT;
use super::content::Content;

/// What the attached file is called.
const ATTACHED: &str = "kya-drill-report.json";

/// The file. `evidence` is the text of the document.
pub(super) fn file(content: &Content, facts: &Facts, evidence: &str) -> Vec<u8> {
    let title = fonts::ascii(&format!("{} {}", content.title, facts.drill_id));
    let pages = Layout::of(content, &title).finish();
    let count = i32::try_from(pages.len()).unwrap_or(i32::MAX);
    let mut last = 0;
    let mut next = || {
        last += 1;
        Ref::new(last)
    };
    let (catalog, tree, info, spec, attached) = (next(), next(), next(), next(), next());
    let fonts = Font::ALL.map(|font| (font, next()));
    let mut pdf = Pdf::with_capacity(evidence.len() + 256 * 1024);
    // Of which associated files are a part.
    pdf.set_version(2, 0);
    pdf.document_info(info).title(TextStr(&title)).producer(TextStr("kya"));
    let mut kids = Vec::with_capacity(pages.len());
    for page in pages {
        let (id, contents) = (next(), next());
        kids.push(id);
        let mut written = pdf.page(id);
        written.media_box(Rect::new(0.0, 0.0, WIDTH, HEIGHT)).parent(tree).contents(contents);
        let mut resources = written.resources();
        let mut named = resources.fonts();
        for (font, id) in fonts {
            named.pair(font.name(), id);
        }
        named.finish();
        resources.finish();
        written.finish();
        pdf.stream(contents, &page);
    }
    pdf.pages(tree).kids(kids).count(count);
    for (font, id) in fonts {
        let mut written = pdf.type1_font(id);
        written.base_font(Name(font.base().as_bytes()));
        written.encoding_predefined(Name(b"WinAnsiEncoding"));
    }
    let mut described = pdf.indirect(spec).start::<FileSpec<'_>>();
    described.path(Str(ATTACHED.as_bytes())).unic_file(TextStr(ATTACHED));
    described.description(TextStr(&format!("{PDF_LAYOUT}{LAYOUT}")));
    described.association_kind(AssociationKind::Source);
    described.embedded_file_with_unicode(attached);
    described.finish();
    let mut stream = pdf.embedded_file(attached, evidence.as_bytes());
    stream.subtype(Name(b"application/json"));
    stream.params().size(i32::try_from(evidence.len()).unwrap_or(i32::MAX));
    stream.finish();
    let mut written = pdf.catalog(catalog);
    written.pages(tree).lang(TextStr("en"));
    written.names().embedded_files().names().insert(Str(ATTACHED.as_bytes()), spec);
    written.insert(Name(b"AF")).array().item(spec);
    written.finish();
    pdf.finish()
}
