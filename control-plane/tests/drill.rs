//! Drills against parties that ask a real control plane, and some that are at fault.

use kya_control_plane::config::Config;
use kya_control_plane::push::Limits;
use kya_control_plane::store::{Canary, Cause, DrillStore, NewAgent, NewDrill, SqliteStore};
use kya_control_plane::store::{StatusAction, Store};
use kya_core::wire::WorkerReport;
use kya_core::wire::proxy_message::Message;
use kya_core::{AgentId, DrillId, InFlight, Position};
use serde_json::{Value, json};

use crate::support;
use crate::support::api::Text;
use crate::support::certificates::Authority;
use crate::support::parties::{Way, party, tls_party};
use crate::support::proxy::{message, worker};
use crate::support::{ControlPlane, TestClock, eventually};

/// A drill of these parties with few probes, and whatever else is asked for.
async fn request(plane: &ControlPlane, ways: &[(&str, Way)], members: Value) -> Value {
    let mut parties = Vec::new();
    for (name, way) in ways {
        parties.push(json!({ "name": name, "url": party(&plane.api, *way).await }));
    }
    let mut request = json!({ "parties": parties, "samples": 2, "rate": 50 });
    request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    request
}

async fn begin(plane: &ControlPlane, request: Value) -> String {
    let begun = plane.api.post("/v1/drills", request).await.expect(202);
    assert_eq!(begun["state"], "running");
    begun["drill_id"].text()
}

async fn show(plane: &ControlPlane, id: &str) -> Value {
    plane.api.get(&format!("/v1/drills/{id}")).await.expect(200)
}

async fn ended(plane: &ControlPlane, id: &str) -> Value {
    let wait = async {
        loop {
            let drill = show(plane, id).await;
            if !drill["ended_at"].is_null() {
                return drill;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(6 * support::PATIENCE, wait).await.expect("an end")
}

async fn agents(plane: &ControlPlane) -> Vec<Value> {
    plane.api.get("/v1/agents").await.expect(200)["agents"].as_array().unwrap().clone()
}

/// Nothing of a drill that suspends is stopped, and nothing goes on.
async fn assert_put_back(plane: &ControlPlane, canary: &str) {
    let agent = plane.api.get(&format!("/v1/agents/{canary}")).await.expect(200);
    assert_eq!(agent["status"], "active");
    let tokens = plane.api.get("/v1/tokens").await.expect(200)["tokens"].clone();
    let counts = |token: &Value| token["revoked_at"].is_null();
    assert!(!tokens.as_array().unwrap().is_empty());
    assert!(!tokens.as_array().unwrap().iter().any(counts), "{tokens}");
}

/// A proxy that acknowledges whatever comes, as long as the test goes on.
async fn acknowledging(plane: &ControlPlane) {
    let mut proxy = plane.proxy("web-1").await;
    proxy.report(&[0], true).await;
    tokio::spawn(async move {
        loop {
            proxy.next().await;
            proxy.report(&[0], false).await;
        }
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_parties_pass_and_the_figures_are_those_of_the_samples() {
    let plane = ControlPlane::start().await;
    acknowledging(&plane).await;
    let ways = [("one", Way::Honest), ("two", Way::Late(2))];
    let members = json!({ "samples": 3, "p99_ms": 60_000 });
    let id = begin(&plane, request(&plane, &ways[..1], members.clone()).await).await;
    let drill = ended(&plane, &id).await;
    let result = &drill["result"];
    assert_eq!(drill["state"], "passed", "{result:#}");
    assert_eq!((&drill["samples_done"], &result["samples"]), (&json!(3), &json!(3)));
    let party = &result["relying_parties"][0];
    assert_eq!((&party["name"], &party["cause"]), (&json!("one"), &Value::Null));
    assert_eq!(party["without_token"], "denied:token_missing");
    assert_eq!(result["receipt_complete_ms"]["count"], 3);
    let canary = result["canary"].text();
    assert_put_back(&plane, &canary).await;

    // From the probes alone, in another way.
    let path = format!("/v1/drills/{id}?samples=true");
    let samples = plane.api.get(&path).await.expect(200)["samples"].clone();
    let mut settled = Vec::new();
    for sample in samples.as_array().unwrap() {
        assert!(sample["kill_id"].text().starts_with("kil_"));
        let probes = sample["parties"][0]["probes"].as_array().unwrap();
        let is = |probe: &&Value, outcome: &str| probe[3] == outcome;
        let allowed = probes.iter().filter(|probe| is(probe, "allowed"));
        let last = allowed.map(|probe| probe[1].as_i64().unwrap()).max().unwrap();
        let rejected = probes.iter().filter(|probe| is(probe, "denied:agent_suspended"));
        let after = rejected.filter(|probe| probe[1].as_i64().unwrap() > last);
        settled.push(after.map(|probe| probe[2].as_i64().unwrap()).min().unwrap());
    }
    settled.sort_unstable();
    let millis = |micros: i64| json!(micros as f64 / 1000.0);
    let figures = &result["last_rejection_ms"];
    assert_eq!(figures["p50"], millis(settled[1]), "{settled:?}");
    assert_eq!((&figures["p99"], &figures["max"]), (&millis(settled[2]), &millis(settled[2])));

    // The same canary, and one party whose last rejection is not its first.
    let id = begin(&plane, request(&plane, &ways, json!({ "samples": 1 })).await).await;
    let drill = ended(&plane, &id).await;
    assert_eq!(drill["result"]["canary"].text(), canary);
    assert_eq!(agents(&plane).await.len(), 1);
    let events = plane.api.get("/v1/events").await.expect(200)["events"].clone();
    let actions = events.as_array().unwrap().iter().filter(|event| event["subject"] == *id);
    let actions: Vec<_> = actions.map(|event| event["action"].text()).collect();
    assert_eq!(actions, ["drill.started", "drill.ended"]);
    let listed = plane.api.get("/v1/drills?limit=1").await.expect(200);
    assert_eq!((&listed["drills"][0]["drill_id"], &listed["next"]), (&json!(id), &json!(id)));
    // Every probe is evidence, and much: who may not read the trail has the figures alone.
    let viewer = plane.api.add_operator("looks", "viewer").await;
    viewer.get(&format!("/v1/drills/{id}")).await.expect(200);
    let refused = viewer.get(&format!("/v1/drills/{id}?samples=true")).await;
    assert!(refused.problem(403, "forbidden").contains("audit.read"));
    // Only admins begin one: a token that works is sent where they say. Operators stop it.
    let operator = plane.api.add_operator("stops", "operator").await;
    let asked = request(&plane, &[("one", Way::Honest)], json!({ "samples": 1 })).await;
    let refused = operator.post("/v1/drills", asked).await.problem(403, "forbidden");
    assert!(refused.contains("drill.run"), "{refused}");
    let stopped = operator.post(&format!("/v1/drills/{id}/stop"), json!({})).await.expect(200);
    assert_eq!(stopped["drill_id"], json!(id));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_party_at_fault_is_named_with_its_cause() {
    let plane = ControlPlane::start().await;
    acknowledging(&plane).await;
    let faults = [
        ("honest", Way::Honest, ""),
        ("open", Way::Open, "no filter on this path"),
        ("deaf", Way::Deaf, "did not hear of the stop"),
        ("hangs", Way::Hangs, "frozen or unreachable"),
        ("breaks", Way::Breaks, "answers 500"),
        ("redirects", Way::Redirects, "says 307"),
        ("other", Way::WrongService, "`service_denied`"),
    ];
    let ways: Vec<_> = faults.iter().map(|(name, way, _)| (*name, *way)).collect();
    let mut request = request(&plane, &ways, json!({ "samples": 1, "rate": 25 })).await;
    // Nobody listens there: the address was free a moment ago.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = json!({ "name": "nobody", "url": format!("http://{free}/") });
    request["parties"].as_array_mut().unwrap().push(nobody);
    let drill = ended(&plane, &begin(&plane, request).await).await;
    let result = &drill["result"];
    assert_eq!(drill["state"], "failed");
    for (n, (name, _, part)) in faults.iter().enumerate() {
        let cause = result["relying_parties"][n]["cause"].as_str().unwrap_or_default();
        assert!(cause.contains(part) && cause.is_empty() == part.is_empty(), "{name}: {cause}");
    }
    let nobody = result["relying_parties"][faults.len()]["cause"].text();
    assert!(nobody.contains("unreachable"), "{nobody}");
    assert_eq!(result["never_rejected"], json!(["open", "deaf", "hangs", "breaks"]));
    assert_eq!(result["never_allowed"], json!(["redirects", "other", "nobody"]));
    assert!(result["allowed_after_ack"].as_u64().unwrap() > 0, "{result:#}");
    assert_eq!(result["relying_parties"][0]["allowed_after_ack"], 0);
    assert_put_back(&plane, &result["canary"].text()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_in_flight_at_the_stop_is_counted_by_how_it_ends() {
    let plane = ControlPlane::start().await;
    // It takes longer than probes are kept, and decides when that is over, as a filter does
    // that answers for a service which has not answered yet.
    let ways = [("slow", Way::Slow(300)), ("open", Way::Open)];
    let drill = ended(&plane, &begin(&plane, request(&plane, &ways, json!({})).await).await).await;
    let result = &drill["result"];
    let of = |party: usize| {
        let in_flight = &result["relying_parties"][party]["in_flight"];
        ["at_stop", "cut", "completed", "lost"].map(|name| in_flight[name].as_u64().unwrap())
    };
    let [at_stop, cut, completed, lost] = of(0);
    // 50 a second, each for 0.3 s, in two samples.
    assert!((14..=60).contains(&at_stop) && cut > 0, "{result:#}");
    assert_eq!((cut + completed, lost), (at_stop, 0), "{result:#}");
    assert_eq!(result["relying_parties"][0]["cause"], Value::Null, "{result:#}");
    assert_eq!(of(1)[1], 0, "nobody cuts what goes through an open party: {result:#}");
    assert_eq!(result["in_flight"]["cut"], cut);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_https_party_is_verified_by_the_authorities_that_were_given() {
    let plane = ControlPlane::start().await;
    let (authority, another) = (Authority::new(), Authority::new());
    let url = tls_party(&plane.api, Way::Honest, &authority).await;
    let request = |ca: &Authority| {
        let parties = json!([{ "name": "safe", "url": url }]);
        json!({ "parties": parties, "samples": 1, "rate": 50, "probe_ca": ca.pem() })
    };
    let drill = ended(&plane, &begin(&plane, request(&authority)).await).await;
    assert_eq!(drill["state"], "passed", "{:#}", drill["result"]);
    let drill = ended(&plane, &begin(&plane, request(&another)).await).await;
    assert_eq!(drill["result"]["never_allowed"], json!(["safe"]), "{:#}", drill["result"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_whose_clock_is_off_is_named() {
    let plane = ControlPlane::start().await;
    let mut proxies = Vec::new();
    for (name, clock_ahead_millis) in [("web-1", 59_999), ("web-2", -3_600_000)] {
        let proxy = plane.proxy(name).await;
        let Position { epoch, revision } = proxy.position();
        let workers = vec![worker(0, epoch, revision.0)];
        let report = WorkerReport { workers, complete: true, clock_ahead_millis };
        proxy.say.send(message(Message::Workers(report))).await.unwrap();
        proxies.push(proxy);
    }
    let nodes = async || plane.api.get("/v1/nodes").await.expect(200)["nodes"].clone();
    eventually("both clocks", async || {
        let nodes = nodes().await;
        nodes[0]["clock_ahead_ms"] == 59_999 && nodes[1]["clock_ahead_ms"] == -3_600_000
    })
    .await;
    let asked = request(&plane, &[("one", Way::Honest)], json!({ "samples": 1 })).await;
    let drill = ended(&plane, &begin(&plane, asked).await).await;
    assert_eq!(drill["state"], "failed");
    assert_eq!(drill["result"]["wrong_clocks"], json!(["web-2"]));
    let failures = drill["result"]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 2, "{failures:?}");
    assert!(failures[0].text().contains("proxy web-2: its clock is 3600 s behind"), "{failures:?}");
    // Neither of them acknowledges anything: that the party rejected does not make up for it.
    let unheard = failures[1].text();
    assert!(unheard.starts_with("1 of 1 stops were not acknowledged in time"), "{failures:?}");
    assert!(unheard.ends_with(": web-1, web-2"), "{failures:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_is_stopped_leaves_nothing_behind_and_is_the_only_one() {
    let plane = ControlPlane::start().await;
    let asked = request(&plane, &[("one", Way::Honest)], json!({ "samples": 200 })).await;
    let id = begin(&plane, asked.clone()).await;
    let refused = plane.api.post("/v1/drills", asked.clone()).await.problem(409, "conflict");
    assert!(refused.contains(&id), "{refused}");
    eventually("a sample", async || show(&plane, &id).await["samples_done"] != 0).await;
    let stopped = plane.api.post(&format!("/v1/drills/{id}/stop"), json!({})).await.expect(200);
    assert_eq!(stopped["state"], "stopping");
    let drill = ended(&plane, &id).await;
    assert_eq!(drill["state"], "interrupted");
    assert_eq!(drill["result"]["passed"], false);
    assert_put_back(&plane, &drill["result"]["canary"].text()).await;
    // One that has ended stays so, and another may begin.
    let again = plane.api.post(&format!("/v1/drills/{id}/stop"), json!({})).await.expect(200);
    assert_eq!(again["state"], "interrupted");
    let id = begin(&plane, asked).await;
    eventually("a sample", async || show(&plane, &id).await["samples_done"] != 0).await;
    // As it ends with its server.
    let plane = plane.restart().await;
    let drill = ended(&plane, &id).await;
    assert_eq!(drill["state"], "interrupted", "{drill:#}");
    assert_put_back(&plane, &drill["result"]["canary"].text()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_server_left_is_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let (id, agent) = (DrillId::from_bytes([7; 16]), AgentId::from_bytes([8; 16]));
    {
        let clock = std::sync::Arc::new(TestClock::at(1_000));
        let store = SqliteStore::open(&dir.path().join("kya.db"), clock).await.unwrap();
        let labels = "canary=true,env=drill".parse().unwrap();
        let new = NewAgent { labels, ..NewAgent::named(agent, "drill-canary") };
        store.register_agent(new, Cause::default()).await.unwrap();
        let request = json!({ "act": "suspend", "parties": [] });
        let new = NewDrill { id, server: "another".to_owned(), request };
        store.begin_drill(new, Cause::default()).await.unwrap();
        store.note_canary(id, Canary { agent, token: None }).await.unwrap();
        let by_it = Cause { reason: Some(format!("drill {id}")), ..Cause::default() };
        let suspend = StatusAction::Suspend(InFlight::Abort);
        store.decide_agent(agent, suspend, by_it).await.unwrap();
        store.close().await;
    }
    let plane = ControlPlane::start_in(dir, Limits::default()).await;
    eventually("its end", async || show(&plane, &id.to_string()).await["state"] == "interrupted")
        .await;
    let agent = plane.api.get(&format!("/v1/agents/{agent}")).await.expect(200);
    assert_eq!(agent["status"], "active");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_that_revokes_has_a_canary_for_each_sample() {
    let plane = ControlPlane::start().await;
    let members = json!({ "act": "revoke" });
    let id = begin(&plane, request(&plane, &[("one", Way::Honest)], members).await).await;
    let drill = ended(&plane, &id).await;
    assert_eq!(drill["state"], "passed", "{:#}", drill["result"]);
    assert_eq!(drill["result"]["unacknowledged"], 2, "no proxy is there to acknowledge");
    let agents = agents(&plane).await;
    assert_eq!(agents.len(), 2);
    assert!(agents.iter().all(|agent| agent["status"] == "revoked"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_canary_that_is_not_production_is_stopped() {
    let plane = ControlPlane::start().await;
    let register = async |labels: Value| {
        let body = json!({ "name": "payer", "labels": labels });
        plane.api.post("/v1/agents", body).await.expect(201)["agent_id"].text()
    };
    let production = register(json!({ "canary": "true", "env": "prod" })).await;
    let also = register(json!({ "canary": "true", "env": "Production" })).await;
    let working = register(json!({ "env": "staging" })).await;
    let mine = register(json!({ "canary": "true", "env": "staging" })).await;
    let asked = request(&plane, &[("one", Way::Honest)], json!({ "samples": 1 })).await;
    let with = |members: Value| {
        let mut asked = asked.clone();
        asked.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        asked
    };
    for (members, part) in [
        (json!({ "agent_id": production, "selector": "env=prod" }), "production"),
        (json!({ "agent_id": also }), "production"),
        (json!({ "selector": "env=prod" }), "production"),
        (json!({ "agent_id": working }), "canary=true"),
        (json!({ "agent_id": mine, "selector": "env=dev" }), "none of env=dev"),
    ] {
        let refused = plane.api.post("/v1/drills", with(members)).await;
        let refused = refused.problem(422, "invalid_request");
        assert!(refused.contains(part), "{refused}");
    }
    plane.api.decide(&mine, "suspend").await.expect(200);
    let stopped = with(json!({ "agent_id": mine }));
    plane.api.post("/v1/drills", stopped.clone()).await.problem(409, "conflict");
    plane.api.decide(&mine, "restore").await.expect(200);
    let drill = ended(&plane, &begin(&plane, stopped).await).await;
    assert_eq!((&drill["state"], &drill["result"]["canary"]), (&json!("passed"), &json!(mine)));
    assert_put_back(&plane, &mine).await;
    assert_eq!(agents(&plane).await.len(), 4, "none was made");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_restoring_takes_two_no_drill_suspends() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config { second_operator_to_resume: true, ..Config::ephemeral(dir.path()) };
    let plane = ControlPlane::start_as(config, dir, Limits::default()).await;
    let asked = request(&plane, &[("one", Way::Honest)], json!({})).await;
    let refused = plane.api.post("/v1/drills", asked).await.problem(409, "conflict");
    assert!(refused.contains("two operators"), "{refused}");
}
