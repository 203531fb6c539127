//! The servers that share the database, and the certificates of this one.

use kya_core::UnixSeconds;
use serde::Serialize;

use super::{Look, problems};
use crate::store::StoreError;
use crate::time::second_start;

/// A server that uses the database.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct ServerStatus {
    /// Its machine and its data directory.
    pub(super) name: String,
    version: String,
    /// When it began.
    started_at: String,
    /// When it last said that it is there.
    seen_at: String,
    /// Whether it is the one that answers.
    here: bool,
    /// Whether it has said so lately. One that is not, and has not ended in order, is listed
    /// for a day.
    live: bool,
    /// Whether it hands to its proxies what is committed.
    publishes: bool,
    /// Newest revision that it has handed to its streams.
    published: u64,
    /// Whether the key that signs the audit trail is there.
    signs_audit: bool,
    /// Proxies that are connected to it.
    proxies: u64,
}

/// A certificate by which this server shows itself.
#[derive(Serialize, schemars::JsonSchema)]
pub(super) struct CertificateStatus {
    /// `http` or `grpc`.
    listener: &'static str,
    /// When the first of its chain ends; `None` if that cannot be read.
    expires_at: Option<String>,
    /// Whole days until then; negative once it has ended.
    days_left: Option<i64>,
}

impl ServerStatus {
    pub(super) async fn look(look: &mut Look<'_>) -> Result<Vec<Self>, StoreError> {
        let mut found = Vec::new();
        for row in look.api.servers.list().await? {
            let here = look.api.servers.is_me(&row);
            let gone = look.api.servers.gone(&row).filter(|_| !here);
            match gone {
                Some(silent) => look.problems.push(problems::server_gone(&row.name, silent)),
                None if !row.publishes && !here => {
                    look.problems.push(problems::server_behind(&row.name));
                }
                None => {}
            }
            found.push(Self {
                name: row.name,
                version: row.version,
                started_at: row.started_at.to_rfc3339(),
                seen_at: row.seen_at.to_rfc3339(),
                here,
                live: gone.is_none(),
                publishes: gone.is_none() && row.publishes,
                published: row.revision.0,
                signs_audit: row.signs,
                proxies: row.proxies,
            });
        }
        Ok(found)
    }
}

impl CertificateStatus {
    pub(super) fn look(look: &mut Look<'_>) -> Vec<Self> {
        let now = look.now.seconds();
        let shown = look.api.certificates.iter().map(|tls| {
            let (listener, at) = (tls.listener(), tls.expires());
            let days_left = at.map(|at| days(now, at));
            let expires_at = at.map(|at| second_start(at).to_rfc3339());
            Self { listener, expires_at, days_left }
        });
        let shown: Vec<_> = shown.collect();
        for it in &shown {
            let soon = it.days_left.and_then(|days| problems::certificate(it.listener, days));
            look.problems.extend(soon);
        }
        shown
    }
}

/// Whole days between, rounded down: -1 from the second on in which it has ended.
fn days(now: UnixSeconds, end: UnixSeconds) -> i64 {
    const DAY: i64 = 24 * 60 * 60;
    let seconds = |at: UnixSeconds| i64::try_from(at.0).unwrap_or(i64::MAX);
    seconds(end).saturating_sub(seconds(now)).div_euclid(DAY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_whole_and_the_end_is_in_the_past() {
        let day = 24 * 60 * 60;
        let at = |now, end| days(UnixSeconds(now), UnixSeconds(end));
        assert_eq!(at(100, 100 + 14 * day), 14);
        assert_eq!(at(100, 99 + 14 * day), 13);
        assert_eq!([at(100, 100), at(100, 99), at(100 + day, 99)], [0, -1, -2]);
    }
}
