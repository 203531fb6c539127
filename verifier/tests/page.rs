//! The page in a browser: the true file, opened from the disk, with a person's means: files
//! that are chosen, a key that is typed, a button.

mod support;

use std::path::Path;

use kya_core::audit::SignedCheckpoint;
use kya_core::audit::verify::{Options, Verifier};
use kya_core::testing::audit::{Trail, audit_key, forgeries};
use serde_json::Value;
use support::browser::Browser;

/// What the native verifier says.
fn native(file: &[u8], kept: &[String]) -> Value {
    let earlier = kept.iter().map(|it| SignedCheckpoint::parse(it).unwrap()).collect();
    let options = Options { keys: vec![audit_key(1)], earlier, whole_since: None };
    let mut verifier = Verifier::new(options);
    verifier.write(file);
    serde_json::to_value(verifier.finish()).unwrap()
}

#[test]
fn every_verdict_of_the_page_is_that_of_the_native_verifier() {
    let mut browser = Browser::start(&support::page());
    let trail = Trail::of(12);
    let hidden = trail.export_of(1, 12, &[], |seq| seq != 7);
    let good = [("whole", trail.export()), ("partial", hidden)];
    for (outcome, file) in good {
        let (report, shown) = browser.verify(file.as_bytes(), &[]);
        assert_eq!(report["outcome"], outcome);
        assert_eq!(report, native(file.as_bytes(), &[]));
        assert!(shown.starts_with("Verified"), "{shown}");
        assert!(shown.contains("12 records were signed at 2026-02-05T14:47:03"), "{shown}");
    }
    for forgery in forgeries() {
        let (report, shown) = browser.verify(&forgery.file, &forgery.earlier);
        assert_eq!(report, native(&forgery.file, &forgery.earlier), "{}", forgery.name);
        let first = &report["problems"][0];
        assert_eq!(first["kind"], forgery.kind, "{}: {report:#}", forgery.name);
        assert_eq!(first["record"].as_u64(), forgery.record, "{}: {report:#}", forgery.name);
        assert!(shown.to_lowercase().starts_with("not verified"), "{}: {shown}", forgery.name);
        assert!(shown.contains(first["detail"].as_str().unwrap()), "{}: {shown}", forgery.name);
    }
    // What is no key is said, and nothing is verified.
    browser.evaluate("document.getElementById('keys').value = 'something'");
    let (report, shown) = browser.press();
    assert_eq!(report, Value::Null);
    assert!(shown.contains("Nothing was verified") && shown.contains("name+id+base64"), "{shown}");
    // It breaks no rule of its own.
    assert_eq!(browser.complaints(), Vec::<String>::new());
}

#[test]
fn a_key_that_a_link_brings_counts_only_when_a_person_has_confirmed_it() {
    let link = format!("{}#key={}", support::page().display(), audit_key(1));
    let mut browser = Browser::start(Path::new(&link));
    let typed = browser.evaluate("document.getElementById('keys').value");
    assert_eq!(typed, audit_key(1).to_string(), "a `+` is one");
    let warned = "document.getElementById('linked').innerText";
    let warning = browser.evaluate(warned);
    assert!(warning.as_str().unwrap().contains("came from the link"), "{warning}");
    browser.choose_export(Trail::of(12).export().as_bytes());
    // The browser does not send such a form, and the page verifies nothing if one comes.
    assert_eq!(browser.evaluate("document.getElementById('form').checkValidity()"), false);
    let submit =
        "document.getElementById('form').dispatchEvent(new Event('submit', { cancelable: true }))";
    let (report, shown) = browser.after(submit);
    assert_eq!(report, Value::Null);
    assert!(shown.contains("Nothing was verified") && shown.contains("link"), "{shown}");

    browser.evaluate("document.getElementById('confirmed').checked = true");
    let (report, shown) = browser.press();
    assert_eq!(report["outcome"], "whole");
    assert!(shown.starts_with("Verified"), "{shown}");
    // Of a key that was typed nothing is asked.
    browser.evaluate(&format!(
        "document.getElementById('confirmed').checked = false;
         document.getElementById('keys').value = '{}';
         document.getElementById('keys').dispatchEvent(new Event('input'))",
        audit_key(9)
    ));
    assert_eq!(browser.evaluate("document.getElementById('linked').hidden"), true);
    assert_eq!(browser.press().0["outcome"], "tampered");
    assert_eq!(browser.complaints(), Vec::<String>::new());
}
