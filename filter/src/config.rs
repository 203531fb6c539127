//! The plugin configuration: JSON in the proxy's own configuration.

use std::collections::BTreeSet;

use kya_core::PublicKey;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Most keys that can be pinned at once: the one in use, the next one, and room.
const MAX_UPDATE_KEYS: usize = 8;
const MAX_TEXT: usize = 256;

/// What an operator says to the filter. Wrong configuration makes the proxy
/// refuse the plugin; it never runs with a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the proxy's cluster through which the control plane is reached.
    /// It must speak HTTP/2.
    pub control_plane_cluster: String,
    /// Pinned keys: updates count only if one of these signed them. Each is the
    /// line that `kya-control-plane public-key` prints.
    pub update_keys: Vec<PublicKey>,
    /// The `realm` of `WWW-Authenticate` (RFC 9110 section 11.5).
    #[serde(default = "default_realm")]
    pub realm: String,
}

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// It is not JSON of this shape. The message names the field.
    #[error("the plugin configuration is not valid: {0}")]
    Json(#[from] serde_json::Error),
    /// A field has a value that cannot work.
    #[error("the plugin configuration is not valid: `{field}` {problem}")]
    Field {
        /// Which field.
        field: &'static str,
        /// What is wrong with it, and what would be right.
        problem: &'static str,
    },
}

fn default_realm() -> String {
    "kya".to_owned()
}

impl Config {
    /// Reads the configuration as the proxy hands it over.
    pub fn parse(json: &[u8]) -> Result<Self, ConfigError> {
        let config: Self = serde_json::from_slice(json)?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let wrong = |field, problem| Err(ConfigError::Field { field, problem });
        if self.control_plane_cluster.is_empty() || self.control_plane_cluster.len() > MAX_TEXT {
            return wrong(
                "control_plane_cluster",
                "must be the name of a cluster of this proxy, of 1 to 256 bytes",
            );
        }
        if self.update_keys.is_empty() || self.update_keys.len() > MAX_UPDATE_KEYS {
            return wrong(
                "update_keys",
                "must hold 1 to 8 keys as `kya-control-plane public-key` prints them",
            );
        }
        let distinct: BTreeSet<_> = self.update_keys.iter().map(|key| key.to_bytes()).collect();
        if distinct.len() != self.update_keys.len() {
            return wrong("update_keys", "holds the same key twice");
        }
        let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
        if self.realm.len() > MAX_TEXT || !self.realm.bytes().all(printable) {
            return wrong(
                "realm",
                "must be at most 256 printable ASCII characters without quotes or backslashes",
            );
        }
        Ok(())
    }

    /// Prefix of every shared name that this configuration uses. Plugins that
    /// follow the same control plane by the same keys share state; others, even
    /// in the same VM, do not touch it.
    pub fn namespace(&self) -> String {
        let mut keys: Vec<_> = self.update_keys.iter().map(|key| key.to_bytes()).collect();
        keys.sort_unstable();
        let mut hash = Sha256::new();
        hash.update(self.control_plane_cluster.as_bytes());
        keys.iter().for_each(|key| hash.update(key));
        let digest: [u8; 32] = hash.finalize().into();
        let mut name = String::from("kya/");
        digest.iter().take(4).for_each(|byte| name.push_str(&format!("{byte:02x}")));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=";

    fn error(json: &str) -> String {
        Config::parse(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn the_least_configuration_is_a_cluster_and_a_key() {
        let json = format!(r#"{{"control_plane_cluster":"cp","update_keys":["{KEY}"]}}"#);
        let config = Config::parse(json.as_bytes()).unwrap();
        assert_eq!(config.realm, "kya");
        assert_eq!(config.update_keys.len(), 1);
        assert!(config.namespace().starts_with("kya/"));
        assert_eq!(config.namespace().len(), 12);
    }

    #[test]
    fn every_error_names_the_field() {
        for (json, part) in [
            ("", "EOF"),
            ("[]", "Config"),
            ("{}", "missing field `control_plane_cluster`"),
            (r#"{"control_plane_cluster":"cp"}"#, "missing field `update_keys`"),
            (r#"{"control_plane_cluster":"cp","update_keys":[]}"#, "`update_keys` must hold 1"),
            (r#"{"control_plane_cluster":7,"update_keys":[]}"#, "invalid type: integer"),
            (r#"{"control_plane_cluster":"cp","update_keys":["rsa:"]}"#, "ed25519:"),
            (r#"{"control_plane_cluster":"cp","fail_open":true}"#, "unknown field `fail_open`"),
        ] {
            assert!(error(json).contains(part), "{json}: {}", error(json));
        }
        let with = |cluster: &str, keys: &str, realm: &str| {
            error(&format!(
                r#"{{"control_plane_cluster":"{cluster}","update_keys":[{keys}],"realm":"{realm}"}}"#
            ))
        };
        let key = format!("\"{KEY}\"");
        assert!(with("", &key, "kya").contains("`control_plane_cluster` must be"));
        assert!(with("cp", &format!("{key},{key}"), "kya").contains("the same key twice"));
        assert!(with("cp", &key, "a\\\"b").contains("`realm` must be"));
        assert!(with("cp", &key, "é").contains("`realm` must be"));
    }

    #[test]
    fn other_keys_or_another_cluster_are_another_namespace() {
        let other = kya_core::Signer::from_seed([3; 32]).public_key();
        let key: PublicKey = KEY.parse().unwrap();
        let config = |cluster: &str, update_keys: Vec<PublicKey>| {
            Config { control_plane_cluster: cluster.into(), update_keys, realm: default_realm() }
                .namespace()
        };
        assert_eq!(config("cp", vec![key, other]), config("cp", vec![other, key]));
        assert_ne!(config("cp", vec![key]), config("cp", vec![other]));
        assert_ne!(config("cp", vec![key]), config("cq", vec![key]));
    }
}
