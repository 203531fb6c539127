//! The page in a browser: the true file, opened from the disk, with a person's means: files
//! that are chosen, a key that is typed, a button.

mod support;

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
