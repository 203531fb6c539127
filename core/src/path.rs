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
    /// What is encoded has a plainer spelling, or becomes a part of the path's
    /// structure when it is decoded: a letter, a digit, one of `-._~/\%;?#`, or a
    /// control character.
    #[error(
        "percent-encodes a character that must not be: a letter, a digit, one of `-._~/\\%;?#`, or a control character"
    )]
    WronglyEncoded,
    /// What is encoded is not UTF-8: lenient decoders read an overlong dot or
    /// slash in it.
    #[error("percent-encodes bytes that are not UTF-8")]
    NotUtf8,
    /// `;`: some take what follows for parameters and drop it.
    #[error("has path parameters (`;`)")]
    Parameters,
    /// `//`: some merge it, others do not.
    #[error("has an empty segment (`//`)")]
    EmptySegment,
    /// `.` or `..`.
    #[error("has a segment `.` or `..`")]
    DotSegment,
}

/// The path of a request's target (RFC 9112 section 3.2.1), without its query,
/// if it has exactly one reading.
///
/// The bytes are returned as they came; nothing is decoded. An exact path is
/// normal in the sense of RFC 3986 section 6.2.2, and besides free of all that a
/// second decoding, a merging of slashes, or the removal of parameters or of a
/// fragment would turn into another path. A request never has a fragment (`#`), so
/// one that has is not cut there: what a service makes of it is not known.
pub fn exact(target: &[u8]) -> Result<&str, PathError> {
    let end = target.iter().position(|byte| *byte == b'?').unwrap_or(target.len());
    let path = target.get(..end).unwrap_or_default();
    let segments = path.strip_prefix(b"/").ok_or(PathError::NotAbsolute)?;
    let mut ascii = true;
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        rest = match byte {
            b'/' => tail,
            b';' => return Err(PathError::Parameters),
            b'%' => {
                let (byte, tail) = decode(tail)?;
                if must_not_be_encoded(byte) {
                    return Err(PathError::WronglyEncoded);
                }
                ascii &= byte.is_ascii();
                tail
            }
            byte if is_plain(*byte) => tail,
            _ => return Err(PathError::WrongCharacter),
        };
    }
    let last = segments.iter().filter(|byte| **byte == b'/').count();
    for (index, segment) in segments.split(|byte| *byte == b'/').enumerate() {
        if matches!(segment, b"." | b"..") {
            return Err(PathError::DotSegment);
        }
        // The last segment may be empty: that is the slash at the end.
        if segment.is_empty() && index != last {
            return Err(PathError::EmptySegment);
        }
    }
    if !ascii && !decodes_to_utf8(path) {
        return Err(PathError::NotUtf8);
    }
    // Only ASCII is left.
    std::str::from_utf8(path).map_err(|_| PathError::WrongCharacter)
}

/// The byte that the two digits after a `%` stand for, and what follows them.
fn decode(tail: &[u8]) -> Result<(u8, &[u8]), PathError> {
    let ([high, low], rest) = tail.split_first_chunk().ok_or(PathError::WrongEncoding)?;
    match (digit(*high), digit(*low)) {
        (Some(high), Some(low)) => Ok((high << 4 | low, rest)),
        _ => Err(PathError::WrongEncoding),
    }
}

fn must_not_be_encoded(byte: u8) -> bool {
    is_unreserved(byte) || b"/\\%;?#".contains(&byte) || byte.is_ascii_control()
}

/// Without the memory that a decoded copy would take: a character at a time.
fn decodes_to_utf8(path: &[u8]) -> bool {
    let mut character = [0; 4];
    let mut length = 0;
    let mut rest = path;
    while let Some((byte, tail)) = rest.split_first() {
        let (value, tail) = match decode(tail) {
            Ok(decoded) if *byte == b'%' => decoded,
            _ => (*byte, tail),
        };
        rest = tail;
        let (begun, free) = character.split_at_mut(length);
        let Some(place) = free.first_mut() else { return false };
        *place = value;
        length = begun.len().saturating_add(1);
        match std::str::from_utf8(character.get(..length).unwrap_or_default()) {
            Ok(_) => length = 0,
            // More bytes may complete it.
            Err(error) if error.error_len().is_none() => {}
            Err(_) => return false,
        }
    }
    length == 0
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

/// `pchar` of RFC 3986 without its percent-encoded form and without `;`.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,=:@".contains(&byte)
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

#[cfg(test)]
#[path = "path_tests.rs"]
mod tests;
