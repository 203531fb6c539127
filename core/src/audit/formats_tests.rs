use serde_json::json;

use super::*;

const DECISION: &str = r#"{"action":"pay","agent_id":"agt_1","decision":"allow","end":{"disposition":"committed","duration_us":1200,"payload":{"bytes":5,"hashed":"whole","sha256":"ab"},"upstream_status":201},"instance":"00000000000000ff","number":9,"parent_span_id":"00f067aa0ba902b7","proxy":"edge","recorded":"2026-02-05T14:47:03.100000Z","seq":7,"time":"2026-02-05T14:47:03.000250Z","type":"decision","worker":0}"#;

/// A record that somebody has put their own texts into.
fn admin(reason: &str, subject: &str) -> String {
    json!({
        "seq": 8, "time": "2026-02-05T14:47:03.000250Z", "recorded": "2026-02-05T14:47:03.000250Z",
        "type": "admin", "reason": reason, "subject": subject, "after": {"name": reason},
    })
    .to_string()
}

/// The cells of a line, as RFC 4180 has them read.
fn cells(line: &str) -> Vec<String> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut rest = line.strip_suffix("\r\n").unwrap().chars().peekable();
    while let Some(next) = rest.next() {
        match next {
            '"' if quoted && rest.peek() == Some(&'"') => cell.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => cells.push(std::mem::take(&mut cell)),
            other => cell.push(other),
        }
    }
    assert!(!quoted, "{line}");
    cells.push(cell);
    cells
}

fn column(line: &str, name: &str) -> String {
    cells(line)[CSV_COLUMNS.iter().position(|it| *it == name).unwrap()].clone()
}

#[test]
fn a_decision_is_a_line_of_csv() {
    let row = csv_row(DECISION).unwrap();
    assert_eq!(cells(&csv_header()), CSV_COLUMNS);
    assert_eq!(cells(&row).len(), CSV_COLUMNS.len());
    for (name, value) in [
        ("seq", "7"),
        ("time", "2026-02-05T14:47:03.000250Z"),
        ("type", "decision"),
        ("decision", "allow"),
        ("reason", ""),
        ("disposition", "committed"),
        ("upstream_status", "201"),
        ("payload_sha256", "ab"),
        ("payload_bytes", "5"),
        ("number", "9"),
        ("other", r#"{"parent_span_id":"00f067aa0ba902b7"}"#),
    ] {
        assert_eq!(column(&row, name), value, "{name}");
    }
}

#[test]
fn nothing_in_a_cell_begins_another_or_is_a_formula() {
    for (text, shown) in [
        ("a,b", "a,b"),
        ("say \"no\"", "say \"no\""),
        ("two\r\nlines", "two\r\nlines"),
        ("=1+2\";=HYPERLINK(\"http://x\")", "'=1+2\";=HYPERLINK(\"http://x\")"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("\n=1", "'\n=1"),
        ("＝1", "'＝1"),
        ("支払", "支払"),
        ("", ""),
    ] {
        let row = csv_row(&admin(text, "agt_1")).unwrap();
        assert_eq!(cells(&row).len(), CSV_COLUMNS.len(), "{row}");
        assert_eq!(column(&row, "reason"), shown);
        assert_eq!(column(&row, "subject"), "agt_1");
        let other: Value = serde_json::from_str(&column(&row, "other")).unwrap();
        assert_eq!(other, json!({ "after": { "name": text } }));
    }
}

#[test]
fn a_record_is_a_cloud_event() {
    let event: Value =
        serde_json::from_str(&cloud_event(DECISION, "kya.example/audit").unwrap()).unwrap();
    let data: Value = serde_json::from_str(DECISION).unwrap();
    assert_eq!(
        event,
        json!({
            "specversion": "1.0",
            "id": "7",
            "source": "//kya.example/audit",
            "type": "kya.audit.decision",
            "time": "2026-02-05T14:47:03.000250Z",
            "recordedtime": "2026-02-05T14:47:03.100000Z",
            "subject": "agt_1",
            "datacontenttype": "application/json",
            "data": data,
        })
    );
    let of = |record: &str, origin: &str| -> Value {
        serde_json::from_str(&cloud_event(record, origin).unwrap()).unwrap()
    };
    let event = of(&admin("r", "alice@example.com"), "a b/ü#?%");
    assert_eq!(event["subject"], "alice@example.com");
    assert_eq!(event["source"], "//a%20b/%C3%BC%23%3F%25");
    assert_eq!(of(&admin("r", ""), "a").get("subject"), None);
}

#[test]
fn what_is_no_record_is_refused() {
    for bad in [
        "",
        "[]",
        "7",
        r#"{"seq":1}"#,
        r#"{"seq":"1","time":"t","recorded":"r","type":"x"}"#,
        r#"{"seq":1,"time":1,"recorded":"r","type":"x"}"#,
        r#"{"seq":1,"time":"t","recorded":"r","type":7}"#,
        r#"{"seq":1,"time":"t","recorded":"r","type":"x"} x"#,
    ] {
        assert_eq!(csv_row(bad), Err(NoRecord), "{bad}");
        assert_eq!(cloud_event(bad, "a"), Err(NoRecord), "{bad}");
    }
    // A type that is not known is one of a newer control plane.
    assert!(csv_row(r#"{"seq":1,"time":"t","recorded":"r","type":"x"}"#).is_ok());
}
