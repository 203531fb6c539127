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
        ("/caf%C3%A9%20%5B1%5D", "/caf%C3%A9%20%5B1%5D"),
        ("/%F0%9F%94%91", "/%F0%9F%94%91"),
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
        (b"/healthz/..;/admin", Parameters),
        (b"/healthz/..;a=b/admin", Parameters),
        (b"/healthz;jsessionid=1", Parameters),
        (b"/healthz/%2e%2e/admin", WrongEncoding),
        (b"/healthz/%2E%2E/admin", WronglyEncoded),
        (b"/healthz/.%2E/admin", WronglyEncoded),
        (b"/admin/%2E./healthz", WronglyEncoded),
        (b"/healthz%2Fx", WronglyEncoded),
        (b"/healthz%2fx", WrongEncoding),
        (b"/healthz%5C..%5Cadmin", WronglyEncoded),
        (b"/healthz%5c", WrongEncoding),
        (b"/healthz%252F..", WronglyEncoded),
        (b"/healthz%00", WronglyEncoded),
        (b"/healthz%3B/../admin", WronglyEncoded),
        (b"/healthz%3Fx", WronglyEncoded),
        (b"/healthz%23x", WronglyEncoded),
        (b"/healthz%7F", WronglyEncoded),
        // Overlong dots and slashes, a surrogate, half a character, Latin-1.
        (b"/healthz/%C0%AE%C0%AE/admin", NotUtf8),
        (b"/healthz%C0%AFadmin", NotUtf8),
        (b"/healthz/%E0%80%AE", NotUtf8),
        (b"/healthz%ED%A0%80", NotUtf8),
        (b"/healthz%C3a%A9", NotUtf8),
        (b"/healthz%E9", NotUtf8),
        (b"/healthz%0A", WronglyEncoded),
        (b"/%68ealthz", WronglyEncoded),
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
    let path: Vec<u8> = path.iter().map(|byte| if *byte == b'\\' { b'/' } else { *byte }).collect();
    let end =
        path.iter().position(|byte| matches!(byte, b'#' | b'?' | b'\0')).unwrap_or(path.len());
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
    let start = prop::sample::select(vec!["/healthz", "/", "/caf%C3%A9/", ""]);
    let parts = prop::collection::vec(prop::sample::select(parts.to_vec()), 0..8);
    (start, parts).prop_map(|(start, parts)| [start, &parts.concat()].concat().into_bytes())
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
                prop_assert_eq!(read.len(), named.len(), "{} as {:?}", path, reading);
            }
        }
    }
}
