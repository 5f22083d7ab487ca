//! Dead letters: events that nobody can do anything with.

use std::sync::Arc;

use macula_wire::Topic;

use super::Parcel;
use crate::plane::Plane;
use crate::plane::counters::add;
use crate::plane::topic::BatchKey;

/// What the topic of dead letters has before the topic of the event.
pub(crate) const PREFIX: &str = "$sys.dlq.";

impl Plane {
    /// Publishes an event that was rejected under the topic of dead letters of this node. It is lost, and counted, where
    /// that has no room, or the name is too long.
    pub(super) fn bury(self: &Arc<Self>, parcel: &Parcel, offset: u32) {
        let topic = &parcel.origin().topic;
        if topic.is_reserved() {
            // Nobody could do anything with a dead letter either.
            return add(&self.counters.dead_letters_lost, 1);
        }
        add(&self.counters.dead_letters, 1);
        let at = usize::try_from(offset).unwrap_or(usize::MAX);
        let name = Topic::new(&format!("{PREFIX}{topic}")).ok();
        let buried = name
            .zip(parcel.batch().entries.iter().nth(at))
            .and_then(|(name, payload)| {
                let own = self.own_topic(&name, parcel.origin().priority).ok()?;
                own.keep_all();
                let key = BatchKey {
                    content: parcel.batch().content.clone(),
                    ttl_ms: None,
                    enveloped: parcel.batch().enveloped,
                };
                own.try_take(self, &key, &payload).ok()
            });
        if buried.is_none() {
            add(&self.counters.dead_letters_lost, 1);
            tracing::debug!(%topic, "a dead letter is lost");
        }
    }
}
