//! Who is let in as a proxy, and for how long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use kya_control_plane::push::Limits;
use kya_core::NodeCredential;
use kya_core::wire::proxy_message::Message;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tonic::{Code, Status};

use crate::support::api::Text;
use crate::support::proxy::{channel, channel_through, hello, message, open, try_open};
use crate::support::{ControlPlane, PATIENCE, TestProxy, eventually};

/// How a stream with these `authorization` headers is refused.
async fn refusal(plane: &ControlPlane, authorization: &[&[u8]]) -> Status {
    let refused = try_open(channel(plane.server.grpc_addr).await, authorization).await;
    refused.map(drop).expect_err("it was let in")
}

/// A stream of this credential, after its first snapshot.
async fn proxy(plane: &ControlPlane, credential: &str, node_id: &str) -> TestProxy {
    let channel = channel(plane.server.grpc_addr).await;
    let key = plane.server.public_key;
    let mut proxy = TestProxy::connect_over(channel, credential, key, hello(node_id)).await;
    proxy.next().await;
    proxy
}

async fn metrics(plane: &ControlPlane) -> String {
    plane.api.get("/metrics").await.expect(200).text()
}

#[tokio::test]
async fn without_a_credential_of_this_control_plane_nobody_is_let_in() {
    let plane = ControlPlane::start().await;
    let good = plane.credential.clone();
    let cut = good[..good.len() - 1].to_owned();
    let mut typo = good.clone().into_bytes();
    typo[10] = if typo[10] == b'x' { b'y' } else { b'x' };
    let typo = String::from_utf8(typo).unwrap();
    let forged = NodeCredential::from_random([7; 32]).reveal().to_owned();
    let token = kya_core::OpaqueToken::from_random([7; 32]).reveal().to_owned();
    let bearer = |credential: &str| format!("Bearer {credential}");
    for (header, complaint) in [
        (good.clone(), "must begin with `Bearer `"),
        (format!("Basic {good}"), "must begin with `Bearer `"),
        (String::new(), "must begin with `Bearer `"),
        (bearer(""), "it does not start with `nc_`"),
        (bearer(&token), "it does not start with `nc_`"),
        (bearer(&plane.api.key), "it does not start with `nc_`"),
        (bearer(&good.to_uppercase()), "it does not start with `nc_`"),
        (bearer(&cut), "must have 52 characters and has 51"),
        (bearer(&format!("{good}, {good}")), "must have 52 characters and has 106"),
        (bearer(&typo), "its checksum does not fit"),
        (bearer(&format!("nc_{}", "'".repeat(49))), "only letters and digits"),
        (bearer(&forged), "has not issued this node credential"),
    ] {
        let status = refusal(&plane, &[header.as_bytes()]).await;
        assert_eq!(status.code(), Code::Unauthenticated, "{header}: {status}");
        assert!(status.message().contains(complaint), "{complaint}: {status}");
        assert!(!status.message().contains(&good[10..40]), "{status}");
    }
    let missing = refusal(&plane, &[]).await;
    assert_eq!(missing.code(), Code::Unauthenticated);
    assert!(missing.message().contains("send `authorization: Bearer nc_"), "{missing}");
    let bearer = bearer(&good);
    let twice = refusal(&plane, &[bearer.as_bytes(), bearer.as_bytes()]).await;
    assert!(twice.message().contains("two `authorization` headers"), "{twice}");
    let bytes = refusal(&plane, &[b"Bearer nc_\xff\xfe"]).await;
    assert_eq!(bytes.code(), Code::Unauthenticated, "{bytes}");

    assert!(plane.api.nodes().await.is_empty());
    let metrics = metrics(&plane).await;
    for line in [
        "kya_node_refusals_total{reason=\"malformed\"} 13",
        "kya_node_refusals_total{reason=\"missing\"} 1",
        "kya_node_refusals_total{reason=\"unknown\"} 1",
        "kya_manifests_sent_total 0",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
}

#[tokio::test]
async fn a_credential_is_for_the_proxies_that_its_registration_names() {
    let plane = ControlPlane::start().await;
    let one = plane.api.register_node(json!({ "name": "web-1" })).await;
    let body = json!({ "name": "payments", "match": "sidecar~*~*.payments~*" });
    let many = plane.api.register_node(body).await;
    proxy(&plane, &one, "web-1").await;
    let istio = "sidecar~10.0.0.7~api.payments~payments.svc.cluster.local";
    let kept = proxy(&plane, &many, istio).await;
    for (credential, node_id) in
        [(&one, "web-2"), (&one, "web-11"), (&one, istio), (&many, "web-1"), (&many, "sidecar~x")]
    {
        let (say, mut hear) = open(channel(plane.server.grpc_addr).await, credential).await;
        say.send(message(Message::Hello(hello(node_id)))).await.unwrap();
        let status = hear.message().await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied, "{status}");
        assert!(status.message().contains(&format!("not for {node_id}")), "{status}");
    }
    assert!(metrics(&plane).await.contains("kya_node_refusals_total{reason=\"other_node\"} 5"));
    eventually("the first has left", async || plane.api.nodes().await.len() == 1).await;
    assert_eq!(plane.api.nodes().await[0]["registration"], "payments");
    drop(kept);
}

#[tokio::test]
async fn a_revocation_ends_the_streams_of_its_registration_at_once_and_for_ever() {
    let plane = ControlPlane::start().await;
    let body = json!({ "name": "web", "match": "web-*" });
    let credential = plane.api.register_node(body).await;
    let mut ended =
        [proxy(&plane, &credential, "web-1").await, proxy(&plane, &credential, "web-2").await];
    let mut other = plane.proxy("other").await;
    let change = plane.api.revoke_node("web").await;
    assert_eq!((&change["changed"], &change["node"]["status"]), (&json!(true), &json!("revoked")));
    for proxy in &mut ended {
        let status = proxy.hear().await.unwrap_err();
        assert_eq!(status.code(), Code::Unauthenticated, "{status}");
        assert_eq!(status.message(), "the node registration web is revoked");
    }
    let again = refusal(&plane, &[format!("Bearer {credential}").as_bytes()]).await;
    assert_eq!(again.message(), "the node registration web is revoked");
    let unchanged = plane.api.revoke_node("web").await;
    assert_eq!(unchanged["changed"], false);
    assert_eq!(unchanged["node"], change["node"]);
    plane.api.register("payer").await;
    other.catch_up(1).await;

    let plane = plane.restart().await;
    let after = refusal(&plane, &[format!("Bearer {credential}").as_bytes()]).await;
    assert_eq!(after.code(), Code::Unauthenticated, "{after}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_stream_that_opens_while_its_registration_is_revoked_stays_open() {
    let plane = ControlPlane::start().await;
    let address = plane.server.grpc_addr;
    for round in 0..30 {
        let name = format!("racer-{round}");
        let credential = plane.api.register_node(json!({ "name": name })).await;
        let bearer = format!("Bearer {credential}");
        let opening = async {
            let mut opened = Vec::new();
            for _ in 0..4 {
                opened.push(try_open(channel(address).await, &[bearer.as_bytes()]).await);
            }
            opened
        };
        let (opened, _) = tokio::join!(opening, plane.api.revoke_node(&name));
        for (_say, mut hear) in opened.into_iter().flatten() {
            let end = tokio::time::timeout(PATIENCE, hear.message()).await;
            // Its silence would end it after five seconds, with another code.
            assert_eq!(end.expect("an end").unwrap_err().code(), Code::Unauthenticated);
        }
    }
}

/// How a stream ends, after what is still said on it.
async fn end(proxy: &mut TestProxy) -> Status {
    loop {
        match proxy.hear().await {
            Ok(said) => assert!(said.is_some(), "the stream ended without a status"),
            Err(status) => return status,
        }
    }
}

#[tokio::test]
async fn an_expiry_ends_the_stream() {
    let plane = ControlPlane::start().await;
    let body = json!({ "name": "short", "ttl_seconds": 2 });
    let credential = plane.api.register_node(body).await;
    let mut short = proxy(&plane, &credential, "short").await;
    let status = end(&mut short).await;
    assert_eq!(status.code(), Code::Unauthenticated);
    assert!(status.message().starts_with("the node registration short expired at 20"), "{status}");
    let again = refusal(&plane, &[format!("Bearer {credential}").as_bytes()]).await;
    assert_eq!(again.message(), status.message());
    assert_eq!(registrations(&plane).await[1]["status"], "expired");
}

#[tokio::test]
async fn a_connection_that_brings_only_refusals_is_cut() {
    let limits = Limits { idle_timeout: PATIENCE, ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let forged = NodeCredential::from_random([7; 32]);
    let forged = format!("Bearer {}", forged.reveal());
    let good = format!("Bearer {}", plane.credential);
    let connection = channel(plane.server.grpc_addr).await;
    let mut codes = Vec::new();
    for _ in 0..9 {
        let refused = try_open(connection.clone(), &[forged.as_bytes()]).await;
        codes.push(refused.map(drop).unwrap_err().code());
    }
    assert_eq!(codes[..8], [Code::Unauthenticated; 8]);
    assert_ne!(codes[8], Code::Unauthenticated, "the connection is cut");

    let connection = channel(plane.server.grpc_addr).await;
    let kept = try_open(connection.clone(), &[good.as_bytes()]).await.unwrap();
    for _ in 0..20 {
        let refused = try_open(connection.clone(), &[forged.as_bytes()]).await;
        assert_eq!(refused.map(drop).unwrap_err().code(), Code::Unauthenticated);
    }
    let (say, mut hear) = kept;
    say.send(message(Message::Hello(hello("sidecar")))).await.unwrap();
    assert!(hear.message().await.unwrap().is_some(), "who shares a connection is not punished");
}

#[tokio::test]
async fn a_connection_on_which_nobody_is_let_in_counts_as_idle() {
    let limits = Limits { idle_timeout: Duration::from_millis(300), ..Limits::default() };
    let plane = ControlPlane::start_with(limits).await;
    let (address, connections) = (plane.server.grpc_addr, Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&connections);
    let channel = channel_through(move || {
        counted.fetch_add(1, Ordering::SeqCst);
        TcpStream::connect(address)
    });
    let channel = channel.await.unwrap();
    let mut refusals = 0;
    eventually("another connection is needed", async || {
        let refused = try_open(channel.clone(), &[]).await.map(drop).unwrap_err();
        refusals += u32::from(refused.code() == Code::Unauthenticated);
        tokio::time::sleep(Duration::from_millis(60)).await;
        connections.load(Ordering::SeqCst) > 1
    })
    .await;
    assert!((2..=8).contains(&refusals), "{refusals}");
}

async fn registrations(plane: &ControlPlane) -> Vec<Value> {
    let mut listed = plane.api.get("/v1/nodes?limit=1000").await.expect(200);
    listed["registrations"].take().as_array().unwrap().clone()
}

#[tokio::test]
async fn registrations_are_listed_with_their_connections_and_without_their_credentials() {
    let plane = ControlPlane::start().await;
    let body = json!({ "name": "web", "match": "web-*", "ttl_seconds": 86_400 });
    let answer = plane.api.post("/v1/nodes", body).await.expect(201);
    let credential = answer["credential"].text();
    assert!(NodeCredential::parse(credential.as_bytes()).is_ok());
    let _open =
        [proxy(&plane, &credential, "web-1").await, proxy(&plane, &credential, "web-2").await];
    let web = registrations(&plane).await.remove(1);
    let expected = json!({
        "name": "web", "match": "web-*", "status": "active", "connected": 2,
        "created_at": answer["created_at"], "expires_at": answer["expires_at"],
        "revoked_at": null, "revoked_by": null, "revoked_reason": null, "incident_id": null,
    });
    assert_eq!(web, expected);
    let (from, until) = (web["created_at"].text(), web["expires_at"].text());
    let (from, until): (jiff::Timestamp, jiff::Timestamp) =
        (from.parse().unwrap(), until.parse().unwrap());
    assert_eq!(until.as_second() - from.as_second(), 86_400);

    let why = json!({ "reason": "laptop lost", "incident_id": "INC-7" });
    let revoked = plane.api.post("/v1/nodes/web/revoke", why).await.expect(200);
    assert_eq!(revoked["node"]["revoked_reason"], "laptop lost");
    assert_eq!(revoked["node"]["incident_id"], "INC-7");

    let page = plane.api.get("/v1/nodes?limit=1").await.expect(200);
    assert_eq!(page["registrations"].as_array().unwrap().len(), 1);
    let next = page["next"].text();
    let page = plane.api.get(&format!("/v1/nodes?limit=1&after={next}")).await.expect(200);
    assert_eq!((&page["registrations"][0]["name"], &page["next"]), (&json!("web"), &json!(null)));
    assert_eq!(page["revision"], 0, "a node registration takes no revision");
    let digits = &credential[3..];
    for entry in std::fs::read_dir(plane.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(digits.len()).any(|window| window == digits.as_bytes());
        assert!(!found, "the credential is in {path:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_registered_or_revoked_is_refused_with_the_reason() {
    let plane = ControlPlane::start().await;
    plane.api.register_node(json!({ "name": "web-1" })).await;
    plane.api.revoke_node("web-1").await;
    let taken = plane.api.post("/v1/nodes", json!({ "name": "web-1" })).await;
    assert!(taken.problem(409, "conflict").contains("its name is not used again"));
    for (body, complaint) in [
        (json!({}), "missing field `name`"),
        (json!({ "name": "" }), "`name`: the name of a node registration has 1 to 128"),
        (json!({ "name": "a/b" }), "`name`: the name of a node registration has only letters"),
        (json!({ "name": "a", "match": "" }), "`match`: a pattern has 1 to 256 bytes"),
        (json!({ "name": "a", "match": "a\nb" }), "`match`: a pattern must not contain control"),
        (json!({ "name": "a", "ttl_seconds": 0 }), "`ttl_seconds`: must be between 1 and"),
        (json!({ "name": "a", "expires_in": "1d" }), "unknown field `expires_in`"),
    ] {
        let detail = plane.api.post("/v1/nodes", body).await.problem(422, "invalid_request");
        assert!(detail.contains(complaint), "{detail}");
    }
    let why = json!({ "reason": "x" });
    let nobody = plane.api.post("/v1/nodes/nobody/revoke", why.clone()).await;
    assert_eq!(nobody.problem(404, "not_found"), "there is no node registration nobody");
    let bad = plane.api.post("/v1/nodes/-x/revoke", why).await.problem(400, "invalid_request");
    assert!(bad.contains("begins with a letter or digit"), "{bad}");
    let why = plane.api.post("/v1/nodes/web-1/revoke", json!({})).await;
    assert!(why.problem(422, "invalid_request").contains("missing field `reason`"));
}
