//! What happens to members, published on `$sys.members` to the clients of this node.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

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
/// It never waits: what the batch under way has no room for is not told, which a listener sees by the numbers, and
/// makes good by asking for the members.
#[derive(Debug)]
pub(crate) struct MemberNews {
    topic: Arc<OwnTopic>,
    key: BatchKey,
}

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
            },
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
                    tracing::debug!("a change of a member was not told: too many at a time");
                }
            }
            Err(error) => debug_assert!(false, "a change has no text: {error}"),
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
