//! The commands of "How to Revoke an AI Agent in Production", as they are written there, by
//! the real `kya` against a real control plane and real Envoys. What differs are ids, times
//! and the date of the expiry, which has to come; and after the lines that are written there,
//! `kya` says who has acknowledged.

use std::fs;

use anyhow::{Context, Result, ensure};
use kya_core::Signer;
use kya_envoy::traffic::{Answer, charged_everywhere, denied_everywhere, post_everywhere};
use kya_envoy::{Artifacts, Cli, Fleet, FleetOptions, REFUNDS};
use serde_json::json;

/// The agent of the text.
const AGENT: &str = "agt_01JXMK9P2Q3R4S5T6U7V";
/// The time of the text.
const TIME: &str = "2026-02-05T14:47:23.891Z";

const REGISTER: &str = r#"kya agent register \
--name "data-migration-agent" \
--pubkey ./agent.pub \
--expires-at "2026-02-06T00:00:00Z""#;

const SUSPEND: &str = r#"kya agent suspend agt_01JXMK9P2Q3R4S5T6U7V \
--reason "investigating_anomaly""#;

const CAPABILITY: (&str, &str) = (
    r#"kya capability revoke \
--agent agt_01JXMK9P2Q3R4S5T6U7V \
--action issue_refund \
--reason "anomalous_refund_pattern""#,
    "Capability revoked: issue_refund for agt_01JXMK9P2Q3R4S5T6U7V
create_charge remains active
",
);

const REVOKE: (&str, &str) = (
    r#"kya agent revoke agt_01JXMK9P2Q3R4S5T6U7V \
--reason "prompt_injection_suspected" \
--incident-id "INC-2026-0205-001""#,
    "Revoked: agt_01JXMK9P2Q3R4S5T6U7V
All verify calls will now return DENY
Revocation logged at: 2026-02-05T14:47:23.891Z
",
);

const EXPORT: &str = r#"kya audit export \
--agent agt_01JXMK9P2Q3R4S5T6U7V \
--since "2026-02-05T14:00:00Z" \
--verify-chain # confirms hash chain integrity"#;

/// A policy with the actions that the text speaks of.
const POLICY: &str = r#"{ "name": "pay", "allow": ["create_charge", "issue_refund"] }"#;

/// Runs `command` about `agent`: it has to succeed and print nothing on standard error.
async fn typed(fleet: &Fleet, kya: &Cli, command: &str, agent: &str) -> Result<String> {
    let ended = kya.shell(&command.replace(AGENT, agent), fleet.dir()).await?;
    ensure!((ended.code, &*ended.err) == (Some(0), ""), "{ended:?}");
    Ok(ended.out)
}

/// `out` is what is written, but for ids and times, and who has acknowledged.
fn printed(out: &str, expected: &str, agent: &str) -> Result<()> {
    let mut out = out.replace(agent, AGENT);
    if let Some((_, logged)) = out.clone().split_once("logged at: ") {
        let time = logged.lines().next().unwrap_or_default();
        // RFC 3339 in UTC with milliseconds, as in the text.
        ensure!(time.len() == TIME.len() && time.ends_with('Z'), "{time}");
        time.parse::<jiff::Timestamp>().with_context(|| time.to_owned())?;
        out = out.replace(time, TIME);
    }
    let rest = out.strip_prefix(expected).with_context(|| format!("it prints {out}"))?;
    ensure!(rest.starts_with("Acknowledged by 4 of 4 workers of 2 of 2 proxies in "), "{out}");
    let kill = rest.lines().nth(1).and_then(|line| line.strip_prefix("Kill: kil_"));
    ensure!(kill.is_some() && rest.lines().count() == 2, "{out}");
    Ok(())
}

#[tokio::test]
async fn the_commands_of_the_playbook_run_as_they_are_written() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let fleet = Fleet::start(&artifacts, &FleetOptions::default()).await?;
    let kya = fleet.kya(&artifacts)?;
    fs::write(fleet.dir().join("pay.json"), POLICY)?;
    typed(&fleet, &kya, "kya policy apply -f pay.json --wait 20s", "").await?;
    let body = json!({ "name": "checkout-assistant-v2", "policy": "pay" });
    let agent = fleet.api().register_agent_with(body).await?.agent_id;
    let token = fleet.api().issue_token(&agent).await?.token;
    fleet.wait_converged().await?;
    charged_everywhere(&fleet.sidecars, &token, &agent).await?;

    let out = typed(&fleet, &kya, CAPABILITY.0, &agent).await?;
    printed(&out, CAPABILITY.1, &agent)?;
    let refund = json!({ "amount": 1999, "currency": "eur" });
    let denied = |answer: &Answer| answer.is_denial(403, "capability_revoked");
    post_everywhere(&fleet.sidecars, &token, (REFUNDS, &refund), denied).await?;
    charged_everywhere(&fleet.sidecars, &token, &agent).await?;

    let out = typed(&fleet, &kya, SUSPEND, &agent).await?;
    ensure!(out.starts_with(&format!("Suspended: {agent}\n")), "{out}");
    denied_everywhere(&fleet.sidecars, &token, 403, "agent_suspended").await?;

    let ended = kya.shell(&EXPORT.replace(AGENT, &agent), fleet.dir()).await?;
    ensure!(ended.code == Some(0) && ended.err.contains("Verified: "), "{ended:?}");
    ensure!(ended.out.contains("agent.suspended") && ended.out.contains(&agent), "{ended:?}");

    let out = typed(&fleet, &kya, REVOKE.0, &agent).await?;
    printed(&out, REVOKE.1, &agent)?;
    denied_everywhere(&fleet.sidecars, &token, 403, "agent_revoked").await?;
    let ended = kya.end(&["verify", "--agent", &agent, "--action", "create_charge"]).await?;
    ensure!(ended.code == Some(5) && ended.out.starts_with("DENY agent_revoked"), "{ended:?}");

    // The record of the text, and what it says of a revocation.
    let record = kya.json(&["agent", "show", &agent]).await?;
    for field in
        ["agent_id", "name", "status", "public_key", "policy_id", "created_at", "revoked_at"]
    {
        ensure!(record.get(field).is_some(), "the record has no {field}: {record}");
    }
    ensure!(record["status"] == "revoked" && record["revoked_at"].is_string(), "{record}");
    ensure!(record["policy_id"].as_str().is_some_and(|id| id.starts_with("pol_")), "{record}");
    fleet.finish().await
}

#[tokio::test]
async fn an_agent_with_a_key_and_an_expiry_is_registered_as_it_is_written() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let size = FleetOptions { sidecars: 0, ..FleetOptions::default() };
    let fleet = Fleet::start(&artifacts, &size).await?;
    let kya = fleet.kya(&artifacts)?;
    let key = Signer::from_seed([7; 32]).public_key().to_string();
    let der = key.strip_prefix("ed25519:").context("a key begins with its kind")?;
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{der}\n-----END PUBLIC KEY-----\n");
    fs::write(fleet.dir().join("agent.pub"), pem)?;

    // The midnight of the text is over, and a registry takes no expiry that is.
    let ended = kya.shell(REGISTER, fleet.dir()).await?;
    ensure!(ended.code != Some(0) && ended.out.is_empty(), "{ended:?}");
    ensure!(ended.err.contains("expires"), "{ended:?}");
    let (day, time) = ("2026-02-06", "T00:00:00Z");
    let to_come = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(48);
    let midnight = to_come.to_string().get(..day.len()).unwrap_or_default().to_owned();
    let out = typed(&fleet, &kya, &REGISTER.replace(day, &midnight), "").await?;
    for (what, value) in
        [("Name", "data-migration-agent"), ("Status", "active"), ("Public key", &*key)]
    {
        let is_there = |line: &str| line.starts_with(what) && line.ends_with(value);
        ensure!(out.lines().any(is_there), "there is no {what} {value} in {out}");
    }
    ensure!(out.contains(&format!("{midnight}{}", time.trim_end_matches('Z'))), "{out}");
    fleet.discard()
}
