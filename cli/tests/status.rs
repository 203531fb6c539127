//! `kya status`.

use kya_control_plane::Server;
use kya_control_plane::config::Config;
use serde_json::json;

use crate::support::*;

const STATUS: &str = "GET /v1/status";

#[test]
fn a_switch_that_is_fine_is_said_to_be_ready_in_a_few_lines_and_exits_with_0() {
    let ended = kya(&willing().url, &["status"]);
    assert_eq!((ended.code, &*ended.err), (0, ""), "{ended:?}");
    assert!(ended.out.lines().count() < 12, "{}", ended.out);
    let p99 = "passed at 2026-02-05T09:00:00.000Z, 99 of 100 last rejections within 41.2 ms";
    for said in [
        "ready",
        "2 armed, 0 stale, 0 unknown",
        "4 of 4 workers",
        "after 3.1 ms",
        p99,
        "http until 2026-03-05T00:00:00.000Z (27 days)",
    ] {
        assert!(ended.out.contains(said), "no {said} in\n{}", ended.out);
    }
    assert!(!ended.out.contains("SERVER"), "one server is not worth a table: {}", ended.out);
}

#[test]
fn servers_that_share_a_database_are_listed_with_who_is_gone_and_who_does_not_publish() {
    let fake = Fake::start();
    let mut status = switch_status();
    let mut server = |name: &str, live: bool, publishes: bool| {
        let mut server = status["servers"][0].clone();
        server["name"] = json!(name);
        (server["here"], server["live"], server["publishes"]) =
            (json!(false), json!(live), json!(publishes));
        status["servers"].as_array_mut().unwrap().push(server);
    };
    server("cp-2:/var/lib/kya", false, false);
    server("cp-3:/var\u{1b}[31m", true, false);
    status["proxies"]["left"] = json!(3);
    status["last_drill"] = json!(null);
    status["certificates"] = json!([]);
    status["last_kill"]["receipt_complete"] = json!(false);
    fake.on(STATUS, 200, &status);
    let ended = kya(&fake.url, &["status"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let line = |of: &str| ended.out.lines().find(|line| line.contains(of)).unwrap().to_owned();
    assert!(line("cp-1:/var/lib/kya (asked)").contains("publishes"), "{}", ended.out);
    assert!(line("cp-2").contains("GONE since 2026-02-05T14:47:59.000Z"), "{}", ended.out);
    assert!(line("cp-3").contains("does NOT publish"), "{}", ended.out);
    assert!(line("Proxies").ends_with("3 left within a day"), "{}", ended.out);
    assert!(line("Certificates").ends_with("none, the server does without TLS"), "{}", ended.out);
    assert!(line("Last kill").contains("its receipt is NOT complete"), "{}", ended.out);
    assert!(!ended.out.contains('\u{1b}'), "{}", ended.out);
}

#[test]
fn a_problem_is_shown_with_what_to_do_and_has_an_exit_code_of_its_own() {
    let fake = Fake::start();
    let mut status = switch_status();
    status["ok"] = json!(false);
    status["problems"] =
        json!([{ "code": "proxies_stale", "what": "1 is stale", "fix": "ask it" }]);
    status["proxies"]["stale"] = json!(1);
    status["proxies"]["not_armed"] =
        json!([{ "node_id": "web\u{1b}[31m", "state": "stale", "why": "silent", "since": null }]);
    status["registry"] = json!(null);
    fake.on(STATUS, 200, &status);
    let ended = kya(&fake.url, &["status"]);
    assert_eq!(ended.code, 9, "{ended:?}");
    for said in ["DEGRADED, 1 problem\n", "proxies_stale: 1 is stale\n  ask it\n", "cannot be read"]
    {
        assert!(ended.out.contains(said), "no {said:?} in\n{}", ended.out);
    }
    assert!(!ended.out.contains('\u{1b}') && ended.out.contains("silent"), "{}", ended.out);
    fake.on(STATUS, 200, &status);
    let ended = kya(&fake.url, &["-o", "json", "status"]);
    assert_eq!((ended.code, ended.json()), (9, status), "{:?}", ended.err);
    assert_eq!(ended.problem()["code"], "degraded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_server_without_a_proxy_is_degraded_and_one_that_ended_is_unreachable() {
    let data = tempfile::tempdir().unwrap();
    let server = Server::start(Config::ephemeral(data.path())).await.unwrap();
    let admin = std::fs::read_to_string(data.path().join("admin.key")).unwrap();
    let url = format!("http://{}", server.http_addr);
    let status = async || {
        let child = command(&url, &["status"]).env("KYA_TOKEN", admin.trim()).spawn().unwrap();
        tokio::task::spawn_blocking(|| end(child)).await.unwrap()
    };
    let ended = status().await;
    assert_eq!(ended.code, 9, "{ended:?}");
    assert!(ended.out.contains("no_proxies: ") && ended.out.contains("kya node add"), "{ended:?}");
    server.shutdown().await;
    let ended = status().await;
    assert_eq!((ended.code, &*ended.out), (3, ""), "{ended:?}");
    assert!(ended.err.contains(&format!("cannot reach the control plane at {url}")), "{ended:?}");
}
