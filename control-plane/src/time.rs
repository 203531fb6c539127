//! Wall-clock time, as it is stored and shown.

use std::fmt::Debug;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use kya_core::{UnixMillis, UnixSeconds};
use serde::Deserialize;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct UnixMicros(pub u64);

/// Where wall-clock time comes from. Only time that people see comes from it;
/// durations are measured with [`std::time::Instant`].
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time now. It may jump, in either direction.
    fn now(&self) -> UnixMicros;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixMicros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        UnixMicros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }
}

impl UnixMicros {
    /// Whole milliseconds, as the protocol carries them.
    pub const fn millis(self) -> UnixMillis {
        UnixMillis(self.0 / 1_000)
    }

    /// Whole seconds.
    pub const fn seconds(self) -> UnixSeconds {
        UnixSeconds(self.0 / 1_000_000)
    }

    /// Milliseconds with their fraction, for figures in JSON.
    pub fn as_millis_f64(self) -> f64 {
        // Exact to the microsecond until the year 2255 (2^53 µs).
        self.0 as f64 / 1_000.0
    }

    /// RFC 3339 in UTC with exactly three decimals, cut off and not rounded.
    pub fn to_rfc3339(self) -> String {
        let millis = i64::try_from(self.millis().0).unwrap_or(i64::MAX);
        let timestamp = Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX);
        format!("{timestamp:.3}")
    }
}

/// An instant that somebody has written: RFC 3339, cut off to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Instant(pub UnixSeconds);

impl TryFrom<String> for Instant {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        const FORM: &str = "must be an instant as RFC 3339 writes it: 2027-01-31T12:00:00Z";
        // No such text is longer, and none has the zone in brackets that is read, too.
        if text.len() > 40 || !text.is_ascii() || text.contains('[') {
            return Err(FORM.to_owned());
        }
        let instant = text.parse::<Timestamp>().map_err(|error| format!("{FORM} ({error})"))?;
        match u64::try_from(instant.as_second()) {
            Ok(second) => Ok(Self(UnixSeconds(second))),
            Err(_) => Err("must not be before 1970".to_owned()),
        }
    }
}

/// The instant at which a second begins.
pub fn second_start(second: UnixSeconds) -> UnixMicros {
    UnixMicros(second.0.saturating_mul(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_exactly_three_decimals() {
        let shown = |micros| UnixMicros(micros).to_rfc3339();
        assert_eq!(shown(1_770_302_843_891_999), "2026-02-05T14:47:23.891Z");
        assert_eq!(shown(1_770_302_843_000_000), "2026-02-05T14:47:23.000Z");
        assert_eq!(shown(0), "1970-01-01T00:00:00.000Z");
        assert!(shown(u64::MAX).starts_with("9999-12-"), "{}", shown(u64::MAX));
    }

    #[test]
    fn an_instant_is_read_with_its_offset_and_no_later_than_it_is() {
        let read = |text: &str| Instant::try_from(text.to_owned());
        let noon = Ok(Instant(UnixSeconds(1_801_396_800)));
        assert_eq!(read("2027-01-31T12:00:00Z"), noon);
        assert_eq!(read("2027-01-31T13:00:00.999+01:00"), noon);
        for bad in [
            "",
            "tomorrow",
            "2027-01-31",
            "2027-01-31T12:00:00",
            "2027-13-31T12:00:00Z",
            "2027-01-31T12:00:00+01:00[Europe/Berlin]",
            "1801396800",
            "1969-12-31T23:59:59Z",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn milliseconds_keep_their_microseconds() {
        assert_eq!(UnixMicros(1_770_302_843_891_123).as_millis_f64(), 1_770_302_843_891.123);
    }
}
