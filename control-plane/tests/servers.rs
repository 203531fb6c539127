//! Which servers share a database, as each of them says.

use std::path::Path;

use kya_control_plane::config::Config;
use kya_control_plane::push::Limits;
use serde_json::{Value, json};

use crate::support;
use crate::support::api::Text;
use crate::support::postgres::Database;
use crate::support::{ControlPlane, eventually};

async fn start(database: &Database, keys_of: Option<&Path>) -> ControlPlane {
    let dir = tempfile::tempdir().unwrap();
    for entry in keys_of.into_iter().flat_map(|of| std::fs::read_dir(of).unwrap()) {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "key") {
            std::fs::copy(&path, dir.path().join(path.file_name().unwrap())).unwrap();
        }
    }
    let config = Config { database_url: Some(database.url()), ..Config::ephemeral(dir.path()) };
    ControlPlane::start_as(config, dir, Limits::default()).await
}

/// The servers, that of `plane` first.
async fn servers(plane: &ControlPlane) -> Vec<Value> {
    let status = plane.api.get("/v1/status").await.expect(200);
    let mut servers = status["servers"].as_array().unwrap().clone();
    servers.sort_by_key(|server| server["here"] != true);
    servers
}

async fn problem(plane: &ControlPlane, code: &str) -> Option<String> {
    let status = plane.api.get("/v1/status").await.expect(200);
    let problems = status["problems"].as_array().unwrap();
    Some(problems.iter().find(|it| it["code"] == code)?["what"].text())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_server_lists_all_who_ends_is_gone_and_who_dies_is_missed() {
    let database = Database::new().await;
    let a = start(&database, None).await;
    let b = start(&database, Some(a.dir.path())).await;
    let _proxy = b.proxy("sidecar").await;
    eventually("both", async || servers(&a).await.len() == 2).await;
    let listed = servers(&a).await;
    let place = |plane: &ControlPlane| {
        let dir = plane.dir.path().canonicalize().unwrap();
        dir.display().to_string()
    };
    for (server, (plane, here)) in listed.iter().zip([(&a, true), (&b, false)]) {
        assert!(server["name"].text().ends_with(&place(plane)), "{server}");
        assert_eq!((&server["here"], &server["live"]), (&json!(here), &json!(true)));
        assert_eq!(server["signs_audit"], true);
        assert!(server["started_at"].text() <= server["seen_at"].text(), "{server}");
    }
    // It says so again, every few seconds.
    eventually("what it says is followed", async || {
        let other = servers(&a).await.remove(1);
        other["publishes"] == true && other["proxies"] == 1
    })
    .await;
    assert_eq!(problem(&a, "server_gone").await, None);

    let (name, ControlPlane { server, dir: _keep, .. }) = (place(&b), b);
    server.shutdown().await;
    assert_eq!(servers(&a).await.len(), 1, "it has said that it ends");

    // One that dies says nothing.
    let c = start(&database, Some(a.dir.path())).await;
    eventually("both", async || servers(&a).await.len() == 2).await;
    let dead = place(&c);
    assert_ne!(dead, name);
    drop(c);
    let raw = database.raw().await;
    let late = "UPDATE servers SET seen_us = seen_us - 21000000, publishes = 0 WHERE name LIKE $1";
    eventually("it is missed", async || {
        sqlx::query(late).bind(format!("%{dead}")).execute(&raw).await.unwrap();
        problem(&a, "server_gone").await.is_some()
    })
    .await;
    assert!(problem(&a, "server_gone").await.unwrap().contains(&dead));
    assert_eq!(problem(&a, "server_behind").await, None, "it is gone, and not only behind");
    let gone = servers(&a).await.remove(1);
    assert_eq!((&gone["live"], &gone["publishes"]), (&json!(false), &json!(false)));

    // One that is there and does not publish.
    let now = "UPDATE servers SET seen_us = seen_us + 86400000000 WHERE name LIKE $1";
    sqlx::query(now).bind(format!("%{dead}")).execute(&raw).await.unwrap();
    assert!(problem(&a, "server_behind").await.unwrap().contains(&dead));
    assert_eq!(problem(&a, "server_gone").await, None);
    raw.close().await;
}

#[tokio::test]
async fn the_only_server_of_a_file_is_itself_and_writes_nothing_about_it() {
    let plane = ControlPlane::start().await;
    let listed = servers(&plane).await;
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["here"], &listed[0]["live"]), (&json!(true), &json!(true)));
    let raw = support::database::open(plane.dir.path()).await;
    let rows: i64 =
        sqlx::query_scalar("SELECT count(*) FROM servers").fetch_one(&raw).await.unwrap();
    assert_eq!(rows, 0);
    raw.close().await;
}
