//! The configuration as it is written: which fields there are, and of what type.
//! The comments are the descriptions in the JSON Schema; its bounds and examples
//! are in `schema.rs`.

use kya_core::PublicKey;
use serde::Deserialize;

use super::audit::AuditDocument;
use super::error::ConfigError;
use super::json::{Object, Secret, count, present, word};
use super::modes::FailModes;

/// Configuration of the kya filter. A field that is not listed is refused, and so
/// is `null`: what is not to be said is left out.
#[derive(Default, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(title = "kya plugin configuration", transform = super::schema::document)
)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Document {
    /// Cluster of this proxy through which the gRPC stream to the control plane is
    /// opened. It must speak HTTP/2. Required with transport `grpc`, not used with
    /// `http`.
    #[serde(deserialize_with = "present")]
    pub(super) control_plane_cluster: Option<String>,

    /// Cluster of this proxy for HTTP requests to the control plane: pulls of the
    /// state, and questions about unknown tokens. An entry of its own, so that
    /// trouble on the stream's connection does not reach it.
    #[serde(deserialize_with = "present")]
    pub(super) pull_cluster: Option<String>,

    /// How updates come. `grpc`: they are pushed on a stream, and pulled besides.
    /// `http`: they are pulled and nothing else, for proxies without gRPC or shared
    /// queues.
    #[serde(deserialize_with = "word")]
    pub(super) transport: TransportName,

    /// The `:authority` (host) of calls to the control plane. By default the name
    /// of the cluster that the call goes through.
    #[serde(deserialize_with = "present")]
    pub(super) authority: Option<String>,

    /// Pinned Ed25519 keys: an update counts only if one of these signed it. Each
    /// is the line that `kya-control-plane public-key` prints. While a key is being
    /// replaced, list the old one and the new one.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub(super) update_keys: Vec<PublicKey>,

    /// What this proxy shows the control plane to prove which node it is. A
    /// secret: prefer `node_credential_env`, since the proxy's own configuration is
    /// often readable. Exactly one of the two is there.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) node_credential: Option<Secret>,

    /// Name of an environment variable of the VM that holds the node's credential
    /// (Envoy: `vm_config.environment_variables`). It is read once, when the
    /// configuration is loaded.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub(super) node_credential_env: Option<Secret>,

    /// Name of this proxy, where it shows no `node.id` itself. By default the name
    /// that it shows.
    #[serde(deserialize_with = "present")]
    pub(super) node_id: Option<String>,

    /// The `realm` of `WWW-Authenticate` in answers (RFC 9110 section 11.5).
    #[serde(deserialize_with = "present")]
    pub(super) realm: Option<String>,

    /// Where a request carries its credential. All places are read, and exactly one
    /// credential in all of them together is accepted. No header is named twice.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<TokenSource>"))]
    pub(super) token_sources: Option<Vec<Object<TokenSource>>>,

    /// Paths that are forwarded undecided, whatever their method and query, such as
    /// a health check. Compared exactly, and only with a path that has one reading.
    pub(super) exempt_paths: Vec<String>,

    /// What policies call the service behind this proxy. A policy that is for some
    /// services only permits nothing where no service is named.
    #[serde(deserialize_with = "present")]
    pub(super) service: Option<String>,

    /// Which action a request stands for. One that no rule is about stands for none,
    /// and is denied to an agent of which any action was stopped. See
    /// `docs/actions.md`.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<ActionRule>"))]
    pub(super) actions: Option<Vec<Object<ActionRule>>>,

    /// What becomes of a request about which the gate knows too little. Every
    /// default denies.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schemars(with = "FailModes"))]
    pub(super) fail_modes: Option<Object<FailModes>>,

    /// What is recorded for the audit trail, and what happens where there is no room.
    #[serde(deserialize_with = "present")]
    #[cfg_attr(feature = "schema", schemars(with = "AuditDocument"))]
    pub(super) audit: Option<Object<AuditDocument>>,

    /// Age from which the last verified state counts as stale, `1s` to `24h`.
    #[serde(deserialize_with = "present")]
    pub(super) max_staleness: Option<String>,

    /// Time between two pulls, `1s` to `10m`. By default `60s` with transport
    /// `grpc`, and `15s` with `http`, where it must be shorter than
    /// `max_staleness`.
    #[serde(deserialize_with = "present")]
    pub(super) pull_interval: Option<String>,

    /// Most questions about unknown tokens that one worker waits for at a time.
    /// Beyond it the request is denied.
    #[serde(deserialize_with = "count::<_, 1, 1024>")]
    pub(super) max_introspections: Option<u64>,
}

/// How updates come.
#[derive(Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub(super) enum TransportName {
    /// Pushed on a gRPC stream, and pulled besides.
    #[default]
    Grpc,
    /// Pulled, and nothing else.
    Http,
}

/// One place of a credential: a header, or an entry of `Sec-WebSocket-Protocol`.
#[derive(Default, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = super::schema::token_source)
)]
#[serde(default, deny_unknown_fields)]
pub(super) struct TokenSource {
    /// Name of the header, in any case.
    #[serde(deserialize_with = "present")]
    pub(super) header: Option<String>,

    /// What stands before the token in the header, with a space between (RFC 9110
    /// section 11.1), in any case. Without it the whole value is the token.
    #[serde(deserialize_with = "present")]
    pub(super) scheme: Option<String>,

    /// Prefix of the entry of `Sec-WebSocket-Protocol` that is the token. The
    /// upstream does not see that entry; a browser must offer another one beside
    /// it.
    #[serde(deserialize_with = "present")]
    pub(super) websocket_protocol: Option<String>,
}

/// Requests that stand for an action.
#[derive(Default, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(transform = super::schema::action_rule)
)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ActionRule {
    /// A method and a template of a path, or `grpc:` with a service and a method.
    #[serde(deserialize_with = "present")]
    pub(super) route: Option<String>,

    /// The name of the action, 1 to 256 lower-case letters, digits and `_.:/-`.
    #[serde(deserialize_with = "present")]
    pub(super) action: Option<String>,
}

/// Reads the document and nothing after it.
pub(super) fn read(json: &[u8]) -> Result<Document, ConfigError> {
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    let Object(document) =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
            let path = error.path().to_string();
            // The path of the document itself.
            match path.as_str() {
                "." => ConfigError::at("", error.into_inner()),
                _ => ConfigError::at(path, format!("cannot be read: {}", error.into_inner())),
            }
        })?;
    deserializer.end().map_err(|error| ConfigError::at("", error))?;
    Ok(document)
}
