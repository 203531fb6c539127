//! A short name for what a configuration enforces.

use kya_core::Source;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::audit::CanonicalAudit;
use super::{Config, FailModes};

/// Keeps the hash from being taken for one of something else, and names the form
/// that was hashed.
const DOMAIN: &[u8] = b"kya-config-v2\0";

/// Everything that is enforced, in one form: canonical JSON (RFC 8785, so the
/// fields are in the order of the alphabet), every default written out, durations
/// in seconds, lists sorted, since the order of none means anything, and names that
/// are compared in any case in lower case. What says who the proxy is
/// (`node_credential`, `node_credential_env`, `node_id`) is not in it, so a fleet that
/// is configured alike has one fingerprint.
#[derive(Serialize)]
struct Canonical<'a> {
    actions: &'a [String],
    audit: CanonicalAudit<'a>,
    control_plane_authority: Option<&'a str>,
    control_plane_cluster: Option<&'a str>,
    exempt_paths: Vec<&'a str>,
    fail_modes: FailModes,
    max_introspections: usize,
    max_staleness: u64,
    pull_authority: &'a str,
    pull_cluster: &'a str,
    pull_interval: u64,
    realm: &'a str,
    service: Option<&'a str>,
    token_sources: Vec<String>,
    update_keys: Vec<String>,
}

impl Config {
    /// SHA-256 over the canonical form of what is enforced, without the node's
    /// credential and name. Two configurations that enforce the same have the
    /// same one, however they are written.
    pub fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        hash.update(self.canonical());
        hash.finalize().into()
    }

    pub(super) fn canonical(&self) -> Vec<u8> {
        let mut token_sources: Vec<_> = self.token_sources.iter().map(Source::to_string).collect();
        token_sources.sort_unstable();
        let mut update_keys: Vec<_> = self.update_keys.iter().map(ToString::to_string).collect();
        update_keys.sort_unstable();
        let canonical = Canonical {
            actions: self.actions.rules(),
            audit: CanonicalAudit::of(&self.audit),
            control_plane_authority: self.stream_cluster().map(|name| self.authority(name)),
            control_plane_cluster: self.stream_cluster(),
            exempt_paths: self.exempt_paths.iter().map(String::as_str).collect(),
            fail_modes: self.fail_modes,
            max_introspections: self.max_introspections,
            max_staleness: self.max_staleness.as_secs(),
            pull_authority: self.authority(&self.pull_cluster),
            pull_cluster: &self.pull_cluster,
            pull_interval: self.pull_interval.as_secs(),
            realm: &self.realm,
            service: self.service.as_deref(),
            token_sources,
            update_keys,
        };
        // Texts and numbers only, into memory: there is nothing that could fail.
        serde_json::to_vec(&canonical).unwrap_or_default()
    }
}
