//! What is refused, and how the message says so.

use super::*;

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
        (json!({"audit": []}), "audit", "a JSON object"),
        (json!({"audit": {"mode": "maybe"}}), "audit.mode", "expected `on` or `off`"),
        (json!({"audit": {"on_full": "allow"}}), "audit.on_full", "expected `deny` or `drop`"),
        (json!({"audit": {"buffer": 63}}), "audit.buffer", "from 64 to 131072"),
        (json!({"audit": {"buffer": 131_073}}), "audit.buffer", "from 64 to 131072"),
        (json!({"audit": {"buffer": "64"}}), "audit.buffer", "from 64 to 131072"),
        (json!({"audit": {"critical": ["A"]}}), "audit.critical[0]", "a pattern is of"),
        (json!({"audit": {"critical": vec!["a"; 65]}}), "audit.critical", "at most 64 patterns"),
        (json!({"audit": {"hash_body": "yes"}}), "audit.hash_body", "expected a boolean"),
        (json!({"audit": {"full": 1}}), "audit.full", "unknown field `full`"),
        (json!({"fail_open": true}), "fail_open", "unknown field `fail_open`, expected one of"),
        (json!({"Realm": "kya"}), "Realm", "unknown field `Realm`"),
    ] {
        let error = error(fields.clone());
        assert_eq!(error.field, field, "{fields}: {error}");
        assert!(error.problem.contains(right), "{fields}: {error}");
        assert!(error.to_string().contains(&format!("`{field}` ")), "{error}");
    }
}
