//! Operators who are let in by tokens of an issuer of OpenID Connect.

use std::time::Duration;

use kya_control_plane::Server;
use kya_control_plane::config::{Config, OidcConfig};
use kya_control_plane::operators::{Algorithm, Role};
use kya_control_plane::push::Limits;
use kya_core::OperatorKey;
use serde_json::{Value, json};

use crate::support::api::Text;
use crate::support::certificates::Authority;
use crate::support::issuer::{Issuer, Says, Signer, base64url, now};
use crate::support::{ControlPlane, eventually};

fn config(issuer: &str) -> OidcConfig {
    OidcConfig {
        issuer: issuer.to_owned(),
        audience: "kya".to_owned(),
        roles: [("sre", Role::Operator), ("boss", Role::Admin), ("look", Role::Viewer)]
            .map(|(group, role)| (group.to_owned(), role))
            .into(),
        groups_claim: "groups".to_owned(),
        name_claim: "sub".to_owned(),
        authorized_parties: vec![],
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa],
        leeway: Duration::from_secs(5),
        jwks_url: None,
        ca: None,
    }
}

async fn plane(oidc: OidcConfig) -> ControlPlane {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { oidc: Some(oidc), ..Config::ephemeral(dir.path()) };
    ControlPlane::start_as(config, dir, Limits::default()).await
}

/// One that has the keys of its issuer.
async fn informed(oidc: OidcConfig) -> ControlPlane {
    let plane = plane(oidc).await;
    has_keys(&plane).await;
    plane
}

async fn fetches(plane: &ControlPlane, outcome: &str) -> u64 {
    let metrics = plane.api.get("/metrics").await.expect(200).text();
    let name = format!("kya_oidc_key_fetches_total{{outcome=\"{outcome}\"}} ");
    let found = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
    found.unwrap_or(0)
}

async fn has_keys(plane: &ControlPlane) {
    eventually("the keys of the issuer", async || fetches(plane, "fetched").await > 0).await;
}

fn claims(issuer: &Issuer, groups: Value) -> Value {
    let now = now();
    json!({
        "iss": issuer.url, "sub": "anna", "aud": "kya", "exp": now + 600, "iat": now, "groups": groups,
    })
}

fn but(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    claims[name] = value;
    claims
}

fn without(claims: &Value, name: &str) -> Value {
    let mut claims = claims.clone();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[tokio::test]
async fn a_token_of_each_algorithm_lets_in_with_the_role_of_its_group() {
    let signers = [Signer::rs256(), Signer::es256(), Signer::ed_dsa()];
    let keys = signers.iter().map(|signer| signer.jwk(signer.algorithm())).collect();
    let issuer = Issuer::start(Says::Keys(keys), None).await;
    let plane = informed(config(&issuer.url)).await;
    let sre = claims(&issuer, json!(["else", "sre"]));
    for signer in &signers {
        let token = signer.token(signer.algorithm(), &sre);
        let who = plane.api.with_key(&token).get("/v1/whoami").await.expect(200);
        assert_eq!((&who["name"], &who["role"]), (&json!("oidc:anna"), &json!("operator")));
        assert_eq!(who["built_in"], false);
    }
    // By RFC 9864 the last is written so, and a set with one key of a kind needs no `kid`.
    for header in [json!({ "alg": "Ed25519", "kid": "EdDSA" }), json!({ "alg": "EdDSA" })] {
        let token = signers[2].sign(&header, &sre);
        plane.api.with_key(&token).get("/v1/whoami").await.expect(200);
    }
    let as_role = async |groups: Value| {
        let token = signers[1].token("ES256", &claims(&issuer, groups));
        plane.api.with_key(&token).get("/v1/whoami").await.expect(200)["role"].text()
    };
    assert_eq!(as_role(json!("look")).await, "viewer");
    assert_eq!(as_role(json!(["look", "boss", "sre"])).await, "admin", "the highest");

    let agent = plane.api.register("payer").await;
    let anna = plane.api.with_key(&signers[1].token("ES256", &sre));
    let suspended = anna.decide(&agent, "suspend").await.expect(200);
    assert_eq!(suspended["agent"]["status_actor"], "oidc:anna");
    let refused = anna.decide(&agent, "restore").await.problem(403, "forbidden");
    assert!(refused.contains("the operator oidc:anna has the role operator"), "{refused}");
    let events = plane.api.get("/v1/events?limit=1000").await.expect(200);
    assert_eq!(events["events"].as_array().unwrap().last().unwrap()["actor"], "oidc:anna");
    // Named keys and the admin key go on.
    let oncall = plane.api.add_operator("oncall", "operator").await;
    oncall.get("/v1/whoami").await.expect(200);
}

#[tokio::test]
async fn what_an_attacker_makes_of_a_token_lets_nobody_in() {
    let (rsa, ec, ed) = (Signer::rs256(), Signer::es256(), Signer::ed_dsa());
    let keys = vec![rsa.jwk("r"), ec.jwk("e"), ed.jwk("d")];
    let issuer = Issuer::start(Says::Keys(keys), None).await;
    let good = claims(&issuer, json!(["boss"]));
    let now = now();
    let signed = |header: Value| ed.sign(&header, &good);
    let of = |claims: &Value| ed.token("d", claims);
    let parts = |header: Value| {
        format!("{}.{}", base64url(header.to_string()), base64url(good.to_string()))
    };
    let hmac = |secret: &str| {
        let message = parts(json!({ "alg": "HS256", "kid": "r", "typ": "JWT" }));
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
        format!("{message}.{}", base64url(ring::hmac::sign(&key, message.as_bytes())))
    };
    let stranger = Signer::ed_dsa();
    let token = of(&good);
    let (head, signature) = token.rsplit_once('.').unwrap();
    let altered = but(&good, "groups", json!(["boss", "x"]));
    let altered = format!(
        "{}.{}.{signature}",
        head.split('.').next().unwrap(),
        base64url(altered.to_string())
    );
    let jwk = stranger.jwk("d");
    let injected = json!({ "alg": "EdDSA", "kid": "d", "jwk": jwk, "jku": "http://127.0.0.1:1/" });
    let spaces = "x".repeat(9000);
    let cases = [
        (format!("{}.", parts(json!({ "alg": "none" }))), "signed by none"),
        (format!("{}.", parts(json!({ "alg": "NONE", "kid": "d" }))), "signed by NONE"),
        (hmac(&rsa.jwk("r").to_string()), "signed by HS256"),
        (hmac(&rsa.jwk("r")["n"].text()), "signed by HS256"),
        (signed(json!({ "alg": "RS256", "kid": "d" })), "has no key of this kind"),
        (signed(json!({ "alg": "RS256", "kid": "r" })), "the signature of this token"),
        (signed(json!({ "alg": "PS256", "kid": "r" })), "signed by PS256"),
        (signed(json!({ "alg": "EdDSA", "kid": "d", "crit": ["b64"], "b64": false })), "`crit`"),
        (signed(json!({ "alg": "EdDSA", "kid": "d", "typ": "at+jwt" })), "of the type at+jwt"),
        (signed(json!({ "kid": "d" })), "missing field `alg`"),
        (stranger.token("d", &good), "the signature of this token"),
        (stranger.sign(&injected, &good), "the signature of this token"),
        (altered, "the signature of this token"),
        (format!("{head}."), "the signature of this token"),
        (format!("{token}.x"), "three parts"),
        (head.to_owned(), "three parts"),
        (format!("{token}="), "not in base64url"),
        (
            of(&but(&good, "iss", json!("https://evil.example"))),
            "of the issuer https://evil.example",
        ),
        (of(&but(&good, "iss", json!(format!("{}/", issuer.url)))), "not the one that counts"),
        (of(&but(&good, "aud", json!("other"))), "another audience"),
        (of(&but(&good, "aud", json!([]))), "another audience"),
        (of(&but(&good, "aud", json!(["kya", "other"]))), "another client"),
        (of(&but(&good, "azp", json!("other"))), "another client"),
        (of(&but(&good, "exp", json!(now - 6))), "has expired"),
        (of(&without(&good, "exp")), "missing field `exp`"),
        (of(&but(&good, "exp", json!("never"))), "cannot be read"),
        (of(&but(&good, "exp", json!(now + 90_000))), "more than 24 hours"),
        (of(&but(&good, "nbf", json!(now + 300))), "of the future (`nbf`)"),
        (of(&but(&good, "iat", json!(now + 300))), "of the future (`iat`)"),
        (of(&without(&good, "sub")), "missing field `sub`"),
        (of(&but(&good, "sub", json!(""))), "names no operator"),
        (of(&but(&good, "groups", json!({ "boss": true }))), "neither a text nor a list"),
        (of(&but(&good, "groups", json!(["boss", 7]))), "neither a text nor a list"),
        (of(&but(&good, "pad", json!(spaces))), "bytes, and one may have 8192"),
        (format!("{}..", base64url("[".repeat(3000))), "is no JSON object"),
        (format!("{}..", base64url(format!("{{\"alg\":{}", "[".repeat(3000)))), "cannot be read"),
    ];
    // Ten wrong ones are told what is wrong with them.
    for (some, cases) in cases.chunks(9).enumerate() {
        let plane = informed(config(&issuer.url)).await;
        plane.api.with_key(&token).get("/v1/whoami").await.expect(200);
        for (token, complaint) in cases {
            let answer = plane.api.with_key(token).get("/v1/whoami").await;
            assert_eq!(answer.status.as_u16(), 401, "{some}: {complaint}: {}", answer.json);
            let challenge = answer.headers["www-authenticate"].to_str().unwrap().to_owned();
            assert_eq!(challenge, "Bearer realm=\"kya\", error=\"invalid_token\"");
            let detail = answer.problem(401, "unauthorized");
            assert!(detail.contains(complaint), "not `{complaint}`: {detail}");
        }
        plane.api.with_key(&token).get("/v1/whoami").await.expect(200);
    }
}

#[tokio::test]
async fn whoever_is_in_no_group_with_a_role_is_known_and_may_do_nothing() {
    let signer = Signer::es256();
    let issuer = Issuer::start(Says::Keys(vec![signer.jwk("k")]), None).await;
    let plane = informed(config(&issuer.url)).await;
    for groups in [json!([]), json!(["SRE", "sre "]), json!(null)] {
        let token = signer.token("k", &claims(&issuer, groups));
        let answer = plane.api.with_key(&token).get("/v1/agents").await;
        let detail = answer.problem(403, "forbidden");
        assert!(detail.contains("oidc:anna is in no group that has a role here"), "{detail}");
    }
}

#[tokio::test]
async fn claims_with_other_names_say_who_somebody_is() {
    let signer = Signer::ed_dsa();
    let issuer = Issuer::start(Says::Keys(vec![signer.jwk("k")]), None).await;
    let plane = informed(OidcConfig {
        groups_claim: "/realm_access/roles".to_owned(),
        name_claim: "email".to_owned(),
        authorized_parties: vec!["console".to_owned()],
        ..config(&issuer.url)
    })
    .await;
    let mut claims = claims(&issuer, json!(["boss"]));
    claims["realm_access"] = json!({ "roles": ["look"] });
    claims["email"] = json!("anna@example.com");
    claims["aud"] = json!(["account", "kya"]);
    claims["azp"] = json!("console");
    let asked = async |claims: &Value| {
        plane.api.with_key(&signer.token("k", claims)).get("/v1/whoami").await
    };
    let detail = asked(&claims).await.problem(401, "unauthorized");
    assert!(detail.contains("has not verified the address"), "{detail}");
    claims["email_verified"] = json!(true);
    let who = asked(&claims).await.expect(200);
    assert_eq!((&who["name"], &who["role"]), (&json!("oidc:anna@example.com"), &json!("viewer")));
}

#[tokio::test]
async fn a_new_key_counts_at_once_and_inventing_keys_asks_the_issuer_once() {
    let (old, new) = (Signer::ed_dsa(), Signer::ed_dsa());
    let issuer = Issuer::start(Says::Keys(vec![old.jwk("old")]), None).await;
    let plane = informed(config(&issuer.url)).await;
    let claims = claims(&issuer, json!("sre"));
    let asked = async |token: String| plane.api.with_key(&token).get("/v1/whoami").await;
    asked(old.token("old", &claims)).await.expect(200);
    assert_eq!(issuer.asked(), 1);
    issuer.say(Says::Keys(vec![new.jwk("new")]));
    asked(new.token("new", &claims)).await.expect(200);
    assert_eq!(issuer.asked(), 2);
    // The one that the issuer has taken back counts no more, and others are not asked for.
    let gone = asked(old.token("old", &claims)).await.problem(401, "unauthorized");
    assert!(gone.contains("has no key of this kind"), "{gone}");
    for kid in 0..20 {
        asked(old.token(&kid.to_string(), &claims)).await;
    }
    assert_eq!(issuer.asked(), 2, "it was asked for keys that were invented");
    assert!(fetches(&plane, "limited").await > 0);
    let limited = asked(old.token("again", &claims)).await;
    assert_eq!(limited.status.as_u16(), 429, "failures from an address are limited");
    asked(new.token("new", &claims)).await.expect(200);
}

#[tokio::test]
async fn an_issuer_that_is_gone_or_wrong_takes_no_key_away() {
    let signer = Signer::es256();
    let keys = Says::Keys(vec![signer.jwk("k")]);
    for wrong in [
        Says::Status(500),
        Says::Status(302),
        Says::Text("{}".to_owned()),
        Says::Text("<html>".to_owned()),
        Says::Keys(vec![]),
        Says::Keys(vec![json!({ "kty": "oct", "k": "c2VjcmV0", "kid": "k" })]),
        Says::Endless,
        Says::Nothing,
    ] {
        let issuer = Issuer::start(keys.clone(), None).await;
        let plane = informed(config(&issuer.url)).await;
        let claims = claims(&issuer, json!("sre"));
        issuer.say(wrong);
        let unknown = plane.api.with_key(&signer.token("other", &claims)).get("/v1/whoami").await;
        unknown.problem(401, "unauthorized");
        assert_eq!(fetches(&plane, "failed").await, 1);
        plane.api.with_key(&signer.token("k", &claims)).get("/v1/whoami").await.expect(200);
    }
}

#[tokio::test]
async fn without_the_issuers_keys_only_named_operators_are_let_in() {
    let signer = Signer::es256();
    let issuer = Issuer::start(Says::Keys(vec![signer.jwk("k")]), None).await;
    let other = "http://127.0.0.1:1".to_owned();
    for document in [
        json!({ "issuer": other, "jwks_uri": format!("{}/keys", issuer.url) }),
        json!({ "issuer": issuer.url, "jwks_uri": "http://keys.example/keys" }),
        json!({ "issuer": issuer.url }),
    ] {
        issuer.discovery(document);
        let plane = plane(config(&issuer.url)).await;
        let token = signer.token("k", &claims(&issuer, json!("boss")));
        let answer = plane.api.with_key(&token).get("/v1/whoami").await;
        let detail = answer.problem(503, "unavailable");
        assert!(detail.contains("the keys of the issuer could not be fetched"), "{detail}");
        assert!(fetches(&plane, "failed").await > 0);
        plane.api.get("/v1/whoami").await.expect(200);
    }
    assert_eq!(issuer.asked(), 0, "keys were asked for where they must not be");
    let jwks_url = format!("{}/keys", issuer.url).parse().ok();
    let plane = informed(OidcConfig { jwks_url, ..config(&issuer.url) }).await;
    let token = signer.token("k", &claims(&issuer, json!("boss")));
    plane.api.with_key(&token).get("/v1/whoami").await.expect(200);
}

#[tokio::test]
async fn an_issuer_is_believed_by_its_certificate() {
    let (authority, signer) = (Authority::new(), Signer::ed_dsa());
    let dir = tempfile::tempdir().unwrap();
    let certified = authority.issue("127.0.0.1");
    let keys = Says::Keys(vec![signer.jwk("k")]);
    let issuer = Issuer::start(keys, Some(certified.acceptor())).await;
    let files = [("good.pem", &authority), ("other.pem", &Authority::new())].map(|(name, ca)| {
        let file = dir.path().join(name);
        std::fs::write(&file, ca.pem()).unwrap();
        file
    });
    let token = signer.token("k", &claims(&issuer, json!("sre")));
    let good = informed(OidcConfig { ca: Some(files[0].clone()), ..config(&issuer.url) }).await;
    good.api.with_key(&token).get("/v1/whoami").await.expect(200);
    let other = plane(OidcConfig { ca: Some(files[1].clone()), ..config(&issuer.url) }).await;
    other.api.with_key(&token).get("/v1/whoami").await.problem(503, "unavailable");
    let missing = Some(dir.path().join("none.pem"));
    let oidc = Some(OidcConfig { ca: missing, ..config(&issuer.url) });
    let place = dir.path().join("data");
    let refused = Server::start(Config { oidc, ..Config::ephemeral(place) }).await.unwrap_err();
    assert_eq!(refused.to_string(), "single sign-on");
}

#[tokio::test]
async fn without_an_issuer_a_token_is_no_key_and_with_one_keys_are_what_they_were() {
    let signer = Signer::ed_dsa();
    let issuer = Issuer::start(Says::Keys(vec![signer.jwk("k")]), None).await;
    let token = signer.token("k", &claims(&issuer, json!("boss")));
    let alone = ControlPlane::start().await;
    let detail = alone.api.with_key(&token).get("/v1/whoami").await.problem(401, "unauthorized");
    assert!(detail.contains("it does not start with `ok_`"), "{detail}");
    let plane = informed(config(&issuer.url)).await;
    let forged = OperatorKey::from_random([7; 32]);
    let answer = plane.api.with_key(forged.reveal()).get("/v1/whoami").await;
    assert!(answer.problem(401, "unauthorized").contains("has not issued this key"));
}
