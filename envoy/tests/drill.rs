//! Drills through real Envoys: what one measures, and what becomes of one that is
//! interrupted.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use kya_envoy::traffic::{Caller, reach_every_worker};
use kya_envoy::{Artifacts, Cli, Fault, Fleet, FleetOptions, Running, SlowService, Wire, until};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

/// Follows a drill until so many samples are over, and returns its id and how many were.
async fn samples(running: &mut Running, at_least: u64) -> Result<(String, u64)> {
    let (mut id, mut over) = (None, None);
    let follow = async {
        while let Some(line) = running.next_line().await? {
            id = id.take().or(line.strip_prefix("Drill: ").map(str::to_owned));
            let done = line.split_once(" of ").and_then(|(done, _)| done.parse::<u64>().ok());
            over = done.filter(|done| *done >= at_least);
            if over.is_some() {
                return anyhow::Ok(());
            }
        }
        anyhow::bail!("the drill has ended")
    };
    tokio::time::timeout(LIMIT, follow).await.context("samples")??;
    Ok((id.unwrap_or_default(), over.unwrap_or_default()))
}

/// How many samples of a drill are over.
async fn done(kya: &Cli, id: &str) -> Result<u64> {
    let drill = kya.json(&["drill", "show", id]).await?;
    drill["samples_done"].as_u64().context("no samples")
}

/// The drill has ended before its time, and nothing of it is stopped, valid or going on.
async fn nothing_is_left(kya: &Cli, id: &str) -> Result<Value> {
    let drill = until("the end of the drill", LIMIT, async || {
        let drill = kya.json(&["drill", "show", id]).await?;
        Ok((!drill["ended_at"].is_null()).then_some(drill))
    })
    .await?;
    ensure!(drill["state"] == "interrupted", "{drill:#}");
    let agents = kya.json(&["agent", "list"]).await?;
    let agents = agents["agents"].as_array().context("no agents")?;
    let canaries: Vec<_> = agents.iter().filter(|it| it["name"] == "drill-canary").collect();
    ensure!(canaries.len() == 1 && canaries[0]["status"] == "active", "{canaries:?}");
    let canary = canaries[0]["agent_id"].as_str().context("no id")?;
    let tokens = kya.json(&["token", "list", "--agent", canary]).await?;
    let tokens = tokens["tokens"].as_array().context("no tokens")?;
    ensure!(!tokens.is_empty(), "the canary had a token");
    ensure!(tokens.iter().all(|token| !token["revoked_at"].is_null()), "{tokens:?}");
    Ok(drill)
}

#[tokio::test]
async fn what_a_stop_cuts_in_flight_is_counted_and_the_rest_is_measured() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let options = FleetOptions { sidecars: 0, ..FleetOptions::default() };
    let mut fleet = Fleet::start(&artifacts, &options).await?;
    let service = SlowService::start().await?;
    let mut next = fleet.next_sidecar(2)?;
    next.upstream = service.address();
    fleet.start_sidecar(&artifacts, &next).await?;
    fleet.wait_converged().await?;
    let kya = fleet.kya(&artifacts)?;

    let probe = |path: &str| fleet.sidecars[0].url(path);
    let (late, quick) = (format!("late={}", probe("/late")), format!("quick={}", probe("/")));
    let args = ["drill", "run", "--probe", &late, "--probe", &quick];
    let result = kya.json(&[&args[..], &["--samples", "2", "--rate", "100"]].concat()).await?;
    let result = &result["result"];
    assert_eq!(result["passed"], true, "{result:#}");
    assert_eq!(result["receipt_complete_ms"]["count"], 2, "{result:#}");
    let late = &result["relying_parties"][0];
    let of = |name: &str| late["in_flight"][name].as_u64().unwrap_or_default();
    // A quarter of a second at 100 a second, twice. The service answers those whose time was
    // over before the stop had reached the proxy, and no others.
    assert!((30..=60).contains(&of("at_stop")), "{late:#}");
    assert_eq!((of("cut") + of("completed"), of("lost")), (of("at_stop"), 0), "{late:#}");
    assert!(of("cut") > of("completed"), "{late:#}");
    // Each worker was asked: of 32 connections, Envoy gives none to one of two once in 2^31 runs.
    let by_worker = fleet.sidecars[0].connections_by_worker().await?;
    assert!(by_worker.len() == 2 && by_worker.iter().all(|count| *count > 0), "{by_worker:?}");
    for party in result["relying_parties"].as_array().context("parties")? {
        assert_eq!((&party["measured"], &party["not_rejected"]), (&json!(2), &json!(0)));
        let figure = |name: &str| party[name]["max"].as_f64().unwrap_or(f64::MAX);
        // What was in flight is rejected first: that is how one hears of a stop early.
        assert!(figure("first_rejection_ms") <= figure("last_rejection_ms"), "{party:#}");
        assert!(figure("last_rejection_ms") < 2000.0, "{party:#}");
    }
    fleet.finish().await
}

#[tokio::test]
async fn a_drill_that_is_interrupted_or_loses_its_server_leaves_nothing_behind() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let options = FleetOptions { sidecars: 1, workers: 1, ..FleetOptions::default() };
    let mut fleet = Fleet::start(&artifacts, &options).await?;
    let mut next = fleet.next_sidecar(1)?;
    let link =
        [Wire::start(next.control_plane).await?, Wire::start(next.control_plane_http).await?];
    [next.control_plane, next.control_plane_http] = [link[0].address(), link[1].address()];
    fleet.start_sidecar(&artifacts, &next).await?;
    fleet.wait_converged().await?;
    let kya = fleet.kya(&artifacts)?;
    let probes: Vec<_> = fleet
        .sidecars
        .iter()
        .map(|sidecar| format!("{}={}", sidecar.node_id(), sidecar.url("/healthz")))
        .collect();
    let mut args = vec!["drill", "run", "--samples", "200", "--rate", "50"];
    args.extend(probes.iter().flat_map(|probe| ["--probe", probe]));

    // By whoever began it, when the link of one proxy was cut after it had heard of stops.
    let mut running = kya.start(&args)?;
    let (id, _) = samples(&mut running, 1).await?;
    for way in &link {
        way.set(Fault::CutAfter(0));
        way.cut();
    }
    until("the cut to be seen", LIMIT, async || {
        Ok((fleet.api().nodes().await?.nodes.len() == 1).then_some(()))
    })
    .await?;
    // What is said of a drill is up to a second old.
    let before = done(&kya, &id).await?;
    let then = until("word of the drill", LIMIT, async || {
        Ok(Some(done(&kya, &id).await?).filter(|now| *now != before))
    })
    .await?;
    until("another whole sample", LIMIT, async || {
        Ok((done(&kya, &id).await? >= then + 2).then_some(()))
    })
    .await?;
    running.interrupt()?;
    let ended = running.end().await?;
    assert_eq!(ended.code, Some(8), "{ended:?}");
    let drill = nothing_is_left(&kya, &id).await?;
    let cause = drill["result"]["relying_parties"][1]["cause"].as_str().unwrap_or_default();
    // Whether the link was cut while the canary worked or while it was stopped.
    let deaf = ["did not hear of the stop in time", "its restoration was not heard of"];
    assert!(deaf.iter().any(|deaf| cause.contains(deaf)), "{drill:#}");
    assert!(cause.contains("Not connected or not armed: sidecar-2 (not "), "{cause}");
    assert_eq!(drill["result"]["relying_parties"][0]["cause"], Value::Null, "{drill:#}");
    for way in &link {
        way.set(Fault::Pass);
    }
    fleet.wait_converged().await?;

    // By the end of the control plane, without a chance to clean up.
    let mut running = kya.start(&args)?;
    let (id, _) = samples(&mut running, 1).await?;
    let fleet = fleet.crash_control_plane()?.recover().await?;
    nothing_is_left(&kya, &id).await?;
    assert_eq!(running.end().await?.code, Some(8));

    // And the proxies know it: whoever works may work.
    let agent = fleet.api().register_agent("invoice-bot").await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?;
    fleet.wait_converged().await?;
    for sidecar in &fleet.sidecars {
        let caller = Caller::with_token(&token.token)?;
        let reached = reach_every_worker(sidecar, 1, async || caller.charge(sidecar).await).await?;
        reached.all(|answer| answer.is_charge_of(&agent.agent_id))?;
    }
    fleet.finish().await
}
