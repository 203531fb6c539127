use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::audit::{Decided, Entry, Record, Source, Timestamp, Verdict};

/// RFC 8785 appendix B: the bits of a number and how it is written.
const NUMBERS: [(u64, &str); 24] = [
    (0x0000_0000_0000_0000, "0"),
    (0x8000_0000_0000_0000, "0"),
    (0x0000_0000_0000_0001, "5e-324"),
    (0x8000_0000_0000_0001, "-5e-324"),
    (0x7fef_ffff_ffff_ffff, "1.7976931348623157e+308"),
    (0xffef_ffff_ffff_ffff, "-1.7976931348623157e+308"),
    (0x4340_0000_0000_0000, "9007199254740992"),
    (0xc340_0000_0000_0000, "-9007199254740992"),
    (0x4430_0000_0000_0000, "295147905179352830000"),
    (0x44b5_2d02_c7e1_4af5, "9.999999999999997e+22"),
    (0x44b5_2d02_c7e1_4af6, "1e+23"),
    (0x44b5_2d02_c7e1_4af7, "1.0000000000000001e+23"),
    (0x444b_1ae4_d6e2_ef4e, "999999999999999700000"),
    (0x444b_1ae4_d6e2_ef4f, "999999999999999900000"),
    (0x444b_1ae4_d6e2_ef50, "1e+21"),
    (0x3eb0_c6f7_a0b5_ed8c, "9.999999999999997e-7"),
    (0x3eb0_c6f7_a0b5_ed8d, "0.000001"),
    (0x41b3_de43_5555_5553, "333333333.3333332"),
    (0x41b3_de43_5555_5554, "333333333.33333325"),
    (0x41b3_de43_5555_5555, "333333333.3333333"),
    (0x41b3_de43_5555_5556, "333333333.3333334"),
    (0x41b3_de43_5555_5557, "333333333.33333343"),
    (0xbecb_f647_612f_3696, "-0.0000033333333333333333"),
    (0x4314_3ff3_c1cb_0959, "1424953923781206.2"),
];

fn canonical(value: &Value) -> String {
    Canonical::of(value).unwrap().into_string()
}

/// What is a record, so that [`Canonical::read`] has nothing else to refuse.
fn around(value: &str) -> String {
    let time = "2026-02-05T14:47:03.000250Z";
    format!(r#"{{"recorded":"{time}","seq":7,"time":"{time}","type":"admin","z":{value}}}"#)
}

fn record() -> Record {
    Record {
        seq: 3,
        time: Timestamp(1_770_302_823_000_250),
        recorded: Timestamp(1_770_302_823_004_000),
        entry: Entry::Decision(Box::new(Decided {
            source: Source {
                proxy: "payments-1".into(),
                worker: 1,
                instance: "00f1e2d3c4b5a697".into(),
                number: 12,
            },
            decision: Verdict::Allow,
            reason: None,
            agent_id: Some("agt_01jkqz6v7m0000000000000000".into()),
            principal_id: None,
            token_id: Some("tok_01jkqz6v7m0000000000000001".into()),
            service: Some("payments".into()),
            action: Some("charge.create".into()),
            method: Some("POST".into()),
            path_template: Some("/v1/charges".into()),
            policy_id: None,
            policy_version: None,
            epoch: Some(1_770_302_000_000),
            revision: Some(42),
            state_age_ms: Some(180),
            request_id: Some("7d9e2c1a-0000-4000-8000-000000000000".into()),
            trace_id: None,
            parent_span_id: None,
            end: None,
        })),
    }
}

#[test]
fn a_record_is_one_line_in_the_order_of_its_names() {
    let text = Canonical::of(&record()).unwrap().into_string();
    assert_eq!(
        text,
        "{\"action\":\"charge.create\",\"agent_id\":\"agt_01jkqz6v7m0000000000000000\",\
         \"decision\":\"allow\",\"epoch\":1770302000000,\"instance\":\"00f1e2d3c4b5a697\",\
         \"method\":\"POST\",\"number\":12,\"path_template\":\"/v1/charges\",\
         \"proxy\":\"payments-1\",\"recorded\":\"2026-02-05T14:47:03.004000Z\",\
         \"request_id\":\"7d9e2c1a-0000-4000-8000-000000000000\",\"revision\":42,\"seq\":3,\
         \"service\":\"payments\",\"state_age_ms\":180,\
         \"time\":\"2026-02-05T14:47:03.000250Z\",\
         \"token_id\":\"tok_01jkqz6v7m0000000000000001\",\"type\":\"decision\",\"worker\":1}"
    );
    let outline = Canonical::read(&text).unwrap();
    assert_eq!((outline.seq, outline.kind), (3, "decision"));
    assert_eq!(outline.recorded, record().recorded);
    assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record());
}

#[test]
fn names_are_sorted_by_utf_16_as_in_the_example_of_rfc_8785() {
    // Section 3.2.3.
    let value: Value = serde_json::from_str(
        r#"{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",
            "1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control",
            "\u00f6":"Latin Small Letter O With Diaeresis"}"#,
    )
    .unwrap();
    let order = [
        "Carriage Return",
        "One",
        "Control",
        "Latin Small Letter O With Diaeresis",
        "Euro Sign",
        "Emoji: Grinning Face",
        "Hebrew Letter Dalet With Dagesh",
    ];
    let text = canonical(&value);
    let places: Vec<_> = order.iter().map(|it| text.find(it).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    assert!(Canonical::read(&around(&text)).is_ok());
}

#[test]
fn the_example_of_rfc_8785_is_written_as_there() {
    // Sections 3.2.2 and 3.2.4.
    let value: Value = serde_json::from_str(
        r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],
            "string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
    )
    .unwrap();
    let expected = "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\
                    \"string\":\"\u{20ac}$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}";
    assert_eq!(canonical(&value), expected);
    assert!(Canonical::read(&around(expected)).is_ok());
}

#[test]
fn numbers_are_written_as_in_appendix_b_of_rfc_8785() {
    for (bits, text) in NUMBERS {
        assert_eq!(canonical(&json!(f64::from_bits(bits))), text);
        assert!(Canonical::read(&around(text)).is_ok(), "{text}");
    }
    assert!(Canonical::read(&around("-0")).is_err());
}

#[test]
fn what_not_every_parser_reads_alike_has_no_canonical_form() {
    assert!(Canonical::of(&((1u64 << 53) - 1)).is_ok());
    assert!(Canonical::of(&(1u64 << 53)).is_err());
    assert!(Canonical::of(&-(1i64 << 53)).is_err());
    assert!(Canonical::of(&u128::MAX).is_err());
    #[derive(serde::Serialize)]
    struct Twice {
        a: u8,
        #[serde(rename = "a")]
        b: u8,
    }
    assert!(Canonical::of(&Twice { a: 1, b: 2 }).is_err());
    let long = Canonical::of(&"a".repeat(MAX_RECORD_BYTES));
    assert!(matches!(long, Err(CanonicalError::TooLong(bytes)) if bytes == MAX_RECORD_BYTES + 2));
}

#[test]
fn another_spelling_is_not_canonical() {
    let good = around("0");
    assert!(Canonical::read(&good).is_ok());
    for (from, to) in [
        ("{", "{ "),
        (":0}", ":0} "),
        (":0}", ":0}\n"),
        (":0}", ":00}"),
        (":0}", ":0.0}"),
        (":0}", ":1e2}"),
        (":0}", ":1E+30}"),
        (":0}", ":+1}"),
        (":0}", ":.5}"),
        (":0}", ":NaN}"),
        (":0}", ":9007199254740993}"),
        (":0}", ":0,}"),
        (":0}", ":0"),
        (":0}", ":}"),
        (":0}", ":[1,]}"),
        (":0}", ":[1 ,2]}"),
        (":0}", ":[1"),
        (":0}", ":nul}"),
        (":0}", ":True}"),
        (":0}", r#":"\/"}"#),
        (":0}", r#":"\u0041"}"#),
        (":0}", r#":"\u000a"}"#),
        (":0}", r#":"\u000F"}"#),
        (":0}", r#":"\u001"}"#),
        (":0}", r#":"\ud83d"}"#),
        (":0}", ":\"\n\"}"),
        (":0}", ":\"}"),
        (":0}", r#":{"b":1,"a":2}}"#),
        (":0}", r#":{"a":1,"a":2}}"#),
        (":0}", r#":{"a" :1}}"#),
        (":0}", ":{a:1}}"),
        (r#""z""#, r#""y":1,"x""#),
        (r#""z""#, r#""type""#),
    ] {
        let text = good.replacen(from, to, 1);
        assert!(matches!(Canonical::read(&text), Err(NotCanonical::At(_))), "{text}");
    }
    for text in ["", "7", "[]", "null"] {
        assert!(Canonical::read(text).is_err());
    }
    let deep = |depth: usize| around(&("[".repeat(depth) + &"]".repeat(depth)));
    assert!(Canonical::read(&deep(31)).is_ok());
    assert!(Canonical::read(&deep(32)).is_err());
    assert!(Canonical::read(&deep(100_000)).is_err());
}

#[test]
fn what_is_canonical_and_no_record_is_said_to_be_none() {
    for (from, to) in [
        (r#""seq":7"#, r#""seq":0"#),
        (r#""seq":7"#, r#""seq":-7"#),
        (r#""seq":7"#, r#""seq":7.5"#),
        (r#""seq":7"#, r#""seq":"7""#),
        (r#""seq":7,"#, ""),
        (r#""type":"admin","#, ""),
        (r#""admin""#, r#""Admin""#),
        (r#""admin""#, r#""""#),
        (r#""recorded":"2026"#, r#""recorded":"026"#),
        (r#""time":"2026"#, r#""time":"026"#),
    ] {
        let text = around("0").replacen(from, to, 1);
        assert_eq!(Canonical::read(&text), Err(NotCanonical::NoRecord), "{text}");
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1i64 << 53) + 1..1 << 53).prop_map(Value::from),
        any::<f64>().prop_filter_map("finite", |it| it.is_finite().then(|| Value::from(it))),
        (-1e6..1e6f64).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[a-z\\\\\"\u{0}-\u{20}]{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(".{0,3}", inner, 0..6)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

fn written_at_once(record: &Record) -> String {
    Canonical::of(record).unwrap().into_string()
}

#[test]
fn a_draft_of_what_holds_its_own_names_again_is_none() {
    let act = |after: Value| {
        Entry::Admin(Box::new(crate::audit::Administered {
            event: 1,
            epoch: 2,
            revision: 3,
            actor: "alice".into(),
            address: None,
            act: "agent.revoked".into(),
            subject: "agt".into(),
            reason: None,
            incident_id: None,
            before: None,
            after: Some(after),
        }))
    };
    for (after, drafted) in [
        (json!({ "a": 1, "seq": 0, "z": 2 }), false),
        (json!({ "a": 1, "recorded": "", "z": 2 }), false),
        (json!(",\"seq\":0,\"recorded\":\"\""), true),
    ] {
        let draft = Draft::of(Timestamp(5), &act(after)).unwrap();
        assert_eq!(draft.is_some(), drafted);
    }
    let draft = Draft::of(Timestamp(5), &record().entry).unwrap().unwrap();
    assert!(draft.at((1 << 53) - 1, Timestamp(6)).is_ok());
    assert!(draft.at(1 << 53, Timestamp(6)).is_err());
    let Entry::Decision(mut long) = record().entry else { panic!() };
    long.method = Some("a".repeat(MAX_RECORD_BYTES));
    let draft = Draft::of(Timestamp(5), &Entry::Decision(long)).unwrap().unwrap();
    assert!(matches!(draft.at(1, Timestamp(6)), Err(CanonicalError::TooLong(_))));
}

proptest! {
    /// Whoever brings a record and whoever appends it write together what one alone writes.
    #[test]
    fn a_draft_at_its_place_is_the_record(
        seq in 0..1u64 << 53,
        times in any::<[u64; 2]>(),
        texts in any::<[String; 3]>(),
        has_end in any::<bool>(),
    ) {
        let mut record = Record {
            seq,
            time: Timestamp(times[0]),
            recorded: Timestamp(times[1]),
            entry: record().entry,
        };
        let [method, reason, proxy] = texts;
        if let Entry::Decision(decided) = &mut record.entry {
            decided.method = Some(method);
            decided.reason = Some(reason + "\",\"seq\":0,\"recorded\":\"");
            decided.source.proxy = proxy;
            decided.end = has_end.then_some(crate::audit::FlightEnd {
                disposition: crate::audit::Disposition::Committed,
                upstream_status: Some(200),
                duration_us: 5,
                cut_by_revision: None,
                payload: None,
            });
        }
        let draft = Draft::of(record.time, &record.entry).unwrap().unwrap();
        let placed = draft.at(record.seq, record.recorded).unwrap();
        prop_assert_eq!(placed.as_str(), written_at_once(&record));
    }

    #[test]
    fn another_implementation_writes_the_same(value in any_json()) {
        let text = canonical(&value);
        prop_assert_eq!(&text, &serde_json_canonicalizer::to_string(&value).unwrap());
        prop_assert!(Canonical::read(&around(&text)).is_ok(), "{}", text);
    }

    /// Whatever is taken for canonical is the one spelling of what it says.
    #[test]
    fn only_one_spelling_is_canonical(value in any_json(), at in 0..200usize, with in ".{0,2}") {
        let mut text: Vec<char> = canonical(&value).chars().collect();
        let at = at.min(text.len());
        text.splice(at..(at + 1).min(text.len()), with.chars());
        let text: String = text.into_iter().collect();
        if Canonical::read(&around(&text)).is_ok() {
            let whole: Value = serde_json::from_str(&around(&text)).unwrap();
            // A float of 2^53 or more may be written as an integer, and is then not written
            // again.
            if let Ok(again) = Canonical::of(&whole) {
                prop_assert_eq!(again.as_str(), around(&text));
            }
        }
    }
}
