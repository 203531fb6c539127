//! `kya drill report` and `kya audit verify` without any server: what is made of evidence, and
//! each way to change it.

use std::path::{Path, PathBuf};

use kya_core::testing::audit::audit_key;
use kya_core::testing::drill::{DRILL, Wanted, evidence};
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::*;

fn kya(args: &[&str]) -> Ended {
    let mut command = command("http://127.0.0.1:1", args);
    command.env_remove("KYA_TOKEN").env("KYA_AUDIT_KEY", audit_key(1).to_string());
    end(command.spawn().unwrap())
}

fn verified(file: &Path) -> Ended {
    kya(&["-o", "json", "audit", "verify", file.to_str().unwrap()])
}

/// What is wrong with a file: kinds and places.
fn wrong(file: &Path) -> Vec<(String, String)> {
    let ended = verified(file);
    assert_eq!(ended.code, 7, "{ended:?}");
    let problem = ended.problem();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let all = problem["verification"]["problems"].as_array().unwrap().iter();
    all.map(|it| (text(&it["kind"]), text(&it["at"]))).collect()
}

/// The evidence, and a report of each format made of it.
fn reports(folder: &Path, wanted: &Wanted) -> [PathBuf; 3] {
    let source = folder.join("source.json");
    std::fs::write(&source, evidence(wanted).text().unwrap()).unwrap();
    ["html", "pdf", "json"].map(|format| {
        let out = folder.join(format!("drill.{format}"));
        let files = ["--from", source.to_str().unwrap(), "--out", out.to_str().unwrap()];
        let ended = kya(&[&["drill", "report", "--format", format], &files[..]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        out
    })
}

#[test]
fn each_format_is_made_of_the_evidence_in_any_other_and_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let made = reports(folder.path(), &Wanted::default());
    for file in &made {
        let ended = verified(file);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(ended.json()["files"][0]["drill"]["drill_id"], DRILL);
        assert_eq!(ended.json()["files"][0]["report"]["outcome"], "partial");
        let again = folder.path().join("again.html");
        let files = ["--from", file.to_str().unwrap(), "--out", again.to_str().unwrap()];
        assert_eq!(kya(&[&["drill", "report"], &files[..]].concat()).code, 0);
        assert_eq!(std::fs::read(&again).unwrap(), std::fs::read(&made[0]).unwrap());
    }
    let shown = kya(&["audit", "verify", made[1].to_str().unwrap()]);
    assert!(shown.out.contains(&format!("{DRILL}: passed, begun by ada")), "{shown:?}");
    assert!(shown.out.contains("its figures follow from the 5 samples"), "{shown:?}");
    // By another key it is nobody's word.
    let key = audit_key(2).to_string();
    let other = kya(&["audit", "verify", made[0].to_str().unwrap(), "--key", &key]);
    assert_eq!(other.code, 7, "{other:?}");
    assert!(other.err.contains("wrong_key"), "{other:?}");
}

#[test]
fn what_was_changed_in_a_report_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let [html, pdf, json] = reports(folder.path(), &Wanted::default());
    let p99 = evidence(&Wanted::default()).drill["result"]["last_rejection_ms"]["p99"].clone();
    let shown = format!("{:.3}", p99.as_f64().unwrap());
    let changed = |file: &Path, from: &str, to: &str, which: usize| {
        // A PDF is no UTF-8: each byte is a character here.
        let text: String = std::fs::read(file).unwrap().into_iter().map(char::from).collect();
        let at = text.match_indices(from).nth(which).unwrap_or_else(|| panic!("no {from}")).0;
        let other = format!("{}{to}{}", &text[..at], &text[at + from.len()..]);
        let place = folder.path().join("changed");
        let bytes: Vec<u8> = other.chars().map(|it| u8::try_from(it).unwrap()).collect();
        std::fs::write(&place, bytes).unwrap();
        wrong(&place)
    };
    let is = |found: &[(String, String)], kind: &str, at: &str| {
        let here = found.iter().any(|it| it.0 == kind && it.1.starts_with(at));
        assert!(here, "{kind} at {at}: {found:?}");
    };
    // A figure that is shown, a point of the chart, and a word.
    is(
        &changed(&html, &format!("<td class=\"n\">{shown}</td>"), "<td class=\"n\">0.900</td>", 0),
        "page",
        "line ",
    );
    is(&changed(&html, "<polyline points=\"", "<polyline points=\"1", 9), "page", "line ");
    is(&changed(&html, "Passed: ", "Failed: ", 0), "page", "line ");
    is(&changed(&pdf, &format!("({shown})"), "(0.900)", 0), "page", "page");
    // In the evidence of each.
    for file in [&html, &pdf, &json] {
        let figure = changed(file, "\"p99\":", "\"p99\":1", 0);
        is(&figure, "figure", "drill.result.");
        let sample = changed(file, "\"allowed\",", "\"missed\", ", 3);
        is(&sample, "sample", "sample 1");
        is(&sample, "figure", "sample 1, party payments.");
        is(&changed(file, "\"acknowledged\":2", "\"acknowledged\":3", 6), "receipt", "receipt 2");
        is(
            &changed(file, "\\\"drill.ended\\\"", "\\\"drill.other\\\"", 0),
            "edited",
            "export, line ",
        );
        is(&changed(file, "\"kill_id\":\"kil_", "\"kill_id\":\"kil_X", 6), "no_kill", "sample 2");
    }
}

#[test]
fn the_figures_are_those_of_the_probes_in_another_way() {
    let document = serde_json::to_value(evidence(&Wanted::default())).unwrap();
    assert_figures(&document);
}

/// From the probes alone, by other code than that which is tested.
fn assert_figures(document: &Value) {
    let micros = |value: &Value| value.as_i64().unwrap();
    let (mut firsts, mut lasts) = (Vec::new(), Vec::new());
    for sample in document["samples"].as_array().unwrap() {
        let (mut first_of_all, mut last_of_all) = (i64::MAX, 0);
        for party in sample["parties"].as_array().unwrap() {
            let probes = party["probes"].as_array().unwrap();
            let allowed = probes.iter().filter(|it| it[3] == "allowed");
            let last_allow = allowed.map(|it| micros(&it[1])).max().unwrap();
            let mut rejected: Vec<_> = probes
                .iter()
                .filter(|it| it[3] == "denied:agent_suspended" && micros(&it[2]) >= 0)
                .collect();
            rejected.sort_by_key(|it| micros(&it[2]));
            first_of_all = first_of_all.min(micros(&rejected[0][2]));
            let after = rejected.iter().find(|it| micros(&it[1]) > last_allow).unwrap();
            last_of_all = last_of_all.max(micros(&after[2]));
        }
        firsts.push(first_of_all);
        lasts.push(last_of_all);
    }
    for (name, mut figures) in [("first_rejection_ms", firsts), ("last_rejection_ms", lasts)] {
        figures.sort_unstable();
        let rank = |percent: usize| figures[(figures.len() * percent).div_ceil(100).max(1) - 1];
        let shown = &document["drill"]["result"][name];
        for (member, percent) in [("p50", 50), ("p90", 90), ("p99", 99), ("max", 100)] {
            let expected = rank(percent) as f64 / 1000.0;
            assert_eq!(shown[member].as_f64(), Some(expected), "{name}.{member}");
        }
    }
}

#[test]
fn what_cannot_be_made_or_read_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let [html, ..] = reports(folder.path(), &Wanted::default());
    let report = |args: &[&str]| kya(&[&["drill", "report"], args].concat());
    for (args, part) in [
        (&[][..], "required"),
        (&[DRILL, "--from", "x"], "cannot be used with"),
        (&["--from", "/nonexistent/kya"], "--from /nonexistent/kya: cannot be read"),
        (&["--from", "Cargo.toml"], "there is no evidence in this file"),
    ] {
        let ended = report(args);
        assert_eq!(ended.code, 2, "{args:?}: {ended:?}");
        assert!(ended.err.contains(part), "{args:?}: {ended:?}");
    }
    // Nothing is given out that does not verify.
    let text = std::fs::read_to_string(&html).unwrap();
    let place = folder.path().join("changed.html");
    std::fs::write(&place, text.replace("\"acknowledged\":2", "\"acknowledged\":3")).unwrap();
    let out = folder.path().join("none.pdf");
    let files = ["--from", place.to_str().unwrap(), "--out", out.to_str().unwrap()];
    let ended = report(&[&["--format", "pdf"], &files[..]].concat());
    assert_eq!((ended.code, out.exists()), (7, false), "{ended:?}");
    let mut unpinned = command("http://127.0.0.1:1", &[&["drill", "report"], &files[..]].concat());
    let ended = end(unpinned.env_remove("KYA_AUDIT_KEY").spawn().unwrap());
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("pin the key"), "{ended:?}");
}

#[test]
fn a_browser_shows_it_loads_nothing_and_runs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let name = "<script>document.title='x'</script><img src=//evil.example onerror=alert(1)>]]>-->";
    let parties = vec![("payments".to_owned(), true), ("open".to_owned(), false)];
    let wanted = Wanted {
        actor: name.to_owned(),
        samples: 20,
        parties,
        p99_ms: Some(50),
        ..Wanted::default()
    };
    let [html, ..] = reports(folder.path(), &wanted);
    let mut browser = Browser::open(&html);
    let title = browser.evaluate("document.title");
    assert_eq!(title, json!(format!("Drill of the kill switch {DRILL}")));
    let counted =
        "[...'h1 svg script img'.split(' ')].map((it) => document.querySelectorAll(it).length)";
    assert_eq!(browser.evaluate(counted), json!([1, 2, 1, 0]));
    let shown = browser.evaluate("document.querySelector('main').innerText");
    assert!(shown.as_str().unwrap().contains(name), "{shown}");
    // Nothing is wider than the window.
    let wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.evaluate(wide), 0);
    let picture = browser.picture();
    assert!(picture.starts_with(b"\x89PNG") && picture.len() > 50_000, "{}", picture.len());
    std::fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("drill-report.png"), picture)
        .unwrap();
    assert_eq!(browser.complaints, [""; 0]);
    assert_eq!(browser.requests, [format!("file://{}", html.display())]);
}
