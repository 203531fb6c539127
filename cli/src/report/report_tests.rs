//! Pages are made of their evidence alone, byte for byte.

use kya_core::testing::audit::audit_key;
use kya_core::testing::drill::{Wanted, evidence};
use sha2::{Digest, Sha256};

use super::*;

const FORMS: [Form; 3] = [Form::Html, Form::Pdf, Form::Json];

fn options() -> Options {
    Options { keys: vec![audit_key(1)], ..Options::default() }
}

fn made(wanted: &Wanted, form: Form) -> Vec<u8> {
    let document = evidence(wanted);
    let facts = check(&document, options()).facts.unwrap();
    write(&document, &facts, &document.text().unwrap(), form)
}

fn failing() -> Wanted {
    let parties = vec![("payments".to_owned(), true), ("open".to_owned(), false)];
    Wanted { parties, p99_ms: None, ..Wanted::default() }
}

/// Whoever changes what a page looks like counts up [`LAYOUT`]: a report that was made before
/// would not be what this program makes of its evidence, and is not to be taken for forged.
#[test]
fn another_page_is_another_layout() {
    let digest = |bytes: &[u8]| {
        let digest: [u8; 32] = Sha256::digest(bytes).into();
        digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let made = |form| digest(&[made(&Wanted::default(), form), made(&failing(), form)].concat());
    let pages = (LAYOUT, made(Form::Html), made(Form::Pdf));
    assert_eq!(pages, (1, HTML.to_owned(), PDF.to_owned()));
}

const HTML: &str = "e22ef36bfe777e29";
const PDF: &str = "20a853d88c584736";

#[test]
fn each_form_is_told_by_its_first_bytes_and_has_the_same_evidence() {
    for samples in [0, 1, 5] {
        let wanted = Wanted { samples, ..failing() };
        let document = evidence(&wanted);
        for it in FORMS {
            let file = made(&wanted, it);
            assert_eq!(form(&file[..64]), Some(it));
            assert_eq!(read(&file).unwrap(), document);
            let checked = verify(&file, it, options()).unwrap();
            assert_eq!(checked.problems, [], "{it:?}");
        }
    }
    for other in [&b"{\"export\":{"[..], b"", b"kya.test", b"{}"] {
        assert_eq!(form(other), None);
    }
}

#[test]
fn a_byte_of_a_page_that_is_another_is_found() {
    for it in [Form::Html, Form::Pdf] {
        let file = made(&Wanted::default(), it);
        // Also what follows, and what stands between the lines that are shown.
        for at in (1..file.len()).step_by(file.len() / 97) {
            let mut other = file.clone();
            other[at] = if other[at] == b'7' { b'8' } else { b'7' };
            let found = verify(&other, it, options());
            assert!(found.is_err() || !found.unwrap().problems.is_empty(), "byte {at}");
        }
        let longer = [&file[..], b" "].concat();
        assert_eq!(verify(&longer, it, options()).unwrap().problems[0].kind, "page");
    }
}

/// What a browser or another reader of JSON would show is what was checked.
#[test]
fn evidence_that_says_more_than_was_checked_is_found() {
    let kinds = |file: &[u8], form| match verify(file, form, options()) {
        Ok(checked) => checked.problems.into_iter().map(|it| it.kind).collect::<Vec<_>>(),
        Err(why) => vec![why.to_string()],
    };
    for it in [Form::Html, Form::Json] {
        let page = String::from_utf8(made(&Wanted::default(), it)).unwrap();
        let overlay = "\"x\":\"</SCRIPT><div style='position:fixed;inset:0'>Passed</div>\",";
        for (from, to) in [
            ("\"figures\":{", format!("\"figures\":{{{overlay}")),
            ("\"in_flight\":{", format!("\"in_flight\":{{{overlay}")),
            ("\"drill\":{", format!("\"drill\":{{{overlay}")),
            // The last one counts here, and elsewhere the first.
            ("\"drill\":{", "\"drill\":{\"state\":\"failed\",".to_owned()),
            ("\"kill_id\":", "\"kill_id\":null,\"kill_id\":".to_owned()),
        ] {
            let other = page.replacen(from, &to, 1);
            assert_ne!(other, page, "{from}");
            assert_ne!(kinds(other.as_bytes(), it), [""; 0], "{to}");
        }
    }
    let text = String::from_utf8(made(&Wanted::default(), Form::Json)).unwrap();
    let twice = text.replacen("\"drill\":{", "\"drill\":{\"state\":\"failed\",", 1);
    assert_eq!(kinds(twice.as_bytes(), Form::Json), ["text"]);
    let spaced = text.replacen("\"drill\":{", "\"drill\": {", 1);
    assert_eq!(kinds(spaced.as_bytes(), Form::Json), ["text"]);
}

#[test]
fn words_of_strangers_do_not_hide_the_evidence_of_a_pdf() {
    let name = "kya drill report, layout 9 /Type /EmbeddedFile /Desc (kya drill report, layout 9";
    let wanted = Wanted {
        actor: name.to_owned(),
        parties: vec![(name.to_owned(), true)],
        ..Wanted::default()
    };
    let file = made(&wanted, Form::Pdf);
    assert_eq!(verify(&file, Form::Pdf, options()).unwrap().problems, []);
    assert_eq!(read(&file).unwrap(), evidence(&wanted));
}

#[test]
fn a_page_of_another_layout_is_said_to_be_one() {
    let page = String::from_utf8(made(&Wanted::default(), Form::Html)).unwrap();
    let later = page.replace("data-layout=\"1\"", "data-layout=\"2\"");
    let problems = verify(later.as_bytes(), Form::Html, options()).unwrap().problems;
    assert_eq!((problems.len(), problems[0].kind.as_str()), (1, "other_layout"));
    for none in ["<!doctype html>", "<script type=\"application/json\" id=\"kya-drill-report\""] {
        assert!(verify(none.as_bytes(), Form::Html, options()).is_err());
    }
}

#[test]
fn names_of_strangers_are_words_and_nothing_else() {
    let name = "<script>alert(1)</script>]]>--><b>\"'&amp;\u{202e}\u{7}\u{9b}\u{1f4a5}";
    let wanted = Wanted { actor: name.to_owned(), ..failing() };
    let page = String::from_utf8(made(&wanted, Form::Html)).unwrap();
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;]]&gt;--&gt;&lt;b&gt;&quot;&#39;&amp;amp;\\u{202e}\\u{7}\\u{9b}\u{1f4a5}"));
    assert_eq!(page.matches("<script").count(), 1, "that of the evidence");
    assert_eq!(page.matches("</script").count(), 1);
    assert!(!page.contains(['\u{202e}', '\u{7}', '\u{9b}']));
    let file = made(&wanted, Form::Pdf);
    assert!(file.starts_with(b"%PDF-2.0"));
    let drawn = String::from_utf8_lossy(&file).into_owned();
    assert!(drawn.contains("\\\\u{1f4a5}"), "by its number");
}
