//! Spans of time, as they are written in a policy.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The units, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400), ("h", 3_600), ("min", 60), ("m", 60), ("s", 1)];

/// A span of time of whole seconds, written as a number and a unit: `30s`, `5min`
/// or `5m`, `1h`, `7d`. Not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(u64);

/// A text is no span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("must be a whole number and a unit, such as `30s`, `5min`, `1h` or `7d`")]
pub struct SpanError;

impl Span {
    /// This many seconds; `None` if there are none.
    pub const fn from_seconds(seconds: u64) -> Option<Self> {
        if seconds == 0 { None } else { Some(Self(seconds)) }
    }

    /// How many seconds it is.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// How many milliseconds it is.
    pub const fn millis(self) -> u64 {
        self.0.saturating_mul(1_000)
    }
}

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let end = text.bytes().position(|byte| !byte.is_ascii_digit()).ok_or(SpanError)?;
        let (digits, unit) = text.split_at_checked(end).ok_or(SpanError)?;
        if digits.starts_with('0') {
            return Err(SpanError);
        }
        let number: u64 = digits.parse().map_err(|_| SpanError)?;
        let (_, each) = UNITS.iter().find(|(name, _)| *name == unit).ok_or(SpanError)?;
        number.checked_mul(*each).and_then(Self::from_seconds).ok_or(SpanError)
    }
}

impl fmt::Display for Span {
    /// In the longest unit of which it is a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, each) =
            UNITS.into_iter().find(|(_, each)| self.0.is_multiple_of(*each)).unwrap_or(("s", 1));
        write!(f, "{}{unit}", self.0.checked_div(each).unwrap_or(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_number_and_a_unit_are_a_span() {
        for (text, seconds, shown) in [
            ("30s", 30, "30s"),
            ("60s", 60, "1min"),
            ("5min", 300, "5min"),
            ("5m", 300, "5min"),
            ("90m", 5_400, "90min"),
            ("1h", 3_600, "1h"),
            ("24h", 86_400, "1d"),
            ("7d", 604_800, "7d"),
        ] {
            let span: Span = text.parse().unwrap();
            assert_eq!((span.seconds(), span.to_string().as_str()), (seconds, shown), "{text}");
            assert_eq!(span.millis(), seconds * 1_000);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "s",
            "60",
            "0s",
            "060s",
            "60 s",
            " 60s",
            "60s ",
            "1.5h",
            "-1s",
            "+1s",
            "1S",
            "1ms",
            "1w",
            "1mins",
            "1m30s",
            "٣s",
            "1е",
            "0x1s",
            "1e3s",
            "18446744073709551616s",
            "18446744073709551615d",
        ] {
            assert_eq!(text.parse::<Span>(), Err(SpanError), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_span_survives_being_written(seconds in 1u64..) {
            let span = Span::from_seconds(seconds).unwrap();
            prop_assert_eq!(span.to_string().parse(), Ok(span));
        }

        #[test]
        fn no_text_makes_it_panic(text: String) {
            let _ = text.parse::<Span>();
        }
    }
}
