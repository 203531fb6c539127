//! Values of the command line: what the server would refuse is refused here,
//! with the reason.

mod audit;
mod drill;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use kya_core::policy::PolicyReference;
use kya_core::{ActionName, MAX_SERVICE_BYTES, NodeCredential, OperatorKey, PrincipalId};
use thiserror::Error;
use url::Url;

pub(crate) use self::audit::{
    parse_act, parse_audit_key, parse_bound, parse_checkpoint, parse_key_id, parse_kill,
    parse_moment,
};
pub(crate) use self::drill::{
    parse_cron, parse_interval, parse_p99, parse_probe, parse_schedule_name, parse_time_zone,
};
use crate::output::short;

pub(crate) fn parse_server(text: &str) -> Result<Url, String> {
    const FORM: &str = "it is written http://HOST:PORT or https://HOST:PORT";
    let url = Url::parse(text).map_err(|error| format!("{error}: {FORM}"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(FORM.to_owned());
    }
    let extra = url.query().or(url.fragment()).is_some();
    if extra || !url.username().is_empty() || url.password().is_some() {
        return Err(format!("no user, query or fragment belongs into it: {FORM}"));
    }
    Ok(url)
}

/// A text for people: not blank, and nothing that could break a line of a log.
pub(crate) fn parse_text(text: &str, max: usize) -> Result<String, String> {
    let length = text.chars().count();
    if text.trim().is_empty() {
        Err("it must not be empty".to_owned())
    } else if length > max {
        Err(format!("{length} characters, and {max} are allowed"))
    } else if text.chars().any(char::is_control) {
        Err("it must not contain line breaks or other control characters".to_owned())
    } else {
        Ok(text.to_owned())
    }
}

fn parse_time(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write it like 90s or 24h"))
}

pub(crate) fn parse_ttl(text: &str) -> Result<Duration, String> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    whole_seconds(text, YEAR, "365days")
}

fn whole_seconds(text: &str, longest: Duration, shown: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    if time.subsec_nanos() != 0 {
        return Err("only whole seconds are kept".to_owned());
    }
    if time.is_zero() || time > longest {
        return Err(format!("it must be between 1s and {shown}"));
    }
    Ok(time)
}

/// The name of a node registration, which has no character that a URL escapes.
pub(crate) fn parse_node_name(text: &str) -> Result<String, String> {
    match parse_plain_name(text)? {
        name if NodeCredential::parse(name.as_bytes()).is_ok() => {
            Err("this is a credential, not the name of its registration".to_owned())
        }
        name => Ok(name),
    }
}

/// The name of an operator, which is written like that of a node registration.
pub(crate) fn parse_operator_name(text: &str) -> Result<String, String> {
    match parse_plain_name(text)? {
        name if OperatorKey::parse(name.as_bytes()).is_ok() => {
            Err("this is a key, not the name of its operator".to_owned())
        }
        name => Ok(name),
    }
}

/// The name of a node registration or of an operator, where a page of them begins.
#[derive(Debug, Clone)]
pub(crate) struct PlainName(String);

/// Why a text is no such name.
#[derive(Debug, Error)]
#[error("{0}")]
pub(crate) struct NoPlainName(String);

impl FromStr for PlainName {
    type Err = NoPlainName;

    fn from_str(text: &str) -> Result<Self, NoPlainName> {
        parse_plain_name(text).map(Self).map_err(NoPlainName)
    }
}

impl fmt::Display for PlainName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse_plain_name(text: &str) -> Result<String, String> {
    let name = parse_text(text, 128)?;
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-~".contains(&byte);
    match name.starts_with(|first: char| first.is_ascii_alphanumeric()) && name.bytes().all(good) {
        true => Ok(name),
        false => {
            Err("only letters, digits and `.` `_` `-` `~`, and a letter or digit first".to_owned())
        }
    }
}

/// A text of these characters and no others.
fn parse_plain(text: &str, max: usize, marks: &[u8]) -> Result<String, String> {
    let good =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || marks.contains(&byte);
    if !text.bytes().all(good) {
        let marks: Vec<_> = marks.iter().map(|mark| format!("`{}`", char::from(*mark))).collect();
        return Err(format!("only a-z, 0-9 and {}", marks.join(" ")));
    }
    match text.len() {
        0 => Err("it must not be empty".to_owned()),
        length if length > max => Err(format!("{length} characters, and {max} are allowed")),
        _ => Ok(text.to_owned()),
    }
}

/// The name of a principal.
pub(crate) fn parse_principal_name(text: &str) -> Result<String, String> {
    let name = parse_plain(text, 254, b"._-+@")?;
    let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let one_at = name.matches('@').count() <= 1 && !name.ends_with('@');
    match begins && one_at && !name.starts_with("prn_") {
        true => Ok(name),
        false => Err(
            "a letter or digit first, at most one `@` and not at the end, and not `prn_` at the start"
                .to_owned(),
        ),
    }
}

/// The name of a principal, or its id.
pub(crate) fn parse_principal(text: &str) -> Result<String, String> {
    match text.starts_with("prn_") {
        true => text.parse::<PrincipalId>().map(|id| id.to_string()).map_err(|e| e.to_string()),
        false => parse_principal_name(text),
    }
}

pub(crate) fn parse_policy(text: &str) -> Result<String, String> {
    text.parse::<PolicyReference>().map(|it| it.to_string()).map_err(|error| error.to_string())
}

/// What proxies call a service.
pub(crate) fn parse_service(text: &str) -> Result<String, String> {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.:/-".contains(&b);
    match (1..=MAX_SERVICE_BYTES).contains(&text.len()) && text.bytes().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!(
            "the name of a service is 1 to {MAX_SERVICE_BYTES} lower-case letters, digits and `_.:/-`"
        )),
    }
}

/// The name of an action.
pub(crate) fn parse_action(text: &str) -> Result<String, String> {
    text.parse::<ActionName>().map(String::from).map_err(|error| format!("it {error}"))
}

pub(crate) fn parse_label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("it is written key=value")?;
    parse_label_key(key)?;
    parse_label_value(value)?;
    Ok((key.to_owned(), value.to_owned()))
}

fn parse_label_key(key: &str) -> Result<(), String> {
    let key = parse_plain(key, 63, b"_.-")
        .map_err(|error| format!("the key {:?}: {error}", short(key)))?;
    match key.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        true => Ok(()),
        false => Err(format!("the key {:?}: a letter or digit first", short(&key))),
    }
}

fn parse_label_value(value: &str) -> Result<(), String> {
    let good = |byte: u8| (b' '..=b'~').contains(&byte) && byte != b',';
    match (1..=128).contains(&value.len()) && value.bytes().all(good) && value.trim() == value {
        true => Ok(()),
        false => Err(format!(
            "the value {:?}: 1 to 128 printable ASCII characters, without a comma, and without a space at either end",
            short(value)
        )),
    }
}

/// Which agents are meant: `env=prod,team!=x,canary,!legacy`.
pub(crate) fn parse_selector(text: &str) -> Result<String, String> {
    const MAX_PARTS: usize = 16;
    let count = text.split(',').count();
    if count > MAX_PARTS {
        return Err(format!("{count} parts, and {MAX_PARTS} are allowed"));
    }
    for part in text.split(',') {
        let (key, value) = match part.split_once('=') {
            Some((key, value)) => (key.strip_suffix('!').unwrap_or(key), Some(value)),
            None => (part.strip_prefix('!').unwrap_or(part), None),
        };
        parse_label_key(key).and_then(|()| value.map_or(Ok(()), parse_label_value)).map_err(
            |error| {
                let part = short(part);
                format!("it is written key=value,key!=value,key,!key, and in {part:?} {error}")
            },
        )?;
    }
    Ok(text.to_owned())
}

/// An instant to come.
pub(crate) fn parse_expiry(text: &str) -> Result<String, String> {
    let at = humantime::parse_rfc3339(text)
        .map_err(|error| format!("{error}; write it like 2027-01-31T12:00:00Z"))?;
    match at > std::time::SystemTime::now() {
        true => Ok(text.to_owned()),
        false => Err("it must be in the future".to_owned()),
    }
}

/// Envoy's `node.id`.
pub(crate) fn parse_node_id(text: &str) -> Result<String, String> {
    match parse_node_match(text)? {
        text if NodeCredential::parse(text.as_bytes()).is_ok() => {
            Err("this is a credential, not the node.id of a proxy".to_owned())
        }
        text => Ok(text),
    }
}

pub(crate) fn parse_node_match(text: &str) -> Result<String, String> {
    match parse_text(text, 256)? {
        text if text.len() > 256 => Err("more than 256 bytes".to_owned()),
        text => Ok(text),
    }
}

pub(crate) fn parse_node_ttl(text: &str) -> Result<Duration, String> {
    const TEN_YEARS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
    whole_seconds(text, TEN_YEARS, "3650days")
}

pub(crate) fn parse_wait(text: &str) -> Result<Duration, String> {
    let wait = parse_time(text)?;
    if wait > Duration::from_secs(30) { Err("at most 30s".to_owned()) } else { Ok(wait) }
}

pub(crate) fn parse_timeout(text: &str) -> Result<Duration, String> {
    let timeout = parse_time(text)?;
    if timeout.is_zero() || timeout > Duration::from_secs(600) {
        return Err("it must be longer than nothing and at most 10m".to_owned());
    }
    Ok(timeout)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_http_address_is_a_server() {
        for good in [
            "http://127.0.0.1:7080",
            "http://kya/",
            "https://kya.example",
            "http://[::1]:7080/behind/a/path",
        ] {
            assert!(parse_server(good).is_ok(), "{good}");
        }
        for (bad, part) in [
            ("localhost:7080", "http://HOST:PORT"),
            ("127.0.0.1:7080", "http://HOST:PORT"),
            ("ftp://kya.example", "http://HOST:PORT"),
            ("http://", "http://HOST:PORT"),
            ("", "http://HOST:PORT"),
            ("http://me:pass@kya.example", "no user"),
            ("http://kya.example/?x=1", "no user, query"),
        ] {
            let reason = parse_server(bad).unwrap_err();
            assert!(reason.contains(part), "{reason:?} of {bad:?} does not say {part:?}");
        }
    }

    #[test]
    fn a_selector_and_a_label_say_what_is_wrong_with_them() {
        for good in ["env=prod", "env=prod,team!=x y,canary,!legacy", "a=b=c"] {
            assert_eq!(parse_selector(good).as_deref(), Ok(good));
        }
        for (bad, part) in [
            ("", "the key \"\""),
            ("env=", "the value \"\""),
            ("env=prod,", "in \"\" the key"),
            ("Env=prod", "only a-z"),
            ("env=prod, team=x", "in \" team=x\" the key"),
            ("!env=prod", "the key \"!env\""),
            ("env=\u{440}rod", "printable ASCII"),
        ] {
            let reason = parse_selector(bad).unwrap_err();
            assert!(reason.contains(part), "{reason:?} of {bad:?} does not say {part:?}");
        }
        assert!(parse_selector(&vec!["a"; 17].join(",")).unwrap_err().contains("17 parts"));
        assert_eq!(parse_label("env=a=b"), Ok(("env".to_owned(), "a=b".to_owned())));
        assert!(parse_label("env").unwrap_err().contains("key=value"));
        assert!(parse_label("-env=a").unwrap_err().contains("letter or digit first"));
    }

    #[test]
    fn a_principal_is_a_plain_name_or_an_id() {
        let id = PrincipalId::from_bytes([7; 16]).to_string();
        for good in ["alice@example.com", "team-payments", &id] {
            assert_eq!(parse_principal(good).as_deref(), Ok(good));
        }
        for bad in ["", "Alice", "\u{430}lice", "a b", "@x", "a@", "a@b@c", "prn_x"] {
            assert!(parse_principal(bad).is_err(), "{bad}");
        }
        assert!(parse_principal_name(&id).is_err(), "an id is no name");
        assert!(parse_expiry("2020-01-01T00:00:00Z").unwrap_err().contains("future"));
        assert!(parse_expiry("tomorrow").is_err());
    }

    #[test]
    fn times_outside_what_the_server_takes_are_refused() {
        assert_eq!(parse_ttl("365days"), Ok(Duration::from_secs(31_536_000)));
        assert_eq!(parse_wait("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_wait("30s"), Ok(Duration::from_secs(30)));
        for bad in ["0s", "366days", "1500ms", "5", "-1s", "soon", ""] {
            assert!(parse_ttl(bad).is_err(), "{bad}");
        }
        assert!(parse_wait("31s").is_err());
        assert!(parse_timeout("0s").is_err());
        assert!(parse_timeout("11m").is_err());
    }
}
