//! Events with QoS 1: they arrive, in time, and receipts tell the truth.

use std::collections::BTreeMap;
use std::time::Duration;

use super::check::Limits;
use super::deliver::Got;
use super::faults::micros;
use super::index::{Fate, Index, Matching, Publish, Session};
use super::{Did, History, Name, Rule, Violation};

pub(super) fn check(
    history: &History,
    index: &Index,
    got: &[Got],
    limits: &Limits,
) -> Vec<Violation> {
    let mut checker = Checker {
        history,
        index,
        got,
        limits,
        matching: Matching::default(),
        found: Vec::new(),
    };
    for (by, publishes) in &index.writers {
        for (at, publish) in publishes.iter().enumerate() {
            checker.returns(*by, publish);
            if publish.qos > 0 {
                checker.reliable(*by, at, publish);
            }
        }
    }
    checker.found
}

struct Checker<'a> {
    history: &'a History,
    index: &'a Index,
    got: &'a [Got],
    limits: &'a Limits,
    matching: Matching,
    found: Vec<Violation>,
}

/// Who acknowledges as one: a subscription at the publisher's node, all those of another node together, or a group.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Place {
    Own(usize),
    Member(Option<Name>),
    Group(Name),
}

/// What a destination has of an event.
#[derive(Debug, Default)]
struct Destination {
    /// Subscriptions to whom the event is certainly owed, with the place of the delivery.
    owed: Vec<(usize, Option<usize>)>,
    /// Whether another one may have been handed the event.
    perhaps: bool,
    is_group: bool,
}

impl Destination {
    /// Whether somebody who is owed the event lacks it at a time.
    fn lacks(&self, got_it: impl Fn(usize) -> bool) -> bool {
        let mut has = self
            .owed
            .iter()
            .map(|(_session, place)| place.is_some_and(&got_it));
        if self.is_group {
            !self.owed.is_empty() && !self.perhaps && !has.any(|has| has)
        } else {
            has.any(|has| !has)
        }
    }
}

/// The numbers of a receipt.
#[derive(Clone, Copy)]
struct Receipt {
    place: usize,
    matched: u64,
    acked: u64,
    missed: u64,
}

impl Checker<'_> {
    fn at(&self, place: usize) -> u64 {
        self.history
            .records()
            .get(place)
            .map_or(0, |record| record.at)
    }

    fn broken(&mut self, rule: Rule, detail: String, excerpt: impl IntoIterator<Item = usize>) {
        self.found.push(Violation::new(rule, detail, excerpt));
    }

    /// A publish with a deadline ends by it.
    fn returns(&mut self, by: Name, publish: &Publish) {
        let Some(wait_ms) = publish.wait_ms else {
            return;
        };
        let (end, place) = match publish.fate {
            Fate::Accepted(place) | Fate::Refused(place) | Fate::Unsure(place) => {
                (self.at(place), place)
            }
            Fate::Open => {
                let Some(quiet) = self.index.quiet else {
                    return;
                };
                (self.at(quiet), quiet)
            }
        };
        let begin = self.at(publish.invoked);
        let faults = &self.index.faults;
        let holders = [Some(by), publish.node].into_iter().flatten();
        let still = holders
            .map(|holder| faults.stood_still(holder, begin, end))
            .max();
        let allowed = micros(Duration::from_millis(wait_ms))
            .saturating_add(micros(self.limits.slack))
            .saturating_add(still.unwrap_or(0));
        let took = end.saturating_sub(begin);
        let killed = publish.fate == Fate::Open && faults.killed(by, begin).is_some();
        if took > allowed && !killed {
            let number = publish.number;
            let detail = format!("#{number} had {wait_ms} ms and took {} ms", took / 1_000);
            self.broken(Rule::PublishEnds, detail, [publish.invoked, place]);
        }
    }

    fn reliable(&mut self, by: Name, at: usize, publish: &Publish) {
        let destinations = self.destinations(by, at, publish);
        let receipt = publish.receipt.and_then(|place| self.receipt(place));
        if let Some(receipt) = receipt {
            self.is_true(publish, receipt, &destinations);
        }
        let Fate::Accepted(accepted) = publish.fate else {
            return;
        };
        self.arrives(publish, accepted, receipt, &destinations);
        self.in_time(publish, accepted, &destinations);
        let Some(quiet) = self.index.quiet.filter(|quiet| *quiet > accepted) else {
            return;
        };
        let holders = [Some(by), publish.node].into_iter().flatten();
        let begin = self.at(publish.invoked);
        let mut kills = holders.filter_map(|holder| self.index.faults.killed(holder, begin));
        if publish.wants_receipt && publish.receipt.is_none() && kills.next().is_none() {
            let detail = format!("#{} has no receipt", publish.number);
            self.broken(
                Rule::ReceiptComes,
                detail,
                [publish.invoked, accepted, quiet],
            );
        }
    }

    fn receipt(&self, place: usize) -> Option<Receipt> {
        match self.history.records().get(place)?.did {
            Did::Receipt {
                matched,
                acked,
                expired,
                dropped,
                ..
            } => {
                let missed = expired.saturating_add(dropped);
                Some(Receipt {
                    place,
                    matched,
                    acked,
                    missed,
                })
            }
            _ => None,
        }
    }

    /// Everybody to whom the event may be owed.
    fn destinations(
        &mut self,
        by: Name,
        at: usize,
        publish: &Publish,
    ) -> BTreeMap<Place, Destination> {
        let mut destinations: BTreeMap<Place, Destination> = BTreeMap::new();
        let invoked = self.at(publish.invoked);
        for (number, (session, got)) in self.index.sessions.iter().zip(self.got).enumerate() {
            let matches = session
                .pattern
                .is_some_and(|pattern| self.matching.matches(self.history, pattern, publish.topic));
            if !matches || session.ended.is_some_and(|ended| ended < publish.invoked) {
                continue;
            }
            let place = match session.group {
                Some(group) => Place::Group(group),
                None if session.node == publish.node => Place::Own(number),
                None => Place::Member(session.node),
            };
            let delivered = got.place(by, at);
            let destination = destinations.entry(place).or_default();
            destination.is_group = session.group.is_some();
            if self.is_owed(session, publish.node, invoked) {
                destination.owed.push((number, delivered));
            } else {
                let might = session.ended.is_some() || delivered.is_some();
                destination.perhaps |= might || session.subscribed.is_some();
            }
        }
        destinations
    }

    /// Whether a subscription was there long enough before, and is to the end.
    fn is_owed(&self, session: &Session, node: Option<Name>, invoked: u64) -> bool {
        let window = micros(self.limits.window);
        let is_away = |node| self.index.faults.is_away(node, invoked, self.limits.window);
        session.ended.is_none()
            && !is_away(node)
            && !is_away(session.node)
            && session
                .subscribed
                .is_some_and(|subscribed| self.at(subscribed).saturating_add(window) < invoked)
    }

    /// A receipt counts those who were handed the event by then.
    fn is_true(
        &mut self,
        publish: &Publish,
        receipt: Receipt,
        destinations: &BTreeMap<Place, Destination>,
    ) {
        let number = publish.number;
        let Receipt {
            place,
            matched,
            acked,
            missed,
        } = receipt;
        if acked.saturating_add(missed) != matched {
            let detail = format!("the numbers of #{number} do not add up to {matched} matched");
            self.broken(Rule::ReceiptTrue, detail, [publish.invoked, place]);
        }
        let by_then = self
            .at(place)
            .saturating_add(micros(self.limits.journal_lag));
        let got_it = |delivered: usize| self.at(delivered) <= by_then;
        let had = destinations
            .values()
            .filter(|destination| !destination.lacks(got_it))
            .count();
        if acked > u64::try_from(had).unwrap_or(u64::MAX) {
            let detail = format!("#{number} is acknowledged by {acked}, and {had} had it");
            self.broken(Rule::ReceiptTrue, detail, [publish.invoked, place]);
        }
        let owed = destinations
            .values()
            .filter(|destination| !destination.owed.is_empty());
        let owed_count = u64::try_from(owed.count()).unwrap_or(u64::MAX);
        let (begin, end) = (self.at(publish.invoked), self.at(place));
        let grace = self.limits.arrival.unwrap_or_default();
        if matched < owed_count && !self.index.faults.meets(begin, end, grace) {
            let detail = format!("#{number} matched {matched} of {owed_count} who are owed it");
            let sessions = destinations
                .values()
                .flat_map(|destination| &destination.owed);
            let mut excerpt = vec![publish.invoked, place];
            for (session, _delivered) in sessions {
                if let Some(session) = self.index.sessions.get(*session) {
                    excerpt.extend(session.described.into_iter().chain(session.subscribed));
                }
            }
            self.broken(Rule::ReceiptTrue, detail, excerpt);
        }
    }

    /// An accepted event reaches everybody who is owed it, but for as many as its receipt leaves out.
    fn arrives(
        &mut self,
        publish: &Publish,
        accepted: usize,
        receipt: Option<Receipt>,
        destinations: &BTreeMap<Place, Destination>,
    ) {
        let Some(quiet) = self.index.quiet.filter(|quiet| *quiet > accepted) else {
            return;
        };
        let lacking = destinations
            .values()
            .filter(|destination| destination.lacks(|_| true));
        let lacking: Vec<&Destination> = lacking.collect();
        if lacking.is_empty() {
            return;
        }
        let begin = self.at(publish.invoked);
        let grace = self.limits.arrival.unwrap_or_default();
        let was_troubled = self.index.faults.meets(begin, self.at(accepted), grace);
        let count = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        let allowed = match receipt {
            Some(receipt) => {
                let unmatched = count(destinations.len()).saturating_sub(receipt.matched);
                receipt
                    .missed
                    .saturating_add(if was_troubled { unmatched } else { 0 })
            }
            // Its publisher died with it, and says so nowhere else.
            None if self.died(publish) && !self.is_stored(destinations) => return,
            None if was_troubled && !publish.wants_receipt => return,
            None => 0,
        };
        if count(lacking.len()) <= allowed {
            return;
        }
        let mut excerpt = vec![publish.invoked, accepted, quiet];
        if allowed > 0 {
            excerpt.extend(receipt.map(|receipt| receipt.place));
        }
        for destination in &lacking {
            // All of a group lack it together: one of them shows that.
            let shown = if destination.is_group { 1 } else { usize::MAX };
            for (session, delivered) in destination.owed.iter().take(shown) {
                let session = self.index.sessions.get(*session);
                let session = session.filter(|_| delivered.is_none());
                excerpt.extend(session.and_then(|session| session.described));
                excerpt.extend(session.and_then(|session| session.subscribed));
            }
            if allowed == 0 {
                break;
            }
        }
        let (number, lack) = (publish.number, lacking.len());
        let detail = format!("#{number} was accepted and {lack} lack it, {allowed} may");
        self.broken(Rule::NotLost, detail, excerpt);
    }

    /// Whether an application at a node that keeps what others accepted was handed the event.
    fn is_stored(&self, destinations: &BTreeMap<Place, Destination>) -> bool {
        let owed = destinations
            .values()
            .flat_map(|destination| &destination.owed);
        let mut had = owed.filter(|(_session, delivered)| delivered.is_some());
        had.any(|(session, _delivered)| {
            let session = self.index.sessions.get(*session);
            session.is_some_and(|session| self.index.faults.is_keeper(session.node))
        })
    }

    /// Whether the node that had accepted an event died and kept nothing.
    fn died(&self, publish: &Publish) -> bool {
        let begin = self.at(publish.invoked);
        let node = publish.node;
        let killed = node.and_then(|node| self.index.faults.killed(node, begin));
        killed.is_some() && !self.index.faults.is_durable(node)
    }

    fn in_time(
        &mut self,
        publish: &Publish,
        accepted: usize,
        destinations: &BTreeMap<Place, Destination>,
    ) {
        let Some(within) = self.limits.arrival else {
            return;
        };
        let due = self.index.faults.due(self.at(accepted), within);
        let owed = destinations
            .values()
            .flat_map(|destination| &destination.owed);
        for delivered in owed.filter_map(|(_session, delivered)| *delivered) {
            let late = self.at(delivered).saturating_sub(due);
            if late > 0 {
                let number = publish.number;
                let detail = format!("#{number} came {} ms after it was due", late / 1_000);
                let excerpt = [publish.invoked, accepted, delivered];
                let session = self
                    .index
                    .sessions
                    .iter()
                    .find(|session| session.items.binary_search(&delivered).is_ok());
                let subscribed = session.into_iter().flat_map(|session| {
                    [session.described, session.subscribed]
                        .into_iter()
                        .flatten()
                });
                let excerpt: Vec<usize> = excerpt.into_iter().chain(subscribed).collect();
                self.broken(Rule::InTime, detail, excerpt);
            }
        }
    }
}
