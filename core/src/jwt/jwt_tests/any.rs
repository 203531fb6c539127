//! Whatever is minted, changed or made up.

use super::*;

prop_compose! {
    fn any_claims()(
        issuer in Just(ISSUER.to_owned()),
        agent: [u8; 16],
        audience in prop::collection::vec(".{1,20}", 1..=MAX_AUDIENCE),
        issued in 0..(1u64 << 53) - 1 - DEFAULT_LIFETIME,
        lifetime in 1..=DEFAULT_LIFETIME,
        before in any::<prop::sample::Index>(),
        id: [u8; 16],
        scope in prop::collection::vec("[!#-\\[\\]-~]{1,20}", 1..10),
        actors in prop::collection::vec(any::<(bool, [u8; 16])>(), 0..=MAX_ACTORS),
        confirmation: Option<[u8; 32]>,
    ) -> Claims {
        let expires = issued + lifetime;
        Claims {
            issuer,
            agent: AgentId::from_bytes(agent),
            subject: None,
            audience,
            issued: UnixSeconds(issued),
            not_before: UnixSeconds(before.index(usize::try_from(expires).unwrap()) as u64),
            expires: UnixSeconds(expires),
            id: CapabilityId::from_bytes(id),
            scope: Scope::of(scope.iter().map(String::as_str)).unwrap(),
            actors: actors.into_iter().map(|(agent, id)| match agent {
                true => Actor::Agent(AgentId::from_bytes(id)),
                false => Actor::Principal(PrincipalId::from_bytes(id)),
            }).collect(),
            confirmation: confirmation.map(Thumbprint::from_bytes),
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_minted_is_verified_and_says_the_same(claims in any_claims()) {
        match mint(&signer(), &claims) {
            Ok(token) => {
                let verified = verify(token.reveal().as_bytes()).unwrap();
                prop_assert_eq!(verified.claims(), &claims);
            }
            Err(error) => prop_assert!(matches!(error, CapabilityError::TooLong(_)), "{}", error),
        }
    }

    #[test]
    fn no_changed_byte_is_verified(at: prop::sample::Index, new: u8) {
        let mut token = minted(&full());
        let at = at.index(token.len());
        prop_assume!(token[at] != new);
        token[at] = new;
        prop_assert!(verify(&token).is_err());
    }

    #[test]
    fn no_part_of_a_token_is_verified(from: prop::sample::Index, to: prop::sample::Index) {
        let token = minted(&full());
        let (from, to) = (from.index(token.len()), to.index(token.len()));
        prop_assert!(verify(&token[from.min(to)..from.max(to)]).is_err());
    }

    #[test]
    fn no_bytes_are_verified_or_make_anything_panic(bytes: Vec<u8>) {
        prop_assert!(verify(&bytes).is_err());
    }

    #[test]
    fn no_parts_that_nobody_signed_are_verified(header: String, claims: String, signature: [u8; 64]) {
        let token = format!("{}.{}.{}", encode(header), encode(claims), encode(signature));
        prop_assert!(verify(token.as_bytes()).is_err());
    }

    #[test]
    fn no_signed_claims_make_the_reader_panic(claims: String) {
        prop_assert!(of_claims(&claims).is_err());
    }
}
