//! Dead letters: events that nobody can do anything with.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use macula_wire::{ContentType, Envelope, Header, Topic, limit};

use super::Parcel;
use crate::event::{DEAD_LETTER_HEADER, DeadLetter, encoded};
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::topic::{BatchKey, Enveloped, OwnTopic};

/// How many dead letters wait at most until it is known who wants those of their topics; those beyond are lost, and counted.
const MAX_WAITING: usize = 1_024;

/// Dead letters that wait until it is known who wants those of their topic.
#[derive(Debug, Default)]
pub(super) struct Letters(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    /// By their own topic, in their order; those of a topic that is here go behind them.
    by_topic: BTreeMap<Topic, Vec<Letter>>,
    count: usize,
}

impl Letters {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that was rejected, as it is published once more.
#[derive(Debug)]
struct Letter {
    content: ContentType,
    envelope: Envelope,
    payload: Bytes,
}

impl Letter {
    /// The event at a place of a batch. Who must not see it twice, for whom it was, and that it was a last value are of the
    /// event, not of its dead letter.
    fn of(parcel: &Parcel, offset: u32) -> Option<Self> {
        let batch = parcel.batch();
        let entry = batch.entries.iter().nth(usize::try_from(offset).ok()?)?;
        let (before, payload) = if batch.enveloped {
            Envelope::split(&entry).ok()?
        } else {
            (Envelope::EMPTY, entry)
        };
        let mut envelope = Envelope {
            headers: before.headers,
            key: before.key,
            ..Envelope::EMPTY
        };
        let origin = parcel.origin();
        let was = DeadLetter {
            publisher: origin.publisher,
            epoch: origin.epoch,
            sequence: batch.base.plus(u64::from(offset)),
        };
        let headers = &mut envelope.headers;
        let place = headers.partition_point(|known| *known.key < *DEAD_LETTER_HEADER);
        if headers.len() < limit::MAX_HEADERS {
            let key = DEAD_LETTER_HEADER.into();
            let value = was.to_string().into();
            headers.insert(place, Header { key, value });
        }
        Some(Self {
            content: batch.content.clone(),
            envelope,
            payload,
        })
    }

    /// Publishes it. It is lost, and counted, where there is no room.
    fn put(self, plane: &Arc<Plane>, on: &Arc<OwnTopic>) {
        on.keep_all();
        let key = BatchKey {
            content: self.content,
            ttl_ms: None,
            enveloped: true,
        };
        let taken = encoded(&self.envelope).ok().and_then(|encoded| {
            let payload = Enveloped {
                encoded: &encoded,
                envelope: &self.envelope,
                payload: self.payload,
            };
            on.try_take(plane, &key, &payload).ok()
        });
        if taken.is_none() {
            plane.letter_lost(&on.origin.topic);
        }
    }
}

impl Plane {
    /// Publishes an event that was rejected under the topic of dead letters, for whoever in the realm wants it. It is lost,
    /// and counted, where that has no room, or the name is too long.
    pub(super) fn bury(self: &Arc<Self>, parcel: &Parcel, offset: u32) {
        let topic = &parcel.origin().topic;
        if topic.is_reserved() {
            // Nobody could do anything with a dead letter either.
            return add(&self.counters.dead_letters_lost, 1);
        }
        add(&self.counters.dead_letters, 1);
        let name = Topic::new(&format!("{}{topic}", limit::DEAD_LETTER_PREFIX)).ok();
        let on = name.and_then(|name| self.own_topic(&name, parcel.origin().priority).ok());
        let (Some(on), Some(letter)) = (on, Letter::of(parcel, offset)) else {
            return self.letter_lost(topic);
        };
        let name = on.origin.topic.clone();
        let mut waiting = self.reliable.letters.lock();
        let is_first = !waiting.by_topic.contains_key(&name);
        if is_first && on.is_declared() {
            return letter.put(self, &on);
        }
        if waiting.count >= MAX_WAITING {
            drop(waiting);
            return self.letter_lost(topic);
        }
        waiting.count = waiting.count.saturating_add(1);
        waiting.by_topic.entry(name).or_default().push(letter);
        drop(waiting);
        if is_first {
            let plane = Arc::clone(self);
            let deliver = async move { plane.deliver_letters(&on).await };
            self.tasks.spawn("dead letters", deliver);
        }
    }

    /// Finds out who wants the dead letters of a topic, and publishes those that wait.
    async fn deliver_letters(self: &Arc<Self>, on: &Arc<OwnTopic>) {
        if let Err(error) = on.declare(self).await {
            tracing::debug!(%error, "only who is known already gets a dead letter");
        }
        // Those that come now go behind them.
        let mut waiting = self.reliable.letters.lock();
        let letters = waiting.by_topic.remove(&on.origin.topic);
        let letters = letters.unwrap_or_default();
        waiting.count = waiting.count.saturating_sub(letters.len());
        letters.into_iter().for_each(|letter| letter.put(self, on));
    }

    fn letter_lost(&self, topic: &Topic) {
        add(&self.counters.dead_letters_lost, 1);
        tracing::debug!(%topic, "a dead letter is lost");
    }
}
