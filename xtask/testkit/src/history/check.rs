//! The whole check: limits, order of the steps, and what comes out.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::index::Index;
use super::{Did, History, Rule, Violation, calls, deliver, groups, owed, receipts};

/// How many violations are kept; the first ones tell most.
const MAX_VIOLATIONS: usize = 100;

/// The numbers in the promises.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// From how long after `subscribe` has returned an event is owed, and after the nodes of writer and subscriber have
    /// come back; by default 1 s.
    pub window: Duration,
    /// How long an owed event with QoS 1 may take, counted from the end of faults; by default 15 s. Nothing where
    /// subscribers are meant to be slow.
    pub arrival: Option<Duration>,
    /// How much later than its deadline a call or a publish may end; by default 250 ms.
    pub slack: Duration,
    /// How long the death of a callee may be unknown to its callers; by default 5 s.
    pub callee_lost: Duration,
    /// How long a cancellation may be unknown to the callee; by default 1 s.
    pub cancelled: Duration,
    /// How much later than a receipt the journal of a subscriber may say that it was handed the event; by default 1 s.
    pub journal_lag: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(1),
            arrival: Some(Duration::from_secs(15)),
            slack: Duration::from_millis(250),
            callee_lost: Duration::from_secs(5),
            cancelled: Duration::from_secs(1),
            journal_lag: Duration::from_secs(1),
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Report {
    /// Broken promises, the first 100.
    pub violations: Vec<Violation>,
    /// How many there are by rule.
    pub broken: BTreeMap<Rule, u64>,
    /// What was checked.
    pub totals: Totals,
}

/// What a history holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Totals {
    /// Records.
    pub records: u64,
    /// Events that were accepted.
    pub accepted: u64,
    /// Those of them with QoS 1.
    pub reliable: u64,
    /// Events that were refused.
    pub refused: u64,
    /// Receipts.
    pub receipts: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Events that were told missing where their number is known.
    pub missing: u64,
    /// Gaps, those of an unknown number among them.
    pub gaps: u64,
    /// Events that were dropped and counted, without their places.
    pub lagged: u64,
    /// Calls that were answered.
    pub answered: u64,
    /// Calls that ended with an error.
    pub failed: u64,
    /// Runs of calls.
    pub runs: u64,
}

impl Report {
    /// Whether no promise was broken.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.violations.is_empty()
    }

    /// The first violations with their excerpts, at most one of each rule.
    #[must_use]
    pub fn explain(&self, history: &History) -> String {
        let mut text = String::new();
        for (rule, count) in &self.broken {
            if let Some(first) = self
                .violations
                .iter()
                .find(|violation| violation.rule == *rule)
            {
                text.push_str(&format!("{count} x {}", first.explain(history)));
            }
        }
        text
    }

    pub(super) fn add(&mut self, found: Vec<Violation>) {
        for violation in found {
            let count = self.broken.entry(violation.rule).or_default();
            *count = count.saturating_add(1);
            // The first of each rule is kept whatever came before.
            if *count == 1 || self.violations.len() < MAX_VIOLATIONS {
                self.violations.push(violation);
            }
        }
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} records: {} events accepted ({} with QoS 1), {} refused, {} receipts, {} deliveries, {} missing in {} gaps, {} lagged, {} calls answered, {} failed, {} runs",
            self.records,
            self.accepted,
            self.reliable,
            self.refused,
            self.receipts,
            self.delivered,
            self.missing,
            self.gaps,
            self.lagged,
            self.answered,
            self.failed,
            self.runs
        )
    }
}

pub(super) fn check(history: &History, limits: &Limits) -> Report {
    let index = Index::of(history);
    let mut report = Report {
        totals: totals(history, &index),
        ..Report::default()
    };
    report.add(index.unsound.clone());
    let mut found = Vec::new();
    let mut got = Vec::new();
    for session in &index.sessions {
        got.push(deliver::read(history, &index, session, &mut found));
    }
    report.add(found);
    report.add(owed::check(history, &index, &got, limits));
    report.add(receipts::check(history, &index, &got, limits));
    report.add(groups::check(history, &index));
    report.add(calls::check(history, &index, limits));
    report
}

fn totals(history: &History, index: &Index) -> Totals {
    let mut totals = Totals::default();
    let add = |count: &mut u64, more: u64| *count = count.saturating_add(more);
    for record in history.records() {
        add(&mut totals.records, 1);
        match record.did {
            Did::Accepted { number } => {
                add(&mut totals.accepted, 1);
                let publish = index.publish(record.actor, number);
                let is_reliable = publish.is_some_and(|(_at, publish)| publish.qos > 0);
                add(&mut totals.reliable, u64::from(is_reliable));
            }
            Did::Refused { .. } => add(&mut totals.refused, 1),
            Did::Receipt { .. } => add(&mut totals.receipts, 1),
            Did::Delivered { .. } => add(&mut totals.delivered, 1),
            Did::Gap { from, to, .. } => {
                add(&mut totals.gaps, 1);
                add(
                    &mut totals.missing,
                    to.map_or(0, |to| to.saturating_sub(from)),
                );
            }
            Did::Lagged { count, .. } => add(&mut totals.lagged, count),
            Did::Answered { .. } => add(&mut totals.answered, 1),
            Did::Failed { .. } => add(&mut totals.failed, 1),
            Did::Begun { .. } => add(&mut totals.runs, 1),
            _ => {}
        }
    }
    totals
}
