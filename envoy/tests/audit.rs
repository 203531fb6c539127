//! What the filter reports for the audit trail, in real Envoy.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kya_core::audit::event::{Batch, Body, Decision, End, Event, Happened};
use kya_core::audit::{Disposition, Verdict};
use kya_envoy::traffic::Caller;
use kya_envoy::{Artifacts, Fleet, FleetOptions, Sidecar, SlowService, Tap, reserve_port, until};
use sha2::{Digest, Sha256};

const LIMIT: Duration = Duration::from_secs(20);
const PATH: &str = "/v1/enforcement/audit";

/// A fleet of one sidecar, whose calls pass a tap, in front of this service.
struct Tapped {
    fleet: Fleet,
    tap: Tap,
}

impl Tapped {
    async fn start(upstream: Option<SocketAddr>) -> Result<Self> {
        let artifacts = Artifacts::for_tests()?;
        let options = FleetOptions { sidecars: 0, ..FleetOptions::default() };
        let mut fleet = Fleet::start(&artifacts, &options).await?;
        let tap = Tap::start(fleet.control_plane.addresses().http).await?;
        let mut next = fleet.next_sidecar(1)?;
        next.control_plane_http = tap.address();
        next.upstream = upstream.unwrap_or(next.upstream);
        fleet.start_sidecar(&artifacts, &next).await?;
        fleet.wait_converged().await?;
        Ok(Self { fleet, tap })
    }

    fn sidecar(&self) -> &Sidecar {
        &self.fleet.sidecars[0]
    }

    /// Every event that was sent, once, with the instance that sent it.
    fn events(&self) -> Result<Vec<(u64, Event)>> {
        let mut events = BTreeMap::new();
        for request in self.tap.requests(PATH) {
            let batch = Batch::read(&request.body)?;
            for event in batch.events {
                let key = (batch.instance, event.number);
                let known = events.entry(key).or_insert_with(|| event.clone());
                ensure!(*known == event, "an event that was sent has changed: {known:?} {event:?}");
            }
        }
        Ok(events.into_iter().map(|((instance, _), event)| (instance, event)).collect())
    }

    fn decisions(&self) -> Result<Vec<(u64, u64, Decision)>> {
        let decision = |(instance, event): (u64, Event)| match event.happened {
            Happened::Decision(it) => Some((instance, event.number, *it)),
            _ => None,
        };
        Ok(self.events()?.into_iter().filter_map(decision).collect())
    }

    /// How requests ended, by the number of their decision.
    fn ends(&self) -> Result<BTreeMap<u64, End>> {
        let end = |(_, event): (u64, Event)| match event.happened {
            Happened::Decision(it) => Some((event.number, it.end?)),
            Happened::End { decision, end } => Some((decision, end)),
            _ => None,
        };
        Ok(self.events()?.into_iter().filter_map(end).collect())
    }

    async fn wait_ends(&self, count: usize) -> Result<BTreeMap<u64, End>> {
        until("the ends of the requests to be reported", LIMIT, async || {
            let ends = self.ends()?;
            Ok((ends.len() >= count).then_some(ends))
        })
        .await
    }
}

/// A client of one agent, and the agent's id.
async fn agent(tapped: &Tapped, name: &str) -> Result<(reqwest::Client, String, String)> {
    let agent = tapped.fleet.api().register_agent(name).await?;
    let token = tapped.fleet.api().issue_token(&agent.agent_id).await?;
    tapped.fleet.wait_current().await?;
    Ok((reqwest::Client::builder().build()?, agent.agent_id, token.token))
}

#[tokio::test]
async fn the_access_log_of_envoy_says_what_was_decided() -> Result<()> {
    let tapped = Tapped::start(None).await?;
    let (_, agent_id, token) = agent(&tapped, "log-bot").await?;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let known = Caller::with_token(&token)?.header("traceparent", trace)?;
    ensure!(known.charge(tapped.sidecar()).await?.is_charge_of(&agent_id));
    let nobody = Caller::anonymous()?.charge(tapped.sidecar()).await?;
    ensure!(nobody.is_denial(401, "token_missing"));
    let decisions = until("both decisions to be reported", LIMIT, async || {
        let all = tapped.decisions()?;
        Ok((all.len() == 2).then_some(all))
    })
    .await?;
    let [(instance, first, allowed), (_, second, denied)] = &decisions[..] else { panic!() };
    // What is in the trail...
    assert_eq!((allowed.verdict, denied.verdict), (Verdict::Allow, Verdict::Deny));
    assert_eq!(allowed.agent.map(|id| id.to_string()), Some(agent_id.clone()));
    assert_eq!(allowed.action.as_ref().map(|it| it.as_str()), Some("create_charge"));
    assert_eq!(allowed.template.as_deref(), Some("/v1/charges"));
    assert_eq!(allowed.method.as_deref(), Some("POST"));
    assert!(allowed.trace.is_some_and(|it| it.id[..2] == [0x4b, 0xf9]));
    assert!(allowed.request_id.as_ref().is_some_and(|it| it.len() == 36), "{allowed:?}");
    let end = allowed.end.as_ref().context("it ended before it was reported")?;
    assert_eq!((end.disposition, end.status), (Disposition::Committed, Some(201)));
    assert_eq!(denied.reason.as_deref(), Some("token_missing"));
    // ... is what the log says.
    let request_id = allowed.request_id.clone().unwrap_or_default();
    until("Envoy to have written its access log", LIMIT, async || {
        let log = tapped.sidecar().access_log()?;
        let says = |part: &str| log.lines().any(|line| line.contains(part));
        let allowed = format!(
            "request={request_id} kya: allow agent={agent_id} event={instance:016x}/{first}"
        );
        let denied = format!("kya: deny reason=token_missing event={instance:016x}/{second}");
        Ok((says(&allowed) && says(&denied)).then_some(()))
    })
    .await?;
    tapped.fleet.finish().await
}

#[tokio::test]
async fn a_body_is_hashed_as_it_streams_by() -> Result<()> {
    let service = SlowService::start().await?;
    let tapped = Tapped::start(Some(service.address())).await?;
    let (http, _, token) = agent(&tapped, "upload-bot").await?;
    let sent: Vec<u8> = (0..1 << 20).map(|n: u32| n.to_le_bytes()[1] ^ 0x5a).collect();
    let url = tapped.sidecar().url("/upload");
    let put = http.put(&url).bearer_auth(&token).body(sent.clone());
    assert_eq!(put.send().await?.status(), 200);
    assert_eq!(http.get(&url).bearer_auth(&token).send().await?.status(), 200);
    let ends = tapped.wait_ends(2).await?;
    let bodies: Vec<_> = ends.values().map(|end| end.body).collect();
    let [Body::Whole(hashed), Body::None] = bodies[..] else { panic!("{bodies:?}") };
    assert_eq!(hashed.bytes, 1 << 20);
    assert_eq!(hashed.sha256[..], Sha256::digest(&sent)[..]);
    assert!(ends.values().all(|end| end.disposition == Disposition::Committed), "{ends:?}");
    tapped.fleet.finish().await
}

#[tokio::test]
async fn what_a_kill_cuts_is_escalated_and_what_was_undone_is_rolled_back() -> Result<()> {
    let service = SlowService::start().await?;
    let tapped = Tapped::start(Some(service.address())).await?;
    let (http, agent_id, token) = agent(&tapped, "slow-bot").await?;
    let url = |path: &str| tapped.sidecar().url(path);
    assert_eq!(http.post(url("/undone")).bearer_auth(&token).send().await?.status(), 409);
    let held = tokio::spawn(http.get(url("/hold")).bearer_auth(&token).send());
    let mut stream = http.get(url("/stream")).bearer_auth(&token).send().await?;
    assert_eq!(stream.chunk().await?.as_deref(), Some(&b"data: 1\n\n"[..]));
    until("the three decisions to be reported", LIMIT, async || {
        Ok((tapped.decisions()?.len() == 3).then_some(()))
    })
    .await?;
    let change = tapped.fleet.api().revoke_agent(&agent_id, "test").await?;
    assert_eq!(held.await??.status(), 403);
    assert!(stream.chunk().await.is_err(), "the stream was reset");
    let ends = tapped.wait_ends(3).await?;
    let found: Vec<_> = ends.values().map(|end| (end.disposition, end.status)).collect();
    use Disposition::{Escalated, RolledBack};
    let slow_first = [(RolledBack, Some(409)), (Escalated, None), (Escalated, Some(200))];
    let stream_first = [slow_first[0], slow_first[2], slow_first[1]];
    assert!(found == slow_first || found == stream_first, "{found:?}");
    let by: Vec<_> = ends.values().filter_map(|end| end.cut).map(|by| by.revision.0).collect();
    assert_eq!(by, [change.revision; 2]);
    let events = tapped.events()?;
    let applied = events.iter().find_map(|(_, event)| match event.happened {
        Happened::Applied(it) if it.position.revision.0 == change.revision => Some(it),
        _ => None,
    });
    let applied = applied.context("the worker has not said that it applied the kill")?;
    assert_eq!((applied.in_flight, applied.untracked), (2, 0));
    let concerned =
        events.iter().filter(|(_, event)| matches!(event.happened, Happened::InFlight { .. }));
    assert_eq!(concerned.count(), 2);
    tapped.fleet.finish().await
}

#[tokio::test]
async fn what_reaches_no_upstream_is_rolled_back() -> Result<()> {
    // Nobody listens there.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], reserve_port()?));
    let tapped = Tapped::start(Some(nowhere)).await?;
    let (http, _, token) = agent(&tapped, "lost-bot").await?;
    let answer = http.get(tapped.sidecar().url("/x")).bearer_auth(&token).send().await?;
    assert_eq!(answer.status(), 503);
    let ends = tapped.wait_ends(1).await?;
    let end = ends.values().next().context("an end")?;
    assert_eq!((end.disposition, end.status), (Disposition::RolledBack, None));
    tapped.fleet.finish().await
}
