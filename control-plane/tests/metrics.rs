//! What `/metrics` says of pushes, stops, kills, proxies that left, drills, databases and the
//! process.

use std::time::Duration;

use kya_control_plane::config::Config;
use kya_control_plane::push::Limits;
use kya_control_plane::time::UnixMicros;
use kya_core::wire::{
    AuditApplied, AuditBatch, AuditDropped, AuditEvent, SignedUpdate, audit_event::Event,
};
use serde_json::json;

use crate::support;
use crate::support::api::Text;
use crate::support::parties::{Way, party};
use crate::support::postgres::Database;
use crate::support::proxy::{channel, hello, worker};
use crate::support::pull::ask;
use crate::support::{ControlPlane, TestProxy, eventually};

/// Challenges come when a stream begins, and never again; who closed its connection has left
/// at once.
fn limits() -> Limits {
    let back_within = Duration::ZERO;
    Limits { challenge_interval: Duration::from_secs(3600), back_within, ..Limits::default() }
}

/// Of a proxy, by its first worker or by one that has this instance.
async fn report(plane: &ControlPlane, instance: u64, first: u64, events: Vec<Event>) {
    let event = |event| AuditEvent { unix_nanos: 1_770_302_823_000_250_000, event: Some(event) };
    let batch = AuditBatch {
        protocol_version: 1,
        node_id: "sidecar".to_owned(),
        instance,
        first,
        events: events.into_iter().map(event).collect(),
        ..AuditBatch::default()
    };
    let _: SignedUpdate = ask(plane, "/v1/enforcement/audit", &batch).await;
}

/// A proxy with a worker that has said so.
async fn proxy(plane: &ControlPlane) -> TestProxy {
    let proxy = plane.proxy("sidecar").await;
    proxy.report(&[0], true).await;
    eventually("a worker", async || plane.metric("kya_workers_reported").await == 1).await;
    proxy
}

#[tokio::test]
async fn a_push_is_timed_for_streams_that_were_open_and_a_stop_until_the_last_worker() {
    let plane = ControlPlane::start_with(limits()).await;
    let agent = plane.api.register("first").await;
    let mut proxy = proxy(&plane).await;
    // This one was there before.
    assert_eq!(plane.metric("kya_push_seconds_count").await, 0);
    plane.api.register("second").await;
    proxy.catch_up(2).await;
    eventually("timed", async || plane.metric("kya_push_seconds_count").await == 1).await;
    assert_eq!(plane.metric("kya_push_seconds_bucket{le=\"10\"}").await, 1);
    proxy.report(&[0], true).await;
    eventually("current", async || plane.metric("kya_revision_lag").await == 0).await;
    assert_eq!(plane.metric("kya_workers_behind").await, 0);
    assert_eq!(plane.metric("kya_stop_acknowledgement_seconds_count").await, 0);

    plane.api.revoke(&agent).await;
    proxy.catch_up(3).await;
    assert_eq!(plane.metric("kya_revision_lag").await, 1);
    assert_eq!(plane.metric("kya_workers_behind").await, 1);
    assert_eq!(plane.metric("kya_stop_acknowledgement_seconds_count").await, 0);
    proxy.report(&[0], true).await;
    eventually("acknowledged", async || {
        plane.metric("kya_stop_acknowledgement_seconds_count").await == 1
    })
    .await;
    assert_eq!(plane.metric("kya_stops_unacknowledged_total").await, 0);

    // Who comes back gets what it missed, late, and that is no slow push.
    eventually("timed", async || plane.metric("kya_push_seconds_count").await == 2).await;
    let (missed, have) = (plane.server.grpc_addr, proxy.position());
    assert_eq!(have.revision.0, 3);
    let nodes = async || plane.api.nodes().await.len();
    let mut hello = hello("sidecar");
    hello.have = Some(have.into());
    drop(proxy);
    eventually("gone", async || nodes().await == 0).await;
    plane.api.register("third").await;
    let (credential, key) = (&plane.credential, plane.server.public_key);
    let _back = TestProxy::connect_over(channel(missed).await, credential, key, hello).await;
    let sent = async || plane.metric("kya_deltas_sent_total").await;
    eventually("it is sent what it missed", async || sent().await == 3).await;
    assert_eq!(plane.metric("kya_push_seconds_count").await, 2);
}

#[tokio::test]
async fn a_kill_is_open_until_it_is_closed_and_counted_by_how() {
    let plane = ControlPlane::start_with(limits()).await;
    let closed = async |outcome: &str| {
        let name = format!("kya_kill_closing_seconds_count{{outcome=\"{outcome}\"}}");
        plane.metric(&name).await
    };
    let agents = [plane.api.register("one").await, plane.api.register("two").await];
    plane.api.revoke(&agents[0]).await;
    eventually("closed", async || closed("nobody_there").await == 1).await;
    assert_eq!(plane.metric("kya_kills_opened_total").await, 1);

    let _proxy = proxy(&plane).await;
    let kill = plane.api.revoke(&agents[1]).await;
    eventually("open", async || plane.metric("kya_kill_laggards").await == 1).await;
    assert_eq!(plane.metric("kya_kills_open").await, 1);
    assert_eq!(plane.metric("kya_kills_opened_total").await, 2);
    let shown = format!("/v1/kills/{}", kill["kill_id"].text());
    let shown = plane.api.get(&shown).await.expect(200)["kill"].clone();
    let number = |field: &str| shown[field].as_u64().unwrap();
    let (epoch, revision) = (number("epoch"), number("revision"));
    let applied = AuditApplied { epoch, revision, in_flight: 0, untracked: 0 };
    let instance = worker(0, 1, 1).instance;
    report(&plane, instance, 1, vec![Event::Applied(applied)]).await;
    eventually("complete", async || closed("complete").await == 1).await;
    eventually("none open", async || plane.metric("kya_kills_open").await == 0).await;
    assert_eq!(plane.metric("kya_kill_laggards").await, 0);
    assert_eq!(plane.metric("kya_kill_oldest_open_seconds").await, 0);
    for outcome in ["timed_out", "unacknowledged"] {
        assert_eq!(closed(outcome).await, 0, "{outcome}");
    }
}

/// Why a proxy is not there, and whether it is missing.
async fn left(plane: &ControlPlane, node_id: &str) -> Option<(String, bool)> {
    let nodes = plane.api.get("/v1/nodes").await.expect(200);
    let gone = nodes["disconnected"].as_array().unwrap();
    let gone = gone.iter().find(|it| it["node_id"] == node_id)?;
    let why = gone["armed"]["why"].text();
    Some((why.split_once("Z: ").unwrap().1.to_owned(), gone["missing"].as_bool().unwrap()))
}

#[tokio::test]
async fn who_closes_its_connection_has_left_and_whoever_should_be_there_is_missing() {
    let plane = ControlPlane::start_with(limits()).await;
    let named = plane.api.register_node(json!({ "name": "web-1" })).await;
    let many = plane.api.register_node(json!({ "name": "many", "match": "pod-*" })).await;
    let connect = async |credential: &str, node_id: &str| {
        let (channel, key) = (channel(plane.server.grpc_addr).await, plane.server.public_key);
        let mut proxy = TestProxy::connect_over(channel, credential, key, hello(node_id)).await;
        proxy.next().await;
        proxy
    };
    let unknown = "kya_nodes{state=\"unknown\",transport=\"stream\"}";
    let closed = ("it closed its connection, and is not back".to_owned(), false);
    drop(connect(&many, "pod-1").await);
    eventually("it has left", async || left(&plane, "pod-1").await.as_ref() == Some(&closed)).await;
    assert_eq!(plane.metric("kya_nodes_left").await, 1);
    assert_eq!(plane.metric(unknown).await, 0);
    let status = plane.api.get("/v1/status").await.expect(200);
    assert_eq!((&status["proxies"]["left"], &status["proxies"]["unknown"]), (&json!(1), &json!(0)));
    assert!(!status["problems"].to_string().contains("proxies_unknown"), "{status}");

    // That one is expected.
    drop(connect(&named, "web-1").await);
    let missing = Some((closed.0.clone(), true));
    eventually("it is missing", async || left(&plane, "web-1").await == missing).await;
    assert_eq!(plane.metric(unknown).await, 1);
    let status = plane.api.get("/v1/status").await.expect(200);
    assert_eq!(status["proxies"]["not_armed"][0]["node_id"], "web-1");
    assert!(status["problems"].to_string().contains("proxies_unknown"), "{status}");
    // Until nobody can come back by its registration.
    plane.api.revoke_node("web-1").await;
    let (why, missing) = left(&plane, "web-1").await.unwrap();
    assert!(!missing && why.starts_with("its registration counts no more"), "{why}");

    // One that is connected still when its registration is revoked.
    let proxy = connect(&many, "pod-2").await;
    plane.api.revoke_node("many").await;
    eventually("it is cut off", async || left(&plane, "pod-2").await.is_some()).await;
    let (why, missing) = left(&plane, "pod-2").await.unwrap();
    assert!(!missing && why.starts_with("its registration counts no more"), "{why}");
    drop(proxy);
    assert_eq!(plane.metric(unknown).await, 0);
    assert_eq!(plane.metric("kya_nodes_left").await, 3);
}

#[tokio::test]
async fn who_is_cut_off_because_it_does_not_read_is_missing() {
    let limits = Limits {
        heartbeat_interval: Duration::from_millis(50),
        send_timeout: Duration::from_millis(100),
        ..limits()
    };
    let plane = ControlPlane::start_with(limits).await;
    let channel = support::proxy::tight_channel(plane.server.grpc_addr).await;
    let (credential, key) = (&plane.credential, plane.server.public_key);
    let stalled = TestProxy::connect_over(channel, credential, key, hello("stalled")).await;
    eventually("it is cut off", async || left(&plane, "stalled").await.is_some()).await;
    let (why, missing) = left(&plane, "stalled").await.unwrap();
    assert!(missing && why.starts_with("it fell silent"), "{why}");
    drop(stalled);
}

#[tokio::test]
async fn what_the_trail_lacks_is_counted_by_events() {
    let plane = ControlPlane::start_with(limits()).await;
    let dropped = || Event::Dropped(AuditDropped { events: 7 });
    report(&plane, 1, 1, vec![dropped()]).await;
    report(&plane, 1, 6, vec![dropped()]).await;
    let counts = [
        ("kya_audit_dropped_events_total", 14),
        ("kya_audit_gaps_total", 1),
        ("kya_audit_gap_events_total", 4),
        ("kya_audit_workers_lost_total", 0),
        ("kya_audit_append_failures_total", 0),
    ];
    for (name, count) in counts {
        assert_eq!(plane.metric(name).await, count, "{name}");
    }
    plane.server.trail().lose_silent(UnixMicros(u64::MAX / 4)).await.unwrap();
    assert_eq!(plane.metric("kya_audit_workers_lost_total").await, 1);
    assert_eq!(plane.metric("kya_audit_requests_lost_total").await, 0);
    eventually("a checkpoint", async || {
        plane.metric("kya_audit_checkpoint_timestamp_seconds").await > 1_700_000_000
    })
    .await;
    eventually("all is in", async || plane.metric("kya_audit_acts_waiting").await == 0).await;
    // It is looked at from time to time, and then something may be on its way.
    eventually("nothing waits", async || plane.metric("kya_audit_waiting_events").await == 0).await;
}

/// Changes, reads, and a database that breaks.
async fn is_counted(plane: &ControlPlane, database: &str, broken: impl AsyncFnOnce()) {
    let count = async |operation: &str| {
        plane.metric(&format!("kya_store_seconds_count{{operation=\"{operation}\"}}")).await
    };
    let errors = async |operation: &str| {
        plane.metric(&format!("kya_store_errors_total{{operation=\"{operation}\"}}")).await
    };
    let before = [count("commit").await, count("read").await, count("append").await];
    plane.api.register("payer").await;
    plane.api.get("/v1/agents").await.expect(200);
    assert!(count("commit").await > before[0] && count("read").await > before[1]);
    eventually("appended", async || count("append").await > before[2]).await;
    assert!(count("publish").await > 0);
    // The built-in operator is in no database.
    let before = count("credential").await;
    let reader = plane.api.add_operator("reader", "auditor").await;
    reader.get("/v1/agents").await.expect(200);
    assert!(count("credential").await > before);
    let nobody = "/v1/agents/agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";
    plane.api.get(nobody).await.problem(404, "not_found");
    let reason = json!({ "reason": "gone" });
    plane.api.post(&format!("{nobody}/revoke"), reason).await.problem(404, "not_found");
    for operation in ["commit", "read", "credential", "publish", "append"] {
        assert_eq!(errors(operation).await, 0, "a refusal is no failure: {operation}");
    }
    broken().await;
    let answer = plane.api.get("/v1/agents").await;
    answer.problem(503, "unavailable");
    assert!(errors("read").await > 0);
    let info = format!("kya_build_info{{database=\"{database}\",version=\"0.1.0\"}}");
    assert_eq!(plane.metric(&info).await, 1);
    let class = "kya_http_request_seconds_count{route=\"/v1/agents\",status_class=\"5xx\"}";
    assert_eq!(plane.metric(class).await, 1);
}

#[tokio::test]
async fn the_database_is_counted_on_sqlite() {
    let plane = ControlPlane::start().await;
    let dir = plane.dir.path().to_owned();
    is_counted(&plane, "sqlite", async || {
        let raw = support::database::open(&dir).await;
        sqlx::query("ALTER TABLE agents RENAME TO gone").execute(&raw).await.unwrap();
        raw.close().await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_counted_on_postgresql() {
    let database = Database::new().await;
    let dir = tempfile::tempdir().unwrap();
    let url = Some(database.url());
    let config = Config { database_url: url, ..Config::ephemeral(dir.path()) };
    let plane = ControlPlane::start_as(config, dir, Limits::default()).await;
    is_counted(&plane, "postgresql", async || {
        let raw = database.raw().await;
        sqlx::query("ALTER TABLE agents RENAME TO gone").execute(&raw).await.unwrap();
        raw.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_drill_is_counted_and_the_last_one_is_shown_with_its_percentile() {
    let plane = ControlPlane::start().await;
    assert_eq!(plane.metric("kya_drill_last_ended_timestamp_seconds").await, 0);
    let run = async |way| {
        let url = party(&plane.api, way).await;
        let parties = json!([{ "name": "payments", "url": url }]);
        let request = json!({ "parties": parties, "samples": 1, "rate": 50 });
        plane.api.post("/v1/drills", request).await.expect(202)["drill_id"].text()
    };
    let result =
        async |of: &str| plane.metric(&format!("kya_drills_total{{result=\"{of}\"}}")).await;
    let last =
        async |of: &str| plane.metric(&format!("kya_drill_last_result{{result=\"{of}\"}}")).await;
    let id = run(Way::Open).await;
    eventually("failed", async || result("failed").await == 1).await;
    eventually("shown", async || last("failed").await == 1).await;
    let status = plane.api.get("/v1/status").await.expect(200);
    let drill = &status["last_drill"];
    assert_eq!((&drill["drill_id"], &drill["state"]), (&json!(id), &json!("failed")));
    assert!(drill["last_rejection_p99_ms"].is_null() && drill["ended_at"].is_string(), "{drill}");
    let problems = status["problems"].to_string();
    assert!(problems.contains("drill_failed") && problems.contains(&id), "{problems}");
    assert!(plane.metric("kya_drill_last_ended_timestamp_seconds").await > 1_700_000_000);

    // One that is cut short says nothing about the proxies, and mends nothing.
    let parties = json!([{ "name": "payments", "url": party(&plane.api, Way::Open).await }]);
    let request = json!({ "parties": parties, "samples": 200, "rate": 50 });
    let cut = plane.api.post("/v1/drills", request).await.expect(202)["drill_id"].text();
    plane.api.post(&format!("/v1/drills/{cut}/stop"), json!({})).await.expect(200);
    eventually("interrupted", async || last("interrupted").await == 1).await;
    assert_eq!(last("failed").await, 1);
    let status = plane.api.get("/v1/status").await.expect(200);
    assert_eq!(status["last_drill"]["drill_id"], json!(cut));
    let problems = status["problems"].to_string();
    assert!(problems.contains("drill_failed") && problems.contains(&id), "{problems}");
}

#[tokio::test]
async fn the_process_is_there_and_nobody_is_named() {
    let plane = ControlPlane::start_with(limits()).await;
    let agent = plane.api.register("payer").await;
    let proxy = proxy(&plane).await;
    plane.api.revoke(&agent).await;
    drop(proxy);
    eventually("left", async || plane.metric("kya_nodes_left").await == 1).await;
    for name in [
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_threads",
    ] {
        assert!(plane.metric(name).await > 0, "{name}");
    }
    let text = plane.api.get("/metrics").await.expect(200).text();
    let cpu = text.lines().find(|line| line.starts_with("process_cpu_seconds_total "));
    assert!(cpu.unwrap().rsplit_once(' ').unwrap().1.parse::<f64>().is_ok());
    for named in [&*agent, "sidecar", "payer"] {
        assert!(!text.contains(named), "{named} in\n{text}");
    }
}
