//! By what else than its method and its path a request can say what it does.
//!
//! Some services take the method of a request from a header or from its query,
//! and some the path from a header. What such a request does is not what its
//! method and path say, so it is unmapped.

/// Names of headers, and of parameters of a query, that replace the method.
const METHOD: [&[u8]; 3] = [b"x-http-method-override", b"x-method-override", b"x-http-method"];
/// Names of headers that replace the path.
const PATH: [&[u8]; 2] = [b"x-original-url", b"x-rewrite-url"];
/// The parameter by which a form names a method that forms do not have.
const FORM: &[u8] = b"_method";

/// Whether some services take a request's method from the header of this name, in
/// any case. Whatever is neither a letter nor a digit counts as `-`, since many
/// services do not tell such characters apart. A request with such a header is
/// unmapped, whatever the header says.
pub fn overrides_method(header_name: &[u8]) -> bool {
    METHOD.iter().any(|name| is_called(header_name.iter().copied(), name))
}

/// The same of headers that some services take the path from.
pub fn overrides_path(header_name: &[u8]) -> bool {
    PATH.iter().any(|name| is_called(header_name.iter().copied(), name))
}

/// Whether some parameter of a query replaces the method: `_method`, or the name
/// of a header that does.
///
/// `;` separates parameters, too. Names are decoded; one whose decoded form has a
/// `%` might be decoded once more, and counts as such a name.
pub(super) fn query_overrides_method(query: &[u8]) -> bool {
    query.split(|byte| matches!(byte, b'&' | b';' | b'?')).any(|parameter| {
        let end = parameter.iter().position(|byte| *byte == b'=').unwrap_or(parameter.len());
        let name = parameter.get(..end).unwrap_or_default();
        // Spaces before a name are dropped by some, and what is in brackets names
        // a part of it; a NUL ends it.
        let plain = || {
            Decoded(name)
                .skip_while(|byte| matches!(byte, b' ' | b'+' | b'\t'))
                .take_while(|byte| !matches!(byte, b'[' | 0))
        };
        Decoded(name).any(|byte| byte == b'%')
            || is_called(plain(), FORM)
            || METHOD.iter().any(|name| is_called(plain(), name))
    })
}

/// Whether a name is this one, but for case and for what stands between words.
fn is_called(written: impl Iterator<Item = u8>, name: &[u8]) -> bool {
    let plain =
        |byte: u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'-' };
    written.map(plain).eq(name.iter().copied().map(plain))
}

/// Bytes with what is percent-encoded in them decoded, in either case. A `%` that
/// encodes nothing stays.
#[derive(Clone)]
pub(super) struct Decoded<'a>(pub(super) &'a [u8]);

impl Iterator for Decoded<'_> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|it| u8::try_from(it).ok());
        if *byte == b'%'
            && let Some(([high, low], rest)) = rest.split_first_chunk()
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            self.0 = rest;
            return Some(high << 4 | low);
        }
        Some(*byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_replaces_the_method_is_known_however_it_is_spelt() {
        for name in [
            "x-http-method-override",
            "X-HTTP-Method-Override",
            "X-HTTP-METHOD",
            "x-method-override",
            "x_http_method_override",
            "X.Method.Override",
        ] {
            assert!(overrides_method(name.as_bytes()), "{name}");
        }
        for name in ["", "x-http-method-", "method", ":method", "x-http-methods", "x-kya-method"] {
            assert!(!overrides_method(name.as_bytes()), "{name}");
        }
        assert!(!overrides_method(b"x-http-method\xff-override\xff"));
    }

    #[test]
    fn a_header_that_replaces_the_path_is_known_however_it_is_spelt() {
        for name in ["x-original-url", "X-Original-URL", "X_REWRITE_URL"] {
            assert!(overrides_path(name.as_bytes()), "{name}");
        }
        for name in ["", "x-envoy-original-path", "x-original-urls", "x-http-method"] {
            assert!(!overrides_path(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn a_query_that_replaces_the_method_is_known_however_it_is_spelt() {
        for query in [
            "_method=DELETE",
            "_method",
            "_METHOD=delete",
            "a=b&_method=PUT",
            "a=b;_method=PUT",
            "a?_method=PUT",
            "%5Fmethod=PUT",
            "%5f%6Dethod=PUT",
            "%255Fmethod=PUT",
            ".method=PUT",
            "+_method=PUT",
            "%20_method=PUT",
            "_method[]=PUT",
            "_method%5B0%5D=PUT",
            "_method%00x=PUT",
            "x-http-method-override=PUT",
            "X_HTTP_Method=PUT",
            "&&_method=",
        ] {
            assert!(query_overrides_method(query.as_bytes()), "{query}");
        }
    }

    #[test]
    fn a_query_that_speaks_of_methods_replaces_none() {
        for query in [
            "",
            "&",
            "method=card",
            "payment_method=card",
            "_methods=1",
            "a=_method",
            "a=100%25",
            "a=b=_method",
            "__method=1",
        ] {
            assert!(!query_overrides_method(query.as_bytes()), "{query}");
        }
    }

    #[test]
    fn what_encodes_nothing_stays_as_it_is() {
        let decoded = |text: &str| Decoded(text.as_bytes()).collect::<Vec<_>>();
        assert_eq!(decoded("%41%7a%zz%4%"), b"Az%zz%4%");
    }
}
