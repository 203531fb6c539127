//! Several servers on one database of PostgreSQL.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kya_control_plane::config::{Config, IssuerConfig};
use kya_control_plane::push::Limits;
use kya_control_plane::server::StartError;
use kya_control_plane::{RunningServer, Server};
use kya_core::{Body, DenyReason};
use serde_json::{Value, json};
use sqlx::Executor;
use tempfile::TempDir;
use tonic::Code;

use crate::support::api::Text;
use crate::support::postgres::Database;
use crate::support::proxy::{channel, hello};
use crate::support::{Api, ControlPlane, PATIENCE, TestProxy, eventually};

/// Does not look at the store by itself: it hears of commits, or knows of none.
fn only_told() -> Limits {
    Limits { heartbeat_interval: Duration::from_secs(3600), ..Limits::default() }
}

fn config(dir: &Path, database: &Database) -> Config {
    Config { database_url: Some(database.url()), ..Config::ephemeral(dir) }
}

/// A data directory with the keys of another one.
fn with_keys_of(other: &Path) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_keys(other, dir.path());
    dir
}

fn copy_keys(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "key") {
            std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
        }
    }
}

async fn first(database: &Database, limits: Limits) -> ControlPlane {
    let dir = tempfile::tempdir().unwrap();
    ControlPlane::start_as(config(dir.path(), database), dir, limits).await
}

/// Another server of the same database and the same keys.
async fn another(of: &ControlPlane, database: &Database, limits: Limits) -> ControlPlane {
    let dir = with_keys_of(of.dir.path());
    ControlPlane::start_as(config(dir.path(), database), dir, limits).await
}

async fn agent_with_token(api: &Api) -> (String, String) {
    let agent = api.register("payer").await;
    let token = api.issue(&agent).await["token"].text();
    (agent, token)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_sent_to_one_server_reaches_a_proxy_of_the_other_as_a_delta() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let b = another(&a, &database, only_told()).await;
    assert_eq!(a.server.public_key, b.server.public_key);
    let mut proxy = b.proxy("sidecar").await;
    let (agent, token) = agent_with_token(&a.api).await;
    proxy.catch_up(2).await;
    assert_eq!(proxy.state.denial(&token), None);
    let revoked = a.api.revoke(&agent).await;
    assert_eq!(revoked["revision"], 3);
    let update = proxy.next().await;
    assert!(matches!(update.body(), Body::Delta(_)), "{update:?}");
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentRevoked));
    // And it is the same registry, whoever is asked.
    let seen = b.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
    assert_eq!(seen["status"], "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_moves_to_the_other_server_goes_on_with_deltas() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let b = another(&a, &database, Limits::default()).await;
    let (agent, token) = agent_with_token(&b.api).await;
    let mut proxy = a.proxy("sidecar").await;
    proxy.catch_up(2).await;
    let have = proxy.position();
    b.api.decide(&agent, "suspend").await.expect(200);
    b.api.revoke(&agent).await;
    // Whatever the first server has said meanwhile, it was not read.
    let channel = channel(b.server.grpc_addr).await;
    let mut proxy = proxy.reconnect(channel, hello("sidecar")).await;
    let answer = proxy.next().await;
    assert!(matches!(answer.body(), Body::Heartbeat { nonce: Some(_) }), "{answer:?}");
    assert_eq!(answer.position().epoch, have.epoch);
    proxy.catch_up(4).await;
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentRevoked));
    assert_eq!(b.metric("kya_manifests_sent_total").await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_nobody_tells_of_is_found_by_looking() {
    let database = Database::new().await;
    let plane = first(&database, Limits::default()).await;
    let mut proxy = plane.proxy("sidecar").await;
    let (agent, _) = agent_with_token(&plane.api).await;
    proxy.catch_up(2).await;
    // Committed without word of it: the first update once more.
    let silent = "INSERT INTO updates
                  SELECT 3, epoch, committed_us, delta FROM updates WHERE revision = 1";
    let raw = database.raw().await;
    let mut transaction = raw.begin().await.unwrap();
    transaction.execute(silent).await.unwrap();
    transaction.execute("UPDATE head SET revision = 3").await.unwrap();
    transaction.commit().await.unwrap();
    proxy.catch_up(3).await;
    plane.api.revoke(&agent).await;
    proxy.catch_up(4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_hears_no_more_listens_again_and_learns_what_it_has_missed() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let b = another(&a, &database, only_told()).await;
    let mut proxy = b.proxy("sidecar").await;
    let epoch = proxy.position().epoch;
    assert_eq!(database.end_connections(true).await, 2);
    let (agent, token) = agent_with_token(&a.api).await;
    // It looks when it listens again: there is nothing else that makes it look.
    proxy.catch_up(2).await;
    eventually("both listen again", async || database.listening().await == 2).await;
    a.api.revoke(&agent).await;
    proxy.catch_up(3).await;
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentRevoked));
    assert_eq!(proxy.position().epoch, epoch);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_write_at_once_make_one_order_without_a_gap() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let b = another(&a, &database, Limits::default()).await;
    let mut proxies = [a.proxy("web-a").await, b.proxy("web-b").await];
    let mut writing = tokio::task::JoinSet::new();
    for n in 0..8 {
        let api = if n % 2 == 0 { a.api.clone() } else { b.api.clone() };
        writing.spawn(async move {
            for _ in 0..5 {
                let agent = api.register("crowd").await;
                api.revoke(&agent).await;
            }
        });
    }
    writing.join_all().await;
    for proxy in &mut proxies {
        // It refuses whatever does not follow the one before.
        proxy.catch_up(80).await;
    }
    assert_eq!(proxies[0].known().agents.len(), 40);
    assert_eq!(proxies[0].known(), proxies[1].known());
    assert_eq!(proxies[0].position(), proxies[1].position());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_is_revoked_at_one_server_is_cut_off_from_the_other() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let b = another(&a, &database, Limits::default()).await;
    let node = json!({ "name": "web", "match": "web" });
    let credential = a.api.register_node(node).await;
    let channel = channel(b.server.grpc_addr).await;
    let mut proxy =
        TestProxy::connect_over(channel, &credential, b.server.public_key, hello("web")).await;
    proxy.next().await;
    a.api.revoke_node("web").await;
    let ended = loop {
        match proxy.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a word"),
            Err(status) => break status,
        }
    };
    assert_eq!(ended.code(), Code::Unauthenticated, "{ended:?}");
    assert!(ended.message().contains("is revoked"), "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_is_revoked_at_one_server_is_refused_by_the_other_at_once() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    // It is told of nothing by a look at the database that it would make anyway.
    let b = another(&a, &database, only_told()).await;
    for (name, [here, there]) in [("one", [&a, &b]), ("two", [&b, &a]), ("three", [&a, &b])] {
        let here_too = here.api.add_operator(name, "operator").await;
        let oncall = there.api.with_key(&here_too.key);
        // On connections that both have, and more than once: there is nothing to forget.
        for _ in 0..5 {
            let who = oncall.get("/v1/whoami").await.expect(200);
            assert_eq!((&who["name"], &who["role"]), (&json!(name), &json!("operator")));
        }
        here.api.revoke_operator(name).await;
        for api in [&oncall, &here_too] {
            let refused = api.get("/v1/whoami").await.problem(401, "unauthorized");
            assert_eq!(refused, format!("the key of the operator {name} is revoked"));
        }
    }
    let body = json!({ "name": "one", "role": "viewer" });
    let taken = b.api.post("/v1/operators", body).await.problem(409, "conflict");
    assert!(taken.contains("its name is not used again"), "{taken}");
    let agent = a.api.register("payer").await;
    let boss = a.api.add_operator("boss", "admin").await;
    b.api.with_key(&boss.key).revoke(&agent).await;
    let seen = a.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
    assert_eq!(seen["status_actor"], "boss", "whichever server was asked");
}

/// Reads until the stream ends because there is a new epoch, and connects again.
async fn follow_the_epoch(mut proxy: TestProxy, server: &RunningServer) -> TestProxy {
    loop {
        match proxy.hear().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("it ended without a word"),
            Err(status) => {
                assert_eq!(status.code(), Code::Aborted, "{status:?}");
                assert!(status.message().contains("new epoch"), "{status:?}");
                break;
            }
        }
    }
    let channel = channel(server.grpc_addr).await;
    let mut proxy = proxy.reconnect(channel, hello("sidecar")).await;
    let answer = proxy.next().await;
    assert!(matches!(answer.body(), Body::Manifest { .. }), "{answer:?}");
    proxy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_put_back_under_running_servers_begins_an_epoch_that_both_follow() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let b = another(&a, &database, Limits::default()).await;
    let (agent, token) = agent_with_token(&a.api).await;
    let dump = database.dump();
    // Lost: one more agent, which no proxy may go on believing in.
    let lost = a.api.register("lost").await;
    let mut proxies = [a.proxy("sidecar").await, b.proxy("sidecar").await];
    for proxy in &mut proxies {
        proxy.catch_up(3).await;
        assert_eq!(proxy.known().agents.len(), 2);
    }
    let before = proxies[0].position();
    database.restore(&dump);
    let [of_a, of_b] = proxies;
    let of_a = follow_the_epoch(of_a, &a.server).await;
    let of_b = follow_the_epoch(of_b, &b.server).await;
    a.api.get(&format!("/v1/agents/{lost}")).await.expect(404);
    for mut proxy in [of_a, of_b] {
        assert_eq!(proxy.known().agents.len(), 1, "as it is stored now");
        assert!(proxy.position() > before && proxy.position().epoch > before.epoch);
        assert_eq!(proxy.state.denial(&token), None);
        // The same revision a second time, and nobody takes it for the first.
        b.api.revoke(&agent).await;
        proxy.catch_up(3).await;
        assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentRevoked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_put_back_while_no_server_runs_is_served_in_a_new_epoch_by_all() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let (agent, token) = agent_with_token(&a.api).await;
    let dump = database.dump();
    a.api.revoke(&agent).await;
    let mut proxy = a.proxy("sidecar").await;
    proxy.catch_up(3).await;
    let before = proxy.position();
    let a_dir = a.dir;
    a.server.shutdown().await;
    database.is_left().await;
    database.restore(&dump);

    let a = ControlPlane::start_as(config(a_dir.path(), &database), a_dir, Limits::default()).await;
    let b = another(&a, &database, Limits::default()).await;
    let (of_a, of_b) = (a.proxy("web-a").await.position(), b.proxy("web-b").await.position());
    assert_eq!(of_a.epoch, of_b.epoch);
    assert!(of_a > before);
    // What was revoked stays so in a proxy that knew it.
    let channel = channel(b.server.grpc_addr).await;
    let mut proxy = proxy.reconnect(channel, hello("sidecar")).await;
    assert!(matches!(proxy.next().await.body(), Body::Manifest { .. }));
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentRevoked));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_the_database_was_started_again_every_proxy_gets_a_manifest() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let proxy = a.proxy("sidecar").await;
    let before = proxy.position();
    // All at once, as by a start: nobody can tell by what the database was replaced.
    assert!(database.end_connections(false).await >= 2);
    let proxy = follow_the_epoch(proxy, &a.server).await;
    assert!(proxy.position().epoch > before.epoch);
    assert_eq!(proxy.position().revision, before.revision);
}

#[tokio::test]
async fn a_server_with_other_keys_is_refused_and_told_which() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let empty = tempfile::tempdir().unwrap();
    let stranger = tempfile::tempdir().unwrap();
    std::fs::copy(a.dir.path().join("admin.key"), stranger.path().join("admin.key")).unwrap();
    let alone = Server::start(Config::ephemeral(stranger.path())).await.unwrap();
    alone.shutdown().await;
    for dir in [empty, stranger] {
        let refused = Server::start(config(dir.path(), &database)).await.unwrap_err();
        assert!(matches!(refused, StartError::Key(_)), "{refused:?}");
        let said = refused.to_string();
        assert!(said.contains(&a.server.public_key.to_string()), "{said}");
        assert!(said.contains("copy the key files"), "{said}");
        assert!(said.contains(dir.path().to_str().unwrap()), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replaced_key_signs_at_the_other_server_once_it_has_the_file() {
    let database = Database::new().await;
    let a = first(&database, Limits::default()).await;
    let b = another(&a, &database, Limits::default()).await;
    let mut proxy = b.proxy("sidecar").await;
    let why = json!({ "reason": "yearly" });
    a.api.post("/v1/keys/announce", why.clone()).await.expect(200);
    proxy.catch_up(1).await;
    copy_keys(a.dir.path(), b.dir.path());
    let activated = a.api.post("/v1/keys/activate", why).await.expect(200);
    proxy.catch_up(2).await;
    let active = activated["keys"].as_array().unwrap().iter().find(|key| key["active"] == true);
    let of_b = b.api.get("/v1/keys").await.expect(200);
    assert_eq!(of_b["keys"].as_array().unwrap().iter().find(|key| key["active"] == true), active);
    let (agent, token) = agent_with_token(&b.api).await;
    b.api.revoke(&agent).await;
    proxy.catch_up(5).await;
    assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentRevoked));
}

/// The program itself, killed when dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_tokens_that_one_server_changes_are_told_to_strangers_by_the_other() {
    let database = Database::new().await;
    let start = async |dir: TempDir| {
        let issuer = IssuerConfig { name: "https://kya.example".to_owned(), max_lifetime: 3600 };
        let config = Config { issuer: Some(issuer), ..config(dir.path(), &database) };
        ControlPlane::start_as(config, dir, only_told()).await
    };
    let a = start(tempfile::tempdir().unwrap()).await;
    let b = start(with_keys_of(a.dir.path())).await;
    let told = async |by: &ControlPlane| {
        let set = by.api.get("/.well-known/jwks.json").await.expect(200);
        set["keys"].as_array().unwrap().len()
    };
    assert_eq!((told(&a).await, told(&b).await), (1, 1));
    a.api.post("/v1/token-keys/announce", json!({})).await.expect(200);
    assert_eq!(told(&a).await, 2, "whoever changes it tells of it at once");
    eventually("the other server tells of it", async || told(&b).await == 2).await;
}

async fn program(dir: &Path, database: &Database) -> (Program, Api) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"));
    command.args(["serve", "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
    command.arg("--data-dir").arg(dir).env_clear();
    command.env("KYA_DATABASE_URL", database.url_as("kya"));
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let program = Program(child);
    let (addresses, began) = (dir.join("addresses.json"), Instant::now());
    let addresses: Value = loop {
        if let Ok(text) = std::fs::read_to_string(&addresses) {
            break serde_json::from_str(&text).unwrap();
        }
        assert!(began.elapsed() < PATIENCE, "it never served");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let key = std::fs::read_to_string(dir.join("admin.key")).unwrap();
    (program, Api::new(addresses["http"].as_str().unwrap(), key.trim()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_server_has_answered_is_pushed_by_the_other_whatever_becomes_of_the_first() {
    let database = Database::new().await;
    let b = first(&database, Limits::default()).await;
    let mut proxy = b.proxy("sidecar").await;
    for round in 0..3u64 {
        let dir = with_keys_of(b.dir.path());
        let (mut a, api) = program(dir.path(), &database).await;
        let (agent, token) = agent_with_token(&api).await;
        api.revoke(&agent).await;
        a.0.kill().unwrap();
        a.0.wait().unwrap();
        proxy.catch_up(3 * (round + 1)).await;
        assert_eq!(proxy.state.denial(&token), Some(DenyReason::AgentRevoked));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_public_key_is_that_of_the_database_and_no_password_is_said() {
    let database = Database::new().await;
    let plane = first(&database, Limits::default()).await;
    let other = tempfile::tempdir().unwrap();
    let run = |url: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"));
        command.args(["public-key", "--data-dir"]).arg(other.path());
        command.env_clear().env("KYA_DATABASE_URL", url).output().unwrap()
    };
    let said = run(&database.url_as("kya:hunter2"));
    assert_eq!(String::from_utf8(said.stdout).unwrap().trim(), plane.server.public_key.to_string());
    assert_eq!(std::fs::read_dir(other.path()).unwrap().count(), 0, "none was made");
    for url in [
        "postgres://kya:hunter2@127.0.0.1:1/kya",
        "mysql://kya:hunter2@127.0.0.1/kya",
        &database.url_as("locked:hunter2").replace(&database.name, "absent"),
    ] {
        let said = run(url);
        assert!(!said.status.success());
        let said = String::from_utf8(said.stderr).unwrap();
        assert!(said.starts_with("error: ") && !said.contains("hunter2"), "{said}");
    }
    // Nor in the log of a server, however much it writes.
    let dir = with_keys_of(plane.dir.path());
    let mut command = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"));
    command.args(["serve", "--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"]);
    command.args(["--log", "trace", "--data-dir"]).arg(dir.path()).env_clear();
    command.env("KYA_DATABASE_URL", database.url_as("kya:hunter2"));
    let path = other.path().join("log");
    let log = std::fs::File::create(&path).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log);
    let server = Program(command.spawn().unwrap());
    let read = || std::fs::read_to_string(&path).unwrap();
    eventually("it serves", async || read().contains("serving")).await;
    drop(server);
    let said = read();
    assert!(said.contains("postgres://kya@localhost"), "it says where it is: {said}");
    assert!(!said.contains("hunter2"), "{said}");
}
