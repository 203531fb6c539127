//! What can be set, and where it was set: a flag wins over the environment, the
//! environment over the configuration file, the file over the default.

mod audit;
mod issuer;
mod oidc;
mod settings;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

use crate::store::DatabaseUrl;
use crate::tls::TlsFiles;
pub(crate) use audit::without_query;
pub use audit::{AnchorUrl, AuditConfig};
pub use issuer::IssuerConfig;
pub use oidc::OidcConfig;
use settings::{
    ALLOW_PLAINTEXT, CAPABILITY_MAX_TTL, DATA_DIR, DATABASE_URL, DRAIN_TIMEOUT, GRPC_LISTEN,
    GRPC_TLS_CERT, GRPC_TLS_CLIENT_CA, GRPC_TLS_KEY, HTTP_LISTEN, HTTP_TLS_CERT,
    HTTP_TLS_CLIENT_CA, HTTP_TLS_KEY, ISSUER, LOG, LOG_FORMAT, SECOND_OPERATOR_TO_RESUME,
};
pub use settings::{SETTINGS, Setting, Values, from_environment, from_file, from_toml};

/// The longest drain that can be asked for.
const MAX_DRAIN: Duration = Duration::from_secs(600);

/// A complete and checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where the keys are, and the database if it is none of PostgreSQL.
    pub data_dir: PathBuf,
    /// The database of PostgreSQL that is used; SQLite in the data directory without.
    pub database_url: Option<DatabaseUrl>,
    /// Of the audit trail.
    pub audit: AuditConfig,
    /// Address of the HTTP API. Port 0 takes any free port.
    pub http_listen: SocketAddr,
    /// Address of the enforcement protocol. Port 0 takes any free port.
    pub grpc_listen: SocketAddr,
    /// The TLS of the HTTP API; `None` in the clear.
    pub http_tls: Option<TlsFiles>,
    /// The TLS of the enforcement protocol; `None` in the clear.
    pub grpc_tls: Option<TlsFiles>,
    /// Whose capability tokens are issued; `None` if none are.
    pub issuer: Option<IssuerConfig>,
    /// Whether addresses that other machines reach may be served in the clear.
    pub allow_plaintext: bool,
    /// Whether what is stopped is put back only by two operators.
    pub second_operator_to_resume: bool,
    /// Who else may be an operator: whoever an issuer of OpenID Connect says.
    pub oidc: Option<OidcConfig>,
    /// How long requests under way may take to end at shutdown.
    pub drain_timeout: Duration,
    /// Which log lines are written, in the syntax of `tracing`'s `EnvFilter`.
    pub log: String,
    /// How they are written.
    pub log_format: LogFormat,
}

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// One thing that is wrong with the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{origin}: {problem}")]
pub struct ConfigError {
    origin: String,
    problem: String,
}

/// What is effective and where each value comes from. `Display` writes it as a
/// configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The configuration.
    pub config: Config,
    origins: Vec<(&'static str, String, String)>,
}

impl Config {
    /// The defaults on free ports of the loopback interface, for tests and
    /// embedding.
    pub fn ephemeral(data_dir: impl Into<PathBuf>) -> Self {
        let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            data_dir: data_dir.into(),
            database_url: None,
            audit: AuditConfig::default(),
            http_listen: anywhere,
            grpc_listen: anywhere,
            http_tls: None,
            grpc_tls: None,
            issuer: None,
            allow_plaintext: false,
            second_operator_to_resume: false,
            oidc: None,
            drain_timeout: Duration::from_secs(10),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }

    /// Which addresses would be served in the clear to other machines, and whether
    /// somebody on the way could stand in for the database, unless that was allowed.
    pub(crate) fn exposed(&self) -> Vec<ConfigError> {
        let exposed = |setting: Setting, address: SocketAddr, tls: Option<&TlsFiles>| {
            let local = address.ip().to_canonical().is_loopback();
            let fine = local || tls.is_some() || self.allow_plaintext;
            let flag = setting.name.strip_suffix("_listen").unwrap_or_default();
            (!fine).then(|| {
                error(setting.name, format!(
                    "{address} can be reached from other machines, and without TLS whoever is on the way reads the keys that are sent to it: give --{flag}-tls-cert and --{flag}-tls-key, or --allow-plaintext if something else encrypts"
                ))
            })
        };
        [
            exposed(HTTP_LISTEN, self.http_listen, self.http_tls.as_ref()),
            exposed(GRPC_LISTEN, self.grpc_listen, self.grpc_tls.as_ref()),
            self.database_url
                .as_ref()
                .filter(|url| !self.allow_plaintext && !url.is_sure_of_its_peer())
                .map(|url| {
                    error(DATABASE_URL.name, format!(
                        "{url} is on another machine, and whoever is on the way could stand in for it and so decide what is signed: add `sslmode=verify-full` (and `sslrootcert`), or give --allow-plaintext if something else protects it"
                    ))
                }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Puts the layers together, the first that has a value wins, and checks
/// everything. Returns every error, not only the first.
pub fn resolve(
    flags: &Values,
    environment: &Values,
    file: Option<(&str, &Values)>,
) -> Result<Effective, Vec<ConfigError>> {
    let mut reader = Reader { flags, environment, file, errors: vec![], origins: vec![] };
    let config = (
        (
            (reader.read(DATA_DIR, path), reader.read_audit()),
            reader.read_database(),
            reader.read_oidc(),
        ),
        reader.read(HTTP_LISTEN, address),
        reader.read(GRPC_LISTEN, address),
        reader.read_tls([HTTP_TLS_CERT, HTTP_TLS_KEY, HTTP_TLS_CLIENT_CA]),
        (reader.read_tls([GRPC_TLS_CERT, GRPC_TLS_KEY, GRPC_TLS_CLIENT_CA]), reader.read_issuer()),
        (reader.read(ALLOW_PLAINTEXT, yes), reader.read(SECOND_OPERATOR_TO_RESUME, yes)),
        reader.read(DRAIN_TIMEOUT, drain),
        reader.read(LOG, |text| match EnvFilter::try_new(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(why) => Err(format!("`{text}` is not a log filter such as `info`: {why}")),
        }),
        reader.read(LOG_FORMAT, |text| match text {
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("`{text}` is neither `text` nor `json`")),
        }),
    );
    if let (_, Some(http), Some(grpc), ..) = config
        && http == grpc
        && http.port() != 0
    {
        let problem = format!("are both {http}: each needs an address of its own");
        reader.errors.push(error("http_listen and grpc_listen", problem));
    }
    match config {
        (
            ((Some(data_dir), Some(audit)), database_url, oidc),
            Some(http_listen),
            Some(grpc_listen),
            http_tls,
            (grpc_tls, issuer),
            (Some(allow_plaintext), Some(second_operator_to_resume)),
            Some(drain_timeout),
            Some(log),
            Some(log_format),
        ) if reader.errors.is_empty() => {
            let config = Config {
                data_dir,
                database_url,
                audit,
                http_listen,
                grpc_listen,
                http_tls,
                grpc_tls,
                issuer,
                allow_plaintext,
                second_operator_to_resume,
                oidc,
                drain_timeout,
                log,
                log_format,
            };
            match config.exposed() {
                exposed if exposed.is_empty() => Ok(Effective { config, origins: reader.origins }),
                exposed => Err(exposed),
            }
        }
        _ => Err(reader.errors),
    }
}

struct Reader<'a> {
    flags: &'a Values,
    environment: &'a Values,
    file: Option<(&'a str, &'a Values)>,
    errors: Vec<ConfigError>,
    origins: Vec<(&'static str, String, String)>,
}

impl Reader<'_> {
    fn read<T>(
        &mut self,
        setting: Setting,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let Some((origin, text)) = self.find(setting) else {
            self.is_missing(setting, "is not set");
            return None;
        };
        match parse(&text) {
            Ok(value) => {
                self.origins.push((setting.name, text, origin));
                Some(value)
            }
            Err(problem) => {
                self.errors.push(error(&origin, problem));
                None
            }
        }
    }

    /// What is kept of it for people has no password in it, and neither has an error.
    fn read_database(&mut self) -> Option<DatabaseUrl> {
        let (origin, text) = self.find(DATABASE_URL)?;
        match text.parse::<DatabaseUrl>() {
            Ok(url) => {
                self.origins.push((DATABASE_URL.name, url.to_string(), origin));
                Some(url)
            }
            Err(problem) => {
                self.errors.push(error(&origin, problem.to_string()));
                None
            }
        }
    }

    /// Certificate and key belong together; the authorities of clients to both.
    fn read_tls(&mut self, [cert, key, client_ca]: [Setting; 3]) -> Option<TlsFiles> {
        let set = [cert, key, client_ca].map(|setting| self.find(setting).is_some());
        if set == [false; 3] {
            return None;
        }
        for setting in [cert, key] {
            if self.find(setting).is_none() {
                self.is_missing(setting, "is not set, and TLS needs it");
            }
        }
        if !set[0] || !set[1] {
            return None;
        }
        let (cert, key) = (self.read(cert, path), self.read(key, path));
        let client_ca = match set[2] {
            true => Some(self.read(client_ca, path)?),
            false => None,
        };
        Some(TlsFiles { cert: cert?, key: key?, client_ca })
    }

    /// The issuer, and how long its tokens live at most.
    fn read_issuer(&mut self) -> Option<IssuerConfig> {
        let longest = self.read(CAPABILITY_MAX_TTL, issuer::lifetime)?;
        self.find(ISSUER)?;
        Some(IssuerConfig { name: self.read(ISSUER, issuer::name)?, max_lifetime: longest })
    }

    fn is_missing(&mut self, setting: Setting, what: &str) {
        let Setting { name, variable, .. } = setting;
        let flag = setting.flag();
        let problem = format!("{what}: give {flag}, {variable}, or `{name}` in the file");
        self.errors.push(error(name, problem));
    }

    fn find(&self, setting: Setting) -> Option<(String, String)> {
        if let Some(text) = self.flags.get(setting.name) {
            return Some((setting.flag(), text.clone()));
        }
        if let Some(text) = self.environment.get(setting.name) {
            return Some((setting.variable.to_owned(), text.clone()));
        }
        if let Some((path, values)) = self.file
            && let Some(text) = values.get(setting.name)
        {
            return Some((format!("{path}, `{}`", setting.name), text.clone()));
        }
        setting.default.map(|text| ("default".to_owned(), text.to_owned()))
    }
}

impl fmt::Display for Effective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, text, origin) in &self.origins {
            writeln!(f, "{name} = {}  # {origin}", toml::Value::String(text.clone()))?;
        }
        Ok(())
    }
}

fn path(text: &str) -> Result<PathBuf, String> {
    match text {
        "" => Err("must not be empty".to_owned()),
        _ => Ok(PathBuf::from(text)),
    }
}

fn yes(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("`{text}` is neither `true` nor `false`"))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an address and port such as 127.0.0.1:7080"))
}

fn drain(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if duration <= MAX_DRAIN => Ok(duration),
        Ok(_) => Err(format!("`{text}` is longer than the 10 minutes that are allowed")),
        Err(why) => Err(format!("`{text}` is not a duration such as `10s`: {why}")),
    }
}

fn error(origin: &str, problem: impl Into<String>) -> ConfigError {
    ConfigError { origin: origin.to_owned(), problem: problem.into() }
}

#[cfg(test)]
mod tests;
