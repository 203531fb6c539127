//! The configuration as operators write it, well and badly.

mod any;
mod credentials;
mod errors;
mod identity;
mod values;

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
