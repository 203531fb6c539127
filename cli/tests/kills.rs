//! `kya kill …`, and the id that every stop prints.

use serde_json::json;

use crate::support::*;

const SHOW: &str = "GET /v1/kills/kil_01JXMK9P2Q3R4S5T6V7W8X9Y0Z";

#[test]
fn a_stop_says_under_which_id_it_is_found() {
    let fake = Fake::start();
    let mut stopped = change("revoked", true);
    stopped["kill_id"] = json!(KILL);
    fake.on(&format!("POST /v1/agents/{AGENT}/revoke"), 200, &stopped);
    fake.on(ACKS, 200, &acknowledgements(&[]));
    let revoke = ["agent", "revoke", AGENT, "--reason", "leak"];
    let ended = kya(&fake.url, &revoke);
    let lines: Vec<_> = ended.out.lines().collect();
    assert_eq!((ended.code, lines.len()), (0, 5), "{}", ended.out);
    assert_eq!(lines.last(), Some(&&*format!("Kill: {KILL}")));
    fake.on(&format!("POST /v1/agents/{AGENT}/revoke"), 200, &stopped);
    fake.on(ACKS, 200, &acknowledgements(&[]));
    let ended = kya(&fake.url, &["-o", "json", "agent", "revoke", AGENT, "--reason", "leak"]);
    assert_eq!(ended.json()["change"]["kill_id"], KILL);
    // It is told though nobody can say who has acknowledged it.
    fake.on(&format!("POST /v1/agents/{AGENT}/revoke"), 200, &stopped);
    fake.on(ACKS, 500, &problem(500, "internal", "broken"));
    let ended = kya(&fake.url, &revoke);
    assert_ne!(ended.code, 0);
    assert!(ended.out.ends_with(&format!("\nKill: {KILL}\n")), "{}", ended.out);
}

#[test]
fn kills_are_listed_with_what_is_asked_for() {
    let fake = Fake::start();
    fake.on("GET /v1/kills", 200, &json!({ "kills": [a_kill()], "next": KILL }));
    let ended = kya(&fake.url, &["kill", "list"]);
    let rows: Vec<Vec<_>> =
        ended.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let at = "2026-02-05T14:47:23.891Z";
    let row = [KILL, at, "agent.revoked", AGENT, "oncall-anna", "leak", "-"];
    assert_eq!(rows[1], row);
    assert_eq!(ended.err, format!("There are more: --before {KILL}\n"));
    fake.on("GET /v1/kills", 200, &json!({ "kills": [], "next": null }));
    let asked =
        ["kill", "list", "--act", "agent.revoked", "--incident-id", "INC-1", "--limit", "5"];
    assert_eq!(kya(&fake.url, &asked).out, "No kills.\n");
    let seen: Vec<_> = fake.seen().into_iter().map(|seen| seen.line).collect();
    let asked_for = "GET /v1/kills?act=agent.revoked&incident_id=INC-1&limit=5";
    assert_eq!(seen, ["GET /v1/kills?limit=100", asked_for]);
}

#[test]
fn a_kill_shows_its_rows_its_workers_and_what_was_in_flight() {
    let fake = Fake::start();
    let requests = json!([
        { "decision_number": 4, "agent_id": AGENT, "ending": "abort",
          "disposition": "escalated", "reported_seq": 101, "ended_seq": 102 },
        { "decision_number": 5, "agent_id": null, "ending": "drain",
          "disposition": null, "reported_seq": 103, "ended_seq": null },
    ]);
    let workers = [kill_worker("applied", &requests), kill_worker("waiting", &json!([]))];
    fake.on(SHOW, 200, &kill_report(false, &workers));
    let ended = kya(&fake.url, &["kill", "show", KILL]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let has = |words: &[&str]| {
        let is = |line: &str| line.split_whitespace().eq(words.iter().copied());
        assert!(ended.out.lines().any(is), "no {words:?} in\n{}", ended.out);
    };
    has(&["By", "oncall-anna", "(operator)"]);
    has(&["Complete", "no"]);
    has(&["As", "it", "is."]);
    has(&["13", "kill_scope", "2", "agents,", "3", "tokens,", "1", "capability", "tokens"]);
    has(&["web-1", "0", "0000000000000009", "waiting", "-", "-", "-"]);
    has(&["web-1", "0", "4", AGENT, "abort", "escalated", "102"]);
    has(&["web-1", "0", "5", "-", "drain", "goes", "on", "-"]);
    fake.on(SHOW, 200, &kill_report(false, &workers));
    let ended = kya(&fake.url, &["-o", "json", "kill", "show", KILL]);
    assert_eq!(ended.json(), kill_report(false, &workers));
}

#[test]
fn waiting_for_a_kill_fails_and_names_who_lags() {
    let fake = Fake::start();
    let asked = ["kill", "wait", KILL, "--timeout", "5s"];
    fake.on(SHOW, 200, &kill_report(true, &[kill_worker("done", &json!([]))]));
    let ended = kya(&fake.url, &asked);
    assert_eq!((ended.code, &*ended.out), (0, "As it is.\n"));
    assert_eq!(fake.seen()[0].line, format!("{SHOW}?wait=5000ms"));
    let workers = [kill_worker("waiting", &json!([])), kill_worker("applied", &json!([]))];
    fake.on(SHOW, 200, &kill_report(false, &workers));
    let ended = kya(&fake.url, &asked);
    assert_eq!(ended.code, 1);
    let said = "As it is.\nNot yet: web-1/0000000000000009\nRequests go on: web-1 worker 0\n";
    assert_eq!(ended.out, said);
    assert!(ended.err.contains("is not complete: 1 of 2 workers"), "{}", ended.err);
    // Nobody was there: that is nobody's acknowledgement.
    fake.on(SHOW, 200, &kill_report(true, &[]));
    assert_eq!(kya(&fake.url, &asked).code, 1);
    fake.on(SHOW, 200, &kill_report(true, &[]));
    let ended = kya(&fake.url, &["-o", "json", "kill", "wait", KILL, "--timeout", "5s"]);
    assert_eq!((ended.code, ended.problem()["code"].clone()), (1, json!("kill_incomplete")));
    // Another kill is not the one that was asked about.
    let mut other = kill_report(true, &[kill_worker("done", &json!([]))]);
    other["kill"]["kill_id"] = json!("kil_01JXMK9P2Q3R4S5T6V7W8X9Y00");
    fake.on(SHOW, 200, &other);
    assert_eq!(kya(&fake.url, &asked).code, 1);
}
