//! How much is published, by topic.

use std::collections::BTreeMap;
use std::time::Duration;

use macula::wire::{NodeId, Topic};
use macula::{CallOptions, Client};
use serde::{Deserialize, Serialize};

use super::super::each;
use super::super::exit::Failed;
use super::super::output::{Output, escaped};
use super::super::table::{Table, grouped};

const QUESTION: &str = "$meta.topic.list";

/// What a member answers.
#[derive(Clone, Debug, Default, Deserialize)]
struct Answer {
    at_us: u64,
    topics: Vec<Published>,
    more: u64,
}

#[derive(Clone, Debug, Deserialize)]
struct Published {
    topic: String,
    events: u64,
    bytes: u64,
}

/// What is published on one topic.
#[derive(Debug, Serialize)]
struct Line {
    event: &'static str,
    topic: String,
    events_per_s: u64,
    bytes_per_s: u64,
    /// How many nodes publish on it.
    publishers: u64,
}

/// What is published by all members that were asked.
#[derive(Debug, Default)]
pub(super) struct Rates {
    lines: BTreeMap<String, Line>,
    is_partial: bool,
}

/// Asks each member twice, and compares.
pub(super) async fn measure(
    client: &Client,
    members: &[NodeId],
    options: &CallOptions,
    time: Duration,
) -> Rates {
    let mut rates = Rates::default();
    let first = rates.ask(client, members, options).await;
    tokio::time::sleep(time).await;
    let second = rates.ask(client, members, options).await;
    for (node, after) in second {
        if let Some(before) = first.get(&node) {
            rates.add(before, &after);
        }
    }
    rates
}

impl Rates {
    async fn ask(
        &mut self,
        client: &Client,
        members: &[NodeId],
        options: &CallOptions,
    ) -> BTreeMap<NodeId, Answer> {
        let mut answers = BTreeMap::new();
        for (node, reply) in each::ask_all(client, members, QUESTION, options).await {
            let read = |payload: &[u8]| serde_json::from_slice::<Answer>(payload).ok();
            match reply.ok().and_then(|reply| read(&reply.payload)) {
                Some(answer) => {
                    self.is_partial |= answer.more > 0;
                    answers.insert(node, answer);
                }
                None => self.is_partial = true,
            }
        }
        answers
    }

    /// Adds what one node published between two answers. One that has begun anew meanwhile counts from 0.
    fn add(&mut self, before: &Answer, after: &Answer) {
        let is_new = after.at_us < before.at_us;
        let since = if is_new { 0 } else { before.at_us };
        let span_us = after.at_us.saturating_sub(since);
        let known: BTreeMap<&str, &Published> = before
            .topics
            .iter()
            .filter(|_| !is_new)
            .map(|one| (one.topic.as_str(), one))
            .collect();
        for one in &after.topics {
            let then = known.get(one.topic.as_str());
            let (events, bytes) = then.map_or((0, 0), |then| (then.events, then.bytes));
            let rates = [(one.events, events), (one.bytes, bytes)];
            let [events, bytes] =
                rates.map(|(now, then)| per_second(now.saturating_sub(then), span_us));
            let line = self.lines.entry(one.topic.clone()).or_insert_with(|| Line {
                event: "rate",
                topic: one.topic.clone(),
                events_per_s: 0,
                bytes_per_s: 0,
                publishers: 0,
            });
            line.events_per_s = line.events_per_s.saturating_add(events);
            line.bytes_per_s = line.bytes_per_s.saturating_add(bytes);
            line.publishers = line.publishers.saturating_add(1);
        }
    }

    /// Whether a node did not answer, or left something out.
    pub(super) const fn is_partial(&self) -> bool {
        self.is_partial
    }

    pub(super) fn print(self, topic: Option<&Topic>, output: Output) -> Result<(), Failed> {
        let fits = |line: &Line| topic.is_none_or(|topic| line.topic == topic.as_str());
        let mut lines: Vec<Line> = self.lines.into_values().filter(fits).collect();
        // The busiest first; of equals by name.
        lines.sort_by_key(|line| std::cmp::Reverse(line.events_per_s));
        if output.is_json() {
            return lines.iter().try_for_each(|line| output.object(line));
        }
        output.line("")?;
        let mut table = Table::new(&["topic", "events/s", "bytes/s", "publishers"]);
        for line in &lines {
            table.row([
                escaped(&line.topic),
                grouped(line.events_per_s),
                grouped(line.bytes_per_s),
                grouped(line.publishers),
            ]);
        }
        table.lines().iter().try_for_each(|line| output.line(line))
    }
}

/// So many in a second, rounded up, so that what is seldom is not nothing.
fn per_second(count: u64, span_us: u64) -> u64 {
    let scaled = u128::from(count).saturating_mul(1_000_000);
    let span = u128::from(span_us.max(1));
    u64::try_from(scaled.div_ceil(span)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(at_us: u64, topics: &[(&str, u64, u64)]) -> Answer {
        let topics = topics.iter().map(|(topic, events, bytes)| Published {
            topic: (*topic).to_owned(),
            events: *events,
            bytes: *bytes,
        });
        Answer {
            at_us,
            topics: topics.collect(),
            more: 0,
        }
    }

    #[test]
    fn rates_are_what_was_published_in_between() {
        let mut rates = Rates::default();
        let before = answer(1_000_000, &[("a", 10, 100), ("b", 5, 5)]);
        let after = answer(3_000_000, &[("a", 30, 500), ("b", 5, 5), ("c", 3, 4)]);
        rates.add(&before, &after);
        // Another node, which has started anew.
        let before = answer(9_000_000, &[("a", 99, 999)]);
        rates.add(&before, &answer(500_000, &[("a", 2, 10)]));
        let found: Vec<_> = rates
            .lines
            .values()
            .map(|line| {
                (
                    &*line.topic,
                    line.events_per_s,
                    line.bytes_per_s,
                    line.publishers,
                )
            })
            .collect();
        assert_eq!(found, [("a", 14, 220, 2), ("b", 0, 0, 1), ("c", 2, 2, 1)]);
    }
}
