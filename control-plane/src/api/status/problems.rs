//! What would make the next kill fail or be incomplete, and what to do about each.

use std::time::Duration;

use kya_core::DrillId;
use serde::Serialize;

use super::Look;
use super::proxies::Proxies;
use crate::api::kills::LastKill;
use crate::store::schedules::Schedule;
use crate::store::{Committed, StoreError};
use crate::time::{UnixMicros, second_start};

/// How long something that is done within a second may take.
const LATE: Duration = Duration::from_secs(2);
const TRAIL_LATE: Duration = Duration::from_secs(10);
/// How long a kill may be on its way.
pub(super) const KILL_LATE: Duration = Duration::from_secs(60);
/// How long before its end a credential is a problem.
const EXPIRES_SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// The same of a certificate, in days.
const CERTIFICATE_DAYS: i64 = 14;
/// Registrations that are looked at, and most that are named.
const LOOKED_AT: u32 = 10_000;
const NAMED: usize = 5;

/// A problem.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "StatusProblem")]
pub(super) struct Trouble {
    /// Its name, which stays the same.
    code: &'static str,
    /// What is wrong.
    what: String,
    /// What to do.
    fix: &'static str,
}

impl Trouble {
    fn new(code: &'static str, what: impl Into<String>, fix: &'static str) -> Self {
        Self { code, what: what.into(), fix }
    }

    /// Whether it is the same problem.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.code == other.code
    }
}

pub(super) fn database() -> Trouble {
    let what = "the database does not answer: nothing can be stopped by this server";
    let fix = "see the log of the server, and /readyz; stop by another server if there is one";
    Trouble::new("database_unreachable", what, fix)
}

pub(super) fn trail() -> Trouble {
    let what = "the audit trail cannot be read: how far a kill has got would not be known";
    Trouble::new("audit_unreachable", what, "see the log of the server, and its disk")
}

pub(super) fn key() -> Trouble {
    let what = "the key that signs the audit trail is not at this server: receipts and \
                checkpoints are not signed";
    let fix = "put its audit-<key id>.key back, or `kya audit keys recover`";
    Trouble::new("audit_key_missing", what, fix)
}

/// A commit that was not handed to the streams.
pub(super) fn late(waiting: Committed, age: Duration) -> Option<Trouble> {
    let revision = waiting.position.revision;
    let what = format!("revision {revision} was committed {} ago and is not pushed", whole(age));
    let fix = "see the log of the server: the key that signs may be missing";
    (age > LATE).then(|| Trouble::new("push_late", what, fix))
}

/// Acts that wait for so long.
pub(super) fn acts(age: Duration) -> Option<Trouble> {
    let what = format!("what was done {} ago is not in the audit trail", whole(age));
    let fix = "see the log of the server: kills are pushed all the same, and their receipts wait";
    (age > TRAIL_LATE).then(|| Trouble::new("acts_waiting", what, fix))
}

/// Records that no checkpoint is of, the first for so long.
pub(super) fn checkpoint(age: Duration) -> Option<Trouble> {
    let what = format!("the audit trail was not signed for {}", whole(age));
    let fix = "some server needs the key that signs: `kya_audit_signs` in its metrics is 1 there";
    (age > TRAIL_LATE).then(|| Trouble::new("checkpoint_old", what, fix))
}

pub(super) fn of_proxies(found: &Proxies) -> Vec<Trouble> {
    let Proxies { armed, stale, unknown, .. } = *found;
    let mut problems = Vec::new();
    if armed == 0 && stale == 0 {
        let what = "no proxy is connected to this server: a kill would be applied by nobody";
        let fix = "connect a proxy (`kya node add`), or ask the server that they connect to";
        problems.push(Trouble::new("no_proxies", what, fix));
    }
    if stale > 0 {
        let what = format!("{stale} of the connected proxies did not prove that they are armed");
        let fix = "`kya node challenge` asks them now, and `kya node list` says why";
        problems.push(Trouble::new("proxies_stale", what, fix));
    }
    if unknown > 0 {
        let what =
            format!("{unknown} proxies are not connected any more, and should be or may run");
        let fix = "restore their way to the control plane; of one that was taken down for good \
                   `kya node revoke` its registration, or it is forgotten after a day";
        problems.push(Trouble::new("proxies_unknown", what, fix));
    }
    problems
}

/// A kill that somebody still does not apply.
pub(super) fn of_kill(kill: &LastKill) -> Trouble {
    let what = format!("{} is not acknowledged by every worker that was there", kill.kill_id);
    let fix = "`kya kill show` names them: restart those proxies, or cut them off";
    Trouble::new("kill_incomplete", what, fix)
}

/// A server that shares the database and was not heard of for so long.
pub(super) fn server_gone(name: &str, silent: Duration) -> Trouble {
    let what = format!("the server {name} was not heard of for {}", whole(silent));
    let fix = "start it again, or leave it: its proxies connect to another one; what is gone for \
               good is forgotten after a day";
    Trouble::new("server_gone", what, fix)
}

/// A server that is there and does not publish.
pub(super) fn server_behind(name: &str) -> Trouble {
    let what = format!("the server {name} does not hand out what is committed");
    let fix = "see its log: the key that signs may be missing, or its way to the database";
    Trouble::new("server_behind", what, fix)
}

/// A certificate of this server that ends in so many days.
pub(super) fn certificate(listener: &str, days: i64) -> Option<Trouble> {
    let what = match days {
        ..0 => format!("the certificate of the {listener} listener has expired"),
        _ => format!("the certificate of the {listener} listener expires in {days} days"),
    };
    let fix = "put a new one into its file: it is taken over within seconds";
    (days < CERTIFICATE_DAYS).then(|| Trouble::new("certificate_expires", what, fix))
}

/// The last drill has failed.
pub(super) fn drill(id: DrillId) -> Trouble {
    let what = format!("the last drill, {id}, has failed: a stop may not be heard by everybody");
    let fix = "`kya drill show` names who did not hear and the likely cause; then run another one";
    Trouble::new("drill_failed", what, fix)
}

/// Credentials of proxies that end soon.
pub(super) async fn credentials(look: &mut Look<'_>) -> Result<(), StoreError> {
    let ends = UnixMicros(look.now.0.saturating_add(micros(EXPIRES_SOON)));
    let found = look.api.store.nodes(None, LOOKED_AT).await?;
    let soon: Vec<_> = found
        .iter()
        .filter(|node| node.revoked_at.is_none() && !node.is_expired(look.now))
        .filter(|node| node.expires.is_some_and(|at| second_start(at) <= ends))
        .map(|node| node.name.as_str())
        .collect();
    if !soon.is_empty() {
        let named = soon.iter().copied().take(NAMED).collect::<Vec<_>>().join(", ");
        let more = match soon.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let what = format!("credentials of proxies expire within seven days: {named}{more}");
        let fix = "`kya node add` a registration in the place of each, and give it to the proxy";
        look.problems.push(Trouble::new("credentials_expire", what, fix));
    }
    Ok(())
}

/// Schedules of which no drill has passed when one was owed, and since when.
pub(super) fn overdue(found: &[(&Schedule, UnixMicros)]) -> Option<Trouble> {
    let named = |(it, since): &(&Schedule, UnixMicros)| {
        let last = match it.last.as_ref() {
            Some(run) => run.drill.map_or(run.outcome.name(), |(_, state)| state.name()),
            None => "none",
        };
        format!("{} since {} (the last one: {last})", it.name, since.to_rfc3339())
    };
    let named: Vec<_> = found.iter().take(NAMED).map(named).collect();
    let more = match found.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let what =
        format!("no scheduled drill has passed when one was due: {}{more}", named.join(", "));
    let fix = "`kya drill schedule show` says why: mend it, then `kya drill run`, or pause it";
    (!found.is_empty()).then(|| Trouble::new("drill_overdue", what, fix))
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn whole(time: Duration) -> String {
    format!("{} s", time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_a_moment_is_no_problem_and_what_takes_longer_is_one() {
        let codes = |age: u64| {
            let age = Duration::from_secs(age);
            [acts(age), checkpoint(age)].map(|it| it.map(|it| it.code))
        };
        assert_eq!(codes(10), [None, None]);
        assert_eq!(codes(11), [Some("acts_waiting"), Some("checkpoint_old")]);
    }

    #[test]
    fn a_commit_that_was_just_made_is_not_late_and_one_of_a_moment_ago_is() {
        let position = kya_core::Position { epoch: 1, revision: kya_core::Revision(7) };
        let waiting = Committed { position, at: UnixMicros(0) };
        assert!(late(waiting, LATE).is_none());
        let problem = late(waiting, Duration::from_secs(3)).unwrap();
        assert_eq!(problem.code, "push_late");
        assert_eq!(problem.what, "revision 7 was committed 3 s ago and is not pushed");
    }

    #[test]
    fn a_certificate_is_a_problem_for_its_last_two_weeks_and_from_then_on() {
        let what = |days| certificate("grpc", days).map(|it| it.what);
        assert_eq!(what(14), None);
        let last = what(13).unwrap();
        assert_eq!(last, "the certificate of the grpc listener expires in 13 days");
        assert_eq!(what(-1).unwrap(), "the certificate of the grpc listener has expired");
    }
}
