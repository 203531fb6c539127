//! The settings, and where their texts are read from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use super::{ConfigError, error};

/// A setting: one name in the file, one variable in the environment, one flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name in the file. The flag has dashes instead of underscores.
    pub name: &'static str,
    /// Name in the environment.
    pub variable: &'static str,
    pub(super) default: Option<&'static str>,
}

macro_rules! settings {
    ($($constant:ident = $name:literal, $variable:literal, $default:expr;)*) => {
        $(pub(super) const $constant: Setting =
            Setting { name: $name, variable: $variable, default: $default };)*
        /// Every setting.
        pub const SETTINGS: &[Setting] = &[$($constant),*];
    };
}

impl Setting {
    /// As it is written on the command line.
    pub(super) fn flag(&self) -> String {
        format!("--{}", self.name.replace('_', "-"))
    }
}

settings! {
    DATA_DIR = "data_dir", "KYA_DATA_DIR", None;
    DATABASE_URL = "database_url", "KYA_DATABASE_URL", None;
    AUDIT_ANCHOR_FILE = "audit_anchor_file", "KYA_AUDIT_ANCHOR_FILE", None;
    AUDIT_ANCHOR_URL = "audit_anchor_url", "KYA_AUDIT_ANCHOR_URL", None;
    KILL_TIMEOUT = "kill_timeout", "KYA_KILL_TIMEOUT", Some("60s");
    HTTP_LISTEN = "http_listen", "KYA_HTTP_LISTEN", Some("127.0.0.1:7080");
    GRPC_LISTEN = "grpc_listen", "KYA_GRPC_LISTEN", Some("127.0.0.1:7081");
    HTTP_TLS_CERT = "http_tls_cert", "KYA_HTTP_TLS_CERT", None;
    HTTP_TLS_KEY = "http_tls_key", "KYA_HTTP_TLS_KEY", None;
    HTTP_TLS_CLIENT_CA = "http_tls_client_ca", "KYA_HTTP_TLS_CLIENT_CA", None;
    GRPC_TLS_CERT = "grpc_tls_cert", "KYA_GRPC_TLS_CERT", None;
    GRPC_TLS_KEY = "grpc_tls_key", "KYA_GRPC_TLS_KEY", None;
    GRPC_TLS_CLIENT_CA = "grpc_tls_client_ca", "KYA_GRPC_TLS_CLIENT_CA", None;
    ISSUER = "issuer", "KYA_ISSUER", None;
    CAPABILITY_MAX_TTL = "capability_max_ttl", "KYA_CAPABILITY_MAX_TTL", Some("1h");
    ALLOW_PLAINTEXT = "allow_plaintext", "KYA_ALLOW_PLAINTEXT", Some("false");
    SECOND_OPERATOR_TO_RESUME =
        "second_operator_to_resume", "KYA_SECOND_OPERATOR_TO_RESUME", Some("false");
    DRAIN_TIMEOUT = "drain_timeout", "KYA_DRAIN_TIMEOUT", Some("10s");
    OIDC_ISSUER = "oidc_issuer", "KYA_OIDC_ISSUER", None;
    OIDC_AUDIENCE = "oidc_audience", "KYA_OIDC_AUDIENCE", None;
    OIDC_ROLES = "oidc_roles", "KYA_OIDC_ROLES", None;
    OIDC_GROUPS_CLAIM = "oidc_groups_claim", "KYA_OIDC_GROUPS_CLAIM", Some("groups");
    OIDC_NAME_CLAIM = "oidc_name_claim", "KYA_OIDC_NAME_CLAIM", Some("sub");
    OIDC_AUTHORIZED_PARTIES = "oidc_authorized_parties", "KYA_OIDC_AUTHORIZED_PARTIES", None;
    OIDC_ALGORITHMS = "oidc_algorithms", "KYA_OIDC_ALGORITHMS", Some("RS256,ES256,EdDSA");
    OIDC_LEEWAY = "oidc_leeway", "KYA_OIDC_LEEWAY", Some("30s");
    OIDC_JWKS_URL = "oidc_jwks_url", "KYA_OIDC_JWKS_URL", None;
    OIDC_CA = "oidc_ca", "KYA_OIDC_CA", None;
    LOG = "log", "KYA_LOG", Some("info");
    LOG_FORMAT = "log_format", "KYA_LOG_FORMAT", Some("text");
}

/// Texts by setting, before they are understood.
pub type Values = BTreeMap<&'static str, String>;

/// Reads the settings of the environment.
pub fn from_environment(
    read: impl Fn(&str) -> Option<OsString>,
) -> Result<Values, Vec<ConfigError>> {
    let mut values = Values::new();
    let mut errors = Vec::new();
    for setting in SETTINGS {
        match read(setting.variable).map(OsString::into_string) {
            None => {}
            Some(Ok(text)) => {
                values.insert(setting.name, text);
            }
            Some(Err(_)) => errors.push(error(setting.variable, "is not UTF-8")),
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

/// Reads a configuration file.
pub fn from_file(path: &Path) -> Result<Values, Vec<ConfigError>> {
    let origin = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|why| vec![error(&origin, why.to_string())])?;
    from_toml(&origin, &text)
}

/// Reads the settings of a configuration file. `origin` names it in errors.
pub fn from_toml(origin: &str, text: &str) -> Result<Values, Vec<ConfigError>> {
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| {
        // Not the line itself, which may hold a password.
        let before = e.span().map_or("", |at| text.get(..at.start).unwrap_or_default());
        let line = before.matches('\n').count().saturating_add(1);
        vec![error(origin, format!("not valid TOML in line {line}: {}", e.message()))]
    })?;
    let mut values = Values::new();
    let mut errors = Vec::new();
    for (name, value) in table {
        let known = SETTINGS.iter().find(|setting| setting.name == name);
        match (known, value) {
            (Some(setting), toml::Value::String(text)) => {
                values.insert(setting.name, text);
            }
            (Some(setting), toml::Value::Boolean(value))
                if [ALLOW_PLAINTEXT, SECOND_OPERATOR_TO_RESUME].contains(setting) =>
            {
                values.insert(setting.name, value.to_string());
            }
            // A table of groups reads as the JSON object that the other places take.
            (Some(setting), toml::Value::Table(roles)) if *setting == OIDC_ROLES => {
                values.insert(setting.name, serde_json::to_string(&roles).unwrap_or_default());
            }
            (Some(setting), value) => {
                let kind = article(&value);
                // What is no string may hold a password all the same.
                let shown = match *setting == DATABASE_URL {
                    true => String::new(),
                    false => format!(": {value}"),
                };
                let problem = format!("`{name}` must be a string, not {kind}{shown}");
                errors.push(error(origin, problem));
            }
            (None, _) => {
                let names: Vec<_> = SETTINGS.iter().map(|setting| setting.name).collect();
                errors.push(error(
                    origin,
                    format!("there is no setting `{name}`; there are {}", names.join(", ")),
                ));
            }
        }
    }
    if errors.is_empty() { Ok(values) } else { Err(errors) }
}

fn article(value: &toml::Value) -> String {
    let kind = value.type_str();
    if kind.starts_with(['a', 'i']) { format!("an {kind}") } else { format!("a {kind}") }
}
