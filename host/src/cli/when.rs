//! Times as people write and read them: UTC, by the calendar of RFC 3339.
//!
//! Entry points: [`parse`], [`show`]. Milliseconds since 1970 everywhere else.

const DAY_MS: u64 = 86_400_000;

/// A time as an argument: `2026-11-23`, `2026-11-23T14:05` (or `:05:09`, and `Z`), or so long ago: `90s`, `15m`, `2h`, `7d`.
pub(super) fn parse(text: &str, now_ms: u64) -> Result<u64, String> {
    let wrong = || {
        format!(
            "{text:?} is no time: write 2026-11-23, 2026-11-23T14:05 (UTC), or how long ago: 90s, 15m, 2h, 7d"
        )
    };
    if let Some(ago) = ago(text) {
        return Ok(now_ms.saturating_sub(ago));
    }
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00"));
    let mut date = date.splitn(3, '-').map(number);
    let (Some(Some(year)), Some(Some(month)), Some(Some(day))) = (date.next(), date.next(), date.next())
    else {
        return Err(wrong());
    };
    let mut time = time.strip_suffix('Z').unwrap_or(time).splitn(3, ':').map(number);
    let (Some(Some(hour)), Some(Some(minute)), second) =
        (time.next(), time.next(), time.next().unwrap_or(Some(0)))
    else {
        return Err(wrong());
    };
    let second = second.filter(|second| *second < 60).ok_or_else(wrong)?;
    let days = days(year, month, day).filter(|_| hour < 24 && minute < 60);
    let days = days.ok_or_else(wrong)?;
    Ok(days * DAY_MS + ((hour * 60 + minute) * 60 + second) * 1_000)
}

fn ago(text: &str) -> Option<u64> {
    let seconds = match text.chars().last()? {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count: u64 = number(text.get(..text.len() - 1)?)?;
    count.checked_mul(seconds)?.checked_mul(1_000)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() < 10 && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn month_length(year: u64, month: u64) -> Option<u64> {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(28 + u64::from(is_leap(year))),
        _ => None,
    }
}

/// Leap days in the years before this one.
fn leap_days(year: u64) -> u64 {
    let before = year.saturating_sub(1);
    before / 4 - before / 100 + before / 400
}

/// Days since 1970; none for what is no day, or one before it.
fn days(year: u64, month: u64, day: u64) -> Option<u64> {
    if !(1970..10_000).contains(&year) || day == 0 || day > month_length(year, month)? {
        return None;
    }
    let months: u64 = (1..month).filter_map(|month| month_length(year, month)).sum();
    Some((year - 1970) * 365 + leap_days(year) - leap_days(1970) + months + day - 1)
}

/// `2026-11-23T14:05:09.123Z`
pub(super) fn show(ms: u64) -> String {
    let mut left = ms / DAY_MS;
    // Close to the year and never after it; at most one step is left.
    let mut year = 1970 + left * 400 / 146_097;
    while year > 1970 && days(year, 1, 1).is_some_and(|first| first > left) {
        year -= 1;
    }
    while days(year + 1, 1, 1).is_some_and(|first| first <= left) {
        year += 1;
    }
    left -= days(year, 1, 1).unwrap_or_default().min(left);
    let mut month = 1;
    while let Some(length) = month_length(year, month).filter(|length| *length <= left) {
        left -= length;
        month += 1;
    }
    let (second, milli) = (ms % DAY_MS / 1_000, ms % 1_000);
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}.{milli:03}Z",
        left + 1,
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-11-23 14:17:36.250 UTC
    const NOW: u64 = 1_795_443_456_250;

    #[test]
    fn times_are_read_and_shown() {
        assert_eq!(show(NOW), "2026-11-23T14:17:36.250Z");
        assert_eq!(parse("2026-11-23T14:17:36Z", 0), Ok(NOW - 250));
        assert_eq!(parse("2026-11-23 14:17", 0), Ok(NOW - 36_250));
        assert_eq!(parse("2h", NOW), Ok(NOW - 7_200_000));
        assert_eq!(parse("7d", NOW), Ok(NOW - 7 * DAY_MS));
        for day in [
            "1970-01-01",
            "2000-02-29",
            "2028-02-29",
            "2099-12-31",
            "2100-03-01",
        ] {
            let ms = parse(day, 0).unwrap_or(1);
            assert_eq!(show(ms), format!("{day}T00:00:00.000Z"));
        }
        for year in 1971..2_400 {
            let first = days(year, 1, 1).unwrap_or_default() * DAY_MS;
            assert!(show(first).starts_with(&format!("{year}-01-01T")), "{year}");
            assert!(
                show(first - 1).starts_with(&format!("{}-12-31T", year - 1)),
                "{year}"
            );
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "h",
            "-1h",
            "yesterday",
            "2026-13-01",
            "2026-02-29",
            "2026-11-31",
            "2026-11-23T24:00",
            "2026-11-23T10:00:60",
            "1969-12-31",
            "99999999999d",
        ] {
            assert!(parse(text, NOW).is_err(), "{text}");
        }
    }
}
