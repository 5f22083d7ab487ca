//! What a scenario counted, to show that its fault happened and that work went on.

use std::fmt;
use std::time::Duration;

use serde_json::{Map, Value};

use super::spread::Spread;

/// Numbers by name, in the order in which they were added. A name such as `detect_s.p95` is a part of a whole.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Counts(Vec<(&'static str, f64)>);

impl Counts {
    /// Adds a number of things.
    pub(super) fn with(mut self, name: &'static str, count: u64) -> Self {
        // Counts of a scenario are far below 2^53.
        let count = u32::try_from(count).map_or(f64::INFINITY, f64::from);
        self.0.push((name, count));
        self
    }

    /// Adds a time, in seconds.
    pub(super) fn with_time(mut self, name: &'static str, time: Duration) -> Self {
        self.0.push((name, seconds(time)));
        self
    }

    /// Adds how the times are distributed in which a death was noticed.
    pub(super) fn with_detection(self, spread: &Spread) -> Self {
        self.with_time("detect_s.min", spread.min())
            .with_time("detect_s.mean", spread.mean())
            .with_time("detect_s.p50", spread.part(50))
            .with_time("detect_s.p95", spread.part(95))
            .with_time("detect_s.p99", spread.part(99))
            .with_time("detect_s.max", spread.part(100))
    }

    /// Takes over what is greater in `other`, and what is missing here.
    pub(super) fn keep_greatest(&mut self, other: &Self) {
        for (name, number) in &other.0 {
            match self.0.iter_mut().find(|(known, _number)| known == name) {
                Some((_name, known)) => *known = known.max(*number),
                None => self.0.push((*name, *number)),
            }
        }
    }

    /// The numbers as a JSON object.
    pub(super) fn object(&self) -> Value {
        let mut fields = Map::new();
        for (name, number) in &self.0 {
            let number = Value::from(*number);
            match name.split_once('.') {
                None => drop(fields.insert((*name).to_owned(), number)),
                Some((whole, part)) => {
                    let whole = fields
                        .entry(whole)
                        .or_insert_with(|| Value::Object(Map::new()));
                    if let Some(whole) = whole.as_object_mut() {
                        whole.insert(part.to_owned(), number);
                    }
                }
            }
        }
        Value::Object(fields)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self
            .0
            .iter()
            .map(|(name, number)| format!("{name}={number}"))
            .collect();
        f.write_str(&words.join(" "))
    }
}

/// Seconds with two digits behind the point.
pub(super) fn seconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greatest_of_several_runs_is_kept() {
        let mut counts = Counts::default()
            .with("events", 600)
            .with_time("detection_s", Duration::from_millis(4_217));
        let other = Counts::default()
            .with("events", 599)
            .with_time("detection_s", Duration::from_millis(5_000))
            .with("calls", 2);
        counts.keep_greatest(&other);
        assert_eq!(counts.to_string(), "events=600 detection_s=5 calls=2");
        assert_eq!(
            counts.object(),
            serde_json::json!({"events": 600.0, "detection_s": 5.0, "calls": 2.0})
        );
    }

    #[test]
    fn parts_stand_together_in_json() {
        let times = [1, 2, 3].map(Duration::from_secs);
        let counts = Counts::default().with_detection(&Spread::of(times));
        assert_eq!(
            counts.object(),
            serde_json::json!({"detect_s": {
                "min": 1.0, "mean": 2.0, "p50": 2.0, "p95": 3.0, "p99": 3.0, "max": 3.0
            }})
        );
    }
}
