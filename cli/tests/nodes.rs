//! `kya node …`

use serde_json::json;

use crate::support::*;

#[test]
fn the_credential_of_a_new_node_alone_is_on_stdout() {
    let fake = willing();
    let ended = kya(&fake.url, &["node", "add", "web-1"]);
    assert_eq!((ended.code, &*ended.out), (0, "nc_the-credential-itself\n"));
    assert!(ended.err.contains("web-1 for node.id web-*, expires 2026-05-06T14:00"), "{ended:?}");
    assert!(!ended.err.contains("nc_the-credential-itself"), "{ended:?}");
    assert_eq!(fake.seen()[0].body, json!({"name": "web-1"}));

    let fake = willing();
    let options = ["--match", "sidecar~*", "--expires-in", "90d", "-q"];
    let ended = kya(&fake.url, &[&["node", "add", "web-1"], &options[..]].concat());
    assert_eq!((&*ended.out, &*ended.err), ("nc_the-credential-itself\n", ""));
    let body = json!({"name": "web-1", "match": "sidecar~*", "ttl_seconds": 7_776_000});
    assert_eq!(fake.seen()[0].body, body);
}

#[test]
fn a_revoked_registration_is_said_to_be_only_if_the_server_says_so() {
    let revoke = ["node", "revoke", "web-1", "--reason", "lost", "--incident-id", "INC-1"];
    let fake = willing();
    let ended = kya(&fake.url, &revoke);
    assert_eq!(
        ended.out,
        "\
Revoked: web-1
No proxy is let in with its credential, and the streams that it opened are ended
Revocation logged at: 2026-02-05T14:47:23.891Z
"
    );
    assert_eq!(fake.seen()[0].body, json!({"reason": "lost", "incident_id": "INC-1"}));
    let path = "POST /v1/nodes/web-1/revoke";
    fake.on(path, 200, &json!({"node": registration("revoked"), "changed": false}));
    assert!(kya(&fake.url, &revoke).out.ends_with("(already revoked; nothing changed)\n"));
    let mut other = registration("revoked");
    other["name"] = json!("web-2");
    for wrong in [registration("active"), other] {
        fake.on(path, 200, &json!({"node": wrong, "changed": true}));
        let ended = kya(&fake.url, &revoke);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{ended:?}");
        assert!(ended.err.contains("asked to revoke web-1, it says that"), "{ended:?}");
    }
}

#[test]
fn nodes_are_one_line_a_proxy_and_show_which_is_armed_and_why_not() {
    let ended = kya(&willing().url, &["node", "list"]);
    assert_eq!(
        ended.out,
        "\
NODE        STATE     WHY                                                    WORKERS   REVISION       AGE     CLOCK    FILTER   REGISTRATION
sidecar-a   armed     -                                                      2         42             1.2 s   -1.5 s   0.1.0    web-1
sidecar-b   stale     worker 1 decides by revision 40, 2 behind since 12 s   2         40, 2 behind   -       +3 ms    0.1.0    web-1
sidecar-c   stale     no worker is named                                     0         -              -       -        0.1.0    web-1
sidecar-d   unknown   it is not connected since 14:30                        -         -              -       -        -        web-1
web-9       unknown   no proxy has connected by it                           -         -              -       -        -        web-9

Newest revision: 42 (epoch 1)

REGISTRATION   MATCH   STATUS   CONNECTED   CREATED AT                 EXPIRES AT                 REVOKED AT
web-1          web-*   active   3           2026-02-05T14:00:00.000Z   2026-05-06T14:00:00.000Z   -
web-9          web-9   active   0           2026-02-05T14:00:00.000Z   2026-05-06T14:00:00.000Z   -
"
    );
    let json = kya(&willing().url, &["node", "list", "-o", "json"]).json();
    assert_eq!(json, nodes());
}

#[test]
fn a_control_plane_that_does_not_say_who_is_armed_is_not_taken_to() {
    let mut old = nodes();
    old["nodes"][0].as_object_mut().unwrap().remove("armed");
    let fake = Fake::start();
    fake.on("GET /v1/nodes", 200, &old);
    let ended = kya(&fake.url, &["node", "list"]);
    let line = ended.out.lines().nth(1).unwrap();
    assert!(line.starts_with("sidecar-a   unknown   this control plane does not say"), "{line}");
}

#[test]
fn a_challenge_shows_every_answer_and_ends_well_only_if_all_are_armed() {
    let fake = willing();
    let ended = kya(&fake.url, &["node", "challenge", "sidecar~a/b", "--wait", "2s"]);
    assert_eq!((ended.code, &*ended.err), (0, ""));
    let nonce = "00ff".repeat(16);
    assert_eq!(
        ended.out,
        format!(
            "\
NODE        STATE   WHY   WORKER   INSTANCE           REVISION   AGE      ANSWERED AFTER   FILTER   CONFIGURATION
sidecar-a   armed   -     0        00000000000000ff   42         230 ms   1.2 ms           0.1.0    0123456789ab
sidecar-a   armed   -     1        00000000000000ff   42         230 ms   3.0 ms           0.1.0    0123456789ab

Challenged at: 2026-02-05T14:47:23.891Z, with the nonce {nonce}
Newest revision: 42 (epoch 1)
"
        )
    );
    let seen = fake.seen().remove(0);
    assert_eq!(seen.line, "POST /v1/challenges");
    assert_eq!(seen.body, json!({ "node_id": "sidecar~a/b", "wait_ms": 2000 }));

    kya(&fake.url, &["node", "challenge"]);
    assert_eq!(fake.seen()[1].body, json!({ "wait_ms": 5000 }));

    fake.on("POST /v1/challenges", 200, &proof(false));
    let ended = kya(&fake.url, &["node", "challenge"]);
    assert_eq!((ended.code, &*ended.err), (4, "kya: 1 of 2 challenged proxies are armed\n"));
    let line = ended.out.lines().nth(4).unwrap();
    assert!(line.starts_with("sidecar-b   stale   worker 1 has not answered"), "{line}");
    fake.on("POST /v1/challenges", 200, &proof(false));
    let ended = kya(&fake.url, &["node", "challenge", "-o", "json"]);
    assert_eq!((ended.code, ended.json()), (4, proof(false)));
    assert_eq!(ended.problem()["code"], "not_armed");
}

#[test]
fn what_proves_less_than_it_says_is_no_proof() {
    let nobody = json!({ "challenged": 0, "nodes": [] });
    let left = json!({ "challenged": 2, "left": 1 });
    let one_too_few = json!({ "challenged": 2 });
    let stale = json!({ "nodes": proof(false)["nodes"], "challenged": 2 });
    for (change, said) in [
        (nobody, "no proxy is connected, so that none was challenged"),
        (left, "1 of 2 challenged proxies are armed, and 1 left while asked"),
        (one_too_few, "1 of 2 challenged proxies are armed"),
        (stale, "1 of 2 challenged proxies are armed"),
    ] {
        // It says `"armed": true` all the same.
        let mut claim = proof(true);
        claim.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let fake = Fake::start();
        fake.on("POST /v1/challenges", 200, &claim);
        let ended = kya(&fake.url, &["node", "challenge"]);
        assert_eq!((ended.code, ended.err), (4, format!("kya: {said}\n")));
    }
}
