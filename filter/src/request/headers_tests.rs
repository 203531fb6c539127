use super::*;
use crate::config::Config;
use crate::request::Flow;
use crate::testing::{self, Exchange, Proxy, TestVm, World, agent_id, token};
use kya_core::{DenyReason, OpaqueToken};
use proptest::prelude::*;

/// A configuration with every kind of source, and a health check.
fn config() -> Config {
    let mut config = testing::config();
    config.token_sources = vec![
        Source::authorization(),
        Source::header("x-api-key").unwrap(),
        Source::websocket_protocol("kya.bearer.").unwrap(),
    ];
    config.exempt_paths = ["/healthz".to_owned()].into();
    config
}

/// A worker that finds the state that others have fetched: they follow the same
/// control plane by the same keys.
fn worker() -> (TestVm, Proxy) {
    let proxy = World::synced(1).proxy;
    (TestVm::with(&proxy, config()), proxy)
}

fn ask(headers: &[(&str, &str)]) -> (Flow, Exchange, Proxy) {
    let (mut vm, proxy) = worker();
    let (flow, exchange) = vm.request(headers);
    (flow, exchange, proxy)
}

/// The headers that the upstream sees.
#[track_caller]
fn seen(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    let (flow, exchange, _) = ask(headers);
    assert_eq!((flow, &exchange.response), (Flow::Continue, &None));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    exchange.headers.into_iter().map(|(name, value)| (text(name), text(value))).collect()
}

#[track_caller]
fn assert_denied(headers: &[(&str, &str)], reason: DenyReason) {
    let (flow, exchange, proxy) = ask(headers);
    assert_eq!(flow, Flow::Stop, "{headers:?}");
    let body = exchange.response.unwrap().2;
    assert!(body.contains(&format!("\"reason\":\"{}\"", reason.name())), "{headers:?}: {body}");
    assert_eq!(proxy.metric("kya.decision.exempt"), 0);
    assert_eq!(proxy.metric("kya.decision.allow"), 0);
}

fn entry(token: &OpaqueToken) -> String {
    format!("kya.bearer.{}", token.reveal())
}

#[test]
fn a_token_is_taken_from_every_configured_place() {
    let (bearer, entry) = (format!("Bearer {}", token(1).reveal()), entry(&token(1)));
    for header in [
        ("authorization", bearer.as_str()),
        ("x-api-key", token(1).reveal()),
        ("sec-websocket-protocol", &entry),
    ] {
        let agent = (AGENT_ID.to_owned(), agent_id(1).to_string());
        assert!(seen(&[(":path", "/"), header]).contains(&agent), "{header:?}");
    }
}

#[test]
fn a_second_credential_anywhere_is_denied() {
    let (bearer, entry) = (format!("Bearer {}", token(1).reveal()), entry(&token(1)));
    let bearer = ("authorization", bearer.as_str());
    for second in [
        ("authorization", "Basic eDp5"),
        ("authorization", ""),
        ("x-api-key", token(1).reveal()),
        ("x-api-key", ""),
        ("sec-websocket-protocol", &entry),
    ] {
        assert_denied(&[bearer, second], DenyReason::MultipleCredentials);
        assert_denied(&[second, bearer], DenyReason::MultipleCredentials);
    }
}

#[test]
fn a_header_that_is_no_source_by_the_configuration_is_no_credential() {
    let mut world = World::synced(1);
    let (_, exchange) = world.vms[1].request(&[("x-api-key", token(1).reveal())]);
    assert!(exchange.response.unwrap().2.contains("token_missing"));
}

#[test]
fn the_upstream_never_sees_a_credential_among_the_subprotocols() {
    let entry = entry(&token(1));
    let list = format!("chat.v2, {entry}, chat.v1");
    let forwarded = seen(&[("upgrade", "websocket"), ("sec-websocket-protocol", &list)]);
    let subprotocols: Vec<_> =
        forwarded.iter().filter(|(name, _)| name == "sec-websocket-protocol").collect();
    assert_eq!(subprotocols, [&(SUBPROTOCOLS.to_owned(), "chat.v2, chat.v1".to_owned())]);
    // Alone, or in a header of its own.
    let forwarded = seen(&[("sec-websocket-protocol", &entry)]);
    assert!(!forwarded.iter().any(|(name, _)| name == "sec-websocket-protocol"), "{forwarded:?}");
    let forwarded =
        seen(&[("sec-websocket-protocol", &entry), ("sec-websocket-protocol", "chat.v2")]);
    assert!(forwarded.contains(&(SUBPROTOCOLS.to_owned(), "chat.v2".to_owned())));
    assert!(!forwarded.iter().any(|(_, value)| value.contains("at_")), "{forwarded:?}");
}

#[test]
fn subprotocols_without_a_credential_are_left_as_they_are() {
    let bearer = format!("Bearer {}", token(1).reveal());
    let sent = (SUBPROTOCOLS, "chat.v2 ,chat.v1");
    let forwarded = seen(&[("authorization", &bearer), sent]);
    assert!(forwarded.contains(&(sent.0.to_owned(), sent.1.to_owned())), "{forwarded:?}");
}

#[test]
fn only_the_gate_says_what_the_gate_says() {
    let bearer = format!("Bearer {}", token(1).reveal());
    let forged = [
        ("x-kya-agent-id", "agt_forged"),
        ("x-kya-agent-id", "agt_forged_again"),
        ("X-Kya-Agent-Id", "agt_forged"),
        ("x_kya_agent_id", "agt_forged"),
        ("x-kya_agent-id", "agt_forged"),
        ("x-kya-token-id", "forged"),
        ("x-kya-", "forged"),
    ];
    let kept = [("x-kyagent", "kept"), ("kya-agent-id", "kept"), ("x-ky", "kept")];
    for first in [("authorization", bearer.as_str()), (":path", "/healthz")] {
        let headers: Vec<_> = std::iter::once(first).chain(forged).chain(kept).collect();
        let forwarded = seen(&headers);
        assert!(!forwarded.iter().any(|(_, value)| value.contains("forged")), "{forwarded:?}");
        assert_eq!(forwarded.iter().filter(|(_, value)| value == "kept").count(), kept.len());
    }
}

#[test]
fn an_exempt_path_is_forwarded_naming_nobody() {
    let unknown = format!("Bearer {}", token(3).reveal());
    for headers in [
        &[(":path", "/healthz")][..],
        &[(":method", "GET"), (":path", "/healthz?full=1"), ("x-kya-agent-id", "agt_forged")],
        &[(":path", "/healthz"), ("authorization", "Basic eDp5"), ("x-api-key", "x")],
        &[(":path", "/healthz"), ("authorization", &unknown)],
    ] {
        let (flow, exchange, proxy) = ask(headers);
        assert_eq!((flow, exchange.response), (Flow::Continue, None), "{headers:?}");
        assert!(!exchange.headers.iter().any(|(name, _)| name == AGENT_ID.as_bytes()));
        assert_eq!(proxy.metric("kya.decision.exempt"), 1);
        assert_eq!(proxy.metric("kya.decision.allow"), 0);
    }
}

#[test]
fn an_exempt_path_needs_no_state() {
    let proxy = Proxy::new();
    let mut vm = TestVm::with(&proxy, config());
    assert_eq!(vm.request(&[(":path", "/healthz")]).0, Flow::Continue);
    let (flow, exchange) = vm.request(&[(":path", "/")]);
    assert_eq!((flow, exchange.response.unwrap().0), (Flow::Stop, 503));
}

#[test]
fn no_trick_makes_another_path_exempt() {
    for path in [
        "/",
        "/healthz/",
        "/healthz/../pay",
        "/healthz/..;/pay",
        "/healthz/%2e%2e/pay",
        "/healthz/%2E%2E/pay",
        "/healthz%2f..%2fpay",
        "/healthz%2F..%2Fpay",
        "/healthz%5c..%5cpay",
        "/healthz\\..\\pay",
        "//healthz",
        "/./healthz",
        "/pay/../healthz",
        "/%68ealthz",
        "/healthz#/../pay",
        "/healthz;/../pay",
        "/HEALTHZ",
        "/pay?/healthz",
        "/pay#/healthz",
        "/healthz%00",
        "/healthz%20",
        "/healthz ",
        "http://host/healthz",
        "",
    ] {
        assert_denied(&[(":path", path)], DenyReason::TokenMissing);
    }
    for headers in [
        &[("path", "/healthz")][..],
        &[(":path", "/healthz"), (":path", "/pay")],
        &[(":path", "/pay"), (":path", "/healthz")],
        &[(":path", "/healthz"), ("x-original-url", "/pay")],
        &[("X-Rewrite-Url", "/pay"), (":path", "/healthz")],
    ] {
        assert_denied(headers, DenyReason::TokenMissing);
    }
}

#[test]
fn an_exempt_request_that_cannot_be_cleaned_is_not_forwarded() {
    let (mut vm, proxy) = worker();
    proxy.refuse("remove_request_header");
    let (flow, exchange) = vm.request(&[(":path", "/healthz"), ("x-kya-agent-id", "agt_forged")]);
    assert_eq!((flow, exchange.response.unwrap().0), (Flow::Stop, 503));
    assert_eq!(proxy.metric("kya.decision.exempt"), 0);
}

proptest! {
    #[test]
    fn nothing_forged_reaches_the_upstream_whatever_else_is_sent(
        mut headers in prop::collection::vec(("[a-zA-Z:_-]{0,14}", ".{0,12}"), 0..6),
        name in "[xX][-_][kK][yY][aA][-_][a-zA-Z_-]{0,8}",
        at: prop::sample::Index,
    ) {
        let bearer = format!("Bearer {}", token(1).reveal());
        headers.insert(at.index(headers.len() + 1), (name, "forged".to_owned()));
        let mut all: Vec<_> = headers.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        all.push(("authorization", &bearer));
        let (flow, exchange, _) = ask(&all);
        prop_assert_eq!(flow, Flow::Continue);
        prop_assert!(!exchange.headers.iter().any(|(_, value)| value == b"forged"));
    }
}
