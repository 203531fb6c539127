//! Values of `kya drill`.

use std::time::Duration;

use url::{Position, Url};

use super::{parse_plain_name, parse_text, parse_time};
use crate::args::Probe;

const MAX_NAME: usize = 64;
const MAX_P99: Duration = Duration::from_secs(60);
const MIN_INTERVAL: Duration = Duration::from_secs(60);
const MAX_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

/// `URL`, or `NAME=URL`.
pub(crate) fn parse_probe(text: &str) -> Result<Probe, String> {
    const FORM: &str = "it is written NAME=http://HOST:PORT/PATH, or without NAME=";
    // A name has no `:` before the first `=`, and an address without a name has one.
    let (name, address) = match text.split_once('=') {
        Some((name, address)) if !name.contains("://") => (Some(name), address),
        _ => (None, text),
    };
    let url = Url::parse(address).map_err(|error| format!("{error}: {FORM}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(FORM.to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(format!("no user or fragment belongs into it: {FORM}"));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.:/-".contains(c);
    let name = match name {
        Some(name) if (1..=MAX_NAME).contains(&name.len()) && name.chars().all(plain) => {
            name.to_owned()
        }
        Some(_) => {
            return Err(format!("a name is 1 to {MAX_NAME} letters, digits and `_.:/-`"));
        }
        None => {
            let place = &url[Position::BeforeHost..Position::AfterPath];
            let name: String = place.trim_end_matches('/').chars().filter(|c| plain(*c)).collect();
            name.chars().take(MAX_NAME).collect()
        }
    };
    Ok(Probe { name, url: url.into() })
}

/// A bound in whole milliseconds.
pub(crate) fn parse_p99(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    let whole = time.subsec_nanos().is_multiple_of(1_000_000);
    match whole && !time.is_zero() && time <= MAX_P99 {
        true => Ok(time),
        false => Err("from 1ms to 60s, in whole milliseconds".to_owned()),
    }
}

/// The name of a schedule.
pub(crate) fn parse_schedule_name(text: &str) -> Result<String, String> {
    match parse_plain_name(text)? {
        name if name.len() > MAX_NAME => Err(format!("it has at most {MAX_NAME} characters")),
        name => Ok(name),
    }
}

/// How often, or how long something may begin late: whole seconds.
pub(crate) fn parse_interval(text: &str) -> Result<Duration, String> {
    let time = parse_time(text)?;
    match time.subsec_nanos() == 0 && (MIN_INTERVAL..=MAX_INTERVAL).contains(&time) {
        true => Ok(time),
        false => Err("from 1m to 24h, in whole seconds".to_owned()),
    }
}

/// A cron expression, as far as it can be told from afar: the server reads its fields.
pub(crate) fn parse_cron(text: &str) -> Result<String, String> {
    let text = parse_text(text, 256)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || " *,-/".contains(c);
    if !text.chars().all(plain) {
        return Err("only letters, digits, spaces and `*` `,` `-` `/`".to_owned());
    }
    match text.split_whitespace().count() {
        5 => Ok(text),
        fields => Err(format!(
            "{fields} fields, and it has five in quotes: minute, hour, day of the month, month, day of the week"
        )),
    }
}

/// The name of a time zone, which the server looks up.
pub(crate) fn parse_time_zone(text: &str) -> Result<String, String> {
    let text = parse_text(text, 64)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
    match text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(plain) {
        true => Ok(text),
        false => Err("a name of the IANA database, such as Europe/Berlin or UTC".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_has_a_name_or_that_of_its_host() {
        let read = |text: &str| parse_probe(text).map(|probe| (probe.name, probe.url));
        let pair = |name: &str, url: &str| Ok((name.to_owned(), url.to_owned()));
        assert_eq!(read("pay=http://a:81/x?y=z"), pair("pay", "http://a:81/x?y=z"));
        assert_eq!(read("http://a:81/x?y=z"), pair("a:81/x", "http://a:81/x?y=z"));
        assert_eq!(read("https://[::1]:8443"), pair("::1:8443", "https://[::1]:8443/"));
        for wrong in
            ["a", "=http://a", "a b=http://a", "ftp://a", "x=http://u@a", "http://a/#f", "x="]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_schedule_has_a_name_fields_a_zone_and_times() {
        assert!(parse_schedule_name("canary.eu~1").is_ok());
        assert!(parse_schedule_name(&"n".repeat(65)).is_err());
        assert!(parse_cron("0 9 1 1,4,7,10 *").is_ok() && parse_cron("*/5 * * * mon-fri").is_ok());
        for wrong in ["0 9 * *", "0 0 9 * * *", "@daily", "0 9 * * ?", ""] {
            assert!(parse_cron(wrong).is_err(), "{wrong}");
        }
        assert!(parse_time_zone("America/Argentina/Buenos_Aires").is_ok());
        for wrong in ["", "../x", "Europe Berlin", "/etc"] {
            assert!(parse_time_zone(wrong).is_err(), "{wrong}");
        }
        assert_eq!(parse_interval("5m"), Ok(Duration::from_secs(300)));
        for wrong in ["59s", "25h", "1m 1ms", "soon"] {
            assert!(parse_interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_bound_is_in_milliseconds() {
        assert_eq!(parse_p99("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(parse_p99("50ms"), Ok(Duration::from_millis(50)));
        for wrong in ["0s", "61s", "10us", "1", "soon"] {
            assert!(parse_p99(wrong).is_err(), "{wrong}");
        }
    }
}
