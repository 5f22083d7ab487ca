//! The readings that the demo replays: hourly air temperature of two cities in 2010.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::exit::{Exit, Failed};

const SEATTLE: &str = include_str!("../../../data/seattle-temps.csv");
const SAN_FRANCISCO: &str = include_str!("../../../data/sf-temps.csv");

/// A city with a sensor.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum City {
    /// On Puget Sound.
    Seattle,
    /// On the Golden Gate.
    SanFrancisco,
}

/// One hour of one city.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Reading {
    /// Local time, `YYYY-MM-DDTHH:MM`.
    pub(crate) at: &'static str,
    /// Degrees Fahrenheit.
    pub(crate) fahrenheit: f64,
}

/// A reading on its way. Times are those of this process, which is sender and receiver.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Measured<'a> {
    /// Local time of the reading.
    #[serde(borrow)]
    pub(crate) at: &'a str,
    /// Degrees Fahrenheit.
    pub(crate) fahrenheit: f64,
    /// When it was published, in microseconds since the demo began.
    pub(crate) sent_us: u64,
}

impl City {
    /// Both of them; each has the publisher of its number.
    pub(crate) const ALL: [Self; 2] = [Self::Seattle, Self::SanFrancisco];

    /// Its number.
    pub(crate) const fn index(self) -> usize {
        match self {
            Self::Seattle => 0,
            Self::SanFrancisco => 1,
        }
    }

    /// Its name in topics, arguments and output.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Seattle => "seattle",
            Self::SanFrancisco => "san-francisco",
        }
    }

    /// The city of this name.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|city| city.name() == name)
    }

    /// The topic of its readings.
    pub(crate) fn topic(self) -> String {
        format!("weather.{}.temperature", self.name())
    }

    /// All of its readings, in the order of time.
    pub(crate) fn readings(self) -> Result<Arc<[Reading]>, Failed> {
        let text = match self {
            Self::Seattle => SEATTLE,
            Self::SanFrancisco => SAN_FRANCISCO,
        };
        let lines = text
            .lines()
            .enumerate()
            .skip(1)
            .filter(|(_, line)| !line.is_empty());
        lines
            .map(|(at, line)| {
                parse(line).ok_or_else(|| {
                    let detail = format!(
                        "line {} of the readings of {} is no reading",
                        at.saturating_add(1),
                        self.name()
                    );
                    Failed::new(Exit::Failure, detail)
                })
            })
            .collect()
    }
}

fn parse(line: &'static str) -> Option<Reading> {
    let (at, degrees) = line.split_once(',')?;
    let fahrenheit: f64 = degrees.trim_end().parse().ok()?;
    fahrenheit.is_finite().then_some(Reading { at, fahrenheit })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_of_hours_is_read_in_order() {
        for city in City::ALL {
            let year = city.readings().unwrap();
            assert_eq!(year.len(), 8_759, "{}", city.name());
            assert!(year.is_sorted_by(|a, b| a.at < b.at), "{}", city.name());
            assert!(
                year.iter()
                    .all(|reading| (0.0..=110.0).contains(&reading.fahrenheit))
            );
            assert_eq!(City::from_name(city.name()), Some(city));
        }
        assert_eq!(
            City::Seattle.readings().unwrap()[0],
            Reading {
                at: "2010-01-01T00:00",
                fahrenheit: 39.4
            }
        );
    }

    #[test]
    fn what_is_no_reading_is_refused() {
        for line in [
            "",
            "2010-01-01T00:00",
            "2010-01-01T00:00,warm",
            "2010-01-01T00:00,NaN",
        ] {
            assert_eq!(parse(line), None, "{line}");
        }
        assert!(parse("2010-01-01T00:00,39.4").is_some());
    }
}
