//! Events of the past, of each publisher and topic the newest.

use std::collections::{BTreeMap, VecDeque};

use macula_wire::{
    EarlierEnd, EarlierEvent, EarlierEvents, Epoch, NodeId, Pattern, Sequence, Topic, limit,
};

use crate::queue::History;

/// How many bytes of events are kept in all.
const MAX_BYTES: usize = 64 << 20;
/// Of how many publishers' topics events are kept.
const MAX_RINGS: usize = 65_536;
/// What an event takes beside its payload and its envelope, about.
const EVENT_LEN: usize = 256;
/// How many events are kept of one publisher and topic where no number limits them.
const MAX_RING: usize = 4_096;

type Key = (Topic, NodeId);

/// The events of one publisher on one topic.
#[derive(Debug)]
struct Ring {
    limit: History,
    /// When each came, in milliseconds since 1970, the oldest first.
    events: VecDeque<(u64, EarlierEvent)>,
    /// What follows the last event that came.
    next: (Epoch, Sequence),
}

impl Ring {
    /// Whether its oldest event is beyond its limit.
    fn is_over(&self, unix_ms: u64) -> bool {
        match self.limit {
            History::Last(count) => {
                let count = usize::try_from(count).unwrap_or(usize::MAX).min(MAX_RING);
                self.events.len() > count
            }
            History::Since(age) => {
                let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
                let oldest = self.events.front().map(|(at, _)| *at);
                self.events.len() > MAX_RING
                    || oldest.is_some_and(|at| at.saturating_add(age) < unix_ms)
            }
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Rings {
    rings: BTreeMap<Key, Ring>,
    /// In which order events came, so that the oldest of all make room. An entry whose event is gone is passed over.
    order: VecDeque<(Key, Epoch, Sequence)>,
    bytes: usize,
    events: usize,
}

fn size(event: &EarlierEvent) -> usize {
    let headers = event.event.envelope.as_ref().map_or(0, |envelope| {
        let headers = envelope.headers.iter();
        headers.fold(0, |sum: usize, header| {
            sum.saturating_add(header.key.len())
                .saturating_add(header.value.len())
        })
    });
    EVENT_LEN
        .saturating_add(event.event.payload.len())
        .saturating_add(headers)
}

impl Rings {
    /// Keeps an event. Whether nothing of its topic was kept before.
    pub(super) fn push(&mut self, event: EarlierEvent, limit: History, unix_ms: u64) -> bool {
        let (epoch, sequence) = (event.event.epoch, event.event.sequence);
        let key = (event.event.topic.clone(), event.event.publisher);
        let is_full = self.rings.len() >= MAX_RINGS;
        let is_new = !self.has(&key.0);
        if is_full && !self.rings.contains_key(&key) {
            return false;
        }
        let ring = self.rings.entry(key.clone()).or_insert_with(|| Ring {
            limit,
            events: VecDeque::new(),
            next: (epoch, sequence),
        });
        if (epoch, sequence) < ring.next {
            // It came by another subscription before.
            return false;
        }
        ring.limit = limit;
        ring.next = (epoch, sequence.next());
        self.bytes = self.bytes.saturating_add(size(&event));
        self.events = self.events.saturating_add(1);
        ring.events.push_back((unix_ms, event));
        self.order.push_back((key.clone(), epoch, sequence));
        while self
            .rings
            .get(&key)
            .is_some_and(|ring| ring.is_over(unix_ms))
        {
            self.drop_front(&key);
        }
        while self.bytes > MAX_BYTES && self.drop_oldest() {}
        if self.order.len() > self.events.saturating_mul(2).saturating_add(1_024) {
            self.order_anew();
        }
        is_new
    }

    fn has(&self, topic: &Topic) -> bool {
        let from = (topic.clone(), NodeId::from_bytes([0; 32]));
        self.rings
            .range(from..)
            .next()
            .is_some_and(|((known, _), _)| known == topic)
    }

    fn drop_front(&mut self, key: &Key) {
        let Some(ring) = self.rings.get_mut(key) else {
            return;
        };
        if let Some((_, event)) = ring.events.pop_front() {
            self.bytes = self.bytes.saturating_sub(size(&event));
            self.events = self.events.saturating_sub(1);
        }
    }

    /// `false` if there is none.
    fn drop_oldest(&mut self) -> bool {
        while let Some((key, epoch, sequence)) = self.order.pop_front() {
            let front = self.rings.get(&key).and_then(|ring| ring.events.front());
            let is_there = front.is_some_and(|(_, kept)| {
                (kept.event.epoch, kept.event.sequence) == (epoch, sequence)
            });
            if is_there {
                self.drop_front(&key);
                return true;
            }
        }
        false
    }

    /// Leaves out of the order what is gone.
    fn order_anew(&mut self) {
        let rings = &self.rings;
        self.order.retain(|(key, epoch, sequence)| {
            let front = rings.get(key).and_then(|ring| ring.events.front());
            front.is_some_and(|(_, kept)| {
                (kept.event.epoch, kept.event.sequence) <= (*epoch, *sequence)
            })
        });
    }

    /// Whether the oldest event of a ring is too old or not worth delivering any more.
    fn is_past(&self, key: &Key, unix_ms: u64) -> bool {
        self.rings.get(key).is_some_and(|ring| {
            let front = ring.events.front();
            front.is_some_and(|(_, kept)| {
                let is_over = kept.until_ms != 0 && kept.until_ms <= unix_ms;
                is_over || ring.is_over(unix_ms)
            })
        })
    }

    /// Forgets what is too old or not worth delivering any more, and tells of which topics nothing is left.
    pub(super) fn tend(&mut self, unix_ms: u64) -> Vec<Topic> {
        let keys: Vec<Key> = self.rings.keys().cloned().collect();
        let mut gone = Vec::new();
        for key in keys {
            while self.is_past(&key, unix_ms) {
                self.drop_front(&key);
            }
            if self
                .rings
                .get(&key)
                .is_some_and(|ring| ring.events.is_empty())
            {
                self.rings.remove(&key);
                if !self.has(&key.0) {
                    gone.push(key.0);
                }
            }
        }
        gone
    }

    /// The topics from this one on of which anything is kept; one several times if it has several publishers.
    pub(super) fn topics_from(&self, from: &Topic) -> impl Iterator<Item = &Topic> {
        let from = (from.clone(), NodeId::from_bytes([0; 32]));
        self.rings.range(from..).map(|((topic, _), _)| topic)
    }

    /// Adds what is kept of the topics of `pattern` to `answer`, the newest up to `budget` bytes of each.
    pub(super) fn select(
        &self,
        pattern: &Pattern,
        history: History,
        unix_ms: u64,
        budget: usize,
        answer: &mut EarlierEvents,
    ) {
        let mut left = budget;
        for ((topic, publisher), ring) in &self.rings {
            let room = limit::MAX_EARLIER.saturating_sub(answer.events.len());
            if room == 0 || answer.ends.len() >= limit::MAX_EARLIER {
                return;
            }
            if !pattern.matches(topic) {
                continue;
            }
            let count = match history {
                History::Last(count) => usize::try_from(count).unwrap_or(usize::MAX),
                History::Since(_) => usize::MAX,
            };
            let since = match history {
                History::Last(_) => 0,
                History::Since(age) => {
                    unix_ms.saturating_sub(u64::try_from(age.as_millis()).unwrap_or(u64::MAX))
                }
            };
            let newest = ring.events.iter().rev().take(count.min(room));
            let newest = newest.take_while(|(at, kept)| {
                let fits = left >= size(kept);
                left = left.saturating_sub(size(kept));
                *at >= since && fits
            });
            let mut chosen: Vec<_> = newest.map(|(_, kept)| kept.clone()).collect();
            chosen.reverse();
            answer.events.append(&mut chosen);
            answer.ends.push(EarlierEnd {
                publisher: *publisher,
                epoch: ring.next.0,
                topic: topic.clone(),
                next: ring.next.1,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use macula_wire::{ContentType, Random, message};

    use super::*;

    fn event(publisher: u8, topic: &str, sequence: u64, len: usize) -> EarlierEvent {
        EarlierEvent {
            until_ms: 0,
            retained: false,
            event: message::Event {
                hops: 0,
                publisher: NodeId::from_bytes([publisher; 32]),
                epoch: Epoch::new(1),
                topic: Topic::new(topic).unwrap(),
                sequence: Sequence::new(sequence),
                ttl_ms: None,
                content: ContentType::Bytes,
                envelope: None,
                signature: None,
                payload: Bytes::from(vec![0; len]),
            },
        }
    }

    fn told(rings: &Rings, pattern: &str, history: History, unix_ms: u64) -> Vec<(u8, u64)> {
        let mut answer = EarlierEvents {
            events: Vec::new(),
            ends: Vec::new(),
        };
        let pattern = Pattern::new(pattern).unwrap();
        rings.select(&pattern, history, unix_ms, 1 << 20, &mut answer);
        let place = |kept: &EarlierEvent| {
            let publisher = kept.event.publisher.as_bytes()[0];
            (publisher, kept.event.sequence.get())
        };
        answer.events.iter().map(place).collect()
    }

    #[test]
    fn the_newest_of_each_publisher_and_topic_are_kept_and_told() {
        let mut rings = Rings::default();
        let limit = History::Last(3);
        for sequence in 0..5 {
            let is_new = rings.push(event(1, "a.x", sequence, 1), limit, sequence);
            assert_eq!(is_new, sequence == 0);
            assert!(!rings.push(event(2, "a.x", sequence, 1), limit, sequence));
        }
        assert!(rings.push(event(1, "b", 0, 1), limit, 9));
        assert!(!rings.push(event(1, "a.x", 4, 1), limit, 9), "once");
        let all = [(1, 2), (1, 3), (1, 4), (2, 2), (2, 3), (2, 4)];
        assert_eq!(told(&rings, "a.*", History::Last(9), 9), all);
        assert_eq!(told(&rings, "a.*", History::Last(1), 9), [(1, 4), (2, 4)]);
        let since = History::Since(Duration::from_millis(6));
        assert_eq!(
            told(&rings, "a.*", since, 9),
            [(1, 3), (1, 4), (2, 3), (2, 4)]
        );
    }

    #[test]
    fn what_is_too_old_is_forgotten_and_its_topic_is_told() {
        let mut rings = Rings::default();
        let limit = History::Since(Duration::from_millis(10));
        rings.push(event(1, "a", 0, 1), limit, 0);
        rings.push(event(1, "a", 1, 1), limit, 8);
        rings.push(event(2, "a", 0, 1), limit, 20);
        assert!(rings.tend(11).is_empty());
        assert_eq!(told(&rings, "a", History::Last(9), 11), [(1, 1), (2, 0)]);
        assert!(rings.tend(19).is_empty(), "the other publisher's are there");
        assert_eq!(rings.tend(31), [Topic::new("a").unwrap()]);
        assert_eq!((rings.bytes, rings.events), (0, 0));
    }

    /// Against a list of all that was kept.
    #[test]
    fn the_bound_holds_and_the_oldest_of_all_make_room() {
        let mut random = Random::new(7);
        let mut rings = Rings::default();
        let mut all: VecDeque<(usize, u64, usize)> = VecDeque::new();
        let mut next = [0; 3];
        for _ in 0..400 {
            let at = random.index(3);
            let len = 200_000 + random.index(200_000);
            rings.push(
                event(1, ["a", "b", "c"][at], next[at], len),
                History::Last(100),
                1,
            );
            all.push_back((at, next[at], len + EVENT_LEN));
            next[at] += 1;
            let of =
                |all: &VecDeque<(usize, u64, usize)>| all.iter().filter(|one| one.0 == at).count();
            while of(&all) > 100 {
                let first = all.iter().position(|one| one.0 == at).unwrap();
                all.remove(first);
            }
            while all.iter().map(|one| one.2).sum::<usize>() > MAX_BYTES {
                all.pop_front();
            }
            assert_eq!(rings.events, all.len());
            assert_eq!(rings.bytes, all.iter().map(|one| one.2).sum::<usize>());
        }
        for (at, topic) in ["a", "b", "c"].into_iter().enumerate() {
            let mine = all.iter().filter(|one| one.0 == at).map(|one| one.1);
            let key = (Topic::new(topic).unwrap(), NodeId::from_bytes([1; 32]));
            let ring = rings.rings.get(&key).unwrap().events.iter();
            let kept = ring.map(|(_, kept)| kept.event.sequence.get());
            assert_eq!(kept.collect::<Vec<_>>(), mine.collect::<Vec<_>>());
        }
        assert!(rings.order.len() <= 2 * rings.events + 1_024);
    }
}
