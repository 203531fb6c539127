//! The state of the switch at a glance: who is armed, how far the last kill has got, where
//! the audit trail ends, and what would keep the next kill from being complete.
//!
//! A part that cannot be read is left out and named as a problem, so that the rest is shown.

mod drill;
mod drills;
mod problems;
mod proxies;
mod servers;
mod trail;

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use kya_core::Status as Standing;
use serde::Serialize;

use super::Api;
use super::kills::{self, LastKill};
use crate::store::StoreError;
use crate::time::UnixMicros;
use drill::LastDrill;
use drills::DrillsStatus;
use problems::Trouble;
use proxies::Proxies;
use servers::{CertificateStatus, ServerStatus};
use trail::TrailStatus;

/// The state of the switch, as this server sees it.
#[derive(Serialize, schemars::JsonSchema)]
#[schemars(rename = "SwitchStatus")]
pub(super) struct Shown {
    checked_at: String,
    /// Of this server.
    version: &'static str,
    /// Whether there are no problems.
    ok: bool,
    /// What would make the next kill fail or be incomplete.
    problems: Vec<Trouble>,
    /// `None` if the database does not answer.
    registry: Option<RegistryStatus>,
    /// Those of this server.
    proxies: Proxies,
    /// The servers that share the database, or this one alone; empty if they cannot be read.
    servers: Vec<ServerStatus>,
    /// Those of this server; empty without TLS.
    certificates: Vec<CertificateStatus>,
    /// `None` if there was none, or it cannot be read.
    last_kill: Option<LastKill>,
    /// The last that has ended; `None` if there was none, or it cannot be read.
    last_drill: Option<LastDrill>,
    /// `None` if the audit trail cannot be read.
    audit: Option<TrailStatus>,
    /// `None` if the database does not answer.
    drills: Option<DrillsStatus>,
}

/// What is in the database.
#[derive(Serialize, schemars::JsonSchema)]
struct RegistryStatus {
    /// Newest revision that is committed.
    revision: u64,
    epoch: u64,
    /// Newest revision that this server has handed to its streams.
    published: u64,
    /// Whether other servers may use the same database.
    shared: bool,
    /// Whether everyone is halted, and since when.
    halted: bool,
    halted_at: Option<String>,
}

/// What the parts are looked at with.
struct Look<'a> {
    api: &'a Api,
    now: UnixMicros,
    problems: Vec<Trouble>,
}

impl Look<'_> {
    /// What was read, or a problem.
    fn read<T>(&mut self, found: Result<T, StoreError>, or: fn() -> Trouble) -> Option<T> {
        found
            .inspect_err(|error| {
                tracing::warn!(%error, "a part of the status");
                let trouble = or();
                if !self.problems.iter().any(|known| known.is(&trouble)) {
                    self.problems.push(trouble);
                }
            })
            .ok()
    }
}

pub(super) async fn show(State(api): State<Arc<Api>>) -> Json<Shown> {
    let now = api.clock.now();
    let mut look = Look { api: &api, now, problems: Vec::new() };
    let found = registry(&mut look).await;
    let registry = look.read(found, problems::database);
    let proxies = Proxies::look(&mut look);
    let found = problems::credentials(&mut look).await;
    look.read(found, problems::database);
    let found = ServerStatus::look(&mut look).await;
    let servers = look.read(found, problems::database).unwrap_or_default();
    let certificates = CertificateStatus::look(&mut look);
    let found = kills::last(&api).await;
    let last_kill = look.read(found, problems::trail).flatten();
    let found = kills::unacknowledged(&api, now, problems::KILL_LATE).await;
    let open = look.read(found, problems::trail).flatten();
    look.problems.extend(open.as_ref().map(problems::of_kill));
    let found = LastDrill::look(&mut look).await;
    let last_drill = look.read(found, problems::database).flatten();
    let found = TrailStatus::look(&mut look).await;
    let audit = look.read(found, problems::trail);
    let found = DrillsStatus::look(&mut look).await;
    let drills = look.read(found, problems::database);
    let problems = look.problems;
    Json(Shown {
        checked_at: now.to_rfc3339(),
        version: env!("CARGO_PKG_VERSION"),
        ok: problems.is_empty(),
        problems,
        registry,
        proxies,
        servers,
        certificates,
        last_kill,
        last_drill,
        audit,
        drills,
    })
}

async fn registry(look: &mut Look<'_>) -> Result<RegistryStatus, StoreError> {
    let Look { api, .. } = *look;
    let head = api.store.head().await?;
    let published = api.push.published();
    let late = api.store.committed(published.revision.next()).await?;
    look.problems.extend(late.and_then(|waiting| problems::late(waiting, api.push.age(waiting))));
    let halted = api.store.fleet().await?.decided.filter(|it| it.status != Standing::Active);
    Ok(RegistryStatus {
        revision: head.position.revision.0,
        epoch: head.position.epoch,
        published: published.revision.0,
        shared: api.store.commits().are_shared(),
        halted: halted.is_some(),
        halted_at: halted.map(|it| it.changed_at.to_rfc3339()),
    })
}
