//! What holds of every command.

use std::net::TcpListener;

use crate::support::*;

#[test]
fn every_command_ends_well_against_a_willing_server() {
    for args in COMMANDS {
        let ended = kya(&willing().url, args);
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        assert!(!ended.out.is_empty(), "{args:?} printed nothing");

        let ended = kya(&willing().url, &[&["-o", "json"], args].concat());
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        match args {
            // It is the export that has a form.
            ["audit", "export", ..] => assert_eq!(ended.out.lines().count(), 4, "{ended:?}"),
            _ => assert!(ended.json().is_object(), "{args:?}"),
        }
    }
}

#[test]
fn every_command_passes_on_a_refusal_with_exit_1() {
    let refusal = problem(409, "conflict", "it is revoked, which is final");
    let fake = Fake::start();
    fake.otherwise(409, &refusal.to_string());
    for args in COMMANDS {
        let ended = kya(&fake.url, args);
        assert_eq!((ended.code, &*ended.out), (1, ""), "{args:?}");
        assert_eq!(ended.err, "kya: refused: it is revoked, which is final (409 conflict)\n");

        let ended = kya(&fake.url, &[args, &["--output=json"]].concat());
        assert_eq!((ended.code, &*ended.out), (1, ""), "{args:?}");
        assert_eq!(ended.problem(), refusal);
    }
}

#[test]
fn every_command_says_unreachable_with_exit_3() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{closed}");
    for args in COMMANDS {
        let ended = kya(&server, args);
        assert_eq!((ended.code, &*ended.out), (3, ""), "{args:?}");
        let said = format!("kya: cannot reach the control plane at {server}: ");
        assert!(ended.err.starts_with(&said), "{ended:?}");
        assert!(!ended.err.contains("unknown"), "nothing was sent: {ended:?}");

        let ended = kya(&server, &[args, &["-o", "json"]].concat());
        assert_eq!((ended.code, &*ended.out), (3, ""), "{args:?}");
        assert_eq!(ended.problem()["type"], "urn:kya:problem:unreachable");
    }
}

#[test]
fn every_command_refuses_a_wrong_option_with_exit_2_and_sends_nothing() {
    let fake = Fake::start();
    for args in COMMANDS {
        let ended = kya(&fake.url, &[args, &["--no-such-option"]].concat());
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}");
        assert!(ended.err.contains("Usage: kya"), "{ended:?}");

        let ended = kya(&fake.url, &[args, &["--no-such-option", "-ojson"]].concat());
        assert_eq!((ended.code, &*ended.out), (2, ""), "{args:?}");
        assert_eq!(ended.problem()["code"], "usage");
    }
    assert_eq!(fake.seen(), []);
}

#[test]
fn a_server_that_never_answers_is_unreachable_and_the_outcome_unknown() {
    // Connections are taken by the system, and nobody reads them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    for args in COMMANDS {
        let ended = kya(&server, &[args, &["--timeout", "100ms"]].concat());
        assert_eq!((ended.code, &*ended.out), (3, ""), "{args:?}");
        assert!(ended.err.contains("no answer in time"), "{ended:?}");
        // A rotation looks first.
        let reads = matches!(
            args,
            ["status" | "whoami"]
                | ["verify" | "kill", ..]
                | ["audit", "keys"]
                | ["drill", "schedule", "list" | "show", ..]
                | [_, "list" | "show" | "tree" | "challenge" | "rotate", ..]
        );
        let reads = reads || matches!(args, ["audit", what, ..] if *what != "keys");
        let warned = ended.err.contains("Whether the change was made is unknown");
        assert_eq!(warned, !reads, "{args:?}: {ended:?}");
    }
}
