//! What is recorded for the audit trail, and what happens where there is no room.

use kya_core::action::RuleIndex;
use kya_core::policy::Pattern;
use serde::{Deserialize, Serialize};

use super::Actions;
use super::error::ConfigError;
use super::json::{count, word};

/// Fewest and most decisions that the buffer can be set to take.
const BUFFER: std::ops::RangeInclusive<usize> = 64..=131_072;
/// 8 MiB at most, see `audit/event.rs`.
const DEFAULT_BUFFER: usize = 16_384;
const MAX_CRITICAL: usize = 64;

/// Whether anything is recorded.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuditMode {
    /// Every decision is reported to the control plane.
    #[default]
    On,
    /// Nothing is.
    Off,
}

/// What happens to a request that would be allowed where there is no room to record it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum OnFull {
    /// It is answered with an error.
    Deny,
    /// It goes on; how many were not recorded is recorded.
    #[default]
    Drop,
}

/// What is recorded for the audit trail.
#[derive(Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = super::schema::audit)
)]
#[serde(default, deny_unknown_fields)]
pub(super) struct AuditDocument {
    /// Whether decisions are reported to the control plane. With `off` the trail knows
    /// nothing of this proxy's requests.
    #[serde(deserialize_with = "word")]
    mode: AuditMode,

    /// Most decisions that one worker keeps until the control plane has them, 64 to
    /// 131072. Each takes at most half a KiB, and what becomes of requests may take as
    /// much again.
    #[serde(deserialize_with = "count::<_, 64, 131_072>")]
    buffer: Option<u64>,

    /// What happens to a request that would be allowed where there is no room. An
    /// exempt path goes on in either case.
    #[serde(deserialize_with = "word")]
    on_full: OnFull,

    /// Actions, or patterns of them such as `refund_*`, that are denied where there is
    /// no room, whatever `on_full` says. If there are any, so is a request that stands
    /// for no action.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    critical: Vec<Pattern>,

    /// Whether the bodies of requests are hashed as they stream by.
    hash_body: bool,

    /// Whether each decision is put into the proxy's filter state, for its access log:
    /// `%FILTER_STATE(wasm.kya.decision:PLAIN)%` in Envoy.
    filter_state: bool,
}

impl Default for AuditDocument {
    fn default() -> Self {
        Self {
            mode: AuditMode::On,
            buffer: None,
            on_full: OnFull::Drop,
            critical: Vec::new(),
            hash_body: true,
            filter_state: true,
        }
    }
}

/// What is recorded for the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// Whether anything is.
    pub mode: AuditMode,
    /// Most decisions that wait in one worker: 64 to 131072.
    pub buffer: usize,
    /// What happens to a request that would be allowed where there is no room.
    pub on_full: OnFull,
    /// Actions that are denied there in any case. At most 64.
    pub critical: Vec<Pattern>,
    /// Whether bodies are hashed.
    pub hash_body: bool,
    /// Whether each decision is put into the filter state.
    pub filter_state: bool,
}

impl AuditConfig {
    pub(super) fn check(document: AuditDocument) -> Result<Self, ConfigError> {
        let AuditDocument { mode, buffer, on_full, critical, hash_body, filter_state } = document;
        if critical.len() > MAX_CRITICAL {
            return Err(ConfigError::at("audit.critical", "must hold at most 64 patterns"));
        }
        let buffer = match buffer {
            None => DEFAULT_BUFFER,
            Some(number) => {
                usize::try_from(number).ok().filter(|it| BUFFER.contains(it)).ok_or_else(|| {
                    ConfigError::at("audit.buffer", "must be a whole number from 64 to 131072")
                })?
            }
        };
        Ok(Self { mode, buffer, on_full, critical, hash_body, filter_state })
    }

    /// Whether a request that would be allowed is denied where there is no room. What
    /// cannot be named may be critical.
    pub fn denies_unrecorded(&self, rule: Option<RuleIndex>, actions: &Actions) -> bool {
        if self.on_full == OnFull::Deny {
            return true;
        }
        match rule.and_then(|rule| actions.name(rule)) {
            Some(name) => self.critical.iter().any(|pattern| pattern.matches(name.as_str())),
            None => !self.critical.is_empty(),
        }
    }
}

/// The part of the canonical form, see `fingerprint.rs`. Its fields are in the order of
/// the alphabet.
#[derive(Serialize)]
pub(super) struct CanonicalAudit<'a> {
    buffer: usize,
    critical: Vec<&'a str>,
    filter_state: bool,
    hash_body: bool,
    mode: AuditMode,
    on_full: OnFull,
}

impl<'a> CanonicalAudit<'a> {
    pub(super) fn of(audit: &'a AuditConfig) -> Self {
        let mut critical: Vec<_> = audit.critical.iter().map(Pattern::as_str).collect();
        critical.sort_unstable();
        critical.dedup();
        Self {
            buffer: audit.buffer,
            critical,
            filter_state: audit.filter_state,
            hash_body: audit.hash_body,
            mode: audit.mode,
            on_full: audit.on_full,
        }
    }
}
