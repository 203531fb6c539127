//! Whose capability tokens are issued.

use kya_core::jwt::{MAX_LIFETIME, MAX_NAME_BYTES};
use url::{Host, Url};

/// What the issuer of capability tokens is called, and how long they live at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerConfig {
    /// The `iss` of its tokens, by which clients find its metadata (RFC 8414 section 2):
    /// an origin, such as `https://kya.example.com`.
    pub name: String,
    /// In seconds.
    pub max_lifetime: u64,
}

/// RFC 8414 section 2 asks for https, and for no query or fragment. A path would put the
/// metadata elsewhere than they are served.
pub(super) fn name(text: &str) -> Result<String, String> {
    let bad = |why: &str| {
        format!(
            "`{text}` {why}: give the public address of the HTTP API, such as https://kya.example.com"
        )
    };
    let url = Url::parse(text).map_err(|why| bad(&format!("is not a URL ({why})")))?;
    let local = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => return Err(bad("has no host")),
    };
    match url.scheme() {
        "https" => {}
        "http" if local => {}
        "http" => {
            return Err(bad("is not https, so that whoever is on the way could answer for it"));
        }
        _ => return Err(bad("is not an https URL")),
    }
    if url.origin().ascii_serialization() != text {
        return Err(bad(
            "is not an origin in its plain form, without user, path, query, fragment, default port and slash at the end",
        ));
    }
    if text.len() > MAX_NAME_BYTES {
        return Err(bad(&format!("has more than {MAX_NAME_BYTES} bytes")));
    }
    Ok(text.to_owned())
}

/// 1 second to a day.
pub(super) fn lifetime(text: &str) -> Result<u64, String> {
    match humantime::parse_duration(text) {
        Ok(span) if span.subsec_nanos() == 0 && (1..=MAX_LIFETIME).contains(&span.as_secs()) => {
            Ok(span.as_secs())
        }
        Ok(_) => Err(format!("`{text}` is not a number of whole seconds from `1s` to `24h`")),
        Err(why) => Err(format!("`{text}` is not a duration such as `1h`: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_is_an_origin_that_nobody_on_the_way_can_answer_for() {
        for good in [
            "https://kya.example.com",
            "https://kya.example.com:8443",
            "http://127.0.0.1:7080",
            "http://localhost:1",
            "http://[::1]:7080",
        ] {
            assert_eq!(name(good).as_deref(), Ok(good));
        }
        for bad in [
            "",
            "kya.example.com",
            "http://kya.example.com",
            "http://127.0.0.1.example.com",
            "https://kya.example.com/",
            "https://kya.example.com/path",
            "https://kya.example.com?a",
            "https://kya.example.com#a",
            "https://user@kya.example.com",
            "https://kya.example.com:443",
            "https://KYA.example.com",
            "ftp://kya.example.com",
            "data:text/plain,kya",
            &format!("https://{}.example", "a.".repeat(150)),
        ] {
            let error = name(bad).unwrap_err();
            assert!(error.contains("https://kya.example.com"), "{error}");
        }
    }

    #[test]
    fn a_lifetime_is_whole_seconds_up_to_a_day() {
        assert_eq!(
            (lifetime("1s"), lifetime("1h"), lifetime("1day")),
            (Ok(1), Ok(3600), Ok(86_400))
        );
        for bad in ["", "0s", "1500ms", "25h", "soon", "-1s"] {
            assert!(lifetime(bad).is_err(), "{bad}");
        }
    }
}
