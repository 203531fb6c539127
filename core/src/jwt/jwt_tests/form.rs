//! How a token is written: its parts, their one spelling, and their sizes.

use super::*;

#[test]
fn what_was_minted_is_verified_and_says_the_same() {
    for claims in [claims(0), full()] {
        let verified = verify(&minted(&claims)).unwrap();
        assert_eq!(verified.claims(), &claims);
        assert_eq!(verified.identity(), Identity { issuer: ISSUER, id: claims.id });
    }
    assert!(of_claims(&said().to_string()).is_ok(), "the others are to fail for their reason");
}

#[test]
fn a_token_is_one_of_three_parts() {
    let token = minted(&claims(0));
    let text = std::str::from_utf8(&token).unwrap();
    for other in [
        String::new(),
        "a".into(),
        "a.b".into(),
        format!("{text}."),
        format!("{text}.e30"),
        // A JWE has five (RFC 7516 section 3.1).
        format!("{text}.e30.e30"),
    ] {
        assert_eq!(verify(other.as_bytes()), Err(CapabilityError::NotCompact), "{other}");
    }
    assert_eq!(verify(b".."), Err(CapabilityError::NotJson(Part::Header)));
    // The JSON serialization of the same (RFC 7515 section 7.2.2).
    let json = json!({
        "protected": part(&token, 0), "payload": part(&token, 1), "signature": part(&token, 2),
    });
    assert_eq!(verify(json.to_string().as_bytes()), Err(CapabilityError::NotCompact));
}

#[test]
fn each_part_has_one_spelling() {
    let token = minted(&claims(0));
    for (at, name) in [(0, Part::Header), (2, Part::Signature)] {
        let good = part(&token, at);
        for bad in [
            format!("{good}="),
            format!("{good}=="),
            format!(" {good}"),
            format!("{good}\n"),
            format!("{}+{}", &good[..5], &good[6..]),
            format!("{}/{}", &good[..5], &good[6..]),
            format!("{}\u{e9}{}", &good[..5], &good[7..]),
            format!("{}%41{}", &good[..5], &good[6..]),
        ] {
            let refused = verify(&with_part(&token, at, &bad));
            assert_eq!(refused, Err(CapabilityError::NotBase64(name)), "{bad:?}");
        }
    }
    // 64 bytes are 86 characters, of which the last has four bits that say nothing.
    let signature = part(&token, 2);
    let last = signature.chars().last().unwrap();
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (bits, other) in alphabet.chars().enumerate().filter(|(_, other)| *other != last) {
        let expected = match bits % 16 {
            0 => CapabilityError::BadSignature,
            _ => CapabilityError::NotBase64(Part::Signature),
        };
        let other = format!("{}{other}", &signature[..85]);
        assert_eq!(verify(&with_part(&token, 2, &other)), Err(expected), "{other}");
    }
    // And the claims, even if whoever signed them spelt them so.
    let spelt = |claims: &str| {
        let signed = format!("{}.{claims}", encode(header().to_string()));
        format!("{signed}.{}", encode(signer().sign(signed.as_bytes()))).into_bytes()
    };
    let good = encode(said().to_string());
    assert!(verify(&spelt(&good)).is_ok());
    for bad in [format!("{good}="), format!("{good} "), format!("{good}A"), format!("\n{good}")] {
        assert!(verify(&spelt(&bad)).is_err(), "{bad:?}");
    }
}

#[test]
fn sizes_are_bounded() {
    let long = "a".repeat(MAX_TOKEN_BYTES + 1);
    assert_eq!(verify(long.as_bytes()), Err(CapabilityError::TooLong(MAX_TOKEN_BYTES + 1)));
    let header = with(header(), "kid", json!("k".repeat(400)));
    assert!(matches!(of_header(&header), Err(CapabilityError::HeaderTooLong(513..))));
    // 4096 bytes at most, whatever they are made of.
    let filled = |bytes: usize| claims_with("filling", json!("x".repeat(bytes)));
    assert!(filled(2500).is_ok());
    assert!(matches!(filled(3000), Err(CapabilityError::TooLong(4097..))));
}

/// RFC 8032 section 5.1.7: the second half of a signature is below the order of the
/// group. With the order added it would fit the same equation.
#[test]
fn a_signature_has_no_second_form() {
    let order = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let token = minted(&claims(0));
    let mut signature = decode(part(&token, 2).as_bytes(), Part::Signature).unwrap();
    let mut carry = 0;
    for (byte, more) in signature[32..].iter_mut().zip(order) {
        let sum = u16::from(*byte) + more + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    let other = with_part(&token, 2, &encode(signature));
    assert_eq!(verify(&other), Err(CapabilityError::BadSignature));
}

#[test]
fn nothing_is_named_twice() {
    let (header, said) = (header().to_string(), said().to_string());
    for second in [r#","alg":"none"}"#, r#","alg":"Ed25519"}"#, r#","\u0061lg":"none"}"#] {
        let twice = header.replace('}', second);
        assert_eq!(of_header(&twice), Err(CapabilityError::Duplicate(Part::Header)), "{twice}");
    }
    let agent = AgentId::from_bytes([9; 16]);
    for second in [
        format!(r#","sub":"{agent}"}}"#),
        format!(r#","s\u0075b":"{agent}"}}"#),
        r#","exp":9007199254740991}"#.into(),
        r#","unknown":1,"unknown":2}"#.into(),
        r#","unknown":{"a":1,"a":2}}"#.into(),
        format!(r#","act":{{"sub":"{agent}","sub":"{agent}"}}}}"#),
    ] {
        let twice = said.replace('}', &second);
        assert_eq!(of_claims(&twice), Err(CapabilityError::Duplicate(Part::Claims)), "{twice}");
    }
}

#[test]
fn nothing_is_minted_that_no_verifier_would_take() {
    let refused = |claims: Claims| mint(&signer(), &claims).unwrap_err();
    let bad = CapabilityError::BadClaim;
    assert_eq!(refused(Claims { issuer: String::new(), ..claims(0) }), bad("iss"));
    assert_eq!(refused(Claims { audience: vec![], ..claims(0) }), bad("aud"));
    assert_eq!(refused(Claims { audience: vec!["a".into(); 17], ..claims(0) }), bad("aud"));
    assert_eq!(refused(Claims { audience: vec![String::new()], ..claims(0) }), bad("aud"));
    let actor = Actor::Agent(AgentId::from_bytes([2; 16]));
    assert_eq!(refused(Claims { actors: vec![actor; 9], ..claims(0) }), bad("act"));
    assert_eq!(refused(Claims { expires: UnixSeconds(1 << 53), ..claims(0) }), bad("exp"));
    let backwards = Claims { expires: UnixSeconds(ISSUED), ..claims(0) };
    assert_eq!(refused(backwards), CapabilityError::WrongLifetime);
    let long: Vec<String> = (0..20).map(|n| format!("{n:0>200}")).collect();
    let scope = Scope::of(long.iter().map(String::as_str)).unwrap();
    assert!(matches!(refused(Claims { scope, ..claims(0) }), CapabilityError::TooLong(4097..)));
}

#[test]
fn a_token_is_not_shown_by_debug() {
    let token = mint(&signer(), &claims(0)).unwrap();
    let signature = part(token.reveal().as_bytes(), 2);
    assert_eq!(format!("{token:?}"), "CapabilityToken(…)");
    let parsed = format!("{:?}", parse(token.reveal().as_bytes()).unwrap());
    assert!(!parsed.contains(&signature) && parsed.contains("aVBtapLd"), "{parsed}");
}
