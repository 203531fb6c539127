//! What is asked of a verified token at each use.

use super::*;

fn checked(
    claims: &Claims,
    now: u64,
    service: &str,
    proof: Option<u8>,
) -> Result<(), CapabilityError> {
    let proof = proof.map(|n| Thumbprint::from_bytes([n; 32]));
    let verified = verify(&minted(claims)).unwrap();
    check(&verified, &Presentation { now: UnixSeconds(now), service, proof })
}

#[test]
fn a_token_counts_until_the_second_at_which_it_expires_and_no_longer() {
    assert_eq!(checked(&claims(0), EXPIRES - 1, "payments", None), Ok(()));
    for now in [EXPIRES, EXPIRES + 1, EXPIRES + LEEWAY_SECONDS, u64::MAX] {
        assert_eq!(checked(&claims(0), now, "payments", None), Err(CapabilityError::Expired));
    }
}

#[test]
fn a_token_counts_a_few_seconds_before_it_begins_and_no_sooner() {
    let later = Claims { not_before: UnixSeconds(ISSUED + 100), ..claims(0) };
    for (claims, begins) in [(claims(0), ISSUED), (later, ISSUED + 100)] {
        for (now, expected) in [
            (begins, Ok(())),
            (begins - LEEWAY_SECONDS, Ok(())),
            (begins - LEEWAY_SECONDS - 1, Err(CapabilityError::NotYet)),
            (0, Err(CapabilityError::NotYet)),
        ] {
            assert_eq!(checked(&claims, now, "payments", None), expected, "{now}");
        }
    }
    // Whoever may use it before it is issued does not say so with an `nbf`.
    let early = Claims { not_before: UnixSeconds(0), ..claims(0) };
    assert_eq!(checked(&early, ISSUED - 100, "payments", None), Err(CapabilityError::NotYet));
}

/// RFC 8725 section 3.9.
#[test]
fn a_token_is_for_the_services_that_it_names() {
    assert_eq!(checked(&claims(0), ISSUED, "payments", None), Ok(()));
    for service in ["", "payment", "payments ", "Payments", "ledger", "*"] {
        let refused = checked(&claims(0), ISSUED, service, None);
        assert_eq!(refused, Err(CapabilityError::WrongAudience), "{service}");
    }
}

/// RFC 9449 section 7.
#[test]
fn a_bound_token_counts_with_its_key_alone() {
    let bound = Claims { not_before: UnixSeconds(ISSUED), ..full() };
    assert_eq!(checked(&bound, ISSUED, "ledger", Some(4)), Ok(()));
    assert_eq!(checked(&bound, ISSUED, "ledger", None), Err(CapabilityError::NoProof));
    assert_eq!(checked(&bound, ISSUED, "ledger", Some(5)), Err(CapabilityError::WrongProof));
    assert_eq!(checked(&claims(0), ISSUED, "payments", Some(4)), Err(CapabilityError::WrongProof));
}

/// `token_unknown` can be configured to let requests pass.
#[test]
fn what_is_forged_or_for_another_place_or_time_is_never_merely_unknown() {
    for error in [
        CapabilityError::NotCompact,
        CapabilityError::WrongAlgorithm,
        CapabilityError::BadSignature,
        CapabilityError::WrongIssuer,
        CapabilityError::UnknownConfirmation,
        CapabilityError::NoProof,
        CapabilityError::WrongProof,
    ] {
        assert_eq!(error.deny_reason(), DenyReason::TokenMalformed, "{}", error.cause());
    }
    assert_eq!(CapabilityError::UnknownKey.deny_reason(), DenyReason::TokenUnknown);
    assert_eq!(CapabilityError::Expired.deny_reason(), DenyReason::TokenExpired);
    assert_eq!(CapabilityError::NotYet.deny_reason(), DenyReason::TokenNotYet);
    assert_eq!(CapabilityError::WrongAudience.deny_reason(), DenyReason::WrongAudience);
}
