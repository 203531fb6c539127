//! A token that the state does not know yet: the request waits while the control
//! plane is asked.

use std::time::Duration;

use kya_core::OpaqueToken;
use kya_core::wire::IntrospectRequest;
use kya_host_tests::kya::{
    ControlPlane, NODE_CREDENTIAL, Sidecar, agent_id, assert_denied, bearer, forged,
};
use kya_host_tests::{HttpCall, InFlight, Outcome, RequestState};
use prost::Message;
use serde_json::json;

/// A sidecar of one worker that asks, and hears streams alone.
fn asking(control: &mut ControlPlane) -> Sidecar {
    let mut configuration = control.configuration();
    configuration["fail_modes"] = json!({"unknown_token": "introspect"});
    configuration["max_introspections"] = json!(4);
    let builder = Sidecar::builder(1);
    let mut sidecar = Sidecar::configured(builder, configuration.to_string()).unwrap();
    sidecar.sync(control);
    sidecar.await_reports(control, 1);
    sidecar
}

fn begin(sidecar: &mut Sidecar, token: &OpaqueToken) -> InFlight {
    sidecar.proxy.begin(0, &[("authorization", &bearer(token))])
}

/// The open questions about tokens.
fn questions(sidecar: &Sidecar) -> Vec<HttpCall> {
    let calls = sidecar.questions().into_iter();
    calls.filter(|call| call.headers.get(":path") == Some(b"/v1/enforcement/introspect")).collect()
}

fn answer(sidecar: &mut Sidecar, control: &mut ControlPlane, call: &HttpCall) {
    let body = control.respond("/v1/enforcement/introspect", &call.body);
    assert!(sidecar.proxy.answer_call(call.key, 200, &[], &body));
    sidecar.proxy.run_until_idle();
}

fn unknown(n: u8) -> OpaqueToken {
    OpaqueToken::from_random([n; 32])
}

#[test]
fn a_token_that_was_just_issued_is_asked_about_and_waits_for_the_state_that_holds_it() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    let token = control.issue_token(1);
    let requests: Vec<_> = (0..3).map(|_| begin(&mut sidecar, &token)).collect();
    let [call] = &questions(&sidecar)[..] else { panic!("one question for all of them") };
    assert_eq!(call.cluster, "kya_pull");
    let credential = format!("Bearer {NODE_CREDENTIAL}");
    assert_eq!(call.headers.get("authorization"), Some(credential.as_bytes()));
    let asked = IntrospectRequest::decode(&*call.body).unwrap();
    assert_eq!(asked.digest, token.digest().0);
    answer(&mut sidecar, &mut control, call);
    for request in &requests {
        assert_eq!(sidecar.proxy.state(request), RequestState::Held, "the state lacks it");
    }
    sidecar.push(&mut control);
    for request in requests {
        let Outcome::Forwarded { headers } = sidecar.proxy.finish(request) else { panic!() };
        let named = headers.get("x-kya-agent-id").unwrap();
        assert_eq!(named, agent_id(1).to_string().as_bytes());
    }
    assert_eq!(sidecar.proxy.metric("kya.introspections"), 1);
}

#[test]
fn the_answer_grants_nothing_by_itself() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    let token = control.issue_token(1);
    let request = begin(&mut sidecar, &token);
    let call = questions(&sidecar).remove(0);
    // Known, and revoked by the time the state arrives.
    answer(&mut sidecar, &mut control, &call);
    control.revoke(1);
    sidecar.push(&mut control);
    assert_denied(&sidecar.proxy.finish(request), 403, "agent_revoked");
    // Known, and the state never comes.
    let token = control.issue_token(2);
    let request = begin(&mut sidecar, &token);
    let call = questions(&sidecar).remove(0);
    answer(&mut sidecar, &mut control, &call);
    sidecar.proxy.advance(Duration::from_millis(1_500));
    assert_denied(&sidecar.proxy.finish(request), 401, "token_unknown");
}

#[test]
fn where_the_push_is_behind_a_pull_brings_the_state() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    sidecar.run(&mut control, Duration::from_secs(3));
    let token = control.issue_token(1);
    sidecar.lose(&control);
    let request = begin(&mut sidecar, &token);
    let call = questions(&sidecar).remove(0);
    answer(&mut sidecar, &mut control, &call);
    assert_eq!(sidecar.questions().len(), 1, "the leader pulls at once");
    sidecar.serve(&mut control);
    assert!(sidecar.proxy.finish(request).forwarded().is_some());
}

#[test]
fn without_a_signed_answer_to_this_question_the_request_is_denied() {
    let (mut control, token) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    let introspect = "/v1/enforcement/introspect";
    let mut earlier: Option<Vec<u8>> = None;
    for (n, how) in
        ["forged", "replayed", "garbage", "error", "reset", "silence"].iter().enumerate()
    {
        let token = unknown(100 + u8::try_from(n).unwrap());
        let request = begin(&mut sidecar, &token);
        let call = questions(&sidecar).remove(0);
        let signed = control.respond(introspect, &call.body);
        let respond = |sidecar: &mut Sidecar, status, body: &[u8]| {
            assert!(sidecar.proxy.answer_call(call.key, status, &[], body));
        };
        match *how {
            "forged" => {
                let signed = kya_core::wire::SignedUpdate::decode(&*signed).unwrap();
                respond(&mut sidecar, 200, &forged(&signed).encode_to_vec());
            }
            "replayed" => respond(&mut sidecar, 200, earlier.as_ref().unwrap()),
            "garbage" => respond(&mut sidecar, 200, &[0xff; 300]),
            "error" => respond(&mut sidecar, 500, &signed),
            "reset" => assert!(sidecar.proxy.fail_call(call.key)),
            _ => sidecar.proxy.advance(Duration::from_millis(1_100)),
        }
        earlier = Some(signed);
        assert_denied(&sidecar.proxy.finish(request), 401, "token_unknown");
    }
    sidecar.run(&mut control, Duration::from_secs(1));
    assert!(sidecar.ask(0, &token).forwarded().is_some());
}

#[test]
fn a_token_that_does_not_exist_is_asked_about_once_and_so_many_at_a_time() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    let waiting: Vec<_> = (100..104).map(|n| begin(&mut sidecar, &unknown(n))).collect();
    assert_eq!(questions(&sidecar).len(), 4);
    // One more than `max_introspections` is answered at once.
    assert_denied(&sidecar.ask(0, &unknown(104)), 401, "token_unknown");
    sidecar.serve(&mut control);
    for request in waiting {
        assert_denied(&sidecar.proxy.finish(request), 401, "token_unknown");
    }
    for n in 100..104 {
        assert_denied(&sidecar.ask(0, &unknown(n)), 401, "token_unknown");
    }
    assert_eq!(sidecar.proxy.metric("kya.introspections"), 4);
}

#[test]
fn a_flood_of_unknown_tokens_asks_so_often_and_no_more() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    sidecar.run(&mut control, Duration::from_secs(1));
    let before = sidecar.proxy.metric("kya.introspections");
    for n in 0..1_000u32 {
        let mut secret = [9; 32];
        secret[..4].copy_from_slice(&n.to_le_bytes());
        let request = begin(&mut sidecar, &OpaqueToken::from_random(secret));
        sidecar.serve(&mut control);
        assert_denied(&sidecar.proxy.finish(request), 401, "token_unknown");
    }
    let asked = sidecar.proxy.metric("kya.introspections") - before;
    assert!((1..=100).contains(&asked), "{asked} questions within one second");
}

#[test]
fn a_client_that_leaves_while_it_waits_is_not_touched_again() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    let token = control.issue_token(1);
    let (gone, stays) = (begin(&mut sidecar, &token), begin(&mut sidecar, &token));
    assert!(sidecar.proxy.client_leaves(&gone));
    sidecar.serve(&mut control);
    sidecar.push(&mut control);
    assert_eq!(sidecar.proxy.state(&gone), RequestState::ClientLeft);
    let _ = sidecar.proxy.finish(gone);
    assert!(sidecar.proxy.finish(stays).forwarded().is_some());
    // One that leaves after the answer, and before the state.
    let token = control.issue_token(1);
    let gone = begin(&mut sidecar, &token);
    let call = questions(&sidecar).remove(0);
    answer(&mut sidecar, &mut control, &call);
    assert!(sidecar.proxy.client_leaves(&gone));
    sidecar.push(&mut control);
    assert_eq!(sidecar.proxy.state(&gone), RequestState::ClientLeft);
    let _ = sidecar.proxy.finish(gone);
}

#[test]
fn hundreds_that_wait_for_one_token_all_go_on() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    let token = control.issue_token(1);
    let waiting: Vec<_> = (0..500).map(|_| begin(&mut sidecar, &token)).collect();
    assert_eq!(questions(&sidecar).len(), 1);
    let call = questions(&sidecar).remove(0);
    answer(&mut sidecar, &mut control, &call);
    sidecar.push(&mut control);
    for request in waiting {
        assert!(sidecar.proxy.finish(request).forwarded().is_some());
    }
}

#[test]
fn a_body_that_arrives_while_it_waits_does_not_set_it_going() {
    let (mut control, _) = ControlPlane::with_an_agent();
    let mut sidecar = asking(&mut control);
    let headers = bearer(&unknown(100));
    let request = sidecar.proxy.begin_with_body(0, &[("authorization", &headers)]);
    assert!(sidecar.proxy.client_sends(&request, b"{\"amount\":", false));
    assert!(sidecar.proxy.client_sends(&request, b"1}", true));
    assert_eq!(sidecar.proxy.at_upstream(&request), None);
    sidecar.serve(&mut control);
    assert_denied(&sidecar.proxy.finish(request), 401, "token_unknown");
}
