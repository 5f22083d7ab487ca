//! What a node keeps for later subscriptions: the values that are retained on its topics, and events of the past.

mod announce;
mod ask;
mod gathered;
mod keeping;
mod question;
mod rings;

pub(crate) use announce::announce;
pub(crate) use ask::{EARLIER, HISTORY, answer, begin};
pub use keeping::Keeping;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::{self, Priority};
use macula_wire::{EarlierEvent, EarlierEvents, IndexedTopic, Pattern, Topic, TopicIndex, limit};
use tokio::sync::Notify;
use tokio::time::Instant;

use self::rings::Rings;
use crate::event::{Event, Origin};
use crate::queue::History;

/// The most topics on which a node retains values.
pub(crate) const MAX_RETAINED: usize = 16_384;
/// The largest value that is retained, with what goes with it, in bytes.
pub(crate) const MAX_RETAINED_LEN: usize = limit::MAX_VALUE_LEN;
/// How many bytes of events one node tells at once.
const MAX_TOLD_BYTES: usize = 768 << 10;

/// What a subscription wants to begin with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) last: bool,
    pub(crate) history: Option<History>,
}

/// A value of this node on its way to the nodes that keep it.
#[derive(Debug)]
struct Value {
    event: EarlierEvent,
    /// `None` if it was taken back.
    encoded: Option<Bytes>,
}

/// What is to be told to the realm's routing.
#[derive(Debug, Default)]
struct News {
    /// Topics whose value changed.
    values: BTreeSet<Topic>,
    /// First segments of which other topics are kept than before.
    firsts: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct State {
    values: BTreeMap<Topic, Value>,
    rings: Rings,
    news: News,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Keep {
    state: Mutex<State>,
    changed: Notify,
    /// What this node keeps for others, and how many times it was told to.
    kept: Mutex<BTreeMap<Pattern, u32>>,
}

impl Keep {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the events of a pattern for others from here on.
    pub(crate) fn begin_keeping(&self, pattern: &Pattern) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let times = kept.entry(pattern.clone()).or_insert(0);
        *times = times.saturating_add(1);
    }

    /// Does so no more, but as often as it was told to otherwise.
    pub(crate) fn end_keeping(&self, pattern: &Pattern) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = kept.get_mut(pattern) {
            *times = times.saturating_sub(1);
            if *times == 0 {
                kept.remove(pattern);
            }
        }
    }

    /// Whether it keeps the events of a topic for others.
    pub(crate) fn keeps(&self, topic: &Topic) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.keys().any(|pattern| pattern.matches(topic))
    }

    /// Whether there is room for a value on `topic`.
    pub(crate) fn may_retain(&self, topic: &Topic) -> bool {
        let state = self.lock();
        state.values.len() < MAX_RETAINED || state.values.contains_key(topic)
    }

    /// Retains an event of this node in place of the one before; one with an empty payload takes that back. `false` if it
    /// is too large, or there are too many.
    pub(crate) fn retain(&self, event: &Event, unix_ms: u64) -> bool {
        let earlier = earlier(event, true, unix_ms);
        let mut encoded = Vec::new();
        let is_written = earlier.encode(&mut encoded).is_ok();
        if !is_written || encoded.len() > MAX_RETAINED_LEN || !self.may_retain(event.topic()) {
            return false;
        }
        let encoded = (!event.payload.is_empty()).then(|| Bytes::from(encoded));
        let topic = event.topic().clone();
        let mut state = self.lock();
        let value = Value {
            event: earlier,
            encoded,
        };
        let was_there = is_there(state.values.get(&topic));
        let is_there = value.encoded.is_some();
        state.values.insert(topic.clone(), value);
        if was_there != is_there {
            state.news.firsts.insert(first_of(&topic));
        }
        state.news.values.insert(topic);
        drop(state);
        self.changed.notify_one();
        true
    }

    /// Keeps an event, and of its publisher and topic at most as much as `limit` says.
    pub(crate) fn hold(&self, event: &Event, limit: History, unix_ms: u64) {
        let kept = earlier(event, false, unix_ms);
        let mut state = self.lock();
        let is_new = state.rings.push(kept, limit, unix_ms);
        if is_new {
            state.news.firsts.insert(first_of(event.topic()));
            drop(state);
            self.changed.notify_one();
        }
    }

    /// Forgets what is too old.
    fn tend(&self, unix_ms: u64) {
        let mut state = self.lock();
        for topic in state.rings.tend(unix_ms) {
            state.news.firsts.insert(first_of(&topic));
        }
        let is_over = |value: &Value| {
            let until = value.event.until_ms;
            value.encoded.is_some() && until != 0 && until <= unix_ms
        };
        let over: Vec<Topic> = state
            .values
            .iter()
            .filter(|(_, value)| is_over(value))
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in over {
            if let Some(value) = state.values.get_mut(&topic) {
                value.encoded = None;
            }
            state.news.firsts.insert(first_of(&topic));
            state.news.values.insert(topic);
        }
    }

    /// What this node itself keeps of the topics of `pattern`.
    pub(crate) fn answer(&self, pattern: &Pattern, wanted: Wanted, unix_ms: u64) -> EarlierEvents {
        let state = self.lock();
        let mut answer = EarlierEvents {
            events: Vec::new(),
            ends: Vec::new(),
        };
        if wanted.last {
            let matching = state
                .values
                .iter()
                .filter(|(topic, value)| value.encoded.is_some() && pattern.matches(topic));
            let values = matching.map(|(_, value)| value.event.clone());
            answer.events.extend(values.take(limit::MAX_EARLIER));
        }
        if let Some(history) = wanted.history {
            let budget = MAX_TOLD_BYTES;
            state
                .rings
                .select(pattern, history, unix_ms, budget, &mut answer);
        }
        answer
    }

    /// The topics with this first segment of which anything is kept here.
    fn index(&self, first: &str) -> TopicIndex {
        let state = self.lock();
        let mut found: BTreeMap<&Topic, (bool, bool)> = BTreeMap::new();
        // Topics with one first segment stand close together, among others that begin with the same letters.
        let Ok(from) = Topic::new(first) else {
            return TopicIndex { topics: Vec::new() };
        };
        let is_near = |topic: &Topic| topic.as_str().starts_with(first);
        let is_here = |topic: &Topic| topic.segments().next() == Some(first);
        let values = state.values.range(&from..);
        for (topic, value) in values.take_while(|(topic, _)| is_near(topic)) {
            if is_here(topic) && value.encoded.is_some() {
                found.entry(topic).or_default().0 = true;
            }
        }
        let rings = state
            .rings
            .topics_from(&from)
            .take_while(|topic| is_near(topic));
        for topic in rings.filter(|topic| is_here(topic)) {
            found.entry(topic).or_default().1 = true;
        }
        let topics =
            found
                .into_iter()
                .take(limit::MAX_INDEXED)
                .map(|(topic, (retained, history))| IndexedTopic {
                    topic: topic.clone(),
                    retained,
                    history,
                });
        TopicIndex {
            topics: topics.collect(),
        }
    }
}

fn is_there(value: Option<&Value>) -> bool {
    value.is_some_and(|value| value.encoded.is_some())
}

fn first_of(topic: &Topic) -> String {
    topic.segments().next().unwrap_or_default().to_owned()
}

/// An event as it is told later.
fn earlier(event: &Event, retained: bool, unix_ms: u64) -> EarlierEvent {
    let left = event.ttl_left();
    let until_ms = left.map_or(0, |left| {
        let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
        unix_ms.saturating_add(left).max(1)
    });
    EarlierEvent {
        until_ms,
        retained,
        event: message::Event {
            hops: 0,
            publisher: event.origin.publisher,
            epoch: event.origin.epoch,
            topic: event.origin.topic.clone(),
            sequence: event.sequence,
            ttl_ms: None,
            content: event.content.clone(),
            envelope: event
                .envelope
                .as_deref()
                .map(|envelope| Box::new(envelope.clone())),
            signature: None,
            // Its own bytes, so that it does not hold those of a whole batch.
            payload: Bytes::copy_from_slice(&event.payload),
        },
    }
}

/// The event that was told; `None` if its time to live is over.
pub(crate) fn later(earlier: EarlierEvent, unix_ms: u64) -> Option<Event> {
    let expires = match earlier.until_ms {
        0 => None,
        until => {
            let left = Duration::from_millis(until.checked_sub(unix_ms).filter(|left| *left > 0)?);
            Some(Instant::now().checked_add(left)?)
        }
    };
    let event = earlier.event;
    Some(Event {
        origin: Arc::new(Origin {
            publisher: event.publisher,
            epoch: event.epoch,
            topic: event.topic,
            priority: Priority::Normal,
        }),
        sequence: event.sequence,
        content: event.content,
        payload: event.payload,
        token: None,
        envelope: event.envelope.map(|envelope| Arc::new(*envelope)),
        expires,
    })
}

#[cfg(test)]
mod tests {
    use macula_wire::{ContentType, Envelope, Epoch, NodeId, Sequence};

    use super::*;

    fn event(topic: &str, sequence: u64, payload: &str) -> Event {
        Event {
            origin: Arc::new(Origin {
                publisher: NodeId::from_bytes([1; 32]),
                epoch: Epoch::new(1),
                topic: Topic::new(topic).unwrap(),
                priority: Priority::Normal,
            }),
            sequence: Sequence::new(sequence),
            content: ContentType::Text,
            payload: Bytes::copy_from_slice(payload.as_bytes()),
            token: None,
            envelope: Some(Arc::new(Envelope {
                retain: true,
                ..Envelope::EMPTY
            })),
            expires: None,
        }
    }

    fn last(keep: &Keep, pattern: &str) -> Vec<String> {
        let wanted = Wanted {
            last: true,
            history: None,
        };
        let answer = keep.answer(&Pattern::new(pattern).unwrap(), wanted, 1);
        let text = |event: EarlierEvent| String::from_utf8(event.event.payload.to_vec()).unwrap();
        answer.events.into_iter().map(text).collect()
    }

    #[test]
    fn the_last_value_of_each_topic_is_told_until_it_is_taken_back() {
        let keep = Keep::default();
        for (topic, payload) in [("a.x", "1"), ("a.y", "2"), ("a.x", "3"), ("b", "4")] {
            assert!(keep.retain(&event(topic, 0, payload), 1));
        }
        assert_eq!(last(&keep, "a.*"), ["3", "2"]);
        assert!(keep.retain(&event("a.x", 3, ""), 1));
        assert_eq!(last(&keep, "a.*"), ["2"]);
        assert!(keep.retain(&event("a-b.y", 0, "5"), 1));
        let index = keep.index("a");
        assert_eq!(index.topics.len(), 1);
        assert!(index.topics[0].retained && !index.topics[0].history);
        let news = std::mem::take(&mut keep.lock().news);
        assert_eq!(news.firsts, ["a", "a-b", "b"].map(str::to_owned).into());
        assert_eq!(news.values.len(), 4);
    }

    #[test]
    fn a_value_has_its_largest_size_and_its_end() {
        let keep = Keep::default();
        let fits = "x".repeat(MAX_RETAINED_LEN - 200);
        assert!(keep.retain(&event("a", 0, &fits), 1));
        assert!(!keep.retain(&event("a", 1, &"x".repeat(MAX_RETAINED_LEN)), 1));
        let mut short = event("b", 0, "short");
        short.expires = Instant::now().checked_add(Duration::from_secs(10));
        assert!(keep.retain(&short, 1_000));
        assert_eq!(last(&keep, "b"), ["short"]);
        keep.tend(10_000);
        assert_eq!(last(&keep, "b"), ["short"]);
        keep.tend(11_001);
        assert!(last(&keep, "b").is_empty());
    }

    #[test]
    fn what_is_told_comes_back_as_it_was() {
        let event = event("a.b", 7, "payload");
        let told = earlier(&event, true, 5);
        let mut bytes = Vec::new();
        told.encode(&mut bytes).unwrap();
        let read = EarlierEvent::decode(bytes.into()).unwrap();
        assert_eq!(read, told);
        let back = later(read, 5).unwrap();
        assert_eq!(
            (back.sequence, back.topic()),
            (event.sequence, event.topic())
        );
        assert_eq!(back.payload, event.payload);
        assert!(back.is_retained());
        let over = EarlierEvent {
            until_ms: 5,
            ..told.clone()
        };
        assert!(later(over, 5).is_none());
        let soon = EarlierEvent {
            until_ms: 1_005,
            ..told
        };
        let left = later(soon, 5).unwrap().ttl_left().unwrap();
        assert!(left <= Duration::from_secs(1) && left > Duration::from_millis(500));
    }
}
