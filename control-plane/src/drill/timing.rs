//! When the drills of a schedule are due. Pure: the time comes in.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::cron::Cron;
use crate::store::schedules::When;
use crate::time::UnixMicros;

const SECOND: u64 = 1_000_000;
/// A 29th of February comes within so many days, and so does whatever comes at all.
const DAYS: usize = 366 * 9;
const MAX_ZONE: usize = 64;

/// When drills are due.
#[derive(Debug, Clone)]
pub(super) enum Timing {
    /// By the clock on the wall in a time zone.
    Cron(Box<Cron>, TimeZone),
    /// So many microseconds after `from`, and again and again.
    Every { from: UnixMicros, every: u64 },
}

impl Timing {
    /// Reads it, of a schedule that was made at `from`.
    ///
    /// # Errors
    /// What is wrong, with the member that it is about.
    pub(super) fn read(when: &When, from: UnixMicros) -> Result<Self, String> {
        match when {
            When::Every { seconds } => {
                Ok(Self::Every { from, every: seconds.saturating_mul(SECOND).max(SECOND) })
            }
            When::Cron { expression, time_zone } => {
                let cron = Cron::read(expression).map_err(|why| format!("`cron`: {why}"))?;
                Ok(Self::Cron(Box::new(cron), zone(time_zone)?))
            }
        }
    }

    /// The first one after this instant; `None` if none comes in nine years.
    pub(super) fn next(&self, after: UnixMicros) -> Option<UnixMicros> {
        match self {
            Self::Every { from, every } => {
                let passed = after.0.saturating_sub(from.0) / every;
                let next = passed.checked_add(1)?.checked_mul(*every)?;
                from.0.checked_add(next).map(UnixMicros)
            }
            Self::Cron(cron, zone) => {
                let mut date = zone.to_datetime(timestamp(after)?).date();
                for _ in 0..DAYS {
                    let due = on(cron, zone, date);
                    if let Some(next) = due.into_iter().find(|due| *due > after) {
                        return Some(next);
                    }
                    date = date.tomorrow().ok()?;
                }
                None
            }
        }
    }

    /// The last one up to this instant.
    pub(super) fn last(&self, at: UnixMicros) -> Option<UnixMicros> {
        match self {
            Self::Every { from, every } => {
                let passed = at.0.checked_sub(from.0)? / every;
                let last = passed.checked_mul(*every).filter(|since| *since > 0)?;
                from.0.checked_add(last).map(UnixMicros)
            }
            Self::Cron(cron, zone) => {
                // What the clocks leave out is due later than it says, and never on a later day.
                let mut date = zone.to_datetime(timestamp(at)?).date();
                for _ in 0..DAYS {
                    let due = on(cron, zone, date);
                    if let Some(last) = due.into_iter().rev().find(|due| *due <= at) {
                        return Some(last);
                    }
                    date = date.yesterday().ok()?;
                }
                None
            }
        }
    }
}

/// The time zone of this name of the IANA time zone database.
fn zone(name: &str) -> Result<TimeZone, String> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/_+-".contains(&byte);
    let known = (1..=MAX_ZONE).contains(&name.len()) && name.bytes().all(plain);
    let found = known.then(|| TimeZone::get(name).ok()).flatten();
    found.ok_or_else(|| {
        format!("`time_zone`: `{name}` is no name of the IANA time zone database, such as Europe/Berlin or UTC")
    })
}

/// All that is due on a day, in order. Where clocks are put forward, what they leave out is
/// due as much later; where they are put back, what comes twice is due the first time. What
/// is due in every hour is due in each that passes, and in none that does not.
fn on(cron: &Cron, zone: &TimeZone, date: Date) -> Vec<UnixMicros> {
    if !cron.is_on(date) {
        return Vec::new();
    }
    let mut due = Vec::new();
    for (hour, minute) in cron.times() {
        let at = zone.to_ambiguous_timestamp(date.at(hour, minute, 0, 0));
        match at.offset() {
            AmbiguousOffset::Gap { .. } if cron.is_hourly() => {}
            AmbiguousOffset::Fold { .. } if cron.is_hourly() => {
                due.extend([at.earlier().ok(), at.later().ok()].into_iter().flatten());
            }
            _ => due.extend(at.compatible().ok()),
        }
    }
    due.sort_unstable();
    due.dedup();
    due.into_iter().filter_map(micros).collect()
}

fn timestamp(at: UnixMicros) -> Option<Timestamp> {
    Timestamp::from_microsecond(i64::try_from(at.0).ok()?).ok()
}

fn micros(at: Timestamp) -> Option<UnixMicros> {
    u64::try_from(at.as_microsecond()).ok().map(UnixMicros)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> UnixMicros {
        micros(text.parse().unwrap()).unwrap()
    }

    fn cron(expression: &str, time_zone: &str) -> Timing {
        let (expression, time_zone) = (expression.to_owned(), time_zone.to_owned());
        Timing::read(&When::Cron { expression, time_zone }, UnixMicros(0)).unwrap()
    }

    /// The next of them, without the fractions of their seconds.
    fn next(timing: &Timing, after: &str, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut after = at(after);
        for _ in 0..count {
            after = timing.next(after).unwrap();
            assert_eq!(timing.last(after), Some(after));
            found.push(after.to_rfc3339().replace(".000", ""));
        }
        found
    }

    #[test]
    fn a_quarter_a_week_and_a_leap_day_come() {
        let quarterly = cron("0 9 1 1,4,7,10 *", "UTC");
        assert_eq!(
            next(&quarterly, "2026-11-27T00:00:00Z", 3),
            ["2027-01-01T09:00:00Z", "2027-04-01T09:00:00Z", "2027-07-01T09:00:00Z"]
        );
        assert_eq!(next(&quarterly, "2027-01-01T09:00:00Z", 1), ["2027-04-01T09:00:00Z"]);
        assert_eq!(next(&quarterly, "2027-01-01T08:59:59.999999Z", 1), ["2027-01-01T09:00:00Z"]);
        let leap = cron("30 12 29 2 *", "UTC");
        assert_eq!(
            next(&leap, "2096-03-01T00:00:00Z", 2),
            ["2104-02-29T12:30:00Z", "2108-02-29T12:30:00Z"]
        );
        let last = leap.last(at("2104-02-01T00:00:00Z")).unwrap();
        assert_eq!(last.to_rfc3339(), "2096-02-29T12:30:00.000Z");
        assert_eq!(cron("0 0 31 2 *", "UTC").next(at("2026-01-01T00:00:00Z")), None);
    }

    #[test]
    fn what_the_clocks_leave_out_is_due_later_and_what_comes_twice_once() {
        // On 2026-03-29 Berlin goes from 02:00 to 03:00, on 2026-10-25 from 03:00 to 02:00.
        let nightly = cron("30 2 * * *", "Europe/Berlin");
        assert_eq!(
            next(&nightly, "2026-03-27T12:00:00Z", 3),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:30:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            next(&nightly, "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        // What is due in every hour is due in each hour that passes.
        let hourly = cron("0 * * * *", "Europe/Berlin");
        let hours = ["2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z", "2026-10-25T02:00:00Z"];
        assert_eq!(next(&hourly, "2026-10-24T23:30:00Z", 3), hours);
        let hours = ["2026-03-29T00:00:00Z", "2026-03-29T01:00:00Z", "2026-03-29T02:00:00Z"];
        assert_eq!(next(&hourly, "2026-03-28T23:30:00Z", 3), hours);
        // Nine in the morning is another instant in summer.
        let morning = cron("0 9 * * *", "America/New_York");
        assert_eq!(next(&morning, "2026-03-07T20:00:00Z", 1), ["2026-03-08T13:00:00Z"]);
        assert_eq!(next(&morning, "2026-03-06T20:00:00Z", 1), ["2026-03-07T14:00:00Z"]);
    }

    #[test]
    fn an_interval_goes_by_when_it_began() {
        let from = at("2026-11-27T00:00:10Z");
        let every = Timing::read(&When::Every { seconds: 300 }, from).unwrap();
        assert_eq!(
            next(&every, "2026-11-27T00:00:10Z", 2),
            ["2026-11-27T00:05:10Z", "2026-11-27T00:10:10Z"]
        );
        assert_eq!(every.next(UnixMicros(0)), Some(at("2026-11-27T00:05:10Z")));
        assert_eq!(every.last(at("2026-11-27T00:05:09Z")), None);
        assert_eq!(every.last(at("2026-11-27T00:11:00Z")), Some(at("2026-11-27T00:10:10Z")));
        assert_eq!(every.next(UnixMicros(u64::MAX)), None);
    }

    #[test]
    fn a_zone_has_a_name_of_the_database() {
        for good in ["UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5"] {
            assert!(zone(good).is_ok(), "{good}");
        }
        for bad in ["", "Berlin", "CET-1CEST", "../etc/passwd", "Europe/Atlantis", "UTC\n"] {
            assert!(zone(bad).unwrap_err().starts_with("`time_zone`: "), "{bad}");
        }
    }
}
