//! The claims, each by its form and its bounds.

use super::*;

#[test]
fn every_claim_that_is_needed_is_asked_for() {
    for name in ["iss", "sub", "aud", "client_id", "exp", "iat", "jti", "scope"] {
        assert_eq!(claims_with(name, Value::Null), Err(CapabilityError::MissingClaim(name)));
        for bad in [json!(true), json!(-1), json!({}), json!(0.5), json!("")] {
            assert_eq!(
                claims_with(name, bad.clone()),
                Err(CapabilityError::BadClaim(name)),
                "{bad}"
            );
        }
        let null = with(said(), name, json!("NULL")).replace("\"NULL\"", "null");
        assert_eq!(of_claims(&null), Err(CapabilityError::BadClaim(name)));
    }
}

#[test]
fn what_is_not_known_is_ignored_and_takes_no_part() {
    for name in ["txn", "Exp", "exp ", "authorization_details", "may_act", "roles"] {
        let read = claims_with(name, json!({ "exp": 1, "list": [1, -1, 0.5, null] })).unwrap();
        assert_eq!(read.claims().expires, UnixSeconds(EXPIRES));
    }
}

/// RFC 8725 section 3.8.
#[test]
fn another_issuer_is_refused_though_the_key_fits() {
    for issuer in ["https://kya.example/", "https://KYA.example", "https://kya.exampl", "kya", " "]
    {
        assert_eq!(
            claims_with("iss", json!(issuer)),
            Err(CapabilityError::WrongIssuer),
            "{issuer}"
        );
    }
    let long = "i".repeat(MAX_NAME_BYTES + 1);
    assert_eq!(claims_with("iss", json!(long)), Err(CapabilityError::BadClaim("iss")));
}

#[test]
fn subject_and_client_are_one_agent() {
    let (agent, other) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
    assert_eq!(claims_with("sub", json!(other)), Err(CapabilityError::TwoAgents));
    assert_eq!(claims_with("client_id", json!(other)), Err(CapabilityError::TwoAgents));
    let principal = json!(PrincipalId::from_bytes([1; 16]));
    assert_eq!(claims_with("sub", principal.clone()), Err(CapabilityError::TwoAgents));
    assert_eq!(claims_with("client_id", principal), Err(CapabilityError::BadClaim("client_id")));
    for bad in [agent.to_string().to_lowercase(), format!("{agent} "), "admin".into()] {
        for name in ["sub", "client_id"] {
            let refused = claims_with(name, json!(bad));
            assert_eq!(refused, Err(CapabilityError::BadClaim(name)), "{bad}");
        }
    }
    for bad in [agent.to_string(), "1".into(), "cap_".into(), "x".repeat(1000)] {
        assert_eq!(claims_with("jti", json!(bad)), Err(CapabilityError::BadClaim("jti")));
    }
}

/// RFC 8693 section 4.1.
#[test]
fn whoever_acts_for_another_subject_is_the_last_who_acted() {
    let (me, between) = (AgentId::from_bytes([1; 16]), AgentId::from_bytes([2; 16]));
    let acted = |actor: AgentId| {
        let mut said = said();
        said["act"] = json!({ "sub": actor, "act": { "sub": between } });
        said
    };
    for subject in [
        Actor::Agent(AgentId::from_bytes([3; 16])),
        Actor::Principal(PrincipalId::from_bytes([3; 16])),
    ] {
        let read = of_claims(&with(acted(me), "sub", json!(subject))).unwrap();
        assert_eq!((read.claims().agent, read.claims().subject), (me, Some(subject)));
        assert_eq!(verify(&minted(read.claims())).unwrap(), read);
        let other = of_claims(&with(acted(between), "sub", json!(subject)));
        assert_eq!(other, Err(CapabilityError::TwoAgents));
        let unsaid = Claims { actors: vec![], ..read.claims().clone() };
        assert_eq!(mint(&signer(), &unsaid), Err(CapabilityError::TwoAgents));
    }
    let itself = of_claims(&acted(me).to_string()).unwrap();
    assert_eq!(itself.claims().subject, None);
}

#[test]
fn a_scope_that_is_not_well_formed_is_refused() {
    for scope in ["", " ", "a  b", " a", "a ", "a\tb", "a\"b", "\u{e9}"] {
        assert_eq!(claims_with("scope", json!(scope)), Err(CapabilityError::BadClaim("scope")));
    }
    assert_eq!(claims_with("scope", json!(["a"])), Err(CapabilityError::BadClaim("scope")));
}

#[test]
fn an_audience_is_one_name_or_some() {
    let many = |count: usize| json!((0..count).map(|n| n.to_string()).collect::<Vec<_>>());
    assert_eq!(claims_with("aud", many(16)).unwrap().claims().audience.len(), MAX_AUDIENCE);
    for bad in [
        many(0),
        many(17),
        json!([1]),
        json!(["a", null]),
        json!([["a"]]),
        json!({ "a": 1 }),
        json!([""]),
        json!("s".repeat(MAX_NAME_BYTES + 1)),
    ] {
        assert_eq!(claims_with("aud", bad.clone()), Err(CapabilityError::BadClaim("aud")), "{bad}");
    }
}

/// RFC 8693 section 4.1.
#[test]
fn actors_are_a_chain_of_bounded_depth_with_nothing_else_in_it() {
    let actor = Actor::Agent(AgentId::from_bytes([2; 16]));
    let chain = |depth: usize| {
        (0..depth).fold(Value::Null, |act, _| {
            if act.is_null() {
                json!({ "sub": actor })
            } else {
                json!({ "sub": actor, "act": act })
            }
        })
    };
    for depth in 1..=MAX_ACTORS {
        let read = claims_with("act", chain(depth)).unwrap();
        assert_eq!(read.claims().actors, vec![actor; depth]);
    }
    let refused = claims_with("act", chain(MAX_ACTORS + 1));
    assert_eq!(refused, Err(CapabilityError::BadClaim("act")));
    assert!(claims_with("act", chain(100)).is_err(), "deeper than any JSON that is read");
    for bad in [
        json!({}),
        json!([]),
        json!(actor),
        json!(1),
        json!({ "sub": 1 }),
        json!({ "sub": "admin" }),
        json!({ "sub": CapabilityId::from_bytes([1; 16]) }),
        json!({ "sub": actor, "iss": "https://other.example" }),
        json!({ "sub": actor, "act": null }),
        json!({ "sub": actor, "act": "x" }),
        json!({ "act": { "sub": actor } }),
    ] {
        assert_eq!(claims_with("act", bad.clone()), Err(CapabilityError::BadClaim("act")), "{bad}");
    }
}

/// RFC 7800 section 3.1: this profile needs every member understood.
#[test]
fn a_confirmation_that_cannot_be_checked_is_never_ignored() {
    let jkt = Thumbprint::from_bytes([4; 32]).to_string();
    let read = claims_with("cnf", json!({ "jkt": jkt })).unwrap();
    assert_eq!(read.claims().confirmation, Some(Thumbprint::from_bytes([4; 32])));
    for unknown in [
        json!({}),
        json!({ "jwk": {} }),
        json!({ "kid": "a" }),
        json!({ "x5t#S256": jkt }),
        json!({ "jkt": jkt, "x5t#S256": jkt }),
        json!({ "JKT": jkt }),
        json!({ "jkt": jkt, "a": null }),
    ] {
        let refused = claims_with("cnf", unknown.clone());
        assert_eq!(refused, Err(CapabilityError::UnknownConfirmation), "{unknown}");
    }
    for bad in [
        json!([]),
        json!(jkt),
        json!(false),
        json!({ "jkt": 1 }),
        json!({ "jkt": "" }),
        json!({ "jkt": &jkt[..42] }),
        json!({ "jkt": format!("{jkt}=") }),
    ] {
        assert_eq!(claims_with("cnf", bad.clone()), Err(CapabilityError::BadClaim("cnf")), "{bad}");
    }
    let null = with(said(), "cnf", json!("NULL")).replace("\"NULL\"", "null");
    assert_eq!(of_claims(&null), Err(CapabilityError::BadClaim("cnf")));
}

#[test]
fn times_are_whole_seconds_that_every_reader_holds() {
    for name in ["exp", "iat", "nbf"] {
        for bad in [
            "-1",
            "-0",
            "0.5",
            "1770000100.0",
            "177e7",
            "1e400",
            "\"1770000100\"",
            "null",
            "[]",
            "true",
            "9007199254740992",
            "18446744073709551615",
            "18446744073709551616",
        ] {
            let text = with(said(), name, json!("VALUE")).replace("\"VALUE\"", bad);
            let refused = of_claims(&text).unwrap_err();
            // JSON of a number that no float can hold is none.
            assert!(
                refused == CapabilityError::BadClaim(name)
                    || (bad == "1e400" && refused == CapabilityError::NotJson(Part::Claims)),
                "{name} {bad}: {refused:?}"
            );
        }
    }
    let text = with(said(), "exp", json!("VALUE")).replace("\"VALUE\"", "01770000100");
    assert_eq!(of_claims(&text), Err(CapabilityError::NotJson(Part::Claims)));
}

#[test]
fn a_lifetime_is_bounded_and_in_order() {
    for (issued, expires, good) in [
        (ISSUED, ISSUED + 1, true),
        (ISSUED, ISSUED + DEFAULT_LIFETIME, true),
        (ISSUED, ISSUED + DEFAULT_LIFETIME + 1, false),
        (ISSUED, ISSUED + MAX_LIFETIME + 1, false),
        (ISSUED, ISSUED, false),
        (ISSUED, ISSUED - 1, false),
        (0, (1 << 53) - 1, false),
        ((1 << 53) - 1, 0, false),
    ] {
        let mut said = said();
        (said["iat"], said["exp"]) = (json!(issued), json!(expires));
        let read = of_claims(&said.to_string()).map(|_| ());
        assert_eq!(read, if good { Ok(()) } else { Err(CapabilityError::WrongLifetime) });
    }
    for (begins, good) in [(0, true), (EXPIRES - 1, true), (EXPIRES, false), (EXPIRES + 1, false)] {
        assert_eq!(claims_with("nbf", json!(begins)).is_ok(), good, "{begins}");
    }
    let long = Claims { expires: UnixSeconds(ISSUED + MAX_LIFETIME), ..claims(0) };
    assert_eq!(verify(&minted(&long)), Err(CapabilityError::WrongLifetime));
    let patient = verifier().with_max_lifetime(MAX_LIFETIME).unwrap();
    assert!(patient.verify(&minted(&long)).is_ok());
}

#[test]
fn a_verifier_that_cannot_be_is_refused() {
    let keys = || CapabilityKeys::new([signer().public_key()]).unwrap();
    for bytes in [0, MAX_NAME_BYTES + 1] {
        let refused = CapabilityVerifier::new("i".repeat(bytes), keys());
        assert_eq!(refused, Err(SetupError::Issuer(bytes)));
    }
    for seconds in [0, MAX_LIFETIME + 1, u64::MAX] {
        let refused = verifier().with_max_lifetime(seconds);
        assert_eq!(refused, Err(SetupError::Lifetime(seconds)));
    }
}
