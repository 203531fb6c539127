//! Command lines that are wrong: exit 2, a reason, and nothing sent.

use crate::support::*;

#[test]
fn bad_input_is_refused_before_anything_is_sent() {
    let fake = Fake::start();
    let long_name = "n".repeat(129);
    let long_reason = "r".repeat(257);
    let cases: &[(&[&str], &str)] = &[
        (&[], "Usage: kya"),
        (&["agent"], "Usage: kya agent"),
        (&["agents"], "unrecognized subcommand"),
        (&["agent", "register"], "--name"),
        (&["agent", "register", "--name", ""], "must not be empty"),
        (&["agent", "register", "--name", &long_name], "129 characters, and 128 are allowed"),
        (
            &["agent", "register", "--name", "n", "--pubkey", "ed25519:AAAA"],
            "not the SubjectPublicKey",
        ),
        (
            &["agent", "register", "--name", "n", "--pubkey", "/nonexistent.pub"],
            "nor a file that can be read",
        ),
        (&["agent", "register", "--name", "n", "--pubkey", ""], "nor a file that can be read"),
        (
            &["agent", "list", "--status", "dead"],
            "possible values: active, suspended, revoked, expired",
        ),
        (&["agent", "list", "--limit", "0"], "1..=1000"),
        (&["agent", "list", "--limit", "1001"], "1..=1000"),
        (&["agent", "list", "--after", TOKEN_ID], "must start with `agt_`"),
        (&["agent", "show"], "<ID>"),
        (&["agent", "show", ""], "must start with `agt_`"),
        (&["agent", "show", TOKEN_ID], "must start with `agt_`"),
        (&["agent", "show", "agt_01jxmk9p2q3r4s5t6v7w8x9y0z"], "26 upper-case base32"),
        (&["agent", "show", "agt_../../v1/nodes"], "26 upper-case base32"),
        (&["agent", "revoke", AGENT], "--reason"),
        (&["agent", "revoke", AGENT, "--reason", ""], "must not be empty"),
        (
            &["agent", "revoke", AGENT, "--reason", &long_reason],
            "257 characters, and 256 are allowed",
        ),
        (&["agent", "revoke", AGENT, "--reason", "r", "--incident-id", ""], "must not be empty"),
        (&["agent", "revoke", AGENT, "--reason", "r", "--wait", "31s"], "at most 30s"),
        (&["agent", "revoke", AGENT, "--reason", "r", "--wait", "soon"], "like 90s or 24h"),
        (&["agent", "revoke", AGENT, "--reason", " \t"], "must not be empty"),
        (&["agent", "revoke", AGENT, "--reason", "a\nb"], "control characters"),
        (&["agent", "register", "--name", "\u{1b}[2J"], "control characters"),
        (&["agent", "suspend", AGENT], "--reason"),
        (&["agent", "restore", AGENT, "--reason", ""], "must not be empty"),
        (&["agent", "list", "--selector", ""], "key=value"),
        (&["agent", "list", "--owner", "Alice"], "only a-z"),
        (&["agent", "register", "--name", "n", "--owner", "prn_x"], "principal id"),
        (&["agent", "register", "--name", "n", "--label", "env"], "it is written key=value"),
        (&["agent", "register", "--name", "n", "--label", "Env=x"], "only a-z"),
        (&["agent", "register", "--name", "n", "--label", "env="], "1 to 128 printable"),
        (
            &["agent", "register", "--name", "n", "--expires-at", "2020-01-01T00:00:00Z"],
            "must be in the future",
        ),
        (&["agent", "register", "--name", "n", "--expires-at", "soon"], "2027-01-31T12:00:00Z"),
        (&["agent", "revoke", "--reason", "r"], "<ID|--selector <SELECTOR>>"),
        (
            &["agent", "suspend", AGENT, "--selector", "env=x", "--reason", "r"],
            "cannot be used with",
        ),
        (&["agent", "suspend", "--selector", "env=", "--reason", "r"], "1 to 128 printable"),
        (&["agent", "suspend", "--selector", "env=x"], "--reason"),
        (&["principal"], "Usage: kya principal"),
        (&["principal", "add"], "<NAME>"),
        (&["principal", "add", "\u{430}lice"], "only a-z"),
        (&["principal", "add", "a@b@c"], "at most one `@`"),
        (&["principal", "add", "prn_x"], "not `prn_`"),
        (&["principal", "offboard", ALICE], "--reason"),
        (&["principal", "offboard", "--reason", "r"], "<NAME|ID>"),
        (&["principal", "restore", "", "--reason", "r"], "must not be empty"),
        (&["capability", "revoke", "--agent", AGENT, "--reason", "r"], "--action"),
        (&["capability", "revoke", "--action", "x", "--reason", "r"], "--agent"),
        (
            &["capability", "revoke", "--agent", AGENT, "--action", "*", "--reason", "r"],
            "'*' at byte 0",
        ),
        (&["capability", "list"], "--agent"),
        (&["halt", "--reason", "r"], "--all"),
        (&["halt", "--all"], "--reason"),
        (&["resume"], "--reason"),
        (&["resume", "--reason", "r"], "say --yes; nothing was sent"),
        (&["token", "issue"], "--agent"),
        (&["token", "issue", "--agent", "billing-agent"], "must start with `agt_`"),
        (&["token", "issue", "--agent", AGENT, "--ttl", "0s"], "between 1s and 365days"),
        (&["token", "issue", "--agent", AGENT, "--ttl", "366days"], "between 1s and 365days"),
        (&["token", "issue", "--agent", AGENT, "--ttl", "1500ms"], "whole seconds"),
        (&["token", "issue", "--agent", AGENT, "--ttl", "24"], "like 90s or 24h"),
        (&["token", "revoke", AGENT, "--reason", "r"], "must start with `tok_`"),
        (&["token", "revoke", TOKEN_ID], "--reason"),
        (&["node", "add"], "<NAME>"),
        (&["node", "add", ""], "must not be empty"),
        (&["node", "add", "a/b"], "only letters, digits"),
        (&["node", "add", ".."], "a letter or digit first"),
        (&["node", "add", &long_name], "129 characters, and 128 are allowed"),
        (&["node", "add", "a", "--match", ""], "must not be empty"),
        (&["node", "add", "a", "--match", "a\nb"], "control characters"),
        (&["node", "add", "a", "--expires-in", "0s"], "between 1s and 3650days"),
        (&["node", "revoke", "a"], "--reason"),
        (&["node", "revoke", "-a", "--reason", "r"], "unexpected argument"),
        (&["operator"], "Usage: kya operator"),
        (&["operator", "add", "a"], "--role"),
        (&["operator", "add", "--role", "viewer"], "<NAME>"),
        (&["operator", "add", "a/b", "--role", "viewer"], "only letters, digits"),
        (&["operator", "add", "\u{430}nna", "--role", "viewer"], "only letters, digits"),
        (
            &["operator", "add", "a", "--role", "root"],
            "possible values: viewer, auditor, operator, admin",
        ),
        (
            &["operator", "add", "a", "--role", "viewer", "--expires-in", "0s"],
            "between 1s and 3650",
        ),
        (&["operator", "revoke", "a"], "--reason"),
        (&["node", "list", "--server", "localhost:7080"], "http://HOST:PORT"),
        (&["node", "list", "--timeout", "0s"], "longer than nothing"),
        (&["node", "list", "-o", "yaml"], "possible values: table, json"),
    ];
    for (args, part) in cases {
        let ended = kya(&fake.url, args);
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}: {ended:?}");
        assert!(ended.err.contains(part), "{args:?} does not say {part:?}: {}", ended.err);
    }
    assert_eq!(fake.seen(), []);
}

#[test]
fn a_private_key_is_refused_and_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.key");
    let secret = "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC";
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{secret}\n-----END PRIVATE KEY-----\n");
    std::fs::write(&path, pem).unwrap();
    let fake = Fake::start();
    let args = ["agent", "register", "--name", "n", "--pubkey", path.to_str().unwrap()];
    let ended = kya(&fake.url, &args);
    assert_eq!(ended.code, 2);
    assert!(ended.err.contains("a private key, which must stay with the agent"), "{ended:?}");
    assert!(!ended.err.contains(secret), "{ended:?}");
    assert_eq!(fake.seen(), []);
}

#[test]
fn a_token_in_the_place_of_its_id_is_not_repeated() {
    let token = "at_4Zq9secret";
    let credential = kya_core::NodeCredential::from_random([7; 32]);
    let credential = credential.reveal();
    let key = kya_core::OperatorKey::from_random([7; 32]);
    let key = key.reveal();
    for args in [
        &["token", "revoke", token, "--reason", "r"][..],
        &["agent", "show", token],
        &["agent", "show", AGENT, token],
        &["token", token],
        &["token", "issue", "--agent", token, "-o", "json"],
        &["node", "revoke", credential, "--reason", "r"],
        &["node", "challenge", credential],
        &["operator", "revoke", key, "--reason", "r"],
        &["operator", key],
    ] {
        let ended = kya("http://127.0.0.1:9", args);
        assert_eq!(ended.code, 2, "{args:?}");
        let shown = ended.err.contains("secret") || ended.err.contains(&credential[3..20]);
        assert!(!shown, "{args:?}: {ended:?}");
        let said = ["a token, not its id", "a credential, not its name", "a key, not the name of"];
        assert!(said.iter().any(|said| ended.err.contains(said)), "{args:?}: {ended:?}");
    }
}

#[test]
fn the_usage_line_shows_what_the_command_needs_and_not_what_the_environment_sets() {
    let ended = kya("http://127.0.0.1:9", &["agent", "revoke", AGENT]);
    let usage = ended.err.lines().find(|line| line.starts_with("Usage:")).unwrap();
    assert!(usage.contains("--reason <REASON>"), "{usage}");
    assert!(!usage.contains("--server") && !usage.contains("--token"), "{usage}");
    let ended = kya("nonsense", &["node", "list"]);
    assert!(ended.code == 2 && ended.err.contains("http://HOST:PORT"), "{ended:?}");
}

#[test]
fn help_teaches_and_is_no_error() {
    for args in [
        &["--help"][..],
        &["-h"],
        &["help", "agent", "revoke"],
        &["token", "issue", "--help"],
        &["node", "challenge", "--help"],
        &["node", "list", "--help"],
        &["operator", "add", "--help"],
        &["whoami", "--help"],
    ] {
        let ended = kya("http://127.0.0.1:9", args);
        assert_eq!((ended.code, &*ended.err), (0, ""), "{args:?}");
        assert!(ended.out.contains("KYA_SERVER") && ended.out.contains("KYA_TOKEN"), "{args:?}");
        assert!(ended.out.contains("Example"), "{args:?}");
    }
    let ended = kya("http://127.0.0.1:9", &["--version"]);
    assert_eq!((ended.code, ended.out), (0, format!("kya {}\n", env!("CARGO_PKG_VERSION"))));
}
