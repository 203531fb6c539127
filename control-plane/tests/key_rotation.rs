//! The replacement of the signing key, step by step and in spite of restarts.

use std::path::Path;

use kya_control_plane::config::Config;
use kya_control_plane::push::Limits;
use kya_control_plane::{RunningServer, Server};
use kya_core::wire::control_message::Message as Said;
use kya_core::wire::{PullRequest, PullResponse};
use kya_core::{Body, PublicKey, UpdateError, Verifier};
use prost::Message;
use serde_json::{Value, json};

use crate::support;
use crate::support::api::Text;
use crate::support::proxy::{channel, hello};
use crate::support::{ControlPlane, TestProxy, eventually};

async fn step(plane: &ControlPlane, name: &str) -> Value {
    let why = json!({ "reason": "a test" });
    plane.api.post(&format!("/v1/keys/{name}"), why).await.expect(200)
}

async fn refused(plane: &ControlPlane, name: &str) -> String {
    let why = json!({ "reason": "a test" });
    plane.api.post(&format!("/v1/keys/{name}"), why).await.problem(409, "conflict")
}

/// The key that has this role.
async fn key(plane: &ControlPlane, role: &str) -> PublicKey {
    let keys = plane.api.get("/v1/keys").await.expect(200);
    let keys = keys["keys"].as_array().unwrap();
    let found = keys.iter().find(|key| key["role"] == role);
    found.unwrap_or_else(|| panic!("no {role} key in {keys:?}"))["public_key"]
        .text()
        .parse()
        .unwrap()
}

/// A proxy that pins this key, and has its first state.
async fn pinning(plane: &ControlPlane, node_id: &str, key: PublicKey) -> TestProxy {
    let channel = channel(plane.server.grpc_addr).await;
    let mut proxy = TestProxy::connect_over(channel, &plane.credential, key, hello(node_id)).await;
    proxy.next().await;
    proxy
}

/// The proxy catches up, its one worker says so, and the control plane has heard it.
async fn acknowledge(plane: &ControlPlane, proxy: &mut TestProxy, change: &Value) {
    let revision = change["revision"].as_u64().unwrap();
    proxy.catch_up(revision).await;
    proxy.report(&[0], true).await;
    let path = format!("/v1/revisions/{revision}/acknowledgements?wait_ms=10000");
    assert_eq!(plane.api.get(&path).await.expect(200)["complete"], true);
}

/// A rotation from its beginning to its end, which nobody is connected to see.
async fn rotate(plane: &ControlPlane) {
    for name in ["announce", "activate", "retire"] {
        step(plane, name).await;
    }
}

/// Ends the server as if it was killed, and begins again with the same data.
async fn kill_and_restart(plane: ControlPlane) -> ControlPlane {
    let ControlPlane { server, dir, .. } = plane;
    drop(server);
    ControlPlane::start_in(dir, Limits::default()).await
}

/// Starts what may not start.
async fn start(dir: &Path) -> Result<RunningServer, String> {
    Server::start(Config::ephemeral(dir)).await.map_err(|error| error.to_string())
}

async fn pull(plane: &ControlPlane) -> PullResponse {
    let request = PullRequest { hello: Some(hello("puller")), ..PullRequest::default() };
    let answer = reqwest::Client::new()
        .post(format!("{}/v1/enforcement/pull", plane.api.base))
        .bearer_auth(&plane.credential)
        .header("content-type", "application/x-protobuf")
        .body(request.encode_to_vec())
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    PullResponse::decode(answer.bytes().await.unwrap()).unwrap()
}

#[tokio::test]
async fn two_keys_count_at_once_and_every_stream_is_led_from_the_one_to_the_other() {
    let plane = ControlPlane::start().await;
    let old = plane.server.public_key;
    let mut proxy = plane.proxy("sidecar").await;
    assert_eq!(refused(&plane, "activate").await, "no key is announced: announce one first");
    assert_eq!(refused(&plane, "retire").await, "one key counts: there is none to retire");

    let announced = step(&plane, "announce").await;
    assert_eq!((&announced["changed"], &announced["phase"]), (&json!(true), &json!("announced")));
    let again = step(&plane, "announce").await;
    assert_eq!((&again["changed"], &again["revision"]), (&json!(false), &announced["revision"]));
    assert_eq!(key(&plane, "active").await, old);
    let new = key(&plane, "next").await;
    assert_eq!(
        refused(&plane, "retire").await,
        "the announced key does not sign yet: activate it first"
    );
    let why = refused(&plane, "activate").await;
    assert!(why.contains("1 of 1 connected proxies have not acknowledged"), "{why}");
    acknowledge(&plane, &mut proxy, &announced).await;
    assert_eq!(proxy.verifier.key_serial(), announced["serial"].as_u64().unwrap());

    let activated = step(&plane, "activate").await;
    assert_eq!(key(&plane, "active").await, new);
    let published = std::fs::read_to_string(plane.dir.path().join("signing.pub")).unwrap();
    assert_eq!(published.trim(), new.to_string());
    let why = refused(&plane, "retire").await;
    assert!(why.contains("by which the keys were activated"), "{why}");
    acknowledge(&plane, &mut proxy, &activated).await;
    // What comes now is signed by the new key alone.
    let only_new = Verifier::new([new]);
    plane.api.register("after").await;
    loop {
        let Some(Said::Signed(signed)) = proxy.hear().await.unwrap() else { panic!("no chunks") };
        proxy.verifier.verify_signed(&signed).expect("believed without a gap");
        let update = only_new.verify_signed(&signed).expect("signed by the new key");
        if let Body::Delta(_) = update.body() {
            proxy.state.apply(&update);
            break;
        }
    }
    proxy.report(&[0], true).await;
    let retired = step(&plane, "retire").await;
    assert_eq!((&retired["phase"], &retired["chain"]["length"]), (&json!("steady"), &json!(2)));
    acknowledge(&plane, &mut proxy, &retired).await;
    assert_eq!(step(&plane, "retire").await["changed"], false);
    assert!(!plane.dir.path().join("signing.key").exists(), "the old key is gone");

    let mut learns = pinning(&plane, "pins-the-old", old).await;
    assert_eq!(learns.verifier.key_serial(), retired["serial"].as_u64().unwrap());
    let mut knows = pinning(&plane, "pins-the-new", new).await;
    let next = plane.api.post("/v1/agents", json!({"name": "n"})).await.expect(201);
    for proxy in [&mut proxy, &mut learns, &mut knows] {
        proxy.catch_up(next["revision"].as_u64().unwrap()).await;
    }
    let forged = learns.verifier.verify_signed(&signed_by_nobody());
    assert_eq!(forged, Err(UpdateError::UnknownKey));
    let steps = plane.api.get("/v1/keys").await.expect(200)["steps"].clone();
    let names: Vec<_> = steps.as_array().unwrap().iter().map(|it| it["action"].text()).collect();
    assert_eq!(names, ["announced", "activated", "retired"]);
}

fn signed_by_nobody() -> kya_core::wire::SignedUpdate {
    kya_core::wire::SignedUpdate { key_id: vec![0; 8], ..Default::default() }
}

#[tokio::test]
async fn every_pull_begins_with_the_chain() {
    let plane = ControlPlane::start().await;
    let old = plane.server.public_key;
    rotate(&plane).await;
    let mut verifier = Verifier::new([old]);
    let mut kinds = Vec::new();
    for message in pull(&plane).await.messages {
        let Some(Said::Signed(signed)) = message.message else { panic!("not asked for") };
        let update = verifier.verify_signed(&signed).expect("what comes before leads to its key");
        verifier.learn(&update);
        kinds.push(match update.body() {
            Body::Keys { .. } => "keys",
            Body::Manifest { .. } => "manifest",
            _ => "heartbeat",
        });
    }
    assert_eq!(kinds, ["keys", "keys", "manifest", "heartbeat"]);
}

#[tokio::test]
async fn a_control_plane_that_is_killed_between_any_two_steps_goes_on_from_there() {
    let mut plane = ControlPlane::start().await;
    let old = plane.server.public_key;
    let agent = plane.api.register("payer").await;
    let mut proxy = plane.proxy("sidecar").await;
    for name in ["announce", "activate", "retire"] {
        step(&plane, name).await;
        plane = kill_and_restart(plane).await;
        proxy = proxy.reconnect(channel(plane.server.grpc_addr).await, hello("sidecar")).await;
        proxy.next().await;
        let change = plane.api.decide(&agent, "suspend").await.expect(200);
        let change = match change["changed"] == true {
            true => change,
            false => plane.api.decide(&agent, "restore").await.expect(200),
        };
        acknowledge(&plane, &mut proxy, &change).await;
        // Asking again changes nothing, before the restart or after.
        assert_eq!(step(&plane, name).await["changed"], false, "{name}");
        pinning(&plane, "new-here", old).await;
        eventually("the other has left", async || plane.api.nodes().await.len() == 1).await;
    }
    assert_ne!(plane.server.public_key, old);
}

#[tokio::test]
async fn what_a_crash_left_of_a_step_does_no_harm() {
    let plane = ControlPlane::start().await;
    let (dir, first) = (plane.dir.path().to_owned(), plane.server.public_key);
    let old_file = std::fs::read(dir.join("signing.key")).unwrap();
    // A key that was made, and never announced.
    let orphan = kya_control_plane::keys::SigningKeys::new(
        kya_control_plane::data_dir::DataDir::open(&dir).unwrap(),
    )
    .make()
    .unwrap();
    let plane = kill_and_restart(plane).await;
    assert_eq!(plane.server.public_key, first);
    rotate(&plane).await;
    assert_ne!(key(&plane, "active").await, orphan.public_key());
    // A key that was retired, and whose file is still there.
    std::fs::write(dir.join("old"), &old_file).unwrap();
    std::fs::set_permissions(dir.join("old"), std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .unwrap();
    std::fs::rename(dir.join("old"), dir.join("signing.key")).unwrap();
    let plane = kill_and_restart(plane).await;
    assert!(!dir.join("signing.key").exists());
    pinning(&plane, "sidecar", first).await;
}

#[tokio::test]
async fn without_the_file_of_the_active_key_nothing_starts_and_none_is_made() {
    let plane = ControlPlane::start().await;
    rotate(&plane).await;
    let active = key(&plane, "active").await;
    let ControlPlane { server, dir, .. } = plane;
    server.shutdown().await;
    let file = dir.path().join(format!("signing-{}.key", active.id()));
    let content = std::fs::read(&file).unwrap();
    std::fs::rename(&file, dir.path().join("elsewhere")).unwrap();
    let error = start(dir.path()).await.expect_err("a start without the key");
    assert!(error.contains(&active.id().to_string()) && error.contains("put"), "{error}");
    // Nor with a database that knows nothing of the keys.
    std::fs::rename(dir.path().join("elsewhere"), &file).unwrap();
    std::fs::rename(dir.path().join("kya.db"), dir.path().join("kya.db.newer")).unwrap();
    let error = start(dir.path()).await.expect_err("a start with another database");
    assert!(error.contains("older than the keys"), "{error}");
    assert_eq!(std::fs::read(&file).unwrap(), content);
    assert!(!dir.path().join("signing.key").exists());
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[tokio::test]
async fn an_old_data_directory_that_is_put_back_takes_nobody_back_to_the_old_key() {
    let plane = ControlPlane::start().await;
    let old = plane.server.public_key;
    // Which every copy knows.
    let ControlPlane { server, dir, credential, .. } = plane;
    server.shutdown().await;
    let before = tempfile::tempdir().unwrap();
    copy(dir.path(), &before.path().join("data"));

    let plane = ControlPlane::start_in(dir, Limits::default()).await;
    let announced = step(&plane, "announce").await;
    step(&plane, "activate").await;
    let ControlPlane { server, dir, .. } = plane;
    server.shutdown().await;
    let between = tempfile::tempdir().unwrap();
    copy(dir.path(), &between.path().join("data"));
    let mut plane = ControlPlane::start_in(dir, Limits::default()).await;
    plane.credential = credential;
    let retired = step(&plane, "retire").await;
    let proxy = pinning(&plane, "sidecar", old).await;
    let new = key(&plane, "active").await;
    plane.server.shutdown().await;

    // One from before the rotation signs with what nobody trusts who knew better.
    let config = Config::ephemeral(before.path().join("data"));
    let server = Server::start(config).await.unwrap();
    assert_eq!(server.public_key, old);
    let mut stale = proxy.reconnect(channel(server.grpc_addr).await, hello("sidecar")).await;
    let Some(Said::Signed(signed)) = stale.hear().await.unwrap() else { panic!("no chunks") };
    assert_eq!(stale.verifier.verify_signed(&signed), Err(UpdateError::UnknownKey));
    server.shutdown().await;

    // One from the middle of it retires the key again, under a later serial.
    let server = Server::start(Config::ephemeral(between.path().join("data"))).await.unwrap();
    assert_eq!(server.public_key, new);
    let admin = std::fs::read_to_string(between.path().join("data/admin.key")).unwrap();
    let api = support::Api::new(&server.http_addr.to_string(), admin.trim());
    let why = json!({ "reason": "a test" });
    let again = api.post("/v1/keys/retire", why.clone()).await.expect(200);
    let serial = |change: &Value| change["serial"].as_u64().unwrap();
    assert!(serial(&announced) < serial(&retired) && serial(&retired) < serial(&again));
    let mut proxy = stale.reconnect(channel(server.grpc_addr).await, hello("sidecar")).await;
    proxy.next().await;
    assert_eq!(proxy.verifier.key_serial(), serial(&again));
    server.shutdown().await;
}

#[tokio::test]
async fn the_chain_has_an_end_until_every_configuration_pins_the_active_key() {
    let plane = ControlPlane::start().await;
    let oldest = plane.server.public_key;
    for _ in 0..8 {
        rotate(&plane).await;
    }
    pinning(&plane, "led-by-sixteen", oldest).await;
    let why = refused(&plane, "announce").await;
    assert!(why.contains("16 updates lead") && why.contains("kya key compact"), "{why}");

    let active = key(&plane, "active").await;
    let compact = async |pinned: PublicKey| {
        let body = json!({ "reason": "a test", "pinned": pinned });
        plane.api.post("/v1/keys/compact", body).await
    };
    let why = compact(oldest).await.problem(409, "conflict");
    assert!(why.contains(&active.to_string()), "{why}");
    let cut = compact(active).await.expect(200);
    assert_eq!((&cut["changed"], &cut["chain"]["length"]), (&json!(true), &json!(0)));
    assert_eq!(compact(active).await.expect(200)["changed"], false);

    let plane = kill_and_restart(plane).await;
    rotate(&plane).await;
    let led = pinning(&plane, "pins-what-it-should", active).await;
    assert!(led.verifier.key_serial() > 0);
    // Nothing leads from the oldest any more.
    for message in pull(&plane).await.messages {
        let Some(Said::Signed(signed)) = message.message else { panic!("not asked for") };
        let found = Verifier::new([oldest]).verify_signed(&signed);
        assert_eq!(found, Err(UpdateError::UnknownKey));
    }
}

#[tokio::test]
async fn a_step_can_be_forced_past_a_proxy_that_says_nothing() {
    let plane = ControlPlane::start().await;
    let mut proxy = plane.proxy("says-nothing").await;
    for name in ["announce", "activate", "retire"] {
        let body = match name {
            "announce" => json!({ "reason": "stolen" }),
            _ => json!({ "reason": "stolen", "force": true }),
        };
        plane.api.post(&format!("/v1/keys/{name}"), body).await.expect(200);
    }
    let next = plane.api.post("/v1/agents", json!({"name": "n"})).await.expect(201);
    // The stream leads it all the same.
    proxy.catch_up(next["revision"].as_u64().unwrap()).await;
}

#[tokio::test]
async fn the_command_prints_the_key_that_signs_while_the_server_runs_and_after() {
    let plane = ControlPlane::start().await;
    let printed = |dir: &Path, all: &[&str]| -> Vec<String> {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_kya-control-plane"));
        command.args(["public-key", "--data-dir"]).arg(dir).args(all);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    };
    let dir = plane.dir.path().to_owned();
    let old = plane.server.public_key.to_string();
    assert_eq!(printed(&dir, &["--all"]), [&*old]);
    step(&plane, "announce").await;
    let new = key(&plane, "next").await.to_string();
    assert_eq!(printed(&dir, &[]), [&*old]);
    assert_eq!(printed(&dir, &["--all"]), [&*old, &*new]);
    step(&plane, "activate").await;
    assert_eq!(printed(&dir, &["--all"]), [&*new, &*old]);
    step(&plane, "retire").await;
    let ControlPlane { server, dir, .. } = plane;
    server.shutdown().await;
    assert_eq!(printed(dir.path(), &["--all"]), [&*new]);
}
