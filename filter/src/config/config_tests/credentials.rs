//! The credential of the proxy, which is a secret.

use super::*;

#[test]
fn one_credential_is_given_in_one_way() {
    let both = error(json!({"node_credential_env": "KYA_NODE_CREDENTIAL"}));
    assert!(both.problem.contains("leave one of them out"), "{both}");
    let none = error(json!({"node_credential": null}));
    assert!(none.problem.contains("write one of them"), "{none}");
    for (name, part) in [
        ("", "must be the name of an environment variable"),
        ("1A", "must be the name of an environment variable"),
        ("A-B", "must be the name of an environment variable"),
        ("A=B", "must be the name of an environment variable"),
        ("UNSET", "names a variable that the environment of this VM does not have"),
        (
            "EMPTY",
            "names a variable whose value must be a credential as the control plane issued it, but it ",
        ),
        (
            "OTHER",
            "names a variable whose value must be a credential as the control plane issued it, but it ",
        ),
        (
            "LINE",
            "names a variable whose value must be a credential as the control plane issued it, but it ",
        ),
    ] {
        let error = error(json!({"node_credential": null, "node_credential_env": name}));
        assert_eq!(error.field, "node_credential_env");
        assert!(error.problem.contains(part), "{name}: {error}");
        assert!(!error.to_string().contains(HUSH), "{error}");
    }
}

#[test]
fn a_credential_is_never_shown() {
    let config = config(json!({}));
    for shown in [format!("{config:?}"), format!("{config:#?}")] {
        assert!(!shown.contains(HUSH), "{shown}");
    }
    assert!(!String::from_utf8(config.canonical()).unwrap().contains(HUSH));
    // Wrong in shape or in type, or in the other field's place.
    for value in [
        json!(CREDENTIAL[..40]),
        json!(format!("{CREDENTIAL}x")),
        json!(format!("{CREDENTIAL}\n")),
        json!(format!("Bearer {CREDENTIAL}")),
        json!(HUSH),
        json!(7071),
        json!([CREDENTIAL]),
        json!({CREDENTIAL: CREDENTIAL}),
        json!(true),
    ] {
        for fields in [
            json!({"node_credential": value}),
            json!({"node_credential": null, "node_credential_env": value}),
        ] {
            let message = error(fields).to_string();
            assert!(message.contains("`node_credential"), "{message}");
            assert!(!message.contains(&HUSH[..20]) && !message.contains("7071"), "{message}");
        }
    }
}
