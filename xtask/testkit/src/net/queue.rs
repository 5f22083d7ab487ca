//! What is going to happen, in order.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use macula_wire::Instant;

use super::event::Event;

/// A tick is 2^15 ns, about 33 µs: a realm of 10,000 nodes causes a few events in each.
const TICK_BITS: u32 = 15;
/// Each level has 2^10 slots, so level 0 spans 34 ms, level 1 34 s, level 2 10 h; five levels span all of time.
const LEVEL_BITS: u32 = 10;
const LEVELS: usize = 5;
const SLOTS: usize = 1 << LEVEL_BITS;

/// Events by time; those of one time in the order in which they were made.
///
/// A hierarchical timing wheel: an event lies in the level of the highest digit in which its tick differs from the
/// present one, and moves down when that digit is reached, so that making and taking an event costs the same however
/// many there are. The events of one tick are sorted when it begins.
#[derive(Debug)]
pub(super) struct Queue {
    next: u64,
    /// The present tick; what lies in the wheel comes later.
    tick: u64,
    /// The events of the present tick, latest first.
    due: Vec<Entry>,
    /// Events that were made for the present tick, or one before, after it began.
    late: BinaryHeap<Entry>,
    levels: Vec<Level>,
}

/// An event and its place in the order. The greatest is the one that happens first.
#[derive(Debug)]
struct Entry {
    at: Instant,
    number: u64,
    event: Event,
}

#[derive(Debug)]
struct Level {
    slots: Vec<Vec<Entry>>,
    /// A bit for each slot that has an event.
    taken: [u64; SLOTS / 64],
}

impl Queue {
    pub(super) fn new() -> Self {
        Self {
            next: 0,
            tick: 0,
            due: Vec::new(),
            late: BinaryHeap::new(),
            levels: (0..LEVELS).map(|_| Level::new()).collect(),
        }
    }

    pub(super) fn push(&mut self, at: Instant, event: Event) {
        let number = self.next;
        self.next = self.next.saturating_add(1);
        let entry = Entry { at, number, event };
        if tick_of(at) <= self.tick {
            self.late.push(entry);
        } else {
            self.put(entry);
        }
    }

    /// The next event, if it happens by `at`.
    pub(super) fn pop_by(&mut self, at: Instant) -> Option<(Instant, Event)> {
        while self.due.is_empty() && self.late.is_empty() {
            if !self.advance(at) {
                return None;
            }
        }
        let (due, late) = (self.due.last(), self.late.peek());
        let first = due.max(late).filter(|entry| entry.at <= at)?;
        let entry = if late == Some(first) {
            self.late.pop()
        } else {
            self.due.pop()
        };
        entry.map(|entry| (entry.at, entry.event))
    }

    /// Puts an event of a later tick into the wheel.
    fn put(&mut self, entry: Entry) {
        let tick = tick_of(entry.at);
        let level = (tick ^ self.tick).checked_ilog2().unwrap_or(0) / LEVEL_BITS;
        if let Some(slots) = self.level(level) {
            slots.put(slot_of(tick, level), entry);
        }
    }

    /// Goes on to the next tick that has an event, or one step nearer to it; not if that tick begins after `limit`.
    fn advance(&mut self, limit: Instant) -> bool {
        let mut levels = (0..).zip(&self.levels);
        let next = levels.find_map(|(level, slots)| {
            let slot = slots.next_after(slot_of(self.tick, level))?;
            Some((level, slot))
        });
        let Some((level, slot)) = next else {
            return false;
        };
        let below = level.saturating_mul(LEVEL_BITS);
        let above = below.saturating_add(LEVEL_BITS);
        let begin = (self.tick >> above << above) | (number(slot) << below);
        if begin << TICK_BITS > limit.as_nanos() {
            return false;
        }
        self.tick = begin;
        let mut entries = self
            .level(level)
            .map_or_else(Vec::new, |level| level.take(slot));
        if level == 0 {
            std::mem::swap(&mut self.due, &mut entries);
        } else {
            for entry in entries.drain(..) {
                if tick_of(entry.at) == begin {
                    self.due.push(entry);
                } else {
                    self.put(entry);
                }
            }
        }
        // The slot keeps its memory for the next round.
        if let Some(level) = self.level(level) {
            level.give_back(slot, entries);
        }
        self.due.sort_unstable();
        true
    }

    fn level(&mut self, level: u32) -> Option<&mut Level> {
        self.levels.get_mut(index(level.into()))
    }
}

const fn tick_of(at: Instant) -> u64 {
    at.as_nanos() >> TICK_BITS
}

/// The digit of `tick` that counts at a level.
fn slot_of(tick: u64, level: u32) -> usize {
    let digit = (tick >> level.saturating_mul(LEVEL_BITS)) & number(SLOTS.saturating_sub(1));
    index(digit)
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn number(index: usize) -> u64 {
    u64::try_from(index).unwrap_or(u64::MAX)
}

impl Level {
    fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            taken: [0; SLOTS / 64],
        }
    }

    fn put(&mut self, slot: usize, entry: Entry) {
        if let (Some(entries), Some(word)) =
            (self.slots.get_mut(slot), self.taken.get_mut(slot / 64))
        {
            entries.push(entry);
            *word |= 1 << (slot % 64);
        }
    }

    fn take(&mut self, slot: usize) -> Vec<Entry> {
        if let Some(word) = self.taken.get_mut(slot / 64) {
            *word &= !(1 << (slot % 64));
        }
        self.slots
            .get_mut(slot)
            .map(std::mem::take)
            .unwrap_or_default()
    }

    fn give_back(&mut self, slot: usize, empty: Vec<Entry>) {
        if let Some(entries) = self
            .slots
            .get_mut(slot)
            .filter(|entries| entries.is_empty())
        {
            *entries = empty;
        }
    }

    /// The first slot behind `slot` that has an event.
    fn next_after(&self, slot: usize) -> Option<usize> {
        let first = slot.saturating_add(1);
        let mut seen = u64::MAX
            .checked_shl(u32::try_from(first % 64).unwrap_or(0))
            .unwrap_or(0);
        for (at, word) in self.taken.iter().enumerate().skip(first / 64) {
            let bits = word & seen;
            if bits != 0 {
                let bit = index(bits.trailing_zeros().into());
                return Some(at.saturating_mul(64).saturating_add(bit));
            }
            seen = u64::MAX;
        }
        None
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Eq for Entry {}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use macula_wire::Random;

    use super::super::host::NodeIndex;
    use super::*;

    fn wake(number: usize) -> Event {
        Event::Wake {
            node: NodeIndex::new(number),
        }
    }

    fn number_of(event: &Event) -> usize {
        event.place().unwrap().get()
    }

    /// A number of which each length is as likely as any other.
    fn any_size(random: &mut Random) -> u64 {
        let bits = u32::try_from(random.below(64)).unwrap();
        random.next_u64().wrapping_shr(bits)
    }

    /// Makes and takes events at random and holds the queue to a sorted map.
    fn compare(seed: u64) {
        let mut random = Random::new(seed);
        let mut queue = Queue::new();
        let mut model = BTreeMap::new();
        let (mut now, mut made) = (0_u64, 0_usize);
        for round in 0..3_000 {
            for _ in 0..random.below(4) {
                // From the same nanosecond to years ahead, each distance as likely.
                let distance = any_size(&mut random);
                let at = now.saturating_add(if random.below(4) == 0 { 0 } else { distance });
                made = made.saturating_add(1);
                model.insert((at, made), made);
                queue.push(Instant::from_nanos(at), wake(made));
            }
            let until = now.saturating_add(any_size(&mut random) / 256);
            for _ in 0..random.below(6) {
                let expected = model
                    .first_entry()
                    .filter(|entry| entry.key().0 <= until)
                    .map(|entry| (entry.key().0, entry.remove()));
                let found = queue
                    .pop_by(Instant::from_nanos(until))
                    .map(|(at, event)| (at.as_nanos(), number_of(&event)));
                assert_eq!(found, expected, "seed {seed}, round {round}");
                now = found.map_or(now, |(at, _)| at);
            }
        }
        while let Some(entry) = model.pop_first() {
            let found = queue
                .pop_by(Instant::FAR_FUTURE)
                .map(|(at, event)| (at.as_nanos(), number_of(&event)));
            assert_eq!(found, Some((entry.0.0, entry.1)));
        }
        assert!(queue.pop_by(Instant::FAR_FUTURE).is_none());
    }

    #[test]
    fn events_come_out_by_time_and_then_in_the_order_of_their_making() {
        for seed in 0..40 {
            compare(seed);
        }
    }

    #[test]
    fn an_event_at_the_end_of_time_is_not_lost() {
        let mut queue = Queue::new();
        queue.push(Instant::FAR_FUTURE, wake(1));
        queue.push(Instant::ZERO, wake(2));
        assert_eq!(
            queue
                .pop_by(Instant::ZERO)
                .map(|(_, event)| number_of(&event)),
            Some(2)
        );
        assert!(queue.pop_by(Instant::from_millis(1_000_000)).is_none());
        let (at, event) = queue.pop_by(Instant::FAR_FUTURE).unwrap();
        assert_eq!((at, number_of(&event)), (Instant::FAR_FUTURE, 1));
    }
}
