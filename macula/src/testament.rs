//! Events that are published once their owner has gone: those of a client by its member, those of a member by another one.

mod client;
mod member;

pub(crate) use client::{Testament, open, take};
pub(crate) use member::{execute, name_of};

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use macula_wire::message::{Priority, Publish, Qos};
use macula_wire::{Envelope, Header, NodeId, Topic};

use crate::event::encoded;
use crate::plane::Plane;
use crate::plane::topic::{BatchKey, Enveloped};
use crate::{Error, Event, EventOptions};

/// Asked by clients of their member.
pub(crate) const TESTAMENT: &str = "$sys.testament";
/// The header that says whose testament an event is.
const TESTATOR: &str = "$testament";
/// How many events one may leave behind.
const MAX_TESTAMENTS: usize = macula_wire::limit::MAX_TESTAMENTS;
/// The longest delay.
const MAX_DELAY: Duration = Duration::from_secs(24 * 3_600);

/// When a testament is published.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum TestamentOn {
    /// When its owner is lost: the link of a client breaks, a member is taken for dead. Not when a client closes its link, or
    /// a member leaves on purpose. The default.
    #[default]
    Lost,
    /// When its owner has gone, in whichever way.
    Ended,
}

impl Event {
    /// Whose testament it is: a member published it after that client, or other member, had gone.
    #[must_use]
    pub fn testator(&self) -> Option<NodeId> {
        let value = self.header(TESTATOR)?;
        std::str::from_utf8(value).ok()?.parse().ok()
    }
}

/// An event as it is left behind.
fn left(topic: Topic, payload: Bytes, options: &EventOptions) -> Result<Publish, Error> {
    let envelope = options.envelope()?.unwrap_or_default();
    Ok(Publish {
        request: None,
        topic,
        qos: Qos::AtMostOnce,
        retain: envelope.retain,
        ttl_ms: options.ttl_ms()?,
        key: envelope.key,
        dedup: envelope.dedup,
        content: options.content.clone().unwrap_or_default(),
        headers: envelope.headers,
        audience: envelope.audience,
        payload,
    })
}

/// Publishes in the name of this node what `testator` left behind.
async fn publish(plane: &Arc<Plane>, publish: Publish, testator: NodeId) -> Result<(), Error> {
    let mut envelope = Envelope {
        headers: publish.headers,
        key: publish.key,
        dedup: publish.dedup,
        audience: publish.audience,
        retain: publish.retain,
    };
    envelope.headers.push(Header {
        key: TESTATOR.into(),
        value: testator.to_string().into(),
    });
    envelope
        .headers
        .sort_by(|one, other| one.key.cmp(&other.key));
    let key = BatchKey {
        content: publish.content,
        ttl_ms: publish.ttl_ms,
        enveloped: true,
    };
    let event = Enveloped {
        encoded: &encoded(&envelope)?,
        envelope: &envelope,
        payload: publish.payload,
    };
    // The node may publish on the topic in a class of its own.
    let classes = [
        Priority::Normal,
        Priority::High,
        Priority::Bulk,
        Priority::Realtime,
    ];
    let mut own = classes
        .iter()
        .map(|class| plane.own_topic(&publish.topic, *class));
    let own = match own.find_map(Result::ok) {
        Some(own) => own,
        None => plane.own_topic(&publish.topic, Priority::Normal)?,
    };
    own.declare(plane).await?;
    own.take(plane, &key, event).await
}
