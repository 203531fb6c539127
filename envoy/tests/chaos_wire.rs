//! A connection to the control plane that is cut, slow, garbled, silent or a
//! recording, under traffic.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::traffic::Subject;
use kya_envoy::{Artifacts, Fault, Fleet, FleetOptions, Towards, until};

const LIMIT: Duration = Duration::from_secs(30);
const GOES_ON: usize = 20;

/// Two Envoys with a wire each. The tests lie on the first; the second shows
/// that the faults of one proxy are not those of another.
async fn fleet() -> Result<Fleet> {
    let options = FleetOptions { wired: true, ..FleetOptions::default() };
    Fleet::start(&Artifacts::for_tests()?, &options).await
}

/// Streams that the first proxy has opened so far, or tried to.
async fn streams(fleet: &Fleet) -> Result<u64> {
    Ok(fleet.sidecars[0].stats().await?.get("cluster.kya_control_plane.upstream_rq_total"))
}

/// Waits until the first proxy has opened `more` streams than `before`.
async fn reopened(fleet: &Fleet, before: u64, more: u64) -> Result<()> {
    let what = format!("{more} more streams");
    until(&what, LIMIT, async || Ok((streams(fleet).await? >= before + more).then_some(()))).await
}

/// Revokes an agent while the wire does `fault` to what announces it, then
/// lets the proxy find its way back.
async fn kill_through(fleet: &Fleet, name: &str, fault: Fault) -> Result<()> {
    let victim = Subject::on(fleet, name).await?;
    let before = streams(fleet).await?;
    fleet.wires[0].set(fault);
    let change = fleet.api().revoke_agent(&victim.agent.agent_id, "chaos").await?;
    // The connection is good for nothing now, and the proxy has to find out.
    reopened(fleet, before, 1).await?;
    fleet.wires[0].set(Fault::Pass);
    let acks = victim.wait_killed(fleet.api(), change.revision).await?;
    fleet.wait_converged().await?;
    victim.finish().await?.check_killed(&acks, &[])
}

/// Makes the proxy connect anew through a wire that does `fault`, then lets it
/// find its way back.
async fn reconnect_through(fleet: &Fleet, fault: Fault) -> Result<()> {
    let (wire, before) = (&fleet.wires[0], streams(fleet).await?);
    wire.set(fault);
    wire.cut();
    // The second one comes when the first has failed.
    reopened(fleet, before, 2).await?;
    wire.set(Fault::Pass);
    wire.cut();
    fleet.wait_converged().await
}

/// A kill through each of `kills` and a new connection through each of
/// `connections`, with an agent that was revoked before and one that never is.
async fn survives(kills: &[Fault], connections: &[Fault]) -> Result<()> {
    let fleet = fleet().await?;
    let spared = Subject::on(&fleet, "spared").await?;
    let before = Subject::on(&fleet, "killed-before").await?;
    let before_acks = before.kill(fleet.api()).await?;
    for (number, fault) in kills.iter().enumerate() {
        kill_through(&fleet, &format!("victim-{number}"), *fault).await?;
    }
    for fault in connections {
        reconnect_through(&fleet, *fault).await?;
    }
    before.finish().await?.check_killed(&before_acks, &[])?;
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

#[tokio::test]
async fn cut_half_way_it_is_found_again() -> Result<()> {
    survives(&[Fault::CutAfter(60)], &[Fault::CutAfter(150)]).await
}

#[tokio::test]
#[ignore = "long: many places to cut"]
async fn cut_anywhere_it_is_found_again() -> Result<()> {
    // Within frame headers, gRPC's prefix, the signature, the payload.
    let places = [0, 1, 9, 14, 40, 120].map(Fault::CutAfter);
    survives(&places, &places).await
}

#[tokio::test]
async fn garbage_is_refused_and_the_truth_is_fetched() -> Result<()> {
    survives(&[Fault::Garble(Towards::Proxy, 0)], &[Fault::GarbleMessages(60)]).await
}

#[tokio::test]
#[ignore = "long: much garbage"]
async fn garbage_anywhere_is_refused_and_the_truth_is_fetched() -> Result<()> {
    let frames = [0, 3, 9, 100].map(|from| Fault::Garble(Towards::Proxy, from));
    // The first five bytes of a message are gRPC's.
    let messages = [0, 1, 5, 6, 20, 80].map(Fault::GarbleMessages);
    survives(&frames, &[&frames[..], &messages[..]].concat()).await
}

/// Revokes an agent while the message that announces it is garbled, on a
/// connection that stays and is whole again afterwards. Nothing more happens
/// that would tell the proxy of the kill: it has to find out by itself.
async fn kill_in_a_garbled_message(keep: u64) -> Result<()> {
    /// Less than a signature, and more than HTTP/2 says by itself meanwhile.
    const A_MESSAGE: u64 = 60;
    let fleet = fleet().await?;
    let (victim, spared) =
        (Subject::on(&fleet, "victim").await?, Subject::on(&fleet, "spared").await?);
    let wire = &fleet.wires[0];
    let before = wire.told();
    wire.set(Fault::GarbleMessages(keep));
    let change = fleet.api().revoke_agent(&victim.agent.agent_id, "chaos").await?;
    until("the message to go by", LIMIT, async || {
        Ok((wire.told() >= before + A_MESSAGE).then_some(()))
    })
    .await?;
    wire.set(Fault::Pass);
    let acks = victim.wait_killed(fleet.api(), change.revision).await?;
    victim.finish().await?.check_killed(&acks, &[])?;
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

#[tokio::test]
#[ignore = "long: until the proxy asks again"]
async fn a_kill_in_a_message_that_is_garbage_is_asked_for_again() -> Result<()> {
    kill_in_a_garbled_message(5).await
}

#[tokio::test]
#[ignore = "long: until the proxy asks again"]
async fn a_kill_in_a_message_with_a_signature_that_does_not_fit_is_asked_for_again() -> Result<()> {
    kill_in_a_garbled_message(100).await
}

#[tokio::test]
#[ignore = "long: until the proxy asks again"]
async fn a_kill_in_a_message_without_an_end_is_asked_for_again() -> Result<()> {
    // gRPC's length is garbage, so Envoy waits for what never comes.
    kill_in_a_garbled_message(1).await
}

#[tokio::test]
#[ignore = "long: waits for time-outs of both sides"]
async fn garbage_to_the_control_plane_harms_neither_side() -> Result<()> {
    let fleet = fleet().await?;
    let spared = Subject::on(&fleet, "spared").await?;
    for from in [0, 24, 33, 60, 200] {
        reconnect_through(&fleet, Fault::Garble(Towards::ControlPlane, from)).await?;
        let victim = Subject::on(&fleet, &format!("victim-{from}")).await?;
        let acks = victim.kill(fleet.api()).await?;
        victim.finish().await?.check_killed(&acks, &[])?;
    }
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

#[tokio::test]
#[ignore = "long: a trickle"]
async fn a_trickle_is_slow_and_nothing_worse() -> Result<()> {
    let fleet = fleet().await?;
    let (victim, spared) =
        (Subject::on(&fleet, "victim").await?, Subject::on(&fleet, "spared").await?);
    fleet.wires[0].set(Fault::Slow(300));
    let acks = victim.kill(fleet.api()).await?;
    let slow = acks.acknowledgements.iter().filter(|ack| ack.node_id == "sidecar-1");
    let fastest = slow.map(|ack| ack.after_ms).fold(f64::MAX, f64::min);
    ensure!(fastest > 100.0, "the wire was not slow: {acks:?}");

    // A new connection and its snapshot get through as well.
    fleet.wires[0].set(Fault::Slow(1000));
    fleet.wires[0].cut();
    fleet.wait_converged().await?;
    victim.finish().await?.check_killed(&acks, &[])?;
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

#[tokio::test]
#[ignore = "long: until Envoy notices that nothing comes"]
async fn a_black_hole_delays_the_kill_and_is_told_from_silence() -> Result<()> {
    let fleet = fleet().await?;
    let wire = &fleet.wires[0];
    let (victim, spared) =
        (Subject::on(&fleet, "victim").await?, Subject::on(&fleet, "spared").await?);
    let before = Subject::on(&fleet, "killed-before").await?;
    let before_acks = before.kill(fleet.api()).await?;
    let opened = streams(&fleet).await?;

    wire.set(Fault::Swallow);
    let change = fleet.api().revoke_agent(&victim.agent.agent_id, "chaos").await?;
    // The kill is not called complete while a proxy is out of reach.
    let acks = fleet.api().acknowledgements(change.revision, Duration::from_secs(1)).await?;
    ensure!(!acks.complete, "{acks:?}");
    let heard = |node: &str| acks.acknowledgements.iter().filter(|a| a.node_id == node).count();
    ensure!((heard("sidecar-1"), heard("sidecar-2")) == (0, 2), "{acks:?}");
    // Envoy's pings go unanswered, so it tries again; so do the next ones.
    reopened(&fleet, opened, 2).await?;
    spared.wait_allowed(GOES_ON).await?;

    wire.set(Fault::Pass);
    let acks = async || {
        let acks = fleet.api().acknowledgements(change.revision, Duration::from_secs(1)).await?;
        Ok((acks.complete && acks.proxies == 2).then_some(acks))
    };
    until("the proxy to come back", LIMIT, acks).await?;
    let acks = victim.wait_killed(fleet.api(), change.revision).await?;
    before.finish().await?.check_killed(&before_acks, &[])?;
    victim.finish().await?.check_killed(&acks, &[])?;
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}

#[tokio::test]
async fn a_recording_from_before_the_kill_is_not_believed() -> Result<()> {
    let fleet = fleet().await?;
    let wire = &fleet.wires[0];
    let (victim, spared) =
        (Subject::on(&fleet, "victim").await?, Subject::on(&fleet, "spared").await?);
    // A whole conversation, in which the victim is registered and gets its token.
    wire.keep_tape()?;
    let acks = victim.kill(fleet.api()).await?;
    let refused = fleet.sidecars[0].stats().await?.refused_updates();

    wire.set(Fault::Replay);
    wire.cut();
    until("the recording to be refused", LIMIT, async || {
        let now = fleet.sidecars[0].stats().await?.refused_updates();
        Ok((now > refused).then_some(()))
    })
    .await?;
    victim.wait_served(GOES_ON).await?;
    spared.wait_allowed(GOES_ON).await?;

    wire.set(Fault::Pass);
    wire.cut();
    fleet.wait_converged().await?;
    victim.finish().await?.check_killed(&acks, &[])?;
    spared.finish().await?.check_never_denied()?;
    fleet.finish().await
}
