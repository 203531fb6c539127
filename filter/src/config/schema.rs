//! The JSON Schema of the configuration, for editors and for checks before a
//! roll-out. [`Config::parse`](super::Config::parse) has the last word: it also
//! checks what a schema cannot say, such as that a variable is set.

use schemars::Schema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::document::Document;

/// A `token` of RFC 9110 section 5.6.2.
const TOKEN: &str = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$";

/// The schema (JSON Schema 2020-12), as it is kept in
/// `docs/plugin-config.schema.json`.
pub fn json_schema() -> String {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Document>();
    // A schema is a JSON value, which can always be written.
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

/// Bounds, defaults and examples of the fields, and what they have to do with each
/// other.
pub(super) fn document(schema: &mut Schema) {
    let cluster = |example: &str| json!({"minLength": 1, "maxLength": 256, "examples": [example]});
    describe(
        schema,
        json!({
            "control_plane_cluster": cluster("kya"),
            "pull_cluster": cluster("kya_pull"),
            "transport": {"default": "grpc", "examples": ["http"]},
            "authority": {
                "maxLength": 256,
                "pattern": r"^[A-Za-z0-9._~:\[\]-]+$",
                "examples": ["kya.internal"],
            },
            "update_keys": {
                "minItems": 1,
                "maxItems": 8,
                "uniqueItems": true,
                "items": {"type": "string", "pattern": "^ed25519:[A-Za-z0-9+/]{59}=$"},
                "examples": [["ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="]],
            },
            "node_credential": {
                "pattern": "^nc_[0-9A-Za-z]{49}$",
                "writeOnly": true,
                "examples": ["nc_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12qZorm"],
            },
            "node_credential_env": {
                "maxLength": 256,
                "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
                "examples": ["KYA_NODE_CREDENTIAL"],
            },
            "node_id": {"minLength": 1, "maxLength": 256, "examples": ["web-1"]},
            "realm": {
                "maxLength": 256,
                "pattern": r"^[ !#-\[\]-~]*$",
                "default": "kya",
                "examples": ["payments"],
            },
            "token_sources": {
                "minItems": 1,
                "maxItems": 8,
                "uniqueItems": true,
                "default": [{"header": "authorization", "scheme": "Bearer"}],
                "examples": [[
                    {"header": "authorization", "scheme": "Bearer"},
                    {"header": "x-api-key"},
                    {"websocket_protocol": "kya.bearer."},
                ]],
            },
            "exempt_paths": {
                "maxItems": 64,
                "uniqueItems": true,
                "default": [],
                "items": {
                    "type": "string",
                    "maxLength": 1024,
                    "pattern": r"^/([A-Za-z0-9._~!$&'()*+,=:@/-]|%[0-9A-F]{2})*$",
                },
                "examples": [["/healthz"]],
            },
            "service": {
                "minLength": 1,
                "maxLength": 256,
                "pattern": "^[a-z0-9_.:/-]+$",
                "examples": ["payments"],
            },
            "actions": {
                "maxItems": 1024,
                "default": [],
                "examples": [[
                    {"route": "POST /v1/refunds", "action": "issue_refund"},
                    {"route": "GET /v1/customers/{id}", "action": "read_customer"},
                    {"route": "grpc: payments.v1.Refunds/Issue", "action": "issue_refund"},
                ]],
            },
            "fail_modes": {"default": {}, "examples": [{"unknown_token": "introspect"}]},
            "audit": {"default": {}, "examples": [{"critical": ["issue_refund"]}]},
            "max_staleness": span("60s", Some("60s")),
            "pull_interval": span("60s", None),
            "max_introspections":
                {"minimum": 1, "maximum": 1024, "default": 64, "examples": [64]},
        }),
    );
    schema.insert("required".into(), json!(["pull_cluster", "update_keys"]));
    schema.insert("oneOf".into(), exactly_one_of("node_credential", "node_credential_env"));
    schema.insert(
        "if".into(),
        json!({"properties": {"transport": {"const": "http"}}, "required": ["transport"]}),
    );
    schema.insert("else".into(), json!({"required": ["control_plane_cluster"]}));
}

/// A header, with a scheme or without one, or a subprotocol.
pub(super) fn token_source(schema: &mut Schema) {
    let token = |example: &str| json!({"maxLength": 64, "pattern": TOKEN, "examples": [example]});
    describe(
        schema,
        json!({
            "header": token("x-api-key"),
            "scheme": token("Bearer"),
            "websocket_protocol": token("kya.bearer."),
        }),
    );
    schema.insert("oneOf".into(), exactly_one_of("header", "websocket_protocol"));
    schema.insert("dependentRequired".into(), json!({"scheme": ["header"]}));
}

/// A route and its action.
pub(super) fn action_rule(schema: &mut Schema) {
    describe(
        schema,
        json!({
            "route": {"minLength": 3, "maxLength": 1100, "examples": ["POST /v1/refunds"]},
            "action": {
                "maxLength": 256,
                "pattern": "^[a-z0-9_.:/-]+$",
                "examples": ["issue_refund"],
            },
        }),
    );
    schema.insert("required".into(), json!(["route", "action"]));
}

/// The fail modes, each of which denies by default.
pub(super) fn fail_modes(schema: &mut Schema) {
    let mode = |example: &str| json!({"default": "deny", "examples": [example]});
    describe(
        schema,
        json!({
            "unsynced": mode("deny"),
            "stale": mode("deny"),
            "unknown_token": mode("introspect"),
            "internal": mode("deny"),
        }),
    );
}

/// The audit trail, which is kept by default, and denies by default.
pub(super) fn audit(schema: &mut Schema) {
    describe(
        schema,
        json!({
            "mode": {"default": "on", "examples": ["off"]},
            "buffer": {"minimum": 64, "maximum": 131_072, "default": 16_384, "examples": [65_536]},
            "on_full": {"default": "drop", "examples": ["deny"]},
            "critical": {
                "maxItems": 64,
                "default": [],
                "items": {"type": "string", "maxLength": 256, "pattern": r"^[a-z0-9_.:/*-]+$"},
                "examples": [["issue_refund", "transfer_*"]],
            },
            "hash_body": {"default": true, "examples": [false]},
            "filter_state": {"default": true, "examples": [false]},
        }),
    );
}

/// What a schema can say of a duration; its range is in the description.
fn span(example: &str, default: Option<&str>) -> Value {
    let mut span = json!({"pattern": "^[1-9][0-9]{0,4}[smh]$", "examples": [example]});
    if let (Some(default), Value::Object(span)) = (default, &mut span) {
        span.insert("default".into(), json!(default));
    }
    span
}

fn exactly_one_of(one: &str, other: &str) -> Value {
    json!([{"required": [one]}, {"required": [other]}])
}

/// Adds to each property what is said of it here, and takes away `null`: a field
/// that may be left out still has a value where it is written.
fn describe(schema: &mut Schema, more: Value) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else { return };
    for property in properties.values_mut().filter_map(Value::as_object_mut) {
        property.remove("default");
        property.remove("format");
        without_null(property);
    }
    let Value::Object(more) = more else { return };
    for (name, more) in more {
        let property = properties.entry(name).or_insert_with(|| json!({}));
        if let (Value::Object(property), Value::Object(more)) = (property, more) {
            property.extend(more);
        }
    }
}

/// The schema of `Option<T>` as that of `T`.
fn without_null(property: &mut Map<String, Value>) {
    if let Some(Value::Array(types)) = property.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            let only = only.clone();
            property.insert("type".into(), only);
        }
    }
}
