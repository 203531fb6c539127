//! What became of a kill, as `kya kill show` tells it, in real Envoy.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kya_envoy::{Artifacts, Cli, Fleet, FleetOptions, Sidecar, SlowService, Unreachable, until};
use reqwest::Client;
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);

struct Killing {
    fleet: Fleet,
    kya: Cli,
    service: SlowService,
    _unreachable: Unreachable,
    http: Client,
}

impl Killing {
    /// One Envoy in front of a service that takes its time, and at `/void` of one to which
    /// no connection is ever made.
    async fn start() -> Result<Self> {
        let artifacts = Artifacts::for_tests()?;
        let options = FleetOptions { sidecars: 0, ..FleetOptions::default() };
        let mut fleet = Fleet::start(&artifacts, &options).await?;
        let (service, unreachable) = (SlowService::start().await?, Unreachable::start().await?);
        let mut next = fleet.next_sidecar(2)?;
        next.upstream = service.address();
        let route = "              - match: { prefix: \"/\" }";
        let void = "              - match: { path: \"/void\" }\n                \
                    route: { cluster: void, timeout: 60s }\n";
        next.changes = next.changes.replace(route, &format!("{void}{route}"));
        let cluster = format!(
            "  clusters:\n  - name: void\n    type: STATIC\n    connect_timeout: 60s\n    \
             load_assignment:\n      cluster_name: void\n      endpoints:\n      \
             - lb_endpoints:\n        - endpoint:\n            address:\n              \
             socket_address: {{ address: 127.0.0.1, port_value: {} }}\n",
            unreachable.address()?.port()
        );
        next.changes = next.changes.replace("  clusters:\n", &cluster);
        fleet.start_sidecar(&artifacts, &next).await?;
        fleet.wait_converged().await?;
        let (kya, http) = (fleet.kya(&artifacts)?, Client::new());
        Ok(Self { fleet, kya, service, _unreachable: unreachable, http })
    }

    fn sidecar(&self) -> &Sidecar {
        &self.fleet.sidecars[0]
    }

    async fn agent(&self, name: &str) -> Result<(String, String)> {
        let agent = self.fleet.api().register_agent(name).await?;
        let token = self.fleet.api().issue_token(&agent.agent_id).await?;
        self.fleet.wait_converged().await?;
        Ok((agent.agent_id, token.token))
    }

    fn send(
        &self,
        path: &str,
        token: &str,
    ) -> tokio::task::JoinHandle<reqwest::Result<reqwest::Response>> {
        tokio::spawn(self.http.get(self.sidecar().url(path)).bearer_auth(token).send())
    }

    /// Waits until Envoy has so many requests under way.
    async fn under_way(&self, count: u64) -> Result<()> {
        until("the requests to be under way", LIMIT, async || {
            let stats = self.sidecar().stats().await?;
            let at = |name: &str| stats.get(&format!("cluster.{name}"));
            let upstream = at("upstream.upstream_rq_active");
            let waiting = at("void.upstream_rq_pending_active");
            Ok((upstream + waiting == count).then_some(()))
        })
        .await
    }

    /// `kya kill show`, once it says that.
    async fn shown(&self, kill: &str, is: impl Fn(&Value) -> bool) -> Result<Value> {
        until("the report of the kill", LIMIT, async || {
            let report = self.kya.json(&["kill", "show", kill]).await?;
            Ok(is(&report).then_some(report))
        })
        .await
    }
}

/// How each request ended, and what was to become of it, sorted.
fn requests(report: &Value) -> Vec<[String; 2]> {
    let workers = report["workers"].as_array().map(Vec::as_slice).unwrap_or_default();
    let requests = workers.iter().filter_map(|worker| worker["requests"].as_array()).flatten();
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let mut found: Vec<_> =
        requests.map(|it| [text(&it["ending"]), text(&it["disposition"])]).collect();
    found.sort();
    found
}

fn kill_id(change: &Value) -> Result<String> {
    Ok(change["change"]["kill_id"]
        .as_str()
        .with_context(|| format!("no kill: {change}"))?
        .to_owned())
}

#[tokio::test]
async fn what_a_revocation_cuts_is_escalated_or_never_reached_the_service() -> Result<()> {
    let killing = Killing::start().await?;
    let (agent, token) = killing.agent("payer").await?;
    let held = killing.send("/hold", &token);
    let lost = killing.send("/void", &token);
    let mut stream = killing.send("/stream", &token).await??;
    assert_eq!(stream.chunk().await?.as_deref(), Some(&b"data: 1\n\n"[..]));
    killing.under_way(3).await?;
    let revoked = killing.kya.json(&["agent", "revoke", &agent, "--reason", "a test"]).await?;
    let kill = kill_id(&revoked)?;
    assert_eq!((held.await??.status(), lost.await??.status()), (403.try_into()?, 403.try_into()?));
    assert!(stream.chunk().await.is_err(), "the stream was reset");

    // It is complete, and says so to whoever waits for it.
    let _ = killing.kya.text(&["kill", "wait", &kill]).await?;
    let report = killing.shown(&kill, |report| report["state"] == "closed").await?;
    assert_eq!(report["complete"], true, "{report:#}");
    let found = requests(&report);
    let expected = [["abort", "escalated"], ["abort", "escalated"], ["abort", "rolled_back"]];
    assert_eq!(found, expected, "{report:#}");
    let last = report["rows"].as_array().and_then(|rows| rows.last()).context("no row")?;
    let last = &last["record"];
    assert_eq!((&last["type"], &last["in_flight"]), (&"kill_completed".into(), &3.into()));
    assert_eq!((&last["escalated"], &last["rolled_back"]), (&2.into(), &1.into()));
    assert_eq!((&last["committed"], &last["open"]), (&0.into(), &0.into()));

    let text = killing.kya.text(&["kill", "show", &kill]).await?;
    let lines = |parts: [&str; 3]| {
        text.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    };
    assert_eq!(lines([&agent, "abort", "escalated"]), 2, "{text}");
    assert_eq!(lines([&agent, "abort", "rolled_back"]), 1, "{text}");
    assert_eq!(
        lines(["kill_completed", "0 committed, 1 rolled back", "2 escalated, 0 go on"]),
        1,
        "{text}"
    );
    killing.fleet.finish().await
}

#[tokio::test]
async fn what_a_suspension_lets_end_is_committed_when_it_has() -> Result<()> {
    let killing = Killing::start().await?;
    let (agent, token) = killing.agent("payer").await?;
    let slow = killing.send("/slow", &token);
    killing.under_way(1).await?;
    let stopped = killing.kya.json(&["agent", "suspend", &agent, "--reason", "a test"]).await?;
    let kill = kill_id(&stopped)?;

    let going_on = killing.shown(&kill, |report| requests(report).len() == 1).await?;
    assert_eq!(requests(&going_on), [["drain", "-"]], "{going_on:#}");
    assert_eq!(going_on["complete"], false);
    let text = killing.kya.text(&["kill", "show", &kill]).await?;
    assert!(text.lines().any(|line| line.contains("drain") && line.contains("goes on")), "{text}");

    killing.service.release();
    assert_eq!(slow.await??.status(), 200);
    let report = killing.shown(&kill, |report| report["state"] == "closed").await?;
    ensure!(report["complete"] == true, "{report:#}");
    assert_eq!(requests(&report), [["drain", "committed"]]);
    let text = killing.kya.text(&["kill", "show", &kill]).await?;
    let line = text.lines().find(|line| line.contains("committed") && line.contains(&agent));
    assert!(line.is_some_and(|line| line.contains("drain")), "{text}");
    killing.fleet.finish().await
}
