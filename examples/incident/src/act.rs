//! What happens, step by step.

use anyhow::{Result, ensure};
use kya_envoy::REFUNDS;
use kya_envoy::traffic::{Caller, Unfinished, post_everywhere};
use serde_json::json;

use crate::cast::{Agent, fresh_key};
use crate::stage::Stage;

/// So many charges that nobody ordered raise the alarm.
const BURST: usize = 47;

const INCIDENT: &str = "INC-2026-0205-001";
const SUSPICION: &str = "investigating_anomaly";
const VERDICT: &str = "prompt_injection_suspected";

/// The agent makes charges that nobody ordered, and monitoring sees them in the ledger.
pub(crate) async fn detect(stage: &mut Stage<'_>) -> Result<()> {
    let (suspect, upstream) = (&stage.suspect, &stage.fleet.upstream);
    let before = upstream.made_by(&suspect.id).await?;
    let caller = Caller::with_token(&suspect.token)?;
    for sidecar in stage.fleet.sidecars.iter().cycle().take(BURST) {
        let answer = caller.charge(sidecar).await?;
        ensure!(answer.is_charge_of(&suspect.id), "{answer:?}");
        stage.paid += 1;
    }
    let more = upstream.made_by(&suspect.id).await?.saturating_sub(before);
    ensure!(more >= BURST, "the ledger has {more} new charges of {}", suspect.id);
    (stage.say)(&format!("\nalarm: {more} charges by {} in a moment", suspect.id));
    stage.ledger_agrees().await
}

/// The agent is suspended, and with it the one that acts for it: new requests are denied,
/// and those in flight are left to end, which are returned.
pub(crate) async fn suspend(stage: &mut Stage<'_>) -> Result<Vec<Unfinished>> {
    let id = stage.suspect.id.clone();
    let in_flight =
        Unfinished::on_every_worker(&stage.fleet.sidecars, &stage.suspect.token).await?;
    let why = ["--reason", SUSPICION, "--incident-id", INCIDENT];
    let suspend = [&["agent", "suspend", &id], &why[..]].concat();
    let dry = stage.oncall.does(&[&suspend[..], &["--dry-run"]].concat()).await?;
    ensure!(dry.contains("it reaches 2 agents and 2 unexpired tokens"), "{dry}");
    let caller = Caller::with_token(&stage.suspect.token)?;
    let still = caller.charge(&stage.fleet.sidecars[0]).await?;
    ensure!(still.is_charge_of(&id), "a dry run has stopped the agent: {still:?}");
    stage.paid += 1;

    let said = stage.oncall.changes(&stage.fleet, &suspend).await?;
    ensure!(said.starts_with(&format!("Suspended: {id}\n")), "{said}");
    stage.denied(&stage.suspect, "agent_suspended").await?;
    stage.denied(&stage.helper, "delegator_stopped").await?;
    stage.others_go_on().await?;
    let answered = in_flight.iter().filter(|it| it.is_answered()).count();
    ensure!(answered == 0, "{answered} of {} in flight were cut", in_flight.len());
    Ok(in_flight)
}

/// What was in flight when the agent was suspended ends well.
pub(crate) async fn drain(stage: &mut Stage<'_>, in_flight: Vec<Unfinished>) -> Result<()> {
    let count = in_flight.len();
    for request in in_flight {
        let answer = request.finish().await?;
        ensure!(answer.is_charge_of(&stage.suspect.id), "{answer:?}");
        stage.paid += 1;
    }
    (stage.say)(&format!("\n  {count} charges that were in flight have ended, and were made"));
    stage.ledger_agrees().await
}

/// Who did what and why is found, and how it would be decided now.
pub(crate) async fn investigate(stage: &Stage<'_>) -> Result<()> {
    let (oncall, id) = (&stage.oncall, &stage.suspect.id);
    let shown = oncall.does(&["agent", "show", id]).await?;
    ensure!(shown.contains(SUSPICION) && shown.contains(INCIDENT), "{shown}");
    let agent = oncall.reads(&["agent", "show", id]).await?;
    for (field, value) in [
        ("status", "suspended"),
        ("status_reason", SUSPICION),
        ("status_actor", oncall.name()),
        ("incident_id", INCIDENT),
    ] {
        ensure!(agent[field] == value, "{field} is {}, and not {value}", agent[field]);
    }
    let ask = ["verify", "--agent", id, "--action", "create_charge", "--service", "payments"];
    let verdict = oncall.is_told_deny(&ask).await?;
    ensure!(verdict.starts_with("DENY agent_suspended"), "{verdict}");
    let history = stage.admin.does(&["policy", "history", "checkout"]).await?;
    ensure!(history.contains("first"), "{history}");
    Ok(())
}

/// It was a false alarm: the agent goes on, and so does the one that acts for it. Who may
/// only stop things cannot do that.
pub(crate) async fn restore(stage: &mut Stage<'_>) -> Result<()> {
    let id = stage.suspect.id.clone();
    let restore = ["agent", "restore", &id, "--reason", "false_alarm", "--incident-id", INCIDENT];
    stage.oncall.is_refused(&restore).await?;
    stage.denied(&stage.suspect, "agent_suspended").await?;
    stage.admin.changes(&stage.fleet, &restore).await?;
    for agent in [stage.suspect.clone(), stage.helper.clone()] {
        stage.allowed(&agent).await?;
    }
    stage.ledger_agrees().await
}

/// One action is taken from the agent, and it goes on with the others.
pub(crate) async fn revoke_capability(stage: &mut Stage<'_>) -> Result<()> {
    let (suspect, bystander) = (stage.suspect.clone(), stage.bystander.clone());
    let of = ["--agent", &suspect.id, "--action", "issue_refund"];
    let why = ["--reason", "anomalous_refund_pattern", "--incident-id", INCIDENT];
    let revoke = [&["capability", "revoke"], &of[..], &why].concat();
    let said = stage.oncall.changes(&stage.fleet, &revoke).await?;
    let lines = format!(
        "Capability revoked: issue_refund for {}\ncreate_charge remains active\n",
        suspect.id
    );
    ensure!(said.starts_with(&lines), "{said}");
    let refund = json!({ "amount": 1999, "currency": "eur" });
    let sidecars = &stage.fleet.sidecars;
    post_everywhere(sidecars, &suspect.token, (REFUNDS, &refund), |answer| {
        answer.is_denial(403, "capability_revoked")
    })
    .await?;
    // The service answers a refund as it does a charge.
    let refund = (REFUNDS, &refund);
    stage.paid +=
        post_everywhere(sidecars, &bystander.token, refund, |it| it.is_charge_of(&bystander.id))
            .await?;
    stage.allowed(&suspect).await?;
    stage.ledger_agrees().await
}

/// A new version of the policy stops more than it should, and cuts what is in flight.
pub(crate) async fn narrow_policy(stage: &mut Stage<'_>) -> Result<()> {
    let bystander = stage.bystander.clone();
    let in_flight = Unfinished::on_every_worker(&stage.fleet.sidecars, &bystander.token).await?;
    let file = stage.policy("too-narrow");
    let why = ["--reason", "in_a_hurry", "--incident-id", INCIDENT];
    let apply = [&["policy", "apply", "-f", &file], &why[..]].concat();
    stage.admin.changes(&stage.fleet, &apply).await?;
    cut(stage, in_flight, "action_denied").await?;
    for agent in [&bystander, &stage.suspect, &stage.helper] {
        stage.denied(agent, "action_denied").await?;
    }
    stage.ledger_agrees().await
}

/// The policy says again what it said before.
pub(crate) async fn roll_back_policy(stage: &mut Stage<'_>) -> Result<()> {
    let why = ["--reason", "it_stopped_the_shop", "--incident-id", INCIDENT];
    let back = [&["policy", "rollback", "checkout", "--to", "1"], &why[..]].concat();
    let said = stage.admin.changes(&stage.fleet, &back).await?;
    ensure!(said.contains("checkout version 3, which is version 1 again"), "{said}");
    for agent in [stage.bystander.clone(), stage.suspect.clone(), stage.helper.clone()] {
        stage.allowed(&agent).await?;
    }
    stage.ledger_agrees().await
}

/// The agent is revoked: what it has in flight is cut, and nothing brings it back.
pub(crate) async fn revoke(stage: &mut Stage<'_>, in_flight: Vec<Unfinished>) -> Result<()> {
    let id = stage.suspect.id.clone();
    let why = ["--reason", VERDICT, "--incident-id", INCIDENT];
    let revoke = [&["agent", "revoke", &id], &why[..]].concat();
    let said = stage.oncall.changes(&stage.fleet, &revoke).await?;
    let lines =
        format!("Revoked: {id}\nAll verify calls will now return DENY\nRevocation logged at: ");
    ensure!(said.starts_with(&lines), "{said}");
    cut(stage, in_flight, "agent_revoked").await?;
    stage.denied(&stage.suspect, "agent_revoked").await?;
    stage.admin.is_refused(&["agent", "restore", &id]).await?;
    stage.admin.is_refused(&["token", "issue", "--agent", &id]).await?;
    stage.admin.is_refused(&["token", "issue", "--agent", &stage.helper.id]).await?;
    stage.denied(&stage.suspect, "agent_revoked").await?;
    stage.denied(&stage.helper, "delegator_stopped").await?;
    stage.others_go_on().await?;
    stage.ledger_agrees().await
}

/// Another agent takes its place, with a key and a token of its own. It is returned.
pub(crate) async fn replace(stage: &mut Stage<'_>) -> Result<Agent> {
    let (admin, old) = (&stage.admin, stage.suspect.clone());
    // Whoever has the old key must not come back with it.
    admin.is_refused(&["agent", "replace", &old.id, "--pubkey", &old.public_key]).await?;
    let key = fresh_key()?;
    let replace = ["agent", "replace", &old.id, "--pubkey", &key];
    let id = admin.gets(&replace, "agent_id").await?;
    ensure!(id != old.id, "an id was used again");
    let new = Agent::with_token(admin, id, key).await?;
    stage.fleet.wait_converged().await?;
    let ask = ["verify", "--agent", &new.id, "--action", "create_charge", "--service", "payments"];
    let verdict = admin.does(&ask).await?;
    ensure!(verdict.starts_with("ALLOW") && verdict.contains("by version 3 of"), "{verdict}");
    stage.allowed(&new).await?;
    stage.denied(&old, "agent_revoked").await?;
    stage.ledger_agrees().await?;
    Ok(new)
}

/// What was done is still there to be read, and no Envoy has suffered.
pub(crate) async fn trail(stage: Stage<'_>, replacement: Agent) -> Result<()> {
    let (old, admin, oncall) = (&stage.suspect.id, &stage.admin, stage.oncall.name());
    let shown = admin.does(&["agent", "show", old]).await?;
    ensure!(shown.contains(VERDICT) && shown.contains(INCIDENT), "{shown}");
    let (record, successor) = (
        admin.reads(&["agent", "show", old]).await?,
        admin.reads(&["agent", "show", &replacement.id]).await?,
    );
    for (field, value) in [
        ("status", "revoked"),
        ("status_reason", VERDICT),
        ("status_actor", oncall),
        ("incident_id", INCIDENT),
        ("public_key", &stage.suspect.public_key),
        ("replaced_by", &replacement.id),
    ] {
        ensure!(record[field] == value, "{field} is {}, and not {value}", record[field]);
    }
    ensure!(record["revoked_at"].is_string(), "it does not say when: {record}");
    ensure!(successor["replaces"] == old.as_str(), "{successor}");
    for field in ["owner", "policy_id", "name"] {
        ensure!(successor[field] == record[field], "{field} is another: {successor}");
    }
    ensure!(successor["public_key"] == replacement.public_key.as_str(), "{successor}");

    let events = stage.fleet.api().events_of(old).await?;
    let done: Vec<_> = events
        .iter()
        .map(|it| (&*it.action, &*it.actor, it.reason.as_deref(), it.incident_id.as_deref()))
        .collect();
    let (admin, incident) = (admin.name(), Some(INCIDENT));
    let expected = [
        ("agent.registered", admin, None, None),
        ("agent.suspended", oncall, Some(SUSPICION), incident),
        ("agent.restored", admin, Some("false_alarm"), incident),
        ("capability.revoked", oncall, Some("anomalous_refund_pattern"), incident),
        ("agent.suspended", oncall, Some(SUSPICION), incident),
        ("agent.revoked", oncall, Some(VERDICT), incident),
        ("agent.replaced", admin, None, None),
    ];
    ensure!(done == expected, "the log of {old} is {done:#?}");
    (stage.say)(&format!("\nwhat was done to {old}:"));
    for (action, actor, reason, _) in done {
        (stage.say)(&format!("  {action:<18} {actor:<12} {}", reason.unwrap_or("-")));
    }
    stage.fleet.finish().await
}

/// All that was in flight is answered as a denial for `reason`, without having ended.
async fn cut(stage: &Stage<'_>, in_flight: Vec<Unfinished>, reason: &str) -> Result<()> {
    let count = in_flight.len();
    for request in in_flight {
        let answer = request.cut().await?;
        ensure!(answer.is_denial(403, reason), "{answer:?}");
    }
    (stage.say)(&format!("  {count} charges that were in flight are cut: {reason}"));
    Ok(())
}
