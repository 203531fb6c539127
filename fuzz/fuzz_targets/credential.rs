//! The credential of a request from any headers, by any sources, beside a count of
//! what the request presents; and what the upstream sees of its subprotocols.
#![no_main]

use arbitrary::Arbitrary;
use kya_core::{Credential, OpaqueToken, Source, TokenDigest, subprotocols_without_credential};
use kya_fuzz::All;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    sources: Vec<Place>,
    headers: All<(Name, Vec<Part>)>,
}

#[derive(Arbitrary, Debug, Clone)]
enum Place {
    Bearer,
    Header(Name),
    Scheme(Name, Vec<u8>),
    Subprotocol(Vec<u8>),
}

/// Names that meet, in two spellings each.
#[derive(Arbitrary, Debug, Clone)]
enum Name {
    Authorization(bool),
    ApiKey(bool),
    Subprotocol(bool),
    Other(Vec<u8>),
}

/// What values are made of.
#[derive(Arbitrary, Debug)]
enum Part {
    Bearer,
    Prefix,
    Token(u8),
    Space,
    Comma,
    Bytes(Vec<u8>),
}

impl Name {
    fn bytes(&self) -> Vec<u8> {
        let spelt = |name: &str, upper: bool| {
            if upper { name.to_ascii_uppercase().into_bytes() } else { name.as_bytes().to_vec() }
        };
        match self {
            Self::Authorization(upper) => spelt("authorization", *upper),
            Self::ApiKey(upper) => spelt("x-api-key", *upper),
            Self::Subprotocol(upper) => spelt("sec-websocket-protocol", *upper),
            Self::Other(name) => name.clone(),
        }
    }
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// A source, and how to tell by hand what a header presents to it.
struct Known {
    source: Source,
    name: String,
    scheme: Option<String>,
    prefix: Option<String>,
}

fn known(place: &Place) -> Option<Known> {
    let lower = |name: &Name| text(&name.bytes()).to_ascii_lowercase();
    let (source, name, scheme, prefix) = match place {
        Place::Bearer => {
            (Source::authorization(), "authorization".into(), Some("bearer".into()), None)
        }
        Place::Header(name) => (Source::header(text(&name.bytes()))?, lower(name), None, None),
        Place::Scheme(name, scheme) => {
            let source = Source::header(text(&name.bytes()))?.with_scheme(text(scheme))?;
            (source, lower(name), Some(text(scheme).to_ascii_lowercase()), None)
        }
        Place::Subprotocol(prefix) => {
            // An empty one stands for the usual one.
            let prefix = if prefix.is_empty() { "kya.bearer." } else { text(prefix) };
            let source = Source::websocket_protocol(prefix)?;
            (source, "sec-websocket-protocol".into(), None, Some(prefix.to_owned()))
        }
    };
    assert!(!name.starts_with("x-kya-"), "a header of the gate's own is a source");
    assert_eq!(source.header_name(), name);
    Some(Known { source, name, scheme, prefix })
}

/// The entries of a list (RFC 9110 section 5.6.1).
fn entries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    let space = |byte: &u8| matches!(byte, b' ' | b'\t');
    value.split(|byte| *byte == b',').map(move |mut entry| {
        while let Some((_, rest)) = entry.split_first().filter(|(first, _)| space(first)) {
            entry = rest;
        }
        while let Some((_, rest)) = entry.split_last().filter(|(last, _)| space(last)) {
            entry = rest;
        }
        entry
    })
}

/// What one header presents to one source: tokens, or things that are none.
fn presented<'a>(known: &Known, name: &[u8], value: &'a [u8]) -> Vec<Option<&'a [u8]>> {
    if !name.eq_ignore_ascii_case(known.name.as_bytes()) {
        return vec![];
    }
    if let Some(prefix) = &known.prefix {
        return entries(value)
            .filter_map(|it| it.strip_prefix(prefix.as_bytes()))
            .map(Some)
            .collect();
    }
    let Some(scheme) = &known.scheme else { return vec![Some(value)] };
    let space = value.iter().position(|byte| *byte == b' ').unwrap_or(value.len());
    let (first, rest) = value.split_at(space);
    let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
    let fits = first.eq_ignore_ascii_case(scheme.as_bytes()) && spaces > 0;
    vec![fits.then(|| &rest[spaces..])]
}

fuzz_target!(|input: Input| {
    let known: Vec<_> = input.sources.iter().take(8).filter_map(known).collect();
    let sources: Vec<_> = known.iter().map(|it| it.source.clone()).collect();
    let headers: Vec<(Vec<u8>, Vec<u8>)> = input
        .headers
        .0
        .iter()
        .map(|(name, parts)| {
            let value = parts.iter().flat_map(|part| match part {
                Part::Bearer => b"Bearer ".to_vec(),
                Part::Prefix => b"kya.bearer.".to_vec(),
                Part::Token(n) => OpaqueToken::from_random([*n; 32]).reveal().into(),
                Part::Space => b" ".to_vec(),
                Part::Comma => b", ".to_vec(),
                Part::Bytes(bytes) => bytes.clone(),
            });
            (name.bytes(), value.collect())
        })
        .collect();
    let pairs = || headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));

    let all: Vec<_> = pairs()
        .flat_map(|(name, value)| known.iter().flat_map(move |it| presented(it, name, value)))
        .collect();
    let expected = match all.as_slice() {
        [] => Credential::Missing,
        [Some(token)] if token.starts_with(b"eyJ") => Credential::Capability(token),
        [Some(token)] => match TokenDigest::of(token) {
            Ok(digest) => Credential::Opaque(digest),
            Err(_) => Credential::Malformed,
        },
        [None] => Credential::Malformed,
        _ => Credential::Multiple,
    };
    assert_eq!(Credential::read(&sources, pairs()), expected);

    let prefix = known.iter().find_map(|it| it.prefix.clone());
    let rest = subprotocols_without_credential(&sources, pairs());
    let Some(prefix) = prefix else {
        assert_eq!(rest, None);
        return;
    };
    let offered: Vec<_> = pairs()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"sec-websocket-protocol"))
        .flat_map(|(_, value)| entries(value))
        .collect();
    let secret = |entry: &&[u8]| entry.starts_with(prefix.as_bytes());
    assert_eq!(rest.is_some(), offered.iter().any(secret));
    if let Some(rest) = rest {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        let kept: Vec<_> = offered
            .iter()
            .filter(|entry| !secret(entry) && !entry.is_empty() && entry.iter().all(plain))
            .map(|entry| text(entry))
            .collect();
        assert_eq!(rest, kept.join(", "));
    }
});
