//! Capability tokens, and the keys that sign them.

use serde_json::{Value, json};

use crate::support::*;

const SIGNED: &str = "eyJhbGciOiJFZDI1NTE5In0.e30.AAAA";

fn revoked(id: &str) -> Value {
    let mut change = token_change(true);
    change["token"] = capability_token("revoked");
    change["token"]["token_id"] = json!(id);
    change
}

fn issuing() -> (Fake, Value) {
    let fake = Fake::start();
    let mut issued = capability_token("active");
    issued["token"] = json!(SIGNED);
    fake.on("POST /v1/capability-tokens", 201, &issued);
    (fake, issued)
}

const ISSUE: [&str; 11] = [
    "token",
    "issue",
    "--capability",
    "--agent",
    AGENT,
    "--service",
    "shop",
    "--action",
    "pay",
    "--action",
    "read",
];

#[test]
fn a_capability_token_alone_is_on_stdout() {
    let (fake, _) = issuing();
    let ended = kya(&fake.url, &ISSUE);
    assert_eq!((ended.code, &*ended.out), (0, &*format!("{SIGNED}\n")), "{}", ended.err);
    let sent = json!({
        "agent_id": AGENT, "services": ["shop"], "actions": ["pay", "read"], "ttl_seconds": 300,
    });
    assert_eq!(fake.seen()[0].body, sent);
    assert!(ended.err.contains(&format!("{CAP} of {AGENT}")), "{}", ended.err);
    assert!(ended.err.contains("shown this once: it is not kept"), "{}", ended.err);
    assert!(!ended.err.contains(SIGNED), "{}", ended.err);

    let (fake, issued) = issuing();
    let ended = kya(&fake.url, &[&ISSUE[..], &["--ttl", "90s", "-o", "json"]].concat());
    assert_eq!((ended.json(), &fake.seen()[0].body["ttl_seconds"]), (issued, &json!(90)));
}

#[test]
fn a_token_of_the_other_kind_is_not_passed_off_as_what_was_asked_for() {
    let fake = Fake::start();
    let mut issued = capability_token("active");
    (issued["token"], issued["token_id"]) = (json!("at_x"), json!(TOKEN_ID));
    fake.on("POST /v1/capability-tokens", 201, &issued);
    let ended = kya(&fake.url, &ISSUE);
    assert_eq!((ended.code, &*ended.out), (1, ""), "{}", ended.err);
    assert!(ended.err.contains("of the other kind"), "{}", ended.err);
}

#[test]
fn capability_tokens_are_listed_apart() {
    let fake = Fake::start();
    let page = json!({ "tokens": [capability_token("superseded")], "next": CAP });
    let list = ["token", "list", "--capability", "--agent", AGENT, "--after", CAP];
    fake.on("GET /v1/capability-tokens", 200, &page);
    let ended = kya(&fake.url, &list);
    assert_eq!(ended.code, 0, "{}", ended.err);
    let row = format!("{CAP}   {AGENT}   superseded   shop       pay,read");
    assert!(ended.out.lines().nth(1).unwrap().starts_with(&row), "{}", ended.out);
    assert!(ended.err.contains(&format!("--after {CAP}")), "{}", ended.err);
    let asked = format!("GET /v1/capability-tokens?agent_id={AGENT}&after={CAP}&limit=1000");
    assert_eq!(fake.seen()[0].line, asked);
    fake.on("GET /v1/capability-tokens", 200, &page);
    assert_eq!(kya(&fake.url, &[&list[..], &["-o", "json"]].concat()).json(), page);
}

#[test]
fn the_prefix_of_an_id_says_which_kind_is_revoked() {
    let why = ["--reason", "in_a_log", "--incident-id", "INC-7"];
    let path = format!("POST /v1/capability-tokens/{CAP}/revoke");
    let fake = Fake::start();
    fake.on(&path, 200, &revoked(CAP));
    fake.on(ACKS, 200, &acknowledgements(&[]));
    let revoke = [&["token", "revoke", CAP], &why[..]].concat();
    let ended = kya(&fake.url, &revoke);
    let lines = format!(
        "Revoked: {CAP}
All verify calls with this token will now return DENY
Revocation logged at: 2026-02-05T14:47:23.891Z
Acknowledged by 4 of 4 workers of 2 of 2 proxies in 3.1 ms
"
    );
    assert_eq!((ended.code, ended.out), (0, lines), "{}", ended.err);
    assert_eq!(fake.seen()[0].body, json!({ "reason": "in_a_log", "incident_id": "INC-7" }));

    // The ULID alone does not name it.
    let fake = Fake::start();
    fake.on(&path, 200, &revoked(TOKEN_ID));
    let ended = kya(&fake.url, &revoke);
    assert_eq!((ended.code, &*ended.out), (1, ""), "{}", ended.err);

    let would = json!({ "dry_run": true, "changed": true, "reach": reach(0, 1) });
    fake.on(&path, 200, &would);
    let ended = kya(&fake.url, &[&revoke[..], &["--dry-run"]].concat());
    let lines =
        format!("Would revoke {CAP}: it reaches 1 unexpired token\nDry run: nothing was written\n");
    assert_eq!((ended.code, ended.out), (0, lines), "{}", ended.err);
    let sent = json!({ "reason": "in_a_log", "incident_id": "INC-7", "dry_run": true });
    assert_eq!(fake.seen()[1].body, sent);
}

#[test]
fn wrong_ids_and_lifetimes_are_refused_before_anything_is_sent() {
    let fake = Fake::start();
    let cases: [(&[&str], &str); 8] = [
        (&["token", "list", "--capability", "--after", TOKEN_ID], "`--after` takes `cap_…`"),
        (&["token", "list", "--after", CAP], "`--after` takes `cap_…`"),
        (&["token", "revoke", "cap_x", "--reason", "r"], "26 upper-case base32"),
        (&["token", "revoke", AGENT, "--reason", "r"], "`tok_`, or with `cap_`"),
        (&["token", "issue", "--capability", "--agent", AGENT, "--ttl", "25h"], "24h at most"),
        (&["token-key", "activate"], "<FILE|KEY>"),
        (&["token-key", "activate", "ed25519:AAAA"], "<FILE|KEY>"),
        (&["token-key", "retire", KEY], "--reason"),
    ];
    for (args, part) in cases {
        let ended = kya(&fake.url, args);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}: {ended:?}");
        assert!(ended.err.contains(part), "{args:?}: {}", ended.err);
    }
    // Somebody gives the token in the place of its id.
    let ended = kya(&fake.url, &["token", "revoke", SIGNED, "--reason", "r"]);
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("a token, not its id") && !ended.err.contains(SIGNED), "{ended:?}");
    assert_eq!(fake.seen(), []);
}

fn stepping(step_name: &str, answer: &Value) -> Fake {
    let fake = Fake::start();
    fake.on(&format!("POST /v1/token-keys/{step_name}"), 200, answer);
    fake.on(ACKS, 200, &acknowledgements(&[]));
    fake
}

#[test]
fn the_issuer_and_its_keys_are_listed() {
    let fake = Fake::start();
    fake.on("GET /v1/token-keys", 200, &issuer("active"));
    let ended = kya(&fake.url, &["token-key", "list"]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    for part in ["KEY ID", "a-thumbprint", "active", KEY] {
        assert!(ended.out.contains(part), "{part}: {}", ended.out);
    }
    let said = "The issuer is https://kya.example; its tokens live for 1h at most.";
    assert!(ended.err.contains(said), "{}", ended.err);
    fake.on("GET /v1/token-keys", 200, &issuer("active"));
    assert_eq!(kya(&fake.url, &["-o", "json", "token-key", "list"]).json(), issuer("active"));
    let none = json!({ "issuer": null, "max_lifetime_seconds": 3600, "keys": [], "revision": 0 });
    fake.on("GET /v1/token-keys", 200, &none);
    let ended = kya(&fake.url, &["token-key", "list"]);
    assert_eq!((ended.code, &*ended.out), (0, "No keys.\n"));
    assert!(ended.err.contains("--issuer"), "{}", ended.err);
}

#[test]
fn an_announced_key_alone_is_on_stdout_and_who_knows_it_beside() {
    let announce = ["token-key", "announce"];
    let fake = stepping("announce", &token_key_step("published"));
    let ended = kya(&fake.url, &announce);
    assert_eq!((ended.code, &*ended.out), (0, &*format!("{KEY}\n")), "{}", ended.err);
    assert!(ended.err.contains("The private half is in token-"), "{}", ended.err);
    assert!(ended.err.contains("Acknowledged by 4 of 4 workers"), "{}", ended.err);
    assert_eq!(fake.seen()[0].body, json!({}));

    let fake = stepping("announce", &token_key_step("published"));
    fake.on(ACKS, 200, &acknowledgements(&[("sidecar", 1)]));
    let err = kya(&fake.url, &announce).err;
    let part = "Whatever has not acknowledged does not know the key, and denies what it signs.";
    assert!(err.contains(part), "{err}");

    let fake = stepping("announce", &token_key_step("published"));
    let json = kya(&fake.url, &["-o", "json", "token-key", "announce"]).json();
    assert_eq!(
        (&json["change"], &json["acknowledgements"]["complete"]),
        (&token_key_step("published"), &json!(true))
    );
}

#[test]
fn a_key_is_activated_and_retired_by_itself() {
    let fake = stepping("activate", &token_key_step("active"));
    let ended = kya(&fake.url, &["token-key", "activate", KEY]);
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(ended.out.starts_with(&format!("Activated: {KEY}\nIt signs")), "{}", ended.out);
    assert_eq!(fake.seen()[0].body, json!({ "public_key": KEY }));

    let fake = stepping("retire", &token_key_step("retired"));
    let retire = ["token-key", "retire", KEY, "--reason", "stolen", "--incident-id", "INC-7"];
    let ended = kya(&fake.url, &retire);
    assert!(ended.out.starts_with(&format!("Retired: {KEY}\n")), "{ended:?}");
    assert!(ended.out.contains("Acknowledged by 4 of 4 workers"), "{ended:?}");
    let sent = json!({ "public_key": KEY, "reason": "stolen", "incident_id": "INC-7" });
    assert_eq!(fake.seen()[0].body, sent);

    // It is not said to be retired unless the server says so.
    let ended = kya(&stepping("retire", &token_key_step("active")).url, &retire);
    assert_eq!((ended.code, &*ended.out), (1, ""), "{}", ended.err);
    assert!(ended.err.contains("it says that it is active"), "{}", ended.err);

    let why = "the key signs now: activate another one before it is retired";
    let fake = Fake::start();
    fake.on("POST /v1/token-keys/retire", 409, &problem(409, "conflict", why));
    let ended = kya(&fake.url, &retire);
    assert_eq!((ended.code, &*ended.out), (1, ""));
    assert!(ended.err.contains(why), "{}", ended.err);
}
