use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const KEY: &str = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

/// A credential, and the middle of it, which nothing may show.
const CREDENTIAL: &str = "nc_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12qZorm";
const HUSH: &str = "pe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF";

fn other_credential() -> String {
    kya_core::NodeCredential::from_random([3; 32]).reveal().to_owned()
}

fn other_key() -> String {
    kya_core::Signer::from_seed([3; 32]).public_key().to_string()
}

/// The least configuration.
fn least() -> Value {
    json!({
        "control_plane_cluster": "cp",
        "pull_cluster": "cp_pull",
        "update_keys": [KEY],
        "node_credential": CREDENTIAL,
    })
}

/// The least configuration with some fields set, or taken out by `null`.
fn with(fields: Value) -> Value {
    let mut document = least();
    for (name, value) in fields.as_object().unwrap() {
        match value {
            Value::Null => drop(document.as_object_mut().unwrap().remove(name)),
            value => document[name] = value.clone(),
        }
    }
    document
}

fn environment(name: &str) -> Option<String> {
    match name {
        "KYA_NODE_CREDENTIAL" => Some(other_credential()),
        "EMPTY" => Some(String::new()),
        "OTHER" => Some(format!("Bearer {CREDENTIAL}")),
        "LINE" => Some(format!("{CREDENTIAL}\n")),
        _ => None,
    }
}

fn parse(document: &Value) -> Result<Config, ConfigError> {
    Config::parse(document.to_string().as_bytes(), environment)
}

#[track_caller]
fn config(fields: Value) -> Config {
    parse(&with(fields)).unwrap()
}

/// The whole message with which `text` is refused.
#[track_caller]
fn refused(text: &[u8]) -> String {
    Config::parse(text, environment).unwrap_err().to_string()
}

#[track_caller]
fn error(fields: Value) -> ConfigError {
    parse(&with(fields)).unwrap_err()
}

#[test]
fn what_is_left_out_has_the_safe_value() {
    let config = config(json!({}));
    assert_eq!(config.transport, Transport::Grpc { cluster: "cp".into() });
    assert_eq!(config.stream_cluster(), Some("cp"));
    assert_eq!(config.pull_cluster, "cp_pull");
    assert_eq!(config.authority("cp_pull"), "cp_pull");
    assert_eq!(config.update_keys, [KEY.parse().unwrap()]);
    assert_eq!(config.node_credential.reveal(), CREDENTIAL);
    assert_eq!(config.node_id, None);
    assert_eq!(config.realm, "kya");
    assert_eq!(config.token_sources, [Source::authorization()]);
    assert!(config.exempt_paths.is_empty());
    assert_eq!(config.fail_modes.unsynced, FailMode::Deny);
    assert_eq!(config.fail_modes.stale, FailMode::Deny);
    assert_eq!(config.fail_modes.unknown_token, UnknownTokenMode::Deny);
    assert_eq!(config.fail_modes.internal, FailMode::Deny);
    assert_eq!(config.max_staleness, Duration::from_secs(60));
    assert_eq!(config.pull_interval, Duration::from_secs(60));
    assert_eq!(config.max_introspections, 64);
}

#[test]
fn everything_can_be_said() {
    let config = config(json!({
        "transport": "grpc",
        "authority": "kya.internal",
        "update_keys": [KEY, other_key()],
        "node_credential": null,
        "node_credential_env": "KYA_NODE_CREDENTIAL",
        "node_id": "web-1",
        "realm": "shop",
        "token_sources": [
            {"header": "Authorization", "scheme": "Bearer"},
            {"header": "x-api-key"},
            {"websocket_protocol": "kya.bearer."},
        ],
        "exempt_paths": ["/healthz", "/readyz"],
        "service": "payments",
        "actions": [{"route": "POST /v1/refunds", "action": "issue_refund"}],
        "fail_modes": {
            "unsynced": "allow", "stale": "allow", "unknown_token": "introspect",
            "internal": "allow",
        },
        "max_staleness": "5m",
        "pull_interval": "90s",
        "max_introspections": 1024,
    }));
    assert_eq!(config.authority("cp"), "kya.internal");
    assert_eq!(config.update_keys.len(), 2);
    assert_eq!(config.node_credential.reveal(), other_credential());
    assert_eq!(config.node_id.as_deref(), Some("web-1"));
    assert_eq!(config.realm, "shop");
    assert_eq!(
        config.token_sources,
        [
            Source::authorization(),
            Source::header("x-api-key").unwrap(),
            Source::websocket_protocol("kya.bearer.").unwrap(),
        ]
    );
    assert!(config.exempts(b"/healthz?full=1"));
    assert_eq!(config.fail_modes.unknown_token, UnknownTokenMode::Introspect);
    assert_eq!(config.fail_modes.internal, FailMode::Allow);
    assert_eq!(config.max_staleness, Duration::from_secs(300));
    assert_eq!(config.pull_interval, Duration::from_secs(90));
    assert_eq!(config.max_introspections, 1024);
}

#[test]
fn every_example_of_the_documentation_is_taken() {
    let text = include_str!("../../../docs/configuration.md");
    let examples: Vec<Value> = text
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    assert_eq!(examples.len(), 8, "an example for each section");
    for example in examples {
        let mut document = with(example.clone());
        if example.get("node_credential_env").is_some() {
            document.as_object_mut().unwrap().remove("node_credential");
        }
        parse(&document).unwrap();
    }
    let (_, whole) = text.split_once("  value: |\n").unwrap();
    let (whole, _) = whole.split_once("vm_config:").unwrap();
    Config::parse(whole.as_bytes(), environment).unwrap();
}

#[test]
fn what_is_no_object_of_these_fields_is_refused() {
    for (text, part) in [
        (&b""[..], "EOF"),
        (b"{", "EOF"),
        (b"not json", "expected"),
        (b"null", "expected a JSON object"),
        (b"[]", "expected a JSON object"),
        (b"\"{}\"", "expected a JSON object"),
        (b"{} {}", "trailing characters"),
        (b"{\"realm\":\"\xff\xfe\"}", "`realm`"),
        (b"{\"realm\":\"a\",\"realm\":\"a\"}", "duplicate field `realm`"),
        (b"{\"realm\":1}", "`realm` cannot be read: invalid type: integer `1`, expected a string"),
        (b"{\"realm\":null}", "`realm` cannot be read: invalid type: null, expected a string"),
        (b"{}", "`control_plane_cluster` must be the name of a cluster"),
    ] {
        let message = refused(text);
        assert!(message.contains(part), "{}: {message}", String::from_utf8_lossy(text));
        assert!(message.starts_with("the plugin configuration is not valid: "), "{message}");
    }
}

#[test]
fn every_error_names_the_field_by_its_path_and_says_what_would_be_right() {
    let long = "x".repeat(257);
    let many: Vec<_> = (0..65).map(|n| format!("/{n}")).collect();
    for (fields, field, right) in [
        (json!({"control_plane_cluster": null}), "control_plane_cluster", "name of a cluster"),
        (json!({"control_plane_cluster": ""}), "control_plane_cluster", "name of a cluster"),
        (json!({"control_plane_cluster": 7}), "control_plane_cluster", "expected a string"),
        (json!({"pull_cluster": null}), "pull_cluster", "name of a cluster"),
        (json!({"pull_cluster": long}), "pull_cluster", "1 to 256 bytes"),
        (json!({"pull_cluster": "a\nb"}), "pull_cluster", "without control characters"),
        (json!({"transport": "quic"}), "transport", "expected `grpc` or `http`"),
        (json!({"transport": {"grpc": null}}), "transport", "expected a string"),
        (
            json!({"transport": "http", "control_plane_cluster": ""}),
            "control_plane_cluster",
            "name",
        ),
        (json!({"authority": "https://kya.internal/"}), "authority", "a host such as"),
        (json!({"authority": ""}), "authority", "a host such as"),
        (
            json!({"update_keys": null}),
            "update_keys",
            "1 to 8 keys as `kya-control-plane public-key`",
        ),
        (json!({"update_keys": []}), "update_keys", "1 to 8 keys"),
        (json!({"update_keys": KEY}), "update_keys", "expected a sequence"),
        (json!({"update_keys": [KEY, "rsa:x"]}), "update_keys[1]", "ed25519:"),
        (json!({"update_keys": [KEY, other_key(), KEY]}), "update_keys[2]", "name each key once"),
        (json!({"node_id": ""}), "node_id", "1 to 256 bytes"),
        (json!({"node_id": long}), "node_id", "1 to 256 bytes"),
        (json!({"realm": "a\"b"}), "realm", "without quotes"),
        (json!({"realm": "é"}), "realm", "printable ASCII"),
        (json!({"realm": long}), "realm", "at most 256"),
        (json!({"token_sources": []}), "token_sources", "1 to 8 places"),
        (json!({"token_sources": {"header": "a"}}), "token_sources", "expected a sequence"),
        (json!({"token_sources": ["authorization"]}), "token_sources[0]", "a JSON object"),
        (
            json!({"token_sources": [["authorization", "Bearer"]]}),
            "token_sources[0]",
            "a JSON object",
        ),
        (json!({"token_sources": [{}]}), "token_sources[0].header", "write one of them"),
        (json!({"token_sources": [{"scheme": "Bearer"}]}), "token_sources[0].header", "write one"),
        (
            json!({"token_sources": [{"header": "a"}, {"header": ""}]}),
            "token_sources[1].header",
            "1 to 64",
        ),
        (
            json!({"token_sources": [{"header": "a"}, {"header": 1}]}),
            "token_sources[1].header",
            "a string",
        ),
        (json!({"token_sources": [{"header": ":path"}]}), "token_sources[0].header", "1 to 64"),
        (
            json!({"token_sources": [{"header": "x-kya-token"}]}),
            "token_sources[0].header",
            "x-kya-",
        ),
        (
            json!({"token_sources": [{"header": "sec-websocket-protocol"}]}),
            "token_sources[0].header",
            "`websocket_protocol`",
        ),
        (
            json!({"token_sources": [{"header": "a", "scheme": "a b"}]}),
            "token_sources[0].scheme",
            "such as `Bearer`",
        ),
        (
            json!({"token_sources": [{"header": "a", "scheme": ""}]}),
            "token_sources[0].scheme",
            "leave it out",
        ),
        (
            json!({"token_sources": [{"websocket_protocol": "a,b"}]}),
            "token_sources[0].websocket_protocol",
            "such as `kya.bearer.`",
        ),
        (
            json!({"token_sources": [{"websocket_protocol": "a", "scheme": "b"}]}),
            "token_sources[0].scheme",
            "leave it out",
        ),
        (
            json!({"token_sources": [{"websocket_protocol": "a", "header": "b"}]}),
            "token_sources[0].websocket_protocol",
            "two sources",
        ),
        (
            json!({"token_sources": [{"header": "a"}, {"header": "A", "scheme": "b"}]}),
            "token_sources[1].header",
            "`a`",
        ),
        (
            json!({"token_sources": [{"websocket_protocol": "a"}, {"websocket_protocol": "b"}]}),
            "token_sources[1].websocket_protocol",
            "already",
        ),
        (
            json!({"token_sources": vec![json!({"header": "a"}); 9]}),
            "token_sources",
            "1 to 8 places",
        ),
        (json!({"exempt_paths": "/healthz"}), "exempt_paths", "expected a sequence"),
        (json!({"exempt_paths": ["/a", "healthz"]}), "exempt_paths[1]", "begin with `/`"),
        (json!({"exempt_paths": [""]}), "exempt_paths[0]", "such as `/healthz`"),
        (json!({"exempt_paths": ["/a?b"]}), "exempt_paths[0]", "leave it out"),
        (json!({"exempt_paths": ["/a#b"]}), "exempt_paths[0]", "such as `/healthz`"),
        (json!({"exempt_paths": ["//a"]}), "exempt_paths[0]", "empty segment"),
        (json!({"exempt_paths": ["/a/../b"]}), "exempt_paths[0]", "`..`"),
        (json!({"exempt_paths": ["/a%2Fb"]}), "exempt_paths[0]", "percent-encodes"),
        (json!({"exempt_paths": ["/a;b"]}), "exempt_paths[0]", "path parameters"),
        (json!({"exempt_paths": ["/a\\b"]}), "exempt_paths[0]", "a character"),
        (json!({"exempt_paths": ["/a", "/a"]}), "exempt_paths[1]", "name each once"),
        (json!({"exempt_paths": [format!("/{}", "x".repeat(1024))]}), "exempt_paths[0]", "1024"),
        (json!({"exempt_paths": many}), "exempt_paths", "at most 64"),
        (json!({"service": ""}), "service", "such as `payments`"),
        (json!({"service": "Payments"}), "service", "lower-case"),
        (json!({"actions": {}}), "actions", "expected a sequence"),
        (json!({"actions": [{}]}), "actions[0].route", "is missing"),
        (json!({"actions": [{"route": "POST /a"}]}), "actions[0].action", "is missing"),
        (json!({"actions": [{"route": "/a", "action": "a"}]}), "actions[0].route", "a method"),
        (
            json!({"actions": [{"route": "POST /%C3%A9", "action": "a"}]}),
            "actions[0].route",
            "percent",
        ),
        (
            json!({"actions": [{"route": "POST /a", "action": "A"}]}),
            "actions[0].action",
            "lower-case",
        ),
        (
            json!({"actions": [{"route": "POST /a", "action": "a", "x": 1}]}),
            "actions[0].x",
            "unknown field",
        ),
        (json!({"fail_modes": "deny"}), "fail_modes", "a JSON object"),
        (json!({"fail_modes": ["allow"]}), "fail_modes", "a JSON object"),
        (json!({"fail_modes": {"stale": "open"}}), "fail_modes.stale", "`deny` or `allow`"),
        (json!({"fail_modes": {"stale": true}}), "fail_modes.stale", "expected a string"),
        (
            json!({"fail_modes": {"stale": {"allow": null}}}),
            "fail_modes.stale",
            "expected a string",
        ),
        (
            json!({"fail_modes": {"unsynced": "introspect"}}),
            "fail_modes.unsynced",
            "`deny` or `allow`",
        ),
        (
            json!({"fail_modes": {"unknown_token": "open"}}),
            "fail_modes.unknown_token",
            "`introspect`",
        ),
        (
            json!({"fail_modes": {"stal": "deny"}}),
            "fail_modes.stal",
            "expected one of `internal`, `stale`",
        ),
        (json!({"max_staleness": 60}), "max_staleness", "expected a string"),
        (json!({"max_staleness": "60"}), "max_staleness", "`1s` to `24h`"),
        (json!({"max_staleness": "0s"}), "max_staleness", "`1s` to `24h`"),
        (json!({"max_staleness": "86401s"}), "max_staleness", "`1s` to `24h`"),
        (json!({"pull_interval": "0m"}), "pull_interval", "`1s` to `10m`"),
        (json!({"pull_interval": "11m"}), "pull_interval", "`1s` to `10m`"),
        (json!({"max_introspections": 0}), "max_introspections", "from 1 to 1024"),
        (json!({"max_introspections": 1025}), "max_introspections", "from 1 to 1024"),
        (json!({"max_introspections": -1}), "max_introspections", "from 1 to 1024"),
        (json!({"max_introspections": 1.5}), "max_introspections", "from 1 to 1024"),
        (json!({"max_introspections": "64"}), "max_introspections", "from 1 to 1024"),
        (json!({"fail_open": true}), "fail_open", "unknown field `fail_open`, expected one of"),
        (json!({"Realm": "kya"}), "Realm", "unknown field `Realm`"),
    ] {
        let error = error(fields.clone());
        assert_eq!(error.field, field, "{fields}: {error}");
        assert!(error.problem.contains(right), "{fields}: {error}");
        assert!(error.to_string().contains(&format!("`{field}` ")), "{error}");
    }
}

#[test]
fn the_bounds_themselves_are_taken() {
    for fields in [
        json!({"max_staleness": "1s"}),
        json!({"max_staleness": "24h"}),
        json!({"pull_interval": "1s"}),
        json!({"pull_interval": "10m"}),
        json!({"max_introspections": 1}),
        json!({"pull_cluster": "x".repeat(256)}),
        json!({"pull_cluster": "outbound|443||kya.kya-system.svc.cluster.local"}),
        json!({"node_id": "ü"}),
        json!({"realm": ""}),
        json!({"realm": "Payments (EU)"}),
        json!({"authority": "[::1]:7081"}),
        json!({"exempt_paths": ["/"]}),
        json!({"exempt_paths": (0..64).map(|n| format!("/{n}")).collect::<Vec<_>>()}),
        json!({"token_sources": (0..8).map(|n| json!({"header": format!("a{n}")})).collect::<Vec<_>>()}),
    ] {
        let _ = config(fields);
    }
}

#[test]
fn by_http_alone_no_stream_is_named_and_pulls_outrun_staleness() {
    let http = config(json!({"transport": "http", "control_plane_cluster": null}));
    assert_eq!((&http.transport, http.stream_cluster()), (&Transport::Http, None));
    assert_eq!(http.pull_interval, Duration::from_secs(15));
    // It may stay, so that one word switches to and fro.
    assert_eq!(config(json!({"transport": "http"})), http);
    for fields in [
        json!({"transport": "http", "pull_interval": "60s"}),
        json!({"transport": "http", "max_staleness": "15s"}),
    ] {
        let error = error(fields);
        assert_eq!(error.field, "pull_interval");
        assert!(error.problem.contains("shorter than `max_staleness`"), "{error}");
    }
    let _ = config(json!({"transport": "http", "pull_interval": "59s"}));
    let _ = config(json!({"pull_interval": "10m", "max_staleness": "1s"}));
}

#[test]
fn one_credential_is_given_in_one_way() {
    let both = error(json!({"node_credential_env": "KYA_NODE_CREDENTIAL"}));
    assert!(both.problem.contains("leave one of them out"), "{both}");
    let none = error(json!({"node_credential": null}));
    assert!(none.problem.contains("write one of them"), "{none}");
    for (name, part) in [
        ("", "must be the name of an environment variable"),
        ("1A", "must be the name of an environment variable"),
        ("A-B", "must be the name of an environment variable"),
        ("A=B", "must be the name of an environment variable"),
        ("UNSET", "names a variable that the environment of this VM does not have"),
        (
            "EMPTY",
            "names a variable whose value must be a credential as the control plane issued it, but it ",
        ),
        (
            "OTHER",
            "names a variable whose value must be a credential as the control plane issued it, but it ",
        ),
        (
            "LINE",
            "names a variable whose value must be a credential as the control plane issued it, but it ",
        ),
    ] {
        let error = error(json!({"node_credential": null, "node_credential_env": name}));
        assert_eq!(error.field, "node_credential_env");
        assert!(error.problem.contains(part), "{name}: {error}");
        assert!(!error.to_string().contains(HUSH), "{error}");
    }
}

#[test]
fn a_credential_is_never_shown() {
    let config = config(json!({}));
    for shown in [format!("{config:?}"), format!("{config:#?}")] {
        assert!(!shown.contains(HUSH), "{shown}");
    }
    assert!(!String::from_utf8(config.canonical()).unwrap().contains(HUSH));
    // Wrong in shape or in type, or in the other field's place.
    for value in [
        json!(CREDENTIAL[..40]),
        json!(format!("{CREDENTIAL}x")),
        json!(format!("{CREDENTIAL}\n")),
        json!(format!("Bearer {CREDENTIAL}")),
        json!(HUSH),
        json!(7071),
        json!([CREDENTIAL]),
        json!({CREDENTIAL: CREDENTIAL}),
        json!(true),
    ] {
        for fields in [
            json!({"node_credential": value}),
            json!({"node_credential": null, "node_credential_env": value}),
        ] {
            let message = error(fields).to_string();
            assert!(message.contains("`node_credential"), "{message}");
            assert!(!message.contains(&HUSH[..20]) && !message.contains("7071"), "{message}");
        }
    }
}

#[test]
fn only_the_exact_path_is_exempt() {
    let config = config(json!({"exempt_paths": ["/healthz", "/"]}));
    for target in ["/healthz", "/healthz?", "/healthz?a=/../b", "/", "/?x"] {
        assert!(config.exempts(target.as_bytes()), "{target}");
    }
    for target in [
        "",
        "/healthz/",
        "/HEALTHZ",
        "/healthzz",
        "//healthz",
        "/./healthz",
        "/a/../healthz",
        "/healthz/..",
        "/healthz/../admin",
        "/%68ealthz",
        "/healthz%2F",
        "/healthz%2f..%2fadmin",
        "/healthz%5c..",
        "/%2e/healthz",
        "/healthz#",
        "/healthz#/../admin",
        "/healthz;a=b",
        "/healthz/..;/admin",
        "/healthz\\",
        "\\healthz",
        "/healthz%00",
        "/healthz\0",
        "/healthz ",
        "http://host/healthz",
        "*",
        "/admin?/healthz",
    ] {
        assert!(!config.exempts(target.as_bytes()), "{target}");
    }
    assert!(!config.exempts(b"/healthz\xff"));
    assert!(!self::config(json!({})).exempts(b"/"), "nothing is exempt by default");
}

#[test]
fn other_keys_or_clusters_are_another_namespace() {
    let names = [
        json!({}),
        json!({"control_plane_cluster": "cq"}),
        json!({"pull_cluster": "cp"}),
        json!({"control_plane_cluster": "cp_pull", "pull_cluster": "cp"}),
        json!({"control_plane_cluster": "cpc", "pull_cluster": "p_pull"}),
        json!({"transport": "http"}),
        json!({"update_keys": [other_key()]}),
        json!({"update_keys": [other_key(), KEY]}),
    ]
    .map(|fields| config(fields).namespace());
    let distinct: BTreeSet<_> = names.iter().collect();
    assert_eq!(distinct.len(), names.len(), "{names:?}");
    for name in &names {
        let digits = name.strip_prefix("kya/").unwrap();
        assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
    // What else is said does not matter, nor the order of keys.
    assert_eq!(config(json!({"realm": "x", "node_id": "y"})).namespace(), names[0]);
    assert_eq!(config(json!({"update_keys": [KEY, other_key()]})).namespace(), names[7]);
}

#[test]
fn the_canonical_form_is_stable() {
    // A control plane compares the hash of this text with what it expects of a
    // proxy: another form needs another domain than `kya-config-v1`.
    let text = String::from_utf8(config(json!({})).canonical()).unwrap();
    assert_eq!(
        text,
        r#"{"actions":[],"control_plane_authority":"cp","control_plane_cluster":"cp","exempt_paths":[],"fail_modes":{"internal":"deny","stale":"deny","unknown_token":"deny","unsynced":"deny"},"max_introspections":64,"max_staleness":60,"pull_authority":"cp_pull","pull_cluster":"cp_pull","pull_interval":60,"realm":"kya","service":null,"token_sources":["authorization: bearer "],"update_keys":["ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="]}"#
    );
    let hash: [u8; 32] = Sha256::digest(format!("kya-config-v1\0{text}")).into();
    assert_eq!(config(json!({})).fingerprint(), hash);
}

#[test]
fn what_enforces_the_same_has_one_fingerprint() {
    let same = |one: Value, other: Value| {
        let (one, other) = (config(one), config(other));
        assert_eq!(one.fingerprint(), other.fingerprint(), "{one:?} {other:?}");
    };
    same(json!({}), json!({"realm": "kya", "max_staleness": "1m", "pull_interval": "60s"}));
    same(json!({}), json!({"fail_modes": {}, "exempt_paths": [], "transport": "grpc"}));
    same(json!({}), json!({"token_sources": [{"header": "AUTHORIZATION", "scheme": "bearer"}]}));
    same(json!({"max_staleness": "24h"}), json!({"max_staleness": "1440m"}));
    same(json!({"update_keys": [KEY, other_key()]}), json!({"update_keys": [other_key(), KEY]}));
    same(json!({"exempt_paths": ["/a", "/b"]}), json!({"exempt_paths": ["/b", "/a"]}));
    let (refund, read) = (
        json!({"route": "POST /v1/refunds", "action": "issue_refund"}),
        json!({"route": "GET /v1/customers/{id}", "action": "read_customer"}),
    );
    same(json!({"actions": [refund, read]}), json!({"actions": [read, refund]}));
    same(
        json!({"token_sources": [{"header": "a"}, {"header": "b"}]}),
        json!({"token_sources": [{"header": "b"}, {"header": "a"}]}),
    );
    same(json!({"transport": "http"}), json!({"transport": "http", "control_plane_cluster": null}));
    same(json!({"pull_cluster": "cp"}), json!({"pull_cluster": "cp", "authority": "cp"}));
    // Who the proxy is.
    same(json!({}), json!({"node_id": "web-1", "node_credential": other_credential()}));
    let env = json!({"node_credential": null, "node_credential_env": "KYA_NODE_CREDENTIAL"});
    same(json!({}), env);
}

#[test]
fn whatever_enforces_something_else_has_another_fingerprint() {
    let all = [
        json!({}),
        json!({"control_plane_cluster": "x"}),
        json!({"pull_cluster": "x"}),
        json!({"transport": "http"}),
        json!({"authority": "x"}),
        json!({"update_keys": [other_key()]}),
        json!({"update_keys": [KEY, other_key()]}),
        json!({"realm": "x"}),
        json!({"token_sources": [{"header": "authorization"}]}),
        json!({"token_sources": [{"header": "authorization", "scheme": "x"}]}),
        json!({"token_sources": [{"header": "x"}]}),
        json!({"token_sources": [{"websocket_protocol": "x"}]}),
        json!({"token_sources": [{"websocket_protocol": "X"}]}),
        json!({"exempt_paths": ["/a"]}),
        json!({"exempt_paths": ["/a", "/b"]}),
        json!({"exempt_paths": ["/a,/b"]}),
        json!({"service": "payments"}),
        json!({"service": "billing"}),
        json!({"actions": [{"route": "POST /a", "action": "a"}]}),
        json!({"actions": [{"route": "POST /a", "action": "b"}]}),
        json!({"actions": [{"route": "PUT /a", "action": "a"}]}),
        json!({"fail_modes": {"unsynced": "allow"}}),
        json!({"fail_modes": {"stale": "allow"}}),
        json!({"fail_modes": {"internal": "allow"}}),
        json!({"fail_modes": {"unknown_token": "allow"}}),
        json!({"fail_modes": {"unknown_token": "introspect"}}),
        json!({"max_staleness": "61s"}),
        json!({"pull_interval": "61s"}),
        json!({"max_introspections": 65}),
    ];
    let distinct: BTreeSet<_> =
        all.iter().map(|fields| config(fields.clone()).fingerprint()).collect();
    assert_eq!(distinct.len(), all.len());
}

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

const FIELDS: [&str; 17] = [
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
