//! What a run found out: as JSON for programs, as a table for people.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value, json};

use crate::goal::{self, Goal};
use crate::key::{self, KEYS};
use crate::settings::Settings;

/// The figures of a run, by key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Figures(Vec<(&'static str, f64)>);

impl Figures {
    /// Adds a figure; one that could not be measured is left out.
    pub(crate) fn add(&mut self, name: &'static str, value: impl Into<Option<f64>>) {
        if let Some(value) = value.into().filter(|value| value.is_finite()) {
            self.0.push((name, value));
        }
    }

    /// Adds a count.
    pub(crate) fn count(&mut self, name: &'static str, count: usize) {
        self.add(name, crate::statistics::number(count));
    }

    /// The figures, in the order of [`KEYS`].
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static key::Key, f64)> {
        KEYS.iter()
            .filter_map(|key| Some((key, self.get(key.name)?)))
    }

    /// The figure of a key.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        let found = self.0.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    }
}

/// What a scenario gives back.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) figures: Figures,
    /// Events of the simulated network.
    pub(crate) events: u64,
    pub(crate) trace_hash: u64,
}

/// A finished run.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) scenario: &'static str,
    pub(crate) settings: Settings,
    pub(crate) outcome: Outcome,
}

impl Report {
    /// One JSON object, on one line.
    ///
    /// # Errors
    ///
    /// If it cannot be written as JSON.
    pub(crate) fn json(&self) -> Result<String, String> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }

    /// A table with the goal beside each figure that has one.
    pub(crate) fn table(&self) -> String {
        let settings = &self.settings;
        let mut text = format!(
            "{}: {} nodes, seed {}, {}",
            self.scenario,
            settings.nodes,
            settings.seed,
            settings.links.name(),
        );
        if settings.loss > 0.0 {
            text.push_str(&format!(", loss {}", settings.loss));
        }
        if settings.plain {
            text.push_str(", plain");
        }
        for (word, parts) in [("without", &settings.without), ("with", &settings.with)] {
            for part in parts {
                text.push_str(&format!(", {word} {}", part.name()));
            }
        }
        text.push_str("\n\n");
        for (key, value) in self.outcome.figures.iter() {
            let goal = goal::of(key.name, settings);
            let (goal, verdict) = match goal {
                Some(goal) => (
                    bound(goal),
                    if goal.is_met(value) { "met" } else { "MISSED" },
                ),
                None => (String::new(), ""),
            };
            text.push_str(&format!(
                "{:24} {:>12} {goal:>12} {verdict:6} {}\n",
                key.name,
                shown(value),
                key.about,
            ));
        }
        text.push_str(&format!(
            "\nevents {}, trace {:016x}\n",
            self.outcome.events, self.outcome.trace_hash
        ));
        text
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("scenario", self.scenario)?;
        map.serialize_entry("nodes", &self.settings.nodes)?;
        map.serialize_entry("seed", &self.settings.seed)?;
        map.serialize_entry("links", self.settings.links.name())?;
        map.serialize_entry("loss", &self.settings.loss)?;
        if self.settings.plain {
            map.serialize_entry("plain", &true)?;
        }
        for (word, parts) in [
            ("without", &self.settings.without),
            ("with", &self.settings.with),
        ] {
            if !parts.is_empty() {
                let parts: Vec<_> = parts.iter().map(|part| part.name()).collect();
                map.serialize_entry(word, &parts)?;
            }
        }
        for (name, value) in nested(&self.outcome.figures) {
            map.serialize_entry(name, &value)?;
        }
        map.serialize_entry("events", &self.outcome.events)?;
        map.serialize_entry("trace_hash", &format!("{:016x}", self.outcome.trace_hash))?;
        map.end()
    }
}

/// The figures as JSON, those with a dot in an object of their own.
fn nested(figures: &Figures) -> Vec<(&'static str, Value)> {
    let mut list: Vec<(&'static str, Value)> = Vec::new();
    for (key, value) in figures.iter() {
        let value = rounded(value);
        let Some((outer, inner)) = key.name.split_once('.') else {
            list.push((key.name, value));
            continue;
        };
        match list.last_mut() {
            Some((name, Value::Object(map))) if *name == outer => {
                map.insert(inner.to_owned(), value);
            }
            _ => {
                let map = Map::from_iter([(inner.to_owned(), value)]);
                list.push((outer, Value::Object(map)));
            }
        }
    }
    list
}

/// A number with at most six digits behind the point; a whole one as an integer.
fn rounded(value: f64) -> Value {
    let value = (value * 1e6).round() / 1e6;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "checked to be whole and small"
    )]
    if value.fract() == 0.0 && value.abs() < 1e15 {
        json!(value as i64)
    } else {
        json!(value)
    }
}

/// A figure for people.
pub(crate) fn shown(value: f64) -> String {
    if value.fract() == 0.0 {
        format!("{value:.0}")
    } else if value.abs() >= 100.0 {
        format!("{value:.1}")
    } else if value.abs() >= 0.1 {
        format!("{value:.3}")
    } else {
        format!("{value:.6}")
    }
}

fn bound(goal: Goal) -> String {
    match goal {
        Goal::AtMost(most) => format!("<= {}", shown(most)),
        Goal::AtLeast(least) => format!(">= {}", shown(least)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let mut figures = Figures::default();
        figures.add("first_suspect_s.p99", 2.0);
        figures.add("first_suspect_s.mean", 1.234_567_89);
        figures.add("spread99_s", None);
        figures.count("false_dead", 0);
        Report {
            scenario: "membership-kill",
            settings: Settings::default(),
            outcome: Outcome {
                figures,
                events: 17,
                trace_hash: 0xab,
            },
        }
    }

    #[test]
    fn a_dot_is_a_level_and_what_was_not_measured_is_absent() {
        let value: Value = serde_json::from_str(&report().json().unwrap()).unwrap();
        assert_eq!(
            value["first_suspect_s"],
            json!({"mean": 1.234_568, "p99": 2})
        );
        assert_eq!(value["false_dead"], json!(0));
        assert_eq!(value["nodes"], json!(1_000));
        assert_eq!(value["trace_hash"], json!("00000000000000ab"));
        assert!(value.get("spread99_s").is_none());
    }

    #[test]
    fn the_table_says_which_goals_are_missed() {
        let report = report();
        let table = report.table();
        assert_eq!(table.matches("MISSED").count(), 1, "{table}");
        assert!(table.contains("<= 2.500"), "{table}");
    }
}
