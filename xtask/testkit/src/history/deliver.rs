//! What each subscription was handed, in its order: once, in order, and only what was published.

use std::collections::BTreeMap;

use super::index::{Fate, Index, Publish, Session};
use super::loose::Loose;
use super::stream::{Broken, Stream};
use super::told::Told;
use super::{Did, History, Name, Rule, Violation};

/// What one subscription got.
#[derive(Debug, Default)]
pub(super) struct Got {
    /// By writer: for each of its publishes the place of the first delivery.
    delivered: BTreeMap<Name, Vec<Option<usize>>>,
    pub(super) told: Told,
    pub(super) events: u64,
    pub(super) gaps: u64,
}

/// What the last delivery of something was.
#[derive(Clone, Copy, Debug)]
struct Last {
    number: u64,
    place: usize,
}

impl Got {
    /// Where an event was delivered, by its place among the publishes of its writer.
    pub(super) fn place(&self, by: Name, publish: usize) -> Option<usize> {
        self.delivered.get(&by)?.get(publish).copied().flatten()
    }

    fn note(&mut self, index: &Index, by: Name, publish: usize, place: usize) -> Option<usize> {
        let length = index.writers.get(&by).map_or(0, Vec::len);
        let delivered = self
            .delivered
            .entry(by)
            .or_insert_with(|| vec![None; length]);
        let slot = delivered.get_mut(publish)?;
        let before = *slot;
        slot.get_or_insert(place);
        before
    }
}

/// Reads what one subscription got.
pub(super) fn read(
    history: &History,
    index: &Index,
    session: &Session,
    violations: &mut Vec<Violation>,
) -> Got {
    let mut reader = Reader {
        history,
        index,
        session,
        violations,
        got: Got::default(),
        streams: BTreeMap::new(),
        loose: Loose::default(),
        silent: 0,
        topics: BTreeMap::new(),
        reliable: BTreeMap::new(),
        unknown: BTreeMap::new(),
    };
    for place in &session.items {
        reader.item(*place);
    }
    reader.lagged();
    reader.got
}

struct Reader<'a> {
    history: &'a History,
    index: &'a Index,
    session: &'a Session,
    violations: &'a mut Vec<Violation>,
    got: Got,
    /// By publisher and topic, with the place of the last word.
    streams: BTreeMap<(Name, Name), (Stream, usize)>,
    /// What came, where it may come in any order.
    loose: Loose,
    /// How many events were passed over without a gap, where some were told dropped without their places.
    silent: u64,
    topics: BTreeMap<(Name, Name), Last>,
    reliable: BTreeMap<Name, Last>,
    /// Deliveries whose publish is not in the history.
    unknown: BTreeMap<(Name, u64), usize>,
}

impl Reader<'_> {
    fn item(&mut self, place: usize) {
        if self
            .session
            .subscribed
            .is_none_or(|subscribed| subscribed > place)
        {
            let detail = "something is delivered before subscribe has returned";
            self.break_rule(Rule::SubscribedFirst, detail, [place]);
        }
        let Some(record) = self.history.records().get(place) else {
            return;
        };
        match record.did {
            Did::Delivered {
                publisher,
                epoch,
                topic,
                sequence,
                by,
                number,
                again,
                ..
            } => {
                self.got.events = self.got.events.saturating_add(1);
                let is_told = self.event(place, (by, number), topic, again);
                if again && is_told {
                    // Its turn was when it was handed over first.
                    return;
                }
                let key = (publisher, topic);
                if self.session.unordered {
                    return self.loose(place, |loose| loose.event(key, epoch, sequence, place));
                }
                let told = |stream: &mut Stream| stream.event(epoch, sequence);
                if let Some(before) = self.stream(place, key, sequence, told)
                    && !is_told
                {
                    self.repeated(place, before);
                }
            }
            Did::Gap {
                publisher,
                epoch,
                topic,
                from,
                to,
                ..
            } => {
                self.got.gaps = self.got.gaps.saturating_add(1);
                let key = (publisher, topic);
                self.got.told.gap(key, epoch, from, to);
                if self.session.unordered {
                    return self.loose(place, |loose| loose.gap(key, epoch, from, to, place));
                }
                let told = |stream: &mut Stream| stream.gap(epoch, from, to);
                self.stream(place, key, from, told);
            }
            _ => {}
        }
    }

    /// An event by its writer's number. Says whether a violation was found.
    fn event(&mut self, place: usize, (by, number): (Name, u64), topic: Name, again: bool) -> bool {
        let found = self.index.publish(by, number);
        let found = found.map(|(at, publish)| (at, *publish));
        let before = match &found {
            Some((at, _publish)) => self.got.note(self.index, by, *at, place),
            None => self.unknown.insert((by, number), place),
        };
        let is_known = found.map(|(_at, publish)| publish);
        self.published(place, topic, is_known);
        if let Some(before) = before {
            if !again {
                let detail = format!("#{number} is handed over twice");
                self.break_rule(Rule::Once, &detail, [before, place]);
            }
            return true;
        }
        if self.session.group.is_some() || self.session.unordered {
            return false;
        }
        let this = Last { number, place };
        let last = self.topics.get(&(by, topic)).copied();
        let late = last.filter(|last| last.number > number);
        if let Some(last) = late {
            let detail = format!("#{number} comes after #{} of the same topic", last.number);
            self.break_rule(Rule::Ordered, &detail, [last.place, place]);
        } else {
            self.topics.insert((by, topic), this);
        }
        if is_known.is_some_and(|publish| publish.qos > 0) {
            self.across(by, this);
        }
        late.is_some()
    }

    /// Events with QoS 1 are in order over all topics.
    fn across(&mut self, by: Name, this: Last) {
        let last = self.reliable.get(&by).copied();
        let Some(last) = last.filter(|last| last.number > this.number) else {
            self.reliable.insert(by, this);
            return;
        };
        let invoked = [last.number, this.number];
        let invoked = invoked.map(|number| self.index.publish(by, number));
        let invoked = invoked
            .into_iter()
            .flatten()
            .map(|(_at, publish)| publish.invoked);
        let places: Vec<usize> = invoked.chain([last.place, this.place]).collect();
        let detail = format!("#{} comes after #{} with QoS 1", this.number, last.number);
        self.break_rule(Rule::OrderedAcross, &detail, places);
    }

    /// Nobody gets what was not published.
    fn published(&mut self, place: usize, topic: Name, publish: Option<Publish>) {
        let Some(publish) = publish else {
            return self.break_rule(Rule::Published, "nobody published it", [place]);
        };
        if publish.topic != topic {
            let detail = "it was published on another topic";
            return self.break_rule(Rule::Published, detail, [publish.invoked, place]);
        }
        if let Fate::Refused(refused) = publish.fate {
            let excerpt = [publish.invoked, refused, place];
            self.break_rule(Rule::Published, "it was refused", excerpt);
        }
    }

    /// An event or a gap by the publisher's sequence; in a group, holes are what the others get. Returns the word before,
    /// where an event came whose turn was over.
    fn stream(
        &mut self,
        place: usize,
        key: (Name, Name),
        at: u64,
        told: impl FnOnce(&mut Stream) -> Result<(), Broken>,
    ) -> Option<usize> {
        if self.session.group.is_some() {
            return None;
        }
        let (stream, last) = self
            .streams
            .entry(key)
            .or_insert_with(|| (Stream::default(), place));
        let before = *last;
        let broken = match told(stream) {
            Err(Broken::Stale) => Broken::Stale,
            result => {
                *last = place;
                result.err()?
            }
        };
        if let Broken::Hole { due } | Broken::Misplaced { due } = broken
            && self.session.lagged > 0
            && at > due
        {
            self.silent = self.silent.saturating_add(at.saturating_sub(due));
            return None;
        }
        let rule = match broken {
            Broken::Repeated { .. } => return Some(before),
            Broken::Stale => Rule::Ordered,
            Broken::Hole { .. } => Rule::NotSilent,
            Broken::Empty | Broken::Misplaced { .. } => Rule::GapsFit,
        };
        let lone = broken == Broken::Empty;
        let excerpt = (!lone).then_some(before).into_iter().chain([place]);
        self.break_rule(rule, &broken.to_string(), excerpt);
        None
    }

    /// An event or a gap where nothing has a turn.
    fn loose(
        &mut self,
        place: usize,
        told: impl FnOnce(&mut Loose) -> Option<(Rule, &'static str, usize)>,
    ) {
        if self.session.group.is_some() {
            return;
        }
        if let Some((rule, detail, other)) = told(&mut self.loose) {
            self.break_rule(rule, detail, [other, place]);
        }
    }

    /// No more was passed over in silence than was told dropped.
    fn lagged(&mut self) {
        let told = self.session.lagged;
        if self.silent > told {
            let detail = format!("{} are passed over, of which {told} were told", self.silent);
            let ends = [self.session.items.first(), self.session.items.last()];
            self.break_rule(
                Rule::NotSilent,
                &detail,
                ends.into_iter().flatten().copied(),
            );
        }
    }

    /// An event came whose turn was over, and by its number it is neither late nor known: it was told missing, or has
    /// another event's sequence.
    fn repeated(&mut self, place: usize, before: usize) {
        let at = |place: usize| self.history.records().get(place).map(|record| record.did);
        let Some(Did::Delivered {
            publisher,
            epoch,
            topic,
            sequence,
            ..
        }) = at(place)
        else {
            return;
        };
        let gap = self.session.items.iter().copied().filter(|item| *item < place).find(|item| {
            matches!(at(*item), Some(Did::Gap { publisher: of, topic: on, epoch: run, from, to: Some(to), .. })
                if (of, on, run) == (publisher, topic, epoch) && (from..to).contains(&sequence))
        });
        let (rule, detail, other) = match gap {
            Some(gap) => (Rule::GapsFit, "it comes although it was told missing", gap),
            None => (
                Rule::Ordered,
                "its sequence is not that of its turn",
                before,
            ),
        };
        self.break_rule(rule, detail, [other, place]);
    }

    fn break_rule(&mut self, rule: Rule, detail: &str, excerpt: impl IntoIterator<Item = usize>) {
        self.violations.push(Violation::new(rule, detail, excerpt));
    }
}
