//! Whatever is written.

use super::*;

/// One of the fields with any JSON of small size in it, in place of what is right.
fn anything() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
        prop::sample::select(vec!["deny", "1s", "/a", "nc_a", "header", "authorization"])
            .prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        let key =
            prop::sample::select(vec!["header", "scheme", "websocket_protocol", "stale", "x"]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((key.prop_map(str::to_owned), inner), 0..3)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

const FIELDS: [&str; 18] = [
    "control_plane_cluster",
    "pull_cluster",
    "transport",
    "authority",
    "update_keys",
    "node_credential",
    "node_credential_env",
    "node_id",
    "realm",
    "token_sources",
    "exempt_paths",
    "service",
    "actions",
    "fail_modes",
    "audit",
    "max_staleness",
    "pull_interval",
    "max_introspections",
];

proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic(bytes: Vec<u8>) {
        let _ = Config::parse(&bytes, environment);
    }

    #[test]
    fn whatever_is_written_is_taken_whole_or_refused_by_name(
        field in prop::sample::select(FIELDS.to_vec()),
        value in anything(),
    ) {
        let mut document = least();
        document[field] = value;
        match parse(&document) {
            Ok(config) => prop_assert_eq!(config.namespace().len(), 12),
            Err(error) => {
                let message = error.to_string();
                prop_assert!(!error.field.is_empty(), "{message}");
                prop_assert!(!message.contains(HUSH), "{message}");
            }
        }
    }

    #[test]
    fn neither_order_nor_white_space_changes_the_fingerprint(
        fields in Just(vec![
            (r#""control_plane_cluster""#, r#""cp""#.to_owned()),
            (r#""pull_cluster""#, r#""cp_pull""#.to_owned()),
            (r#""update_keys""#, format!(r#"["{KEY}"]"#)),
            (r#""node_credential""#, format!(r#""{CREDENTIAL}""#)),
            (r#""fail_modes""#, r#"{"stale":"allow","unsynced":"deny"}"#.to_owned()),
            (r#""realm""#, r#""kya""#.to_owned()),
        ])
        .prop_shuffle(),
        space in "[ \t\r\n]{0,3}",
    ) {
        let fields: Vec<_> =
            fields.iter().map(|(name, value)| format!("{space}{name}{space}:{value}{space}")).collect();
        let text = format!("{space}{{{}}}{space}", fields.join(","));
        let read = Config::parse(text.as_bytes(), environment).unwrap();
        prop_assert_eq!(read.fingerprint(), config(json!({"fail_modes": {"stale": "allow"}})).fingerprint());
    }
}
