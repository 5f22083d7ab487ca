//! Durations as people write them: `500ms`, `5s`, `2m`.

use std::time::Duration;

/// The longest duration: the deadline of a call is a number of milliseconds of 32 bits.
const MAX: Duration = Duration::from_millis(u32::MAX as u64);

/// Reads a whole number and its unit: `us`, `ms`, `s`, `m`, `h` or `d`.
///
/// # Errors
///
/// The text to show, if it is something else or over 49 days.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| wrong(text))?;
    let duration = match unit {
        "us" => Some(Duration::from_micros(number)),
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        "d" => number.checked_mul(86_400).map(Duration::from_secs),
        _ => return Err(wrong(text)),
    };
    duration
        .filter(|duration| *duration <= MAX)
        .ok_or_else(|| format!("{text} is over 49 days"))
}

fn wrong(text: &str) -> String {
    format!("{text:?} is no duration: write a whole number and a unit, as in 500ms, 5s or 2m")
}

/// A duration for people.
pub(crate) fn micros(us: u64) -> String {
    match us {
        0..1_000 => format!("{us} µs"),
        1_000..1_000_000 => format!("{}.{} ms", us / 1_000, us % 1_000 / 100),
        _ => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
    }
}

/// The whole microseconds of a duration.
pub(crate) fn as_micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A duration in the largest unit that is at most as long, for people.
pub(crate) fn rounded(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, name) in [(86_400, "d"), (3_600, "h"), (60, "m"), (1, "s")] {
        if let Some(count) = seconds.checked_div(unit).filter(|count| *count > 0) {
            return format!("{count} {name}");
        }
    }
    format!("{} ms", duration.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_and_nothing_else() {
        for (text, ms) in [
            ("500ms", 500),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("0s", 0),
            ("49d", 4_233_600_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "5",
            "s",
            "-5s",
            "1.5s",
            "5 s",
            "5S",
            "50d",
            "99999999999999999999s",
            "18446744073709551615d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn times_are_shown_with_two_digits_or_more() {
        assert_eq!(
            [micros(17), micros(1_940), micros(2_500_000)],
            ["17 µs", "1.9 ms", "2.5 s"]
        );
    }

    #[test]
    fn a_duration_is_rounded_for_people() {
        for (text, shown) in [
            ("48h", "2 d"),
            ("2h", "2 h"),
            ("90m", "1 h"),
            ("59s", "59 s"),
            ("5ms", "5 ms"),
            ("0s", "0 ms"),
        ] {
            assert_eq!(rounded(parse(text).unwrap()), shown);
        }
    }
}
