//! Times in the form of cron: five fields, in UTC.
//!
//! Deliberately without names, seconds, years and time zones: UTC has no hour that comes twice. Entry type: [`Cron`].

use std::fmt;
use std::str::FromStr;

/// Minutes of days, as cron writes them: minute, hour, day of the month, month, day of the week (0 and 7 are Sunday).
///
/// As in every cron, a day passes when the day of the month or that of the week does, if neither is `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    text: String,
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    any_day: bool,
    any_weekday: bool,
}

/// Leap days lie at most eight years apart.
const SEARCHED_DAYS: u64 = 366 * 8 + 1;
const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

impl Cron {
    /// The first time after `now` that passes, both in seconds since 1970 began. None for a date that there never is, such
    /// as 30 February.
    pub fn next_after(&self, now: u64) -> Option<u64> {
        let first = (now / MINUTE + 1) * MINUTE;
        let today = first / DAY;
        (today..today + SEARCHED_DAYS).find_map(|day| {
            if !self.passes(day) {
                return None;
            }
            let from = if day == today { first % DAY / MINUTE } else { 0 };
            let minute = (from..24 * 60)
                .find(|minute| has(self.hours, minute / 60) && has(self.minutes, minute % 60))?;
            Some(day * DAY + minute * MINUTE)
        })
    }

    fn passes(&self, day: u64) -> bool {
        let (month, of_month) = date(day);
        // 1 January 1970 was a Thursday.
        let weekday = has(self.weekdays, (day + 4) % 7);
        let of_month = has(self.days, of_month);
        has(self.months, month)
            && match (self.any_day, self.any_weekday) {
                (false, false) => of_month || weekday,
                _ => of_month && weekday,
            }
    }
}

fn has(set: u64, number: u64) -> bool {
    set >> number & 1 == 1
}

/// Month and day of the month of a day counted from 1 January 1970, in the Gregorian calendar.
fn date(day: u64) -> (u64, u64) {
    // Counted from 1 March of year 0, so that the leap day is the last of its year.
    let day = day + 719_468;
    let of_era = day % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * month + 2) / 5 + 1;
    (if month < 10 { month + 3 } else { month - 9 }, of_month)
}

impl fmt::Display for Cron {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Cron {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = |what: String| {
            format!(
                "is not a time in UTC ({what}); write minute, hour, day, month and weekday as in \"30 3 * * 1-5\""
            )
        };
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, days, months, weekdays] = fields[..] else {
            return Err(wrong(format!("{} fields instead of 5", fields.len())));
        };
        let set = |field: &str, least, greatest| set(field, least, greatest).map_err(wrong);
        let weekday_set = set(weekdays, 0, 7)?;
        let cron = Self {
            minutes: set(minutes, 0, 59)?,
            hours: set(hours, 0, 23)?,
            days: set(days, 1, 31)?,
            months: set(months, 1, 12)?,
            weekdays: weekday_set | weekday_set >> 7,
            any_day: days.starts_with('*'),
            any_weekday: weekdays.starts_with('*'),
            text: fields.join(" "),
        };
        // The first of March 2024: a whole span of leap years follows.
        match cron.next_after(1_709_251_200) {
            Some(_) => Ok(cron),
            None => Err(wrong("there is no such day".to_owned())),
        }
    }
}

/// The numbers of one field: `*`, `5`, `1-5`, `*/15`, `8-18/2`, and lists of these.
fn set(field: &str, least: u64, greatest: u64) -> Result<u64, String> {
    let mut set = 0;
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)),
            None => (item, Some(1)),
        };
        let bounds = match range.split_once('-') {
            _ if range == "*" => Some((least, greatest)),
            Some((from, to)) => from.parse().ok().zip(to.parse().ok()),
            // A number with a step is where the steps begin.
            None => range
                .parse()
                .ok()
                .map(|from| (from, if item.contains('/') { greatest } else { from })),
        };
        match (bounds, step) {
            (Some((from, to)), Some(step)) if from >= least && from <= to && to <= greatest => {
                let mut number: u64 = from;
                while number <= to {
                    set |= 1 << number;
                    number = number.saturating_add(step);
                }
            }
            _ => return Err(format!("{item:?} is not within {least} to {greatest}")),
        }
    }
    Ok(set)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// 2026-11-23 14:17:36 UTC, a Monday.
    const NOW: u64 = 1_795_443_456;

    /// In how many seconds, and whether that is a whole minute.
    fn next(text: &str) -> u64 {
        let at = text.parse::<Cron>().unwrap().next_after(NOW).unwrap();
        assert_eq!(at % 60, 0);
        at - NOW
    }

    const TO_NEXT_MINUTE: u64 = 24;

    #[test]
    fn the_next_time_is_found() {
        assert_eq!(next("* * * * *"), TO_NEXT_MINUTE);
        assert_eq!(next("17 14 * * *"), DAY - 36, "this minute has begun");
        assert_eq!(next("*/15 * * * *"), 12 * 60 + TO_NEXT_MINUTE);
        assert_eq!(next("20,25 14 * * *"), 2 * 60 + TO_NEXT_MINUTE);
        assert_eq!(next("0 9-18/3 * * *"), 42 * 60 + TO_NEXT_MINUTE);
        assert_eq!(next("18 14 * * 2"), DAY + TO_NEXT_MINUTE, "Tuesday");
        assert_eq!(next("18 14 * * 7"), 6 * DAY + TO_NEXT_MINUTE, "Sunday");
        assert_eq!(next("18 14 1 * *"), 8 * DAY + TO_NEXT_MINUTE, "1 December");
        assert_eq!(next("18 14 1 * 2"), DAY + TO_NEXT_MINUTE, "either of them");
        assert_eq!(next("18 14 23 12 *"), 30 * DAY + TO_NEXT_MINUTE);
        assert_eq!(
            next("18 14 29 2 *"),
            463 * DAY + TO_NEXT_MINUTE,
            "the leap day of 2028"
        );
    }

    #[test]
    fn dates_follow_the_calendar() {
        for (day, expected) in [
            (0, (1, 1)),
            (58, (2, 28)),
            (59, (3, 1)),
            (11_016, (2, 29)),
            (11_017, (3, 1)),
            (20_780, (11, 23)),
        ] {
            assert_eq!(date(day), expected, "{day}");
        }
    }

    #[test]
    fn what_is_no_time_says_so() {
        for text in [
            "",
            "* * * *",
            "* * * * * *",
            "60 * * * *",
            "* 24 * * *",
            "* * 0 * *",
            "* * * 13 *",
            "* * * * 8",
            "5-1 * * * *",
            "*/0 * * * *",
            "a * * * *",
            "-1 * * * *",
            "0 0 30 2 *",
            "1,,2 * * * *",
        ] {
            let error = text.parse::<Cron>().unwrap_err();
            assert!(error.contains("write minute, hour"), "{text}: {error}");
        }
    }
}
