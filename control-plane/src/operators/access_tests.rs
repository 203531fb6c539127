use std::net::Ipv6Addr;

use axum::http::HeaderValue;

use super::*;
use crate::data_dir::DataDir;
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
async fn changes_have_a_bound_and_what_stops_somebody_has_none() {
    let (access, key, _temp) = access().await;
    let admin = access.authenticate(&headers(&key), PEER).await.unwrap();
    let change = |operator: &Operator| {
        access.permit(operator, Permission::IssueTokens, true, PEER).map_err(|e| e.to_string())
    };
    for _ in 0..CHANGES {
        change(&admin).unwrap();
    }
    // The bucket leaks while it is filled.
    let refusal = (0..CHANGES).find_map(|_| change(&admin).err()).expect("a bound");
    assert!(
        refusal.contains("admin makes more changes than one may: try again in 1 s"),
        "{refusal}"
    );
    for stop in [Permission::StopAgents, Permission::RevokeTokens, Permission::RevokeNodes] {
        for _ in 0..2 * CHANGES {
            access.permit(&admin, stop, true, PEER).unwrap();
        }
    }
    access.permit(&admin, Permission::ReadRegistry, false, PEER).unwrap();
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
async fn a_change_waits_for_its_turn_and_a_kill_for_none() {
    let (access, _, _temp) = access().await;
    let mut turns = Vec::new();
    for _ in 0..STARTS {
        turns.push(access.turn(Permission::IssueTokens).await.unwrap());
    }
    let waits = Duration::from_millis(50);
    let change = access.turn(Permission::RegisterAgents);
    assert!(timeout(waits, change).await.is_err(), "it did not wait");
    for at_once in [Permission::StopAgents, Permission::RevokeTokens, Permission::ReadRegistry] {
        assert!(access.turn(at_once).await.unwrap().is_none(), "{at_once:?}");
    }
    turns.pop();
    assert!(access.turn(Permission::RegisterAgents).await.unwrap().is_some());
}
