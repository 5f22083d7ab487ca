//! Deliveries owed with QoS 0: delivered, or told missing. And sequences: as many as events.
//!
//! What nobody got has no sequence that anybody saw. It is counted out from the nearest events of the same writer and
//! topic that somebody did get.

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
    let mut found = Vec::new();
    let mut matching = Matching::default();
    // What is neither delivered nor told missing, by subscription: as much may be as was told dropped without its place.
    let mut silent: Vec<Vec<Violation>> = index.sessions.iter().map(|_| Vec::new()).collect();
    for (by, publishes) in &index.writers {
        for topic in topics(publishes) {
            let line = Line::of(history, index, got, *by, topic, &mut found);
            line.conserved(&mut found);
            for ((session, got), silent) in index.sessions.iter().zip(got).zip(&mut silent) {
                let is_for = |pattern| matching.matches(history, pattern, topic);
                if session.group.is_none() && session.pattern.is_some_and(is_for) {
                    let told = Asked {
                        history,
                        index,
                        session,
                        got,
                        limits,
                        by: *by,
                    };
                    told.told(&line, silent);
                }
            }
        }
    }
    for (session, silent) in index.sessions.iter().zip(silent) {
        let count = u64::try_from(silent.len()).unwrap_or(u64::MAX);
        if count > session.lagged {
            found.extend(silent);
        }
    }
    found
}

fn topics(publishes: &[Publish]) -> Vec<Name> {
    let mut topics: Vec<Name> = publishes.iter().map(|publish| publish.topic).collect();
    topics.sort_unstable();
    topics.dedup();
    topics
}

/// The events of one writer on one topic, in order.
struct Line {
    topic: Name,
    events: Vec<Event>,
    /// For each event the nearest one before it, and behind it, that somebody got.
    near: Vec<(Option<usize>, Option<usize>)>,
}

#[derive(Clone, Copy)]
struct Event {
    /// Its place among the publishes of the writer.
    at: usize,
    publish: Publish,
    /// How many events before it were certainly taken, and how many perhaps.
    before: u64,
    perhaps: u64,
    /// Where somebody got it.
    seen: Option<Seen>,
    /// Whether it may have been lost on its way to the node that was to publish it.
    is_doubtful: bool,
}

#[derive(Clone, Copy)]
struct Seen {
    publisher: Name,
    epoch: u64,
    sequence: u64,
    place: usize,
}

impl Line {
    fn of(
        history: &History,
        index: &Index,
        got: &[Got],
        by: Name,
        topic: Name,
        found: &mut Vec<Violation>,
    ) -> Self {
        let mut events = Vec::new();
        let publishes = index.writers.get(&by).map_or(&[][..], Vec::as_slice);
        for (at, publish) in publishes.iter().enumerate() {
            if publish.topic != topic || matches!(publish.fate, Fate::Refused(_)) {
                continue;
            }
            let mut seen = None;
            for place in got.iter().filter_map(|got| got.place(by, at)) {
                differs(history, (publish, place), &mut seen, found);
            }
            events.push(Event {
                at,
                publish: *publish,
                before: 0,
                perhaps: 0,
                seen,
                is_doubtful: false,
            });
        }
        doubt(index, by, &mut events);
        count(&mut events);
        let near = near(&events);
        Self {
            topic,
            events,
            near,
        }
    }

    /// Between two events that were seen, there are as many sequences as events.
    fn conserved(&self, found: &mut Vec<Violation>) {
        let mut last: Option<(usize, Event, Seen)> = None;
        for (at, event) in self.events.iter().enumerate() {
            let Some(seen) = event.seen else {
                continue;
            };
            if let Some((from, before, earlier)) = last
                && (earlier.publisher, earlier.epoch) == (seen.publisher, seen.epoch)
            {
                let least = event.before.saturating_sub(before.before);
                let most = least.saturating_add(event.perhaps.saturating_sub(before.perhaps));
                let length = seen.sequence.checked_sub(earlier.sequence);
                if !length.is_some_and(|length| (least..=most).contains(&length)) {
                    let detail = format!(
                        "{least} to {most} events make sequences from {} to {}",
                        earlier.sequence, seen.sequence
                    );
                    let length = length.filter(|length| *length <= most).unwrap_or(0);
                    let excerpt = self.unseen(from, at, length);
                    let ends = [before.publish.invoked, event.publish.invoked];
                    let ends = ends.into_iter().chain([earlier.place, seen.place]);
                    let excerpt = excerpt.into_iter().chain(ends);
                    found.push(Violation::new(Rule::Conserved, detail, excerpt));
                }
            }
            last = Some((at, *event, seen));
        }
    }

    /// The records of `count` accepted events between two, which nobody got.
    fn unseen(&self, from: usize, to: usize, count: u64) -> Vec<usize> {
        let between = self.events.get(from..to).unwrap_or_default();
        let accepted = between.iter().filter(|event| event.seen.is_none());
        let accepted = accepted.filter_map(|event| match event.publish.fate {
            Fate::Accepted(accepted) => Some([event.publish.invoked, accepted]),
            _ => None,
        });
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        accepted.take(count).flatten().collect()
    }

    /// The nearest events that somebody got, with what they were seen as.
    fn near(&self, at: usize) -> [Option<(Event, Seen)>; 2] {
        let (before, after) = self.near.get(at).copied().unwrap_or_default();
        let seen = |place: Option<usize>| {
            let event = *self.events.get(place?)?;
            Some((event, event.seen?))
        };
        [seen(before), seen(after)]
    }

    /// The sequences that an event may have had, by its neighbours that were seen.
    fn sequences(&self, at: usize) -> impl Iterator<Item = Span> {
        let event = self.events.get(at).copied();
        let [before, after] = self.near(at);
        let by_before = event.zip(before).map(|(event, (before, seen))| {
            let least = event.before.saturating_sub(before.before);
            let perhaps = event.perhaps.saturating_sub(before.perhaps);
            let from = seen.sequence.saturating_add(least);
            let to = from.saturating_add(perhaps);
            Span { seen, from, to }
        });
        let by_after = event.zip(after).and_then(|(event, (after, seen))| {
            let least = after.before.saturating_sub(event.before);
            let perhaps = after.perhaps.saturating_sub(event.perhaps);
            // Events of an earlier run have no sequence in this one.
            let to = seen.sequence.checked_sub(least)?;
            let from = to.saturating_sub(perhaps);
            Some(Span { seen, from, to })
        });
        by_before.into_iter().chain(by_after)
    }

    /// Whether the events from `at` on may have died with who had taken them: nothing later of their run was seen.
    fn is_end_of_run(&self, at: usize) -> bool {
        let [before, after] = self.near(at);
        let run = |seen: Seen| (seen.publisher, seen.epoch);
        let Some((_event, after)) = after else {
            return true;
        };
        let is_counted_out = self.sequences(at).any(|span| run(span.seen) == run(after));
        before.map(|(_event, seen)| run(seen)) != Some(run(after)) && !is_counted_out
    }
}

/// With QoS 0 a writer's own link carries events as any other does: what was on it when it was cut, nobody counts.
fn doubt(index: &Index, by: Name, events: &mut [Event]) {
    let mut arrived = None;
    for event in events.iter_mut().rev() {
        let link = event.publish.link;
        if event.seen.is_some() || event.publish.qos > 0 {
            arrived = Some(link);
        }
        event.is_doubtful = arrived != Some(link) && index.cut.contains(&(by, link));
    }
}

fn count(events: &mut [Event]) {
    let (mut before, mut perhaps) = (0_u64, 0_u64);
    for event in events {
        (event.before, event.perhaps) = (before, perhaps);
        let is_accepted = matches!(event.publish.fate, Fate::Accepted(_));
        let is_certain = event.seen.is_some() || (is_accepted && !event.is_doubtful);
        before = before.saturating_add(u64::from(is_certain));
        perhaps = perhaps.saturating_add(u64::from(!is_certain));
    }
}

/// Sequences of the run in which an event was seen.
struct Span {
    seen: Seen,
    from: u64,
    to: u64,
}

fn near(events: &[Event]) -> Vec<(Option<usize>, Option<usize>)> {
    let mut near = vec![(None, None); events.len()];
    let mut before = None;
    for (at, (event, slot)) in events.iter().zip(&mut near).enumerate() {
        slot.0 = before;
        before = event.seen.map(|_| at).or(before);
    }
    let mut after = None;
    for (at, (event, slot)) in events.iter().zip(&mut near).enumerate().rev() {
        slot.1 = after;
        after = event.seen.map(|_| at).or(after);
    }
    near
}

/// Everybody knows an event by the same sequence.
fn differs(
    history: &History,
    (publish, place): (&Publish, usize),
    seen: &mut Option<Seen>,
    found: &mut Vec<Violation>,
) {
    let did = history.records().get(place).map(|record| record.did);
    let Some(Did::Delivered {
        publisher,
        epoch,
        sequence,
        ..
    }) = did
    else {
        return;
    };
    let this = Seen {
        publisher,
        epoch,
        sequence,
        place,
    };
    let known = *seen.get_or_insert(this);
    if (known.publisher, known.epoch, known.sequence) != (publisher, epoch, sequence) {
        let detail = "two subscribers know an event by different sequences";
        let excerpt = [publish.invoked, known.place, place];
        found.push(Violation::new(Rule::Conserved, detail, excerpt));
    }
}

/// One subscription, asked for what it was told of one writer.
struct Asked<'a> {
    history: &'a History,
    index: &'a Index,
    session: &'a Session,
    got: &'a Got,
    limits: &'a Limits,
    by: Name,
}

impl Asked<'_> {
    /// Each event that is owed was delivered or told missing.
    fn told(&self, line: &Line, found: &mut Vec<Violation>) {
        let (Some(subscribed), None, Some(quiet)) = (
            self.session.subscribed,
            self.session.ended,
            self.index.quiet,
        ) else {
            return;
        };
        let from = self
            .at(subscribed)
            .saturating_add(micros(self.limits.window));
        let last = line.events.iter().rposition(|event| self.has(event));
        for (at, event) in line.events.iter().enumerate() {
            let Fate::Accepted(accepted) = event.publish.fate else {
                continue;
            };
            let invoked = self.at(event.publish.invoked);
            if event.publish.qos > 0 || invoked <= from || self.has(event) || accepted > quiet {
                continue;
            }
            let faults = &self.index.faults;
            let is_away = |node| faults.is_away(node, invoked, self.limits.window);
            if is_away(event.publish.node) || is_away(self.session.node) {
                continue;
            }
            if self.was_told(line, at) || self.is_excused(line, at, invoked, last) {
                continue;
            }
            let detail = format!(
                "#{} is neither delivered nor told missing",
                event.publish.number
            );
            let excerpt = [subscribed, event.publish.invoked, accepted, quiet];
            let excerpt = self.session.described.into_iter().chain(excerpt);
            found.push(Violation::new(Rule::NotSilent, detail, excerpt));
        }
    }

    fn has(&self, event: &Event) -> bool {
        self.got.place(self.by, event.at).is_some()
    }

    fn was_told(&self, line: &Line, at: usize) -> bool {
        let mut sequences = line.sequences(at).peekable();
        if sequences.peek().is_none() {
            return self.got.told.any(line.topic);
        }
        sequences.any(|Span { seen, from, to }| {
            let told = &self.got.told;
            told.covers((seen.publisher, line.topic), seen.epoch, from, to)
        })
    }

    /// Whether nobody could tell: who had taken the event died with it, or could not reach the subscriber and has said
    /// nothing since.
    fn is_excused(&self, line: &Line, at: usize, invoked: u64, last: Option<usize>) -> bool {
        let faults = &self.index.faults;
        let Some(event) = line.events.get(at) else {
            return false;
        };
        if event.is_doubtful {
            return true;
        }
        let holders = [Some(self.by), event.publish.node];
        let mut holders = holders.into_iter().flatten();
        let died = holders.any(|holder| faults.killed(holder, invoked).is_some());
        if died && line.is_end_of_run(at) {
            return true;
        }
        let grace = self.limits.arrival.unwrap_or_default();
        last.is_none_or(|last| last < at) && faults.meets(invoked, invoked, grace)
    }

    fn at(&self, place: usize) -> u64 {
        self.history
            .records()
            .get(place)
            .map_or(0, |record| record.at)
    }
}
