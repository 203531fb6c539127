use super::*;
use crate::testing::{Proxy, TestVm, World, agent_id, token};
use kya_core::headers::AGENT_ID;

fn denial(reason: DenyReason) -> Denial {
    Denial { reason, agent_id: None, position: None }
}

#[test]
fn the_token_is_401_its_holder_is_403_and_the_gate_is_503() {
    for reason in DenyReason::ALL {
        let expected = match reason.name() {
            "internal" | "audit_full" | "unsynced" | "stale" => 503,
            "fleet_halted"
            | "principal_suspended"
            | "principal_revoked"
            | "agent_suspended"
            | "agent_revoked"
            | "agent_expired"
            | "action_denied"
            | "action_unknown"
            | "service_denied"
            | "insufficient_scope"
            | "delegator_stopped"
            | "capability_revoked" => 403,
            _ => 401,
        };
        assert_eq!(denial(reason).status(), expected, "{reason:?}");
    }
}

#[test]
fn the_challenge_is_that_of_rfc_6750() {
    for (reason, expected) in [
        (DenyReason::TokenMissing, Some(r#"Bearer realm="shop""#)),
        (DenyReason::TokenUnknown, Some(r#"Bearer realm="shop", error="invalid_token""#)),
        (DenyReason::MultipleCredentials, Some(r#"Bearer realm="shop", error="invalid_request""#)),
        (DenyReason::AgentRevoked, Some(r#"Bearer realm="shop", error="insufficient_scope""#)),
        (DenyReason::Unsynced, None),
    ] {
        assert_eq!(denial(reason).challenge("shop").as_deref(), expected);
    }
}

#[test]
fn the_body_is_a_problem_document() {
    let denial = Denial {
        reason: DenyReason::AgentRevoked,
        agent_id: Some(agent_id(1)),
        position: Some(Position { epoch: 1, revision: kya_core::Revision(42) }),
    };
    let body: serde_json::Value = serde_json::from_str(&denial.body()).unwrap();
    assert_eq!(body["type"], "urn:kya:problem:agent_revoked");
    assert_eq!(body["status"], 403);
    assert_eq!(body["reason"], "agent_revoked");
    assert_eq!(body["agent_id"], agent_id(1).to_string());
    assert_eq!(body["revision"], 42);
    for reason in DenyReason::ALL {
        let body: serde_json::Value =
            serde_json::from_str(&super::tests::denial(reason).body()).unwrap();
        assert!(!body["title"].as_str().unwrap().is_empty());
        assert!(!body["detail"].as_str().unwrap().is_empty());
        assert_eq!(body.get("agent_id"), None);
    }
}

#[test]
fn a_request_that_the_proxy_does_not_show_is_denied() {
    let proxy = Proxy::new();
    let mut vm = TestVm::new(&proxy);
    proxy.refuse("request_headers");
    let (flow, exchange) = vm.request(&[]);
    assert_eq!(flow, Flow::Stop);
    assert_eq!(exchange.response.unwrap().0, 503);
    assert_eq!(proxy.metric("kya.decision.internal"), 1);
}

#[test]
fn an_agent_that_cannot_be_named_is_not_forwarded() {
    for refused in ["remove_request_header", "add_request_header"] {
        let mut world = World::synced(1);
        world.proxy.refuse(refused);
        let authorization = format!("Bearer {}", token(1).reveal());
        let headers = [("authorization", authorization.as_str()), (AGENT_ID, "agt_forged")];
        let (flow, exchange) = world.vms[1].request(&headers);
        assert_eq!(flow, Flow::Stop, "{refused}");
        assert_eq!(exchange.response.unwrap().0, 503);
        assert_eq!(world.proxy.metric("kya.decision.allow"), 0);
    }
}

#[test]
fn a_request_that_cannot_even_be_answered_is_held() {
    let proxy = Proxy::new();
    let mut vm = TestVm::new(&proxy);
    proxy.refuse("respond");
    let (flow, exchange) = vm.request(&[]);
    assert_eq!((flow, exchange.response), (Flow::Stop, None));
}
