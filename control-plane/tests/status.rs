//! `GET /v1/status`: the state of the switch, and what is wrong with it.

use std::time::Duration;

use kya_control_plane::push::Limits;
use serde_json::{Value, json};

use crate::support;
use crate::support::api::Text;
use crate::support::{ControlPlane, eventually};

/// Challenges come when a stream begins, and never again.
fn quiet() -> Limits {
    Limits { challenge_interval: Duration::from_secs(3600), ..Limits::default() }
}

async fn status(plane: &ControlPlane) -> Value {
    plane.api.get("/v1/status").await.expect(200)
}

fn codes(status: &Value) -> Vec<&str> {
    let problems = status["problems"].as_array().unwrap();
    problems.iter().map(|problem| problem["code"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_switch_is_fine_once_every_proxy_is_armed_and_names_those_that_are_not() {
    let plane = ControlPlane::start_with(quiet()).await;
    let found = status(&plane).await;
    assert_eq!((codes(&found), &found["ok"]), (vec!["no_proxies"], &json!(false)), "{found}");
    assert_eq!(found["last_kill"], Value::Null);

    let mut proxy = plane.proxy("sidecar").await;
    let asked = proxy.challenged().await;
    proxy.report(&[0, 1], true).await;
    eventually("stale", async || codes(&status(&plane).await) == ["proxies_stale"]).await;
    let found = status(&plane).await;
    let named = &found["proxies"]["not_armed"][0];
    assert_eq!((&named["node_id"], &named["state"]), (&json!("sidecar"), &json!("stale")));
    assert!(!named["why"].text().is_empty(), "{named}");

    proxy.answer(&[0, 1], asked).await;
    eventually("fine", async || status(&plane).await["ok"] == json!(true)).await;
    let found = status(&plane).await;
    assert_eq!(codes(&found), [""; 0]);
    let proxies = &found["proxies"];
    for (field, count) in [("armed", 1), ("stale", 0), ("unknown", 0), ("streams", 1), ("pulls", 0)]
    {
        assert_eq!(proxies[field], count, "{field}: {proxies}");
    }
    assert_eq!((&proxies["workers"], &proxies["not_armed"]), (&json!(2), &json!([])));
    let registry = &found["registry"];
    assert_eq!((&registry["shared"], &registry["halted"]), (&json!(false), &json!(false)));
    assert_eq!(registry["revision"], registry["published"]);
    assert_eq!(found["audit"]["signs_here"], true);
    eventually("in the trail", async || status(&plane).await["audit"]["acts_waiting"] == 0).await;

    drop(proxy);
    eventually("gone", async || {
        let found = status(&plane).await;
        codes(&found) == ["no_proxies", "proxies_unknown"]
            && found["proxies"]["not_armed"][0]["since"].is_string()
    })
    .await;
}

#[tokio::test]
async fn it_has_the_newest_kill_a_halt_and_a_proxy_that_lags() {
    let plane = ControlPlane::start_with(quiet()).await;
    let _proxy = {
        let proxy = plane.proxy("sidecar").await;
        proxy.report(&[0], true).await;
        proxy
    };
    let agent = plane.api.register("payer").await;
    plane.api.revoke(&agent).await;
    let halt = plane.api.post("/v1/fleet/halt", json!({ "reason": "drill" })).await.expect(200);
    eventually("recorded", async || status(&plane).await["last_kill"]["recorded"] == json!(true))
        .await;
    let found = status(&plane).await;
    let kill = &found["last_kill"];
    assert_eq!((&kill["kill_id"], &kill["act"]), (&halt["kill_id"], &json!("fleet.halted")));
    assert!(found["registry"]["halted_at"].is_string(), "{found}");
    assert_eq!(found["registry"]["halted"], json!(true));
    eventually("behind", async || {
        let found = status(&plane).await;
        found["proxies"]["most_behind"].as_u64() >= Some(3)
            && found["proxies"]["slowest"] == "sidecar"
    })
    .await;
}

#[tokio::test]
async fn a_credential_that_ends_soon_is_a_problem_and_one_that_does_not_is_none() {
    let plane = ControlPlane::start().await;
    let day = 24 * 60 * 60;
    for (name, ttl) in [("web-1", 6 * day), ("web-2", 8 * day)] {
        let body = json!({ "name": name, "ttl_seconds": ttl });
        plane.api.post("/v1/nodes", body).await.expect(201);
    }
    let found = status(&plane).await;
    let problems = found["problems"].as_array().unwrap();
    let named = problems.iter().find(|it| it["code"] == "credentials_expire").unwrap();
    assert!(named["what"].text().ends_with("seven days: web-1"), "{named}");
}

#[tokio::test]
async fn a_part_that_cannot_be_read_is_left_out_and_named() {
    let plane = ControlPlane::start().await;
    let raw = support::database::open(plane.dir.path()).await;
    sqlx::query("ALTER TABLE fleet RENAME TO fleet_gone").execute(&raw).await.unwrap();
    raw.close().await;
    let found = status(&plane).await;
    assert!(codes(&found).contains(&"database_unreachable"), "{found}");
    assert_eq!(found["registry"], Value::Null);
    assert!(found["audit"].is_object(), "{found}");
}
