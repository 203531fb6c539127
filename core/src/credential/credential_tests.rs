use super::*;
use crate::token::OpaqueToken;
use proptest::prelude::*;

/// Headers by name and value, as a proxy shows them.
type Headers<'a> = &'a [(&'a str, &'a [u8])];

fn sources() -> [Source; 3] {
    [
        Source::authorization(),
        Source::header("x-api-key").unwrap(),
        Source::websocket_protocol("kya.bearer.").unwrap(),
    ]
}

fn read(headers: Headers<'_>) -> Credential<'_> {
    Credential::read(&sources(), headers.iter().map(|(name, value)| (name.as_bytes(), *value)))
}

fn token() -> OpaqueToken {
    OpaqueToken::from_random([9; 32])
}

fn good() -> Credential<'static> {
    Credential::Opaque(token().digest())
}

#[test]
fn a_bearer_token_is_read_whatever_the_case_of_its_scheme() {
    for scheme in ["Bearer ", "bearer ", "BEARER ", "Bearer   "] {
        let value = format!("{scheme}{}", token().reveal());
        assert_eq!(read(&[("authorization", value.as_bytes())]), good(), "{scheme}");
    }
}

#[test]
fn the_name_of_a_header_counts_in_any_case_and_only_as_a_whole() {
    let token = token();
    let value = token.reveal().as_bytes();
    for name in ["x-api-key", "X-Api-Key", "X-API-KEY"] {
        assert_eq!(read(&[(name, value)]), good(), "{name}");
    }
    for name in ["x-api-ke", "x-api-keys", "x_api_key", "api-key", "", " x-api-key"] {
        assert_eq!(read(&[(name, value)]), Credential::Missing, "{name}");
    }
}

#[test]
fn without_a_scheme_the_whole_value_is_the_token() {
    let token = token();
    let token = token.reveal();
    assert_eq!(read(&[("x-api-key", token.as_bytes())]), good());
    for value in [format!("Bearer {token}"), format!(" {token}"), format!("{token} "), "".into()] {
        assert_eq!(read(&[("x-api-key", value.as_bytes())]), Credential::Malformed, "{value}");
    }
}

#[test]
fn a_token_is_read_from_the_subprotocols() {
    let entry = format!("kya.bearer.{}", token().reveal());
    let name = "sec-websocket-protocol";
    for value in [
        entry.clone(),
        format!("chat.v2, {entry}"),
        format!("{entry},chat.v2"),
        format!(" \t{entry}\t , chat.v2,"),
        format!("chat.v2,,{entry}"),
    ] {
        assert_eq!(read(&[(name, value.as_bytes())]), good(), "{value}");
        assert_eq!(read(&[(name, b"chat.v2"), (name, value.as_bytes()), (name, b"")]), good());
    }
    for value in ["", "chat.v2", "chat.v2, other", "KYA.bearer.x", "kya.bearer"] {
        assert_eq!(read(&[(name, value.as_bytes())]), Credential::Missing, "{value}");
    }
    for value in [
        "kya.bearer.".to_owned(),
        "kya.bearer.x".to_owned(),
        format!("{entry}x"),
        format!("{entry} x"),
        format!("{entry};q=1"),
        format!("kya.bearer. {}", token().reveal()),
        format!("\"a,{entry}\""),
    ] {
        assert_eq!(read(&[(name, value.as_bytes())]), Credential::Malformed, "{value}");
    }
}

#[test]
fn nothing_is_missing_and_an_empty_header_is_malformed() {
    assert_eq!(read(&[]), Credential::Missing);
    assert_eq!(read(&[("accept", b"*/*"), ("cookie", b"a=b")]), Credential::Missing);
    assert_eq!(read(&[("authorization", b"")]), Credential::Malformed);
    assert_eq!(read(&[("x-api-key", b"")]), Credential::Malformed);
}

#[test]
fn a_header_that_is_no_source_is_not_read() {
    let value = format!("Bearer {}", token().reveal());
    let only = [Source::header("x-api-key").unwrap()];
    let headers = [(&b"authorization"[..], value.as_bytes())];
    assert_eq!(Credential::read(&only, headers), Credential::Missing);
    assert_eq!(Credential::read(&[], headers), Credential::Missing);
}

#[test]
fn two_credentials_are_never_a_choice() {
    let bearer = format!("Bearer {}", token().reveal());
    let bearer = ("authorization", bearer.as_bytes());
    let key = token();
    let key = ("x-api-key", key.reveal().as_bytes());
    let entry = format!("kya.bearer.{}", token().reveal());
    let twice = format!("{entry}, {entry}");
    let protocol = ("sec-websocket-protocol", entry.as_bytes());
    for headers in [
        &[bearer, bearer][..],
        &[key, key],
        &[protocol, protocol],
        &[bearer, ("authorization", b"")],
        &[("Authorization", b"Basic eDp5"), bearer],
        &[bearer, ("AUTHORIZATION", b"Basic eDp5")],
        &[bearer, key],
        &[key, bearer],
        &[("authorization", b"Basic eDp5"), key],
        &[("authorization", b""), key],
        &[bearer, protocol],
        &[protocol, bearer],
        &[protocol, ("accept", b"*/*"), key],
        &[bearer, ("sec-websocket-protocol", b"chat, kya.bearer.")],
        &[("sec-websocket-protocol", twice.as_bytes())],
        &[("sec-websocket-protocol", b"kya.bearer., kya.bearer.")],
        &[("authorization", b"\xff"), ("x-api-key", b"\xff")],
    ] {
        assert_eq!(read(headers), Credential::Multiple, "{headers:?}");
    }
    // Subprotocols without the prefix are no credential.
    assert_eq!(read(&[bearer, ("sec-websocket-protocol", b"chat.v2")]), good());
}

#[test]
fn everything_else_is_malformed() {
    let token = token();
    let token = token.reveal();
    for value in [
        format!("Basic {token}"),
        format!("Bearer{token}"),
        format!("Bearer\t{token}"),
        format!("Bearer \t{token}"),
        format!("Bearer {token} "),
        // What Envoy makes of two headers.
        format!("Bearer {token},Bearer {token}"),
        format!("Bearer {token}, {token}"),
        format!(" Bearer {token}"),
        format!("Bearer \"{token}\""),
        format!("Bearer token={token}"),
        format!("Bearer {}", token.to_lowercase()),
        format!("Bearer {}", &token[..40]),
        format!("Bearer {token}\0"),
        token.to_owned(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
    ] {
        let header = ("authorization", value.as_bytes());
        assert_eq!(read(&[header]), Credential::Malformed, "{value}");
    }
    assert_eq!(read(&[("authorization", b"Bearer \xff\xfe")]), Credential::Malformed);
    let cyrillic = "Bearer аt_".as_bytes();
    assert_eq!(read(&[("authorization", cyrillic)]), Credential::Malformed, "a Cyrillic a");
}

/// A header of a source or of none, with a value of any kind.
fn header() -> impl Strategy<Value = (String, Vec<u8>)> {
    let names = ["authorization", "X-Api-Key", "Sec-WebSocket-Protocol", "accept", "x-api-key2"];
    let token = token();
    let values = [
        token.reveal().to_owned(),
        format!("Bearer {}", token.reveal()),
        format!("kya.bearer.{}", token.reveal()),
        format!("chat, kya.bearer.{}", token.reveal()),
        "Basic eDp5".to_owned(),
        String::new(),
    ]
    .map(String::into_bytes);
    let value = prop_oneof![prop::sample::select(values.to_vec()), any::<Vec<u8>>()];
    (prop::sample::select(names.map(str::to_owned).to_vec()), value)
}

proptest! {
    #[test]
    fn no_header_makes_the_reader_panic(headers: Vec<(Vec<u8>, Vec<u8>)>) {
        let headers = headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        let _ = Credential::read(&sources(), headers);
    }

    #[test]
    fn the_order_of_headers_and_of_sources_changes_nothing(
        headers in prop::collection::vec(header(), 0..5)
    ) {
        let all = || headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        let mut turned = sources();
        turned.reverse();
        let forward = Credential::read(&sources(), all());
        prop_assert_eq!(forward, Credential::read(&turned, all()));
        let backward: Vec<_> = all().collect();
        prop_assert_eq!(forward, Credential::read(&sources(), backward.into_iter().rev()));
    }

    #[test]
    fn whatever_is_added_to_a_token_never_makes_another_credential_of_it(
        headers in prop::collection::vec(header(), 0..5)
    ) {
        let bearer = format!("Bearer {}", token().reveal());
        let first = (&b"authorization"[..], bearer.as_bytes());
        let rest = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_slice()));
        let alone = Credential::read(&sources(), rest.clone()) == Credential::Missing;
        let together = Credential::read(&sources(), std::iter::once(first).chain(rest));
        prop_assert_eq!(together, if alone { good() } else { Credential::Multiple });
    }
}
