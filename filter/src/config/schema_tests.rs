use serde_json::{Value, json};

use super::{Config, json_schema};

const CREDENTIAL: &str = "nc_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12qZorm";
const COMMITTED: &str = include_str!("../../../docs/plugin-config.schema.json");

fn schema() -> Value {
    serde_json::from_str(&json_schema()).unwrap()
}

/// Every object in the schema that has fields, and its fields.
fn fields(schema: &Value) -> Vec<(String, Value)> {
    let defs = schema["$defs"].as_object().unwrap().values();
    std::iter::once(schema)
        .chain(defs)
        .filter_map(|object| object["properties"].as_object())
        .flatten()
        .map(|(name, field)| (name.clone(), field.clone()))
        .collect()
}

fn parse(name: &str, value: &Value) -> Result<Config, String> {
    let mut document = json!({
        "control_plane_cluster": "cp",
        "pull_cluster": "cp_pull",
        "update_keys": ["ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="],
    });
    if name != "node_credential_env" {
        document["node_credential"] = json!(CREDENTIAL);
    }
    document[name] = value.clone();
    let environment = |_: &str| Some(CREDENTIAL.to_owned());
    Config::parse(document.to_string().as_bytes(), environment).map_err(|error| error.to_string())
}

#[test]
fn the_committed_schema_is_that_of_the_code() {
    assert_eq!(
        COMMITTED,
        json_schema(),
        "docs/plugin-config.schema.json is out of date; write it anew with `cargo run -p kya-filter --features schema --example plugin_config_schema > docs/plugin-config.schema.json`"
    );
}

#[test]
fn every_field_is_described_bounded_and_has_an_example() {
    let all = fields(&schema());
    assert_eq!(all.len(), 17 + 2 + 3 + 4, "{all:?}");
    for (name, field) in all {
        assert!(!field["description"].as_str().unwrap().is_empty(), "{name}");
        assert!(!field["examples"].as_array().unwrap().is_empty(), "{name}");
        assert_ne!(field.get("default"), Some(&Value::Null), "{name}");
        let bounded = match field["type"].as_str() {
            Some("string") => field.get("maxLength").or(field.get("pattern")),
            Some("array") => field.get("maxItems"),
            Some("integer") => field.get("maximum"),
            // A list of words, or an object with these bounds.
            None => field.get("$ref"),
            Some(_) => None,
        };
        assert!(bounded.is_some(), "{name}: {field}");
    }
}

#[test]
fn examples_and_defaults_are_taken_and_defaults_change_nothing() {
    let schema = schema();
    let usual = parse("pull_cluster", &json!("cp_pull")).unwrap();
    for (name, field) in schema["properties"].as_object().unwrap() {
        for example in field["examples"].as_array().unwrap() {
            parse(name, example).unwrap();
        }
        if let Some(default) = field.get("default") {
            assert_eq!(parse(name, default).unwrap(), usual, "{name}");
        }
    }
    for source in schema["$defs"]["TokenSource"]["properties"].as_object().unwrap() {
        let ("header" | "websocket_protocol", field) = (source.0.as_str(), source.1) else {
            continue;
        };
        let example = json!([{source.0: field["examples"][0]}]);
        parse("token_sources", &example).unwrap();
    }
    for (name, field) in schema["$defs"]["FailModes"]["properties"].as_object().unwrap() {
        parse("fail_modes", &json!({name: field["examples"][0]})).unwrap();
        assert_eq!(parse("fail_modes", &json!({name: field["default"]})).unwrap(), usual, "{name}");
    }
}

#[test]
fn the_bounds_are_those_of_the_code() {
    let schema = schema();
    let properties = schema["properties"].as_object().unwrap();
    for (name, field) in properties {
        if let Some(most) = field.get("maxLength").and_then(Value::as_u64) {
            let text = |length: u64| json!("x".repeat(length as usize));
            parse(name, &text(most)).unwrap();
            parse(name, &text(most + 1)).unwrap_err();
        }
        if let Some(most) = field.get("maximum").and_then(Value::as_u64) {
            parse(name, &json!(most)).unwrap();
            parse(name, &json!(most + 1)).unwrap_err();
        }
        if let Some(most) = field.get("maxItems").and_then(Value::as_u64) {
            let item = |n: u64| match name.as_str() {
                "update_keys" => json!(kya_core::Signer::from_seed([n as u8; 32]).public_key()),
                "token_sources" => json!({"header": format!("x{n}")}),
                "actions" => json!({"route": format!("GET /{n}"), "action": "read"}),
                _ => json!(format!("/{n}")),
            };
            let items = |count: u64| (0..count).map(item).collect::<Value>();
            parse(name, &items(most)).unwrap();
            parse(name, &items(most + 1)).unwrap_err();
        }
    }
}
