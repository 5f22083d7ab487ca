//! The rules, and what is shown of a history that breaks one.

use std::fmt;

use super::{History, Record};

/// What is promised. The number in front is that of the promise in `docs/ci.md`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Rule {
    /// 2: what a subscriber with QoS 0 does not get, it is told missing.
    NotSilent,
    /// 2: sequences count the events that were published, no more and no fewer.
    Conserved,
    /// 2: a gap begins where the last word ended, and has a length.
    GapsFit,
    /// 3: an accepted event with QoS 1 reaches all to whom it is owed, or its receipt says otherwise.
    NotLost,
    /// 3: a receipt counts who was handed the event, and nobody else.
    ReceiptTrue,
    /// 3: every accepted event for which a receipt was wanted gets one.
    ReceiptComes,
    /// 3: nobody gets what was not published, was refused, or stood on another topic.
    Published,
    /// 4: a publish ends by its deadline.
    PublishEnds,
    /// 5: no event is handed over twice.
    Once,
    /// 6: events of one writer and topic come in order, and none of an earlier run after one of a later.
    Ordered,
    /// 6: events with QoS 1 of one writer come in order over all topics.
    OrderedAcross,
    /// 7: nothing is delivered before `subscribe` has returned.
    SubscribedFirst,
    /// 8: what is owed arrives within 15 s, or within 15 s of healing.
    InTime,
    /// 10: a call runs at most once.
    RunsOnce,
    /// 10: a call ends by its deadline and 250 ms.
    CallEnds,
    /// 10: a result is that of the call, and the call was run.
    OwnResult,
    /// R02: who calls a process that dies knows within 5 s.
    LossKnown,
    /// R03: who runs a call knows of its cancellation within 1 s.
    CancelKnown,
    /// The history contradicts itself, or does not tell enough: nothing is said of the system.
    Sound,
}

/// A promise that was broken.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How, in a sentence.
    pub detail: String,
    /// The fewest records that show it, by their places in the history, ascending.
    pub excerpt: Vec<usize>,
}

impl Violation {
    pub(super) fn new(
        rule: Rule,
        detail: impl Into<String>,
        excerpt: impl IntoIterator<Item = usize>,
    ) -> Self {
        let mut excerpt: Vec<usize> = excerpt.into_iter().collect();
        excerpt.sort_unstable();
        excerpt.dedup();
        let detail = detail.into();
        Self {
            rule,
            detail,
            excerpt,
        }
    }

    /// The violation with its excerpt, for people: a line each, with seconds since the first of the history.
    #[must_use]
    pub fn explain(&self, history: &History) -> String {
        let start = history.records().first().map_or(0, |first| first.at);
        let mut text = format!("{self}\n");
        for place in &self.excerpt {
            if let Some(record) = history.records().get(*place) {
                text.push_str(&line(history, record, start));
            }
        }
        text
    }
}

fn line(history: &History, record: &Record, start: u64) -> String {
    let names = history.names();
    let micros = record.at.saturating_sub(start);
    let (seconds, rest) = (micros / 1_000_000, micros % 1_000_000);
    let did = record.did.map(|name| names.text(name));
    format!(
        "  {seconds:>4}.{rest:06} {}: {did}\n",
        names.text(record.actor)
    )
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.detail)
    }
}
