//! Evidence that is whole, and each way to change it.

use serde_json::json;

use super::*;
use crate::audit::verify::Options;
use crate::testing::audit::audit_key;
use crate::testing::drill::{Wanted, evidence};

fn options() -> Options {
    Options { keys: vec![audit_key(1)], ..Options::default() }
}

/// Kinds and places of what is wrong.
fn wrong(document: &Document) -> Vec<(String, String)> {
    let found = check(document, options());
    found.problems.into_iter().map(|it| (it.kind, it.at)).collect()
}

fn pair(kind: &str, at: &str) -> (String, String) {
    (kind.to_owned(), at.to_owned())
}

#[test]
fn what_was_recorded_and_signed_verifies() {
    for samples in [1, 5] {
        let document = evidence(&Wanted { samples, ..Wanted::default() });
        assert_eq!(wrong(&document), []);
        let facts = check(&document, options()).facts.unwrap();
        assert_eq!((facts.state.as_str(), facts.stops.len()), ("passed", samples));
        assert!(facts.stops.iter().all(|it| it.receipt.is_some() && it.restored.is_some()));
        assert!(facts.trail.hidden > 0, "only its own records are shown");
    }
}

#[test]
fn its_text_is_ascii_that_can_stand_in_a_page_and_is_read_as_it_was() {
    let actor = "</script><!-- ]]> \u{202e}\u{7f}\u{1f4a5}\u{0} &amp; \u{2028}";
    let document = evidence(&Wanted { actor: actor.to_owned(), ..Wanted::default() });
    assert_eq!(wrong(&document), []);
    let text = document.text().unwrap();
    assert!(text.is_ascii());
    assert!(!text.contains(['<', '>', '&', '\u{7f}', '\u{0}']), "{text}");
    assert_eq!(Document::read(text.as_bytes()).unwrap(), document);
    assert_eq!(document.drill["started"]["actor"], actor);
}

#[test]
fn what_is_no_evidence_is_refused() {
    let text = evidence(&Wanted::default()).text().unwrap();
    let read = |text: &str| Document::read(text.as_bytes()).unwrap_err();
    assert!(matches!(read("{}"), BadDocument::Form(_)));
    assert!(matches!(read(&text[..text.len() - 9]), BadDocument::Form(_)));
    let later = text.replacen("{\"kya_drill_report\":1", "{\"kya_drill_report\":2", 1);
    assert_eq!(read(&later), BadDocument::Version(2));
    let more = text.replacen("{\"kya_drill_report\":1", "{\"kya_drill_report\":1,\"more\":1", 1);
    assert!(matches!(read(&more), BadDocument::Form(_)));
}

#[test]
fn another_figure_is_named() {
    let mut document = evidence(&Wanted::default());
    document.drill["result"]["last_rejection_ms"]["p99"] = json!(0.5);
    assert_eq!(wrong(&document), [pair("figure", "drill.result.last_rejection_ms.p99")]);
    let mut document = evidence(&Wanted::default());
    document.drill["stops"][2]["last_rejection_us"] = json!(1);
    assert_eq!(wrong(&document), [pair("fact", "drill.stops[2].last_rejection_us")]);
    let mut document = evidence(&Wanted::default());
    document.drill["started"]["actor"] = json!("somebody else");
    assert_eq!(wrong(&document), [pair("fact", "drill.started.actor")]);
}

#[test]
fn another_sample_is_named() {
    let mut document = evidence(&Wanted::default());
    // A probe that was allowed after the acknowledgement, made one that was rejected.
    let probes = document.samples[1].parties[0].probes.as_mut().unwrap();
    let first = probes.iter().position(|it| it.outcome.rejects()).unwrap();
    let copy = probes[first].outcome;
    probes[first - 1].outcome = copy;
    let found = wrong(&document);
    assert!(found.contains(&pair("sample", "sample 2")), "{found:?}");
    let figure = "sample 2, party payments.settled_us";
    assert!(found.contains(&pair("figure", figure)), "{found:?}");

    let mut document = evidence(&Wanted::default());
    document.samples[1].parties[0].figures.settled_us = Some(1);
    let found = wrong(&document);
    assert!(found.contains(&pair("sample", "sample 2")), "{found:?}");
    assert!(found.contains(&pair("figure", figure)), "{found:?}");

    let mut document = evidence(&Wanted::default());
    document.samples.swap(0, 3);
    let found = wrong(&document);
    assert!(found.contains(&pair("sample", "sample 1")), "{found:?}");

    let mut document = evidence(&Wanted::default());
    document.samples.pop();
    assert!(wrong(&document).contains(&pair("sample", "samples")));
}

#[test]
fn a_receipt_that_does_not_count_is_named() {
    let changed = |change: &dyn Fn(&mut Document)| {
        let mut document = evidence(&Wanted::default());
        change(&mut document);
        wrong(&document)
    };
    let id = evidence(&Wanted::default()).samples[1].kill_id.clone().unwrap();
    let at = format!("receipt 2 ({id})");
    for found in [
        changed(&|it| it.receipts[1]["receipt"]["acknowledged"] = json!(3)),
        changed(&|it| it.receipts[1]["note"] = it.receipts[2]["note"].clone()),
        changed(&|it| {
            it.receipts.swap(0, 1);
            it.receipts[1] = it.receipts[0].clone();
        }),
    ] {
        assert!(found.contains(&pair("receipt", &at)), "{found:?}");
    }
    let found = changed(&|it| drop(it.receipts.remove(1)));
    assert!(found.contains(&pair("no_receipt", "sample 2")), "{found:?}");
}

#[test]
fn a_record_that_was_changed_is_named_with_its_line() {
    let mut document = evidence(&Wanted::default());
    let line = document.export.iter().position(|it| it.contains("drill.ended")).unwrap();
    document.export[line] = document.export[line].replace("\"p99\":", "\"p99\":1");
    let found = wrong(&document);
    let at = format!("export, line {}", line + 1);
    assert!(found.contains(&pair("edited", &at)), "{found:?}");
    assert!(found.iter().all(|(_, it)| it.starts_with("export, ")), "{found:?}");

    let mut document = evidence(&Wanted::default());
    document.export.pop();
    assert_eq!(wrong(&document)[0].0, "cut_tail");
    document.export.clear();
    assert!(!wrong(&document).is_empty());
    let other = Options { keys: vec![audit_key(2)], ..Options::default() };
    let found = check(&evidence(&Wanted::default()), other).problems;
    assert_eq!(found[0].kind, "wrong_key");
    assert!(!check(&evidence(&Wanted::default()), Options::default()).problems.is_empty());
}

#[test]
fn a_kill_that_is_of_another_drill_counts_for_none() {
    let mut document = evidence(&Wanted::default());
    document.samples[4].kill_id = document.samples[3].kill_id.clone();
    let found = wrong(&document);
    assert!(found.contains(&pair("no_kill", "sample 5")), "{found:?}");
    document.samples[4].kill_id = None;
    assert!(wrong(&document).contains(&pair("no_kill", "sample 5")));
    document.samples[4].kill_id = Some("kil_01KGQH0RN0EK57VYVZFXYZF3V9".to_owned());
    assert!(wrong(&document).contains(&pair("no_kill", "sample 5")));
    document.drill["drill_id"] = json!("drl_01KGQH0RN0EK57VYVZFXYZF3V2");
    assert_eq!(wrong(&document), [pair("no_drill", "drill.drill_id")]);
}

/// A later one is of a later stop: it would make a recovery look slow, or be there at all.
#[test]
fn a_restoration_that_is_not_shown_is_missed() {
    for hidden in [0, 4] {
        let wanted = Wanted { hidden_restoration: Some(hidden), ..Wanted::default() };
        let document = evidence(&wanted);
        let facts = check(&document, options()).facts.unwrap();
        assert!(facts.stops[hidden].restored.is_none());
        let found = wrong(&document);
        assert_eq!(found, [pair("no_restoration", &facts.stops[hidden].kill_id)]);
    }
}

#[test]
fn a_drill_that_failed_verifies_as_one() {
    let parties = vec![("payments".to_owned(), true), ("open".to_owned(), false)];
    let document = evidence(&Wanted { parties, ..Wanted::default() });
    assert_eq!(wrong(&document), []);
    assert_eq!(document.drill["state"], "failed");
    let dead = evidence(&Wanted { samples: 0, ..Wanted::default() });
    assert_eq!(wrong(&dead), []);
    assert_eq!(dead.drill["stops"], json!([]));
}
