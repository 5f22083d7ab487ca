//! A history by writers, subscriptions and calls.

use std::collections::{BTreeMap, BTreeSet};

use macula_wire::{Pattern, Topic};

use super::faults::Faults;
use super::{Did, History, Name, Record, Rule, Violation};

/// Where the records of one thing are.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) writers: BTreeMap<Name, Vec<Publish>>,
    pub(super) sessions: Vec<Session>,
    pub(super) calls: BTreeMap<(Name, u64), Call>,
    pub(super) runs: BTreeMap<Name, Vec<Run>>,
    pub(super) faults: Faults,
    pub(super) quiet: Option<usize>,
    pub(super) unsound: Vec<Violation>,
    /// Links of applications, counted from 1 for each, that ended without a word: what was on its way may be lost.
    pub(super) cut: BTreeSet<(Name, u64)>,
}

/// The link of each application while the records are read: its node, and how many links it had before.
type Links = BTreeMap<Name, (Name, u64)>;

/// What became of a publish, as its caller knows, with the place of the record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    /// It has not returned.
    Open,
    Accepted(usize),
    Refused(usize),
    Unsure(usize),
}

/// One event of a writer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Publish {
    pub(super) number: u64,
    pub(super) invoked: usize,
    pub(super) topic: Name,
    pub(super) qos: u8,
    pub(super) wait_ms: Option<u64>,
    pub(super) wants_receipt: bool,
    pub(super) node: Option<Name>,
    /// By which link of the writer.
    pub(super) link: u64,
    pub(super) fate: Fate,
    pub(super) receipt: Option<usize>,
}

/// One subscription.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) actor: Name,
    pub(super) node: Option<Name>,
    /// Where it is described.
    pub(super) described: Option<usize>,
    pub(super) pattern: Option<Name>,
    pub(super) group: Option<Name>,
    /// Whether it takes events in any order.
    pub(super) unordered: bool,
    /// How many events it was told dropped without their places.
    pub(super) lagged: u64,
    pub(super) subscribed: Option<usize>,
    /// Deliveries and gaps, in order.
    pub(super) items: Vec<usize>,
    /// The first record that ends it.
    pub(super) ended: Option<usize>,
    /// Whether it was killed and may have been handed an event that it could not write down.
    pub(super) was_killed: bool,
}

/// One call as its caller wrote it down.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Call {
    pub(super) invoked: Option<usize>,
    pub(super) deadline_ms: u64,
    pub(super) repeatable: bool,
    pub(super) cancelled: Option<usize>,
    pub(super) ended: Option<usize>,
}

/// One run of a call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) begun: usize,
    pub(super) actor: Name,
    pub(super) by: Name,
    pub(super) number: u64,
    pub(super) ended: Option<usize>,
    pub(super) stopped: Option<usize>,
}

impl Index {
    /// Reads all records, which are sorted.
    pub(super) fn of(history: &History) -> Self {
        let mut index = Self::default();
        let mut open = BTreeMap::new();
        let mut links = Links::new();
        for (place, record) in history.records().iter().enumerate() {
            index.faults.take(place, record);
            index.publishing(place, record, &links);
            index.subscribing(place, record, &links, &mut open);
            index.calling(place, record);
            match record.did {
                Did::Attached { node } => {
                    let link = links.entry(record.actor).or_insert((node, 0));
                    *link = (node, link.1.saturating_add(1));
                }
                Did::Lost => index.is_cut(&links, |actor, _node| actor == record.actor),
                Did::Killed { who } => {
                    index.is_cut(&links, |actor, node| actor == who || node == who);
                }
                Did::Quiet => index.quiet = Some(place),
                _ => {}
            }
        }
        index.ends(history);
        index
    }

    /// The place of a publish among those of its writer.
    pub(super) fn publish(&self, by: Name, number: u64) -> Option<(usize, &Publish)> {
        let publishes = self.writers.get(&by)?;
        let place = find(publishes, number)?;
        publishes.get(place).map(|publish| (place, publish))
    }

    fn is_cut(&mut self, links: &Links, whose: impl Fn(Name, Name) -> bool) {
        for (actor, (node, link)) in links {
            if whose(*actor, *node) {
                self.cut.insert((*actor, *link));
            }
        }
    }

    fn publishing(&mut self, place: usize, record: &Record, links: &Links) {
        let (number, fate) = match record.did {
            Did::Publish {
                topic,
                number,
                qos,
                wait_ms,
                receipt,
            } => {
                let link = links.get(&record.actor);
                let publish = Publish {
                    number,
                    invoked: place,
                    topic,
                    qos,
                    wait_ms,
                    wants_receipt: receipt,
                    node: link.map(|(node, _link)| *node),
                    link: link.map_or(0, |(_node, link)| *link),
                    fate: Fate::Open,
                    receipt: None,
                };
                let publishes = self.writers.entry(record.actor).or_default();
                let last = publishes.last();
                if let Some(last) = last.filter(|last| last.number >= number) {
                    let detail = format!("#{number} is published after #{}", last.number);
                    let excerpt = [last.invoked, place];
                    self.unsound
                        .push(Violation::new(Rule::Sound, detail, excerpt));
                    return;
                }
                return publishes.push(publish);
            }
            Did::Accepted { number } => (number, Some(Fate::Accepted(place))),
            Did::Refused { number, .. } => (number, Some(Fate::Refused(place))),
            Did::Unsure { number, .. } => (number, Some(Fate::Unsure(place))),
            Did::Receipt { number, .. } => (number, None),
            _ => return,
        };
        let publishes = self.writers.entry(record.actor).or_default();
        let Some(publish) = find(publishes, number).and_then(|place| publishes.get_mut(place))
        else {
            // An excerpt may lack the beginning.
            return;
        };
        match fate {
            Some(fate) => publish.fate = fate,
            None => publish.receipt = Some(place),
        }
    }

    fn subscribing(
        &mut self,
        place: usize,
        record: &Record,
        links: &Links,
        open: &mut BTreeMap<(Name, u32), usize>,
    ) {
        let actor = record.actor;
        let (subscription, described) = match record.did {
            Did::Subscribe {
                subscription,
                pattern,
                group,
                unordered,
            } => (subscription, Some((pattern, group, unordered))),
            Did::Subscribed { subscription }
            | Did::Delivered { subscription, .. }
            | Did::Gap { subscription, .. }
            | Did::Lagged { subscription, .. }
            | Did::Unsubscribe { subscription } => (subscription, None),
            Did::Lost => return self.lost(place, actor),
            _ => return,
        };
        let known = open.get(&(actor, subscription)).copied();
        let number = match (known, described) {
            (Some(number), None) => number,
            (_, described) => {
                self.sessions.push(Session {
                    actor,
                    node: links.get(&actor).map(|(node, _link)| *node),
                    described: described.map(|_| place),
                    pattern: described.map(|(pattern, ..)| pattern),
                    group: described.and_then(|(_pattern, group, _unordered)| group),
                    unordered: described.is_some_and(|(.., unordered)| unordered),
                    lagged: 0,
                    subscribed: None,
                    items: Vec::new(),
                    ended: None,
                    was_killed: false,
                });
                let number = self.sessions.len().saturating_sub(1);
                open.insert((actor, subscription), number);
                number
            }
        };
        let Some(session) = self.sessions.get_mut(number) else {
            return;
        };
        match record.did {
            Did::Subscribed { .. } => session.subscribed = Some(place),
            Did::Delivered { .. } | Did::Gap { .. } => session.items.push(place),
            Did::Lagged { count, .. } => session.lagged = session.lagged.saturating_add(count),
            Did::Unsubscribe { .. } => drop(session.ended.get_or_insert(place)),
            _ => {}
        }
    }

    fn lost(&mut self, place: usize, actor: Name) {
        for session in self
            .sessions
            .iter_mut()
            .filter(|session| session.actor == actor)
        {
            session.ended.get_or_insert(place);
        }
    }

    fn calling(&mut self, place: usize, record: &Record) {
        let actor = record.actor;
        match record.did {
            Did::Call {
                number,
                deadline_ms,
                repeatable,
            } => {
                let call = self.calls.entry((actor, number)).or_default();
                call.invoked = Some(place);
                call.deadline_ms = deadline_ms;
                call.repeatable = repeatable;
            }
            Did::Cancel { number } => {
                self.calls.entry((actor, number)).or_default().cancelled = Some(place);
            }
            Did::Answered { number, .. } | Did::Failed { number, .. } => {
                self.calls.entry((actor, number)).or_default().ended = Some(place);
            }
            Did::Begun { call, by, number } => {
                let (ended, stopped) = (None, None);
                let run = Run {
                    begun: place,
                    actor,
                    by,
                    number,
                    ended,
                    stopped,
                };
                self.runs.entry(call).or_default().push(run);
            }
            Did::Ended { call } => {
                if let Some(run) = self.run(call, actor) {
                    run.ended = Some(place);
                }
            }
            Did::Stopped { call } => {
                if let Some(run) = self.run(call, actor) {
                    run.stopped = Some(place);
                }
            }
            _ => {}
        }
    }

    fn run(&mut self, call: Name, actor: Name) -> Option<&mut Run> {
        let runs = self.runs.get_mut(&call)?;
        runs.iter_mut().rev().find(|run| run.actor == actor)
    }

    /// Ends the subscriptions of those who were killed, or whose node was.
    fn ends(&mut self, history: &History) {
        for session in &mut self.sessions {
            let begin = session
                .subscribed
                .and_then(|place| history.records().get(place));
            let begin = begin.map_or(0, |record| record.at);
            let who = [Some(session.actor), session.node];
            let kills = who.into_iter().flatten();
            let kill = kills.filter_map(|who| self.faults.killed(who, begin)).min();
            let Some((_at, place)) = kill else {
                continue;
            };
            if session.ended.is_none_or(|ended| ended > place) {
                session.was_killed = true;
                session.ended = Some(place);
            }
        }
    }
}

/// The place of a number among ascending ones, most of which follow each other.
fn find(publishes: &[Publish], number: u64) -> Option<usize> {
    let first = publishes.first()?.number;
    let guess = usize::try_from(number.checked_sub(first)?).ok()?;
    if publishes
        .get(guess)
        .is_some_and(|publish| publish.number == number)
    {
        return Some(guess);
    }
    let found = publishes.binary_search_by_key(&number, |publish| publish.number);
    found.ok()
}

/// Which topics a pattern matches; asked once for each pair.
#[derive(Debug, Default)]
pub(super) struct Matching(BTreeMap<(Name, Name), bool>);

impl Matching {
    pub(super) fn matches(&mut self, history: &History, pattern: Name, topic: Name) -> bool {
        *self.0.entry((pattern, topic)).or_insert_with(|| {
            let names = history.names();
            let pattern = Pattern::new(names.text(pattern));
            let topic = Topic::new(names.text(topic));
            matches!((pattern, topic), (Ok(pattern), Ok(topic)) if pattern.matches(&topic))
        })
    }
}
