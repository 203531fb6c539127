//! Durations as operators write them: `90s`, `5m`, `24h`.

use std::time::Duration;

/// Reads a whole number of seconds, minutes or hours, such as `90s`, `5m` or
/// `24h`; none of them is zero.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds_each = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    // `u64::from_str` would also take a plus sign, and zeros in front.
    let digits = !number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = digits.then(|| number.parse().ok()).flatten()?;
    number.checked_mul(seconds_each).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_and_a_unit_are_a_duration() {
        for (text, seconds) in [("1s", 1), ("90s", 90), ("5m", 300), ("24h", 86_400)] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
    }

    #[test]
    fn everything_else_is_none() {
        for text in [
            "",
            "s",
            "60",
            "0s",
            "060s",
            "60 s",
            " 60s",
            "60s ",
            "1.5s",
            "-1s",
            "+1s",
            "1S",
            "1d",
            "1ms",
            "1m30s",
            "٣s",
            "1е",
            "0x1s",
            "18446744073709551616s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = parse(&text);
        }
    }
}
