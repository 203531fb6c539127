//! Values of the command line: what the server would refuse is refused here,
//! with the reason.

use std::time::Duration;

use kya_core::{NodeCredential, OperatorKey};
use url::Url;

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
