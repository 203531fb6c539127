//! Where a database is, and who asks. The password is never shown.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use sqlx::postgres::{PgConnectOptions, PgSslMode};
use thiserror::Error;

use super::WAIT;

const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];
const PARAMETERS: [&str; 12] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "password",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
    "options",
];

/// The address of a PostgreSQL database, as `postgres://user@host:port/name`. What
/// it leaves out is taken from the environment (`PGPASSWORD`, `PGPASSFILE`, `PGUSER`,
/// …), as `psql` does. `Display` and `Debug` leave the password out.
#[derive(Clone)]
pub struct DatabaseUrl {
    text: String,
    options: PgConnectOptions,
}

/// Why a text is no such address. It does not repeat the text, which may hold a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum DatabaseUrlError {
    /// It is of something else.
    #[error("is not the URL of a PostgreSQL database, such as postgres://kya@db.example:5432/kya")]
    Scheme,
    /// A part of it cannot be understood.
    #[error("is not a valid URL: {0}")]
    Malformed(String),
    /// It has a parameter that means nothing.
    #[error("has the parameter `{0}`, which is none of {list}", list = PARAMETERS.join(", "))]
    Parameter(String),
}

impl DatabaseUrl {
    /// Whether nobody on the way to the database can take its place: it is on this
    /// machine, or shows a certificate for its name.
    pub(crate) fn is_sure_of_its_peer(&self) -> bool {
        let host = self.options.get_host();
        let is_here = host == "localhost"
            || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        self.options.get_socket().is_some()
            || is_here
            || matches!(self.options.get_ssl_mode(), PgSslMode::VerifyFull)
    }

    /// How to connect: every wait on the other end has a bound.
    pub(in crate::store) fn options(&self) -> PgConnectOptions {
        let wait = WAIT.as_millis().to_string();
        let bounds = [
            ("statement_timeout", &*wait),
            ("lock_timeout", &*wait),
            ("client_min_messages", "warning"),
            // Of a transaction whose server has vanished.
            ("idle_in_transaction_session_timeout", "30000"),
            // By which the database notices that; its defaults are two hours.
            ("tcp_keepalives_idle", "10"),
            ("tcp_keepalives_interval", "5"),
            ("tcp_keepalives_count", "3"),
        ];
        self.options.clone().options(bounds)
    }
}

impl FromStr for DatabaseUrl {
    type Err = DatabaseUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if !SCHEMES.iter().any(|scheme| text.starts_with(scheme)) {
            return Err(DatabaseUrlError::Scheme);
        }
        // Where somebody has put a password that is not percent-encoded, what is taken for
        // the host and for what follows it would be parts of it, and be shown.
        let rest = text.split_once("://").map_or("", |(_, rest)| rest);
        let behind = rest.find(['/', '?', '#']).and_then(|end| rest.get(end..));
        if behind.is_some_and(|behind| behind.contains('@')) {
            return Err(DatabaseUrlError::Malformed(
                "it has an `@` behind the host: percent-encode what is in a user or a password"
                    .to_owned(),
            ));
        }
        let parameters = text.split_once('?').map_or("", |(_, parameters)| parameters);
        for pair in parameters.split('&').filter(|pair| !pair.is_empty()) {
            let name = pair.split('=').next().unwrap_or_default();
            if !PARAMETERS.contains(&name) {
                let is_a_word = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
                let shown = if is_a_word { name } else { "…" };
                return Err(DatabaseUrlError::Parameter(shown.to_owned()));
            }
        }
        let options: PgConnectOptions = text.parse().map_err(|error: sqlx::Error| match error {
            sqlx::Error::Configuration(why) => DatabaseUrlError::Malformed(why.to_string()),
            _ => DatabaseUrlError::Malformed("it cannot be read".to_owned()),
        })?;
        let options = match options.get_application_name() {
            None => options.application_name("kya-control-plane"),
            Some(_) => options,
        };
        Ok(Self { text: text.to_owned(), options })
    }
}

impl PartialEq for DatabaseUrl {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for DatabaseUrl {}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let options = &self.options;
        let user = options.get_username();
        let name = options.get_database().unwrap_or(user);
        match options.get_socket() {
            Some(socket) => {
                write!(f, "postgres://{user}@localhost/{name}?host={}", socket.display())
            }
            None => {
                write!(f, "postgres://{user}@{}:{}/{name}", options.get_host(), options.get_port())
            }
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<DatabaseUrl, DatabaseUrlError> {
        text.parse()
    }

    #[test]
    fn the_password_is_not_shown_wherever_it_stands() {
        for text in [
            "postgres://kya:hunter2@db.example:6432/registry",
            "postgresql://kya@db.example:6432/registry?password=hunter2&sslmode=verify-full",
        ] {
            let url = read(text).unwrap();
            assert_eq!(url.to_string(), "postgres://kya@db.example:6432/registry");
            assert!(!format!("{url:?}").contains("hunter2"), "{url:?}");
        }
        let socket = read("postgres://localhost/registry?host=/run/postgresql&user=kya").unwrap();
        assert_eq!(socket.to_string(), "postgres://kya@localhost/registry?host=/run/postgresql");
    }

    #[test]
    fn the_peer_is_sure_on_this_machine_and_by_its_certificate() {
        for (text, sure) in [
            ("postgres://localhost/kya", true),
            ("postgres://127.0.0.1:5432/kya", true),
            ("postgres://[::1]/kya", true),
            ("postgres://localhost/kya?host=/run/postgresql", true),
            ("postgres://db.example/kya?sslmode=verify-full", true),
            ("postgres://db.example/kya", false),
            ("postgres://db.example/kya?sslmode=require", false),
            ("postgres://db.example/kya?sslmode=verify-ca", false),
            ("postgres://localhost.example/kya", false),
        ] {
            assert_eq!(read(text).unwrap().is_sure_of_its_peer(), sure, "{text}");
        }
    }

    #[test]
    fn an_address_of_something_else_is_refused_without_being_repeated() {
        for text in [
            "mysql://kya:hunter2@db/registry",
            "hunter2",
            "",
            "postgres://kya:hunter2@db:port/registry",
            "postgres://kya:hunter2@db/registry?sslmode=perhaps",
            "postgres://kya@db/registry?pasword=hunter2",
            "postgres://kya:hunter2@[db/registry",
            // Not percent-encoded, so that it is taken for other parts.
            "postgres://kya:ab?hunter2@db/kya",
            "postgres://kya:12/hunter2@db/kya",
            "postgres://kya:12#hunter2@db/kya",
            "postgres://kya:ab?hunter2=1",
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(!error.contains("hunter2"), "{error}");
        }
        let mistyped = read("postgres://db/registry?pasword=x").unwrap_err().to_string();
        assert!(
            mistyped.starts_with("has the parameter `pasword`, which is none of"),
            "{mistyped}"
        );
    }
}
