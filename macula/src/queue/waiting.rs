//! What waits in a queue whose events keep their order, and what it dropped of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use macula_wire::{Epoch, NodeId, Sequence, Topic};

use super::run::{EventRun, is_past};
use crate::event::{Event, Gap, GapCause, Origin};

/// The most origins of which dropped ranges are remembered; beyond it they are counted and not told one by one.
const MAX_PENDING_GAPS: usize = 1_024;

/// Before every other.
const START: Sequence = Sequence::new(0);

/// One publisher's run of a topic.
pub(super) type Key = (NodeId, Epoch, Topic);

pub(super) fn key_of(origin: &Origin) -> Key {
    (origin.publisher, origin.epoch, origin.topic.clone())
}

/// What waits, in its place.
#[derive(Debug)]
pub(super) enum Item {
    Run(EventRun),
    One(Event),
    Gap(Gap),
}

impl Item {
    pub(super) const fn is_events(&self) -> bool {
        matches!(self, Self::Run(_) | Self::One(_))
    }

    pub(super) const fn events(&self) -> u64 {
        match self {
            Self::Run(run) => run.left(),
            Self::One(_) => 1,
            Self::Gap(_) => 0,
        }
    }

    pub(super) const fn bytes(&self) -> usize {
        match self {
            Self::Run(run) => run.bytes(),
            Self::One(event) => event.payload.len(),
            Self::Gap(_) => 0,
        }
    }

    /// The events of a range, which lies within it.
    pub(super) fn part(&self, from: Sequence, to: Sequence) -> Self {
        match self {
            Self::Run(run) => Self::Run(run.part(from, to)),
            Self::One(event) => Self::One(event.clone()),
            Self::Gap(gap) => {
                let origin = Arc::clone(&gap.origin);
                Self::Gap(Gap::range(origin, from, Some(to), gap.cause))
            }
        }
    }

    /// Where its first event stands.
    pub(super) const fn place(&self) -> (&Arc<Origin>, Sequence) {
        match self {
            Self::Run(run) => (run.origin(), run.first()),
            Self::One(event) => (&event.origin, event.sequence),
            Self::Gap(gap) => (&gap.origin, gap.from),
        }
    }

    /// A gap in its place, if its time to live is over.
    pub(super) fn expired(&self) -> Option<Gap> {
        match self {
            Self::Run(run) => run.is_expired().then(|| run.as_expired()),
            Self::One(event) => is_past(event.expires).then(|| one_gap(event, GapCause::Expired)),
            Self::Gap(_) => None,
        }
    }
}

/// The place of one event that is missing.
pub(super) fn one_gap(event: &Event, cause: GapCause) -> Gap {
    let origin = Arc::clone(&event.origin);
    let to = Some(event.sequence.next());
    Gap::range(origin, event.sequence, to, cause)
}

/// Events and gaps in their order.
#[derive(Debug)]
pub(super) struct Waiting {
    items: VecDeque<Item>,
    /// Ranges that the policy dropped and nobody was told of yet, one for each origin. Their place is before the first
    /// events of `items` where the oldest are dropped, and behind all items where the newest are refused. Where events have no
    /// order there may be several of an origin, each by its first sequence, and they have no place.
    gaps: BTreeMap<(Key, Sequence), Gap>,
    is_ordered: bool,
    pub(super) events: u64,
    pub(super) bytes: usize,
}

impl Waiting {
    /// Nothing waits; whether what comes has an order.
    pub(super) const fn new(is_ordered: bool) -> Self {
        Self {
            items: VecDeque::new(),
            gaps: BTreeMap::new(),
            is_ordered,
            events: 0,
            bytes: 0,
        }
    }

    pub(super) fn push(&mut self, item: Item) {
        self.events = self.events.saturating_add(item.events());
        self.bytes = self.bytes.saturating_add(item.bytes());
        self.items.push_back(item);
    }

    /// Whether a gap stands before everything else.
    pub(super) fn is_gap_first(&self) -> bool {
        matches!(self.items.front(), Some(Item::Gap(_)))
    }

    /// The next in order: gaps of the policy come first where they stand.
    pub(super) fn pop(&mut self, newest_were_refused: bool) -> Option<Item> {
        let is_told_first = self
            .items
            .front()
            .is_none_or(|front| front.is_events() && !newest_were_refused);
        if is_told_first && let Some((_, gap)) = self.gaps.pop_first() {
            return Some(Item::Gap(gap));
        }
        let item = self.items.pop_front()?;
        self.events = self.events.saturating_sub(item.events());
        self.bytes = self.bytes.saturating_sub(item.bytes());
        Some(item)
    }

    /// Where each item stands, and each range that was dropped.
    pub(super) fn each_place(&self, note: &mut impl FnMut(&Arc<Origin>, Sequence)) {
        for item in &self.items {
            let (origin, at) = item.place();
            note(origin, at);
        }
        for gap in self.gaps.values() {
            note(&gap.origin, gap.from);
        }
    }

    /// Tells that a range is missing before the first item of an origin.
    pub(super) fn tell_before(&mut self, key: &Key, from: Sequence, to: Sequence) {
        let mut places = self.items.iter().map(Item::place);
        let at = places.position(|(origin, _)| key_of(origin) == *key);
        let origin = at.and_then(|at| self.items.get(at)).map(Item::place);
        if let (Some(at), Some((origin, _))) = (at, origin) {
            let gap = Gap::range(Arc::clone(origin), from, Some(to), GapCause::Dropped);
            self.items.insert(at, Item::Gap(gap));
        }
    }

    /// Adds a gap that was made before this queue. `false` if there is no room for it.
    pub(super) fn push_gap(&mut self, gap: Gap, newest_were_refused: bool, max: usize) -> bool {
        let same = |last: &Gap| {
            Arc::ptr_eq(&last.origin, &gap.origin)
                && last.to == Some(gap.from)
                && last.cause == gap.cause
        };
        let is_last = newest_were_refused || !self.items.iter().any(Item::is_events);
        if is_last && let Some(before) = self.take_dropped(&gap.origin) {
            self.items.push_back(Item::Gap(before));
        }
        if self.items.len() >= max.saturating_mul(2).max(64) {
            return false;
        }
        match self.items.back_mut() {
            Some(Item::Gap(last)) if same(last) => {
                last.to = gap.to;
                last.lost = last.lost.saturating_add(gap.lost);
            }
            _ => self.items.push_back(Item::Gap(gap)),
        }
        true
    }

    /// Ranges that were refused so far are told where they stand: before what comes now.
    pub(super) fn place_refused(&mut self) {
        let told = std::mem::take(&mut self.gaps);
        self.items.extend(told.into_values().map(Item::Gap));
    }

    /// Remembers that a range was dropped. `false` if there is no room for it.
    pub(super) fn remember(&mut self, origin: &Arc<Origin>, from: Sequence, to: Sequence) -> bool {
        let key = key_of(origin);
        let full = self.gaps.len() >= MAX_PENDING_GAPS;
        let of_origin = (key.clone(), START)..=(key.clone(), from);
        let before = self.gaps.range_mut(of_origin).next_back();
        // Where events have an order, what lies between two that were dropped was not for this subscription.
        let joins = |gap: &Gap| self.is_ordered || gap.to == Some(from);
        match before.map(|(_, gap)| gap).filter(|gap| joins(gap)) {
            Some(gap) => {
                gap.to = gap.to.max(Some(to));
                gap.lost = gap.lost.saturating_add(to.since(from));
            }
            None if full => return false,
            None => {
                let at = if self.is_ordered { START } else { from };
                let origin = Arc::clone(origin);
                let gap = Gap::range(origin, from, Some(to), GapCause::Overflow);
                self.gaps.insert((key, at), gap);
            }
        }
        true
    }

    /// What was dropped of an origin and has its place before something that comes, so that it is told there.
    fn take_dropped(&mut self, origin: &Origin) -> Option<Gap> {
        if !self.is_ordered {
            return None;
        }
        self.gaps.remove(&(key_of(origin), START))
    }

    /// Drops the oldest event that waits. `None` if none does; otherwise whether its gap could be remembered.
    pub(super) fn drop_oldest(&mut self) -> Option<bool> {
        let at = self.items.iter().position(Item::is_events)?;
        let item = self.items.get_mut(at)?;
        let (events, bytes) = (item.events(), item.bytes());
        let (origin, sequence) = item.place();
        let origin = Arc::clone(origin);
        let is_empty = match item {
            Item::Run(run) => {
                run.skip(1);
                run.left() == 0
            }
            Item::One(_) | Item::Gap(_) => true,
        };
        let (events_left, bytes_left) = if is_empty {
            (0, 0)
        } else {
            (item.events(), item.bytes())
        };
        let dropped = events.saturating_sub(events_left);
        self.events = self.events.saturating_sub(dropped);
        let freed = bytes.saturating_sub(bytes_left);
        self.bytes = self.bytes.saturating_sub(freed);
        let told = self.remember(&origin, sequence, sequence.next());
        if is_empty {
            self.items.remove(at);
            self.settle_gaps(at);
        }
        Some(told)
    }

    /// Gaps behind events come to the front with their end: what was dropped before each goes before it.
    fn settle_gaps(&mut self, from: usize) {
        let mut at = from;
        while let Some(Item::Gap(gap)) = self.items.get(at) {
            let origin = Arc::clone(&gap.origin);
            if let Some(before) = self.take_dropped(&origin) {
                self.items.insert(at, Item::Gap(before));
                at = at.saturating_add(1);
            }
            at = at.saturating_add(1);
        }
    }
}
