//! Stops of principals, capabilities, everyone and many agents: what is sent, what
//! is printed, and what is not believed.

use serde_json::{Value, json};

use crate::support::*;

const ACKNOWLEDGED: &str = "Acknowledged by 4 of 4 workers of 2 of 2 proxies in 3.1 ms\n";
const LOGGED: &str = "logged at: 2026-02-05T14:47:23.891Z\n";

/// A server that answers one change, acknowledged.
fn answering(path: &str, change: &Value) -> Fake {
    let fake = Fake::start();
    fake.on(&format!("POST /v1/{path}"), 200, change);
    fake.on(ACKS, 200, &acknowledgements(&[]));
    fake
}

fn capability_path(action: &str) -> String {
    format!("agents/{AGENT}/capabilities/{action}")
}

fn of_refund(action: &str) -> Vec<&str> {
    vec!["capability", action, "--agent", AGENT, "--action", "issue_refund", "--reason", "r"]
}

#[test]
fn a_revoked_capability_is_two_lines_and_who_acknowledged() {
    let change = capability_change("revoked", true, &["create_charge"]);
    let fake = answering(&capability_path("revoke"), &change);
    let ended = kya(&fake.url, &of_refund("revoke"));
    let lines = format!(
        "Capability revoked: issue_refund for {AGENT}\ncreate_charge remains active\n{ACKNOWLEDGED}"
    );
    assert_eq!((ended.code, ended.out), (0, lines));
    assert_eq!(fake.seen()[0].body, json!({ "action": "issue_refund", "reason": "r" }));
    for (active, lines) in [
        (&[][..], "All other actions remain active\n"),
        (&["a", "b"], "a remains active\nb remains active\n"),
    ] {
        let change = capability_change("revoked", false, active);
        let fake = answering(&capability_path("revoke"), &change);
        let out = kya(&fake.url, &of_refund("revoke")).out;
        let expected = format!("{lines}(already revoked; nothing changed)\nAcknowledged by 4 of");
        assert!(out.contains(&expected), "{out}");
    }
}

#[test]
fn a_capability_is_suspended_restored_and_listed() {
    for (action, status, done) in
        [("suspend", "suspended", "suspended"), ("restore", "active", "restored")]
    {
        let change = capability_change(status, true, &["create_charge"]);
        let fake = answering(&capability_path(action), &change);
        let out = kya(&fake.url, &of_refund(action)).out;
        let expected =
            format!("Capability {done}: issue_refund for {AGENT}\ncreate_charge remains");
        assert!(out.starts_with(&expected), "{out}");
    }
    let fake = Fake::start();
    let path = format!("GET /v1/agents/{AGENT}/capabilities");
    fake.on(&path, 200, &json!({ "capabilities": [capability("issue_refund", "revoked")] }));
    let args = ["capability", "list", "--agent", AGENT];
    assert_eq!(
        kya(&fake.url, &args).out,
        "\
ACTION         STATUS    SINCE                      REASON        INCIDENT ID
issue_refund   revoked   2026-02-05T14:47:23.891Z   refund_loop   -
"
    );
    fake.on(&path, 200, &json!({ "capabilities": [] }));
    assert!(kya(&fake.url, &args).out.starts_with("Nothing was decided"));
}

#[test]
fn offboarding_says_whom_it_ends() {
    let fake =
        answering("principals/alice@example.com/offboard", &principal_change("revoked", true));
    let args = ["principal", "offboard", ALICE, "--reason", "she_left", "--incident-id", "HR-7"];
    let ended = kya(&fake.url, &args);
    let lines = format!(
        "Offboarded: {ALICE}
All verify calls of 3 agents and 5 unexpired tokens will now return DENY, for ever
Offboarding {LOGGED}{ACKNOWLEDGED}"
    );
    assert_eq!((ended.code, ended.out), (0, lines));
    assert_eq!(fake.seen()[0].body, json!({ "reason": "she_left", "incident_id": "HR-7" }));

    let mut uncounted = principal_change("revoked", false);
    uncounted["reach"] = Value::Null;
    let fake = answering("principals/alice@example.com/offboard", &uncounted);
    let out = kya(&fake.url, &args).out;
    assert!(out.contains("on behalf of this principal will now return DENY, for ever\n"), "{out}");
    assert!(out.contains("(already offboarded; nothing changed)\n"), "{out}");
}

#[test]
fn a_halt_and_its_end_say_whom_they_reach() {
    let fake = answering("fleet/halt", &fleet_change("suspended", true));
    let ended = kya(&fake.url, &["halt", "--all", "--reason", "fire"]);
    let lines = format!(
        "Halted: all agents (12 agents and 30 unexpired tokens)
All verify calls of all agents will now return DENY, until `kya resume`
Halt {LOGGED}{ACKNOWLEDGED}"
    );
    assert_eq!((ended.code, ended.out), (0, lines));
    assert_eq!(fake.seen()[0].body, json!({ "reason": "fire" }));

    let fake = answering("fleet/resume", &fleet_change("active", true));
    let ended = kya(&fake.url, &["resume", "--yes", "--reason", "out"]);
    assert!(ended.out.starts_with("Resumed: all agents (12"), "{ended:?}");
    assert!(ended.out.ends_with(ACKNOWLEDGED), "{ended:?}");
}

#[test]
fn where_nothing_was_ever_changed_there_is_nothing_to_acknowledge() {
    let mut never = fleet_change("active", false);
    never["revision"] = json!(0);
    for json in [false, true] {
        let fake = answering("fleet/resume", &never);
        let form: &[&str] = if json { &["-o", "json"] } else { &[] };
        let ended = kya(&fake.url, &[&["resume", "--yes", "--reason", "r"], form].concat());
        assert_eq!((ended.code, fake.seen().len()), (0, 1), "{ended:?}");
        match json {
            true => assert_eq!(ended.json(), json!({ "change": never, "acknowledgements": null })),
            false => assert!(ended.out.ends_with("(not halted; nothing changed)\n"), "{ended:?}"),
        }
    }
}

#[test]
fn many_agents_are_stopped_by_one_call() {
    let fake = answering("agents/suspend", &selection_change("suspended", 2));
    let args = ["agent", "suspend", "--selector", "env=staging", "--reason", "noise"];
    let ended = kya(&fake.url, &args);
    let lines = format!(
        "Suspended: 3 agents matching env=staging
Opaque tokens are denied now, until the agent is restored
Capability tokens issued before may finish their work for the drain_window of the policy (60s without one); --in-flight abort ends them now
Suspension {LOGGED}(2 more already stopped)
{ACKNOWLEDGED}"
    );
    assert_eq!((ended.code, ended.out), (0, lines));
    assert_eq!(fake.seen()[0].body, json!({ "selector": "env=staging", "reason": "noise" }));

    let mut nobody = selection_change("suspended", 0);
    let fields = nobody.as_object_mut().unwrap();
    fields.retain(|name, _| !matches!(&**name, "revision" | "committed_at" | "committed_unix_ms"));
    fields.insert("agents".into(), json!(0));
    fields.insert("changed".into(), json!(false));
    let fake = answering("agents/suspend", &nobody);
    let ended = kya(&fake.url, &args);
    let said = "No agent matches env=staging: nothing was changed\n";
    assert_eq!((ended.code, &*ended.out, fake.seen().len()), (0, said, 1));
}

#[test]
fn a_dry_run_says_whom_it_would_reach_and_asks_nobody_to_acknowledge() {
    let path = capability_path("suspend");
    let refund = of_refund("suspend");
    for (args, path, what) in [
        (&["agent", "revoke", AGENT][..], &*format!("agents/{AGENT}/revoke"), "revoke agt_"),
        (
            &["agent", "suspend", "--selector", "a=b"],
            "agents/suspend",
            "suspend every agent matching a=b",
        ),
        (&["token", "revoke", TOKEN_ID], &*format!("tokens/{TOKEN_ID}/revoke"), "revoke tok_"),
        (
            &["principal", "offboard", ALICE],
            "principals/alice@example.com/offboard",
            "offboard alice@",
        ),
        (&["halt", "--all"], "fleet/halt", "halt all agents: it"),
        (&refund[..6], &path, "suspend issue_refund for agt_"),
    ] {
        let would =
            |changed: bool| json!({ "dry_run": true, "changed": changed, "reach": reach(1, 3) });
        let args = [args, &["--reason", "r", "--dry-run"]].concat();
        let fake = answering(path, &would(true));
        let ended = kya(&fake.url, &args);
        assert_eq!((ended.code, fake.seen().len()), (0, 1), "{ended:?}");
        assert_eq!(fake.seen()[0].body["dry_run"], json!(true));
        assert!(ended.out.starts_with(&format!("Would {what}")), "{ended:?}");
        let end = "it reaches 1 agent and 3 unexpired tokens\nDry run: nothing was written\n";
        assert!(ended.out.ends_with(end), "{ended:?}");

        let fake = answering(path, &would(false));
        assert!(kya(&fake.url, &args).out.starts_with("Would change nothing, because it is so"));
        let fake = answering(path, &would(true));
        assert_eq!(kya(&fake.url, &[&args[..], &["-o", "json"]].concat()).json(), would(true));
        // What was done after all is not called a dry run.
        let mut done = would(true);
        done["dry_run"] = json!(false);
        let ended = kya(&answering(path, &done).url, &args);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
    }
}

#[test]
fn an_answer_about_somebody_else_is_no_stop() {
    let mut other_principal = principal_change("revoked", true);
    other_principal["principal"]["name"] = json!("bob");
    let mut other_action = capability_change("revoked", true, &[]);
    other_action["capability"]["action"] = json!("create_charge");
    let mut other_agent = capability_change("revoked", true, &[]);
    other_agent["capability"]["agent_id"] = json!("agt_01JXMK9P2Q3R4S5T6V7W8X9Y00");
    let mut other_selector = selection_change("revoked", 0);
    other_selector["selector"] = json!("env=prod");
    let offboard = ["principal", "offboard", ALICE, "--reason", "r"];
    let refund = of_refund("revoke");
    let selected = ["agent", "revoke", "--selector", "env=staging", "--reason", "r"];
    let offboarding = "principals/alice@example.com/offboard";
    for (args, path, answer) in [
        (&offboard[..], offboarding, other_principal),
        (&offboard, offboarding, principal_change("active", true)),
        (&refund, &capability_path("revoke"), other_action),
        (&refund, &capability_path("revoke"), other_agent),
        (&refund, &capability_path("revoke"), capability_change("active", true, &[])),
        (&selected, "agents/revoke", other_selector),
        (&selected, "agents/revoke", selection_change("suspended", 0)),
        (&["halt", "--all", "--reason", "r"], "fleet/halt", fleet_change("active", true)),
    ] {
        let ended = kya(&answering(path, &answer).url, args);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{args:?}: {ended:?}");
        assert!(ended.err.contains("it says that"), "{ended:?}");
    }
}

#[test]
fn every_stop_reports_as_json_in_the_same_way() {
    for (args, path, change) in [
        (&["halt", "--all"][..], "fleet/halt", fleet_change("suspended", true)),
        (
            &["agent", "suspend", "--selector", "env=staging"],
            "agents/suspend",
            selection_change("suspended", 0),
        ),
        (
            &["principal", "suspend", ALICE],
            "principals/alice@example.com/suspend",
            principal_change("suspended", true),
        ),
    ] {
        let fake = answering(path, &change);
        let ended = kya(&fake.url, &[args, &["--reason", "r", "-o", "json"]].concat());
        let expected = json!({ "change": change, "acknowledgements": acknowledgements(&[]) });
        assert_eq!((ended.code, ended.json()), (0, expected), "{args:?}");
    }
}

#[test]
fn principals_are_one_line_each() {
    let fake = Fake::start();
    let all =
        json!({ "principals": [principal("active")], "next": "prn_01JXMK9P2Q3R4S5T6V7W8X9Y0Z" });
    fake.on("GET /v1/principals", 200, &all);
    let ended = kya(&fake.url, &["principal", "list", "--status", "active", "--limit", "1"]);
    assert_eq!(
        ended.out,
        "\
PRINCIPAL ID                     NAME                STATUS   CREATED AT                 REVOKED AT
prn_01JXMK9P2Q3R4S5T6V7W8X9Y0Z   alice@example.com   active   2026-02-05T14:00:00.000Z   -
"
    );
    assert_eq!(ended.err, "There are more: --after prn_01JXMK9P2Q3R4S5T6V7W8X9Y0Z\n");
    assert_eq!(fake.seen()[0].line, "GET /v1/principals?status=active&limit=1");
    fake.on("GET /v1/principals", 200, &json!({ "principals": [], "next": null }));
    assert_eq!(kya(&fake.url, &["principal", "list"]).out, "No principals.\n");
}

#[test]
fn a_list_is_asked_for_by_selector_and_owner() {
    let fake = Fake::start();
    fake.on("GET /v1/agents", 200, &json!({ "agents": [], "next": null }));
    let args = [
        "agent",
        "list",
        "--selector",
        "env=prod,team!=x",
        "--owner",
        ALICE,
        "--status",
        "expired",
    ];
    assert_eq!(kya(&fake.url, &args).code, 0);
    let line = "GET /v1/agents?status=expired&selector=env%3Dprod%2Cteam%21%3Dx&owner=alice%40example.com&limit=1000";
    assert_eq!(fake.seen()[0].line, line);
}
