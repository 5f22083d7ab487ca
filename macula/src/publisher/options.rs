//! How a publisher publishes.

use macula_wire::ContentType;
use macula_wire::message::Priority;

use crate::receipt::Qos;

/// How events are published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishOptions {
    /// What the payloads are; by default opaque bytes.
    pub content: ContentType,
    /// How many of the last events this node keeps in memory for subscriptions that begin with [history](crate::History), at
    /// most 4,096; by default none. Clients keep none: a node of the role `store` does.
    pub history: u32,
    /// The class that the events travel in; by default [`Priority::Normal`]. One topic has one class on a node.
    pub priority: Priority,
    /// What is promised of the events; by default [`Qos::AtMostOnce`]. Once a topic has had an event of
    /// [`Qos::AtLeastOnce`] on a node, all of its events wait for the same buffer, so that their order holds.
    pub qos: Qos,
}

impl Default for PublishOptions {
    fn default() -> Self {
        Self {
            content: ContentType::Bytes,
            history: 0,
            priority: Priority::Normal,
            qos: Qos::AtMostOnce,
        }
    }
}

impl PublishOptions {
    /// With payloads of this type.
    #[must_use]
    pub fn content(mut self, content: ContentType) -> Self {
        self.content = content;
        self
    }

    /// Keeping this many of the last events.
    #[must_use]
    pub const fn history(mut self, count: u32) -> Self {
        self.history = count;
        self
    }

    /// In this class.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// With this promise.
    #[must_use]
    pub const fn qos(mut self, qos: Qos) -> Self {
        self.qos = qos;
        self
    }
}
