//! Checks what a subscriber was told against what was promised.
//!
//! For each publisher and topic: events come in order, none twice, none of an earlier run; what is missing is told
//! before later events, once, and with its right length.

use std::collections::BTreeMap;
use std::fmt;

use super::line::{Event, Gap, Told};

/// How many broken promises are kept; the first ones tell most.
const MAX_VIOLATIONS: usize = 10;

/// All that one subscriber was told.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    feeds: BTreeMap<(String, String), Feed>,
    violations: Vec<String>,
}

/// What was told of one publisher and topic.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Feed {
    /// The latest run of the publisher.
    pub(super) epoch: u64,
    /// How many runs were seen.
    pub(super) runs: u64,
    /// The first sequence of the latest run that was delivered or told missing.
    pub(super) first: Option<u64>,
    /// The sequence that comes next; nothing where it cannot be known.
    pub(super) next: Option<u64>,
    /// How many events of the latest run were delivered.
    pub(super) delivered: u64,
    /// How many events of the latest run were told missing.
    pub(super) missing: u64,
    /// How many gaps were told, by cause, over all runs.
    pub(super) gaps: BTreeMap<String, u64>,
    /// What was delivered over all runs.
    pub(super) payloads: Vec<String>,
}

impl Feed {
    /// Events of the latest run of which the subscriber knows what became.
    pub(super) fn accounted(&self) -> u64 {
        self.delivered.saturating_add(self.missing)
    }

    /// How many gaps were told with this cause.
    pub(super) fn gaps_by(&self, cause: &str) -> u64 {
        self.gaps.get(cause).copied().unwrap_or(0)
    }

    fn begin(&mut self, epoch: u64) {
        self.epoch = epoch;
        self.runs = self.runs.saturating_add(1);
        self.first = None;
        self.next = None;
        self.delivered = 0;
        self.missing = 0;
    }
}

impl History {
    /// Adds what was told next.
    pub(super) fn push(&mut self, told: Told) {
        match told {
            Told::Event(event) => self.on_event(event),
            Told::Gap(gap) => self.on_gap(&gap),
        }
    }

    /// What was told of a publisher and topic.
    pub(super) fn feed(&self, publisher: &str, topic: &str) -> Option<&Feed> {
        self.feeds.get(&(publisher.to_owned(), topic.to_owned()))
    }

    /// The publishers of which anything was told.
    pub(super) fn publishers(&self) -> Vec<&str> {
        let mut found: Vec<&str> = self
            .feeds
            .keys()
            .map(|(node, _topic)| node.as_str())
            .collect();
        found.dedup();
        found
    }

    /// Broken promises, the first ones.
    pub(super) fn violations(&self) -> &[String] {
        &self.violations
    }

    fn violation(&mut self, text: String) {
        if self.violations.len() < MAX_VIOLATIONS {
            self.violations.push(text);
        }
    }

    /// The feed, at the run `epoch`; nothing for a run that is over.
    fn at_run(&mut self, publisher: &str, topic: &str, epoch: u64) -> Option<&mut Feed> {
        let feed = self
            .feeds
            .entry((publisher.to_owned(), topic.to_owned()))
            .or_default();
        if feed.runs == 0 || epoch > feed.epoch {
            feed.begin(epoch);
        }
        (epoch == feed.epoch).then_some(feed)
    }

    fn on_event(&mut self, event: Event) {
        let at = format!(
            "{} of {:.8}, event {}",
            event.topic, event.publisher, event.seq
        );
        let Some(feed) = self.at_run(&event.publisher, &event.topic, event.epoch) else {
            return self.violation(format!("stale: {at} belongs to an earlier run"));
        };
        let expected = feed.next.unwrap_or(event.seq);
        feed.first.get_or_insert(event.seq);
        feed.next = Some(expected.max(event.seq.saturating_add(1)));
        feed.delivered = feed.delivered.saturating_add(1);
        feed.payloads.push(event.payload);
        if event.seq < expected {
            self.violation(format!(
                "twice or out of order: {at} came when {expected} was due"
            ));
        } else if event.seq > expected {
            self.violation(format!(
                "lost without a word: {at} came when {expected} was due"
            ));
        }
    }

    fn on_gap(&mut self, gap: &Gap) {
        let at = format!(
            "{} of {:.8}, gap {}..{} ({})",
            gap.topic,
            gap.publisher,
            gap.from,
            gap.to.map_or_else(|| "?".to_owned(), |to| to.to_string()),
            gap.cause
        );
        let Some(feed) = self.at_run(&gap.publisher, &gap.topic, gap.epoch) else {
            return self.violation(format!("stale: {at} belongs to an earlier run"));
        };
        let told = feed.gaps.entry(gap.cause.clone()).or_default();
        *told = told.saturating_add(1);
        let Some(to) = gap.to else {
            // Nobody knows where the publisher stopped.
            feed.next = None;
            return;
        };
        let expected = feed.next.unwrap_or(gap.from);
        let length = to.checked_sub(gap.from).filter(|length| *length > 0);
        feed.first.get_or_insert(gap.from);
        feed.next = Some(expected.max(to));
        feed.missing = feed.missing.saturating_add(gap.count.unwrap_or(0));
        if length.is_none() || length != gap.count {
            self.violation(format!(
                "a gap of a wrong length: {at} counts {:?}",
                gap.count
            ));
        }
        if gap.from != expected {
            self.violation(format!(
                "a gap in the wrong place: {at} came when {expected} was due"
            ));
        }
    }
}

impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.feeds.is_empty() {
            return f.write_str("nothing");
        }
        let words: Vec<String> = self
            .feeds
            .iter()
            .map(|((publisher, topic), feed)| {
                format!(
                    "{topic} of {publisher:.8} in epoch {}: {} delivered, {} missing, gaps {:?}",
                    feed.epoch, feed.delivered, feed.missing, feed.gaps
                )
            })
            .collect();
        f.write_str(&words.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(epoch: u64, seq: u64) -> Told {
        Told::Event(Event {
            topic: "a.b".to_owned(),
            publisher: "p".to_owned(),
            epoch,
            seq,
            payload: seq.to_string(),
        })
    }

    fn gap(epoch: u64, from: u64, to: Option<u64>, cause: &str) -> Told {
        Told::Gap(Gap {
            topic: "a.b".to_owned(),
            publisher: "p".to_owned(),
            epoch,
            from,
            to,
            count: to.map(|to| to.saturating_sub(from)),
            cause: cause.to_owned(),
        })
    }

    fn history(told: impl IntoIterator<Item = Told>) -> History {
        let mut history = History::default();
        told.into_iter().for_each(|told| history.push(told));
        history
    }

    fn violation(told: impl IntoIterator<Item = Told>) -> String {
        let history = history(told);
        assert_eq!(history.violations().len(), 1, "{:?}", history.violations());
        history.violations()[0].clone()
    }

    #[test]
    fn what_is_delivered_or_told_missing_adds_up() {
        let history = history([
            event(1, 0),
            event(1, 1),
            gap(1, 2, Some(7), "overflow"),
            event(1, 7),
            gap(1, 8, Some(10), "dropped"),
        ]);
        assert_eq!(history.violations(), [] as [String; 0]);
        let feed = history.feed("p", "a.b").unwrap();
        assert_eq!((feed.first, feed.next), (Some(0), Some(10)));
        assert_eq!((feed.delivered, feed.missing, feed.accounted()), (3, 7, 10));
        assert_eq!((feed.gaps_by("overflow"), feed.gaps_by("dropped")), (1, 1));
        assert_eq!(feed.payloads, ["0", "1", "7"]);
        assert_eq!(history.publishers(), ["p"]);
        assert!(history.feed("p", "a.c").is_none());
    }

    #[test]
    fn a_subscriber_may_begin_anywhere() {
        let history = history([event(1, 41), event(1, 42)]);
        assert!(history.violations().is_empty());
        assert_eq!(history.feed("p", "a.b").unwrap().first, Some(41));
    }

    #[test]
    fn an_event_that_comes_twice_is_found() {
        assert!(violation([event(1, 0), event(1, 1), event(1, 1)]).contains("twice"));
        assert!(violation([event(1, 0), event(1, 1), event(1, 0)]).contains("twice"));
    }

    #[test]
    fn a_hole_that_nobody_told_is_found() {
        assert!(violation([event(1, 0), event(1, 2)]).contains("without a word"));
    }

    #[test]
    fn an_event_that_was_told_missing_may_not_come() {
        let told = [event(1, 0), gap(1, 1, Some(3), "dropped"), event(1, 2)];
        assert!(violation(told).contains("twice"));
    }

    #[test]
    fn gaps_that_overlap_or_leave_a_hole_are_found() {
        let overlapping = [
            event(1, 0),
            gap(1, 1, Some(9), "overflow"),
            gap(1, 5, Some(8), "dropped"),
        ];
        assert!(violation(overlapping).contains("wrong place"));
        assert!(violation([event(1, 0), gap(1, 2, Some(3), "dropped")]).contains("wrong place"));
    }

    #[test]
    fn a_gap_without_length_is_found() {
        assert!(violation([event(1, 0), gap(1, 1, Some(1), "dropped")]).contains("wrong length"));
    }

    #[test]
    fn a_new_run_begins_anew_and_ends_the_old_one() {
        let told = [
            event(1, 5),
            gap(2, 0, None, "publisher-lost"),
            event(2, 0),
            event(2, 1),
        ];
        let history = history(told.clone());
        assert!(history.violations().is_empty());
        let feed = history.feed("p", "a.b").unwrap();
        assert_eq!((feed.runs, feed.epoch, feed.delivered), (2, 2, 2));
        assert_eq!(feed.payloads.len(), 3);
        assert!(violation(told.into_iter().chain([event(1, 6)])).contains("stale"));
    }

    #[test]
    fn after_a_lost_publisher_anything_may_come_next() {
        let history = history([
            event(1, 5),
            gap(1, 6, None, "publisher-lost"),
            event(1, 9),
            event(1, 10),
        ]);
        assert!(history.violations().is_empty());
        assert_eq!(
            history.feed("p", "a.b").unwrap().gaps_by("publisher-lost"),
            1
        );
    }
}
