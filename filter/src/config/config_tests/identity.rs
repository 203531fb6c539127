//! Which configurations share state, and which enforce the same.

use super::*;

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
    // proxy: another form needs another domain than `kya-config-v2`.
    let text = String::from_utf8(config(json!({})).canonical()).unwrap();
    assert_eq!(
        text,
        r#"{"actions":[],"audit":{"buffer":16384,"critical":[],"filter_state":true,"hash_body":true,"mode":"on","on_full":"drop"},"control_plane_authority":"cp","control_plane_cluster":"cp","exempt_paths":[],"fail_modes":{"internal":"deny","stale":"deny","unknown_token":"deny","unsynced":"deny"},"max_introspections":64,"max_staleness":60,"pull_authority":"cp_pull","pull_cluster":"cp_pull","pull_interval":60,"realm":"kya","service":null,"token_sources":["authorization: bearer "],"update_keys":["ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="]}"#
    );
    let hash: [u8; 32] = Sha256::digest(format!("kya-config-v2\0{text}")).into();
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
    same(json!({}), json!({"audit": {"mode": "on", "buffer": 16_384, "on_full": "drop"}}));
    same(
        json!({"audit": {"critical": ["a", "b"]}}),
        json!({"audit": {"critical": ["b", "a", "b"]}}),
    );
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
        json!({"audit": {"mode": "off"}}),
        json!({"audit": {"buffer": 64}}),
        json!({"audit": {"on_full": "deny"}}),
        json!({"audit": {"critical": ["a"]}}),
        json!({"audit": {"critical": ["a*"]}}),
        json!({"audit": {"hash_body": false}}),
        json!({"audit": {"filter_state": false}}),
        json!({"max_staleness": "61s"}),
        json!({"pull_interval": "61s"}),
        json!({"max_introspections": 65}),
    ];
    let distinct: BTreeSet<_> =
        all.iter().map(|fields| config(fields.clone()).fingerprint()).collect();
    assert_eq!(distinct.len(), all.len());
}
