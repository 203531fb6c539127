//! The settings of the audit trail.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use url::{Position, Url};

use super::settings::{AUDIT_ANCHOR_FILE, AUDIT_ANCHOR_URL, KILL_TIMEOUT};
use super::{Reader, error, path};
use crate::fetch::endpoint;

/// Stands for the size of a checkpoint in the address.
const SIZE: &str = "{size}";
/// How long after a kill it may be closed.
const KILL_TIMEOUTS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Of the audit trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// File that checkpoints are appended to, if any.
    pub anchor_file: Option<PathBuf>,
    /// Address that checkpoints are put to, if any.
    pub anchor_url: Option<AnchorUrl>,
    /// How long after a kill the last of its rows is written, whatever is still not known.
    pub kill_timeout: Duration,
}

impl Default for AuditConfig {
    fn default() -> Self {
        let kill_timeout = crate::audit::Patience::default().kill;
        Self { anchor_file: None, anchor_url: None, kill_timeout }
    }
}

/// An address that checkpoints are put to. Where it has `{size}`, each has one of its own.
#[derive(Clone, PartialEq, Eq)]
pub struct AnchorUrl(String);

impl AnchorUrl {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong with it, without its query: that may be a secret.
    pub fn new(text: &str) -> Result<Self, String> {
        let shown = text.split('?').next().unwrap_or_default();
        endpoint(&text.replace(SIZE, "1")).map_err(|why| match text == shown {
            true => why,
            false => {
                format!("`{shown}?…` is not an https:// address that checkpoints can be put to")
            }
        })?;
        Ok(Self(text.to_owned()))
    }

    /// That of the checkpoint of this size.
    pub(crate) fn of(&self, size: u64) -> Option<Url> {
        endpoint(&self.0.replace(SIZE, &size.to_string())).ok()
    }
}

/// Without its query: a presigned address is a secret.
impl fmt::Display for AnchorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.split('?').next().unwrap_or_default();
        f.write_str(shown)?;
        if shown.len() < self.0.len() { f.write_str("?…") } else { Ok(()) }
    }
}

impl fmt::Debug for AnchorUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An address as it may be shown.
pub(crate) fn without_query(url: &Url) -> String {
    url[..Position::AfterPath].to_owned()
}

impl Reader<'_> {
    pub(super) fn read_audit(&mut self) -> Option<AuditConfig> {
        let anchor_file = match self.find(AUDIT_ANCHOR_FILE) {
            Some(_) => self.read(AUDIT_ANCHOR_FILE, path),
            None => None,
        };
        let anchor_url = self.read_anchor_url();
        let kill_timeout = self.read(KILL_TIMEOUT, kill_timeout)?;
        Some(AuditConfig { anchor_file, anchor_url, kill_timeout })
    }

    /// What is kept of it for people has no query, and neither has an error.
    fn read_anchor_url(&mut self) -> Option<AnchorUrl> {
        let (origin, text) = self.find(AUDIT_ANCHOR_URL)?;
        match AnchorUrl::new(&text) {
            Ok(url) => {
                self.origins.push((AUDIT_ANCHOR_URL.name, url.to_string(), origin));
                Some(url)
            }
            Err(problem) => {
                self.errors.push(error(&origin, problem));
                None
            }
        }
    }
}

fn kill_timeout(text: &str) -> Result<Duration, String> {
    let (least, most) = KILL_TIMEOUTS;
    match humantime::parse_duration(text) {
        Ok(duration) if (least..=most).contains(&duration) => Ok(duration),
        Ok(_) => Err(format!("`{text}` is not between a second and an hour")),
        Err(why) => Err(format!("`{text}` is not a duration such as `60s`: {why}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_the_size_in_it_and_its_query_is_told_to_nobody() {
        let url = AnchorUrl::new("https://s3.example/kya/{size}.checkpoint?X-Amz-Signature=abc");
        let url = url.unwrap();
        let of = url.of(42).unwrap();
        assert_eq!(of.as_str(), "https://s3.example/kya/42.checkpoint?X-Amz-Signature=abc");
        assert_eq!(url.to_string(), "https://s3.example/kya/{size}.checkpoint?…");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert_eq!(without_query(&of), "https://s3.example/kya/42.checkpoint");
        for wrong in ["http://s3.example/x?secret", "s3.example?secret", "ftp://x/?secret"] {
            let error = AnchorUrl::new(wrong).unwrap_err();
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(AnchorUrl::new("http://127.0.0.1:9/x").is_ok());
    }

    #[test]
    fn a_kill_is_closed_within_bounds() {
        assert_eq!(kill_timeout("90s"), Ok(Duration::from_secs(90)));
        for wrong in ["0s", "2h", "soon"] {
            assert!(kill_timeout(wrong).is_err(), "{wrong}");
        }
    }
}
