//! Paths: what is exact is what every reader makes of it, and nothing that a
//! grammar of it admits is refused.
#![no_main]

use kya_core::exact_path;
use libfuzzer_sys::fuzz_target;
use url::Url;

fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::new();
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        rest = tail;
        if *byte != b'%' {
            decoded.push(*byte);
            continue;
        }
        let (digits, tail) = tail.split_first_chunk::<2>()?;
        let upper = |digit: &u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
        if !digits.iter().all(upper) {
            return None;
        }
        decoded.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = tail;
    }
    Some(decoded)
}

/// The rules one after the other, each over the whole path.
fn is_exact(path: &[u8]) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@/%".contains(&byte);
    let Some(decoded) = decode(path).filter(|_| path.iter().all(|byte| plain(*byte))) else {
        return false;
    };
    // Decoding makes nothing that stands for something, or could have stood there.
    let count = |text: &[u8], of: u8| text.iter().filter(|byte| **byte == of).count();
    let encoded_well = (0..=127u8)
        .filter(|byte| {
            byte.is_ascii_alphanumeric() || b"-._~/\\%;?#".contains(byte) || byte.is_ascii_control()
        })
        .all(|byte| match byte {
            b'%' => count(&decoded, b'%') == 0,
            // The digits of an encoding are letters and digits themselves.
            _ if byte.is_ascii_hexdigit() => {
                !path.windows(3).any(|it| it == format!("%{byte:02X}").as_bytes())
            }
            _ => count(&decoded, byte) == count(path, byte),
        });
    let segments: Vec<_> = path.split(|byte| *byte == b'/').collect();
    let [first, inner @ .., last] = segments.as_slice() else { return false };
    encoded_well
        && first.is_empty()
        && !inner.iter().any(|it| it.is_empty())
        && !segments.iter().any(|it| matches!(*it, b"." | b".."))
        && !last.contains(&b'?')
        && std::str::from_utf8(&decoded).is_ok()
}

fuzz_target!(|target: &[u8]| {
    let cut = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let path = &target[..cut];
    let exact = exact_path(target);
    assert_eq!(exact.is_ok(), is_exact(path), "{exact:?}");
    let Ok(exact) = exact else { return };
    assert_eq!(exact.as_bytes(), path);
    assert_eq!(exact_path(exact.as_bytes()), Ok(exact));
    // What a browser or a client library makes of it (WHATWG URL).
    let url = Url::parse(&format!("http://host{exact}")).expect("an exact path is part of a URL");
    assert_eq!(url.path(), exact);
    assert_eq!((url.query(), url.fragment()), (None, None));
});
