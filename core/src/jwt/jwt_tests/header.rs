//! What a header may ask for, and which key it may name.

use super::*;

/// RFC 8725 sections 2.1, 3.1 and 3.2.
#[test]
fn only_ed25519_counts_and_only_as_it_is_written() {
    assert!(header_with("alg", json!("Ed25519")).is_ok());
    assert!(header_with("alg", json!("EdDSA")).is_ok());
    for algorithm in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("nOnE"),
        json!(""),
        json!("HS256"),
        json!("RS256"),
        json!("ES256"),
        json!("Ed448"),
        json!("ed25519"),
        json!("ED25519"),
        json!("eddsa"),
        json!("Ed25519 "),
        json!("Ed25519\u{0}"),
        json!(["Ed25519"]),
        json!(0),
        json!({}),
        json!(true),
        Value::Null,
    ] {
        let refused = header_with("alg", algorithm.clone());
        assert_eq!(refused, Err(CapabilityError::WrongAlgorithm), "{algorithm}");
    }
    assert_eq!(
        of_header(&header().to_string().replace("\"Ed25519\"", "null")),
        Err(CapabilityError::WrongAlgorithm)
    );
}

#[test]
fn a_token_without_a_signature_is_refused_whatever_its_algorithm() {
    let token = minted(&claims(0));
    for algorithm in ["none", "HS256", "Ed25519"] {
        let header = encode(with(header(), "alg", json!(algorithm)));
        for signature in ["", "AA", &encode([0; 64]), &encode([0; 63]), &encode([0; 65])] {
            let unsigned = format!("{header}.{}.{signature}", part(&token, 1));
            assert!(verify(unsigned.as_bytes()).is_err(), "{algorithm} {signature}");
        }
    }
    for (bytes, expected) in [
        (0, CapabilityError::SignatureLength),
        (63, CapabilityError::SignatureLength),
        (64, CapabilityError::BadSignature),
        (65, CapabilityError::SignatureLength),
    ] {
        assert_eq!(verify(&with_part(&token, 2, &encode(vec![0; bytes]))), Err(expected));
    }
}

/// The public key, which everybody has, as the secret of an HMAC (RFC 8725 section
/// 2.1): an algorithm that is not there cannot be confused with one that is.
#[test]
fn a_public_key_is_no_shared_secret() {
    let key = signer().public_key().to_bytes();
    let message =
        format!("{}.{}", encode(with(header(), "alg", json!("HS256"))), encode(said().to_string()));
    // HMAC-SHA256 by FIPS 198-1: the key is shorter than a block of 64 bytes.
    let pad = |with: u8| -> Vec<u8> {
        (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect()
    };
    let hash = |bytes: Vec<u8>| crate::manifest::chunk_hash(&bytes).to_vec();
    let inner = hash([pad(0x36), message.clone().into_bytes()].concat());
    let tag = hash([pad(0x5c), inner].concat());
    let token = format!("{message}.{}", encode(tag));
    assert_eq!(verify(token.as_bytes()), Err(CapabilityError::WrongAlgorithm));
}

/// RFC 8725 section 3.11, RFC 9068 section 4.
#[test]
fn only_an_access_token_counts() {
    for kind in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"] {
        assert!(header_with("typ", json!(kind)).is_ok(), "{kind}");
    }
    for kind in [
        json!("JWT"),
        json!("jwt"),
        json!("dpop+jwt"),
        json!("secevent+jwt"),
        json!(""),
        json!("at+jwt "),
        json!("at+jwt; charset=utf-8"),
        json!("text/at+jwt"),
        json!("/at+jwt"),
        json!("application/application/at+jwt"),
        json!("application/"),
        json!("at jwt"),
        json!(["at+jwt"]),
        json!(1),
        Value::Null,
    ] {
        let refused = header_with("typ", kind.clone());
        assert_eq!(refused, Err(CapabilityError::WrongType), "{kind}");
    }
}

/// RFC 8725 section 3.10. The key that such a header brings has signed the token.
#[test]
fn a_key_never_comes_with_the_token() {
    let attacker = Signer::from_seed([66; 32]);
    let x = encode(attacker.public_key().to_bytes());
    let kid = Thumbprint::of(attacker.public_key()).to_string();
    let by_attacker = |header: Value| {
        let signed = format!("{}.{}", encode(header.to_string()), encode(said().to_string()));
        verify(format!("{signed}.{}", encode(attacker.sign(signed.as_bytes()))).as_bytes())
    };
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "kid": kid });
    for (name, value) in [
        ("jwk", jwk),
        ("jku", json!("https://attacker.example/jwks.json")),
        ("x5u", json!("https://attacker.example/chain.pem")),
        ("x5c", json!(["MIIB"])),
        ("x5t", json!("dGh1bWI")),
        ("x5t#S256", json!("dGh1bWI")),
    ] {
        let mut header = header();
        header[name] = value.clone();
        assert_eq!(by_attacker(header.clone()), Err(CapabilityError::KeyInHeader(name)));
        header["kid"] = json!(kid);
        assert_eq!(by_attacker(header), Err(CapabilityError::KeyInHeader(name)));
        assert_eq!(header_with(name, value), Err(CapabilityError::KeyInHeader(name)));
    }
    let mut named = header();
    assert_eq!(by_attacker(named.clone()), Err(CapabilityError::BadSignature));
    named["kid"] = json!(kid);
    assert_eq!(by_attacker(named), Err(CapabilityError::UnknownKey));
}

/// RFC 7515 section 4.1.11 and RFC 7797 section 6.
#[test]
fn no_extension_is_understood() {
    for critical in [json!([]), json!(["exp"]), json!(["b64"]), json!("exp"), json!(false)] {
        let refused = header_with("crit", critical);
        assert_eq!(refused, Err(CapabilityError::Extension("crit")));
    }
    for unencoded in [json!(false), json!(true)] {
        assert_eq!(header_with("b64", unencoded), Err(CapabilityError::Extension("b64")));
    }
    // Claims that are signed as they are (RFC 7797 section 5.2).
    let mut header = header();
    header["b64"] = json!(false);
    header["crit"] = json!(["b64"]);
    let message = format!("{}.{}", encode(header.to_string()), said().to_string().replace('.', ""));
    let token = format!("{message}.{}", encode(signer().sign(message.as_bytes())));
    assert!(matches!(verify(token.as_bytes()), Err(CapabilityError::Extension(_))));
}

#[test]
fn whatever_else_is_in_a_header_is_refused() {
    for name in ["cty", "enc", "zip", "iss", "exp", "nonce", "Alg", "alg ", "", "x5t#s256"] {
        assert_eq!(header_with(name, json!("a")), Err(CapabilityError::UnknownHeader), "{name}");
    }
    for other in ["[]", "\"at+jwt\"", "null", "{", "{}{}", ""] {
        assert_eq!(of_header(other), Err(CapabilityError::NotJson(Part::Header)), "{other}");
    }
}

/// RFC 8725 section 3.10: it selects one of the trusted keys, and nothing else.
#[test]
fn a_kid_is_the_thumbprint_of_a_trusted_key() {
    let good = Thumbprint::of(signer().public_key()).to_string();
    for kid in [
        String::new(),
        good[..42].into(),
        format!("{good}="),
        format!("{good} "),
        good.to_lowercase(),
        "../../../../dev/null".into(),
        "' OR 1=1 --".into(),
        "https://attacker.example/key".into(),
        signer().public_key().id().to_string(),
        Thumbprint::from_bytes([0; 32]).to_string(),
    ] {
        assert_eq!(header_with("kid", json!(kid)), Err(CapabilityError::UnknownKey), "{kid}");
    }
    for kid in [json!(1), json!([good]), json!({}), json!(true), Value::Null] {
        assert_eq!(header_with("kid", kid), Err(CapabilityError::NoKey));
    }
}

#[test]
fn one_trusted_key_does_not_sign_for_another() {
    let (one, other) = (signer(), Signer::from_seed([3; 32]));
    let keys = CapabilityKeys::new([one.public_key(), other.public_key()]).unwrap();
    let verifier = CapabilityVerifier::new(ISSUER, keys).unwrap();
    for signer in [&one, &other] {
        let token = mint(signer, &claims(0)).unwrap();
        assert!(verifier.verify(token.reveal().as_bytes()).is_ok());
    }
    let message = format!("{}.{}", encode(header().to_string()), encode(said().to_string()));
    let token = format!("{message}.{}", encode(other.sign(message.as_bytes())));
    assert_eq!(verifier.verify(token.as_bytes()), Err(CapabilityError::BadSignature));
}

/// RFC 8037 appendix A.4: the signature fits, and yet it is no token.
#[test]
fn the_signature_of_rfc_8037_fits_and_is_no_token() {
    let message = b"eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
    let signature =
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let seed = decode(b"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", Part::Header).unwrap();
    let signer = Signer::from_seed(seed.try_into().unwrap());
    assert_eq!(encode(signer.sign(message)), signature);
    assert!(
        signer
            .public_key()
            .verifies(message, &decode(signature.as_bytes(), Part::Signature).unwrap())
    );
    let keys = CapabilityKeys::new([signer.public_key()]).unwrap();
    let token = [message.as_slice(), b".", signature.as_bytes()].concat();
    let verifier = CapabilityVerifier::new(ISSUER, keys).unwrap();
    assert_eq!(verifier.verify(&token), Err(CapabilityError::WrongType));
}
