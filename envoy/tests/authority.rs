//! Less authority than before, than one's own, than all: policies that permit less, agents
//! that act for others, and tokens for some services and actions. Real control plane, real
//! Envoys.

use std::time::Duration;

use anyhow::{Result, ensure};
use kya_envoy::traffic::{
    Answer, Unfinished, charged_everywhere, denied_everywhere, post_everywhere,
};
use kya_envoy::{Artifacts, CHARGES, Fleet, FleetOptions, REFUNDS};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(10);

async fn fleet() -> Result<Fleet> {
    Fleet::start(&Artifacts::for_tests()?, &FleetOptions::default()).await
}

/// Makes a change, and waits until every worker has acknowledged it.
async fn change(fleet: &Fleet, path: &str, body: Value) -> Result<()> {
    let change = fleet.api().change(path, body).await?;
    let acks = fleet.api().acknowledgements(change.revision, LIMIT).await?;
    ensure!(acks.complete && acks.workers == fleet.workers(), "{acks:?}");
    Ok(())
}

/// `kya policy apply` of this document, acknowledged by every worker.
async fn apply(fleet: &Fleet, document: Value) -> Result<()> {
    let file = fleet.dir().join("policy.json");
    std::fs::write(&file, document.to_string())?;
    let file = file.to_str().unwrap_or_default();
    let kya = fleet.kya(&Artifacts::for_tests()?)?;
    let said = kya.text(&["policy", "apply", "-f", file, "--wait", "20s"]).await?;
    ensure!(said.contains("Acknowledged by 4 of 4 workers of 2 of 2 proxies"), "{said}");
    Ok(())
}

fn paying(name: &str, allow: &[&str], in_flight: &str) -> Value {
    json!({ "name": name, "allow": allow, "in_flight": in_flight })
}

#[tokio::test]
async fn a_policy_that_permits_less_denies_and_ends_what_is_in_flight_as_it_says() -> Result<()> {
    let fleet = fleet().await?;
    for in_flight in ["drain", "abort"] {
        let both = ["create_charge", "issue_refund"];
        apply(&fleet, paying(in_flight, &both, in_flight)).await?;
        let body = json!({ "name": in_flight, "policy": in_flight });
        let agent = fleet.api().register_agent_with(body).await?;
        let token = fleet.api().issue_token(&agent.agent_id).await?;
        fleet.wait_converged().await?;
        let (id, token) = (&agent.agent_id, &token.token);
        charged_everywhere(&fleet.sidecars, token, id).await?;

        // A version that permits the same to whoever is in flight ends nothing.
        let waiting = Unfinished::on_every_worker(&fleet.sidecars, token).await?;
        apply(&fleet, paying(in_flight, &both[..1], in_flight)).await?;
        let charge = json!({ "amount": 1999, "currency": "eur" });
        let denied = |answer: &Answer| answer.is_denial(403, "action_denied");
        post_everywhere(&fleet.sidecars, token, (REFUNDS, &charge), denied).await?;
        charged_everywhere(&fleet.sidecars, token, id).await?;
        ensure!(waiting.iter().all(|request| !request.is_answered()), "a charge was cut");

        apply(&fleet, paying(in_flight, &both[1..], in_flight)).await?;
        denied_everywhere(&fleet.sidecars, token, 403, "action_denied").await?;
        for request in waiting {
            let (answer, as_said) = match in_flight {
                "drain" => {
                    ensure!(!request.is_answered(), "what drains was cut");
                    let answer = request.finish().await?;
                    let made = answer.is_charge_of(id);
                    (answer, made)
                }
                _ => {
                    let answer = request.cut().await?;
                    let cut = denied(&answer);
                    (answer, cut)
                }
            };
            ensure!(as_said, "{in_flight}: {answer:?}");
        }
        let refunded = |answer: &Answer| answer.is_charge_of(id);
        post_everywhere(&fleet.sidecars, token, (REFUNDS, &charge), refunded).await?;
    }
    fleet.finish().await
}

#[tokio::test]
async fn an_agent_that_acts_for_another_is_denied_while_that_one_is_suspended() -> Result<()> {
    let fleet = fleet().await?;
    let mut ids: Vec<String> = Vec::new();
    let mut tokens = Vec::new();
    for name in ["parent", "child", "grandchild"] {
        let body = json!({ "name": name, "parent_id": ids.last() });
        let agent = fleet.api().register_agent_with(body).await?;
        tokens.push(fleet.api().issue_token(&agent.agent_id).await?.token);
        ids.push(agent.agent_id);
    }
    let other = fleet.api().register_agent("other").await?;
    let other_token = fleet.api().issue_token(&other.agent_id).await?;
    fleet.wait_converged().await?;
    for (id, token) in ids.iter().zip(&tokens) {
        charged_everywhere(&fleet.sidecars, token, id).await?;
    }

    // Whoever is below the child stops with it, and whoever is above goes on.
    let why = json!({ "reason": "taking a look" });
    for (stopped, reasons) in [
        (1, [None, Some("agent_suspended"), Some("delegator_stopped")]),
        (0, [Some("agent_suspended"), Some("delegator_stopped"), Some("delegator_stopped")]),
    ] {
        change(&fleet, &format!("agents/{}/suspend", ids[stopped]), why.clone()).await?;
        for ((id, token), reason) in ids.iter().zip(&tokens).zip(reasons) {
            match reason {
                Some(reason) => denied_everywhere(&fleet.sidecars, token, 403, reason).await?,
                None => charged_everywhere(&fleet.sidecars, token, id).await?,
            };
        }
        charged_everywhere(&fleet.sidecars, &other_token.token, &other.agent_id).await?;
        change(&fleet, &format!("agents/{}/restore", ids[stopped]), json!({})).await?;
        for (id, token) in ids.iter().zip(&tokens) {
            charged_everywhere(&fleet.sidecars, token, id).await?;
        }
    }
    fleet.finish().await
}

#[tokio::test]
async fn a_token_for_less_is_good_for_that_alone() -> Result<()> {
    let fleet = fleet().await?;
    let kya = fleet.kya(&Artifacts::for_tests()?)?;
    let agent = fleet.api().register_agent("assistant").await?;
    let id = &agent.agent_id;
    let issue = async |limits: &[&str]| {
        let command = [&["token", "issue", "--agent", id], limits].concat();
        anyhow::Ok(kya.text(&command).await?.trim_end().to_owned())
    };
    let everything = issue(&[]).await?;
    let elsewhere = issue(&["--service", "ledger"]).await?;
    let here = issue(&["--service", "ledger", "--service", "payments"]).await?;
    let refunds = issue(&["--service", "payments", "--action", "issue_refund"]).await?;
    fleet.wait_converged().await?;

    let payment = json!({ "amount": 1999, "currency": "eur" });
    let paid = |answer: &Answer| answer.is_charge_of(id);
    for token in [&everything, &here] {
        charged_everywhere(&fleet.sidecars, token, id).await?;
        post_everywhere(&fleet.sidecars, token, (REFUNDS, &payment), paid).await?;
    }
    for path in [CHARGES, REFUNDS] {
        let invalid = |answer: &Answer| {
            let challenge = answer.header("www-authenticate").unwrap_or_default();
            answer.is_denial(401, "wrong_audience")
                && challenge.contains(r#"error="invalid_token""#)
        };
        post_everywhere(&fleet.sidecars, &elsewhere, (path, &payment), invalid).await?;
    }
    post_everywhere(&fleet.sidecars, &refunds, (REFUNDS, &payment), paid).await?;
    let scope = |answer: &Answer| {
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        answer.is_denial(403, "insufficient_scope")
            && challenge.contains(r#"error="insufficient_scope""#)
    };
    post_everywhere(&fleet.sidecars, &refunds, (CHARGES, &payment), scope).await?;
    // What the map of actions does not have is for nobody whose token names actions.
    let unknown = |answer: &Answer| answer.is_denial(403, "action_unknown");
    post_everywhere(&fleet.sidecars, &refunds, ("/v1/payouts", &payment), unknown).await?;
    fleet.finish().await
}
