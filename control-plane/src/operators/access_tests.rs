use std::collections::BTreeMap;
use std::net::Ipv6Addr;

use axum::http::HeaderValue;

use super::*;
use crate::config::OidcConfig;
use crate::data_dir::DataDir;
use crate::operators::{Algorithm, TokenRefusal};
use crate::store::SqliteStore;
use crate::time::SystemClock;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

async fn access() -> (OperatorAccess, String, tempfile::TempDir) {
    let temp = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock);
    let store = SqliteStore::open(&temp.path().join("kya.db"), clock.clone()).await.unwrap();
    let data_dir = DataDir::open(&temp.path().join("keys")).unwrap();
    let (key, _) = AdminKey::open_or_create(&data_dir).unwrap();
    let shown = key.reveal().to_owned();
    let metrics = Arc::new(Metrics::new().unwrap());
    (OperatorAccess::new(key, Arc::new(store), clock, metrics), shown, temp)
}

fn headers(key: &str) -> HeaderMap {
    let value = HeaderValue::from_str(&format!("Bearer {key}")).unwrap();
    [(axum::http::header::AUTHORIZATION, value)].into_iter().collect()
}

#[tokio::test]
async fn changes_have_a_bound_in_a_row() {
    let (access, key, _temp) = access().await;
    let admin = access.authenticate(&headers(&key), PEER).await.unwrap();
    let change = |operator: &Operator| {
        access.count(operator, Permission::IssueTokens, PEER).map_err(|e| e.to_string())
    };
    for _ in 0..BURST {
        change(&admin).unwrap();
    }
    // The bucket leaks while it is filled.
    let refusal = (0..BURST).find_map(|_| change(&admin).err()).expect("a bound");
    assert!(
        refusal.contains("admin makes more changes than one may: try again in 1 s"),
        "{refusal}"
    );
    access.count(&admin, Permission::ChallengeNodes, PEER).expect("it starts nothing");
    let (key, _) = access.add(&admin, "other".parse().unwrap(), Role::Admin, None).await.unwrap();
    let other = access.authenticate(&headers(key.reveal()), PEER).await.unwrap();
    change(&other).expect("another operator has a bound of its own");
}

#[tokio::test]
async fn a_network_that_guesses_is_told_less_and_whoever_has_a_key_there_is_let_in() {
    let (access, admin_key, _temp) = access().await;
    let admin = access.authenticate(&headers(&admin_key), PEER).await.unwrap();
    let new = access.add(&admin, "oncall".parse().unwrap(), Role::Operator, None).await;
    let oncall = new.unwrap().0;
    // One site has one address of IPv4, and 2^64 of IPv6.
    let address = |host: u128| IpAddr::V6(Ipv6Addr::from_bits((0x2001_0db8 << 96) | host));
    let wrong = OperatorKey::from_random([9; 32]);
    for host in 0..u128::from(FAILURES) {
        let error = access.authenticate(&headers(wrong.reveal()), address(host)).await.unwrap_err();
        assert!(matches!(error, AuthError::Unknown), "{error}");
    }
    for guess in [wrong.reveal(), "ok_x", "", "kya_admin_x"] {
        let error = access.authenticate(&headers(guess), address(99)).await.unwrap_err();
        let AuthError::TooManyFailures { retry_after } = error else { panic!("{error}") };
        assert!(retry_after <= MINUTE / FAILURES, "{retry_after:?}");
    }
    for key in [oncall.reveal(), &admin_key] {
        access.authenticate(&headers(key), address(1)).await.expect("a key that counts");
    }
    let elsewhere = access.authenticate(&headers(wrong.reveal()), PEER).await.unwrap_err();
    assert!(matches!(elsewhere, AuthError::Unknown), "{elsewhere}");
    // Nothing was presented, so nothing was guessed.
    for _ in 0..2 * FAILURES {
        let error = access.authenticate(&HeaderMap::new(), PEER).await.unwrap_err();
        assert_eq!(error.reason(), "missing");
    }
}

#[tokio::test]
async fn whoever_guesses_waits_behind_themselves_and_before_nobody_else() {
    let (access, _, _temp) = access().await;
    let wrong = headers(OperatorKey::from_random([9; 32]).reveal());
    let guesser: IpAddr = "198.51.100.7".parse().unwrap();
    for _ in 0..FAILURES {
        access.authenticate(&wrong, guesser).await.unwrap_err();
    }
    // The turn of those who guess is taken: they wait, and others do not.
    let turn = access.limited_lookups.acquire().await.unwrap();
    let waits = Duration::from_millis(50);
    let guess = access.authenticate(&wrong, guesser);
    assert!(timeout(waits, guess).await.is_err(), "it did not wait");
    let other = access.authenticate(&wrong, PEER).await.unwrap_err();
    assert!(matches!(other, AuthError::Unknown), "{other}");
    drop(turn);
    let error = access.authenticate(&wrong, guesser).await.unwrap_err();
    assert!(matches!(error, AuthError::TooManyFailures { .. }), "{error}");
}

#[tokio::test]
async fn a_change_waits_for_its_turn() {
    let (access, _, _temp) = access().await;
    let mut turns = Vec::new();
    for _ in 0..STARTS {
        turns.push(access.turn().await.unwrap());
    }
    let waits = Duration::from_millis(50);
    assert!(timeout(waits, access.turn()).await.is_err(), "it did not wait");
    turns.pop();
    turns.push(access.turn().await.unwrap());
}

#[tokio::test]
async fn signatures_from_where_somebody_guesses_are_checked_one_after_the_other() {
    let (access, _, _temp) = access().await;
    let config = OidcConfig {
        issuer: "https://id.example".to_owned(),
        audience: "kya".to_owned(),
        roles: BTreeMap::new(),
        groups_claim: "groups".to_owned(),
        name_claim: "sub".to_owned(),
        authorized_parties: Vec::new(),
        algorithms: vec![Algorithm::EdDsa],
        leeway: Duration::ZERO,
        jwks_url: None,
        ca: None,
    };
    let oidc = Oidc::new(config, Arc::new(Metrics::new().unwrap())).unwrap();
    let access = access.with_oidc(Some(Arc::new(oidc)));
    for _ in 0..FAILURES {
        access.authenticate(&headers("ok_x"), PEER).await.unwrap_err();
    }
    let turn = access.limited_lookups.acquire().await.unwrap();
    // {"alg":"EdDSA"}.{}.
    let token = headers("eyJhbGciOiJFZERTQSJ9.e30.AAAA");
    let waits = Duration::from_millis(50);
    let guess = access.authenticate(&token, PEER);
    assert!(timeout(waits, guess).await.is_err(), "it did not wait");
    // What is no token is not looked at any closer.
    let error = access.authenticate(&headers("a.b.c"), PEER).await.unwrap_err();
    assert!(matches!(error, AuthError::TooManyFailures { .. }), "{error}");
    drop(turn);
    let error = access.authenticate(&token, PEER).await.unwrap_err();
    assert!(matches!(error, AuthError::Token(TokenRefusal::NoKeys)), "{error}");
}
