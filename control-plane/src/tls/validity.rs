//! Until when a certificate counts: RFC 5280 section 4.1.2.5, read from its DER.
//!
//! Who checks certificates is rustls; this is only what an operator is told. What cannot be
//! read has no end here, and is no error.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use kya_core::UnixSeconds;

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// When a certificate ends.
pub(super) fn not_after(certificate: &[u8]) -> Option<UnixSeconds> {
    let (tag, certificate, _) = element(certificate)?;
    let (SEQUENCE, (tag, tbs, _)) = (tag, element(certificate)?) else { return None };
    let (SEQUENCE, (first, _, after_first)) = (tag, element(tbs)?) else { return None };
    // The version may be left out; what follows is the serial number.
    let rest = match first {
        VERSION => {
            let (INTEGER, _, rest) = element(after_first)? else { return None };
            rest
        }
        INTEGER => after_first,
        _ => return None,
    };
    let (_, _, rest) = element(rest)?;
    let (_, _, rest) = element(rest)?;
    let (SEQUENCE, validity, _) = element(rest)? else { return None };
    let (_, _, rest) = element(validity)?;
    let (tag, text, _) = element(rest)?;
    time(tag, std::str::from_utf8(text).ok()?)
}

/// Tag and content of the first element, and what comes after it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(length) {
        short @ ..0x80 => (short, rest),
        long => {
            let (digits, rest) = rest.split_at_checked(long & 0x7f)?;
            if digits.is_empty() || digits.len() > 4 {
                return None;
            }
            let add = |sum: usize, digit: &u8| sum.checked_mul(256)?.checked_add((*digit).into());
            (digits.iter().try_fold(0, add)?, rest)
        }
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// `YYMMDDHHMMSSZ`, of which 50 and later are of the last century, or with four digits of a
/// year.
fn time(tag: u8, text: &str) -> Option<UnixSeconds> {
    let text = match tag {
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let at = DateTime::strptime("%Y%m%d%H%M%SZ", &text).ok()?;
    let at = at.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    // What ended before 1970 ended.
    Some(UnixSeconds(u64::try_from(at).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn certificate(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 3, 4);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_a_date() {
        for (year, date) in [(2031, "2031-03-04T00:00:00Z"), (2071, "2071-03-04T00:00:00Z")] {
            let at: jiff::Timestamp = date.parse().unwrap();
            let found = not_after(&certificate(year)).unwrap();
            assert_eq!(i64::try_from(found.0), Ok(at.as_second()), "{date}");
        }
        assert_eq!(time(UTC_TIME, "991231235959Z"), Some(UnixSeconds(946_684_799)));
        assert_eq!(time(UTC_TIME, "500101000000Z"), Some(UnixSeconds(0)));
    }

    #[test]
    fn what_is_no_certificate_has_no_end_wherever_it_breaks_off() {
        let whole = certificate(2031);
        for length in 0..whole.len() {
            assert_eq!(not_after(&whole[..length]), None, "{length}");
        }
        assert_eq!(element(&[0x30, 0x85, 1, 1, 1, 1, 1]), None, "a length of five bytes");
        assert_eq!(element(&[0x30, 0x80, 1]), None, "no length");
        assert_eq!(time(0x0c, "310304000000Z"), None);
        assert_eq!(time(UTC_TIME, "31x304000000Z"), None);
    }
}
