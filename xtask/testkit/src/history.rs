//! What happened in a run, and whether it is what was promised.
//!
//! Applications, or a simulator in their place, write down what they do and what they are told as [`Record`]s, each in
//! a journal of its own; whoever causes faults writes down those. A [`History`] holds all of it, and
//! [`History::check`] compares it with what Macula promises of delivery and of calls. Each [`Violation`] names the
//! [`Rule`] and shows the fewest records from which it follows: a history of those alone breaks the same rule.
//!
//! Simulators and tests with real processes use the same rules, so that a promise means one thing.
//!
//! An event is known by its writer and its number: each application numbers what it publishes, from any number on and
//! upwards, over all its topics, and puts name and number into the payload. A call is known by its caller and its
//! number in the same way. Sequences, epochs and call ids are then what is under test.
//!
//! At most one application publishes a topic at a node at a time, because otherwise the sequences of events that nobody
//! got cannot be told.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each rule is about a few kinds of records and passes over all others"
)]

mod calls;
mod check;
mod deliver;
mod faults;
mod groups;
mod index;
mod journal;
mod loose;
mod names;
mod owed;
mod receipts;
mod record;
mod rule;
mod shown;
mod stream;
mod told;

pub use check::{Limits, Report, Totals};
pub use journal::{Journal, JournalError};
pub use names::{Name, Names};
pub use record::{Did, Record};
pub use rule::{Rule, Violation};
pub use stream::{Broken, Stream};

use std::path::Path;

/// All that was written down of one run.
#[derive(Clone, Debug, Default)]
pub struct History {
    names: Names,
    /// By time; records of one application in the order in which it wrote them.
    records: Vec<Record>,
    sorted: bool,
}

impl History {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of a text that records name.
    pub fn name(&mut self, text: &str) -> Name {
        self.names.number(text)
    }

    /// Every text that has a number.
    #[must_use]
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Adds what `actor` did at a time, in microseconds of a clock that all share. What one actor did is added in order.
    pub fn push(&mut self, at: u64, actor: Name, did: Did) {
        self.records.push(Record { at, actor, did });
        self.sorted = false;
    }

    /// Adds what `actor` did at a time, with names as texts.
    pub fn push_text(&mut self, at: u64, actor: &str, did: Did<&str>) {
        let actor = self.names.number(actor);
        let did = did.map(|text| self.names.number(text));
        self.push(at, actor, did);
    }

    /// Adds the journal of `actor`. A last line without its end is passed over: its writer was killed.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, or another line of it is no record.
    pub fn read(&mut self, actor: &str, path: &Path) -> Result<usize, JournalError> {
        journal::read(self, actor, path)
    }

    /// All records: by time where [`check`](Self::check) has run, otherwise as they were added.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// A history of some of the records, by their places in [`records`](Self::records).
    #[must_use]
    pub fn only(&self, places: &[usize]) -> Self {
        let records = places.iter().filter_map(|place| self.records.get(*place));
        Self {
            names: self.names.clone(),
            records: records.copied().collect(),
            sorted: self.sorted,
        }
    }

    /// Compares the history with what is promised.
    pub fn check(&mut self, limits: &Limits) -> Report {
        self.sort();
        check::check(self, limits)
    }

    /// Sorts by time; the order of what one actor wrote stays even where its clock went back.
    fn sort(&mut self) {
        if self.sorted {
            return;
        }
        let mut latest = std::collections::BTreeMap::new();
        for record in &mut self.records {
            let last = latest.entry(record.actor).or_insert(record.at);
            record.at = record.at.max(*last);
            *last = record.at;
        }
        self.records.sort_by_key(|record| record.at);
        self.sorted = true;
    }
}
