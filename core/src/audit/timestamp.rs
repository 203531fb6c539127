//! Instants as they are written in the trail.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Microseconds since 1970-01-01T00:00:00Z, written as in RFC 3339 with six digits of a
/// second and `Z`: `2026-02-05T14:47:03.000250Z`. One spelling of each instant is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub u64);

/// A text is not a [`Timestamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a time as `2026-02-05T14:47:03.000250Z`")]
pub struct BadTimestamp;

/// The last instant of the year 9999.
const LAST: u64 = 253_402_300_799_999_999;
const MICROS: u64 = 1_000_000;
const DAY: u64 = 86_400;

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).map_err(|_| fmt::Error)?)
    }
}

impl Timestamp {
    /// Adds it to a text, as it is written.
    pub(super) fn write(self, to: &mut String) {
        to.push_str(std::str::from_utf8(&self.digits()).unwrap_or_default());
    }

    fn digits(self) -> [u8; 27] {
        let micros = self.0.min(LAST);
        let seconds = micros.div_euclid(MICROS);
        let (year, month, day) = civil(seconds.div_euclid(DAY));
        let of_day = seconds.rem_euclid(DAY);
        let (hour, minute) = (of_day.div_euclid(3600), of_day.div_euclid(60).rem_euclid(60));
        let (second, fraction) = (of_day.rem_euclid(60), micros.rem_euclid(MICROS));
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        for (place, number) in [
            (0..4, year),
            (5..7, month),
            (8..10, day),
            (11..13, hour),
            (14..16, minute),
            (17..19, second),
            (20..26, fraction),
        ] {
            let mut rest = number;
            for digit in text.get_mut(place).unwrap_or_default().iter_mut().rev() {
                let last = u8::try_from(rest.rem_euclid(10)).unwrap_or_default();
                *digit = b'0'.saturating_add(last);
                rest = rest.div_euclid(10);
            }
        }
        text
    }
}

impl FromStr for Timestamp {
    type Err = BadTimestamp;

    fn from_str(text: &str) -> Result<Self, BadTimestamp> {
        let number = |from: usize, to: usize| {
            let digits = text.get(from..to).filter(|it| it.bytes().all(|b| b.is_ascii_digit()));
            digits.and_then(|it| it.parse::<u64>().ok()).ok_or(BadTimestamp)
        };
        let day = days(number(0, 4)?, number(5, 7)?, number(8, 10)?).ok_or(BadTimestamp)?;
        let seconds = day
            .saturating_mul(DAY)
            .saturating_add(number(11, 13)?.saturating_mul(3600))
            .saturating_add(number(14, 16)?.saturating_mul(60))
            .saturating_add(number(17, 19)?);
        let it = Self(seconds.saturating_mul(MICROS).saturating_add(number(20, 26)?));
        // What was out of its range, or not in its place, is written otherwise.
        if it.to_string() == text { Ok(it) } else { Err(BadTimestamp) }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.digits()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// Year, month and day of a day since 1970 (Howard Hinnant, "chrono-Compatible Low-Level
/// Date Algorithms", `civil_from_days`, for days from 1970 on).
fn civil(days: u64) -> (u64, u64, u64) {
    let z = days.saturating_add(719_468);
    let (era, doe) = (z.div_euclid(146_097), z.rem_euclid(146_097));
    let doy_base = doe
        .saturating_sub(doe.div_euclid(1460))
        .saturating_add(doe.div_euclid(36_524))
        .saturating_sub(doe.div_euclid(146_096));
    let yoe = doy_base.div_euclid(365);
    let before = yoe
        .saturating_mul(365)
        .saturating_add(yoe.div_euclid(4))
        .saturating_sub(yoe.div_euclid(100));
    let doy = doe.saturating_sub(before);
    let mp = doy.saturating_mul(5).saturating_add(2).div_euclid(153);
    let day = doy
        .saturating_sub(mp.saturating_mul(153).saturating_add(2).div_euclid(5))
        .saturating_add(1);
    let month = if mp < 10 { mp.saturating_add(3) } else { mp.saturating_sub(9) };
    let year = yoe.saturating_add(era.saturating_mul(400)).saturating_add(u64::from(month <= 2));
    (year, month, day)
}

/// Days since 1970 of a date of 1970 or later (`days_from_civil`, likewise). Whether there
/// is such a day is not looked at.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    let y = year.checked_sub(u64::from(month <= 2))?;
    let (era, yoe) = (y.div_euclid(400), y.rem_euclid(400));
    let mp = if month > 2 { month.checked_sub(3)? } else { month.checked_add(9)? };
    let doy = mp
        .saturating_mul(153)
        .saturating_add(2)
        .div_euclid(5)
        .saturating_add(day)
        .checked_sub(1)?;
    let doe = yoe
        .saturating_mul(365)
        .saturating_add(yoe.div_euclid(4))
        .saturating_sub(yoe.div_euclid(100))
        .saturating_add(doy);
    era.saturating_mul(146_097).saturating_add(doe).checked_sub(719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_instant_is_written_as_in_rfc_3339() {
        for (micros, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (1_770_302_823_000_250, "2026-02-05T14:47:03.000250Z"),
            (LAST, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(Timestamp(micros).to_string(), text);
            assert_eq!(text.parse(), Ok(Timestamp(micros)));
        }
    }

    #[test]
    fn another_spelling_is_not_read() {
        for text in [
            "",
            "2026-02-05T14:47:03Z",
            "2026-02-05T14:47:03.00025Z",
            "2026-02-05 14:47:03.000250Z",
            "2026-02-05T14:47:03.000250z",
            "2026-02-05T14:47:03.000250+00:00",
            "2026-02-30T14:47:03.000250Z",
            "2026-13-05T14:47:03.000250Z",
            "2026-00-05T14:47:03.000250Z",
            "2026-02-00T14:47:03.000250Z",
            "2026-02-05T24:00:00.000000Z",
            "2026-02-05T14:60:00.000000Z",
            "1969-12-31T23:59:59.000000Z",
            "2026-02-05T14:47:03.000250Z ",
            "+026-02-05T14:47:03.000250Z",
            "\u{660}026-02-05T14:47:03.000250",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(BadTimestamp), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_instant_is_read_as_it_was_written(micros in 0..=LAST) {
            prop_assert_eq!(Timestamp(micros).to_string().parse(), Ok(Timestamp(micros)));
        }

        #[test]
        fn days_follow_each_other(day in 0..2_932_896u64) {
            let (year, month, date) = civil(day);
            prop_assert_eq!(days(year, month, date), Some(day));
            let (y2, m2, d2) = civil(day + 1);
            prop_assert!((year, month, date) < (y2, m2, d2));
        }
    }
}
