//! `kya approval …`, and what every restoration says that waits for a second operator.

use serde_json::json;

use crate::support::*;

const RESTORE: &str = "POST /v1/agents/agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z/restore";
const APPROVE: &str = "POST /v1/approvals/apr_01JXMK9P2Q3R4S5T6V7W8X9Y0Z/approve";
const REJECT: &str = "POST /v1/approvals/apr_01JXMK9P2Q3R4S5T6V7W8X9Y0Z/reject";

#[test]
fn a_restoration_that_waits_says_so_and_has_an_exit_code_of_its_own() {
    let fake = Fake::start();
    let restorations: [(&str, &[&str]); 4] = [
        (RESTORE, &["agent", "restore", AGENT, "--reason", "r"]),
        (
            "POST /v1/agents/agt_01JXMK9P2Q3R4S5T6V7W8X9Y0Z/capabilities/restore",
            &["capability", "restore", "--agent", AGENT, "--action", "pay"],
        ),
        ("POST /v1/principals/alice@example.com/restore", &["principal", "restore", ALICE]),
        ("POST /v1/fleet/resume", &["resume", "--yes", "--reason", "r"]),
    ];
    for (line, args) in restorations {
        fake.on(line, 202, &approval("pending"));
        let ended = kya(&fake.url, args);
        assert_eq!(ended.code, 6, "{ended:?}");
        assert_eq!(
            ended.out,
            format!(
                "Waits for a second operator: {APPROVAL}\nTo be restored: agent {AGENT}, as oncall-anna asked\nUntil 2026-02-05T15:02:00.000Z somebody else may run: kya approval approve {APPROVAL}\n"
            )
        );
        let said = format!(
            "kya: nothing is restored yet: {APPROVAL} has to be approved by another operator than oncall-anna\n"
        );
        assert_eq!(ended.err, said);
    }
    // Nobody was asked who has acknowledged what was not done.
    assert_eq!(fake.seen().len(), restorations.len());

    fake.on(RESTORE, 202, &approval("pending"));
    let ended = kya(&fake.url, &["-o", "json", "agent", "restore", AGENT]);
    assert_eq!((ended.code, ended.json()), (6, approval("pending")));
    assert_eq!(ended.problem()["code"], "awaits_approval");
    fake.on(RESTORE, 202, &json!({ "accepted": true }));
    let ended = kya(&fake.url, &["agent", "restore", AGENT]);
    assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
}

#[test]
fn an_approval_says_what_was_restored_and_who_has_acknowledged_it() {
    let fake = Fake::start();
    for (changed, last) in [(true, ""), (false, "\n(already approved; nothing changed)")] {
        fake.on(APPROVE, 200, &approval_change(changed));
        fake.on(ACKS, 200, &acknowledgements(&[]));
        let ended = kya(&fake.url, &["approval", "approve", APPROVAL, "--reason", "seen"]);
        let said = format!(
            "Approved: {APPROVAL}\nRestored: agent {AGENT}, as oncall-anna asked\nRestoration logged at: 2026-02-05T14:47:23.891Z{last}\nAcknowledged by "
        );
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.out.starts_with(&said), "{ended:?}");
    }
    assert_eq!(fake.seen()[0].body, json!({ "reason": "seen" }));
    fake.on(APPROVE, 200, &approval_change(true));
    fake.on(ACKS, 200, &acknowledgements(&[]));
    let ended = kya(&fake.url, &["-o", "json", "approval", "approve", APPROVAL]);
    assert_eq!(ended.json()["change"], approval_change(true));
    let refused = problem(409, "conflict", "it is void");
    fake.on(APPROVE, 409, &refused);
    let ended = kya(&fake.url, &["-o", "json", "approval", "approve", APPROVAL]);
    assert_eq!((ended.code, ended.problem()), (1, refused));
}

#[test]
fn approved_and_rejected_are_said_only_if_the_server_says_so() {
    let fake = Fake::start();
    let mut other = approval_change(true);
    other["approval"]["status"] = json!("pending");
    fake.on(APPROVE, 200, &other);
    let ended = kya(&fake.url, &["approval", "approve", APPROVAL]);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    assert!(ended.err.contains(&format!("it says that {APPROVAL} is pending")), "{ended:?}");
    fake.on(REJECT, 200, &approval("approved"));
    let ended = kya(&fake.url, &["approval", "reject", APPROVAL]);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    assert!(ended.err.contains(&format!("it says that {APPROVAL} is approved")), "{ended:?}");

    fake.on(REJECT, 200, &approval("rejected"));
    let ended = kya(&fake.url, &["approval", "reject", APPROVAL]);
    let said = format!(
        "Rejected: {APPROVAL}\nStays stopped: agent {AGENT}\nRejection logged at: 2026-02-05T14:47:23.891Z\n"
    );
    assert_eq!((ended.code, ended.out), (0, said));
    fake.on(REJECT, 200, &approval("rejected"));
    let ended = kya(&fake.url, &["-o", "json", "approval", "reject", APPROVAL]);
    assert_eq!(ended.json(), approval("rejected"));
}

#[test]
fn approvals_are_one_line_each_and_the_list_says_how_to_go_on() {
    let fake = Fake::start();
    let mut evil = approval("pending");
    evil["reason"] = json!("a\u{1b}[2Jb");
    let page = json!({ "approvals": [evil, approval("approved")], "next": APPROVAL });
    fake.on("GET /v1/approvals", 200, &page);
    let ended = kya(&fake.url, &["approval", "list", "--all", "--limit", "2"]);
    let lines: Vec<_> = ended.out.lines().collect();
    let row = format!("{APPROVAL}   pending    agent {AGENT}   oncall-anna");
    assert!(lines[1].starts_with(&row), "{ended:?}");
    assert!(lines[1].contains("a\\u{1b}[2Jb") && lines[2].contains("   boss "), "{ended:?}");
    assert_eq!(ended.err, format!("There are more: --after {APPROVAL}\n"));
    assert_eq!(fake.seen()[0].line, "GET /v1/approvals?all=true&limit=2");
    fake.on("GET /v1/approvals", 200, &json!({ "approvals": [], "next": null }));
    let ended = kya(&fake.url, &["approval", "list"]);
    assert_eq!(ended.out, "Nothing waits for a second operator.\n");
    assert_eq!(fake.seen()[1].line, "GET /v1/approvals?limit=1000");
}
