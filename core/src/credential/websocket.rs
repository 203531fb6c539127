//! A credential among the subprotocols of a WebSocket handshake.
//!
//! A page in a browser can set no header of a handshake but
//! `Sec-WebSocket-Protocol`, so the token travels there, as an entry of its own
//! beside those that the page really speaks:
//!
//! ```text
//! new WebSocket(url, ["chat.v2", "kya.bearer." + token])
//! ```
//!
//! A server answers with one of the entries that it was offered, or with none
//! (RFC 6455 section 4.2.2). One that takes the first, or any, would write the
//! token into its answer and into whatever logs answers. It cannot if it never
//! sees that entry, so the gate takes it out. A server may also not find the
//! entry it speaks; then it answers none, which a browser takes for a failure
//! where it offered some (WHATWG WebSockets, "establish a WebSocket connection").
//! So a page offers a real subprotocol beside the token.

use super::source::{Place, Source, is_token};
use crate::headers::SUBPROTOCOLS;

/// What stands after `prefix` in the entries of one `Sec-WebSocket-Protocol` that
/// begin with it.
pub(super) fn tokens<'a>(value: &'a [u8], prefix: &str) -> impl Iterator<Item = &'a [u8]> {
    entries(value).filter_map(move |entry| entry.strip_prefix(prefix.as_bytes()))
}

/// The comma-separated entries of one header (RFC 9110 section 5.6.1).
fn entries(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(|entry| {
        let space = |byte: &u8| matches!(byte, b' ' | b'\t');
        let start = entry.iter().position(|byte| !space(byte)).unwrap_or(entry.len());
        let end =
            entry.iter().rposition(|byte| !space(byte)).map_or(start, |at| at.saturating_add(1));
        entry.get(start..end).unwrap_or_default()
    })
}

/// The list of subprotocols that the upstream is to see in place of the one that
/// the client sent; `None` if that one can stay. It is empty if nothing else was
/// offered: then the header goes altogether. What is no token, and so no
/// subprotocol, is not carried over.
pub fn subprotocols_without_credential<'a>(
    sources: &[Source],
    headers: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Option<String> {
    let prefix = sources.iter().find_map(|source| match &source.0 {
        Place::Subprotocol { prefix } => Some(prefix.as_bytes()),
        Place::Header { .. } => None,
    })?;
    let mut rest = String::new();
    let mut presented = false;
    for (_, value) in
        headers.into_iter().filter(|(name, _)| name.eq_ignore_ascii_case(SUBPROTOCOLS.as_bytes()))
    {
        for entry in entries(value) {
            if entry.starts_with(prefix) {
                presented = true;
            } else if is_token(entry) {
                if !rest.is_empty() {
                    rest.push_str(", ");
                }
                // A token is ASCII.
                rest.push_str(&String::from_utf8_lossy(entry));
            }
        }
    }
    presented.then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn without(values: &[&str]) -> Option<String> {
        let sources = [Source::authorization(), Source::websocket_protocol("kya.bearer.").unwrap()];
        let headers = values.iter().map(|value| (SUBPROTOCOLS.as_bytes(), value.as_bytes()));
        subprotocols_without_credential(&sources, headers)
    }

    #[test]
    fn the_credential_goes_and_the_others_stay_in_order() {
        for (sent, seen) in [
            (&["kya.bearer.x, chat.v2"][..], Some("chat.v2")),
            (&["chat.v2,kya.bearer.x,chat.v1"], Some("chat.v2, chat.v1")),
            (&["chat.v2", "kya.bearer.x", "chat.v1"], Some("chat.v2, chat.v1")),
            (&["chat.v2,\tkya.bearer. , , \"a,b\""], Some("chat.v2")),
            (&["kya.bearer.x"], Some("")),
            (&["kya.bearer.x,kya.bearer.y"], Some("")),
            (&["chat.v2, chat.v1"], None),
            (&["KYA.bearer.x"], None),
            (&["", ",", " kya .bearer."], None),
            (&[], None),
        ] {
            assert_eq!(without(sent).as_deref(), seen, "{sent:?}");
        }
    }

    #[test]
    fn without_such_a_source_nothing_is_touched() {
        let headers = [(SUBPROTOCOLS.as_bytes(), &b"kya.bearer.x"[..])];
        assert_eq!(subprotocols_without_credential(&[Source::authorization()], headers), None);
    }

    #[test]
    fn other_headers_are_not_read() {
        let sources = [Source::websocket_protocol("kya.bearer.").unwrap()];
        let headers = [(&b"x-api-key"[..], &b"kya.bearer.x"[..])];
        assert_eq!(subprotocols_without_credential(&sources, headers), None);
    }

    proptest! {
        #[test]
        fn what_the_upstream_sees_never_has_the_credential(values: Vec<Vec<u8>>, at: prop::sample::Index) {
            let mut values = values;
            let place = at.index(values.len() + 1);
            values.insert(place, b"a, kya.bearer.secret".to_vec());
            let sources = [Source::websocket_protocol("kya.bearer.").unwrap()];
            let headers = values.iter().map(|v| (&b"Sec-WebSocket-Protocol"[..], v.as_slice()));
            let seen = subprotocols_without_credential(&sources, headers).unwrap();
            prop_assert!(!seen.contains("secret"));
            prop_assert!(seen.split(", ").any(|entry| entry == "a"));
        }
    }
}
