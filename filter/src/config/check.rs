//! From what is written to what is meant: bounds, defaults, and what fits
//! together.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use kya_core::{NodeCredential, PublicKey, Source, exact_path};

use super::document::{Document, TokenSource, TransportName};
use super::error::ConfigError;
use super::json::{Object, Secret};
use super::{Actions, AuditConfig, Config, Transport, duration};

/// Most keys that can be pinned at once: the one in use, the next one, and room.
const MAX_UPDATE_KEYS: usize = 8;
const MAX_TOKEN_SOURCES: usize = 8;
const MAX_EXEMPT_PATHS: usize = 64;
const MAX_PATH: usize = 1024;
const MAX_TEXT: usize = 256;
const MAX_INTROSPECTIONS: usize = 1024;

const DEFAULT_REALM: &str = "kya";
const DEFAULT_STALENESS: Duration = Duration::from_secs(60);
const DEFAULT_PULL: Duration = Duration::from_secs(60);
/// With pulls alone, how often the state is renewed decides how old it gets.
const DEFAULT_PULL_ALONE: Duration = Duration::from_secs(15);
const DEFAULT_INTROSPECTIONS: usize = 64;

type Checked<T> = Result<T, ConfigError>;

pub(super) fn check(
    document: Document,
    environment: impl Fn(&str) -> Option<String>,
) -> Checked<Config> {
    let transport = transport(document.transport, document.control_plane_cluster)?;
    let alone = transport == Transport::Http;
    let max_staleness = match document.max_staleness {
        Some(text) => span("max_staleness", &text, 1..=24 * 60 * 60, "`1s` to `24h`")?,
        None => DEFAULT_STALENESS,
    };
    let pull_interval = match document.pull_interval {
        Some(text) => span("pull_interval", &text, 1..=10 * 60, "`1s` to `10m`")?,
        None if alone => DEFAULT_PULL_ALONE,
        None => DEFAULT_PULL,
    };
    if alone && pull_interval >= max_staleness {
        return Err(ConfigError::at(
            "pull_interval",
            "must be shorter than `max_staleness` where `transport` is `http`: nothing else renews the state, and between two pulls it would count as stale",
        ));
    }
    Ok(Config {
        transport,
        pull_cluster: cluster("pull_cluster", document.pull_cluster)?,
        authority: document.authority.map(authority).transpose()?,
        update_keys: update_keys(document.update_keys)?,
        node_credential: node_credential(
            document.node_credential,
            document.node_credential_env,
            environment,
        )?,
        node_id: document.node_id.map(node_id).transpose()?,
        realm: document.realm.map_or_else(|| Ok(DEFAULT_REALM.to_owned()), realm)?,
        token_sources: match document.token_sources {
            Some(sources) => token_sources(sources)?,
            None => vec![Source::authorization()],
        },
        exempt_paths: exempt_paths(document.exempt_paths)?,
        service: document.service.map(service).transpose()?,
        actions: Actions::new(document.actions.unwrap_or_default())?,
        fail_modes: document.fail_modes.map_or_else(Default::default, |Object(modes)| modes),
        audit: AuditConfig::check(document.audit.map_or_else(Default::default, |Object(it)| it))?,
        max_staleness,
        pull_interval,
        max_introspections: introspections(document.max_introspections)?,
    })
}

fn transport(name: TransportName, control_plane_cluster: Option<String>) -> Checked<Transport> {
    let written = control_plane_cluster.is_some();
    let cluster = || cluster("control_plane_cluster", control_plane_cluster);
    match name {
        TransportName::Grpc => Ok(Transport::Grpc { cluster: cluster()? }),
        // It may stay, so that one word switches to and fro.
        TransportName::Http if written => cluster().map(|_| Transport::Http),
        TransportName::Http => Ok(Transport::Http),
    }
}

fn cluster(field: &str, name: Option<String>) -> Checked<String> {
    name.filter(|name| is_line(name)).ok_or_else(|| {
        ConfigError::at(
            field,
            "must be the name of a cluster of this proxy, of 1 to 256 bytes without control characters",
        )
    })
}

fn authority(text: String) -> Checked<String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    if is_line(&text) && text.bytes().all(plain) {
        return Ok(text);
    }
    Err(ConfigError::at(
        "authority",
        "must be a host such as `kya.internal` or `kya.internal:7081`",
    ))
}

fn update_keys(keys: Vec<PublicKey>) -> Checked<Vec<PublicKey>> {
    if keys.is_empty() || keys.len() > MAX_UPDATE_KEYS {
        return Err(ConfigError::at(
            "update_keys",
            "must hold 1 to 8 keys as `kya-control-plane public-key` prints them",
        ));
    }
    let mut known = BTreeSet::new();
    match keys.iter().position(|key| !known.insert(key.to_bytes())) {
        Some(index) => Err(ConfigError::at(
            format!("update_keys[{index}]"),
            "is the same key as one before it: name each key once",
        )),
        None => Ok(keys),
    }
}

/// No error below quotes what was written: it may be a credential in the wrong
/// place.
fn node_credential(
    given: Option<Secret>,
    variable: Option<Secret>,
    environment: impl Fn(&str) -> Option<String>,
) -> Checked<NodeCredential> {
    const SHAPE: &str = "must be a credential as the control plane issued it";
    match (given, variable) {
        (Some(Secret(text)), None) => NodeCredential::parse(text.as_bytes())
            .map_err(|error| ConfigError::at("node_credential", format!("{SHAPE}, but {error}"))),
        (None, Some(Secret(name))) => {
            let wrong = |problem: String| ConfigError::at("node_credential_env", problem);
            if !is_variable(&name) {
                return Err(wrong(
                    "must be the name of an environment variable, such as `KYA_NODE_CREDENTIAL`"
                        .into(),
                ));
            }
            let text = environment(&name).ok_or_else(|| {
                wrong("names a variable that the environment of this VM does not have: set it in the proxy and list it in `vm_config.environment_variables`".into())
            })?;
            NodeCredential::parse(text.as_bytes()).map_err(|error| {
                wrong(format!("names a variable whose value {SHAPE}, but {error}"))
            })
        }
        (Some(_), Some(_)) => Err(ConfigError::at(
            "node_credential",
            "and `node_credential_env` are both there: leave one of them out",
        )),
        (None, None) => Err(ConfigError::at(
            "node_credential",
            "is missing, and so is `node_credential_env`: write one of them",
        )),
    }
}

fn node_id(text: String) -> Checked<String> {
    if is_line(&text) {
        return Ok(text);
    }
    Err(ConfigError::at("node_id", "must have 1 to 256 bytes without control characters"))
}

fn service(text: String) -> Checked<String> {
    // What patterns of policies can name.
    let plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_.:/-".contains(&byte);
    if (1..=MAX_TEXT).contains(&text.len()) && text.bytes().all(plain) {
        return Ok(text);
    }
    Err(ConfigError::at(
        "service",
        "must be a name such as `payments`, of 1 to 256 lower-case letters, digits and `_.:/-`",
    ))
}

fn realm(text: String) -> Checked<String> {
    let printable = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\';
    if text.len() <= MAX_TEXT && text.bytes().all(printable) {
        return Ok(text);
    }
    Err(ConfigError::at(
        "realm",
        "must be at most 256 printable ASCII characters without quotes or backslashes",
    ))
}

fn token_sources(written: Vec<Object<TokenSource>>) -> Checked<Vec<Source>> {
    if written.is_empty() || written.len() > MAX_TOKEN_SOURCES {
        return Err(ConfigError::at(
            "token_sources",
            "must hold 1 to 8 places, such as {\"header\": \"authorization\", \"scheme\": \"Bearer\"}",
        ));
    }
    let mut sources: Vec<Source> = Vec::new();
    for (index, Object(source)) in written.into_iter().enumerate() {
        let (part, source) = token_source(index, source)?;
        if sources.iter().any(|known| known.header_name() == source.header_name()) {
            return Err(ConfigError::at(
                format!("token_sources[{index}].{part}"),
                format!(
                    "reads the header `{}`, which one before it reads already",
                    source.header_name()
                ),
            ));
        }
        sources.push(source);
    }
    Ok(sources)
}

/// One source, and the field that names its header.
fn token_source(index: usize, written: TokenSource) -> Checked<(&'static str, Source)> {
    let at = |part: &str| format!("token_sources[{index}].{part}");
    match written {
        TokenSource { header: Some(header), scheme, websocket_protocol: None } => {
            let source = Source::header(&header).ok_or_else(|| {
                ConfigError::at(
                    at("header"),
                    "must be the name of a header of 1 to 64 letters, digits and !#$%&'*+-.^_`|~ that does not begin with `x-kya-`; for `sec-websocket-protocol` write `websocket_protocol`",
                )
            })?;
            let source = match scheme {
                None => source,
                Some(scheme) => source.with_scheme(&scheme).ok_or_else(|| {
                    ConfigError::at(at("scheme"), "must be a scheme such as `Bearer`, of 1 to 64 letters, digits and !#$%&'*+-.^_`|~; without one, leave it out")
                })?,
            };
            Ok(("header", source))
        }
        TokenSource { header: None, scheme: None, websocket_protocol: Some(prefix) } => {
            let source = Source::websocket_protocol(&prefix).ok_or_else(|| {
                ConfigError::at(
                    at("websocket_protocol"),
                    "must be a prefix such as `kya.bearer.`, of 1 to 64 letters, digits and !#$%&'*+-.^_`|~",
                )
            })?;
            Ok(("websocket_protocol", source))
        }
        TokenSource { scheme: Some(_), websocket_protocol: Some(_), header: None } => {
            Err(ConfigError::at(at("scheme"), "goes with `header` only: leave it out"))
        }
        TokenSource { header: Some(_), websocket_protocol: Some(_), .. } => Err(ConfigError::at(
            at("websocket_protocol"),
            "and `header` are both there: make two sources of them",
        )),
        TokenSource { header: None, websocket_protocol: None, .. } => Err(ConfigError::at(
            at("header"),
            "is missing, and so is `websocket_protocol`: write one of them",
        )),
    }
}

fn exempt_paths(written: Vec<String>) -> Checked<BTreeSet<String>> {
    if written.len() > MAX_EXEMPT_PATHS {
        return Err(ConfigError::at("exempt_paths", "must hold at most 64 paths"));
    }
    let mut paths = BTreeSet::new();
    for (index, path) in written.into_iter().enumerate() {
        let wrong = |problem: &str| Err(ConfigError::at(format!("exempt_paths[{index}]"), problem));
        match exact_path(path.as_bytes()) {
            Ok(exact) if exact != path => {
                return wrong("has a query: a path is exempt whatever its query, so leave it out");
            }
            Ok(_) if path.len() > MAX_PATH => return wrong("must have at most 1024 bytes"),
            Ok(_) => {}
            Err(error) => {
                return wrong(&format!(
                    "must be one plain path such as `/healthz`, but it {error}"
                ));
            }
        }
        if !paths.insert(path) {
            return wrong("is the same path as one before it: name each once");
        }
    }
    Ok(paths)
}

fn span(field: &str, text: &str, seconds: RangeInclusive<u64>, range: &str) -> Checked<Duration> {
    duration::parse(text).filter(|span| seconds.contains(&span.as_secs())).ok_or_else(|| {
        ConfigError::at(
            field,
            format!("must be a whole number of seconds, minutes or hours from {range}, written like `90s`, `5m` or `1h`"),
        )
    })
}

fn introspections(written: Option<u64>) -> Checked<usize> {
    let Some(number) = written else { return Ok(DEFAULT_INTROSPECTIONS) };
    usize::try_from(number)
        .ok()
        .filter(|number| (1..=MAX_INTROSPECTIONS).contains(number))
        .ok_or_else(|| {
            ConfigError::at("max_introspections", "must be a whole number from 1 to 1024")
        })
}

/// 1 to 256 bytes that a log line can show.
fn is_line(text: &str) -> bool {
    (1..=MAX_TEXT).contains(&text.len()) && !text.chars().any(char::is_control)
}

/// A name of an environment variable (POSIX.1 section 8.1).
fn is_variable(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    first && name.len() <= MAX_TEXT && name.bytes().all(plain)
}
