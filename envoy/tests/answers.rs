//! What callers are told: over HTTP/1.1 and HTTP/2, with good credentials and bad.

use std::time::Duration;

use anyhow::Result;
use kya_envoy::traffic::{Caller, reach_every_worker};
use kya_envoy::{Artifacts, Downed, Fleet, FleetOptions, RunDir, until};

#[tokio::test]
async fn a_request_without_a_usable_token_gets_401_and_a_challenge() -> Result<()> {
    let artifacts = Artifacts::for_tests()?;
    let fleet =
        Fleet::start(&artifacts, &FleetOptions { sidecars: 1, ..FleetOptions::default() }).await?;
    let agent = fleet.api().register_agent("invoice-bot").await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?;
    fleet.wait_converged().await?;
    let good = &token.token;
    let stranger = token_of_another_fleet(&artifacts).await?;
    let truncated = &good[..good.len() - 1];

    let basic = Caller::anonymous()?.header("authorization", "Basic aW52b2ljZTpib3Q=")?;
    let twice = Caller::with_token(good)?.header("authorization", &format!("Bearer {good}"))?;
    let cases = [
        ("no header", Caller::anonymous()?, "token_missing"),
        ("garbage", Caller::with_token("at_garbage")?, "token_malformed"),
        ("a truncated paste", Caller::with_token(truncated)?, "token_malformed"),
        ("another scheme", basic, "token_malformed"),
        ("a token nobody here has issued", Caller::with_token(&stranger)?, "token_unknown"),
        // Envoy joins the two headers into one value, which is no token.
        ("the same good token twice", twice, "token_malformed"),
    ];
    let sidecar = &fleet.sidecars[0];
    for (case, caller, reason) in cases {
        let answer = caller.charge(sidecar).await?;
        assert!(answer.is_denial(401, reason), "{case}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{case}");
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with(r#"Bearer realm="kya""#), "{case}: {challenge}");
        assert!(answer.body["agent_id"].is_null(), "{case}: nothing for a guesser: {answer:?}");
    }
    assert_eq!(fleet.upstream.total().await?, 0);
    fleet.finish().await
}

async fn token_of_another_fleet(artifacts: &Artifacts) -> Result<String> {
    let dir = RunDir::new(artifacts)?;
    let control_plane = Downed::new(artifacts, dir.path())?.start().await?;
    let agent = control_plane.api().register_agent("stranger").await?;
    let token = control_plane.api().issue_token(&agent.agent_id).await?.token;
    control_plane.kill()?;
    dir.remove()?;
    Ok(token)
}

#[tokio::test]
async fn a_token_ends_by_itself_on_every_worker() -> Result<()> {
    let fleet = Fleet::start(
        &Artifacts::for_tests()?,
        &FleetOptions { sidecars: 1, ..FleetOptions::default() },
    )
    .await?;
    let agent = fleet.api().register_agent("invoice-bot").await?;
    let token = fleet.api().issue_short_token(&agent.agent_id, 1).await?;
    fleet.wait_converged().await?;
    let (caller, sidecar) = (Caller::with_token(&token.token)?, &fleet.sidecars[0]);

    until("the token to end", Duration::from_secs(10), async || {
        let answer = caller.charge(sidecar).await?;
        Ok(answer.is_denial(401, "token_expired").then_some(()))
    })
    .await?;
    reach_every_worker(sidecar, 3, async || caller.charge(sidecar).await)
        .await?
        .all(|answer| answer.is_denial(401, "token_expired"))?;
    fleet.finish().await
}

#[tokio::test]
async fn http2_is_decided_in_the_same_way() -> Result<()> {
    let fleet = Fleet::start(
        &Artifacts::for_tests()?,
        &FleetOptions { sidecars: 1, ..FleetOptions::default() },
    )
    .await?;
    let agent = fleet.api().register_agent("invoice-bot").await?;
    let token = fleet.api().issue_token(&agent.agent_id).await?;
    fleet.wait_converged().await?;
    let (caller, sidecar) = (Caller::with_token(&token.token)?.over_http2()?, &fleet.sidecars[0]);

    let is_http2 = |version| version == reqwest::Version::HTTP_2;
    reach_every_worker(sidecar, 3, async || caller.charge(sidecar).await)
        .await?
        .all(|answer| is_http2(answer.version) && answer.is_charge_of(&agent.agent_id))?;

    fleet.api().revoke_agent(&agent.agent_id, "compromised").await?;
    fleet.wait_converged().await?;
    reach_every_worker(sidecar, 3, async || caller.charge(sidecar).await)
        .await?
        .all(|answer| is_http2(answer.version) && answer.is_denial(403, "agent_revoked"))?;
    fleet.finish().await
}
