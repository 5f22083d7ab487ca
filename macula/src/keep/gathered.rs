//! What several nodes tell of earlier events, put together.

use std::collections::BTreeMap;

use macula_wire::{
    EarlierEnd, EarlierEvent, EarlierEvents, Epoch, NodeId, Pattern, Sequence, Topic, limit,
};

use super::Wanted;
use crate::queue::History;

/// What several nodes told, put together.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    values: BTreeMap<(Topic, NodeId), EarlierEvent>,
    events: BTreeMap<(Topic, NodeId), BTreeMap<(Epoch, Sequence), EarlierEvent>>,
    ends: BTreeMap<(Topic, NodeId), (Epoch, Sequence)>,
}

impl Gathered {
    /// Takes in what `from` told; what it may not tell of others is left out.
    pub(super) fn take(
        &mut self,
        told: EarlierEvents,
        pattern: &Pattern,
        may: impl Fn(&NodeId) -> bool,
    ) {
        for one in told.events {
            let event = &one.event;
            if !pattern.matches(&event.topic) || !may(&event.publisher) {
                continue;
            }
            let key = (event.topic.clone(), event.publisher);
            let place = (event.epoch, event.sequence);
            if !one.retained {
                self.events.entry(key).or_default().insert(place, one);
                continue;
            }
            let known = self
                .values
                .get(&key)
                .map(|one| (one.event.epoch, one.event.sequence));
            if known.is_none_or(|known| known < place) {
                self.values.insert(key, one);
            }
        }
        for end in told.ends {
            if pattern.matches(&end.topic) && may(&end.publisher) {
                let next = self
                    .ends
                    .entry((end.topic, end.publisher))
                    .or_insert((end.epoch, end.next));
                *next = (*next).max((end.epoch, end.next));
            }
        }
    }

    /// All of it: of each publisher and topic no more than was wanted.
    pub(super) fn whole(mut self, wanted: Wanted) -> EarlierEvents {
        // Where there is history, the last value is one of its events.
        for (key, kept) in &mut self.events {
            if let Some(value) = self.values.remove(key) {
                let place = (value.event.epoch, value.event.sequence);
                if !value.event.payload.is_empty() {
                    kept.entry(place).or_insert(EarlierEvent {
                        retained: false,
                        ..value
                    });
                }
            }
        }
        let mut events: Vec<EarlierEvent> = Vec::new();
        // A value that was taken back is there as one without a payload.
        let values = self.values.into_values();
        events.extend(values.filter(|one| !one.event.payload.is_empty()));
        let most = match wanted.history {
            Some(History::Last(count)) => usize::try_from(count).unwrap_or(usize::MAX),
            _ => usize::MAX,
        };
        for kept in self.events.into_values() {
            let surplus = kept.len().saturating_sub(most);
            events.extend(kept.into_values().skip(surplus));
        }
        events.truncate(limit::MAX_EARLIER);
        let ends = self.ends.into_iter().take(limit::MAX_EARLIER);
        let end = |((topic, publisher), (epoch, next))| EarlierEnd {
            publisher,
            epoch,
            topic,
            next,
        };
        EarlierEvents {
            events,
            ends: ends.map(end).collect(),
        }
    }
}
