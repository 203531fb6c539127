//! `kya audit` and a real control plane.

mod support;

use kya_control_plane::config::Config;
use kya_control_plane::{RunningServer, Server};
use kya_core::audit::event::Batch;
use kya_core::audit::verify::{Options, Outcome, Verifier};
use kya_core::wire;
use serde_json::Value;
use support::*;

/// A control plane with its trail, and `kya` as its admin.
struct Real {
    server: RunningServer,
    url: String,
    key: String,
    _data: tempfile::TempDir,
}

impl Real {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(Config::ephemeral(data.path())).await.unwrap();
        let key = std::fs::read_to_string(data.path().join("admin.key")).unwrap();
        let url = format!("http://{}", server.http_addr);
        Self { server, url, key, _data: data }
    }

    /// `kya`, while the control plane goes on.
    async fn kya(&self, args: &[&str]) -> Ended {
        self.kya_as(&self.key, args).await
    }

    async fn kya_as(&self, key: &str, args: &[&str]) -> Ended {
        let mut command = command(&self.url, args);
        let child = command.env("KYA_TOKEN", key.trim()).spawn().unwrap();
        tokio::task::spawn_blocking(|| end(child)).await.unwrap()
    }

    async fn json(&self, args: &[&str]) -> Value {
        let ended = self.kya(&[&["-o", "json"], args].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        ended.json()
    }

    /// What worker 0 of `edge` reports, from its event of this number on.
    async fn report(&self, first: u64, events: Vec<wire::audit_event::Event>) {
        let events = events.into_iter().map(|event| wire::AuditEvent {
            unix_nanos: u64::try_from(jiff::Timestamp::now().as_nanosecond()).unwrap(),
            event: Some(event),
        });
        let batch = wire::AuditBatch {
            protocol_version: 1,
            node_id: "edge".to_owned(),
            instance: 0xff,
            first,
            events: events.collect(),
            ..Default::default()
        };
        self.server.trail().report(Batch::from_wire(batch).unwrap()).await.unwrap();
    }

    /// Waits until the newest checkpoint is of everything that is there.
    async fn signed(&self, size: u64) {
        for _ in 0..400 {
            let ended = self.kya(&["-o", "json", "audit", "checkpoint"]).await;
            if ended.code == 0 && ended.json()["size"].as_u64() >= Some(size) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        panic!("never: a checkpoint of {size} records");
    }

    async fn newest(&self) -> u64 {
        let newest = self.json(&["audit", "tail", "-n", "1"]).await;
        newest["record"]["seq"].as_u64().unwrap()
    }
}

fn decision(
    verdict: wire::Verdict,
    agent: &str,
    (epoch, revision): (u64, u64),
) -> wire::audit_event::Event {
    let agent: kya_core::AgentId = agent.parse().unwrap();
    let denied = verdict == wire::Verdict::Deny;
    wire::audit_event::Event::Decision(wire::AuditDecision {
        verdict: verdict.into(),
        reason: if denied { "agent_revoked".to_owned() } else { String::new() },
        agent_id: agent.to_bytes().to_vec(),
        action: "pay".to_owned(),
        method: "POST".to_owned(),
        epoch,
        revision,
        ..Default::default()
    })
}

fn outcome(export: &str, key: &str) -> Outcome {
    let options = Options { keys: vec![key.parse().unwrap()], ..Options::default() };
    let mut verifier = Verifier::new(options);
    verifier.write(export.as_bytes());
    verifier.finish().outcome
}

#[tokio::test]
async fn a_kill_is_read_proved_and_judged_from_the_trail_of_a_server() {
    let real = Real::start().await;
    let agent = real.json(&["agent", "register", "--name", "bot"]).await;
    let agent = agent["agent_id"].as_str().unwrap();
    let pinned = real.json(&["audit", "keys"]).await["keys"][0]["verifier_key"].clone();
    let pinned = pinned.as_str().unwrap();
    let log = real.json(&["audit", "tail", "-n", "1", "--act", "agent.registered"]).await;
    let place =
        |record: &Value| (record["epoch"].as_u64().unwrap(), record["revision"].as_u64().unwrap());
    let before = place(&log["record"]);
    real.report(1, vec![decision(wire::Verdict::Allow, agent, before)]).await;

    let revoked = ["agent", "revoke", agent, "--reason", "loop", "--wait", "0s"];
    assert_eq!(real.kya(&revoked).await.code, 0);
    let killed = (before.0, before.1 + 1);
    let (epoch, revision) = killed;
    let applied = wire::AuditApplied { epoch, revision, ..Default::default() };
    real.report(
        2,
        vec![
            wire::audit_event::Event::Applied(applied),
            decision(wire::Verdict::Deny, agent, killed),
        ],
    )
    .await;
    real.signed(real.newest().await).await;

    // The command of the reference.
    let args = ["audit", "export", "--agent", agent, "--since", "2026-02-05T14:00:00Z"];
    let ended = real.kya(&[&args[..], &["--verify-chain", "--key", pinned]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.err.contains("are whole"), "{ended:?}");
    for part in ["\"decision\":\"allow\"", "\"decision\":\"deny\"", "agent.revoked"] {
        assert!(ended.out.contains(part), "{part}: {ended:?}");
    }
    assert_eq!(outcome(&ended.out, pinned), Outcome::Partial);
    // What the server picks verifies, too.
    let picked = real.kya(&args).await;
    assert_eq!((picked.code, outcome(&picked.out, pinned)), (0, Outcome::Partial), "{picked:?}");
    let whole = real.kya(&["audit", "export"]).await;
    assert_eq!((whole.code, outcome(&whole.out, pinned)), (0, Outcome::Whole), "{whole:?}");

    for format in ["csv", "cloudevents"] {
        // The one of the server and the one of `kya` are the same.
        let of = ["audit", "export", "--decision", "deny", "--format", format];
        let server = real.kya(&of).await;
        let proved = real.kya(&[&of[..], &["--verify-chain"]].concat()).await;
        assert_eq!((server.code, proved.code), (0, 0), "{server:?} {proved:?}");
        assert_eq!(server.out, proved.out);
        assert!(server.out.contains("agent_revoked"), "{server:?}");
    }

    let proof = real.kya(&["audit", "proof", "1", "--key", pinned]).await;
    assert_eq!(proof.code, 0, "{proof:?}");
    let shown = real.kya(&["audit", "tail", "--agent", agent, "--decision", "allow"]).await;
    assert_eq!((shown.code, shown.out.lines().count()), (0, 1), "{shown:?}");
    assert!(shown.out.contains("ALLOW") && shown.out.contains("edge/0"), "{shown:?}");

    let good = real.kya(&["audit", "check-kills", "--key", pinned]).await;
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.out.contains("Nothing was allowed past"), "{good:?}");
    real.report(4, vec![decision(wire::Verdict::Allow, agent, before)]).await;
    real.signed(real.newest().await).await;
    let bad = real.kya(&["audit", "check-kills", "--key", pinned]).await;
    assert_eq!(bad.code, 1, "{bad:?}");
    assert!(bad.out.contains("its worker had said before that it had applied"), "{bad:?}");
}

#[tokio::test]
async fn what_is_not_there_or_not_allowed_is_said() {
    let real = Real::start().await;
    let missing = real.kya(&["audit", "show", "999"]).await;
    assert_eq!(missing.code, 1, "{missing:?}");
    assert!(missing.err.contains("there is no record 999"), "{missing:?}");
    let added = real.json(&["operator", "add", "eve", "--role", "viewer"]).await;
    for args in [
        &["audit", "tail"][..],
        &["audit", "export", "--verify-chain"],
        &["audit", "check-kills"],
        &["audit", "keys"],
    ] {
        let ended = real.kya_as(added["key"].as_str().unwrap(), args).await;
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
        assert!(ended.err.contains("audit.read"), "{ended:?}");
    }
}
