//! `kya audit` and a real control plane.

use kya_core::audit::event::Batch;
use kya_core::audit::verify::{Options, Outcome, Verifier};
use kya_core::wire;
use serde_json::Value;

use crate::support::*;

impl Real {
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
        self.server.trail().report("edge", Batch::from_wire(batch).unwrap()).await.unwrap();
    }

    /// Waits until the newest checkpoint is of everything that is there.
    async fn signed(&self, size: u64) {
        eventually(&format!("a checkpoint of {size} records"), async || {
            let ended = self.kya(&["-o", "json", "audit", "checkpoint"]).await;
            (ended.code == 0 && ended.json()["size"].as_u64() >= Some(size)).then_some(())
        })
        .await;
    }

    /// The newest record of this act: acts are appended soon after they are done.
    async fn act(&self, name: &str) -> Value {
        let args = ["-o", "json", "audit", "tail", "-n", "1", "--act", name, "--type", "admin"];
        eventually(name, async || {
            let ended = self.kya(&args).await;
            (!ended.out.is_empty()).then(|| ended.json())
        })
        .await
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
    let log = real.act("agent.registered").await;
    let place =
        |record: &Value| (record["epoch"].as_u64().unwrap(), record["revision"].as_u64().unwrap());
    let before = place(&log["record"]);
    real.report(1, vec![decision(wire::Verdict::Allow, agent, before)]).await;

    let revoked = ["agent", "revoke", agent, "--reason", "loop", "--wait", "0s"];
    assert_eq!(real.kya(&revoked).await.code, 0);
    real.act("agent.revoked").await;
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

#[tokio::test]
async fn what_is_archived_is_excused_and_named_and_its_segment_still_verifies() {
    let real = Real::start().await;
    let agent = real.json(&["agent", "register", "--name", "bot"]).await;
    let agent = agent["agent_id"].as_str().unwrap();
    let place = {
        let log = real.act("agent.registered").await;
        let of = |it: &str| log["record"][it].as_u64().unwrap();
        (of("epoch"), of("revision"))
    };
    let allowed = || decision(wire::Verdict::Allow, agent, place);
    real.report(1, (0..20).map(|_| allowed()).collect()).await;
    real.signed(real.newest().await).await;
    let keys = real.json(&["audit", "keys"]).await;
    let pinned = keys["keys"][0]["verifier_key"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (segment, now) = (file("segment-1.jsonl"), file("now.jsonl"));

    let archive = ["audit", "archive", "--out", &segment, "--key", pinned];
    let dry = real.kya(&[&archive[..], &["--dry-run"]].concat()).await;
    assert!(dry.code == 0 && dry.out.contains("would be written to"), "{dry:?}");
    assert!(!std::path::Path::new(&segment).exists());
    let done = real.json(&archive).await;
    assert_eq!((&done["already"], &done["first"]), (&Value::Bool(false), &1.into()), "{done}");
    let last = done["last"].as_u64().unwrap();
    assert!(last >= 22, "{done}");
    let again = real.json(&archive).await;
    assert_eq!((&again["already"], &again["seq"]), (&Value::Bool(true), &done["seq"]));
    while real.server.trail().store().remove_archived(1000).await.unwrap() > 0 {}
    real.report(21, vec![allowed()]).await;
    real.signed(real.newest().await).await;

    // The server has not the whole of it any more, and says where the rest is.
    let sha256 = done["sha256"].as_str().unwrap();
    let said = format!(
        "Records 1 to {last} were archived (record {}), segment SHA-256 {sha256}, not seen here.",
        done["seq"]
    );
    let export = ["audit", "export", "--verify-chain", "--key", pinned];
    let whole = real.kya(&[&export[..], &["--out", &now]].concat()).await;
    assert_eq!(whole.code, 0, "{whole:?}");
    assert!(whole.err.contains(&said), "{said}: {whole:?}");
    let kills = real.kya(&["audit", "check-kills", "--key", pinned]).await;
    assert_eq!(kills.code, 0, "{kills:?}");
    assert!(kills.err.contains(&said), "{kills:?}");
    let both = real.kya(&["audit", "verify", &segment, &now, "--key", pinned]).await;
    assert_eq!(both.code, 0, "{both:?}");
    assert!(!both.out.contains("not seen here"), "{both:?}");
    // Another file in the place of the segment.
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replace('\n', "\r\n")).unwrap();
    let other = real.kya(&["audit", "verify", &segment, &now, "--key", pinned]).await;
    assert_eq!(other.code, 7, "{other:?}");
    assert!(other.err.contains("other_segment"), "{other:?}");
    // Nor does it take the place of the next one.
    let taken = real.kya(&archive).await;
    assert_eq!((taken.code, taken.out.as_str()), (2, ""), "{taken:?}");
}

#[tokio::test]
async fn a_key_is_replaced_in_two_steps_and_what_was_kept_before_is_proved() {
    let real = Real::start().await;
    real.json(&["agent", "register", "--name", "bot"]).await;
    real.act("agent.registered").await;
    real.signed(2).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (kept, out) = (file("kept.checkpoint"), file("out.jsonl"));
    let note = real.kya(&["audit", "checkpoint"]).await;
    std::fs::write(&kept, &note.out).unwrap();
    let first = real.json(&["audit", "keys"]).await["keys"][0]["verifier_key"].clone();
    let first = first.as_str().unwrap();

    let early = real.kya(&["audit", "keys", "rotate", "--reason", "r"]).await;
    assert!(early.code == 2 && early.err.contains("--now"), "{early:?}");
    let none = real.kya(&["audit", "keys", "activate", "--reason", "r"]).await;
    assert!(none.code == 1 && none.err.contains("no key was announced"), "{none:?}");
    let announced = real.kya(&["audit", "keys", "announce", "--reason", "the yearly one"]).await;
    assert_eq!(announced.code, 0, "{announced:?}");
    let next = announced.out.trim();
    let shown = real.kya(&["audit", "keys"]).await;
    assert_eq!(shown.out.trim(), first, "{shown:?}");
    assert!(shown.err.contains(next), "{shown:?}");
    let activated = real.kya(&["audit", "keys", "activate", "--reason", "the yearly one"]).await;
    assert_eq!((activated.code, activated.out.trim()), (0, next), "{activated:?}");
    let id = next.split('+').nth(1).unwrap();
    let here = ["audit", "keys", "recover", "--lost", id, "--reason", "r"];
    let here = real.kya(&here).await;
    assert!(here.code == 1 && here.err.contains("is here"), "{here:?}");
    real.signed(real.newest().await).await;

    // Whoever pinned the first key is led to the second, and finds what was kept.
    let proof = ["audit", "proof", "--checkpoint", &kept, "--key", first];
    let proved = real.kya(&proof).await;
    assert_eq!(proved.code, 0, "{proved:?}");
    assert!(proved.out.contains("begins with the"), "{proved:?}");
    let picked = ["audit", "export", "--type", "archived", "--out", &out, "--key", first];
    let picked = [&picked[..], &["--verify-chain", "--checkpoint", &kept]].concat();
    assert_eq!(real.kya(&picked).await.code, 0);
    let verify = ["audit", "verify", &out, "--key", first, "--checkpoint", &kept];
    let verified = real.kya(&verify).await;
    assert_eq!(verified.code, 0, "{verified:?}");
    assert!(verified.out.contains("It begins with the"), "{verified:?}");
    let size = std::fs::read_to_string(&kept).unwrap().lines().nth(1).unwrap().to_owned();
    let by_server = real.kya(&["audit", "export", "--type", "archived", "--at", &size]).await;
    std::fs::write(&out, &by_server.out).unwrap();
    assert_eq!(real.kya(&verify).await.code, 0);
    let rows = real.kya(&["audit", "tail", "--type", "key,key_announced"]).await;
    assert_eq!(rows.out.matches("the yearly one").count(), 2, "{rows:?}");

    // Of another trail that key says nothing.
    let other = Real::start().await;
    other.signed(1).await;
    let stranger = other.kya(&["audit", "proof", "--checkpoint", &kept]).await;
    assert_eq!(stranger.code, 7, "{stranger:?}");
}
