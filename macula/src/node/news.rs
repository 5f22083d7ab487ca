//! What happens to members, published on `$sys.members` to the clients of this node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use macula_wire::message::{MemberRecord, Priority};
use macula_wire::{ContentType, ErrorCode, Topic};
use serde::Serialize;

use super::view;
use crate::Error;
use crate::machine::MemberEvent;
use crate::plane::Plane;
use crate::plane::topic::{BatchKey, OwnTopic};
use crate::system::MEMBERS_TOPIC;

/// Counts what happens to members, and tells it to the clients that listen.
///
/// It never waits: what the batch under way has no room for is not told. A listener sees that by the numbers of later
/// changes, or by [`MISSED`] where none follows, and makes it good by asking for the members.
#[derive(Clone, Debug)]
pub(crate) struct MemberNews {
    topic: Arc<OwnTopic>,
    key: BatchKey,
    /// Whether a change was not told, and not made good by [`MISSED`] yet.
    untold: Arc<AtomicBool>,
}

/// Says that changes were not told. It lacks the keys of a change, so that nobody takes it for one.
const MISSED: &[u8] = br#"{"event":"missed"}"#;

/// A change as it is told.
#[derive(Serialize)]
struct Change<'a> {
    event: &'static str,
    node: String,
    at_ms: u64,
    change: u64,
    #[serde(flatten)]
    said: Option<Said<'a>>,
}

/// What the member says of itself, where that is what is new.
#[derive(Serialize)]
struct Said<'a> {
    epoch: u64,
    incarnation: u64,
    addresses: &'a [SocketAddr],
    roles: Vec<&'static str>,
    zone: Option<&'a str>,
    agent: &'a str,
    tags: BTreeMap<String, String>,
}

impl MemberNews {
    pub(crate) fn new(plane: &Plane) -> Result<Self, Error> {
        let topic = Topic::new(MEMBERS_TOPIC)
            .map_err(|error| Error::caused(ErrorCode::INTERNAL, error.to_string(), error))?;
        Ok(Self {
            topic: plane.own_topic(&topic, Priority::High)?,
            key: BatchKey {
                content: ContentType::Json,
                ttl_ms: None,
                enveloped: false,
            },
            untold: Arc::default(),
        })
    }

    pub(crate) fn tell(&self, plane: &Arc<Plane>, event: &MemberEvent) {
        let before = plane.member_changes.fetch_add(1, Ordering::Relaxed);
        if !self.topic.is_wanted(plane) {
            return;
        }
        let change = Change {
            event: event.name(),
            node: event.node().to_string(),
            at_ms: plane.clock.unix_ms(),
            change: before.saturating_add(1),
            said: match event {
                MemberEvent::Up(signed)
                | MemberEvent::Tags(signed)
                | MemberEvent::Changed(signed) => Some(said(&signed.record)),
                MemberEvent::Suspect(_) | MemberEvent::Down(_) | MemberEvent::Left(_) => None,
            },
        };
        match serde_json::to_vec(&change) {
            Ok(text) => {
                let payload = Bytes::from(text);
                if self.topic.try_take(plane, &self.key, &payload).is_err() {
                    self.untold.store(true, Ordering::Relaxed);
                    tracing::debug!("a change of a member was not told: too many at a time");
                }
            }
            Err(error) => debug_assert!(false, "a change has no text: {error}"),
        }
    }

    /// Tells that changes were not told, if that is so and there is room again.
    pub(crate) fn tell_missed(&self, plane: &Arc<Plane>) {
        // Taken back first, so that a change that finds no room meanwhile is told of the next time. Who begins to
        // listen asks for the members first, and has missed nothing.
        if !self.untold.swap(false, Ordering::Relaxed) || !self.topic.is_wanted(plane) {
            return;
        }
        if self.topic.try_take(plane, &self.key, &MISSED).is_err() {
            self.untold.store(true, Ordering::Relaxed);
        }
    }
}

fn said(record: &MemberRecord) -> Said<'_> {
    Said {
        epoch: record.epoch.get(),
        incarnation: record.incarnation.get(),
        addresses: &record.addresses,
        roles: record.roles.names().collect(),
        zone: record.zone.as_deref(),
        agent: &record.agent,
        tags: view::tags(record),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::PoisonError;

    use macula_pubsub::{Destination, LocalId, Table};
    use macula_wire::Pattern;

    use super::*;
    use crate::Delivery;
    use crate::queue::{Queue, SubscribeOptions};

    fn plane() -> Arc<Plane> {
        Arc::new(Plane::for_tests())
    }

    /// Where everything arrives that is told from here on.
    fn listen(plane: &Plane) -> Arc<Queue> {
        let id = LocalId::new(1);
        let queue = Arc::new(Queue::new(SubscribeOptions::default(), Arc::default()));
        let mut queues = plane.queues.write().unwrap_or_else(PoisonError::into_inner);
        queues.insert(id, Arc::clone(&queue));
        drop(queues);
        let pattern = Pattern::new(MEMBERS_TOPIC).unwrap();
        plane.replace_table(Arc::new(Table::new(1, [(pattern, Destination::Local(id))])));
        queue
    }

    /// Everything that arrived, in its order.
    async fn told(queue: &Queue) -> Vec<serde_json::Value> {
        queue.close(crate::event::ClosedReason::Stopped);
        let mut current = None;
        let mut told = Vec::new();
        while let Some(delivery) = queue.next(&mut current).await {
            match delivery {
                Delivery::Event(event) => {
                    told.push(serde_json::from_slice(event.payload()).unwrap());
                }
                Delivery::Closed(_) => {}
                other => panic!("{other:?}"),
            }
        }
        told
    }

    #[tokio::test(start_paused = true)]
    async fn that_a_change_found_no_room_is_told_once_there_is_room() {
        let plane = plane();
        let queue = listen(&plane);
        let news = MemberNews::new(&plane).unwrap();
        // The first one leaves at once. The batch is full with the second one, and cannot leave before this test waits.
        let filler = serde_json::json!("x".repeat(64 << 10));
        let payload = Bytes::from(filler.to_string());
        for _ in 0..2 {
            assert!(news.topic.try_take(&plane, &news.key, &payload).is_ok());
        }
        news.tell(&plane, &MemberEvent::Suspect(plane.node()));
        news.tell_missed(&plane);
        news.topic.flushed().await;
        for _ in 0..2 {
            news.tell_missed(&plane);
        }
        news.topic.flushed().await;
        let missed = serde_json::json!({"event": "missed"});
        let expected = [filler.clone(), filler, missed];
        assert_eq!(told(&queue).await, expected, "once, and not before");
    }

    #[tokio::test]
    async fn who_listens_later_has_missed_nothing() {
        let plane = plane();
        let news = MemberNews::new(&plane).unwrap();
        news.untold.store(true, Ordering::Relaxed);
        news.tell_missed(&plane);
        let queue = listen(&plane);
        news.tell_missed(&plane);
        news.topic.flushed().await;
        assert!(told(&queue).await.is_empty());
    }
}
