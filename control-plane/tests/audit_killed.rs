//! The audit trail of a program that is killed while workers report.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use kya_core::audit::Record;
use kya_core::wire::{AuditBatch, AuditDropped, AuditEvent, SignedUpdate, audit_event};
use kya_core::{Body, PublicKey, Verifier};
use prost::Message;
use serde_json::{Value, json};

use crate::support::PATIENCE;
use crate::support::api::{Api, Text};

const WORKERS: u64 = 4;
const EVENTS: u64 = 4_000;
const KILLS: u32 = 8;

/// A running program, killed when dropped.
struct Program(Child, Api);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn start(dir: &Path) -> Program {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kya-control-plane"));
    let ports = ["--http-listen", "127.0.0.1:0", "--grpc-listen", "127.0.0.1:0"];
    command.args(["serve", "--data-dir"]).arg(dir).args(ports).env_clear();
    let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let began = Instant::now();
    let address = loop {
        assert!(began.elapsed() < PATIENCE, "it never served");
        let text = std::fs::read_to_string(dir.join("addresses.json")).unwrap_or_default();
        let addresses: Value = serde_json::from_str(&text).unwrap_or_default();
        if addresses["pid"] == child.id() {
            break addresses["http"].text();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    let key = std::fs::read_to_string(dir.join("admin.key")).unwrap();
    Program(child, Api::new(&address, key.trim()))
}

fn batch(instance: u64, first: u64) -> AuditBatch {
    // What it says does not matter here, and its number tells it from all others.
    let event = |n| AuditEvent {
        unix_nanos: 1_770_302_823_000_000_000,
        event: Some(audit_event::Event::Dropped(AuditDropped { events: n })),
    };
    let last = EVENTS.min(first + 36);
    AuditBatch {
        protocol_version: 1,
        node_id: "web-1".to_owned(),
        instance,
        first,
        events: (first..=last).map(event).collect(),
        ..AuditBatch::default()
    }
}

/// Reports until all is acknowledged, or the server is gone; returns what comes next.
async fn report(api: Api, credential: String, key: PublicKey, instance: u64, from: u64) -> u64 {
    let mut next = from;
    while next <= EVENTS {
        let request = api.request(reqwest::Method::POST, "/v1/enforcement/audit");
        let request = request
            .bearer_auth(&credential)
            .header("content-type", "application/x-protobuf")
            .body(batch(instance, next).encode_to_vec());
        let Ok(answer) = request.send().await else { return next };
        let (status, bytes) = (answer.status(), answer.bytes().await);
        let Ok(bytes) = bytes else { return next };
        if status != 200 {
            return next;
        }
        let signed = SignedUpdate::decode(bytes).unwrap();
        let update = Verifier::new([key]).verify_signed(&signed).unwrap();
        match update.body() {
            Body::AuditReceipt { instance: of, next: expected, .. } if *of == instance => {
                next = *expected;
            }
            other => panic!("no receipt: {other:?}"),
        }
    }
    next
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_loses_and_doubles_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = start(dir.path()).await;
    let node = json!({ "name": "fleet", "match": "*" });
    let node = program.1.post("/v1/nodes", node).await.expect(201);
    let key = std::fs::read_to_string(dir.path().join("signing.pub")).unwrap();
    let key: PublicKey = key.trim().parse().unwrap();
    let mut next = [1; WORKERS as usize];
    for round in 0..=KILLS {
        let workers = (1..).zip(next).map(|(instance, from)| {
            let (api, credential) = (program.1.clone(), node["credential"].text());
            tokio::spawn(report(api, credential, key, instance, from))
        });
        let workers: Vec<_> = workers.collect();
        if round < KILLS {
            // At another moment of its work each time.
            tokio::time::sleep(Duration::from_millis(40 + 23 * u64::from(round % 5))).await;
            program.0.kill().unwrap();
        }
        for (next, worker) in next.iter_mut().zip(workers) {
            *next = worker.await.unwrap();
        }
        if round < KILLS {
            drop(program);
            program = start(dir.path()).await;
        }
    }
    assert_eq!(next, [EVENTS + 1; WORKERS as usize]);
    let (mut from, mut found) = (Some(1), Vec::new());
    while let Some(first) = from {
        let path = format!("/v1/audit/records?type=dropped&limit=1000&from={first}");
        let page = program.1.get(&path).await.expect(200);
        for listed in page["records"].as_array().unwrap() {
            let record: Record = serde_json::from_value(listed["record"].clone()).unwrap();
            let kya_core::audit::Entry::Dropped(it) = record.entry else { panic!("{record:?}") };
            assert_eq!(it.events, it.source.number);
            found.push((it.source.instance, it.events));
        }
        from = page["next"].as_u64();
    }
    let all = (1..=WORKERS)
        .flat_map(|instance| (1..=EVENTS).map(move |number| (format!("{instance:016x}"), number)));
    found.sort();
    assert_eq!(found.len(), usize::try_from(WORKERS * EVENTS).unwrap());
    assert!(found.into_iter().eq(all));
    let gaps = program.1.get("/v1/audit/records?type=gap").await.expect(200);
    assert_eq!(gaps["records"], json!([]));
}
