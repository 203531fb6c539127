//! The plugin configuration: JSON in the proxy's own configuration.
//!
//! [`Config::parse`] is the only way to a [`Config`]. It reads the text into a
//! document, which knows the shape, and checks what its values say.
//! `docs/configuration.md` explains every field to operators.

mod actions;
mod audit;
mod check;
mod document;
mod duration;
mod error;
mod fingerprint;
mod json;
mod modes;
#[cfg(feature = "schema")]
mod schema;

use std::collections::BTreeSet;
use std::time::Duration;

use kya_core::{NodeCredential, PublicKey, Source, exact_path};
use sha2::{Digest, Sha256};

pub use actions::Actions;
pub use audit::{AuditConfig, AuditMode, OnFull};
pub use error::ConfigError;
pub use modes::{FailMode, FailModes, UnknownTokenMode};
#[cfg(feature = "schema")]
pub use schema::json_schema;

/// What an operator says to the filter, complete and checked. Wrong
/// configuration makes the proxy refuse the plugin; it never runs with a part of
/// it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How updates come.
    pub transport: Transport,
    /// Cluster of the proxy for HTTP requests to the control plane.
    pub pull_cluster: String,
    /// What the operator set as `:authority` of calls to the control plane; see
    /// [`Config::authority`].
    pub authority: Option<String>,
    /// Pinned keys: updates count only if one of these signed them. 1 to 8, all
    /// different.
    pub update_keys: Vec<PublicKey>,
    /// How the proxy authenticates itself to the control plane.
    pub node_credential: NodeCredential,
    /// Name of this proxy, for proxies that show none themselves.
    pub node_id: Option<String>,
    /// The `realm` of `WWW-Authenticate` (RFC 9110 section 11.5).
    pub realm: String,
    /// Where requests carry their credential. 1 to 8, no header named twice.
    pub token_sources: Vec<Source>,
    /// Paths that are forwarded undecided; see [`Config::exempts`]. At most 64.
    pub exempt_paths: BTreeSet<String>,
    /// What policies call the service behind this proxy. At most 256 bytes.
    pub service: Option<String>,
    /// Which action a request stands for.
    pub actions: Actions,
    /// What becomes of a request about which nothing can be known.
    pub fail_modes: FailModes,
    /// What is recorded for the audit trail.
    pub audit: AuditConfig,
    /// Age from which the state counts as stale: 1 s to 24 h.
    pub max_staleness: Duration,
    /// Time between two pulls: 1 s to 10 min.
    pub pull_interval: Duration,
    /// Most questions about unknown tokens that one worker waits for at a time:
    /// 1 to 1024.
    pub max_introspections: usize,
}

/// How updates come from the control plane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// They are pushed on a gRPC stream, and pulled besides.
    Grpc {
        /// Cluster of the proxy through which the stream is opened. It must
        /// speak HTTP/2.
        cluster: String,
    },
    /// They are pulled, and nothing else: no gRPC call, no shared queue.
    Http,
}

impl Config {
    /// Reads the configuration as the proxy hands it over. `environment` answers
    /// with a variable of the VM's environment.
    ///
    /// ```
    /// use kya_filter::config::Config;
    /// let json = br#"{
    ///     "control_plane_cluster": "kya",
    ///     "pull_cluster": "kya_pull",
    ///     "update_keys": ["ed25519:MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE="],
    ///     "node_credential_env": "KYA_NODE_CREDENTIAL"
    /// }"#;
    /// let environment = |name: &str| (name == "KYA_NODE_CREDENTIAL").then(|| {
    ///     "nc_1fJjkkpe9PiTw9KSulA8Ghct30vZz4HpdQ5c5b9cPF12qZorm".to_owned()
    /// });
    /// assert_eq!(Config::parse(json, environment)?.realm, "kya");
    /// # Ok::<(), kya_filter::config::ConfigError>(())
    /// ```
    pub fn parse(
        json: &[u8],
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        check::check(document::read(json)?, environment)
    }

    /// Cluster of the gRPC stream, if there is to be one.
    pub fn stream_cluster(&self) -> Option<&str> {
        match &self.transport {
            Transport::Grpc { cluster } => Some(cluster),
            Transport::Http => None,
        }
    }

    /// The `:authority` of a call to the control plane through `cluster`: the
    /// cluster's name, unless the operator set another.
    pub fn authority<'a>(&'a self, cluster: &'a str) -> &'a str {
        self.authority.as_deref().unwrap_or(cluster)
    }

    /// Whether a request with this `:path` is forwarded undecided. A path that
    /// could be read in two ways never is.
    pub fn exempts(&self, target: &[u8]) -> bool {
        !self.exempt_paths.is_empty()
            && exact_path(target).is_ok_and(|path| self.exempt_paths.contains(path))
    }

    /// Prefix of every shared name that this configuration uses. Plugins that
    /// follow the same control plane by the same keys share state; others, even
    /// in the same VM, do not touch it.
    pub fn namespace(&self) -> String {
        let mut keys: Vec<_> = self.update_keys.iter().map(|key| key.to_bytes()).collect();
        keys.sort_unstable();
        let mut hash = Sha256::new();
        // A cluster's name has no byte 0, so no two lists look the same.
        for cluster in [self.stream_cluster().unwrap_or_default(), &self.pull_cluster] {
            hash.update(cluster.as_bytes());
            hash.update([0]);
        }
        keys.iter().for_each(|key| hash.update(key));
        let digest: [u8; 32] = hash.finalize().into();
        let mut name = String::from("kya/");
        digest.iter().take(4).for_each(|byte| name.push_str(&format!("{byte:02x}")));
        name
    }
}

#[cfg(all(test, feature = "schema"))]
mod schema_tests;
#[cfg(test)]
#[path = "config_tests/mod.rs"]
mod tests;
