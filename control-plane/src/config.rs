//! What can be set, and where it was set: a flag wins over the environment, the
//! environment over the configuration file, the file over the default.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tracing_subscriber::EnvFilter;

/// A setting: one name in the file, one variable in the environment, one flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Name in the file. The flag has dashes instead of underscores.
    pub name: &'static str,
    /// Name in the environment.
    pub variable: &'static str,
    default: Option<&'static str>,
}

macro_rules! settings {
    ($($constant:ident = $name:literal, $variable:literal, $default:expr;)*) => {
        $(const $constant: Setting =
            Setting { name: $name, variable: $variable, default: $default };)*
        /// Every setting.
        pub const SETTINGS: &[Setting] = &[$($constant),*];
    };
}

settings! {
    DATA_DIR = "data_dir", "KYA_DATA_DIR", None;
    HTTP_LISTEN = "http_listen", "KYA_HTTP_LISTEN", Some("127.0.0.1:7080");
    GRPC_LISTEN = "grpc_listen", "KYA_GRPC_LISTEN", Some("127.0.0.1:7081");
    DRAIN_TIMEOUT = "drain_timeout", "KYA_DRAIN_TIMEOUT", Some("10s");
    LOG = "log", "KYA_LOG", Some("info");
    LOG_FORMAT = "log_format", "KYA_LOG_FORMAT", Some("text");
}

/// The longest drain that can be asked for.
const MAX_DRAIN: Duration = Duration::from_secs(600);

/// A complete and checked configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where database and keys are.
    pub data_dir: PathBuf,
    /// Address of the HTTP API. Port 0 takes any free port.
    pub http_listen: SocketAddr,
    /// Address of the enforcement protocol. Port 0 takes any free port.
    pub grpc_listen: SocketAddr,
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

/// Texts by setting, before they are understood.
pub type Values = BTreeMap<&'static str, String>;

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
            http_listen: anywhere,
            grpc_listen: anywhere,
            drain_timeout: Duration::from_secs(10),
            log: "info".to_owned(),
            log_format: LogFormat::Text,
        }
    }
}

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
        vec![error(origin, format!("not valid TOML: {}", e.to_string().trim_end()))]
    })?;
    let mut values = Values::new();
    let mut errors = Vec::new();
    for (name, value) in table {
        let known = SETTINGS.iter().find(|setting| setting.name == name);
        match (known, value) {
            (Some(setting), toml::Value::String(text)) => {
                values.insert(setting.name, text);
            }
            (Some(_), value) => errors.push(error(
                origin,
                format!("`{name}` must be a string, not {}: {value}", article(&value)),
            )),
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

/// Puts the layers together, the first that has a value wins, and checks
/// everything. Returns every error, not only the first.
pub fn resolve(
    flags: &Values,
    environment: &Values,
    file: Option<(&str, &Values)>,
) -> Result<Effective, Vec<ConfigError>> {
    let mut reader = Reader { flags, environment, file, errors: vec![], origins: vec![] };
    let config = (
        reader.read(DATA_DIR, |text| match text {
            "" => Err("must not be empty".to_owned()),
            _ => Ok(PathBuf::from(text)),
        }),
        reader.read(HTTP_LISTEN, address),
        reader.read(GRPC_LISTEN, address),
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
            Some(data_dir),
            Some(http_listen),
            Some(grpc_listen),
            Some(drain_timeout),
            Some(log),
            Some(log_format),
        ) if reader.errors.is_empty() => Ok(Effective {
            config: Config { data_dir, http_listen, grpc_listen, drain_timeout, log, log_format },
            origins: reader.origins,
        }),
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
        let flag = format!("--{}", setting.name.replace('_', "-"));
        let Some((origin, text)) = self.find(setting, &flag) else {
            let Setting { name, variable, .. } = setting;
            let problem = format!("is not set: give {flag}, {variable}, or `{name}` in the file");
            self.errors.push(error(name, problem));
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

    fn find(&self, setting: Setting, flag: &str) -> Option<(String, String)> {
        if let Some(text) = self.flags.get(setting.name) {
            return Some((flag.to_owned(), text.clone()));
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

fn article(value: &toml::Value) -> String {
    let kind = value.type_str();
    if kind.starts_with(['a', 'i']) { format!("an {kind}") } else { format!("a {kind}") }
}

#[cfg(test)]
#[path = "config_tests.rs"]
mod tests;
