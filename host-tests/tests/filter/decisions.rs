//! What is asked decides what is answered, on every worker alike.

use kya_core::wire::{self, Agent, Capability, Policy, change::Change};
use kya_core::{OpaqueToken, Standing};
use kya_host_tests::Outcome;
use kya_host_tests::kya::{
    ControlPlane, Denial, Sidecar, agent_id, assert_allowed, assert_denied, bearer,
};
use std::time::Duration;

const WORKERS: usize = 3;
const NANOS: u64 = 1_000_000_000;

#[test]
fn before_the_first_manifest_nothing_is_allowed() {
    let (control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "unsynced");
        assert_eq!(Denial::of(&outcome).challenge, None, "the client did nothing wrong");
    }
    sidecar.connect();
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 503, "unsynced");
    }
    assert_eq!(sidecar.proxy.metric("kya.decision.unsynced"), 6);
}

#[test]
fn an_active_agent_is_allowed_and_named_to_the_upstream() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
        let headers = outcome.forwarded().unwrap();
        assert_eq!(headers.get("authorization"), Some(bearer(&token).as_slice()));
    }
    assert_eq!(sidecar.proxy.metric("kya.decision.allow"), 3);
}

#[test]
fn a_name_that_the_client_claims_never_reaches_the_upstream() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let bearer = bearer(&token);
    let other = agent_id(2).to_string();
    for claims in [
        &[("x-kya-agent-id", other.as_bytes())][..],
        &[("x-kya-agent-id", other.as_bytes()), ("x-kya-agent-id", b"agt_x")],
        &[("X-KYA-Agent-ID", other.as_bytes()), ("x-Kya-agent-id", b"")],
        &[("x-kya-agent-id", b"\xff\xfe not text")],
    ] {
        let mut headers = claims.to_vec();
        headers.insert(1, ("authorization", &bearer));
        assert_allowed(&sidecar.proxy.request(0, &headers), 1);
    }
}

#[test]
fn a_revocation_is_denied_on_every_worker_and_touches_no_other_agent() {
    let (mut control, token) = ControlPlane::with_an_agent();
    control.register(2);
    let other = control.issue_token(2);
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    assert_allowed(&sidecar.ask(0, &token), 1);
    control.revoke(1);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_revoked");
        let denial = Denial::of(&outcome);
        assert_eq!(denial.problem["agent_id"], agent_id(1).to_string());
        assert_eq!(denial.problem["revision"], control.revision());
        assert_eq!(denial.challenge.unwrap(), r#"Bearer realm="kya", error="insufficient_scope""#);
    }
    for outcome in sidecar.ask_all(&other) {
        assert_allowed(&outcome, 2);
    }
    assert_eq!(sidecar.proxy.metric("kya.revision"), control.revision());
    assert_eq!(sidecar.proxy.metric("kya.decision.agent_revoked"), 3);
}

#[test]
fn a_suspended_agent_is_denied_until_it_is_restored() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    control.suspend(1);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_suspended");
    }
    control.restore(1);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn one_revoked_token_leaves_the_agents_other_tokens() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let second = control.issue_token(1);
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    control.revoke_token(&token);
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 401, "token_revoked");
    }
    for outcome in sidecar.ask_all(&second) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn a_token_issued_after_the_manifest_counts_at_once() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let token = control.issue_token(1);
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 401, "token_unknown");
    }
    sidecar.push(&mut control);
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
}

#[test]
fn an_agent_expires_by_the_proxys_own_clock_with_no_message_at_all() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let expires = sidecar.proxy.now() / NANOS + 30;
    control.commit([Change::Agent(Agent {
        id: agent_id(1).to_bytes().into(),
        standing: Some(Standing::ACTIVE.into()),
        expires_unix_seconds: expires,
        ..Default::default()
    })]);
    sidecar.push(&mut control);
    (sidecar.serves_streams, sidecar.serves_calls) = (false, false);
    sidecar.lose_stream();
    let left = Duration::from_nanos(expires * NANOS - sidecar.proxy.now());
    sidecar.proxy.advance(left - Duration::from_millis(1));
    for outcome in sidecar.ask_all(&token) {
        assert_allowed(&outcome, 1);
    }
    sidecar.proxy.advance(Duration::from_millis(1));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 403, "agent_expired");
    }
}

#[test]
fn a_token_expires_by_the_proxys_own_clock_with_no_message_at_all() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::start(&control, WORKERS);
    let expires = sidecar.proxy.now() / NANOS + 30;
    let token = control.issue_token_until(1, expires);
    sidecar.sync(&mut control);
    let left = |sidecar: &Sidecar| Duration::from_nanos(expires * NANOS - sidecar.proxy.now());
    let until = left(&sidecar) - Duration::from_millis(1);
    sidecar.proxy.advance(until);
    assert_allowed(&sidecar.ask(0, &token), 1);
    sidecar.proxy.advance(Duration::from_millis(1));
    for outcome in sidecar.ask_all(&token) {
        assert_denied(&outcome, 401, "token_expired");
    }
}

#[test]
fn what_is_not_one_whole_token_is_malformed_and_never_unknown() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let whole = token.reveal();
    let mut mistyped = whole.to_owned();
    let last = if mistyped.pop() == Some('0') { '1' } else { '0' };
    mistyped.push(last);
    let cases: [Vec<u8>; 15] = [
        b"".into(),
        b"Bearer".into(),
        b"Bearer ".into(),
        whole.into(),
        format!("Basic {whole}").into(),
        format!("Bearer\t{whole}").into(),
        format!("Bearer  {whole} ").into(),
        format!("Bearer {whole},Bearer {whole}").into(),
        format!("Bearer {mistyped}").into(),
        format!("Bearer {}", &whole[..whole.len() - 1]).into(),
        format!("Bearer {whole}{whole}").into(),
        format!("Bearer {}", whole.to_uppercase()).into(),
        format!("Bearer at_{}", "a".repeat(100_000)).into(),
        b"Bearer \xff\xfe\x00\x80".into(),
        b"Bearer eyJhbGciOiJub25lIn0.e30.".into(),
    ];
    for value in cases {
        let outcome = sidecar.proxy.request(0, &[("authorization", &value)]);
        assert_denied(&outcome, 401, "token_malformed");
        let denial = Denial::of(&outcome);
        assert_eq!(denial.challenge.unwrap(), r#"Bearer realm="kya", error="invalid_token""#);
        assert_eq!(denial.problem.get("agent_id"), None);
    }
    assert_eq!(sidecar.proxy.metric("kya.decision.token_malformed"), 15);
}

#[test]
fn no_credential_is_told_the_scheme_and_no_error() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let outcome = sidecar.proxy.request(0, &[("proxy-authorization", b"Bearer x")]);
    assert_denied(&outcome, 401, "token_missing");
    assert_eq!(Denial::of(&outcome).challenge.unwrap(), r#"Bearer realm="kya""#);
}

#[test]
fn two_credentials_are_a_denial_even_if_both_are_the_same_good_one() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let good = bearer(&token);
    for second in [good.as_slice(), b"", b"Basic eDp5"] {
        for headers in [
            [("authorization", good.as_slice()), ("Authorization", second)],
            [("AUTHORIZATION", second), ("authorization", good.as_slice())],
        ] {
            assert_denied(&sidecar.proxy.request(0, &headers), 401, "multiple_credentials");
        }
    }
}

#[test]
fn a_well_formed_token_that_was_never_issued_is_unknown_and_says_nothing_more() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = Sidecar::synced(&mut control, WORKERS);
    let outcome = sidecar.ask(0, &OpaqueToken::from_random([200; 32]));
    assert_denied(&outcome, 401, "token_unknown");
    let problem = Denial::of(&outcome).problem;
    assert_eq!(problem.get("agent_id"), None);
    assert_eq!(problem["type"], "urn:kya:problem:token_unknown");
}

#[test]
fn a_problem_has_the_fields_of_the_contract_and_no_token() {
    let (mut control, token) = ControlPlane::with_an_agent();
    control.revoke(1);
    let mut sidecar = Sidecar::synced(&mut control, 1);
    let outcome = sidecar.ask(0, &token);
    let problem = Denial::of(&outcome).problem;
    assert_eq!(problem["type"], "urn:kya:problem:agent_revoked");
    assert_eq!(problem["reason"], "agent_revoked");
    assert_eq!(problem["status"], 403);
    assert_eq!(problem["agent_id"], agent_id(1).to_string());
    assert_eq!(problem["revision"], control.revision());
    for text in ["title", "detail"] {
        assert!(problem[text].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
    }
    let response = outcome.local_response().unwrap();
    assert_eq!(response.headers.get("cache-control"), Some(&b"no-store"[..]));
    let secret = &token.reveal()[3..20];
    assert!(!String::from_utf8_lossy(&response.body).contains(secret));
    assert!(sidecar.proxy.log().iter().all(|line| !line.text.contains(secret)));
}

/// A sidecar before the service `payments` that knows two actions.
fn with_actions(control: &mut ControlPlane) -> Sidecar {
    let mut configuration = control.configuration();
    configuration["service"] = "payments".into();
    configuration["actions"] = serde_json::json!([
        {"route": "POST /v1/charges", "action": "create_charge"},
        {"route": "POST /v1/refunds", "action": "issue_refund"},
    ]);
    let builder = Sidecar::builder(WORKERS);
    let mut sidecar = Sidecar::configured(builder, configuration.to_string()).unwrap();
    sidecar.sync(control);
    sidecar
}

fn post(sidecar: &mut Sidecar, worker: usize, path: &str, token: &OpaqueToken) -> Outcome {
    let bearer = bearer(token);
    let (method, path) = ((":method", &b"POST"[..]), (":path", path.as_bytes()));
    sidecar.proxy.request(worker, &[method, path, ("authorization", &bearer)])
}

#[test]
fn one_action_of_an_agent_is_stopped_on_every_worker_and_the_other_goes_on() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = with_actions(&mut control);
    control.commit([Change::Capability(Capability {
        agent_id: agent_id(1).to_bytes().into(),
        action: "issue_refund".to_owned(),
        standing: Some(wire::Standing {
            status: wire::Status::Revoked.into(),
            ..Default::default()
        }),
    })]);
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        let refund = post(&mut sidecar, worker, "/v1/refunds", &token);
        assert_denied(&refund, 403, "capability_revoked");
        assert_allowed(&post(&mut sidecar, worker, "/v1/charges", &token), 1);
        let other = post(&mut sidecar, worker, "/v1/charges/../refunds", &token);
        assert_denied(&other, 403, "capability_revoked");
    }
}

#[test]
fn a_policy_is_what_an_agent_may_do_from_the_moment_it_is_pushed() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = with_actions(&mut control);
    let policy = |version, document: &str| {
        Change::Policy(Policy { id: vec![5; 16], version, document: document.into() })
    };
    let agent = Change::Agent(Agent {
        id: agent_id(1).to_bytes().into(),
        standing: Some(Standing::ACTIVE.into()),
        policy_id: vec![5; 16],
        ..Default::default()
    });
    control.commit([policy(1, r#"{"name": "p", "allow": ["create_*"]}"#), agent]);
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        assert_allowed(&post(&mut sidecar, worker, "/v1/charges", &token), 1);
        let refund = post(&mut sidecar, worker, "/v1/refunds", &token);
        assert_denied(&refund, 403, "action_denied");
        let unmapped = post(&mut sidecar, worker, "/v1/other", &token);
        assert_denied(&unmapped, 403, "action_unknown");
    }
    control.commit([policy(2, r#"{"name": "p", "allow": ["*"], "services": ["billing"]}"#)]);
    sidecar.push(&mut control);
    for worker in 0..WORKERS {
        let charge = post(&mut sidecar, worker, "/v1/charges", &token);
        assert_denied(&charge, 403, "service_denied");
    }
}
