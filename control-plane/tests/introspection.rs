//! Questions about one token.

use std::time::Duration;

use kya_control_plane::push::Limits;
use kya_core::wire::{IntrospectRequest, SignedUpdate};
use kya_core::{Body, Nonce, OpaqueToken, Position, TokenDigest};
use serde_json::json;

use crate::support;
use crate::support::ControlPlane;
use crate::support::api::Text;
use crate::support::pull::{INTROSPECT, Puller, ask, problem};

/// Whether the control plane knows it, and as of which position.
async fn known(plane: &ControlPlane, digest: TokenDigest, nonce: u8) -> (Position, bool) {
    let request = IntrospectRequest { nonce: vec![nonce; 32], digest: digest.0.to_vec() };
    let signed: SignedUpdate = ask(plane, INTROSPECT, &request).await;
    let update = Puller::new(plane.server.public_key, "sidecar").verify_signed(&signed);
    match update.body() {
        Body::Introspection { nonce: answered, digest: about, known } => {
            assert_eq!((*answered, *about), (Nonce([nonce; 32]), digest));
            (update.position(), *known)
        }
        other => panic!("no introspection: {other:?}"),
    }
}

fn digest(secret: &str) -> TokenDigest {
    OpaqueToken::parse(secret.as_bytes()).unwrap().digest()
}

#[tokio::test]
async fn a_token_is_known_from_the_position_at_which_every_state_holds_it() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let mut proxy = plane.proxy("sidecar").await;
    for nonce in 1..=5 {
        let token = plane.api.issue(&agent).await["token"].text();
        let (position, known) = known(&plane, digest(&token), nonce).await;
        assert!(known);
        // A proxy that catches up with that decides by it.
        proxy.catch_up(position.revision.0).await;
        assert_eq!(proxy.state.denial(&token), None);
    }
    assert_eq!(plane.metric("kya_introspections_total").await, 5);
}

#[tokio::test]
async fn an_answer_says_whether_there_is_a_token_and_never_what_it_may_do() {
    let plane = ControlPlane::start().await;
    let agent = plane.api.register("payer").await;
    let issued = plane.api.issue(&agent).await;
    let token = digest(&issued["token"].text());
    assert!(!known(&plane, TokenDigest([9; 32]), 1).await.1);
    let path = format!("/v1/tokens/{}/revoke", issued["token_id"].text());
    plane.api.post(&path, json!({ "reason": "leaked" })).await.expect(200);
    plane.api.revoke(&agent).await;
    let (position, known) = known(&plane, token, 2).await;
    assert_eq!((position.revision.0, known), (4, true));
}

#[tokio::test]
async fn a_token_that_was_committed_before_the_question_is_known() {
    let limits = Limits { heartbeat_interval: Duration::from_secs(3600), ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let token = kya_core::wire::Token {
        digest: vec![5; 32],
        grant: 1,
        expires_unix_seconds: 4_000_000_000,
        ..Default::default()
    };
    let change = Some(kya_core::wire::change::Change::Token(token));
    let delta = kya_core::wire::Delta { changes: vec![kya_core::wire::Change { change }] };
    let delta = prost::Message::encode_to_vec(&delta);
    support::database::commit(plane.dir.path(), &delta).await;
    let (position, known) = known(&plane, TokenDigest([5; 32]), 1).await;
    assert_eq!((position.revision.0, known), (1, true));
}

#[tokio::test]
async fn a_question_that_cannot_be_is_refused_with_what_is_wrong() {
    let plane = ControlPlane::start().await;
    for (nonce, digest, complaint) in [
        (31, 32, "a nonce has 32 bytes, this has 31"),
        (0, 32, "a nonce has 32 bytes, this has 0"),
        (32, 33, "a digest has 32 bytes, this has 33"),
        (32, 16, "a digest has 32 bytes, this has 16"),
    ] {
        let request = IntrospectRequest { nonce: vec![1; nonce], digest: vec![2; digest] };
        assert_eq!(problem(&plane, INTROSPECT, &request).await, complaint);
    }
}
