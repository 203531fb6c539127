//! Cron expressions of five fields, as crontab(5) reads them: minute, hour, day of the
//! month, month, day of the week. Pure.
//!
//! They are read here because the libraries that do it bring a second date library, want a
//! field for seconds, or do not say which field is wrong.

use jiff::civil::Date;

const MAX_LENGTH: usize = 256;

/// When something is due, by the clock on the wall.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cron {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Whether the day of the month, or of the week, is said: if both are, either will do.
    says_day: bool,
    says_weekday: bool,
}

struct Field {
    name: &'static str,
    least: u8,
    most: u8,
    /// What `least` and those after it are called.
    names: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field { name: "minute", least: 0, most: 59, names: &[] },
    Field { name: "hour", least: 0, most: 23, names: &[] },
    Field { name: "day of the month", least: 1, most: 31, names: &[] },
    Field {
        name: "month",
        least: 1,
        most: 12,
        names: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of the week",
        least: 0,
        most: 7,
        names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

impl Cron {
    /// Reads it.
    ///
    /// # Errors
    /// What is wrong, with the field that it is about.
    pub(super) fn read(text: &str) -> Result<Self, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("has more than {MAX_LENGTH} characters"));
        }
        let fields: Vec<_> = text.split_ascii_whitespace().collect();
        let Ok(fields) = <[&str; 5]>::try_from(fields.as_slice()) else {
            return Err(format!(
                "has {} fields, and must have five: minute, hour, day of the month, month, day of the week",
                fields.len()
            ));
        };
        let [minute, hour, day, month, weekday] = FIELDS;
        let weekdays = weekday.read(fields[4])?;
        Ok(Self {
            minutes: minute.read(fields[0])?,
            hours: hour.read(fields[1])?,
            days: day.read(fields[2])?,
            months: month.read(fields[3])?,
            // Sunday is 0 and 7.
            weekdays: (weekdays | (weekdays >> 7)) & 0x7f,
            says_day: !fields[2].starts_with('*'),
            says_weekday: !fields[4].starts_with('*'),
        })
    }

    /// Whether anything is due on this day.
    pub(super) fn is_on(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let is_day = match (self.says_day, self.says_weekday) {
            (true, true) => day || weekday,
            _ => day && weekday,
        };
        is_day && has(self.months, date.month())
    }

    /// Hour and minute of what is due on such a day, in order.
    pub(super) fn times(&self) -> impl Iterator<Item = (i8, i8)> {
        let (hours, minutes) = (self.hours, self.minutes);
        let hours = (0..24).filter(move |hour| has(hours, *hour));
        hours.flat_map(move |hour| {
            (0..60).filter(move |minute| has(minutes, *minute)).map(move |minute| (hour, minute))
        })
    }

    /// Whether it is due in every hour, so that it goes by time that passes and not by the
    /// name of an hour.
    pub(super) fn is_hourly(&self) -> bool {
        (0..24).all(|hour| has(self.hours, hour))
    }
}

fn has(set: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| set.checked_shr(number).unwrap_or(0) & 1 == 1)
}

impl Field {
    /// The set of the numbers that are meant.
    fn read(&self, text: &str) -> Result<u64, String> {
        let mut set = 0;
        for part in text.split(',') {
            set |= self.part(part).map_err(|why| format!("{}: {why}", self.name))?;
        }
        Ok(set)
    }

    /// `*`, `N`, `N-M`, and the first and the last of these with `/STEP`.
    fn part(&self, text: &str) -> Result<u64, String> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(step)),
            None => (text, None),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.least, self.most),
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None if step.is_some() => {
                return Err(format!(
                    "`{text}`: a step stands after `*` or a range, as in */5 or 10-50/5"
                ));
            }
            None => (self.number(range)?, self.number(range)?),
        };
        if first > last {
            return Err(format!("`{range}` goes backwards: write it as two, with a comma"));
        }
        let most = self.most.max(1);
        let step = match step.map(str::parse::<u8>) {
            None => 1,
            Some(Ok(step)) if (1..=most).contains(&step) => step,
            Some(_) => return Err(format!("`{text}`: a step is a number from 1 to {most}")),
        };
        let numbers = (first..=last).step_by(usize::from(step));
        Ok(numbers.fold(0, |set, number| set | 1u64.checked_shl(number.into()).unwrap_or(0)))
    }

    fn number(&self, text: &str) -> Result<u8, String> {
        let named = self.names.iter().position(|name| text.eq_ignore_ascii_case(name));
        if let Some(place) = named.and_then(|place| u8::try_from(place).ok()) {
            return Ok(self.least.saturating_add(place));
        }
        let Self { least, most, .. } = *self;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u8>() {
            Ok(number) if digits && (least..=most).contains(&number) => Ok(number),
            _ if digits => Err(format!("`{text}` is not within {least} to {most}")),
            _ => Err(match self.names.first() {
                None => format!("`{text}` is no number"),
                Some(name) => format!("`{text}` is no number, and no name such as {name}"),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(text: &str) -> Vec<(i8, i8)> {
        Cron::read(text).unwrap().times().collect()
    }

    #[test]
    fn fields_are_lists_of_numbers_ranges_and_steps() {
        assert_eq!(times("0 9 * * *"), [(9, 0)]);
        assert_eq!(times("*/20 8-9 * * *"), [(8, 0), (8, 20), (8, 40), (9, 0), (9, 20), (9, 40)]);
        assert_eq!(
            times("10-50/20,5 0,23 * * *"),
            [(0, 5), (0, 10), (0, 30), (0, 50), (23, 5), (23, 10), (23, 30), (23, 50)]
        );
        assert_eq!(times("* * * * *").len(), 24 * 60);
        assert!(Cron::read("0 * * * *").unwrap().is_hourly());
        assert!(!Cron::read("0 0-22 * * *").unwrap().is_hourly());
    }

    #[test]
    fn the_day_is_that_of_the_month_or_of_the_week_where_both_are_said() {
        let is_on = |text: &str, date: &str| Cron::read(text).unwrap().is_on(date.parse().unwrap());
        // 2026-11-27 is a Friday.
        for (text, on) in [
            ("0 0 * * *", true),
            ("0 0 27 * *", true),
            ("0 0 26 * *", false),
            ("0 0 * * 5", true),
            ("0 0 * * FRI", true),
            ("0 0 * * mon-thu", false),
            ("0 0 26 * fri", true),
            ("0 0 27 * mon", true),
            ("0 0 26 * mon", false),
            // A step of `*` says nothing by itself: both must be so.
            ("0 0 */2 * fri", true),
            ("0 0 */5 * fri", false),
            ("0 0 * 1,4,7,10 *", false),
            ("0 0 * nov *", true),
        ] {
            assert_eq!(is_on(text, "2026-11-27"), on, "{text}");
        }
        assert!(is_on("0 0 * * 7", "2026-11-29") && is_on("0 0 * * 0", "2026-11-29"));
        assert!(is_on("0 0 * * 5-7", "2026-11-29") && !is_on("0 0 * * 5-7", "2026-11-30"));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_field() {
        for (text, part) in [
            ("", "has 0 fields, and must have five: minute"),
            ("0 9 * *", "has 4 fields"),
            ("0 0 9 * * *", "has 6 fields"),
            ("@daily", "has 1 fields"),
            ("60 9 * * *", "minute: `60` is not within 0 to 59"),
            ("0 24 * * *", "hour: `24` is not within 0 to 23"),
            ("0 9 0 * *", "day of the month: `0` is not within 1 to 31"),
            ("0 9 * 13 *", "month: `13` is not within 1 to 12"),
            ("0 9 * * 8", "day of the week: `8` is not within 0 to 7"),
            ("x 9 * * *", "minute: `x` is no number"),
            ("0 9 * frob *", "month: `frob` is no number, and no name such as jan"),
            ("0 9 * * L", "day of the week: `L` is no number"),
            ("+1 9 * * *", "minute: `+1` is no number"),
            ("0 9, * * *", "hour: `` is no number"),
            ("0 17-9 * * *", "hour: `17-9` goes backwards"),
            ("0/5 * * * *", "minute: `0/5`: a step stands after"),
            ("*/0 * * * *", "minute: `*/0`: a step is a number from 1 to 59"),
            ("*/x * * * *", "minute: `*/x`: a step is"),
            ("300 * * * *", "minute: `300` is not within"),
            (&"*".repeat(257), "has more than 256"),
        ] {
            let refused = Cron::read(text).unwrap_err();
            assert!(refused.contains(part), "{text}: {refused}");
        }
    }
}
