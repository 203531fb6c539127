//! The plugin configuration: any text, and any document around a secret.
#![no_main]

use std::collections::BTreeSet;

use kya_core::exact_path;
use kya_filter::config::{Config, Transport};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

const SECRET: &str = "nc_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12qZorm";
/// What no error may show: every secret below has it.
const HEART: &str = "1fJjkkpe9PiTw9KSulA8Ghct30vZz4Hpd";

fn parse(json: &[u8]) -> Result<Config, String> {
    let environment = |name: &str| match name {
        "KYA" => Some(SECRET.to_owned()),
        "BAD" => Some(format!("{SECRET}x")),
        _ => None,
    };
    Config::parse(json, environment).map_err(|error| error.to_string())
}

fn check(config: &Config) {
    let all_different = |count: usize, of: usize| assert_eq!(count, of);
    assert!((1..=8).contains(&config.update_keys.len()));
    let keys: BTreeSet<_> = config.update_keys.iter().map(|key| key.to_bytes()).collect();
    all_different(keys.len(), config.update_keys.len());
    assert!((1..=8).contains(&config.token_sources.len()));
    let names: BTreeSet<_> = config.token_sources.iter().map(|it| it.header_name()).collect();
    all_different(names.len(), config.token_sources.len());
    assert!(config.exempt_paths.len() <= 64);
    for path in &config.exempt_paths {
        assert_eq!(exact_path(path.as_bytes()), Ok(path.as_str()));
        assert!(config.exempts(path.as_bytes()) && config.exempts(format!("{path}?q").as_bytes()));
        assert!(!config.exempts(format!("{path}/../x").as_bytes()));
    }
    assert!((1..=24 * 60 * 60).contains(&config.max_staleness.as_secs()));
    assert!((1..=10 * 60).contains(&config.pull_interval.as_secs()));
    assert!((1..=1024).contains(&config.max_introspections));
    assert!(config.transport != Transport::Http || config.pull_interval < config.max_staleness);
    let line =
        |text: &str| !text.is_empty() && text.len() <= 256 && !text.contains(char::is_control);
    assert!(line(&config.pull_cluster) && line(config.authority(&config.pull_cluster)));
    assert!(config.stream_cluster().is_none_or(line));
    assert!(config.node_id.as_deref().is_none_or(line));
    assert!(!config.realm.contains(['"', '\\']) && config.realm.is_ascii());
    assert_eq!(config.namespace().len(), 12);
    assert!(!format!("{config:?}").contains(HEART), "a secret is shown");
    let _ = config.fingerprint();
}

fuzz_target!(|json: &[u8]| {
    if let Ok(config) = parse(json) {
        check(&config);
        assert_eq!(parse(json).as_ref(), Ok(&config));
    }
    // With a secret where secrets go, in whatever form, no error quotes it.
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(json) else { return };
    for (field, secret) in [
        ("node_credential", json!(SECRET)),
        ("node_credential", json!(format!("{SECRET}x"))),
        ("node_credential", json!([SECRET])),
        ("node_credential", json!({ SECRET: SECRET })),
        ("node_credential_env", json!("BAD")),
        ("node_credential_env", json!(SECRET)),
        ("node_credential_env", json!({ "name": SECRET })),
    ] {
        let mut fields = fields.clone();
        fields.remove("node_credential");
        fields.remove("node_credential_env");
        if Value::Object(fields.clone()).to_string().contains(HEART) {
            continue;
        }
        fields.insert(field.to_owned(), secret);
        match parse(Value::Object(fields).to_string().as_bytes()) {
            Ok(config) => check(&config),
            Err(error) => assert!(!error.contains(HEART), "an error shows a secret: {error}"),
        }
    }
});
