//! What can be said, and what holds where nothing is.

use super::*;

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
    let text = include_str!("../../../../docs/configuration.md");
    let examples: Vec<Value> = text
        .split("```json\n")
        .skip(1)
        .map(|rest| serde_json::from_str(rest.split("```").next().unwrap()).unwrap())
        .collect();
    assert_eq!(examples.len(), 9, "an example for each section");
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
