//! The one spelling of a path that counts when a path decides something.
//!
//! Between a client and a service, a path is read several times: by the proxy,
//! by this gate, by a framework, at times by a file system. Each may decode,
//! merge or resolve it once more than the one before. So nothing here resolves
//! anything: a path that any reader could take for another one is not exact, and
//! no rule that names a path applies to it.

use thiserror::Error;

/// Why the target of a request has no exact path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PathError {
    /// It does not begin with `/`, such as `*` or `http://host/path`.
    #[error("does not begin with `/`")]
    NotAbsolute,
    /// A character that RFC 3986 has no place for in a path: a backslash, `#`, a
    /// space, a control character, anything that is not ASCII.
    #[error("has a character that must be percent-encoded in a path (RFC 3986 section 3.3)")]
    WrongCharacter,
    /// `%` without two hexadecimal digits in upper case.
    #[error("has a `%` that is not followed by two hexadecimal digits in upper case")]
    WrongEncoding,
    /// What is encoded has a plainer spelling, or is read as part of the path's
    /// structure by those who decode it: a letter, a digit, one of `-._~/\%`, or
    /// a control character.
    #[error(
        "percent-encodes a character that must not be: a letter, a digit, one of `-._~/\\%`, or a control character"
    )]
    NeedlesslyEncoded,
    /// `//`: some merge it, others do not.
    #[error("has an empty segment (`//`)")]
    EmptySegment,
    /// `.` or `..`, also with parameters behind it (`..;a=b`).
    #[error("has a segment `.` or `..`")]
    DotSegment,
}

/// The path of a request's target (RFC 9112 section 3.2.1), without its query,
/// if it has exactly one reading.
///
/// The bytes are returned as they came; nothing is decoded. An exact path is
/// normal in the sense of RFC 3986 section 6.2.2, and besides free of all that a
/// second decoding, a merging of slashes, or the removal of path parameters would
/// turn into another path.
pub fn exact(target: &[u8]) -> Result<&str, PathError> {
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let path = target.get(..end).unwrap_or_default();
    let segments = path.strip_prefix(b"/").ok_or(PathError::NotAbsolute)?;
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        rest = match byte {
            b'/' => tail,
            b'%' => encoded(tail)?,
            byte if is_plain(*byte) => tail,
            _ => return Err(PathError::WrongCharacter),
        };
    }
    let last = segments.iter().filter(|byte| **byte == b'/').count();
    for (index, segment) in segments.split(|byte| *byte == b'/').enumerate() {
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if matches!(name, b"." | b"..") {
            return Err(PathError::DotSegment);
        }
        // The last segment may be empty: that is the slash at the end.
        if segment.is_empty() && index != last {
            return Err(PathError::EmptySegment);
        }
    }
    // Only ASCII is left.
    std::str::from_utf8(path).map_err(|_| PathError::WrongCharacter)
}

/// What follows one percent-encoded byte of which `tail` begins with the digits.
fn encoded(tail: &[u8]) -> Result<&[u8], PathError> {
    let ([high, low], rest) = tail.split_first_chunk().ok_or(PathError::WrongEncoding)?;
    let (Some(high), Some(low)) = (digit(*high), digit(*low)) else {
        return Err(PathError::WrongEncoding);
    };
    let byte = high << 4 | low;
    let structural = matches!(byte, b'/' | b'\\' | b'%') || byte.is_ascii_control();
    if structural || is_unreserved(byte) {
        return Err(PathError::NeedlesslyEncoded);
    }
    Ok(rest)
}

/// The value of a hexadecimal digit in its normal, upper case (RFC 3986 section
/// 6.2.2.1).
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => byte.checked_sub(b'0'),
        b'A'..=b'F' => byte.checked_sub(b'A' - 10),
        _ => None,
    }
}

/// `pchar` of RFC 3986 without its percent-encoded form.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,;=:@".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_plain_path_is_exact_and_loses_its_query() {
        for (target, path) in [
            ("/", "/"),
            ("/healthz", "/healthz"),
            ("/healthz?", "/healthz"),
            ("/healthz?probe=1?2", "/healthz"),
            ("/healthz?/../admin", "/healthz"),
            ("/healthz?%2e%2e#x", "/healthz"),
            ("/healthz/", "/healthz/"),
            ("/v1/agents/agt_01:revoke", "/v1/agents/agt_01:revoke"),
            ("/.well-known/x", "/.well-known/x"),
            ("/a..b/...", "/a..b/..."),
            ("/caf%C3%A9;v=1", "/caf%C3%A9;v=1"),
        ] {
            assert_eq!(exact(target.as_bytes()), Ok(path), "{target}");
        }
    }

    #[test]
    fn what_some_reader_takes_for_another_path_is_not_exact() {
        use PathError::*;
        for (target, error) in [
            (&b""[..], NotAbsolute),
            (b"*", NotAbsolute),
            (b"?/healthz", NotAbsolute),
            (b"healthz", NotAbsolute),
            (b"http://host/healthz", NotAbsolute),
            (b"//healthz", EmptySegment),
            (b"//evil.example/healthz", EmptySegment),
            (b"/a//healthz", EmptySegment),
            (b"/healthz//", EmptySegment),
            (b"/./healthz", DotSegment),
            (b"/healthz/.", DotSegment),
            (b"/healthz/../admin", DotSegment),
            (b"/admin/../healthz", DotSegment),
            (b"/healthz/..", DotSegment),
            (b"/healthz/..;/admin", DotSegment),
            (b"/healthz/..;a=b/admin", DotSegment),
            (b"/healthz/.;/admin", DotSegment),
            (b"/healthz/%2e%2e/admin", WrongEncoding),
            (b"/healthz/%2E%2E/admin", NeedlesslyEncoded),
            (b"/healthz/.%2E/admin", NeedlesslyEncoded),
            (b"/admin/%2E./healthz", NeedlesslyEncoded),
            (b"/healthz%2Fx", NeedlesslyEncoded),
            (b"/healthz%2fx", WrongEncoding),
            (b"/healthz%5C..%5Cadmin", NeedlesslyEncoded),
            (b"/healthz%5c", WrongEncoding),
            (b"/healthz%252F..", NeedlesslyEncoded),
            (b"/healthz%00", NeedlesslyEncoded),
            (b"/healthz%0A", NeedlesslyEncoded),
            (b"/%68ealthz", NeedlesslyEncoded),
            (b"/healthz\\..\\admin", WrongCharacter),
            (b"\\healthz", NotAbsolute),
            (b"/healthz#/../admin", WrongCharacter),
            (b"/healthz#", WrongCharacter),
            (b"/healthz ", WrongCharacter),
            (b"/healthz\0", WrongCharacter),
            (b"/healthz\t", WrongCharacter),
            (b"/healthz\r\nx: y", WrongCharacter),
            ("/hеalthz".as_bytes(), WrongCharacter),
            (b"/healthz\xff", WrongCharacter),
            (b"/healthz%", WrongEncoding),
            (b"/healthz%2", WrongEncoding),
            (b"/healthz%zz", WrongEncoding),
            (b"/healthz%u002e", WrongEncoding),
            (b"/healthz%+2", WrongEncoding),
        ] {
            assert_eq!(exact(target), Err(error), "{}", String::from_utf8_lossy(target));
        }
    }

    /// Every reading of a path that this test can think of: decoded any number of
    /// times, slashes of both kinds, parameters and fragments dropped, dots
    /// resolved. None of them may make another path of an exact one.
    fn readings(path: &[u8]) -> Vec<Vec<u8>> {
        let mut all = vec![path.to_vec()];
        for _ in 0..3 {
            let decoded = decode(all.last().unwrap());
            all.push(decoded);
        }
        all.into_iter().map(|path| resolve(&path)).collect()
    }

    fn decode(path: &[u8]) -> Vec<u8> {
        let (mut decoded, mut rest) = (Vec::new(), path);
        while let Some((byte, tail)) = rest.split_first() {
            let hex = tail.get(..2).and_then(|two| std::str::from_utf8(two).ok());
            match hex.and_then(|two| u8::from_str_radix(two, 16).ok()) {
                Some(value) if *byte == b'%' => {
                    decoded.push(value);
                    rest = &tail[2..];
                }
                _ => {
                    decoded.push(*byte);
                    rest = tail;
                }
            }
        }
        decoded
    }

    fn resolve(path: &[u8]) -> Vec<u8> {
        let path: Vec<u8> =
            path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
        let end = path.iter().position(|byte| matches!(byte, b'#' | b'\0')).unwrap_or(path.len());
        let mut resolved: Vec<&[u8]> = Vec::new();
        for segment in path[..end].split(|byte| *byte == b'/') {
            match segment.split(|byte| *byte == b';').next().unwrap() {
                b"" | b"." => {}
                b".." => drop(resolved.pop()),
                name => resolved.push(name),
            }
        }
        resolved.join(&b'/')
    }

    /// Targets made of what tricks are made of.
    fn tricks() -> impl Strategy<Value = Vec<u8>> {
        let parts = [
            "/",
            "//",
            "\\",
            ".",
            "..",
            ";",
            "?",
            "#",
            "%",
            "%2e",
            "%2E",
            "%2f",
            "%2F",
            "%5c",
            "%5C",
            "%25",
            "%252e",
            "%00",
            "%3F",
            "%23",
            "healthz",
            "HEALTHZ",
            "%68ealthz",
            "admin",
            "a=b",
            " ",
            "\0",
            "é",
            "*",
            ":",
        ];
        prop::collection::vec(prop::sample::select(parts.to_vec()), 0..8)
            .prop_map(|parts| parts.concat().into_bytes())
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(target: Vec<u8>) {
            let _ = exact(&target);
        }

        #[test]
        fn an_exact_path_is_a_prefix_of_the_target_and_exact_itself(target in tricks()) {
            if let Ok(path) = exact(&target) {
                prop_assert!(target.starts_with(path.as_bytes()));
                prop_assert_eq!(exact(path.as_bytes()), Ok(path));
            }
        }

        #[test]
        fn no_trick_is_taken_for_the_health_check(target in tricks()) {
            if exact(&target) == Ok("/healthz") {
                let path = target.split(|byte| *byte == b'?').next().unwrap();
                prop_assert_eq!(path, b"/healthz");
            }
        }

        #[test]
        fn an_exact_path_names_the_same_segments_to_every_reader(target in tricks()) {
            if let Ok(path) = exact(&target) {
                let named: Vec<_> =
                    path.split('/').filter(|segment| !segment.is_empty()).collect();
                for reading in readings(path.as_bytes()) {
                    let read: Vec<_> =
                        reading.split(|byte| *byte == b'/').filter(|s| !s.is_empty()).collect();
                    let bare = named.iter().filter(|segment| !segment.starts_with(';')).count();
                    // Encoded `?` and `#` stay data to whoever decodes after splitting.
                    if !path.contains("%23") && !path.contains("%3F") {
                        prop_assert_eq!(read.len(), bare, "{} as {:?}", path, reading);
                    }
                }
            }
        }
    }
}
